"""An exchange, a clock that both sides share, and engines that hedge against it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from stablesats.hedging.orders import OrderSlots
from stablesats.hedging.reconcile import Outcome, Reconciler
from stablesats.hedging.settings import EngineSettings
from stablesats.ledger import Ledger
from stablesats.okx import Instrument, OkxClient, OkxCredentials, ReadRetry
from stablesats.okx_simulator import OkxSimulator, SimulatorConfig

ACCOUNT = "okx-test"
INSTRUMENT = "BTC-USD-SWAP"
FAST_RETRY = ReadRetry(
    attempts=3, deadline_secs=10, wait_initial_secs=0.01, wait_max_secs=0.02, wait_jitter_secs=0.01
)


@dataclass
class Clock:
    """The time of the exchange and of every engine; it moves only when told."""

    wall: datetime = datetime(2026, 9, 1, 12, tzinfo=UTC)
    seconds: float = 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds


class NoLimits:
    """Instead of the client's own rate limits: these tests ask more often than OKX allows."""

    async def wait(self, *_: object, **__: object) -> None:
        return


ClientFactory = Callable[..., Awaitable[OkxClient]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def simulator_factory(clock: Clock) -> AsyncIterator[Callable[..., Awaitable[OkxSimulator]]]:
    """Exchanges with 100 BTC of collateral at 50,000 USD, on the held clock unless told otherwise."""
    async with AsyncExitStack() as stack:

        async def make(*, held_clock: bool = True, **settings: Any) -> OkxSimulator:
            config = SimulatorConfig(**{"rate_limits": False, "trading_btc": Decimal(100), **settings})
            clocks: dict[str, Any] = {"now": clock.now, "monotonic": clock.monotonic} if held_clock else {}
            return await stack.enter_async_context(OkxSimulator(config, **clocks))

        yield make


@pytest.fixture
async def simulator(simulator_factory: Callable[..., Awaitable[OkxSimulator]]) -> OkxSimulator:
    return await simulator_factory()


@pytest.fixture
async def client_factory(clock: Clock) -> AsyncIterator[ClientFactory]:
    """Clients of a simulator, without rate limits of their own."""
    async with AsyncExitStack() as stack:

        async def make(simulator: OkxSimulator, *, held_clock: bool = True, **settings: Any) -> OkxClient:
            config = simulator.config
            credentials = OkxCredentials(
                api_key=config.api_key,
                secret_key=settings.pop("secret_key", config.secret),
                passphrase=config.passphrase,
            )
            clocks: dict[str, Any] = {"now": clock.now} if held_clock else {}
            client = OkxClient(
                base_url=simulator.base_url,
                credentials=credentials,
                **{"read_retry": FAST_RETRY, **clocks, **settings},
            )
            client._limiter = NoLimits()  # type: ignore[assignment]
            return await stack.enter_async_context(client)

        yield make


@pytest.fixture
async def client(simulator: OkxSimulator, client_factory: ClientFactory) -> OkxClient:
    return await client_factory(simulator)


@pytest.fixture
async def slots(ledger: Ledger, clock: Clock) -> OrderSlots:
    slots = OrderSlots(ledger.database, account=ACCOUNT, instrument=INSTRUMENT, now=clock.now)
    await slots.prepare()
    return slots


@dataclass
class Hedge:
    """Engines on one account, and what they brought about."""

    ledger: Ledger
    simulator: OkxSimulator
    slots: OrderSlots
    clock: Clock
    instrument: Instrument
    client: OkxClient
    trades: int = field(default=0)

    def reconciler(self, *, client: Any = None, slots: Any = None, **settings: Any) -> Reconciler:
        """Another engine on the account, with a client or slots of its own."""
        return Reconciler(
            client=client or self.client,
            ledger=self.ledger,
            slots=slots or self.slots,
            instrument=self.instrument,
            settings=EngineSettings(account=ACCOUNT, **settings),
            now=self.clock.now,
        )

    async def owe(self, cents: int) -> None:
        """Let users trade until exactly *cents* are owed."""
        self.trades += 1
        change = cents - await self.ledger.hedge_target_cents()
        trade = self.ledger.user_buys_usd if change > 0 else self.ledger.user_sells_usd
        if change:
            await trade(sats=1 + self.trades, cents=abs(change), at=self.clock.now())

    async def orders(self) -> list[dict[str, Any]]:
        """The orders as written down, oldest first."""
        rows = self.ledger.database["stablesats_hedge_orders"].find({"account": ACCOUNT})
        return [row async for row in rows.sort("sequence", 1)]

    async def states(self) -> list[str]:
        return [row["state"] for row in await self.orders()]

    @property
    def position_contracts(self) -> Decimal:
        """The signed position at the exchange."""
        self.simulator.exchange.advance()
        return self.simulator.exchange.account.contracts

    @property
    def sizes_at_exchange(self) -> list[Decimal]:
        """Signed contracts of every order that the exchange ever accepted."""
        return [order.ticket.contracts * order.ticket.side.sign for order in self.simulator.exchange.orders]

    async def converge(self, reconciler: Reconciler, *, step_secs: float = 1.0, looks: int = 40) -> None:
        """Look again and again, a second apart, until there is nothing to do."""
        for _ in range(looks):
            if await reconciler.reconcile() is Outcome.HEDGED:
                return
            self.clock.advance(step_secs)
        pytest.fail(f"not hedged after {looks} looks: {await self.states()}, {self.position_contracts}")


@pytest.fixture
async def hedge(
    ledger: Ledger, simulator: OkxSimulator, slots: OrderSlots, clock: Clock, client: OkxClient
) -> Hedge:
    instrument = await client.instrument(INSTRUMENT)
    return Hedge(ledger, simulator, slots, clock, instrument, client)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Poll a condition until it holds; fail at a generous deadline."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.02)

    return wait

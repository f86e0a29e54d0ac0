"""The engine's loop: when it looks, how it backs off, and that nothing ends it but its stop event."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from medici_py import LiveBalances, MediciError
from medici_py.task_end import end_task
from stablesats.errors import ConfigurationError, StablesatsError
from stablesats.hedging import engine as engine_module
from stablesats.hedging.engine import EngineSettings, HedgingEngine, pause_after
from stablesats.hedging.hedge_adjustment import DoNothing, HedgeBounds, NegativeLiabilityError, decide_hedge
from stablesats.hedging.reconcile import Outcome, Reconciler
from stablesats.ledger import Ledger
from stablesats.okx import (
    AccountConfig,
    OkxAuthenticationError,
    OkxError,
    OkxProtocolError,
    OkxRefusedError,
    OkxUnavailableError,
    UnknownInstrumentError,
)
from stablesats.okx_simulator import BTC_USD_SWAP, DropAfter, DropBefore, OkxSimulator

TEN_THOUSAND_USD = 1_000_000
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


@dataclass
class Running:
    """An engine at work."""

    engine: HedgingEngine
    stop: asyncio.Event
    task: asyncio.Task[None]

    async def end(self) -> None:
        self.stop.set()
        async with asyncio.timeout(30):
            await self.task


@pytest.fixture
async def simulator(simulator_factory: Any) -> OkxSimulator:
    """An exchange on the real clock."""
    made: OkxSimulator = await simulator_factory(held_clock=False)
    return made


@pytest.fixture
async def engines(
    ledger: Ledger, simulator: OkxSimulator, client_factory: Any
) -> AsyncIterator[Callable[..., Awaitable[Running]]]:
    """Starts engines that are watching when they are handed out."""
    started: list[Running] = []

    async def start(*, client: Any = None, wait: bool = True, **settings: Any) -> Running:
        engine = HedgingEngine(
            client=client or await client_factory(simulator, held_clock=False),
            ledger=ledger,
            settings=EngineSettings(**{"min_interval_secs": 0.02, "poll_interval_secs": 60.0, **settings}),
        )
        ready, stop = asyncio.Event(), asyncio.Event()
        running = Running(engine, stop, asyncio.create_task(engine.run(stop, on_ready=ready.set)))
        started.append(running)
        if wait:
            readiness = asyncio.create_task(ready.wait())
            async with asyncio.timeout(30):
                await asyncio.wait({readiness, running.task}, return_when=asyncio.FIRST_COMPLETED)
            readiness.cancel()
        return running

    yield start
    for running in started:
        running.stop.set()
    await asyncio.gather(*(end_task(running.task) for running in started))


async def buy_usd(ledger: Ledger, cents: int) -> None:
    await ledger.user_buys_usd(sats=1_000, cents=cents, at=datetime.now(UTC))


class TestTriggers:
    async def test_change_of_the_liability_is_hedged_without_waiting_for_the_timer(
        self, engines: Any, ledger: Ledger, simulator: OkxSimulator, eventually: Eventually
    ) -> None:
        """The ledger's change stream wakes the engine; the timer is a minute away."""
        running = await engines()
        await eventually(lambda: running.engine.outcomes[Outcome.HEDGED] > 0)
        await buy_usd(ledger, TEN_THOUSAND_USD)
        await eventually(lambda: simulator.exchange.account.contracts == -98)
        await buy_usd(ledger, TEN_THOUSAND_USD)
        await eventually(lambda: simulator.exchange.account.contracts == -196)
        await running.end()

    async def test_what_was_owed_before_the_start_is_hedged(
        self, engines: Any, ledger: Ledger, simulator: OkxSimulator, eventually: Eventually
    ) -> None:
        """Nothing has to happen for the first look."""
        await buy_usd(ledger, TEN_THOUSAND_USD)
        await engines()
        await eventually(lambda: simulator.exchange.account.contracts == -98)

    async def test_timer_hedges_when_the_change_stream_says_nothing(
        self,
        engines: Any,
        ledger: Ledger,
        simulator: OkxSimulator,
        eventually: Eventually,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A missed trigger costs one interval, never correctness."""

        async def silent(_self: LiveBalances, _since: int) -> int:
            await asyncio.Event().wait()
            raise AssertionError

        monkeypatch.setattr(LiveBalances, "changed", silent)
        running = await engines(poll_interval_secs=0.1)
        await eventually(lambda: running.engine.outcomes[Outcome.HEDGED] > 0)
        await buy_usd(ledger, TEN_THOUSAND_USD)
        await eventually(lambda: simulator.exchange.account.contracts == -98)

    async def test_timer_hedges_when_the_change_stream_is_broken(
        self,
        engines: Any,
        ledger: Ledger,
        simulator: OkxSimulator,
        eventually: Eventually,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Live balances that raise neither end the engine nor make it spin."""
        asked = 0

        async def broken(_self: LiveBalances, _since: int) -> int:
            nonlocal asked
            asked += 1
            raise MediciError("closed")

        monkeypatch.setattr(LiveBalances, "changed", broken)
        running = await engines(poll_interval_secs=0.1)
        await eventually(lambda: running.engine.outcomes[Outcome.HEDGED] > 2)
        await buy_usd(ledger, TEN_THOUSAND_USD)
        await eventually(lambda: simulator.exchange.account.contracts == -98)
        assert asked <= running.engine.outcomes[Outcome.HEDGED]
        await running.end()


class TestStart:
    @pytest.mark.parametrize(
        ("level", "mode"), [("1", "net_mode"), ("2", "long_short_mode"), ("3", "net_mode")]
    )
    async def test_account_in_another_mode_is_refused(
        self, engines: Any, simulator: OkxSimulator, client_factory: Any, level: str, mode: str
    ) -> None:
        """The hedge counts on one signed position and on margin in bitcoin."""
        client = await client_factory(simulator, held_clock=False)

        async def config() -> AccountConfig:
            return AccountConfig(account_level=level, position_mode=mode)

        client.account_config = config
        running = await engines(client=client)
        with pytest.raises(ConfigurationError, match=f"found posMode '{mode}' and acctLv '{level}'"):
            await running.task

    @pytest.mark.parametrize(
        ("terms", "message"),
        [
            ({"contract_value_usd": Decimal(10)}, "is 10 USD, the hedge counts on 100"),
            ({"lot_contracts": Decimal("0.3")}, "trades whole contracts"),
            ({"min_contracts": Decimal(2)}, "at least 2"),
            ({"max_market_contracts": Decimal("0.5")}, "at most 0.5"),
        ],
    )
    async def test_instrument_on_other_terms_is_refused(
        self, engines: Any, simulator: OkxSimulator, client_factory: Any, terms: Any, message: str
    ) -> None:
        """Sizes are whole contracts of 100 USD."""
        client = await client_factory(simulator, held_clock=False)
        instrument = await client.instrument(BTC_USD_SWAP.inst_id)

        async def changed(_inst_id: str) -> Any:
            return instrument.model_copy(update=terms)

        client.instrument = changed
        running = await engines(client=client)
        with pytest.raises(ConfigurationError, match=message):
            await running.task

    async def test_wrong_credentials_end_the_engine_at_the_start(
        self, engines: Any, simulator: OkxSimulator, client_factory: Any
    ) -> None:
        """Nobody waits for a key to become right."""
        running = await engines(client=await client_factory(simulator, held_clock=False, secret_key="wrong"))
        with pytest.raises(OkxAuthenticationError):
            await running.task

    async def test_exchange_that_is_away_at_the_start_is_waited_for(
        self, engines: Any, ledger: Ledger, simulator: OkxSimulator, eventually: Eventually
    ) -> None:
        """The engine may be started before the exchange answers."""
        await buy_usd(ledger, TEN_THOUSAND_USD)
        await simulator.stop()
        running = await engines(wait=False)
        await asyncio.sleep(0.3)
        assert not running.task.done()
        await simulator.start()
        await eventually(lambda: simulator.exchange.account.contracts == -98)

    async def test_engine_can_be_stopped_while_it_waits_for_the_exchange(
        self, engines: Any, simulator: OkxSimulator
    ) -> None:
        """Stopping does not depend on anybody else."""
        await simulator.stop()
        running = await engines(wait=False)
        await running.end()

    async def test_engine_can_be_stopped_while_the_exchange_does_not_answer(
        self, engines: Any, simulator: OkxSimulator, client_factory: Any
    ) -> None:
        """What was asked at the start is not waited for."""
        client = await client_factory(simulator, held_clock=False)
        asked = asyncio.Event()

        async def silence() -> Any:
            asked.set()
            await asyncio.Event().wait()

        client.account_config = silence
        running = await engines(client=client, wait=False)
        async with asyncio.timeout(30):
            await asked.wait()
        await running.end()

    @pytest.mark.parametrize(
        "error",
        [
            OkxProtocolError("not an exchange"),
            UnknownInstrumentError("none", code="51001", http_status=200, request="GET instruments"),
            OkxRefusedError("no such page", http_status=404, request="GET account/config"),
        ],
        ids=lambda error: type(error).__name__,
    )
    async def test_what_waiting_does_not_mend_ends_the_engine_at_the_start(
        self, engines: Any, simulator: OkxSimulator, client_factory: Any, error: OkxError
    ) -> None:
        """A wrong address would be waited for for ever, in silence."""
        client = await client_factory(simulator, held_clock=False)

        async def refused() -> Any:
            raise error

        client.account_config = refused
        running = await engines(client=client)
        with pytest.raises(type(error)):
            await running.task


class TestEndurance:
    @pytest.mark.parametrize(
        "error",
        [
            NegativeLiabilityError("books are damaged"),
            StablesatsError("something"),
            MediciError("ledger"),
            ValueError("a defect"),
        ],
        ids=lambda error: type(error).__name__,
    )
    async def test_failed_look_is_counted_and_followed_by_another(
        self,
        *,
        engines: Any,
        ledger: Ledger,
        simulator: OkxSimulator,
        eventually: Eventually,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
    ) -> None:
        """Also a defect of ours does not leave users unhedged."""
        reconcile, failures = Reconciler.reconcile, [error]

        async def fails_once(self: Reconciler) -> Outcome:
            if failures:
                raise failures.pop()
            return await reconcile(self)

        monkeypatch.setattr(Reconciler, "reconcile", fails_once)
        await buy_usd(ledger, TEN_THOUSAND_USD)
        running = await engines()
        await eventually(lambda: simulator.exchange.account.contracts == -98)
        assert running.engine.failed_looks == 1
        await running.end()

    async def test_exchange_that_goes_away_and_comes_back_is_hedged_again(
        self, engines: Any, ledger: Ledger, simulator: OkxSimulator, eventually: Eventually
    ) -> None:
        """Users go on trading meanwhile."""
        running = await engines()
        await eventually(lambda: running.engine.outcomes[Outcome.HEDGED] > 0)
        await simulator.stop()
        await buy_usd(ledger, TEN_THOUSAND_USD)
        await eventually(lambda: running.engine.failed_looks > 0)
        await simulator.start()
        await eventually(lambda: simulator.exchange.account.contracts == -98)

    async def test_stop_ends_the_engine_while_it_waits_for_a_trigger(
        self, engines: Any, eventually: Eventually
    ) -> None:
        """The timer is a minute away; the engine does not wait for it."""
        running = await engines()
        await eventually(lambda: running.engine.outcomes[Outcome.HEDGED] > 0)
        await running.end()

    async def test_stop_ends_the_engine_in_the_middle_of_a_read(
        self, engines: Any, simulator: OkxSimulator, client_factory: Any
    ) -> None:
        """An exchange that does not answer is no reason to stay; a look that was cut off has not failed."""
        client = await client_factory(simulator, held_clock=False)
        asked = asyncio.Event()

        async def silence(_inst_id: str) -> Any:
            asked.set()
            await asyncio.Event().wait()

        client.position = silence
        running = await engines(client=client)
        async with asyncio.timeout(30):
            await asked.wait()
        await running.end()
        assert (running.engine.failed_looks, running.engine.outcomes.total()) == (0, 0)

    async def test_stopped_engine_says_how_its_looks_ended(
        self, engines: Any, ledger: Ledger, eventually: Eventually
    ) -> None:
        """One line, every outcome in it, also those that never happened."""
        await buy_usd(ledger, TEN_THOUSAND_USD)
        with capture_logs() as logs:
            running = await engines()
            await eventually(lambda: running.engine.outcomes[Outcome.HEDGED] > 0)
            await running.end()
        [summary] = [line for line in logs if line.get("action") == "engine-summary"]
        assert summary["failed_looks"] == 0
        assert {outcome: summary[outcome.value] for outcome in Outcome} == {
            outcome: running.engine.outcomes[outcome] for outcome in Outcome
        }
        assert summary["ordered"] == 1

    async def test_engines_killed_at_any_moment_never_double_an_order(
        self, engines: Any, ledger: Ledger, simulator: OkxSimulator, eventually: Eventually
    ) -> None:
        """Two engines at a time, cancelled at random while orders are lost and users trade."""
        chance = random.Random(11)
        settings: dict[str, Any] = {"poll_interval_secs": 0.2}
        owed = 0
        for _ in range(12):
            pair = [await engines(wait=False, **settings) for _ in range(2)]
            simulator.faults.add("trade/order", DropAfter(), method="POST")
            for _ in range(3):
                cents = chance.choice([n for n in range(-400_000, 1_000_000, 50_000) if n and owed + n > 0])
                trade = ledger.user_buys_usd if cents > 0 else ledger.user_sells_usd
                await trade(sats=1, cents=abs(cents), at=datetime.now(UTC))
                owed += cents
                await asyncio.sleep(chance.random() / 10)
            for running in pair:
                await end_task(running.task)
        survivor = await engines(**settings)

        def is_hedged() -> bool:
            exposure = int(simulator.exchange.account.contracts * 10_000)
            decision = decide_hedge(
                liability_cents=owed, signed_exposure_cents=exposure, bounds=HedgeBounds()
            )
            return isinstance(decision, DoNothing) and survivor.engine.outcomes[Outcome.HEDGED] > 0

        await eventually(is_hedged)
        await survivor.end()
        rows = {row["_id"]: row async for row in ledger.database["stablesats_hedge_orders"].find({})}
        arrived = [order.ticket for order in simulator.exchange.orders]
        assert len({ticket.client_order_id for ticket in arrived}) == len(arrived)
        for ticket in arrived:
            assert rows[ticket.client_order_id]["size_contracts"].to_decimal() == ticket.contracts
            assert rows[ticket.client_order_id]["state"] == "filled"
        assert not any(row.get("open") for row in rows.values())
        assert sum(ticket.contracts * ticket.side.sign for ticket in arrived) == (
            simulator.exchange.account.contracts
        )
        mirrored = (await ledger.balances()).signed_exposure_cents
        assert mirrored == int(simulator.exchange.account.contracts * 10_000)


@dataclass
class Pauses:
    """Records the pauses of a loop instead of pausing; stops it after so many."""

    limit: int
    taken: list[float] = field(default_factory=list)

    async def __call__(self, stop: asyncio.Event, timeout_secs: float) -> bool:
        self.taken.append(timeout_secs)
        if len(self.taken) >= self.limit:
            stop.set()
        await asyncio.sleep(0)
        return stop.is_set()


class TestPauses:
    @pytest.mark.parametrize(
        ("setbacks", "secs"),
        [(1, 0.5), (2, 1), (3, 2), (7, 32), (8, 60), (9, 60), (10_000, 60)],
    )
    def test_pause_doubles_up_to_a_minute(self, setbacks: int, secs: float) -> None:
        """0.5 x 2 ^ (setbacks - 1), at most 60."""
        assert pause_after(setbacks) == secs

    async def pauses(
        self,
        ledger: Ledger,
        client: Any,
        monkeypatch: pytest.MonkeyPatch,
        outcomes: list[Outcome | Exception],
        limit: int,
        **settings: Any,
    ) -> list[float]:
        """The pauses of an engine whose looks end as *outcomes* say, the last one again and again."""
        pauses = Pauses(limit)

        async def scripted(_self: Reconciler) -> Outcome:
            outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(engine_module, "wait_or_stop", pauses)
        monkeypatch.setattr(Reconciler, "reconcile", scripted)
        engine = HedgingEngine(client=client, ledger=ledger, settings=EngineSettings(**settings))
        async with asyncio.timeout(30):
            await engine.run(asyncio.Event())
        return pauses.taken

    @pytest.fixture
    async def client(self, simulator: OkxSimulator, client_factory: Any) -> Any:
        return await client_factory(simulator, held_clock=False)

    async def test_repeated_refusals_and_failures_back_off(
        self, ledger: Ledger, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An order that the exchange keeps refusing is tried ever more seldom."""
        outcomes: list[Any] = [Outcome.REFUSED, StablesatsError("away"), Outcome.REFUSED]
        assert await self.pauses(ledger, client, monkeypatch, outcomes, 5) == [0.5, 1, 2, 4, 8]

    async def test_look_that_finds_all_well_ends_the_backing_off(
        self, ledger: Ledger, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next setback is the first one again; an order that is only waited for does not count as well."""
        outcomes: list[Any] = [
            Outcome.REFUSED,
            Outcome.WAITING,
            Outcome.REFUSED,
            Outcome.HEDGED,
            Outcome.REFUSED,
        ]
        taken = await self.pauses(
            ledger, client, monkeypatch, outcomes, 5, min_interval_secs=0.2, poll_interval_secs=0.01
        )
        assert taken == [0.5, 0.2, 1, 0.2, 0.5]

    async def test_waiting_for_an_order_asks_ever_more_seldom(
        self, ledger: Ledger, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From the shortest interval to two seconds."""
        outcomes: list[Any] = [Outcome.ORDERED, Outcome.WAITING]
        taken = await self.pauses(ledger, client, monkeypatch, outcomes, 7, min_interval_secs=0.2)
        assert taken == pytest.approx([0.2, 0.2, 0.4, 0.8, 1.6, 2, 2])

    async def test_shortest_interval_longer_than_that_is_kept(
        self, ledger: Ledger, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The setting wins over the two seconds."""
        taken = await self.pauses(ledger, client, monkeypatch, [Outcome.WAITING], 3, min_interval_secs=5.0)
        assert taken == [5, 5, 5]

    async def test_start_against_an_exchange_in_trouble_backs_off(
        self, ledger: Ledger, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is asked ever more seldom too."""

        async def away() -> Any:
            raise OkxUnavailableError("maintenance", http_status=503, request="GET /api/v5/account/config")

        client.account_config = away
        taken = await self.pauses(ledger, client, monkeypatch, [Outcome.HEDGED], 4)
        assert taken == [0.5, 1, 2, 4]


async def test_lost_orders_delay_but_do_not_stop_the_hedge(
    engines: Any, ledger: Ledger, simulator: OkxSimulator, eventually: Eventually
) -> None:
    """An order that never arrives is replaced once its short life and the grace are over."""
    simulator.faults.add("trade/order", DropBefore(), method="POST")
    await buy_usd(ledger, TEN_THOUSAND_USD)
    await engines(order_time_to_live=timedelta(seconds=0.5))
    await eventually(lambda: simulator.exchange.account.contracts == -98)
    assert simulator.exchange.order_count == 1

"""Many writes on an exchange that does everything wrong: each is executed once or not at all, and we know which."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from stablesats.okx import (
    AccountKind,
    OkxClient,
    OkxCredentials,
    OkxError,
    OkxOutcomeUnknownError,
    OrderSide,
    ReadRetry,
    TransferNotFoundError,
    TransferStatus,
    Withdrawal,
)
from stablesats.okx.funding_states import MovementPhase
from stablesats.okx_simulator import (
    AnswerStatus,
    DelayAnswer,
    DelayRequest,
    DropAfter,
    DropBefore,
    HideOrder,
    NotJson,
    OkxSimulator,
    SimulatorConfig,
)
from stablesats.okx_simulator.faults import EmptyFields, Fault, MalformedJson, PartialFill

SWAP = "BTC-USD-SWAP"
TIME_TO_LIVE = timedelta(seconds=1)
GRACE = timedelta(seconds=1)
TIMEOUT_SECS = 1.0
LATE_MS = 1_500
# A transfer carries no expiry: one that is unknown for so long, several times longer than any is late here, is lost.
LOST_AFTER_SECS = 6.0
STEP_BTC = Decimal("0.001")
ADDRESS = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"

OF_ORDERS: list[Fault] = [
    DropBefore(),
    DropAfter(),
    DelayRequest(LATE_MS),
    DelayAnswer(LATE_MS),
    AnswerStatus(500, "50026"),
    AnswerStatus(503, "50001"),
    AnswerStatus(429, "50011"),
    AnswerStatus(400, "50004"),
    NotJson(),
    MalformedJson(),
    EmptyFields(),
    HideOrder(500),
    PartialFill(Decimal("0.5")),
]
OF_MOVEMENTS: list[Fault] = [
    DropBefore(),
    DropAfter(),
    DelayRequest(LATE_MS),
    DelayAnswer(LATE_MS),
    AnswerStatus(500, "50026"),
    AnswerStatus(503, "50001"),
    NotJson(),
    MalformedJson(),
    EmptyFields(),
]
OF_QUESTIONS: list[Fault] = [DropBefore(), DropAfter(), NotJson(), MalformedJson(), EmptyFields()]


async def settle(okx: OkxClient, client_order_id: str, expires_at) -> Decimal:
    """Ask until it is certain, and return what was filled."""
    while True:
        try:
            order = await okx.settle_order(
                SWAP, client_order_id, expires_at=expires_at, grace=GRACE, poll_secs=0.3
            )
        except OkxError:
            continue
        if order is None:
            return Decimal(0)
        if order.state.is_final:
            return order.filled_contracts
        await asyncio.sleep(0.1)


async def place(okx: OkxClient, client_order_id: str) -> Decimal:
    """Place one order of two contracts as the dealer does, and return what was filled; nothing if refused."""
    expires_at = okx.exchange_now() + TIME_TO_LIVE
    try:
        await okx.place_market_order(SWAP, OrderSide.SELL, 2, client_order_id, expires_at=expires_at)
    except OkxOutcomeUnknownError:
        pass
    except OkxError:
        return Decimal(0)
    return await settle(okx, client_order_id, expires_at)


def client_of(simulator: OkxSimulator) -> OkxClient:
    config = simulator.config
    return OkxClient(
        base_url=simulator.base_url,
        credentials=OkxCredentials(
            api_key=config.api_key, secret_key=config.secret, passphrase=config.passphrase
        ),
        request_timeout_secs=TIMEOUT_SECS,
        read_retry=ReadRetry(attempts=10, deadline_secs=20, wait_initial_secs=0.05, wait_jitter_secs=0.05),
    )


def trouble(simulator: OkxSimulator, path: str, faults: list[Fault]) -> None:
    for fault in faults:
        simulator.faults.add_random(path, fault, method="POST", probability=Decimal("0.06"))


def trouble_questions(simulator: OkxSimulator) -> None:
    for fault in OF_QUESTIONS:
        simulator.faults.add_random("*", fault, method="GET", probability=Decimal("0.03"))


def fates_of(executed: dict[str, list[Decimal]], told: dict[str, Decimal]) -> Counter[str]:
    """Compare what the exchange did under each id with what we were told, and count the fates."""
    fates: Counter[str] = Counter()
    for name, amount in told.items():
        done = executed.get(name, [])
        assert len(done) <= 1, f"{name} was executed {len(done)} times"
        assert sum(done) == amount, f"{name}: {done} executed, {amount} told"
        fates["executed" if done else "not executed"] += 1
    return fates


def executed_orders(simulator: OkxSimulator) -> dict[str, list[Decimal]]:
    executed: dict[str, list[Decimal]] = {}
    for order in simulator.exchange.orders:
        executed.setdefault(order.ticket.client_order_id, []).append(order.filled_contracts)
    return executed


async def soak(seed: int, count: int) -> Counter[str]:
    """Place *count* orders at once, and return their fates."""
    config = SimulatorConfig(trading_btc=Decimal(100), seed=seed, rate_limits=False)
    async with OkxSimulator(config) as simulator, client_of(simulator) as okx:
        await okx.server_time()
        trouble(simulator, "trade/order", OF_ORDERS)
        trouble_questions(simulator)
        names = [f"soak{number}" for number in range(count)]
        filled = await asyncio.gather(*(place(okx, name) for name in names))
        # Whatever was still on its way has arrived by now, or been dropped for its expiry.
        await asyncio.sleep(LATE_MS / 1000)
    return fates_of(executed_orders(simulator), dict(zip(names, filled, strict=True)))


async def settle_movement(ask: Callable[[], Awaitable[TransferStatus | Withdrawal]]) -> Decimal:
    """Ask until it is certain, and return what was moved."""
    clock = asyncio.get_running_loop().time
    lost_at_secs = clock() + LOST_AFTER_SECS
    while True:
        is_too_late = clock() > lost_at_secs
        try:
            movement = await ask()
        except TransferNotFoundError:
            if is_too_late:
                return Decimal(0)
        except OkxError:
            pass  # nothing is certain: ask again
        else:
            if movement.state.is_final:
                return movement.amount if movement.state.phase is MovementPhase.SUCCEEDED else Decimal(0)
        await asyncio.sleep(0.5)


async def move(send: Awaitable[object], ask: Callable[[], Awaitable[TransferStatus | Withdrawal]]) -> Decimal:
    """Send a transfer or a withdrawal once, and return what was moved; nothing if it was refused."""
    try:
        await send
    except OkxOutcomeUnknownError:
        pass
    except OkxError:
        return Decimal(0)
    return await settle_movement(ask)


async def transfer(okx: OkxClient, name: str, source: AccountKind, target: AccountKind) -> Decimal:
    sent = okx.transfer(STEP_BTC, source=source, target=target, client_transfer_id=name)
    return await move(sent, lambda: okx.transfer_status(name))


async def withdraw(okx: OkxClient, name: str) -> Decimal:
    sent = okx.withdraw(STEP_BTC, address=ADDRESS, client_transfer_id=name)
    return await move(sent, lambda: okx.withdrawal(name))


async def at_intervals(
    act: Callable[[str], Awaitable[Decimal]], prefix: str, count: int, interval_secs: float
) -> dict[str, Decimal]:
    """Begin *act* that often under ids of its own; return what each was told."""

    async def later(number: int) -> Decimal:
        await asyncio.sleep(number * interval_secs)
        return await act(f"{prefix}{number}")

    told = await asyncio.gather(*(later(number) for number in range(count)))
    return {f"{prefix}{number}": amount for number, amount in enumerate(told)}


@pytest.mark.parametrize("seed", [1])
async def test_every_order_is_executed_once_or_reported_as_not_executed(seed: int) -> None:
    """Half of the requests meet a fault; both fates occur."""
    fates = await soak(seed, count=24)
    assert set(fates) == {"executed", "not executed"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 12))
async def test_many_orders_are_executed_once_or_reported_as_not_executed(seed: int) -> None:
    """The same for longer, under other dice."""
    fates = await soak(seed, count=200)
    assert set(fates) == {"executed", "not executed"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20])
async def test_orders_and_money_under_rate_limits_are_each_executed_once_or_reported_as_not_executed(
    seed: int,
) -> None:
    """Orders, transfers both ways and withdrawals side by side, as fast as OKX lets them: no limit is passed."""
    config = SimulatorConfig(
        trading_btc=Decimal(100), funding_btc=Decimal(10), seed=seed, rate_limits=True, transfer_ms=300
    )
    async with OkxSimulator(config) as simulator, client_of(simulator) as okx:
        await okx.server_time()
        for path, faults in (
            ("trade/order", [fault for fault in OF_ORDERS if fault != AnswerStatus(429, "50011")]),
            ("asset/transfer", OF_MOVEMENTS),
            ("asset/withdrawal", OF_MOVEMENTS),
        ):
            trouble(simulator, path, faults)
        trouble_questions(simulator)
        funding, trading = AccountKind.FUNDING, AccountKind.TRADING
        orders, moved_in, moved_out, paid = await asyncio.gather(
            at_intervals(lambda name: place(okx, name), "order", 50, 0.1),
            at_intervals(lambda name: transfer(okx, name, funding, trading), "in", 5, 1.2),
            at_intervals(lambda name: transfer(okx, name, trading, funding), "out", 5, 1.2),
            at_intervals(lambda name: withdraw(okx, name), "paid", 12, 0.5),
        )
        await asyncio.sleep(LATE_MS / 1000)

    executed: dict[str, list[Decimal]] = {}
    for one in simulator.exchange.wallet.transfers.values():
        executed.setdefault(one.request.client_id, []).append(one.request.amount_btc)
    for other in simulator.exchange.wallet.withdrawals.values():
        executed.setdefault(other.request.client_id, []).append(other.request.amount_btc)
    assert set(fates_of(executed_orders(simulator), orders)) == {"executed", "not executed"}
    fates = fates_of(executed, moved_in | moved_out | paid)
    assert set(fates) == {"executed", "not executed"}
    assert executed.keys() <= moved_in.keys() | moved_out.keys() | paid.keys()
    fees_btc = sum(1 for amount in paid.values() if amount) * Decimal("0.00005")
    held_btc = 10 - sum(moved_in.values()) + sum(moved_out.values()) - sum(paid.values()) - fees_btc
    assert simulator.exchange.funding_btc == held_btc
    assert simulator.refusals["50011"] == 0

"""Many orders on an exchange that does everything wrong: each is executed once, or not at all, and we know which."""

import asyncio
from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest

from stablesats.okx import (
    OkxClient,
    OkxCredentials,
    OkxError,
    OkxOutcomeUnknownError,
    OrderSide,
    ReadRetry,
)
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


async def soak(seed: int, count: int) -> Counter[str]:
    """Place *count* orders, compare what we were told with what the exchange did, and count the fates."""
    config = SimulatorConfig(trading_btc=Decimal(100), seed=seed, rate_limits=False)
    credentials = OkxCredentials(
        api_key=config.api_key, secret_key=config.secret, passphrase=config.passphrase
    )
    retry = ReadRetry(attempts=10, deadline_secs=20, wait_initial_secs=0.05, wait_jitter_secs=0.05)
    async with (
        OkxSimulator(config) as simulator,
        OkxClient(
            base_url=simulator.base_url,
            credentials=credentials,
            request_timeout_secs=TIMEOUT_SECS,
            read_retry=retry,
        ) as okx,
    ):
        await okx.server_time()
        for fault in OF_ORDERS:
            simulator.faults.add_random("trade/order", fault, method="POST", probability=Decimal("0.06"))
        for fault in OF_QUESTIONS:
            simulator.faults.add_random("*", fault, method="GET", probability=Decimal("0.03"))
        names = [f"soak{number}" for number in range(count)]
        filled = await asyncio.gather(*(place(okx, name) for name in names))
        # Whatever was still on its way has arrived by now, or been dropped for its expiry.
        await asyncio.sleep(LATE_MS / 1000)

    executed: dict[str, list[Decimal]] = {name: [] for name in names}
    for order in simulator.exchange.orders:
        executed[order.ticket.client_order_id].append(order.filled_contracts)
    fates: Counter[str] = Counter()
    for name, told in zip(names, filled, strict=True):
        assert len(executed[name]) <= 1, f"{name} was executed {len(executed[name])} times"
        assert sum(executed[name]) == told, f"{name}: {executed[name]} executed, {told} told"
        fates["executed" if executed[name] else "not executed"] += 1
    return fates


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

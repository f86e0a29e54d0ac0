"""The client against the simulated exchange, over real HTTP: the whole of what the dealer does with OKX."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from stablesats.okx import (
    InsufficientMarginError,
    OkxAuthenticationError,
    OkxClient,
    OkxCredentials,
    OkxOutcomeUnknownError,
    OkxUnreachableError,
    OrderExpiredError,
    OrderNotFoundError,
    OrderNotPendingError,
    OrderSide,
    OrderSizeError,
    OrderState,
    Position,
    ReadRetry,
    TradingBalance,
    UnknownInstrumentError,
)
from stablesats.okx_simulator import (
    DelayAnswer,
    DelayRequest,
    DropAfter,
    DropBefore,
    HideOrder,
    NotJson,
    OkxSimulator,
    SimulatorConfig,
)

SWAP = "BTC-USD-SWAP"
CONFIG = SimulatorConfig(price_usd=Decimal(50_000), trading_btc=Decimal("0.2"), lever=Decimal(2))
CREDENTIALS = OkxCredentials(api_key=CONFIG.api_key, secret_key=CONFIG.secret, passphrase=CONFIG.passphrase)
RETRY = ReadRetry(attempts=4, wait_initial_secs=0.05, wait_jitter_secs=0.05)


@pytest.fixture
async def simulator() -> AsyncIterator[OkxSimulator]:
    """0.2 BTC at 2x leverage, bitcoin at 50,000 USD."""
    async with OkxSimulator(CONFIG) as running:
        yield running


@pytest.fixture
async def okx(simulator: OkxSimulator) -> AsyncIterator[OkxClient]:
    async with OkxClient(base_url=simulator.base_url, credentials=CREDENTIALS, read_retry=RETRY) as client:
        yield client


async def settled(client: OkxClient, client_order_id: str) -> OrderState:
    """Ask until the order is final."""
    async with asyncio.timeout(30):
        while True:
            order = await client.order(SWAP, client_order_id)
            if order.state.is_final:
                return order.state
            await asyncio.sleep(0.02)


async def test_clock_and_account(okx: OkxClient) -> None:
    """What the engine checks before it starts."""
    assert abs(await okx.server_time() - datetime.now(UTC)) < timedelta(seconds=30)
    config = await okx.account_config()
    assert config.is_futures_mode
    assert config.is_net_mode
    assert await okx.leverage(SWAP) == 2


async def test_instrument(okx: OkxClient) -> None:
    """One contract is 100 USD; lots are a tenth of a contract."""
    instrument = await okx.instrument(SWAP)
    assert (instrument.inst_id, instrument.is_live) == (SWAP, True)
    assert (instrument.contract_value_usd, instrument.lot_contracts, instrument.min_contracts) == (
        Decimal(100),
        Decimal("0.1"),
        Decimal("0.1"),
    )
    assert instrument.max_market_contracts == 49_000


async def test_an_instrument_that_does_not_exist(okx: OkxClient) -> None:
    """Named as such, for its rules and for its price."""
    for asked in (okx.instrument("DOGE-USD-SWAP"), okx.ticker("DOGE-USD-SWAP")):
        with pytest.raises(UnknownInstrumentError):
            await asked


async def test_ticker(okx: OkxClient) -> None:
    """Last, bid and ask, and when."""
    ticker = await okx.ticker(SWAP)
    assert ticker.last_usd == 50_000
    assert ticker.bid_usd is not None
    assert ticker.ask_usd is not None
    assert ticker.bid_usd <= ticker.ask_usd
    assert abs(ticker.at - datetime.now(UTC)) < timedelta(seconds=30)


async def test_an_account_that_holds_nothing() -> None:
    """No bitcoin and no position are zeros that OKX told us, not the lack of an answer."""
    config = SimulatorConfig(trading_btc=Decimal(0))
    async with (
        OkxSimulator(config) as simulator,
        OkxClient(base_url=simulator.base_url, credentials=CREDENTIALS) as okx,
    ):
        assert await okx.trading_balance() == TradingBalance.empty()
        assert await okx.position(SWAP) == Position.flat(SWAP)


async def test_opening_a_short_and_closing_it(okx: OkxClient, soon: datetime) -> None:
    """Sell 100 contracts at 50,000: the worked example of OKX's inverse contract, and back to flat.

    Fee 0.0005 * 10,000 / 50,000 = 0.0001 BTC; initial margin 10,000 / (50,000 * 2) = 0.1 BTC.
    """
    ack = await okx.place_market_order(SWAP, OrderSide.SELL, 100, "open1", expires_at=soon)
    assert ack.client_order_id == "open1"
    assert await settled(okx, "open1") is OrderState.FILLED

    order = await okx.order(SWAP, "open1")
    assert (order.order_id, order.side, order.size_contracts, order.filled_contracts) == (
        ack.order_id,
        OrderSide.SELL,
        100,
        100,
    )
    assert (order.average_price_usd, order.fee_btc) == (50_000, Decimal("-0.0001"))
    assert order.created_at <= order.updated_at

    position = await okx.position(SWAP)
    assert (position.size_contracts, position.average_price_usd, position.mark_price_usd) == (
        -100,
        50_000,
        50_000,
    )
    assert position.signed_exposure_cents(Decimal(100)) == -1_000_000
    assert position.unrealized_pnl_btc == 0
    assert position.margin_ratio is not None

    balance = await okx.trading_balance()
    assert (balance.cash_btc, balance.equity_btc, balance.available_equity_btc) == (
        Decimal("0.1999"),
        Decimal("0.1999"),
        Decimal("0.0999"),
    )

    assert await okx.close_position(SWAP, "close1") is True
    assert await settled(okx, "close1") is OrderState.FILLED
    closed = await okx.position(SWAP)
    assert (closed.is_flat, closed.average_price_usd) == (True, None)
    assert await okx.close_position(SWAP, "close2") is False


async def test_fractions_of_a_contract(okx: OkxClient, soon: datetime) -> None:
    """A lot is a tenth of a contract, 10 USD."""
    await okx.place_market_order(SWAP, OrderSide.SELL, Decimal("0.30"), "a1", expires_at=soon)
    assert await settled(okx, "a1") is OrderState.FILLED
    assert (await okx.position(SWAP)).signed_exposure_cents(Decimal(100)) == -3_000


async def test_reduce_only_does_not_flip_the_position(okx: OkxClient, soon: datetime) -> None:
    """Buying back more than the short leaves it flat."""
    await okx.place_market_order(SWAP, OrderSide.SELL, 10, "a1", expires_at=soon)
    await okx.place_market_order(SWAP, OrderSide.BUY, 25, "a2", expires_at=soon, reduce_only=True)
    assert await settled(okx, "a2") in {OrderState.FILLED, OrderState.CANCELED}
    assert (await okx.order(SWAP, "a2")).filled_contracts == 10
    assert (await okx.position(SWAP)).is_flat


@pytest.mark.parametrize(
    ("size", "error"),
    [
        (Decimal("0.05"), OrderSizeError),  # below the minimum of 0.1
        (Decimal("0.15"), OrderSizeError),  # off the lot of 0.1
        (49_001, OrderSizeError),  # above the maximum of a market order
        (1_000, InsufficientMarginError),  # 1 BTC of margin at 2x, with 0.2 in the account
    ],
)
async def test_an_order_outside_its_bounds_is_refused(
    simulator: OkxSimulator, okx: OkxClient, soon: datetime, size: Decimal | int, error: type
) -> None:
    """A typed refusal, and nothing has changed on the exchange."""
    with pytest.raises(error):
        await okx.place_market_order(SWAP, OrderSide.SELL, size, "a1", expires_at=soon)
    assert (await okx.position(SWAP)).is_flat
    with pytest.raises(OrderNotFoundError):
        await okx.order(SWAP, "a1")


async def test_an_order_that_is_filled_cannot_be_cancelled(okx: OkxClient, soon: datetime) -> None:
    """Nor one that never was."""
    await okx.place_market_order(SWAP, OrderSide.SELL, 1, "a1", expires_at=soon)
    assert await settled(okx, "a1") is OrderState.FILLED
    for client_order_id in ("a1", "never"):
        with pytest.raises(OrderNotPendingError):
            await okx.cancel_order(SWAP, client_order_id)


async def test_an_order_still_resting_can_be_cancelled(soon: datetime) -> None:
    """Accepted is not yet cancelled: the query tells."""
    config = SimulatorConfig(fill_delay_ms=300_000)
    async with (
        OkxSimulator(config) as simulator,
        OkxClient(base_url=simulator.base_url, credentials=CREDENTIALS) as okx,
    ):
        await okx.place_market_order(SWAP, OrderSide.SELL, 1, "a1", expires_at=soon)
        resting = await okx.order(SWAP, "a1")
        assert (resting.state, resting.average_price_usd, resting.fee_btc) == (OrderState.LIVE, None, 0)
        ack = await okx.cancel_order(SWAP, "a1")
        assert ack.order_id == resting.order_id
        assert await settled(okx, "a1") is OrderState.CANCELED


@pytest.mark.parametrize("wrong", ["api_key", "secret_key", "passphrase"])
async def test_wrong_credentials(simulator: OkxSimulator, wrong: str) -> None:
    """Whichever of the three is wrong."""
    values = {"api_key": CONFIG.api_key, "secret_key": CONFIG.secret, "passphrase": CONFIG.passphrase}
    credentials = OkxCredentials(**(values | {wrong: "wrong"}))
    async with OkxClient(base_url=simulator.base_url, credentials=credentials) as okx:
        with pytest.raises(OkxAuthenticationError):
            await okx.account_config()


@pytest.mark.parametrize("skew", [timedelta(hours=1), timedelta(hours=-1)])
async def test_a_clock_that_is_off_by_an_hour(simulator: OkxSimulator, skew: timedelta) -> None:
    """Corrected from the exchange's time before the first signature, and before the first expiry."""
    async with OkxClient(
        base_url=simulator.base_url, credentials=CREDENTIALS, now=lambda: datetime.now(UTC) + skew
    ) as okx:
        assert (await okx.position(SWAP)).is_flat
        expires_at = okx.exchange_now() + timedelta(seconds=30)
        ack = await okx.place_market_order(SWAP, OrderSide.SELL, 1, "a1", expires_at=expires_at)
        assert ack.client_order_id == "a1"


async def test_an_order_that_arrives_late_is_dropped_by_the_exchange(
    simulator: OkxSimulator, okx: OkxClient
) -> None:
    """Held up on its way past its expiry: refused, and provably never executed."""
    await okx.server_time()
    expires_at = datetime.now(UTC) + timedelta(milliseconds=400)
    simulator.faults.add("trade/order", DelayRequest(1_000), method="POST")
    with pytest.raises(OrderExpiredError) as expired:
        await okx.place_market_order(SWAP, OrderSide.SELL, 1, "a1", expires_at=expires_at)
    assert expired.value.code in {"50036", "50037"}
    assert await okx.server_time() > expires_at
    with pytest.raises(OrderNotFoundError):
        await okx.order(SWAP, "a1")
    assert (await okx.position(SWAP)).is_flat


@pytest.mark.parametrize("fault", [DropBefore(), DropAfter(), NotJson()])
async def test_an_unknown_outcome_is_settled_by_query(
    simulator: OkxSimulator, okx: OkxClient, soon: datetime, fault: object
) -> None:
    """Executed or not, the error is the same, one request was sent, and the query tells which it was."""
    simulator.faults.add("trade/order", fault, method="POST")
    with pytest.raises(OkxOutcomeUnknownError):
        await okx.place_market_order(SWAP, OrderSide.SELL, 10, "a1", expires_at=soon)
    if isinstance(fault, DropAfter):
        assert await settled(okx, "a1") is OrderState.FILLED
        assert (await okx.position(SWAP)).size_contracts == -10
    else:
        with pytest.raises(OrderNotFoundError):
            await okx.order(SWAP, "a1")
        assert (await okx.position(SWAP)).is_flat
    assert simulator.exchange.order_count == isinstance(fault, DropAfter)


async def test_an_answer_that_comes_too_late_leaves_the_order_unknown(
    simulator: OkxSimulator, soon: datetime
) -> None:
    """It was executed, as the query shows."""
    simulator.faults.add("trade/order", DelayAnswer(5_000), method="POST")
    async with OkxClient(
        base_url=simulator.base_url, credentials=CREDENTIALS, request_timeout_secs=1.5, read_retry=RETRY
    ) as okx:
        with pytest.raises(OkxOutcomeUnknownError):
            await okx.place_market_order(SWAP, OrderSide.SELL, 10, "a1", expires_at=soon)
        assert await settled(okx, "a1") is OrderState.FILLED


async def test_an_order_may_be_hidden_for_a_while(
    simulator: OkxSimulator, okx: OkxClient, soon: datetime
) -> None:
    """Accepted, and yet "does not exist" at first: not found proves nothing before the expiry."""
    simulator.faults.add("trade/order", HideOrder(500), method="POST")
    await okx.place_market_order(SWAP, OrderSide.SELL, 10, "a1", expires_at=soon)
    with pytest.raises(OrderNotFoundError):
        await okx.order(SWAP, "a1")
    async with asyncio.timeout(30):
        while True:
            try:
                assert (await okx.order(SWAP, "a1")).filled_contracts == 10
            except OrderNotFoundError:
                await asyncio.sleep(0.05)
            else:
                break


@pytest.mark.parametrize("fault", [DropBefore(), NotJson()])
async def test_reads_survive_a_bad_moment(simulator: OkxSimulator, okx: OkxClient, fault: object) -> None:
    """Two faults in a row are not worth an error."""
    simulator.faults.add("account/positions", fault, count=2)
    assert (await okx.position(SWAP)).is_flat


async def test_the_limits_of_the_exchange_are_kept(simulator: OkxSimulator, okx: OkxClient) -> None:
    """A burst of polls waits at our door and never meets OKX's refusal."""
    await asyncio.gather(*(okx.position(SWAP) for _ in range(15)), *(okx.ticker(SWAP) for _ in range(15)))
    assert simulator.refusals == {}


async def test_many_orders_at_once_are_each_executed_once(
    simulator: OkxSimulator, okx: OkxClient, soon: datetime
) -> None:
    """More than a burst, from as many tasks, through one client."""
    ids = [f"order{number}" for number in range(30)]
    await asyncio.gather(
        *(okx.place_market_order(SWAP, OrderSide.SELL, Decimal("0.1"), name, expires_at=soon) for name in ids)
    )
    assert (await okx.position(SWAP)).size_contracts == -3
    assert simulator.exchange.order_count == len(ids)
    assert simulator.refusals == {}


async def test_an_exchange_that_left_and_came_back(
    simulator: OkxSimulator, okx: OkxClient, soon: datetime
) -> None:
    """Away: not sent, for certain once no old connection is left to try. Back: the same client goes on."""
    await okx.position(SWAP)
    await simulator.stop()
    with pytest.raises((OkxUnreachableError, OkxOutcomeUnknownError)):
        await okx.place_market_order(SWAP, OrderSide.SELL, 1, "a1", expires_at=soon)
    with pytest.raises(OkxUnreachableError):
        await okx.place_market_order(SWAP, OrderSide.SELL, 1, "a2", expires_at=soon)
    await simulator.start()
    await okx.place_market_order(SWAP, OrderSide.SELL, 1, "a3", expires_at=soon)
    assert await settled(okx, "a3") is OrderState.FILLED
    assert (await okx.position(SWAP)).size_contracts == -1

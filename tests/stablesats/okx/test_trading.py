"""Orders of every type, batches and lists, against a scripted exchange."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from stablesats.okx import (
    InsufficientMarginError,
    NewOrder,
    OkxAuthenticationError,
    OkxClient,
    OkxInvalidRequestError,
    OkxOutcomeUnknownError,
    OkxProtocolError,
    OrderAck,
    OrderSide,
    OrderState,
    OrderType,
    Page,
)

SWAP = "BTC-USD-SWAP"
PLACE = "POST /api/v5/trade/order"
BATCH = "POST /api/v5/trade/batch-orders"
PENDING = "GET /api/v5/trade/orders-pending"
FILL = {
    "instId": SWAP,
    "tradeId": "11",
    "ordId": "1928374655647382910",
    "clOrdId": "a1",
    "billId": "21",
    "fillPx": "50000.1",
    "fillSz": "10",
    "side": "sell",
    "execType": "T",
    "fee": "-0.00001",
    "feeCcy": "BTC",
    "fillPnl": "",
    "ts": "1704876947123",
}


def limit(client_order_id: str) -> NewOrder:
    return NewOrder(
        side=OrderSide.BUY,
        size_contracts=1,
        client_order_id=client_order_id,
        order_type=OrderType.LIMIT,
        limit_price_usd=Decimal("49000.5"),
    )


async def test_a_limit_order(exchange, client: OkxClient, soon: datetime) -> None:
    """Its price and its type are sent, and its expiry."""
    exchange.rows(PLACE, {"ordId": "1", "clOrdId": "a1", "sCode": "0", "sMsg": ""})
    assert (await client.place_order(SWAP, limit("a1"), expires_at=soon)).order_id == "1"
    sent = json.loads(exchange.received[-1].body)
    assert (sent["ordType"], sent["px"], sent["sz"]) == ("limit", "49000.5", "1")
    assert "expTime" in exchange.received[-1].headers


async def test_a_batch_of_which_some_are_accepted(exchange, client: OkxClient, soon: datetime) -> None:
    """One request, and each order has its outcome."""
    exchange.rows(
        BATCH,
        {"ordId": "1", "clOrdId": "a1", "sCode": "0", "sMsg": ""},
        {"ordId": "", "clOrdId": "a2", "sCode": "51008", "sMsg": "Insufficient margin"},
        code="2",
        msg="Bulk operation partially succeeded.",
    )
    outcomes = await client.place_orders(SWAP, [limit("a1"), limit("a2")], expires_at=soon)
    assert outcomes["a1"] == OrderAck(order_id="1", client_order_id="a1")
    assert isinstance(outcomes["a2"], InsufficientMarginError)
    assert exchange.times_asked(BATCH) == 1


async def test_a_batch_without_an_answer_is_unknown_and_never_sent_again(
    exchange, client: OkxClient, soon: datetime
) -> None:
    """Under all its ids."""
    exchange.drop(BATCH)
    with pytest.raises(OkxOutcomeUnknownError) as unknown:
        await client.place_orders(SWAP, [limit("a1"), limit("a2")], expires_at=soon)
    assert unknown.value.client_order_id == "a1,a2"
    assert exchange.times_asked(BATCH) == 1


async def test_an_order_by_okxs_own_id(exchange, client: OkxClient, order_row) -> None:
    """For one that has no id of ours; another order is an error."""
    exchange.rows("GET /api/v5/trade/order", order_row(clOrdId=""))
    assert (await client.order_by_id(SWAP, "1928374655647382910")).client_order_id == ""
    assert exchange.received[-1].target == "/api/v5/trade/order?instId=BTC-USD-SWAP&ordId=1928374655647382910"
    with pytest.raises(OkxProtocolError, match="asked for order 7"):
        await client.order_by_id(SWAP, "7")
    with pytest.raises(OkxInvalidRequestError, match="digits"):
        await client.order_by_id(SWAP, "a1")


async def test_lists_of_orders(exchange, client: OkxClient, order_row) -> None:
    """Newest first as OKX has it; a limit order shows its price."""
    live = order_row(state="live", accFillSz="0", avgPx="", fee="", ordType="limit", px="49000.5")
    exchange.rows(PENDING, live)
    exchange.rows("GET /api/v5/trade/orders-history", order_row(category="full_liquidation"))
    exchange.rows("GET /api/v5/trade/orders-history-archive")
    (pending,) = await client.pending_orders(SWAP)
    assert (pending.order_type, pending.limit_price_usd, pending.state) == (
        "limit",
        Decimal("49000.5"),
        OrderState.LIVE,
    )
    (past,) = await client.order_history(SWAP, Page(limit=1))
    assert (past.category, past.limit_price_usd, past.reduce_only) == ("full_liquidation", None, False)
    assert await client.order_history(SWAP, archive=True) == []


async def test_a_malformed_order_in_a_list_is_an_error(exchange, client: OkxClient, order_row) -> None:
    """Left out, it would be an order that nobody knows of."""
    exchange.rows(PENDING, order_row(), order_row(sz=""))
    with pytest.raises(OkxProtocolError, match="sz"):
        await client.pending_orders(SWAP)


@pytest.mark.parametrize(
    ("endpoint", "archive"),
    [
        (PENDING, None),
        ("GET /api/v5/trade/orders-history", False),
        ("GET /api/v5/trade/orders-history-archive", True),
    ],
)
async def test_an_unknown_state_in_a_list_raises_an_alarm(
    exchange, client: OkxClient, order_row, endpoint: str, archive: bool | None
) -> None:
    """The order counts as pending, wherever it is met."""
    exchange.rows(endpoint, order_row(state="frozen"), order_row(clOrdId="a2", state="live"))
    with capture_logs() as logs:
        if archive is None:
            orders = await client.pending_orders(SWAP)
        else:
            orders = await client.order_history(SWAP, archive=archive)
    assert [order.state for order in orders] == [OrderState.UNKNOWN, OrderState.LIVE]
    assert [(line["action"], line["client_order_id"], line["states"]) for line in logs] == [
        ("okx-order-state-unknown", "a1", ["frozen"])
    ]


async def test_fills(exchange, client: OkxClient) -> None:
    """Each trade by itself, with its fee."""
    exchange.rows("GET /api/v5/trade/fills", FILL)
    exchange.rows("GET /api/v5/trade/fills-history", {**FILL, "execType": "M", "fillPnl": "0.5"})
    (fill,) = await client.fills(SWAP, order_id=FILL["ordId"])
    assert (fill.trade_id, fill.price_usd, fill.fee_btc, fill.is_maker, fill.profit_btc) == (
        "11",
        Decimal("50000.1"),
        Decimal("-0.00001"),
        False,
        None,
    )
    (past,) = await client.fills(SWAP, archive=True)
    assert (past.is_maker, past.profit_btc) == (True, Decimal("0.5"))


@pytest.mark.parametrize(
    ("field", "value"), [("fee", ""), ("feeCcy", "USDT"), ("fillSz", "0"), ("fillPx", "")]
)
async def test_a_fill_with_a_wrong_number_is_an_error(
    exchange, client: OkxClient, field: str, value: str
) -> None:
    """Fees and prices go into the books."""
    exchange.rows("GET /api/v5/trade/fills", {**FILL, field: value})
    with pytest.raises(OkxProtocolError):
        await client.fills(SWAP)


DETAILS = "GET /api/v5/trade/order"
TIME = "GET /api/v5/public/time"


async def test_an_order_that_turns_up_is_settled(
    exchange, client: OkxClient, soon: datetime, order_row
) -> None:
    """OKX denies it for a moment; before the expiry that proves nothing."""
    exchange.rows(DETAILS, code="51603", msg="Order does not exist.")
    exchange.rows(DETAILS, order_row())
    order = await client.settle_order(SWAP, "a1", expires_at=soon, poll_secs=0.01)
    assert order is not None
    assert order.state is OrderState.FILLED
    assert exchange.times_asked(DETAILS) == 2


async def test_an_order_is_given_up_only_after_its_expiry_and_a_grace(
    exchange, credentials, fast_retry
) -> None:
    """By OKX's clock, read before the question: 9 and 10 s after the expiry it is too early, at 11 s it is not."""
    expires_at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    clock = [expires_at + timedelta(seconds=9)]

    async def deny(_request: web.Request) -> web.Response:
        clock.append(clock[-1] + timedelta(seconds=1))
        return web.json_response({"code": "51603", "msg": "Order does not exist.", "data": []})

    async def tell_time(_request: web.Request) -> web.Response:
        at_ms = str(int(clock[-1].timestamp() * 1000))
        return web.json_response({"code": "0", "msg": "", "data": [{"ts": at_ms}]})

    exchange.handler(DETAILS, deny)
    exchange.handler(TIME, tell_time)
    async with OkxClient(
        base_url=exchange.url, credentials=credentials, read_retry=fast_retry, now=lambda: clock[-1]
    ) as client:
        assert await client.settle_order(SWAP, "a1", expires_at=expires_at, poll_secs=0.01) is None
    # The clock is measured for the signature, and read again for the proof.
    assert [request.endpoint for request in exchange.received] == [TIME, DETAILS, DETAILS, TIME, DETAILS]


async def test_trouble_while_settling_is_not_taken_for_an_answer(
    exchange, client: OkxClient, soon: datetime
) -> None:
    """Nothing is certain then; the caller asks again."""
    exchange.rows(DETAILS, code="50111", msg="Invalid OK-ACCESS-KEY", status=401)
    with pytest.raises(OkxAuthenticationError):
        await client.settle_order(SWAP, "a1", expires_at=soon)

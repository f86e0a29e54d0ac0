"""The requests, byte by byte."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx import NewOrder, OkxInvalidRequestError, OrderSide, OrderType, Page, calls

SWAP = "BTC-USD-SWAP"
REDUCING_BUY = (
    '{"instId":"BTC-USD-SWAP","tdMode":"cross","side":"buy","ordType":"market","sz":"2.5",'
    '"reduceOnly":true,"clOrdId":"a1"}'
)
EXPIRY = datetime(2026, 1, 1, 12, 0, 0, 1_999, UTC)


@pytest.mark.parametrize(
    ("call", "method", "target"),
    [
        (calls.server_time(), "GET", "/api/v5/public/time"),
        (calls.instrument(SWAP), "GET", "/api/v5/public/instruments?instId=BTC-USD-SWAP&instType=SWAP"),
        (calls.ticker(SWAP), "GET", "/api/v5/market/ticker?instId=BTC-USD-SWAP"),
        (calls.account_config(), "GET", "/api/v5/account/config"),
        (calls.leverage(SWAP), "GET", "/api/v5/account/leverage-info?instId=BTC-USD-SWAP&mgnMode=cross"),
        (calls.balance("BTC"), "GET", "/api/v5/account/balance?ccy=BTC"),
        (calls.positions(SWAP), "GET", "/api/v5/account/positions?instId=BTC-USD-SWAP"),
        (calls.tickers(), "GET", "/api/v5/market/tickers?instType=SWAP"),
        (calls.order_book(SWAP, 5), "GET", "/api/v5/market/books?instId=BTC-USD-SWAP&sz=5"),
        (calls.mark_price(SWAP), "GET", "/api/v5/public/mark-price?instId=BTC-USD-SWAP&instType=SWAP"),
        (calls.funding_rate(SWAP), "GET", "/api/v5/public/funding-rate?instId=BTC-USD-SWAP"),
        (calls.system_status(), "GET", "/api/v5/system/status"),
        (calls.max_size(SWAP), "GET", "/api/v5/account/max-size?instId=BTC-USD-SWAP&tdMode=cross"),
        (calls.max_withdrawal("BTC"), "GET", "/api/v5/account/max-withdrawal?ccy=BTC"),
        (
            calls.trade_fees("BTC-USD"),
            "GET",
            "/api/v5/account/trade-fee?instType=SWAP&instFamily=BTC-USD",
        ),
        (
            calls.bills("BTC", "8", Page(older_than="77", limit=2)),
            "GET",
            "/api/v5/account/bills?ccy=BTC&type=8&after=77&limit=2",
        ),
        (calls.bills("BTC", "", archive=True), "GET", "/api/v5/account/bills-archive?ccy=BTC&limit=100"),
        (
            calls.pending_orders(SWAP),
            "GET",
            "/api/v5/trade/orders-pending?instId=BTC-USD-SWAP&instType=SWAP&limit=100",
        ),
        (
            calls.order_history(SWAP, Page(since=EXPIRY)),
            "GET",
            "/api/v5/trade/orders-history?instId=BTC-USD-SWAP&instType=SWAP&begin=1767268800001&limit=100",
        ),
        (
            calls.order_history(SWAP, archive=True),
            "GET",
            "/api/v5/trade/orders-history-archive?instId=BTC-USD-SWAP&instType=SWAP&limit=100",
        ),
        (
            calls.fills(SWAP, order_id="9"),
            "GET",
            "/api/v5/trade/fills?instId=BTC-USD-SWAP&instType=SWAP&ordId=9&limit=100",
        ),
        (
            calls.fills(SWAP, archive=True),
            "GET",
            "/api/v5/trade/fills-history?instId=BTC-USD-SWAP&instType=SWAP&limit=100",
        ),
        (calls.order_details(SWAP, "a1"), "GET", "/api/v5/trade/order?instId=BTC-USD-SWAP&clOrdId=a1"),
    ],
)
def test_a_read_is_a_path_and_a_query(call: calls.Call, method: str, target: str) -> None:
    """The target is what is signed and sent; a GET has no body."""
    assert (call.endpoint.method, call.request_target, call.body) == (method, target, "")


@pytest.mark.parametrize(
    ("call", "path", "body"),
    [
        (
            calls.market_order(SWAP, OrderSide.SELL, 10, "a1", expires_at=EXPIRY),
            "/api/v5/trade/order",
            '{"instId":"BTC-USD-SWAP","tdMode":"cross","side":"sell","ordType":"market","sz":"10","clOrdId":"a1"}',
        ),
        (
            calls.market_order(
                SWAP, OrderSide.BUY, Decimal("2.50"), "a1", expires_at=EXPIRY, reduce_only=True
            ),
            "/api/v5/trade/order",
            REDUCING_BUY,
        ),
        (
            calls.cancel_order(SWAP, "a1"),
            "/api/v5/trade/cancel-order",
            '{"instId":"BTC-USD-SWAP","clOrdId":"a1"}',
        ),
        (
            calls.close_position(SWAP, "a1"),
            "/api/v5/trade/close-position",
            '{"instId":"BTC-USD-SWAP","mgnMode":"cross","clOrdId":"a1"}',
        ),
    ],
)
def test_a_write_is_a_path_and_a_body(call: calls.Call, path: str, body: str) -> None:
    """Our order id is in every write, so that every outcome can be asked for."""
    assert (call.endpoint.method, call.request_target, call.body) == ("POST", path, body)
    assert (call.client_order_id, call.inst_id) == ("a1", SWAP)


def test_a_setting_is_a_path_and_a_body() -> None:
    """Leverage as text, net mode by OKX's name."""
    assert calls.set_leverage(SWAP, 2).body == '{"instId":"BTC-USD-SWAP","lever":"2","mgnMode":"cross"}'
    assert calls.set_net_mode().body == '{"posMode":"net_mode"}'


def test_a_limit_order_says_its_price() -> None:
    """Plain notation, like the size."""
    order = NewOrder(
        side=OrderSide.BUY,
        size_contracts=1,
        client_order_id="a1",
        order_type=OrderType.POST_ONLY,
        limit_price_usd=Decimal("5E+4"),
    )
    call = calls.new_order(SWAP, order, expires_at=EXPIRY)
    assert call.body == (
        '{"instId":"BTC-USD-SWAP","tdMode":"cross","side":"buy","ordType":"post_only","sz":"1",'
        '"px":"50000","clOrdId":"a1"}'
    )


def market(client_order_id: str) -> NewOrder:
    return NewOrder(side=OrderSide.SELL, size_contracts=1, client_order_id=client_order_id)


def test_a_batch_is_a_list_of_orders() -> None:
    """It counts as so many orders, and its outcome is unknown under all their ids."""
    call = calls.batch_orders(SWAP, [market("a1"), market("a2")], expires_at=EXPIRY)
    assert [order["clOrdId"] for order in json.loads(call.body)] == ["a1", "a2"]
    assert (call.request_target, call.cost, call.client_order_id, call.inst_id) == (
        "/api/v5/trade/batch-orders",
        2,
        "a1,a2",
        SWAP,
    )
    assert call.expires_at_ms is not None


@pytest.mark.parametrize(
    ("orders", "match"),
    [
        ([], "1 to 20 orders, found 0"),
        ([market(f"a{n}") for n in range(21)], "1 to 20 orders, found 21"),
        ([market("a1"), market("a1")], "the same client order id"),
        ([market("a1"), market("a-2")], "not 1 to 32 letters"),
    ],
)
def test_a_batch_that_okx_would_turn_away_is_never_sent(orders: list[NewOrder], match: str) -> None:
    """Twenty at most, every id its own."""
    with pytest.raises(OkxInvalidRequestError, match=match):
        calls.batch_orders(SWAP, orders, expires_at=EXPIRY)


@pytest.mark.parametrize(
    "make",
    [
        lambda: calls.order_book(SWAP, 0),
        lambda: calls.order_book(SWAP, 401),
        lambda: calls.set_leverage(SWAP, 0),
        lambda: calls.set_leverage(SWAP, 2.5),
        lambda: calls.trade_fees("BTC"),
        lambda: calls.bills("BTC", "8&x=1"),
        lambda: calls.fills(SWAP, order_id="a1"),
    ],
)
def test_an_argument_out_of_its_bounds_is_never_sent(make) -> None:
    """An error in our own words, not an answer to interpret."""
    with pytest.raises(OkxInvalidRequestError):
        make()


def test_expiry_is_milliseconds_rounded_down() -> None:
    """The order must not live longer than asked for: 1.999 ms past noon is 1 ms past noon."""
    noon_ms = 1_767_268_800_000
    call = calls.market_order(SWAP, OrderSide.SELL, 1, "a1", expires_at=EXPIRY)
    assert call.expires_at_ms == noon_ms + 1
    assert calls.close_position(SWAP, "a1").expires_at_ms is None


@given(
    size=st.one_of(
        st.integers(min_value=1, max_value=10**9),
        st.decimals(min_value=Decimal("0.1"), max_value=Decimal(49_000), places=1),
    ),
    lived=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=1)),
)
def test_an_order_says_exactly_what_was_asked(size: Decimal | int, lived: timedelta) -> None:
    """The size in the body equals the size asked for, in plain notation; the expiry is never later."""
    call = calls.market_order(SWAP, OrderSide.SELL, size, "a1", expires_at=EXPIRY + lived)
    sent = json.loads(call.body)["sz"]
    assert re.fullmatch(r"[0-9]+(\.[0-9]*[1-9])?", sent)
    assert Decimal(sent) == size
    assert call.expires_at_ms is not None
    assert EXPIRY + lived - timedelta(milliseconds=1) < datetime.fromtimestamp(0, UTC) + timedelta(
        milliseconds=call.expires_at_ms
    )


@pytest.mark.parametrize(
    "client_order_id", ["", "a" * 33, "0b57-11", "a_b", "a b", "é", "1' or '1", "\u0663", "a\n"]
)
@pytest.mark.parametrize(
    "make",
    [
        calls.order_details,
        calls.cancel_order,
        calls.close_position,
        lambda inst_id, order_id: calls.market_order(inst_id, OrderSide.SELL, 1, order_id, expires_at=EXPIRY),
    ],
)
def test_a_malformed_client_order_id_is_never_sent(make: object, client_order_id: str) -> None:
    """OKX takes 1 to 32 letters and digits; a UUID needs its hyphens removed."""
    with pytest.raises(OkxInvalidRequestError, match="not 1 to 32 letters and digits"):
        make(SWAP, client_order_id)  # type: ignore[operator]


@pytest.mark.parametrize("client_order_id", ["a", "Z9", "f" * 32])
def test_the_longest_and_the_shortest_client_order_id_are_sent(client_order_id: str) -> None:
    """The bounds themselves are valid."""
    assert calls.order_details(SWAP, client_order_id).request_target.endswith(f"clOrdId={client_order_id}")


@pytest.mark.parametrize(
    "inst_id", ["", "btc-usd-swap", "BTC", "BTC-USD-SWAP&ccy=ETH", "BTC USD", "-", "BTC--USD"]
)
def test_a_malformed_instrument_id_is_never_sent(inst_id: str) -> None:
    """It would change the query, or be answered with every instrument there is."""
    with pytest.raises(OkxInvalidRequestError, match="not of the form BTC-USD-SWAP"):
        calls.positions(inst_id)


def test_an_expiry_without_zone_is_refused() -> None:
    """It could be hours off."""
    with pytest.raises(OkxInvalidRequestError, match="without a zone"):
        calls.market_order(SWAP, OrderSide.SELL, 1, "a1", expires_at=EXPIRY.replace(tzinfo=None))

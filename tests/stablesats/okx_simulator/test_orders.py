"""What a client may ask for, and how an order ends."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from stablesats.okx_simulator.accounts import Account, Fill
from stablesats.okx_simulator.instrument import BTC_USD_SWAP as SWAP
from stablesats.okx_simulator.market import Side
from stablesats.okx_simulator.orders import (
    CancelSource,
    Order,
    OrderState,
    OrderTicket,
    canceled,
    parse_ticket,
    tradable_contracts,
    with_fill,
)
from stablesats.okx_simulator.refusals import RefusalError

AT = datetime(2026, 9, 1, tzinfo=UTC)
PLAIN: dict[str, Any] = {
    "instId": "BTC-USD-SWAP",
    "tdMode": "cross",
    "side": "sell",
    "ordType": "market",
    "sz": "10",
}


def order_of(contracts: int, *, reduce_only: bool = False) -> Order:
    ticket = OrderTicket(
        inst_id="BTC-USD-SWAP",
        side=Side.BUY,
        contracts=Decimal(contracts),
        client_order_id="a",
        tag="",
        reduce_only=reduce_only,
    )
    return Order(
        order_id="1",
        ticket=ticket,
        state=OrderState.LIVE,
        lever=Decimal(5),
        created_at=AT,
        updated_at=AT,
    )


def fill_of(contracts: int, price_usd: int) -> Fill:
    return Fill(
        trade_id="1",
        bill_id="2",
        order_id="1",
        side=Side.BUY,
        contracts=Decimal(contracts),
        price_usd=Decimal(price_usd),
        fee_btc=Decimal("-0.001"),
        pnl_btc=Decimal("0.002"),
        at=AT,
    )


def test_empty_and_null_optional_fields_are_absent() -> None:
    """One client sends every optional field as an empty text, another sends null."""
    ticket = parse_ticket(
        PLAIN | {"clOrdId": "", "tag": None, "posSide": "", "reduceOnly": "", "px": ""}, SWAP
    )
    assert ticket == OrderTicket(
        inst_id="BTC-USD-SWAP",
        side=Side.SELL,
        contracts=Decimal(10),
        client_order_id="",
        tag="",
        reduce_only=False,
    )


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("true", True), (False, False), ("false", False)]
)
def test_reduce_only_is_a_boolean_or_its_text(value: object, expected: bool) -> None:
    """Clients send both."""
    assert parse_ticket(PLAIN | {"reduceOnly": value}, SWAP).reduce_only is expected


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"instId": ""}, "51000", "Parameter instId error"),
        ({"instId": "BTC-USDT-SWAP"}, "51001", "doesn't exist"),
        ({"tdMode": "isolated"}, "51010", "account mode"),
        ({"tdMode": "cash"}, "51000", "Parameter tdMode error"),
        ({"side": "short"}, "51000", "Parameter side error"),
        ({"ordType": "stop"}, "51000", "Parameter ordType error"),
        ({"ordType": "limit"}, "51204", "cannot be empty"),
        ({"ordType": "limit", "px": "abc"}, "51000", "Parameter px error"),
        ({"ordType": "limit", "px": "0"}, "51000", "Parameter px error"),
        ({"ordType": "limit", "px": "50000.05"}, "51000", "Parameter px error"),
        ({"ordType": "post_only", "px": "50000", "sz": "100000000.1"}, "51101", "100000000"),
        ({"sz": ""}, "51000", "Parameter sz error"),
        ({"sz": "0"}, "51000", "Parameter sz error"),
        ({"sz": "-1"}, "51000", "Parameter sz error"),
        ({"sz": "1e2"}, "51000", "Parameter sz error"),
        ({"sz": "NaN"}, "51000", "Parameter sz error"),
        ({"sz": "\u0661"}, "51000", "Parameter sz error"),
        ({"sz": ["10"]}, "51000", "Parameter sz error"),
        ({"sz": "0.05"}, "51020", "minimum order amount"),
        ({"sz": "0.15"}, "51121", "multiple of the lot size"),
        ({"sz": "49000.1"}, "51202", "maximum amount"),
        ({"posSide": "short"}, "51000", "Parameter posSide error"),
        ({"clOrdId": "with-hyphen"}, "51000", "Parameter clOrdId error"),
        ({"clOrdId": "a" * 33}, "51000", "Parameter clOrdId error"),
        ({"tag": "a" * 17}, "51000", "Parameter tag error"),
        ({"reduceOnly": "yes"}, "51000", "Parameter reduceOnly error"),
    ],
)
def test_malformed_order_is_refused_with_its_code(change: dict[str, Any], code: str, message: str) -> None:
    """Each field has its own code, found in the documented order."""
    with pytest.raises(RefusalError, match=message) as refused:
        parse_ticket(PLAIN | change, SWAP)
    assert refused.value.code == code


@pytest.mark.parametrize("size", ["0.1", "0.2", "49000", "10.0"])
def test_sizes_on_the_lot_and_inside_the_bounds_are_accepted(size: str) -> None:
    """The bounds themselves belong to the range."""
    assert parse_ticket(PLAIN | {"sz": size}, SWAP).contracts == Decimal(size)


@pytest.mark.parametrize("raw", [None, [], "order", 7])
def test_something_that_is_no_object_lacks_every_field(raw: object) -> None:
    """A batch may hold anything; the first missing field is named."""
    with pytest.raises(RefusalError, match="Parameter instId error"):
        parse_ticket(raw, SWAP)


def test_order_is_filled_once_nothing_remains() -> None:
    """Two fills: sums of fee and profit, harmonic mean of prices."""
    partly = with_fill(order_of(100), fill_of(50, 50_000))
    assert (partly.state, partly.remaining_contracts) == (OrderState.PARTIALLY_FILLED, 50)
    done = with_fill(partly, fill_of(50, 40_000))
    assert done.state is OrderState.FILLED
    assert done.average_price_usd is not None
    assert done.average_price_usd.quantize(Decimal("0.01")) == Decimal("44444.44")
    assert (done.fee_btc, done.pnl_btc) == (Decimal("-0.002"), Decimal("0.004"))


def test_cancelled_order_keeps_what_it_filled() -> None:
    """It says who ended it."""
    ended = canceled(with_fill(order_of(100), fill_of(40, 50_000)), CancelSource.SYSTEM, AT)
    assert (ended.state, ended.filled_contracts) == (OrderState.CANCELED, 40)
    assert ended.cancel_source == "0"
    assert ended.state.is_final


def test_reduce_only_order_trades_nothing_on_a_flat_account() -> None:
    """It may never open a position."""
    flat = Account(deposited_btc=Decimal(1), lever=Decimal(5), updated_at=AT)
    assert tradable_contracts(order_of(10, reduce_only=True), flat) == 0
    assert tradable_contracts(order_of(10), flat) == 10

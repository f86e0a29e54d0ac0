"""What OKX answers, as values in our own words and units."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stablesats.okx import (
    AccountConfig,
    Instrument,
    Order,
    OrderAck,
    OrderSide,
    OrderState,
    Position,
    Ticker,
    TradingBalance,
)
from stablesats.okx.messages import ServerTime


def test_instrument(instrument_row) -> None:
    """Only what the hedge needs is read; fields we do not know are ignored."""
    instrument = Instrument.model_validate(instrument_row())
    assert instrument == Instrument(
        inst_id="BTC-USD-SWAP",
        contract_value_usd=Decimal(100),
        lot_contracts=Decimal("0.1"),
        min_contracts=Decimal("0.1"),
        max_market_contracts=Decimal(49_000),
        tick_usd=Decimal("0.1"),
        state="live",
    )
    assert instrument.is_live


def test_instrument_that_is_suspended(instrument_row) -> None:
    """Any state but live means: do not trade."""
    assert not Instrument.model_validate(instrument_row(state="suspend")).is_live
    assert not Instrument.model_validate(instrument_row(state=None)).is_live


@pytest.mark.parametrize(
    "change",
    [
        {"ctValCcy": "BTC", "ctType": "linear", "settleCcy": "USDT"},
        {"ctValCcy": "BTC"},
        {"settleCcy": "USDC"},
        {"ctMult": "10"},
    ],
)
def test_an_instrument_that_is_not_100_dollars_settled_in_bitcoin_is_refused(instrument_row, change) -> None:
    """A linear contract's value is an amount of bitcoin: read as dollars, every hedge would be wrong."""
    with pytest.raises(ValidationError, match="expected a"):
        Instrument.model_validate(instrument_row(**change))


@pytest.mark.parametrize("field", ["ctVal", "lotSz", "minSz", "tickSz"])
@pytest.mark.parametrize("value", ["", "0", "-1", "abc", None])
def test_trading_rules_are_numbers_above_zero(instrument_row, field: str, value: object) -> None:
    """A missing lot is not a lot of zero."""
    with pytest.raises(ValidationError, match=field):
        Instrument.model_validate(instrument_row(**{field: value}))


def test_ticker() -> None:
    """Prices are exact decimals, the time is UTC with milliseconds."""
    row = {"instId": "BTC-USD-SWAP", "last": "50000.1", "bidPx": "50000", "askPx": "", "ts": "1704876947123"}
    assert Ticker.model_validate(row) == Ticker(
        inst_id="BTC-USD-SWAP",
        last_usd=Decimal("50000.1"),
        bid_usd=Decimal(50_000),
        ask_usd=None,
        at=datetime(2024, 1, 10, 8, 55, 47, 123_000, UTC),
    )


@pytest.mark.parametrize("price", ["", "0", "0.0", "-1", None])
def test_what_is_not_above_zero_is_no_price(price: object) -> None:
    """Unknown is None: a price of zero would be divided by."""
    row = {"instId": "BTC-USD-SWAP", "last": price, "bidPx": price, "askPx": price, "ts": "1"}
    ticker = Ticker.model_validate(row)
    assert (ticker.last_usd, ticker.bid_usd, ticker.ask_usd) == (None, None, None)


@pytest.mark.parametrize("ts", ["", None, "soon", "-1", "1.5", True, "9" * 15])
def test_a_time_is_milliseconds(ts: object) -> None:
    """Anything else is refused, and so is a year that no calendar holds."""
    with pytest.raises(ValidationError, match="milliseconds"):
        ServerTime.model_validate({"ts": ts})


@given(ms=st.integers(min_value=0, max_value=10**14 - 1))
def test_milliseconds_are_read_exactly(ms: int) -> None:
    """No binary float rounds them."""
    at = ServerTime.model_validate({"ts": str(ms)}).at
    assert (at - datetime(1970, 1, 1, tzinfo=UTC)).microseconds == ms % 1000 * 1000
    assert int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) == ms // 1000


@pytest.mark.parametrize(
    ("level", "mode", "futures", "net"),
    [("2", "net_mode", True, True), ("3", "long_short_mode", False, False), (2, "new_mode", True, False)],
)
def test_account_config(level: object, mode: str, futures: bool, net: bool) -> None:
    """The hedge needs level 2 and net mode; a mode that we do not know is neither."""
    config = AccountConfig.model_validate({"acctLv": level, "posMode": mode, "uid": None, "perm": "trade"})
    assert (config.is_futures_mode, config.is_net_mode, config.uid) == (futures, net, "")


def test_trading_balance(balance_row) -> None:
    """Bitcoin, exact; the margin ratio is empty without a cross position."""
    balance = TradingBalance.model_validate(balance_row(mgnRatio=""))
    assert balance == TradingBalance(
        cash_btc=Decimal("0.1999"),
        equity_btc=Decimal("0.2499"),
        available_equity_btc=Decimal("0.1249"),
        unrealized_pnl_btc=Decimal("0.05"),
        margin_ratio=None,
    )


@pytest.mark.parametrize("field", ["cashBal", "eq", "availEq", "upl"])
@pytest.mark.parametrize("value", ["", None, "abc", 0.1])
def test_a_balance_with_a_missing_number_is_an_error(balance_row, field: str, value: object) -> None:
    """Unknown is not zero."""
    with pytest.raises(ValidationError, match=field):
        TradingBalance.model_validate(balance_row(**{field: value}))


def test_position(position_row) -> None:
    """Signed contracts; no liquidation price is None."""
    position = Position.model_validate(position_row())
    assert position == Position(
        inst_id="BTC-USD-SWAP",
        size_contracts=Decimal(-100),
        average_price_usd=Decimal(50_000),
        mark_price_usd=Decimal(40_000),
        last_price_usd=Decimal("40001.5"),
        notional_usd=Decimal("9998.7"),
        unrealized_pnl_btc=Decimal("0.05"),
        margin_ratio=Decimal("222.13"),
        liquidation_price_usd=None,
    )
    assert not position.is_flat


@pytest.mark.parametrize("size", ["", None, "many", 0.5])
def test_a_position_without_a_size_is_an_error(position_row, size: object) -> None:
    """An empty size is not flat."""
    with pytest.raises(ValidationError, match="pos"):
        Position.model_validate(position_row(pos=size))


@pytest.mark.parametrize(
    ("contracts", "contract_value_usd", "cents"),
    [
        ("-100", "100", -1_000_000),
        ("0", "100", 0),
        ("0.1", "100", 1_000),
        ("-0.1", "0.1", -1),
        ("99999999999999999999999999999.1", "100", 999999999999999999999999999991000),
    ],
)
def test_exposure_is_contracts_times_face_value_in_cents(
    contracts: str, contract_value_usd: str, cents: int
) -> None:
    """Exact beyond the digits of the decimal context; short is negative."""
    position = Position(inst_id="BTC-USD-SWAP", size_contracts=Decimal(contracts))
    assert position.signed_exposure_cents(Decimal(contract_value_usd)) == cents


def test_exposure_of_a_fraction_of_a_cent_is_refused() -> None:
    """0.1 contracts of 0.01 USD are a tenth of a cent; no rounding is chosen silently."""
    position = Position(inst_id="BTC-USD-SWAP", size_contracts=Decimal("0.1"))
    with pytest.raises(ValueError, match="not a whole number of cents"):
        position.signed_exposure_cents(Decimal("0.01"))


def test_order(order_row) -> None:
    """A filled sale; ids stay text, the fee is negative when charged."""
    assert Order.model_validate(order_row()) == Order(
        inst_id="BTC-USD-SWAP",
        order_id="1928374655647382910",
        client_order_id="a1",
        side=OrderSide.SELL,
        state=OrderState.FILLED,
        size_contracts=Decimal(10),
        filled_contracts=Decimal(10),
        average_price_usd=Decimal("50000.1"),
        fee_btc=Decimal("-0.00001"),
        created_at=datetime(2024, 1, 10, 8, 55, 47, 123_000, UTC),
        updated_at=datetime(2024, 1, 10, 8, 55, 47, 456_000, UTC),
    )


@pytest.mark.parametrize("fee", ["0", "", None])
def test_an_unfilled_order_has_no_price_and_no_fee(order_row, fee: object) -> None:
    """OKX leaves both empty; such an order must be readable, or its slot would never be freed."""
    order = Order.model_validate(
        order_row(state="live", accFillSz="0", avgPx="", fee=fee, feeCcy="", fillPx="", fillTime="")
    )
    assert (order.filled_contracts, order.average_price_usd, order.fee_btc) == (0, None, 0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"fee": ""}, "fee"),  # filled: the fee is known to OKX, so empty is an error and not zero
        ({"feeCcy": "USDT"}, "expected a fee in BTC"),
        ({"accFillSz": ""}, "accFillSz"),
        ({"accFillSz": "-1"}, "accFillSz"),
        ({"sz": "0"}, "sz"),
        ({"side": "hold"}, "side"),
        ({"ordId": ""}, "ordId"),
        ({"cTime": ""}, "cTime"),
    ],
)
def test_an_order_with_a_wrong_number_is_an_error(order_row, change, match: str) -> None:
    """What was filled at which cost is never guessed."""
    with pytest.raises(ValidationError, match=match):
        Order.model_validate(order_row(**change))


@pytest.mark.parametrize(
    ("sent", "state", "final"),
    [
        ("live", OrderState.LIVE, False),
        ("partially_filled", OrderState.PARTIALLY_FILLED, False),
        ("filled", OrderState.FILLED, True),
        ("canceled", OrderState.CANCELED, True),
        ("mmp_canceled", OrderState.MMP_CANCELED, True),
        ("frozen_by_moonlight", OrderState.UNKNOWN, False),
        ("", OrderState.UNKNOWN, False),
        (None, OrderState.UNKNOWN, False),
    ],
)
def test_a_state_that_we_do_not_know_is_not_final(
    order_row, sent: object, state: OrderState, final: bool
) -> None:
    """Treating it as failed would free the slot of a living order."""
    order = Order.model_validate(order_row(state=sent))
    assert (order.state, order.state.is_final) == (state, final)


def test_an_id_sent_as_a_number_keeps_its_digits() -> None:
    """19 digits are beyond what a binary float holds."""
    ack = OrderAck.model_validate(json.loads('{"ordId":1928374655647382911,"clOrdId":"a1"}'))
    assert ack.order_id == "1928374655647382911"


def test_values_are_frozen(position_row) -> None:
    """A change makes a new one."""
    position = Position.model_validate(position_row())
    with pytest.raises(ValidationError, match="frozen"):
        position.size_contracts = Decimal(0)


@given(
    row=st.dictionaries(
        st.sampled_from(["instId", "pos", "avgPx", "upl"]), st.none() | st.text() | st.integers()
    )
)
def test_a_position_is_read_or_refused_and_nothing_else(row: dict[str, object]) -> None:
    """Whatever the fields hold, the size is the number that was sent or there is no position."""
    try:
        position = Position.model_validate(row)
    except ValidationError:
        return
    assert position.size_contracts == Decimal(str(row["pos"]))


def look(order_row, filled: str, state: str, updated_ms: int) -> Order:
    return Order.model_validate(order_row(accFillSz=filled, state=state, uTime=str(updated_ms)))


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (("5", "partially_filled", 1), ("0", "live", 1)),
        (("5", "canceled", 1), ("5", "partially_filled", 1)),
        (("5", "partially_filled", 2), ("5", "partially_filled", 1)),
        (("5", "canceled", 1), ("5", "live", 9)),
        (("10", "filled", 1), ("5", "partially_filled", 9)),
    ],
)
def test_the_newer_look_at_an_order_is_the_one_with_more_filled(order_row, newer, older) -> None:
    """Fills are never undone, nor is an end; only then the time decides."""
    assert look(order_row, *newer).supersedes(look(order_row, *older))
    assert not look(order_row, *older).supersedes(look(order_row, *newer))
    assert not look(order_row, *newer).supersedes(look(order_row, *newer))


def test_two_orders_are_not_looks_at_one(order_row) -> None:
    """Settling one with the other would book it twice."""
    with pytest.raises(ValueError, match="is not order 7"):
        look(order_row, "5", "live", 1).supersedes(Order.model_validate(order_row(ordId="7")))

"""Which row of an answer is the one that was asked for."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from stablesats.okx import (
    OkxOutcomeUnknownError,
    OkxProtocolError,
    OrderSide,
    Position,
    TradingBalance,
    answers,
    calls,
)

SWAP = "BTC-USD-SWAP"
FLAT = Position.flat(SWAP)
POSITIONS = calls.positions(SWAP)
BALANCE = calls.balance("BTC")
ORDER = calls.order_details(SWAP, "a1")
PLACE = calls.market_order(SWAP, OrderSide.SELL, 10, "a1", expires_at=datetime(2026, 1, 1, tzinfo=UTC))


def test_no_row_is_a_flat_position() -> None:
    """The shape of an account that never held the instrument."""
    assert answers.net_position_of([], POSITIONS) == FLAT
    assert FLAT.is_flat
    assert FLAT.signed_exposure_cents(Decimal(100)) == 0


def test_a_row_of_empty_fields_is_a_flat_position(position_row) -> None:
    """The shape of a position closed within the last 30 days."""
    empty = dict.fromkeys(("avgPx", "markPx", "last", "notionalUsd", "upl", "mgnRatio", "liqPx"), "")
    row = position_row(pos="0", posSide="", mgnMode="", **empty)
    assert answers.net_position_of([row], POSITIONS) == FLAT


def test_a_flat_row_beside_the_position_is_passed_over(position_row) -> None:
    """A closed isolated position leaves such a row."""
    rows = [position_row(pos="0", mgnMode="isolated"), position_row()]
    assert answers.net_position_of(rows, POSITIONS).size_contracts == -100


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ([{"posSide": "short"}], "expected a net position"),
        ([{"mgnMode": "isolated"}], "expected a net position"),
        ([{"instId": "ETH-USD-SWAP"}], "expected positions on BTC-USD-SWAP, found ETH-USD-SWAP"),
        ([{}, {"pos": "5"}], "expected one position on BTC-USD-SWAP, found 2"),
        ([{"pos": ""}], "malformed Position: pos: Value error, expected a number, found an empty field"),
    ],
)
def test_exposure_that_one_net_position_would_hide_is_an_error(position_row, changes, match: str) -> None:
    """Half a truth about the position would double or drop the hedge."""
    with pytest.raises(OkxProtocolError, match=match):
        answers.net_position_of([position_row(**change) for change in changes], POSITIONS)


def test_balance_is_the_row_of_the_currency_wherever_it_stands(balance_row) -> None:
    """Never the first row."""
    rows = [{"details": [balance_row(ccy="USDT", cashBal="7"), balance_row()]}]
    assert answers.trading_balance_of(rows, BALANCE, "BTC").cash_btc == Decimal("0.1999")


@pytest.mark.parametrize("details", [[], [{"ccy": "USDT"}]])
def test_an_account_without_bitcoin_has_a_balance_of_zeros(details: list[dict[str, str]]) -> None:
    """OKX leaves the row out; the account itself is there, so this is knowledge and not a guess."""
    balance = answers.trading_balance_of([{"details": details}], BALANCE, "BTC")
    assert balance == TradingBalance.empty()
    assert (balance.cash_btc, balance.equity_btc, balance.available_equity_btc) == (0, 0, 0)
    assert (balance.unrealized_pnl_btc, balance.margin_ratio) == (0, None)


@pytest.mark.parametrize(
    "rows", [[], [{}], [{"details": None}], [{"details": ["BTC"]}], [{"details": []}] * 2]
)
def test_an_account_that_is_not_there_is_an_error(rows: list[dict[str, object]]) -> None:
    """No account row, or no list in it, says nothing about the balance."""
    with pytest.raises(OkxProtocolError):
        answers.trading_balance_of(rows, BALANCE, "BTC")


def test_two_rows_of_one_currency_are_an_error(balance_row) -> None:
    """Neither of them is known to be the whole."""
    with pytest.raises(OkxProtocolError, match="expected one row for BTC, found 2"):
        answers.trading_balance_of([{"details": [balance_row(), balance_row()]}], BALANCE, "BTC")


def test_order_is_the_one_that_was_asked_for(order_row) -> None:
    """By instrument and client order id."""
    assert answers.order_of([order_row()], ORDER).client_order_id == "a1"


@pytest.mark.parametrize("change", [{"clOrdId": "A1"}, {"clOrdId": ""}, {"instId": "ETH-USD-SWAP"}])
def test_another_order_is_an_error(order_row, change) -> None:
    """Settling our slot with another order's fill would book it twice."""
    with pytest.raises(OkxProtocolError):
        answers.order_of([order_row(**change)], ORDER)


def test_an_empty_list_does_not_mean_that_the_order_does_not_exist() -> None:
    """Only code 51603 says so."""
    with pytest.raises(OkxProtocolError, match="expected one row for BTC-USD-SWAP, found 0"):
        answers.order_of([], ORDER)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"ordId": "", "clOrdId": "a1"}],
        [{"ordId": "1", "clOrdId": "a2"}],
        [{"clOrdId": "a1"}],
        [{"ordId": "1", "clOrdId": "a1"}] * 2,
    ],
)
def test_an_acceptance_that_is_not_of_our_order_leaves_it_unknown(rows: list[dict[str, str]]) -> None:
    """It was sent, and something was accepted: ask before anything else."""
    with pytest.raises(OkxOutcomeUnknownError):
        answers.order_ack_of(rows, PLACE)


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([{"instId": SWAP, "posSide": "long", "lever": "5"}], "of the long side"),
        ([{"instId": SWAP, "lever": "5"}] * 2, "found 2"),
        ([{"instId": SWAP, "posSide": "net", "lever": "0"}], "lever"),
        ([], "found 0"),
    ],
)
def test_leverage_that_is_not_one_number_above_zero_is_an_error(
    rows: list[dict[str, str]], match: str
) -> None:
    """In long-short mode there are two."""
    with pytest.raises(OkxProtocolError, match=match):
        answers.leverage_of(rows, calls.leverage(SWAP))


def test_an_instrument_that_is_not_in_the_answer_is_an_error(instrument_row) -> None:
    """The rules of another contract are not taken for ours."""
    with pytest.raises(OkxProtocolError, match="expected one row for BTC-USD-SWAP, found 0"):
        answers.instrument_of([instrument_row(instId="ETH-USD-SWAP")], calls.instrument(SWAP))

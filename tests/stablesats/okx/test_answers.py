"""Which row of an answer is the one that was asked for."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from stablesats.okx import (
    InsufficientMarginError,
    NewOrder,
    OkxOutcomeUnknownError,
    OkxProtocolError,
    OrderAck,
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


BATCH = calls.batch_orders(
    SWAP,
    [
        NewOrder(side=OrderSide.SELL, size_contracts=1, client_order_id=own)
        for own in ("a1", "a2", "a3", "a4")
    ],
    expires_at=datetime(2026, 1, 1, tzinfo=UTC),
)


def test_each_order_of_a_batch_has_an_outcome_of_its_own() -> None:
    """Found by our id and not by its place; accepted without an id, or an ambiguous code, is unknown."""
    rows = [
        {"clOrdId": "a2", "ordId": "", "sCode": "51008", "sMsg": "Insufficient margin"},
        {"clOrdId": "a1", "ordId": "7", "sCode": "0", "sMsg": ""},
        {"clOrdId": "a4", "ordId": "", "sCode": "0", "sMsg": ""},
        {"clOrdId": "a3", "ordId": "", "sCode": "51149", "sMsg": "Order timed out"},
    ]
    outcomes = answers.batch_outcomes_of(rows, BATCH)
    assert list(outcomes) == ["a1", "a2", "a3", "a4"]
    assert outcomes["a1"] == OrderAck(order_id="7", client_order_id="a1")
    assert isinstance(outcomes["a2"], InsufficientMarginError)
    unknown = [outcomes["a3"], outcomes["a4"]]
    assert all(isinstance(outcome, OkxOutcomeUnknownError) for outcome in unknown)
    assert [outcome.client_order_id for outcome in unknown] == ["a3", "a4"]


@pytest.mark.parametrize("answered", [[], ["a1"], ["a1", "a2", "a3", "a5"], ["a1", "a2", "a3", "a3"]])
def test_a_batch_whose_items_are_not_its_orders_is_unknown_as_a_whole(answered: list[str]) -> None:
    """No outcome is left out and none is given to another order."""
    rows = [{"clOrdId": own, "ordId": "7", "sCode": "0", "sMsg": ""} for own in answered]
    with pytest.raises(OkxOutcomeUnknownError) as unknown:
        answers.batch_outcomes_of(rows, BATCH)
    assert unknown.value.client_order_id == "a1,a2,a3,a4"


def test_a_book_keeps_okxs_order_and_number() -> None:
    """Best price first, as sent."""
    row = {
        "asks": [["50000.1", "3", "0", "1"], ["50000.2", "4", "0", "2"]],
        "bids": [["50000", "5", "0", "1"]],
        "ts": "1767268800000",
        "seqId": 12,
    }
    book = answers.order_book_of([row], calls.order_book(SWAP, 2))
    assert book.best_ask is not None
    assert (book.inst_id, book.best_ask.price_usd, len(book.asks), book.sequence) == (
        SWAP,
        Decimal("50000.1"),
        2,
        12,
    )


@pytest.mark.parametrize("change", [{"asks": None}, {"bids": [["x", "1"]]}, {"ts": ""}])
def test_a_malformed_book_is_an_error(change) -> None:
    """An empty side is a fact, a missing one is not."""
    row = {"asks": [], "bids": [], "ts": "1", "seqId": 1, **change}
    with pytest.raises(OkxProtocolError, match="malformed book"):
        answers.order_book_of([row], calls.order_book(SWAP, 1))

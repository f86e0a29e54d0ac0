"""From the rows of a push to our values."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from stablesats.okx import OkxProtocolError, Position, TradingBalance
from stablesats.okx.streams import OrderFill, channel, push_values
from stablesats.okx.streams.frames import Push, read_frame

SWAP = "BTC-USD-SWAP"
POSITIONS = channel.positions(SWAP)
ACCOUNT = channel.account()
ORDERS = channel.orders(SWAP)


def push(*rows: dict[str, Any], snapshot: bool = False) -> Push:
    return Push({}, "", snapshot, rows)


def test_a_ticker_as_it_was_recorded(recorded: Callable[[str], list[str]]) -> None:
    """A real push: prices exact, its own time."""
    tickers = channel.tickers("BTC-USD-220527")
    seen = []
    for text in recorded("okx_ws_public_20220513"):
        frame = read_frame(text)
        if isinstance(frame, Push) and tickers.is_meant_by(frame.argument):
            ticker = push_values.ticker_in(frame, tickers)
            assert ticker is not None
            assert ticker.at == push_values.time_of(frame, tickers)
            assert str(ticker.last_usd) == json.loads(text)["data"][0]["last"]
            seen.append(ticker)
    assert seen


def test_the_newest_row_counts() -> None:
    """Rows of another instrument do not."""
    rows = [{"instId": SWAP, "markPx": price, "ts": "1"} for price in ("1", "2")]
    rows.append({"instId": "ETH-USD-SWAP", "markPx": "3", "ts": "1"})
    mark = push_values.mark_price_in(push(*rows), channel.mark_price(SWAP))
    assert mark is not None
    assert mark.mark_usd == 2
    assert push_values.mark_price_in(push(), channel.mark_price(SWAP)) is None


def test_a_funding_rate() -> None:
    """For the next settlement."""
    row = {"instId": SWAP, "fundingRate": "0.0001", "fundingTime": "1767268800000", "ts": "1767268700000"}
    rate = push_values.funding_rate_in(push(row), channel.funding_rate(SWAP))
    assert rate is not None
    assert rate.settles_at == datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_position(position_row) -> None:
    """As a REST answer is read; a closed one is pushed with a size of zero."""
    assert push_values.position_in(push(position_row()), POSITIONS) == Position.model_validate(position_row())
    closed = push_values.position_in(push(position_row(pos="0", avgPx="", upl="")), POSITIONS)
    assert closed == Position.flat(SWAP)


def test_only_a_snapshot_without_a_position_is_flat(position_row) -> None:
    """An update without one speaks of something else."""
    assert push_values.position_in(push(snapshot=True), POSITIONS) == Position.flat(SWAP)
    other = position_row(instId="ETH-USD-SWAP")
    assert push_values.position_in(push(other, snapshot=True), POSITIONS) == Position.flat(SWAP)
    assert push_values.position_in(push(), POSITIONS) is None
    assert push_values.position_in(push(other), POSITIONS) is None


@pytest.mark.parametrize("change", [{"mgnMode": "isolated"}, {"posSide": "short"}, {"pos": ""}])
def test_exposure_that_one_net_position_would_hide_is_an_error(position_row, change) -> None:
    """By the rules of a REST answer, and named as a push."""
    with pytest.raises(OkxProtocolError, match="PUSH channel positions SWAP BTC-USD-SWAP"):
        push_values.position_in(push(position_row(**change)), POSITIONS)


def test_balance(balance_row) -> None:
    """The bitcoin of the account, wherever its row stands."""
    row = {"uTime": "1", "details": [balance_row(ccy="USDT"), balance_row()]}
    balance = push_values.balance_in(push(row), ACCOUNT)
    assert balance is not None
    assert balance.equity_btc == Decimal("0.2499")


@pytest.mark.parametrize("rows", [[], [{"details": []}]])
def test_only_a_snapshot_without_bitcoin_is_a_balance_of_zeros(rows: list[dict[str, Any]]) -> None:
    """An update of another currency says nothing of it."""
    assert push_values.balance_in(push(*rows, snapshot=True), ACCOUNT) == TradingBalance.empty()
    assert push_values.balance_in(push(*rows), ACCOUNT) is None


@pytest.mark.parametrize("row", [{}, {"details": None}, {"details": [{"ccy": "BTC", "eq": ""}]}])
def test_a_malformed_balance_is_an_error(row: dict[str, Any]) -> None:
    """Never a balance of zero."""
    with pytest.raises(OkxProtocolError):
        push_values.balance_in(push(row, snapshot=True), ACCOUNT)


def test_an_order_without_a_trade(order_row) -> None:
    """It was placed, or cancelled."""
    row = order_row(state="live", accFillSz="0", avgPx="", fee="", fillSz="", fillPx="", tradeId="")
    (update,) = push_values.order_updates_in(push(row), ORDERS)
    assert (update.order.client_order_id, update.fill) == ("a1", None)


def test_an_order_with_the_trade_that_filled_it(order_row) -> None:
    """Size, price and fee of this trade beside the sums of the order."""
    row = order_row(
        tradeId="55",
        fillSz="4",
        fillPx="50000.2",
        fillFee="-0.000004",
        fillFeeCcy="BTC",
        fillTime="1704876947456",
    )
    (update,) = push_values.order_updates_in(push(row), ORDERS)
    assert update.fill == OrderFill(
        "55",
        Decimal(4),
        Decimal("50000.2"),
        Decimal("-0.000004"),
        datetime(2024, 1, 10, 8, 55, 47, 456_000, UTC),
    )


@pytest.mark.parametrize(
    "change", [{"sz": ""}, {"tradeId": "5", "fillSz": "1", "fillPx": "1", "fillFeeCcy": "USDT"}]
)
def test_a_malformed_order_is_an_error(order_row, change) -> None:
    """The reader is told to reconcile then."""
    with pytest.raises(OkxProtocolError):
        push_values.order_updates_in(push(order_row(), order_row(**change)), ORDERS)


@pytest.mark.parametrize(
    ("row", "ms"),
    [
        ({"pTime": "3", "uTime": "2"}, 3),
        ({"pTime": "", "uTime": "2"}, 2),
        ({"ts": "1"}, 1),
        ({}, None),
    ],
)
def test_when_a_row_was_made(row: dict[str, str], ms: int | None) -> None:
    """The time of the push, where OKX gives one."""
    at = push_values.time_of(push(row), POSITIONS)
    assert at == (None if ms is None else datetime.fromtimestamp(ms / 1000, UTC))

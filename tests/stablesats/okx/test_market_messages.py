"""What OKX answers about the market."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from stablesats.okx import BookLevel, FundingRate, Maintenance, MarkPrice, OrderBook
from stablesats.okx.market_messages import read_levels

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_level_is_price_size_and_number_of_orders() -> None:
    """The digits stay as they were sent: the checksum is over them."""
    (level,) = read_levels([["50000.10", "12", "0", "3"]])
    assert level == BookLevel(Decimal("50000.1"), Decimal(12), 3)
    assert format(level.price_usd, "f") == "50000.10"


@pytest.mark.parametrize(
    "rows",
    [
        None,
        {},
        [None],
        ["ab"],
        [["50000"]],
        [["", "1", "0", "1"]],
        [["0", "1", "0", "1"]],
        [["-1", "1", "0", "1"]],
        [["1", "-1", "0", "1"]],
        [["1", "", "0", "1"]],
        [["1", "1", "0", "x"]],
        [[1.5, "1", "0", "1"]],
    ],
)
def test_anything_else_is_no_level(rows: object) -> None:
    """A price or a size is never guessed."""
    with pytest.raises(ValueError, match="expected"):
        read_levels(rows)


@pytest.mark.parametrize(
    ("bids", "asks", "crossed"),
    [
        ([], [], False),
        (["50000"], [], False),
        (["50000"], ["50000.1"], False),
        (["50000"], ["50000"], False),
        (["50000.1"], ["50000"], True),
    ],
)
def test_a_book_whose_best_bid_is_above_its_best_ask_is_broken(
    bids: list[str], asks: list[str], crossed: bool
) -> None:
    """Such orders would have traded."""

    def side(prices: list[str]) -> tuple[BookLevel, ...]:
        return read_levels([[price, "1", "0", "1"] for price in prices])

    book = OrderBook("BTC-USD-SWAP", side(bids), side(asks), NOON)
    assert book.is_crossed is crossed
    assert (book.best_bid is None, book.best_ask is None) == (not bids, not asks)


def test_mark_price_is_above_zero() -> None:
    """Every margin is divided by it."""
    row = {"instId": "BTC-USD-SWAP", "markPx": "50000.1", "ts": "1"}
    assert MarkPrice.model_validate(row).mark_usd == Decimal("50000.1")
    for value in ("", "0", None):
        with pytest.raises(ValidationError, match="markPx"):
            MarkPrice.model_validate({**row, "markPx": value})


def test_funding_rate_is_signed() -> None:
    """Shorts pay when it is negative."""
    row = {
        "instId": "BTC-USD-SWAP",
        "fundingRate": "-0.0001",
        "fundingTime": "1767268800000",
        "nextFundingTime": "",
        "nextFundingRate": "",
        "ts": "1767268700000",
    }
    rate = FundingRate.model_validate(row)
    assert (rate.rate, rate.settles_at, rate.next_settles_at) == (Decimal("-0.0001"), NOON, None)


def test_maintenance_that_is_under_way() -> None:
    """Announced is not under way."""
    rows = [
        {"title": "WebSocket", "state": state, "begin": "1", "end": ""} for state in ("scheduled", "ongoing")
    ]
    assert [Maintenance.model_validate(row).is_ongoing for row in rows] == [False, True]

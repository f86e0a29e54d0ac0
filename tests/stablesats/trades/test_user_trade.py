"""A user trade is a value that cannot contradict itself."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.trades import Unit, UserTrade, UserTradeError

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)


def trade(**changes: Any) -> UserTrade:
    """A user buys 500 cents for 1,000,000 sats."""
    return UserTrade(
        **{
            "id": "t1",
            "timestamp": NOON,
            "buy_unit": Unit.USD_CENT,
            "buy_amount": 500,
            "sell_unit": Unit.SATOSHI,
            "sell_amount": 1_000_000,
            **changes,
        }
    )


def test_purchase_of_dollars() -> None:
    """What the user got is dollars."""
    bought = trade()
    assert (bought.user_buys_usd, bought.sats, bought.cents) == (True, 1_000_000, 500)


def test_sale_of_dollars() -> None:
    """What the user got is bitcoin."""
    sold = trade(buy_unit=Unit.SATOSHI, buy_amount=7, sell_unit=Unit.USD_CENT, sell_amount=3)
    assert (sold.user_buys_usd, sold.sats, sold.cents) == (False, 7, 3)


def test_time_is_kept_in_utc() -> None:
    """Two trades at one instant are equal, wherever their clocks hang."""
    there = trade(timestamp=datetime(2026, 9, 1, 14, tzinfo=timezone(timedelta(hours=2))))
    assert (there, there.timestamp.tzinfo) == (trade(), UTC)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, "a trade needs a text as its id, got ''"),
        ({"id": 7}, "a trade needs a text as its id, got 7"),
        ({"timestamp": datetime(2026, 9, 1)}, "has no time zone"),  # noqa: DTZ001 - the mistake under test
        (
            {"timestamp": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
            "timestamp 0001-01-01T00:00:00+01:00 lies outside the years 1 to 9999 in UTC",
        ),
        ({"sell_unit": Unit.USD_CENT}, "both sides are in usd_cent"),
        ({"buy_unit": "usd_cent"}, "buy_unit must be a Unit (satoshi or usd_cent), got 'usd_cent'"),
        ({"sell_unit": "cowries"}, "sell_unit must be a Unit"),
        ({"buy_amount": 0}, "buy_amount must be whole, above zero and below 2^63, got 0"),
        ({"buy_amount": -1}, "buy_amount must be whole"),
        ({"buy_amount": True}, "buy_amount must be whole"),
        ({"sell_amount": 1.0}, "sell_amount must be whole"),
        ({"sell_amount": 2**63}, "sell_amount must be whole"),
    ],
)
def test_contradiction_is_named(change: dict[str, Any], message: str) -> None:
    """A text for a unit, above all, must not turn a purchase into a sale."""
    with pytest.raises(UserTradeError) as raised:
        trade(**change)
    assert message in str(raised.value)


@given(st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1), st.booleans())
def test_document_holds_every_field_under_the_trades_id(bought: int, sold: int, buys_usd: bool) -> None:
    """As it is stored: units as texts, amounts as whole numbers."""
    buy, sell = (Unit.USD_CENT, Unit.SATOSHI) if buys_usd else (Unit.SATOSHI, Unit.USD_CENT)
    made = trade(buy_unit=buy, buy_amount=bought, sell_unit=sell, sell_amount=sold, btc_tx_id="b")
    assert made.to_document() == {
        "_id": "t1",
        "timestamp": NOON,
        "buy_unit": buy.value,
        "buy_amount": bought,
        "sell_unit": sell.value,
        "sell_amount": sold,
        "btc_tx_id": "b",
        "usd_tx_id": None,
    }
    assert {made.sats, made.cents} == {bought, sold}

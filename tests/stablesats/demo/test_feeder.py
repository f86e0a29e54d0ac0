"""Payments into the books, in step with the clock."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from stablesats.demo.feeder import MOST_AT_ONCE, TradeFeeder
from stablesats.errors import StablesatsError
from stablesats.ledger import Ledger
from stablesats.trades import BookedTrade, Trades, UserTrade
from stablesats.trades.payment_flow import DealerQuote, Payment, schedule

START = datetime(2017, 9, 4, tzinfo=UTC)
END = START + timedelta(hours=1)
QUOTE = DealerQuote(bid_usd=Decimal(5_000), ask_usd=Decimal(5_000))


async def feeder_of(database: Any, *amounts_sats: int) -> tuple[TradeFeeder, Trades, Ledger]:
    ledger = Ledger(database)
    trades = Trades(ledger)
    await trades.prepare()
    payments = [Payment(number, amount) for number, amount in enumerate(amounts_sats)]
    return TradeFeeder(trades, schedule(payments, START, END), end=END), trades, ledger


async def test_only_what_is_due_is_booked(mongo_database: Any) -> None:
    """Four payments in an hour: two are due by half past twelve minutes past."""
    feeder, trades, _ = await feeder_of(mongo_database, 1_000_000, 1_000_000, 1_000_000, 1_000_000)
    await feeder.feed(START + timedelta(minutes=29), QUOTE)
    assert (feeder.booked, feeder.finished, await trades.count()) == (2, False, 2)


async def test_the_rest_is_fed_when_the_prices_have_ended(mongo_database: Any) -> None:
    """Whatever the clock says."""
    feeder, trades, _ = await feeder_of(mongo_database, 1_000_000, 1_000_000, 1_000_000)
    await feeder.feed(START, QUOTE, everything=True)
    assert (feeder.booked, feeder.finished, await trades.count()) == (3, True, 3)


async def test_payments_that_make_no_trade_are_counted_and_users_never_overspend(mongo_database: Any) -> None:
    """A hundredth of a cent makes no trade, and nobody can spend more dollars than users hold."""
    feeder, trades, ledger = await feeder_of(mongo_database, 1, 1_000_000, -2_000_000, -500_000)
    await feeder.feed(END, QUOTE)
    assert (feeder.booked, feeder.skipped) == (2, 2)
    assert await trades.count() == 2
    assert (await ledger.balances()).users_liability_cents == feeder.users_cents == 4_995 - 2_503


async def test_a_long_backlog_is_fed_in_parts(mongo_database: Any) -> None:
    """So that the caller still gets to look and to stop."""
    feeder, _, _ = await feeder_of(mongo_database, *[1_000_000] * (MOST_AT_ONCE + 1))
    await feeder.feed(END, QUOTE)
    assert (feeder.booked, feeder.finished) == (MOST_AT_ONCE, False)
    await feeder.feed(END, QUOTE)
    assert (feeder.booked, feeder.finished) == (MOST_AT_ONCE + 1, True)


async def test_a_booking_that_fails_fails_the_feed_with_its_own_error(mongo_database: Any) -> None:
    """Not with a group around it: the commands print known errors in one line."""
    feeder, trades, _ = await feeder_of(mongo_database, 1_000_000, 1_000_000)

    async def fail(trade: UserTrade) -> BookedTrade:
        raise StablesatsError(f"no more {trade.id}")

    trades.book = fail  # type: ignore[method-assign]
    with pytest.raises(StablesatsError, match="no more payment-0"):
        await feeder.feed(END, QUOTE)

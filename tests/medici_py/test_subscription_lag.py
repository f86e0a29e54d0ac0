"""Anybody can read how far a subscription is behind: never nothing while an event waits."""

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId
from bson.timestamp import Timestamp
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import BalanceChanged, Book, JournalPosted, subscription_lags
from medici_py.change_events import ChangePosition
from medici_py.durable_events import DurableEvents, SubscriptionEvent
from medici_py.durable_position import JournalKey, Progress, Recovery
from medici_py.subscription_lag import SubscriptionLag, lag_of

Bank = AsyncDatabase[dict[str, Any]]
Pay = Callable[..., Any]

NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
NOWHERE = ChangePosition(None, None)
PATIENCE_SECS = 30


async def take(events: DurableEvents, count: int) -> list[SubscriptionEvent]:
    async with asyncio.timeout(PATIENCE_SECS):
        return [await anext(events) for _ in range(count)]


async def lag_in(database: Bank, name: str = "hedging") -> SubscriptionLag:
    (lag,) = await subscription_lags(database, names=[name])
    return lag


async def begun_at(book: Book, start: Any, name: str = "hedging") -> SubscriptionLag:
    """Begin a subscription, and leave it at once."""
    async with book.subscribe(name, start=start):
        pass
    return await lag_in(book.database, name)


async def pay_together(book: Book, count: int) -> None:
    """Post entries that have one recorded time and one commit."""
    async with book.batch() as batch:
        for _ in range(count):
            batch.add(book.entry("batch").debit("Assets:Cash", 1).credit("Income", 1))


class TestRule:
    @pytest.mark.parametrize(
        ("waits", "now", "seconds"),
        [
            pytest.param(False, NOON + 10 * SECOND, 0.0, id="nothing waits"),
            pytest.param(True, NOON + 10 * SECOND, 10.0, id="age of the place"),
            pytest.param(True, NOON, 0.001, id="never nothing"),
            pytest.param(True, NOON - SECOND, 0.001, id="clock of another primary"),
        ],
    )
    def test_lag_is_the_age_of_the_position_if_there_is_more(
        self, waits: bool, now: dt.datetime, seconds: float
    ) -> None:
        """It grows while a subscriber is stuck, and is 0 as soon as there is nothing to do."""
        row = {"_id": "hedging", **Progress(NOWHERE, NOON).to_document()}
        lag = lag_of(row, "engine", waits=waits, first_at=None, now=now)
        assert (lag.name, lag.holder, lag.position_at, lag.seconds) == ("hedging", "engine", NOON, seconds)
        assert not lag.recovering

    def test_recovery_is_where_it_reads(self) -> None:
        """Not where the stream was lost."""
        key = JournalKey(NOON - SECOND, ObjectId())
        recovery = Recovery(NOON - 60 * SECOND, Timestamp(1, 1), announced=True, read_to=key)
        row = {"_id": "hedging", **Progress(NOWHERE, NOON - 50 * SECOND, recovery=recovery).to_document()}
        lag = lag_of(row, None, waits=True, first_at=None, now=NOON)
        assert (lag.position_at, lag.seconds, lag.recovering) == (NOON - SECOND, 1.0, True)

    @pytest.mark.parametrize(
        ("first_at", "position_at"), [(NOON - SECOND, NOON), (NOON, NOON), (NOON + SECOND, NOON + SECOND)]
    )
    def test_what_has_read_nothing_is_where_the_first_entry_is(
        self, first_at: dt.datetime, position_at: dt.datetime
    ) -> None:
        """It is not behind by the years before the books began."""
        row = {"_id": "hedging", **Progress(NOWHERE, NOON).to_document()}
        lag = lag_of(row, None, waits=True, first_at=first_at, now=NOON + 10 * SECOND)
        assert lag.position_at == position_at


async def test_lags_of_a_database_are_listed_by_name(bank: Bank, book: Book, pay: Pay) -> None:
    """With who is active, from any process; a subscription that was never active has none."""
    assert await subscription_lags(bank) == []
    assert await book.subscribe("beta").lag() is None
    async with book.subscribe("beta"):
        pass
    async with book.subscribe("alpha", holder="engine") as events:
        await pay(book)
        (event,) = await take(events, 1)
        behind = await subscription_lags(bank)
        await events.acknowledge(event)
        done = await subscription_lags(bank)
    assert [lag.name for lag in done] == ["alpha", "beta"]
    assert (done[0].holder or "").startswith("engine:")
    assert done[1].holder is None
    assert behind[0].seconds > 0
    assert done[0].seconds == 0
    assert done[1].seconds > 0
    lag = await book.subscribe("alpha").lag()
    assert lag is not None
    assert lag.holder is None


class TestWhatWaits:
    """A number above 0, however the recorded times are."""

    @pytest.mark.parametrize("start", ["now", "beginning"])
    async def test_rest_of_a_commit_waits(self, bank: Bank, book: Book, start: Any) -> None:
        """All of it was recorded before it was committed, at one time; in the stream and in a recovery."""
        if start == "beginning":
            await pay_together(book, 3)
        async with book.subscribe("hedging", start=start) as events:
            if start == "now":
                await pay_together(book, 3)
            seconds = []
            for event in await take(events, 3):
                seconds.append((await lag_in(bank)).seconds)
                await events.acknowledge(event)
            done = await lag_in(bank)
        assert min(seconds) > 0
        assert done.seconds == 0

    async def test_rest_of_a_journal_waits(self, bank: Bank, book: Book, pay: Pay) -> None:
        """Its balances are events of their own."""
        async with book.subscribe("hedging", kinds=[JournalPosted, BalanceChanged]) as events:
            await pay(book, debit="Cash", credit="Income")
            posted, cash, income = await take(events, 3)
            await events.acknowledge(posted)
            begun = await lag_in(bank)
            await events.acknowledge(cash)
            half = await lag_in(bank)
            await events.acknowledge(income)
            done = await lag_in(bank)
        assert min(begun.seconds, half.seconds) > 0
        assert done.seconds == 0

    async def test_balances_of_a_recovery_wait(self, bank: Bank, book: Book, pay: Pay) -> None:
        """They come after all journals; which of them are left, only the active one knows."""
        await pay(book, debit="Cash", credit="Income")
        async with book.subscribe("hedging", kinds=[BalanceChanged], start="beginning") as events:
            first, *_ = await take(events, 2)
            await events.acknowledge(first)
            assert (await lag_in(bank)).seconds > 0

    @pytest.mark.parametrize("by", ["acknowledging", "idling"])
    async def test_late_commit_waits(self, bank: Bank, book: Book, pay: Pay, by: str) -> None:
        """What an application's own transaction recorded before the place may be committed after it."""
        async with bank.client.start_session() as session:
            await session.start_transaction()
            late = book.entry("late").debit("Late:Cash", 1).credit("Late:Income", 1)
            await late.commit(session=session)
            recorded_at = dt.datetime.now(dt.UTC)
            async with book.subscribe("hedging", idle_secs=0.1) as events:
                if by == "acknowledging":
                    await pay(book)
                    await events.acknowledge((await take(events, 1))[0])
                else:
                    reading = asyncio.create_task(anext(events))
                    async with asyncio.timeout(PATIENCE_SECS):
                        while (await lag_in(bank)).position_at <= recorded_at:
                            await bank["anything"].insert_one({})  # The stream tells time by what is written.
                            await asyncio.sleep(0.05)
                    reading.cancel()
                    await asyncio.wait([reading])
            before = await lag_in(bank)
            await session.commit_transaction()
        assert before.seconds == 0
        assert (await lag_in(bank)).seconds > 0
        async with book.subscribe("hedging") as events:
            await events.acknowledge((await take(events, 1))[0])
        assert (await lag_in(bank)).seconds == 0

    @pytest.mark.parametrize("minutes", [-10, 10])
    async def test_clock_of_a_poster_decides_nothing(self, bank: Bank, minutes: int) -> None:
        """It dates what is recorded, and may be ahead of the server's or behind it."""
        off = dt.timedelta(minutes=minutes)
        book = Book("Off", bank, clock=lambda: dt.datetime.now(dt.UTC) + off)
        async with book.subscribe("hedging") as events:
            await pay_together(book, 1)
            (event,) = await take(events, 1)
            behind = await lag_in(bank)
            await events.acknowledge(event)
            done = await lag_in(bank)
        assert behind.seconds > 0
        assert done.seconds == 0

    async def test_entries_of_other_books_do_not(self, bank: Bank, book: Book, pay: Pay) -> None:
        """Nobody has asked for them."""
        await pay(book)
        async with book.subscribe("hedging"):
            await pay(Book("Other", bank))
        assert (await lag_in(bank)).seconds == 0

    async def test_void_does(self, bank: Bank, book: Book, pay: Pay) -> None:
        """The flag, then the reversal."""
        journal = await pay(book)
        async with book.subscribe("hedging") as events:
            await book.void(journal.id)
            voided, reversal = await take(events, 2)
            await events.acknowledge(voided)
            behind = await lag_in(bank)
            await events.acknowledge(reversal)
            done = await lag_in(bank)
        assert behind.seconds > 0
        assert done.seconds == 0


class TestNewSubscription:
    """One that has read nothing so far."""

    @pytest.mark.parametrize("start", ["now", "beginning", NOON])
    async def test_empty_book_is_no_lag(self, book: Book, start: Any) -> None:
        """Wherever it begins."""
        lag = await begun_at(book, start)
        assert lag.seconds == 0
        assert lag.recovering == (start == "beginning")

    @pytest.mark.parametrize("start", ["beginning", NOON])
    async def test_it_is_behind_since_the_first_entry(self, book: Book, pay: Pay, start: Any) -> None:
        """Not since 1970."""
        before = dt.datetime.now(dt.UTC) - SECOND
        await pay(book)
        lag = await begun_at(book, start)
        assert 0 < lag.seconds < (dt.datetime.now(dt.UTC) - before).total_seconds()
        assert lag.position_at > before

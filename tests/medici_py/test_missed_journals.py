"""What the stream lost is read from the journals: all of it, once, in order, in pages of any size."""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from bson import ObjectId
from bson.timestamp import Timestamp
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import BalanceChanged, Book, JournalPosted, JournalVoided
from medici_py.change_events import ChangePosition
from medici_py.change_filter import ALL_KINDS, ChangeFilter, followed_books
from medici_py.durable_position import Progress, Recovery
from medici_py.errors import IncompleteJournalError, UnreadableDocumentError
from medici_py.missed_journals import DamagedJournalError, MissedJournals
from medici_py.moving_snapshot import MovingSnapshot
from medici_py.store import Store

Bank = AsyncDatabase[dict[str, Any]]
Pay = Callable[..., Any]
Steps = list[tuple[Any, Progress]]

NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
JOURNAL_KINDS = (JournalPosted, JournalVoided)


def milliseconds(number: int) -> dt.timedelta:
    return dt.timedelta(milliseconds=number)


async def now(database: Bank) -> Timestamp:
    reply = await database.command("ping")
    time: Timestamp = reply["operationTime"]
    return time


async def missed(
    database: Bank,
    book: Book,
    progress: Progress,
    *,
    page: int = 500,
    paths: Sequence[tuple[str, ...]] | None = None,
    kinds: Sequence[type] = JOURNAL_KINDS,
) -> Steps:
    wanted = ChangeFilter.of(followed_books(book, None), None if paths is None else tuple(paths), kinds, None)
    journals = MissedJournals(Store(database), wanted, legs_a_page=page)
    return [step async for step in journals.events(progress)]


def beginning(until: Timestamp, since: dt.datetime | None = None) -> Progress:
    return Progress(ChangePosition(None, None), NOON, recovery=Recovery(since, until, announced=True))


def shown(steps: Steps) -> list[str]:
    return [
        event.journal.memo if isinstance(event, JournalPosted) else type(event).__name__ for event, _ in steps
    ]


@pytest.fixture
async def recorded(bank: Bank, book_factory: Callable[..., Book], pay: Pay) -> Book:
    """A book whose journals were recorded at chosen times: four in one millisecond, then one each."""
    times = [NOON] * 4 + [NOON + milliseconds(number) for number in range(1, 5)]
    clock = iter(times)
    last = times[-1]
    book = book_factory(clock=lambda: next(clock, last), group_commit=False)
    for number in range(len(times)):
        await pay(book, memo=str(number))
    return book


class TestPages:
    @pytest.mark.parametrize("page", [1, 2, 3, 4, 5, 7, 16, 17, 500])
    async def test_every_journal_comes_once_in_order(self, page: int, bank: Bank, recorded: Book) -> None:
        """By recorded time, whatever a page holds and however many share a millisecond."""
        steps = await missed(bank, recorded, beginning(await now(bank)), page=page)
        memos = shown(steps)
        assert sorted(memos[:4]) == ["0", "1", "2", "3"]
        assert memos[4:] == ["4", "5", "6", "7"]

    @pytest.mark.parametrize("page", [3, 500])
    async def test_reading_goes_on_behind_any_event(self, page: int, bank: Bank, recorded: Book) -> None:
        """The progress of each event brings exactly what follows it."""
        steps = await missed(bank, recorded, beginning(await now(bank)), page=page)
        for number, (_, progress) in enumerate(steps, start=1):
            assert shown(await missed(bank, recorded, progress, page=page)) == shown(steps)[number:]

    async def test_older_and_newer_journals_stay_out(self, bank: Bank, recorded: Book, pay: Pay) -> None:
        """Recorded before, committed after, or of another book."""
        until = await now(bank)
        await pay(recorded, memo="committed later, recorded with the last")
        steps = await missed(bank, recorded, beginning(until, NOON + milliseconds(3)))
        assert shown(steps) == ["6", "7"]
        assert await missed(bank, Book("Other", bank), beginning(until)) == []

    async def test_event_is_what_the_stream_would_have_brought(self, bank: Bank, recorded: Book) -> None:
        """The journal and its legs, as they were inserted; the time is the recorded one."""
        until = await now(bank)
        event, _ = (await missed(bank, recorded, beginning(until)))[-1]
        assert (event.journal.memo, event.committed_at) == ("7", NOON + milliseconds(4))
        assert [(leg.accounts, int(leg.debit), int(leg.credit)) for leg in event.transactions] == [
            ("Assets:Cash", 100, 0),
            ("Income", 0, 100),
        ]
        assert event.position == ChangePosition(None, until)

    async def test_server_that_keeps_the_moment_no_longer_leaves_nothing_out(
        self, bank: Bank, recorded: Book, pay: Pay
    ) -> None:
        """Newer commits may come, too: those that were recorded about then."""
        until = await now(bank)
        await pay(recorded, memo="newer")
        too_old = Timestamp(until.time - 100_000, 1)
        snapshot = MovingSnapshot(bank, too_old)
        journals = await snapshot.find("medici_journals", {"book": recorded.name}, sort={"_id": 1})
        assert snapshot.moved
        assert [journal["memo"] for journal in journals] == [*map(str, range(8)), "newer"]
        # Recorded at noon, long before the cluster time that is not kept any more.
        steps = await missed(bank, recorded, beginning(too_old), page=3)
        assert shown(steps)[-1] == "newer"
        assert sorted(shown(steps)[:-1]) == list(map(str, range(8)))

    async def test_legs_of_several_times_bring_their_journal_once(self, bank: Bank, book: Book) -> None:
        """As another writer may have stored them; where the first of them in reach is."""
        journal_id = ObjectId()
        legs = [
            {
                "_id": ObjectId(),
                "_journal": journal_id,
                "account_path": [account],
                "accounts": account,
                "book": book.name,
                "credit": credit,
                "debit": 5 - credit,
                "datetime": NOON,
                "timestamp": NOON + milliseconds(number * 10),
            }
            for number, (account, credit) in enumerate([("A", 0), ("B", 5)])
        ]
        await bank["medici_transactions"].insert_many(legs)
        journal = {"_id": journal_id, "memo": "node", "datetime": NOON, "book": book.name}
        await bank["medici_journals"].insert_one(journal | {"_transactions": [leg["_id"] for leg in legs]})
        until = await now(bank)
        for page in (1, 2, 500):
            for since in (None, NOON, NOON + milliseconds(5)):
                assert shown(await missed(bank, book, beginning(until, since), page=page)) == ["node"]
        assert await missed(bank, book, beginning(until, NOON + milliseconds(11))) == []


class TestVoids:
    async def test_void_comes_before_its_reversal_and_each_is_a_step(
        self, bank: Bank, book: Book, pay: Pay
    ) -> None:
        """A follower that reverses nothing is no void; a reversal of a reversal is one."""
        first = await pay(book, memo="first")
        await pay(book, memo="refund", original_journal=first.id, debit="Income", credit="Assets:Cash")
        reversal = await book.void(first.id, "typo")
        await book.void(reversal.id, "no typo")
        steps = await missed(bank, book, beginning(await now(bank)))
        assert shown(steps) == ["first", "refund", "JournalVoided", "typo", "JournalVoided", "no typo"]
        voided = steps[2][0]
        assert (voided.journal_id, voided.book, voided.void_reason) == (first.id, book.name, "typo")
        for number, (_, progress) in enumerate(steps, start=1):
            assert shown(await missed(bank, book, progress)) == shown(steps)[number:]

    async def test_void_of_an_older_journal_comes_with_its_reversal(
        self, bank: Bank, book: Book, pay: Pay
    ) -> None:
        """Although the journal itself is out of reach."""
        first = await pay(book, memo="first")
        reversal = await book.void(first.id)
        leg = await bank["medici_transactions"].find_one({"_journal": reversal.id})
        assert leg is not None
        since = leg["timestamp"].replace(tzinfo=dt.UTC)
        await bank["medici_transactions"].update_many(
            {"_journal": first.id}, {"$set": {"timestamp": since - milliseconds(1)}}
        )
        steps = await missed(bank, book, beginning(await now(bank), since))
        assert shown(steps) == ["JournalVoided", "[VOID] first"]

    async def test_accounts_and_kinds_decide_as_in_the_stream(self, bank: Bank, book: Book, pay: Pay) -> None:
        """A void by the accounts of the journal that it voids."""
        sale = await pay(book, memo="sale", credit="Income:Sales")
        rent = await pay(book, memo="rent", credit="Rent")
        for journal in (sale, rent):
            await book.void(journal.id)
        until = beginning(await now(bank))
        sales = await missed(bank, book, until, paths=[("Income",)])
        assert shown(sales) == ["sale", "JournalVoided", "[VOID] sale"]
        voids = await missed(bank, book, until, kinds=[JournalVoided])
        assert [event.journal_id for event, _ in voids] == [sale.id, rent.id]

    async def test_journal_that_shares_the_text_of_a_void_is_none(
        self, bank: Bank, book: Book, pay: Pay
    ) -> None:
        """Where the reversal is, before or after it, only that one tells of the void."""
        first = await pay(book, memo="first")
        await pay(book, 7, memo="refund", original_journal=first.id)
        await book.void(first.id, "refund")
        await pay(book, 7, memo="refund", original_journal=first.id)
        for page in (1, 500):
            steps = await missed(bank, book, beginning(await now(bank)), page=page)
            assert shown(steps) == ["first", "refund", "JournalVoided", "refund", "refund"]

    async def test_void_whose_reversal_has_other_legs_is_told_all_the_same(
        self, bank: Bank, book: Book, pay: Pay
    ) -> None:
        """Somebody has corrected them by hand."""
        first = await pay(book, memo="first")
        reversal = await book.void(first.id, "typo")
        await bank["medici_transactions"].update_many({"_journal": reversal.id}, {"$set": {"meta.by": "x"}})
        await bank["medici_transactions"].update_many(
            {"_journal": reversal.id, "debit": {"$gt": 0}}, {"$set": {"debit": 7}}
        )
        steps = await missed(bank, book, beginning(await now(bank)))
        assert shown(steps) == ["first", "JournalVoided", "typo"]


class TestBalances:
    async def test_touched_accounts_come_once_after_the_journals(
        self, bank: Bank, book_factory: Callable[..., Book]
    ) -> None:
        """With what is above them, by dimension values, as `balance()` says."""
        book = book_factory(dimensions=("currency",))
        for memo, currency, amount in (("old", "EUR", 1), ("a", "USD", 2), ("b", "BTC", 3)):
            extra = {"currency": currency}
            await (
                book.entry(memo).debit("Assets:Cash", amount, extra).credit("Income", amount, extra).commit()
            )
        legs = {"memo": "old"}
        await bank["medici_transactions"].update_many(legs, {"$set": {"timestamp": NOON}})
        progress = beginning(await now(bank), NOON + milliseconds(1))
        steps = await missed(bank, book, progress, kinds=ALL_KINDS)
        assert shown(steps)[:2] == ["a", "b"]
        balances = [event for event, _ in steps[2:]]
        found = {(one.account, one.dimensions["currency"]): (int(one.balance), one.notes) for one in balances}
        assert found == {
            ("Assets", "BTC"): (-3, 1),
            ("Assets", "USD"): (-2, 1),
            ("Assets:Cash", "BTC"): (-3, 1),
            ("Assets:Cash", "USD"): (-2, 1),
            ("Income", "BTC"): (3, 1),
            ("Income", "USD"): (2, 1),
        }
        assert len(balances) == len(found)
        assert all(isinstance(one, BalanceChanged) for one in balances)
        income = await missed(bank, book, progress, kinds=[BalanceChanged], paths=[("Income",)])
        assert [event.account for event, _ in income] == ["Income", "Income"]


class TestDamage:
    async def test_journal_without_its_legs_is_an_error_that_can_be_passed_over(
        self, bank: Bank, recorded: Book
    ) -> None:
        """What follows it goes on at the error's progress."""
        await bank["medici_transactions"].delete_one({"memo": "5", "accounts": "Income"})
        with pytest.raises(DamagedJournalError) as caught:
            await missed(bank, recorded, beginning(await now(bank)))
        assert isinstance(caught.value.__cause__, IncompleteJournalError)
        assert shown(await missed(bank, recorded, caught.value.progress)) == ["6", "7"]

    async def test_amount_that_is_no_number_is_one_too(self, bank: Bank, recorded: Book) -> None:
        """Nothing is shown that cannot be read."""
        await bank["medici_transactions"].update_one({"memo": "6"}, {"$set": {"debit": "much"}})
        with pytest.raises(DamagedJournalError) as caught:
            await missed(bank, recorded, beginning(await now(bank)))
        assert isinstance(caught.value.__cause__, UnreadableDocumentError)
        assert shown(await missed(bank, recorded, caught.value.progress)) == ["7"]

    async def test_legs_without_a_journal_are_passed_over(self, bank: Bank, recorded: Book) -> None:
        """The stream shows none either."""
        await bank["medici_journals"].delete_one({"memo": "6"})
        await bank["medici_transactions"].update_many({"memo": "4"}, {"$unset": {"_journal": 1}})
        steps = await missed(bank, recorded, beginning(await now(bank)))
        assert shown(steps)[4:] == ["5", "7"]

    @pytest.mark.parametrize("named", [None, [ObjectId()], "text", 7])
    @pytest.mark.parametrize("apart", [0, 1])
    async def test_pages_of_legs_that_name_no_journal_are_passed_over(
        self, apart: int, named: Any, bank: Bank, recorded: Book
    ) -> None:
        """However many there are, in one millisecond or in several."""
        legs = [
            {"book": recorded.name, "_journal": named, "timestamp": NOON + milliseconds(apart * number)}
            for number in range(7)
        ]
        await bank["medici_transactions"].insert_many(legs)
        many_times = {"book": recorded.name, "_journal": ObjectId(), "timestamp": [NOON, NOON]}
        await bank["medici_transactions"].insert_many([dict(many_times) for _ in range(7)])
        async with asyncio.timeout(30):
            steps = await missed(bank, recorded, beginning(await now(bank)), page=3)
        assert sorted(shown(steps)) == list(map(str, range(8)))


async def test_only_a_recovery_reads_journals(bank: Bank, book: Book) -> None:
    """In the stream there is nothing to read."""
    with pytest.raises(AssertionError):
        await missed(bank, book, replace(beginning(Timestamp(1, 1)), recovery=None))

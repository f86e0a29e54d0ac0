"""`Book.changes`: who subscribes gets exactly what it asked for, in commit order, with exact balances."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import bson
import pytest
from bson import Int64, ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import (
    BalanceChanged,
    Book,
    ChangeHistoryLostError,
    ChangePosition,
    ChangeStreamError,
    ChangeStreamInterruptedError,
    ChangeSubscription,
    EventsDropped,
    IncompleteJournalError,
    InvalidQueryError,
    JournalPosted,
    JournalVoided,
    LiveBalances,
    Overflow,
    SubscriberTooSlowError,
    UnreadableDocumentError,
    mongo_transaction,
    open_changes,
    shared_stream,
)
from medici_py.change_events import ChangeEvent

Bank = AsyncDatabase[dict[str, Any]]
Pay = Callable[..., Awaitable[Any]]
JOURNALS = (JournalPosted, JournalVoided)
PATIENCE_SECS = 30


async def take(changes: AsyncIterator[ChangeEvent], count: int) -> list[ChangeEvent]:
    async with asyncio.timeout(PATIENCE_SECS):
        return [await anext(changes) for _ in range(count)]


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_SECS):
        while not condition():
            await asyncio.sleep(0.01)


def told(event: ChangeEvent) -> tuple[Any, ...]:
    """What an event says, without its place."""
    match event:
        case JournalPosted():
            return ("posted", event.journal.id)
        case JournalVoided():
            return ("voided", event.journal_id, event.void_reason)
        case BalanceChanged():
            dimensions = tuple(event.dimensions.items())
            return (event.account, dimensions, event.balance, event.notes, event.journal_id)
        case EventsDropped():
            return ("dropped", event.count)


def memos(events: list[ChangeEvent]) -> list[str]:
    return [event.journal.memo for event in events if isinstance(event, JournalPosted)]


async def change_streams(database: Bank) -> list[Int64]:
    """Ids of the change streams on this database."""
    operations = await database.client.admin.aggregate(
        [{"$currentOp": {"allUsers": True, "idleCursors": True}}]
    )
    cursors = [operation["cursor"] async for operation in operations if "cursor" in operation]
    return [
        Int64(cursor["cursorId"])
        for cursor in cursors
        if cursor["originatingCommand"]["$db"] == database.name and cursor["tailable"]
    ]


async def wait_for_streams(database: Bank, count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECS):
        while len(await change_streams(database)) != count:
            await asyncio.sleep(0.02)


@pytest.fixture
def collected() -> Iterator[None]:
    """Whatever the driver left to the garbage collector is collected while the test still answers for it."""
    yield
    gc.collect()


def leaves_connecting(test: Any) -> Any:
    """Mark a test that ends subscriptions while they connect: PyMongo leaves such a socket to the collector."""
    ignored = "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    return pytest.mark.usefixtures("collected")(pytest.mark.filterwarnings(ignored)(test))


class Oracle:
    """What subscribers have to be told, worked out from the journals by themselves."""

    def __init__(self, dimensions: tuple[str, ...] = ()) -> None:
        self._dimensions = dimensions
        self._balances: dict[Any, tuple[Decimal, int]] = {}

    def tells(self, event: JournalPosted | JournalVoided) -> list[tuple[Any, ...]]:
        if isinstance(event, JournalVoided):
            return [told(event)]
        touched: dict[Any, None] = {}
        for leg in event.transactions:
            values = tuple((name, leg.meta.get(name)) for name in self._dimensions)
            for depth in range(1, len(leg.account_path) + 1):
                cell = leg.account_path[:depth], values
                balance, notes = self._balances.get(cell, (Decimal(0), 0))
                self._balances[cell] = balance + leg.credit - leg.debit, notes + 1
                touched[cell] = None
        balances = [
            (":".join(path), values, *self._balances[path, values], event.journal.id)
            for path, values in sorted(touched, key=lambda cell: cell[0])
        ]
        return [told(event), *balances]


class TestEvents:
    async def test_journal_is_followed_by_the_balances_that_it_moved(
        self, driver_database: Any, pay: Pay
    ) -> None:
        """Of each account and of those above it, sorted by path; what was there before counts."""
        book = Book("MainBook", driver_database)
        await pay(book, 40, debit="Assets:Cash", credit="Income")
        async with book.changes() as changes:
            journal = await (
                book.entry("sale")
                .credit("Income:Sales", 7)
                .debit("Assets:Cash", 5)
                .debit("Assets:Bank", 2)
                .commit()
            )
            events = await take(changes, 6)
        posted, *balances = events
        assert isinstance(posted, JournalPosted)
        assert (posted.journal.id, len(posted.transactions)) == (journal.id, 3)
        assert [told(event) for event in balances] == [
            ("Assets", (), Decimal(-47), 3, journal.id),
            ("Assets:Bank", (), Decimal(-2), 1, journal.id),
            ("Assets:Cash", (), Decimal(-45), 2, journal.id),
            ("Income", (), Decimal(47), 2, journal.id),
            ("Income:Sales", (), Decimal(7), 1, journal.id),
        ]
        for event in balances:
            assert isinstance(event, BalanceChanged)
            now = await book.balance(event.account)
            assert (event.book, event.balance, event.notes) == ("MainBook", now.balance, now.notes)
            assert event.committed_at == posted.committed_at

    async def test_balances_are_told_for_each_combination_of_dimension_values(
        self, book_factory: Callable[..., Book]
    ) -> None:
        """An account that has dollars and bitcoin has two balances, in the order of the legs."""
        book = book_factory(dimensions=("currency", "layer"))
        usd, btc = {"currency": "USD", "layer": "SETTLED"}, {"currency": "BTC", "layer": "SETTLED"}
        async with book.changes("Users", kinds=[BalanceChanged]) as changes:
            entry = book.entry("swap").credit("Users:u1", "0.5", usd).debit("Pool", "0.5", usd)
            await entry.debit("Users:u1", 3, btc).credit("Pool", 3, btc).commit()
            events = await take(changes, 4)
        assert [(event.account, event.dimensions, event.balance) for event in events] == [  # type: ignore[union-attr]
            ("Users", usd, Decimal("0.5")),
            ("Users", btc, Decimal(-3)),
            ("Users:u1", usd, Decimal("0.5")),
            ("Users:u1", btc, Decimal(-3)),
        ]
        assert (await book.balance("Users", usd)).balance == Decimal("0.5")

    async def test_void_comes_before_its_reversal_and_balances_move_with_the_reversal(
        self, book: Book, pay: Pay
    ) -> None:
        """The flag itself moves nothing."""
        journal = await pay(book, 9)
        async with book.changes("Income") as changes:
            await book.void(journal.id, "typo")
            voided, reversal, balance = await take(changes, 3)
        assert told(voided) == ("voided", journal.id, "typo")
        assert isinstance(reversal, JournalPosted)
        assert told(balance) == ("Income", (), Decimal(0), 2, reversal.journal.id)

    async def test_journals_of_one_transaction_count_one_after_the_other(
        self, bank: Bank, book: Book
    ) -> None:
        """In the order in which they were posted; the last one leaves what the book says."""

        async def post(session: Any) -> None:
            for memo in ("first", "second", "third"):
                await book.entry(memo).debit("A", 1).credit("B", 1).commit(session=session)

        async with book.changes("B") as changes:
            await mongo_transaction(bank.client, post)
            events = await take(changes, 6)
        assert memos(events) == ["first", "second", "third"]
        assert [event.balance for event in events if isinstance(event, BalanceChanged)] == [1, 2, 3]

    async def test_legs_that_node_writes_without_a_transaction_count_once(
        self, bank: Bank, book: Book
    ) -> None:
        """They are in the balance before their journal comes, and are told with it."""
        journal_id, now = ObjectId(), datetime(2024, 1, 1, tzinfo=UTC)
        leg = {"_journal": journal_id, "book": "MainBook", "datetime": now, "timestamp": now, "memo": "node"}
        legs = [
            leg | {"account_path": ["A"], "accounts": "A", "credit": 0, "debit": 5.5},
            leg | {"account_path": ["B"], "accounts": "B", "credit": 5.5, "debit": 0},
        ]
        journal = {"_id": journal_id, "memo": "node", "datetime": now, "book": "MainBook"}
        async with book.changes() as changes:
            inserted = await bank["medici_transactions"].insert_many(legs)
            await bank["medici_journals"].insert_one(journal | {"_transactions": inserted.inserted_ids})
            events = await take(changes, 3)
        assert [told(event) for event in events[1:]] == [
            ("A", (), Decimal("-5.5"), 1, journal_id),
            ("B", (), Decimal("5.5"), 1, journal_id),
        ]


class TestFilters:
    async def test_account_narrows_to_journals_that_touch_it_and_to_balances_on_it_and_below(
        self, driver_database: Any, pay: Pay
    ) -> None:
        """A name that merely begins alike is another account; accounts above are not told."""
        book = Book("MainBook", driver_database)
        async with book.changes("A:B") as changes:
            await pay(book, debit="A:BC", credit="C")
            await pay(book, debit="A", credit="C")
            journal = await pay(book, debit="A:B:c", credit="C")
            await book.void(journal.id)
            events = await take(changes, 7)
        assert [told(event)[0] for event in events] == [
            "posted", "A:B", "A:B:c", "voided", "posted", "A:B", "A:B:c",
        ]  # fmt: skip

    @pytest.mark.parametrize("kind", [JournalPosted, JournalVoided, BalanceChanged])
    async def test_kinds_that_nobody_asked_for_stay_out(self, kind: type, book: Book, pay: Pay) -> None:
        """Each kind can be had alone."""
        async with book.changes("Income", kinds=[kind]) as changes:
            for _ in range(2):
                journal = await pay(book)
                await book.void(journal.id)
            events = await take(changes, 2)
        assert [type(event) for event in events] == [kind, kind]

    async def test_void_that_nobody_wanted_to_know_of_is_told_to_who_comes_later(
        self, book: Book, pay: Pay
    ) -> None:
        """The stream remembers it without having asked whose it is; another book's is still passed over."""
        async with book.changes(kinds=[JournalPosted]) as first:
            before = first.position
            journals = [await pay(one) for one in (Book("Other", book.database), book)]
            for one, journal in zip((Book("Other", book.database), book), journals, strict=True):
                await one.void(journal.id, "typo")
            await take(first, 2)
            async with book.changes("Income", after=before, kinds=[JournalVoided]) as late:
                assert told((await take(late, 1))[0]) == ("voided", journals[1].id, "typo")

    async def test_template_narrows_to_the_journals_that_it_made(
        self, bank: Bank, book: Book, pay: Pay
    ) -> None:
        """Balances count all journals all the same; the void of such a journal is one of its events."""
        async with book.changes("Income", template="sale") as changes:
            await pay(book, 10)
            journal_id, now = ObjectId(), datetime(2024, 1, 1, tzinfo=UTC)
            leg = {"_journal": journal_id, "book": "MainBook", "datetime": now, "timestamp": now, "memo": ""}
            leg |= {"account_path": ["Income"], "accounts": "Income", "credit": Int64(5), "debit": Int64(0)}
            inserted = await bank["medici_transactions"].insert_one(leg)
            journal = {
                "_id": journal_id,
                "datetime": now,
                "book": "MainBook",
                "template": {"code": "sale", "version": 1},
            }
            await bank["medici_journals"].insert_one(journal | {"_transactions": [inserted.inserted_id]})
            await bank["medici_journals"].update_one({"_id": journal_id}, {"$set": {"voided": True}})
            events = await take(changes, 3)
        assert [told(event)[:3] for event in events] == [
            ("posted", journal_id),
            ("Income", (), Decimal(15)),
            ("voided", journal_id, ""),
        ]

    async def test_other_books_of_the_database_come_if_they_are_named(
        self, bank: Bank, book: Book, pay: Pay
    ) -> None:
        """By name, or as a book with dimensions of its own; the own book only if it is among them."""
        usd = Book("Dollars", bank, dimensions=("currency",))
        async with book.changes(books=["Euros", usd]) as changes:
            await pay(book)
            await pay(Book("Euros", bank), 3, debit="A", credit="B")
            await (
                usd.entry("d").debit("A", 1, {"currency": "USD"}).credit("B", 1, {"currency": "USD"}).commit()
            )
            events = await take(changes, 6)
        balances = [event for event in events if isinstance(event, BalanceChanged)]
        assert [(event.book, event.account, event.dimensions) for event in balances] == [
            ("Euros", "A", {}),
            ("Euros", "B", {}),
            ("Dollars", "A", {"currency": "USD"}),
            ("Dollars", "B", {"currency": "USD"}),
        ]

    @pytest.mark.parametrize(
        ("argument", "value"),
        [
            ("account", []),
            ("kinds", []),
            ("kinds", [int]),
            ("books", []),
            ("template", ""),
            ("template", 5),
            ("after", {"_data": "nonsense"}),
            ("after", {"_data": "8265"}),
            ("after", {"_data": 5}),
            ("after", {"token": 5, "cluster_time": None}),
            ("after", {"token": None, "cluster_time": 5}),
            ("after", ChangePosition({}, None)),
            ("after", 7),
            ("after", {"nonsense": 1}),
            ("after", datetime(2024, 1, 1)),  # noqa: DTZ001 - a time without a zone
            ("buffer", 0),
            ("buffer", 2.5),
            ("on_overflow", "wait"),
        ],
    )
    async def test_argument_that_means_nothing_is_refused_at_the_call(
        self, argument: str, value: object
    ) -> None:
        """Not with the first event, which may be hours away; no server is asked."""
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient("mongodb://127.0.0.1:1", connect=False)
        book = Book("MainBook", client["nowhere"])
        with pytest.raises(InvalidQueryError) as caught:
            book.changes(**{argument: value})  # type: ignore[arg-type]
        assert caught.value.field == argument
        await client.close()

    def test_book_of_another_database_is_refused(self, bank: Bank, book: Book) -> None:
        """Its changes are on another stream."""
        other = Book("Other", bank.client["elsewhere"])
        with pytest.raises(InvalidQueryError, match="another database"):
            book.changes(books=[book, other])
        with pytest.raises(InvalidQueryError, match="given twice"):
            book.changes(books=[book, Book("MainBook", bank, dimensions=("currency",))])


@leaves_connecting
class TestSharing:
    async def test_any_number_of_subscribers_share_one_stream_which_the_last_one_closes(
        self, driver_database: Any, bank: Bank, pay: Pay
    ) -> None:
        """Also those of other `Book` objects on the same database."""
        books = [Book("MainBook", driver_database) for _ in range(5)]
        subscriptions = [book.changes() for book in books]
        for changes in subscriptions:
            await changes.__aenter__()
        await wait_for_streams(bank, 1)
        await pay(books[0])
        seen = [await take(changes, 4) for changes in subscriptions]
        assert len({tuple(map(told, events)) for events in seen}) == 1
        assert all(one is other for one, other in zip(seen[0], seen[1], strict=True))
        for changes in subscriptions[:-1]:
            await changes.aclose()
        await wait_for_streams(bank, 1)  # between two reads the server may not name it for a moment
        await subscriptions[-1].aclose()
        await wait_for_streams(bank, 0)

    async def test_all_subscribers_see_the_same_events_in_the_same_order(self, book: Book, pay: Pay) -> None:
        """While several posters post at once."""
        subscriptions = [book.changes() for _ in range(8)]
        for changes in subscriptions:
            await changes.__aenter__()
        posted = await asyncio.gather(*[pay(book, number + 1) for number in range(60)])
        seen = await asyncio.gather(*[take(changes, 60 * 4) for changes in subscriptions])
        expected = [told(event) for event in seen[0]]
        assert all([told(event) for event in events] == expected for events in seen)
        assert {journal.id for journal in posted} == {one[1] for one in expected if one[0] == "posted"}
        for changes in subscriptions:
            await changes.aclose()

    async def test_iteration_without_a_block_opens_at_its_first_step(
        self, bank: Bank, book: Book, pay: Pay
    ) -> None:
        """And leaves nothing behind when it is closed, or merely left."""
        async with aclosing(book.changes()) as changes:
            first = asyncio.ensure_future(anext(changes))
            await wait_for_streams(bank, 1)
            while not first.done():
                await pay(book)
                await asyncio.sleep(0.01)
            assert isinstance(await first, JournalPosted)
        await wait_for_streams(bank, 0)

        async def read_one() -> None:
            async for _ in book.changes():
                break

        reading = asyncio.ensure_future(read_one())
        while not reading.done():
            await pay(book)
            await asyncio.sleep(0.01)
        gc.collect()
        await wait_for_streams(bank, 0)

    async def test_cancelled_reader_leaves_nothing_behind(self, driver_database: Any, bank: Bank) -> None:
        """A task that is cancelled while it waits."""

        async def read() -> None:
            async with Book("MainBook", driver_database).changes() as changes:
                async for _ in changes:
                    pass

        reader = asyncio.ensure_future(read())
        await wait_for_streams(bank, 1)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await wait_for_streams(bank, 0)

    async def test_cancelled_step_loses_nothing(self, book: Book, pay: Pay) -> None:
        """A timeout around a step is safe, the first one included."""
        changes = book.changes(kinds=JOURNALS)
        seen: list[ChangeEvent] = []
        for patience_ms in range(2_000):
            try:
                seen.append(await asyncio.wait_for(anext(changes), patience_ms % 7 / 1000))
            except TimeoutError:
                await pay(book, memo=str(patience_ms))
            if len(seen) == 20:
                break
        numbers = [int(memo) for memo in memos(seen)]
        assert len(numbers) == 20
        posted = [journal["memo"] async for journal in book.database["medici_journals"].find().sort("_id")]
        first = posted.index(str(numbers[0]))
        assert memos(seen) == posted[first : first + 20]
        await changes.aclose()

    async def test_closed_subscription_has_no_more_events(self, book: Book, pay: Pay) -> None:
        """Also for a reader that waits, and for good."""
        changes = book.changes()
        async with changes:
            waiting = asyncio.ensure_future(anext(changes, None))
            await asyncio.sleep(0)
        assert await asyncio.wait_for(waiting, PATIENCE_SECS) is None
        assert [event async for event in changes] == []
        with pytest.raises(InvalidQueryError, match="was closed"):
            await changes.__aenter__()


class TestPosition:
    @pytest.mark.parametrize("year", [1, 1969, 2200])
    async def test_time_that_mongodb_s_clock_does_not_have_is_the_nearest_it_has(
        self, year: int, book: Book, pay: Pay
    ) -> None:
        """That is everything there is, or nothing so far."""
        await pay(book, memo="first")
        async with book.changes(kinds=[JournalPosted], after=datetime(year, 1, 1, tzinfo=UTC)) as changes:
            reading = asyncio.create_task(anext(changes))
            done, _ = await asyncio.wait([reading], timeout=PATIENCE_SECS if year < 2000 else 0.3)
            assert [memos([task.result()]) for task in done] == ([["first"]] if year < 2000 else [])
            reading.cancel()
            await asyncio.wait([reading])

    @pytest.mark.parametrize("joined", [True, False])
    async def test_every_position_goes_on_right_after_its_event(
        self, joined: bool, book: Book, pay: Pay
    ) -> None:
        """Between the events of one journal, too; whether the shared stream is open or not."""
        everything: list[ChangeEvent] = []
        async with book.changes() as changes:
            journal = await pay(book, 1, memo="first", debit="A:b", credit="C")
            await book.void(journal.id, "second")
            await pay(book, 3, memo="third", debit="A:b", credit="C")
            for _ in range(13):
                everything += await take(changes, 1)
                assert changes.position == everything[-1].position
        async with AsyncExitStack() as stack:
            if joined:
                await stack.enter_async_context(book.changes())
            for number, event in enumerate(everything[:-1], start=1):
                async with book.changes(after=event.position.to_document()) as more:
                    rest = await take(more, 13 - number)
                assert [told(one) for one in rest] == [told(one) for one in everything[number:]]
                assert [one.position for one in rest] == [one.position for one in everything[number:]]

    async def test_position_moves_on_while_nothing_happens_that_was_asked_for(
        self, book: Book, pay: Pay
    ) -> None:
        """Who stores it does not fall out of MongoDB's history."""
        async with book.changes("Nothing") as changes:
            before = changes.position
            await pay(book)
            await until(lambda: changes.position != before)
            assert changes.position.sort_key > before.sort_key
            assert changes.lag.events == 0
            assert changes.lag.seconds == 0

    async def test_resume_token_and_stored_document_are_positions_too(self, book: Book, pay: Pay) -> None:
        """Whatever an application kept of an earlier stream."""
        async with book.changes(kinds=JOURNALS) as changes:
            await pay(book, memo="first")
            [first] = await take(changes, 1)
            await pay(book, memo="second")
            for after in (first.position, first.position.to_document(), first.position.token):
                async with book.changes(after=after, kinds=JOURNALS) as more:
                    assert memos(await take(more, 1)) == ["second"]

    async def test_time_means_what_was_committed_after_it(self, book: Book, pay: Pay) -> None:
        """By the server's wall clock, to the millisecond."""
        async with book.changes(kinds=JOURNALS) as changes:
            for memo in ("first", "second", "third"):
                await pay(book, memo=memo)
                await asyncio.sleep(0.002)
            times = [event.committed_at for event in await take(changes, 3)]  # type: ignore[union-attr]
        async with book.changes(kinds=JOURNALS, after=times[0]) as changes:
            assert memos(await take(changes, 2)) == ["second", "third"]
        async with book.changes("Income", after=times[1]) as changes:
            assert [told(event)[2:4] for event in await take(changes, 2)][1] == (Decimal(300), 3)

    async def test_position_of_a_time_still_means_that_time(self, book: Book, pay: Pay) -> None:
        """Stored before anything came, it brings nothing that was committed before the time."""
        async with book.changes(kinds=JOURNALS) as changes:
            for memo in ("first", "second"):
                await pay(book, memo=memo)
                await asyncio.sleep(0.002)
            times = [event.committed_at for event in await take(changes, 2)]  # type: ignore[union-attr]
        unopened = book.changes(kinds=JOURNALS, after=times[1])
        positions = [unopened.position]
        async with book.changes(kinds=JOURNALS, after=times[1]) as changes:
            positions.append(changes.position)
            await until(lambda: changes.position.token is not None)
            positions.append(changes.position)
            await pay(book, memo="third")
            for position in positions:
                stored = bson.decode(bson.encode(position.to_document()))
                async with book.changes(kinds=JOURNALS, after=stored) as again:
                    assert memos(await take(again, 1)) == ["third"]
            [third] = await take(changes, 1)
            assert changes.position == third.position
            assert third.position.since is None

    async def test_damaged_position_is_an_error_at_the_first_step(self, book: Book) -> None:
        """In the server's words, without the rest of its reply; afterwards there is nothing more."""
        async with book.changes(after={"_data": "8265A000000000000000"}) as changes:
            with pytest.raises(ChangeStreamError, match=r"8265A0.* Give a resume token as it was") as caught:
                await take(changes, 1)
            assert "full error" not in str(caught.value)
            assert [event async for event in changes] == []


class TestOverflow:
    async def test_waiting_subscriber_slows_nobody_and_loses_nothing(
        self, bank: Bank, book: Book, pay: Pay, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Far behind it holds a few events only; then it gets all of them, with the balances of their time."""
        monkeypatch.setattr(shared_stream, "RECENT_LEGS", 12)
        async with book.changes() as quick, book.changes(buffer=8) as stuck:
            for number in range(1, 101):
                await pay(book, number)
            everything = await take(quick, 400)
            assert 0 < stuck.lag.events <= 8
            await until(lambda: stuck.lag.events <= 8)
            assert stuck.lag.seconds >= 0
            seen = await take(stuck, 400)
            assert [told(event) for event in seen] == [told(event) for event in everything]
            await pay(book, 7, memo="live again")
            assert memos(await take(stuck, 4)) == ["live again"]
            await wait_for_streams(bank, 1)
            assert stuck.dropped == 0

    async def test_memory_stays_flat_with_a_stuck_subscriber(
        self, book: Book, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Five hundred journals that it does not take cost nothing."""
        monkeypatch.setattr(shared_stream, "RECENT_LEGS", 50)

        async def post_and_read(changes: ChangeSubscription, count: int) -> int:
            for _ in range(count // 100):
                async with book.batch() as batch:
                    for _ in range(100):
                        batch.add(book.entry("x" * 2_000).debit("A:b", 1).credit("C", 1))
                await take(changes, 400)
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        async with book.changes() as quick, book.changes(buffer=8):
            tracemalloc.start()
            try:
                before = await post_and_read(quick, 200)
                after = await post_and_read(quick, 500)
            finally:
                tracemalloc.stop()
        assert after - before < 500_000  # the memos alone would be a million

    async def test_dropping_subscriber_is_told_how_much_it_missed_and_where(
        self, book: Book, pay: Pay
    ) -> None:
        """The newest events are kept; what is missing can be read again."""
        dropping = book.changes(buffer=6, on_overflow=Overflow.DROP)
        async with book.changes() as quick, dropping:
            for number in range(1, 11):
                await pay(book, number)
            everything = await take(quick, 40)
            await until(lambda: dropping.position.sort_key >= "" and dropping.dropped >= 34)
            gap, *rest = await take(dropping, 7)
            assert isinstance(gap, EventsDropped)
            assert gap.count == dropping.dropped == 34
            assert [told(event) for event in rest] == [told(event) for event in everything[34:]]
            assert gap.position == everything[33].position
            async with book.changes(after=gap.after) as again:
                missed = await take(again, 34)
            assert [told(event) for event in missed] == [told(event) for event in everything[:34]]
            await pay(book, memo="next")
            assert memos(await take(dropping, 4)) == ["next"]

    async def test_closing_subscriber_gets_what_it_has_and_then_the_error(self, book: Book, pay: Pay) -> None:
        """Its position is where a new subscription goes on."""
        closing = book.changes(kinds=JOURNALS, buffer=3, on_overflow=Overflow.CLOSE)
        async with book.changes(kinds=JOURNALS) as quick, closing:
            for number in range(6):
                await pay(book, memo=str(number))
            await take(quick, 6)
            assert memos(await take(closing, 3)) == ["0", "1", "2"]
            with pytest.raises(SubscriberTooSlowError, match="3 events in a buffer for 3") as caught:
                await take(closing, 1)
            assert [event async for event in closing] == []
            async with book.changes(kinds=JOURNALS, after=caught.value.position) as again:
                assert memos(await take(again, 3)) == ["3", "4", "5"]

    async def test_journal_with_more_events_than_the_buffer_comes_whole(self, book: Book, pay: Pay) -> None:
        """A buffer never stands in the way for good."""
        async with book.changes(buffer=1) as changes:
            for number in range(1, 4):
                await pay(book, number)
            events = await take(changes, 12)
        assert [
            event.balance
            for event in events
            if isinstance(event, BalanceChanged) and event.account == "Income"
        ] == [1, 3, 6]


class Crowd:
    """Subscribers that begin anywhere, read at any pace, and leave at any time, until they are told to stop."""

    def __init__(self, book: Book, chance: random.Random) -> None:
        self.runs: list[list[tuple[Any, ...]]] = []
        self.is_over = False
        self._book = book
        self._chance = chance
        self._positions: list[ChangePosition] = []

    async def come_and_go(self) -> None:
        while not self.is_over:
            self.runs.append([told(event) async for event in self._some_events()])

    async def _some_events(self) -> AsyncIterator[ChangeEvent]:
        chance = self._chance
        after = chance.choice([None, *self._positions[-20:]])
        count = chance.randrange(20, 200)
        async with self._book.changes(after=after, buffer=chance.choice([1, 10, 500])) as changes:
            while count and not self.is_over:
                try:
                    yield await asyncio.wait_for(anext(changes), 0.1)
                except TimeoutError:
                    continue
                count -= 1
                self._positions.append(changes.position)
                if chance.random() < 0.1:
                    await asyncio.sleep(chance.random() / 50)


async def post_at_random(book: Book, chance: random.Random, count: int) -> None:
    accounts = ["A", "A:x", "A:y", "B:z:1", "B:z:2", "C"]
    for number in range(count):
        unit = {"currency": chance.choice(["USD", "BTC"])}
        amount = Decimal(chance.randrange(1, 10**6)) / chance.choice([1, 100])
        debit, credit = chance.choice(accounts), chance.choice(accounts)
        entry = book.entry(str(number)).debit(debit, amount, unit).credit(credit, amount, unit)
        journal = await entry.commit()
        if chance.random() < 0.1:
            await book.void(journal.id)


@leaves_connecting
@pytest.mark.parametrize("remembered_legs", [3, 60])
async def test_subscribers_that_come_and_go_at_random_miss_nothing_and_see_exact_balances(
    remembered_legs: int, book_factory: Callable[..., Book], bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sees a gapless run of what the journals say, wherever it began and however slow it is."""
    monkeypatch.setattr(shared_stream, "RECENT_LEGS", remembered_legs)
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    book = book_factory(dimensions=("currency",))
    crowd, oracle, expected = Crowd(book, chance), Oracle(("currency",)), []
    async with open_changes(bank) as truth:
        subscribers = [asyncio.ensure_future(crowd.come_and_go()) for _ in range(6)]
        await asyncio.gather(*[post_at_random(book, chance, 40) for _ in range(4)])
        usd = {"currency": "USD"}
        last = await book.entry("last").debit("A", 1, usd).credit("C", 1, usd).commit()
        async with asyncio.timeout(PATIENCE_SECS):
            await until(lambda: sum(map(len, crowd.runs)) > 200)
            crowd.is_over = True
            await asyncio.gather(*subscribers)
            async for event in truth:
                expected.extend(oracle.tells(event))
                if told(event) == ("posted", last.id):
                    break
    for run in filter(None, crowd.runs):
        first = expected.index(run[0])
        assert expected[first : first + len(run)] == run, f"seed {seed}"


@leaves_connecting
class TestFailures:
    async def test_killed_stream_is_opened_again_and_balances_stay_exact(
        self, bank: Bank, book: Book, pay: Pay
    ) -> None:
        """A server that forgets the cursor costs no event."""
        async with book.changes("Income") as changes:
            await pay(book, 1)
            await take(changes, 2)
            for number in (2, 3):
                await bank.command({"killCursors": "$cmd.aggregate", "cursors": await change_streams(bank)})
                await pay(book, number)
                assert [told(event)[2:] for event in await take(changes, 2)][1][0] == sum(range(number + 1))

    @pytest.mark.parametrize(
        "failure",
        [
            pytest.param({"closeConnection": True}, id="broken connection"),
            pytest.param({"errorCode": 11602, "errorLabels": ["ResumableChangeStreamError"]}, id="election"),
        ],
    )
    async def test_reads_that_fail_for_a_while_lose_nothing(
        self, failure: dict[str, Any], faulty_bank: Bank, fail: Any, pay: Pay
    ) -> None:
        """Several in a row, of the read and of the reopening."""
        book = Book("MainBook", faulty_bank)
        async with book.changes("Income") as changes:
            await fail("getMore", times=3, **failure)
            await pay(book, 4)
            assert [told(event)[2:] for event in await take(changes, 2)][1][:2] == (Decimal(4), 1)

    async def test_lost_history_ends_every_subscription_at_its_own_position(
        self, faulty_bank: Bank, fail: Any, pay: Pay
    ) -> None:
        """What waits is handed out before; a new subscription opens a new stream."""
        book = Book("MainBook", faulty_bank)
        async with book.changes(kinds=JOURNALS) as behind, book.changes(kinds=JOURNALS) as ahead:
            await pay(book, memo="first")
            await pay(book, memo="second")
            second = (await take(ahead, 2))[1]
            await fail("getMore", errorCode=286)
            for changes, waiting in ((ahead, []), (behind, ["first", "second"])):
                assert memos(await take(changes, len(waiting))) == waiting
                with pytest.raises(ChangeHistoryLostError) as caught:
                    await take(changes, 1)
                assert caught.value.position.sort_key >= second.position.sort_key
            async with book.changes(kinds=JOURNALS, after=second.position) as again:
                await pay(book, memo="third")
                assert memos(await take(again, 1)) == ["third"]

    async def test_look_up_that_fails_can_be_resumed(self, faulty_bank: Bank, fail: Any, pay: Pay) -> None:
        """The position of the error is before the void, which comes again after it."""
        book = Book("MainBook", faulty_bank)
        async with book.changes("Income", kinds=JOURNALS) as changes:
            journal = await pay(book)
            await fail("find", collection="medici_transactions", errorCode=8000)
            await faulty_bank["medici_journals"].update_one({"_id": journal.id}, {"$set": {"voided": True}})
            with pytest.raises(ChangeStreamInterruptedError, match="could not be looked up") as caught:
                await take(changes, 2)
        async with book.changes("Income", after=caught.value.position) as changes:
            assert told((await take(changes, 1))[0]) == ("voided", journal.id, "")

    async def test_journal_that_cannot_be_read_is_an_error_and_passed_over(
        self, bank: Bank, book: Book, pay: Pay
    ) -> None:
        """Once, in its turn, for whoever follows its book; its legs count as they do in the database."""
        now = datetime(2024, 1, 1, tzinfo=UTC)
        async with book.changes("Income") as changes, book.changes(books=["Other"]) as others:
            leg = {
                "_id": ObjectId(),
                "account_path": ["Income"],
                "accounts": "Income",
                "credit": 5,
                "debit": 0,
            }
            leg |= {"_journal": ObjectId(), "book": "MainBook", "datetime": now, "timestamp": now}
            await bank["medici_transactions"].insert_one(leg)
            journal = {"_id": leg["_journal"], "memo": "", "datetime": now, "book": "MainBook"}
            await bank["medici_journals"].insert_one(journal | {"_transactions": [leg["_id"], ObjectId()]})
            await pay(book, 2, memo="good")
            await pay(Book("Other", bank), memo="other")
            with pytest.raises(IncompleteJournalError) as caught:
                await take(changes, 1)
            assert caught.value.position is not None
            posted, balance = await take(changes, 2)
            assert memos(await take(others, 1)) == ["other"]
        assert memos([posted]) == ["good"]
        assert told(balance)[2:4] == (Decimal(7), 2)

    @pytest.mark.parametrize("in_own_book", [False, True], ids=["another book", "own book"])
    async def test_odd_documents_of_other_writers_stop_nobody(
        self, in_own_book: bool, bank: Bank, book: Book, pay: Pay
    ) -> None:
        """They share the collections; what is nobody's journal is passed over, what is one of ours is named."""
        name, odd_id = "MainBook" if in_own_book else "Other", {"odd": [1]}
        async with (
            book.changes() as changes,
            open_changes(bank, ["MainBook"]) as plain,
            LiveBalances(book) as live,
        ):
            for leg in (
                {"account_path": 7},
                {"_journal": [1]},
                {"_journal": odd_id},
                {"_id": odd_id},
                {"book": [name]},
            ):
                await bank["medici_transactions"].insert_one({"book": name, "_journal": ObjectId(), **leg})
            for journal in ({}, {"book": 7}, {"book": ["MainBook"], "_transactions": [odd_id]}):
                await bank["medici_journals"].insert_one({"memo": "nobody's", **journal})
            for named in (5, [odd_id]):
                await bank["medici_journals"].insert_one(
                    {"memo": "odd", "book": name, "_transactions": named, "_id": {"odd": repr(named)}}
                )
            await bank["medici_journals"].update_many({}, {"$set": {"voided": True}})
            good = await pay(book, 2, memo="good")
            for stream in (changes, plain):
                met: list[Any] = []
                while not met or not isinstance(met[-1], JournalPosted):
                    try:
                        met += await take(stream, 1)
                    except (UnreadableDocumentError, IncompleteJournalError) as exc:
                        met.append(exc)
                assert met[-1].journal.id == good.id
                assert [type(one) for one in met[:2]] == (
                    [UnreadableDocumentError, IncompleteJournalError] if in_own_book else [JournalPosted]
                )[: len(met)]
            balances = await take(changes, 3)
            assert [told(event)[2] for event in balances] == [Decimal(-2), Decimal(-2), Decimal(2)]
            await until(lambda: live.balance("MainBook", "Income").balance == 2)
            assert live.restarts == 0

    async def test_amount_that_is_no_number_ends_the_balances_of_its_book_alone(
        self, bank: Bank, book: Book, pay: Pay
    ) -> None:
        """`balance` refuses to answer, too; journals go on for who wants only those."""
        now = datetime(2024, 1, 1, tzinfo=UTC)
        async with book.changes() as changes, book.changes(kinds=JOURNALS) as journals:
            leg = {"account_path": ["Income"], "accounts": "Income", "credit": "five", "debit": 0}
            leg |= {"_journal": ObjectId(), "book": "MainBook", "datetime": now, "timestamp": now}
            await bank["medici_transactions"].insert_one(leg)
            await pay(book, memo="good")
            for _ in range(2):
                with pytest.raises(UnreadableDocumentError, match="credit"):
                    await take(changes, 1)
                await pay(book, memo="more")
            assert memos(await take(journals, 3)) == ["good", "more", "more"]


def test_subscription_is_what_changes_returns(book: Book) -> None:
    """Nothing is opened by the call."""
    changes = book.changes()
    assert isinstance(changes, ChangeSubscription)
    assert changes.position == ChangePosition(None, None)
    assert changes.lag.events == changes.dropped == 0

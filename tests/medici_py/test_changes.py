"""Every journal comes once, whole, in commit order, and reading can stop and go on anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Int64, ObjectId
from pymongo import AsyncMongoClient, monitoring
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_preferences import SecondaryPreferred

from medici_py import Book, init_models, mongo_transaction
from medici_py.change_feed import FeedSettings
from medici_py.changes import (
    ChangeHistoryLostError,
    ChangePosition,
    ChangeStreamError,
    ChangeStreamInterruptedError,
    JournalChange,
    JournalChanges,
    JournalPosted,
    JournalVoided,
    open_changes,
    watch_journals,
)
from medici_py.embedded import EmbeddedMongo
from medici_py.errors import IncompleteJournalError, UnreadableDocumentError

Bank = AsyncDatabase[dict[str, Any]]
NOW = datetime(2024, 1, 1, tzinfo=UTC)


async def take(changes: AsyncIterator[JournalChange], count: int) -> list[JournalChange]:
    async with asyncio.timeout(30):
        return [await anext(changes) for _ in range(count)]


def memos(events: list[JournalChange]) -> list[str]:
    return [event.journal.memo if isinstance(event, JournalPosted) else "(void)" for event in events]


async def cursors_on_the_server(database: Bank) -> list[Int64]:
    """Ids of the change streams on this database, whether idle or waiting for a change."""
    operations = await database.client.admin.aggregate(
        [{"$currentOp": {"allUsers": True, "idleCursors": True}}]
    )
    cursors = [operation["cursor"] async for operation in operations if "cursor" in operation]
    return [
        Int64(cursor["cursorId"])
        for cursor in cursors
        if cursor["originatingCommand"]["$db"] == database.name and cursor["tailable"]
    ]


async def wait_for_cursors(database: Bank, count: int) -> None:
    async with asyncio.timeout(30):
        while len(await cursors_on_the_server(database)) != count:
            await asyncio.sleep(0.02)


async def node_medici_writes(database: Bank, memo: str, *, journal_later: bool = False) -> dict[str, Any]:
    """Write a journal as Node's medici does: the legs, then the journal, without a transaction."""
    journal_id = ObjectId()
    legs = [
        {
            "_journal": journal_id,
            "account_path": ["A"],
            "accounts": "A",
            "book": "MainBook",
            "credit": 0,
            "debit": 5.5,
        },
        {
            "_journal": journal_id,
            "account_path": ["B"],
            "accounts": "B",
            "book": "MainBook",
            "credit": 5.5,
            "debit": 0,
        },
    ]
    inserted = await database["medici_transactions"].insert_many(
        [leg | {"datetime": NOW, "timestamp": NOW, "memo": memo} for leg in legs]
    )
    journal = {"_id": journal_id, "memo": memo, "datetime": NOW, "book": "MainBook"}
    journal["_transactions"] = inserted.inserted_ids
    if not journal_later:
        await database["medici_journals"].insert_one(journal)
    return journal


class TestEvents:
    async def test_posted_journal_comes_with_its_legs_in_posting_order(
        self, driver_database: Any, pay: Callable[..., Any]
    ) -> None:
        """The event holds what commit() returned and every leg, through each driver."""
        book = Book("MainBook", driver_database)
        async with open_changes(driver_database) as changes:
            entry = (
                book.entry("rent")
                .debit("Rent", 3)
                .debit("Fees", "0.25")
                .credit("Cash", "3.25", {"client": "Joe"})
            )
            journal = await entry.commit()
            [event] = await take(changes, 1)
        assert isinstance(event, JournalPosted)
        assert event.journal.id == journal.id
        assert [(leg.accounts, str(leg.debit), str(leg.credit)) for leg in event.transactions] == [
            ("Rent", "3", "0"),
            ("Fees", "0.25", "0"),
            ("Cash", "0", "3.25"),
        ]
        assert event.transactions[2].meta == {"client": "Joe"}
        assert event.committed_at.tzinfo is not None
        assert event.position.cluster_time is not None

    async def test_void_comes_before_its_reversal(
        self, bank: Bank, book: Book, pay: Callable[..., Any]
    ) -> None:
        """The flag on the old journal is one event, the new journal another."""
        async with open_changes(bank) as changes:
            journal = await pay(book, 7)
            reversal = await book.void(journal.id, "typo")
            posted, voided, reversed_ = await take(changes, 3)
        assert isinstance(posted, JournalPosted)
        assert isinstance(voided, JournalVoided)
        assert (voided.journal_id, voided.book, voided.void_reason) == (journal.id, "MainBook", "typo")
        assert isinstance(reversed_, JournalPosted)
        assert reversed_.journal.id == reversal.id
        assert {leg.original_journal for leg in reversed_.transactions} == {journal.id}

    async def test_journals_of_one_transaction_come_in_the_order_they_were_posted(
        self, bank: Bank, book: Book
    ) -> None:
        """A caller's own session commits several journals at once."""

        async def post(session: Any) -> None:
            for memo in ("first", "second", "third"):
                await book.entry(memo).debit("A", 1).credit("B", 1).commit(session=session)

        async with open_changes(bank) as changes:
            await mongo_transaction(bank.client, post)
            events = await take(changes, 3)
        assert memos(events) == ["first", "second", "third"]
        assert len({event.position.cluster_time for event in events}) == 1

    async def test_aborted_transaction_never_shows(
        self, bank: Bank, book: Book, pay: Callable[..., Any]
    ) -> None:
        """Only what is committed is a change."""
        async with open_changes(bank) as changes:
            async with bank.client.start_session() as session:
                await session.start_transaction()
                await book.entry("lost").debit("A", 1).credit("B", 1).commit(session=session)
                await session.abort_transaction()
            await pay(book, memo="kept")
            assert memos(await take(changes, 1)) == ["kept"]

    async def test_other_books_are_left_out(self, bank: Bank, pay: Callable[..., Any]) -> None:
        """Journals and voids of books that nobody asked for do not come."""
        ours, theirs = Book("Ours", bank), Book("Theirs", bank)
        async with open_changes(bank, {"Ours"}) as changes:
            journal = await pay(theirs, memo="theirs")
            await theirs.void(journal.id)
            await pay(ours, memo="ours")
            assert memos(await take(changes, 1)) == ["ours"]

    async def test_concurrent_journals_each_come_once(
        self, bank: Bank, book: Book, pay: Callable[..., Any]
    ) -> None:
        """However the commits interleave."""
        async with open_changes(bank) as changes:
            journals = await asyncio.gather(*[pay(book, number, memo=str(number)) for number in range(1, 41)])
            events = await take(changes, 40)
        assert sorted(memos(events)) == sorted(journal.memo for journal in journals)
        assert all(len(event.transactions) == 2 for event in events if isinstance(event, JournalPosted))
        times = [(at.time, at.inc) for event in events if (at := event.position.cluster_time) is not None]
        assert times == sorted(times)


class TestNodeMedici:
    async def test_journal_written_without_a_transaction_is_whole(self, bank: Bank) -> None:
        """Node inserts the legs, then the journal; both together are one event."""
        async with open_changes(bank) as changes:
            await node_medici_writes(bank, "from Node")
            [event] = await take(changes, 1)
        assert isinstance(event, JournalPosted)
        assert [(leg.accounts, str(leg.debit), str(leg.credit)) for leg in event.transactions] == [
            ("A", "5.5", "0"),
            ("B", "0", "5.5"),
        ]

    async def test_stream_opened_between_legs_and_journal_reads_the_legs(self, bank: Bank) -> None:
        """What the stream did not see is read from the database."""
        journal = await node_medici_writes(bank, "half", journal_later=True)
        async with open_changes(bank) as changes:
            await bank["medici_journals"].insert_one(journal)
            [event] = await take(changes, 1)
        assert isinstance(event, JournalPosted)
        assert [leg.id for leg in event.transactions] == journal["_transactions"]


class TestResuming:
    async def test_nothing_between_opening_and_reading_is_lost(
        self, bank: Bank, book: Book, pay: Callable[..., Any]
    ) -> None:
        """The place is fixed when the block is entered."""
        await pay(book, memo="before")
        async with open_changes(bank) as changes:
            await pay(book, memo="after")
            assert memos(await take(changes, 1)) == ["after"]

    @pytest.mark.parametrize("stop_after", [1, 2, 3, 4])
    async def test_stored_position_resumes_right_after_the_event(
        self, stop_after: int, bank: Bank, book: Book, pay: Callable[..., Any]
    ) -> None:
        """Also between the journals of one transaction, and between a void and its reversal."""
        async with open_changes(bank) as changes:
            journal = await pay(book, memo="first")
            await book.void(journal.id, "second")
            await pay(book, memo="third")
            seen = await take(changes, stop_after)
            position = ChangePosition.from_document(seen[-1].position.to_document())
        async with open_changes(bank, after=position) as changes:
            seen += await take(changes, 4 - stop_after)
        assert memos(seen) == ["first", "(void)", "second", "third"]

    async def test_idle_stream_moves_its_position(
        self, bank: Bank, book: Book, pay: Callable[..., Any]
    ) -> None:
        """A reader to whom nothing happens can still store where it is."""
        settings = FeedSettings(max_await_time_ms=50)
        async with open_changes(bank, {"MainBook"}, settings=settings) as changes:
            before = changes.position
            waiting = asyncio.ensure_future(anext(changes))
            await pay(Book("Other", bank))
            async with asyncio.timeout(30):
                while changes.position == before:
                    await asyncio.sleep(0.02)
            await pay(book, memo="at last")
            async with asyncio.timeout(30):
                event = await waiting
        assert memos([event]) == ["at last"]

    async def test_cancelled_read_loses_nothing(
        self, driver_database: Any, bank: Bank, book: Book, pay: Callable[..., Any]
    ) -> None:
        """A timeout around a read is safe, whenever it strikes."""
        expected = [str(number) for number in range(12)]
        seen: list[JournalChange] = []

        async def post() -> None:
            for memo in expected:
                await pay(book, memo=memo)

        async with open_changes(driver_database, settings=FeedSettings(max_await_time_ms=50)) as changes:
            poster = asyncio.ensure_future(post())
            async with asyncio.timeout(60):
                for patience_ms in itertools.cycle(range(1, 40, 3)):
                    with contextlib.suppress(TimeoutError):
                        seen.append(await asyncio.wait_for(anext(changes), patience_ms / 1000))
                    if len(seen) == len(expected):
                        break
            await poster
        assert memos(seen) == expected

    async def test_killed_cursor_is_reopened(self, bank: Bank, book: Book, pay: Callable[..., Any]) -> None:
        """A server that forgets the cursor costs nothing."""
        async with open_changes(bank, settings=FeedSettings(max_await_time_ms=100)) as changes:
            await pay(book, memo="first")
            assert memos(await take(changes, 1)) == ["first"]
            ids = await cursors_on_the_server(bank)
            await bank.command({"killCursors": "$cmd.aggregate", "cursors": ids})
            await pay(book, memo="second")
            assert memos(await take(changes, 1)) == ["second"]


class TestClosing:
    async def test_leaving_the_block_closes_the_cursor(self, driver_database: Any, bank: Bank) -> None:
        """Nothing stays behind on the server, through each driver."""
        async with open_changes(driver_database):
            await wait_for_cursors(bank, 1)
        await wait_for_cursors(bank, 0)

    async def test_aclose_closes_the_cursor(self, bank: Bank, book: Book, pay: Callable[..., Any]) -> None:
        """An iteration that is left early is closed with aclose()."""
        changes = watch_journals(bank)
        first = asyncio.ensure_future(anext(changes))
        await wait_for_cursors(bank, 1)
        await pay(book, memo="one")
        assert memos([await asyncio.wait_for(first, 30)]) == ["one"]
        await changes.aclose()
        await wait_for_cursors(bank, 0)

    async def test_cancelled_reader_closes_the_cursor(self, driver_database: Any, bank: Bank) -> None:
        """A task that is cancelled while it waits leaves no cursor."""

        async def read() -> None:
            async for _ in watch_journals(driver_database):
                pass

        reader = asyncio.ensure_future(read())
        await wait_for_cursors(bank, 1)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await wait_for_cursors(bank, 0)


@pytest.fixture
async def failing_bank(failing_mongodb: EmbeddedMongo) -> AsyncIterator[Bank]:
    """A database on a server that can be told to fail."""
    async with AsyncMongoClient[dict[str, Any]](failing_mongodb.uri) as client:
        name = f"medici_test_{ObjectId()}"
        await init_models(client[name])
        yield client[name]
        await client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        await client.drop_database(name)


@pytest.fixture
def collected() -> Iterator[None]:
    """Whatever the driver left to the garbage collector is collected while the test still answers for it."""
    yield
    gc.collect()


# PyMongo leaves the socket of a connection attempt that was cancelled to the collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("collected")
class TestFailingServer:
    @pytest.mark.parametrize(
        "failure",
        [
            pytest.param({"closeConnection": True}, id="broken connection"),
            pytest.param({"errorCode": 11602, "errorLabels": ["ResumableChangeStreamError"]}, id="election"),
            pytest.param({"errorCode": 43}, id="cursor not found"),
        ],
    )
    async def test_failing_reads_lose_no_journal(
        self, failure: dict[str, Any], failing_bank: Bank, pay: Callable[..., Any]
    ) -> None:
        """Several failures in a row, of the read and of the reopening, are ridden out."""
        book = Book("MainBook", failing_bank)
        async with open_changes(failing_bank, settings=FeedSettings(max_await_time_ms=100)) as changes:
            await pay(book, memo="first")
            assert memos(await take(changes, 1)) == ["first"]
            data = {"failCommands": ["getMore", "aggregate"], **failure}
            await failing_bank.client.admin.command(
                {"configureFailPoint": "failCommand", "mode": {"times": 5}, "data": data}
            )
            await pay(book, memo="second")
            assert memos(await take(changes, 1)) == ["second"]

    async def test_lost_history_is_an_error(self, failing_bank: Bank, pay: Callable[..., Any]) -> None:
        """A position that the oplog no longer holds is never skipped silently."""
        book = Book("MainBook", failing_bank)
        async with open_changes(failing_bank, settings=FeedSettings(max_await_time_ms=100)) as changes:
            await pay(book, memo="first")
            [event] = await take(changes, 1)
            data = {"failCommands": ["getMore", "aggregate"], "errorCode": 286}
            await failing_bank.client.admin.command(
                {"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data}
            )
            with pytest.raises(ChangeHistoryLostError, match="no longer has the changes after") as caught:
                await take(changes, 1)
        assert caught.value.position.cluster_time == event.position.cluster_time


async def test_look_up_that_fails_can_be_read_again(failing_bank: Bank) -> None:
    """The driver's error stays behind ours, and the journal is still to come."""
    half = await node_medici_writes(failing_bank, "half", journal_later=True)
    async with open_changes(failing_bank, settings=FeedSettings(max_await_time_ms=100)) as changes:
        # Named, because the server itself looks things up when it takes a retryable write.
        namespace = f"{failing_bank.name}.medici_transactions"
        data = {"failCommands": ["find"], "errorCode": 8000, "namespace": namespace}
        await failing_bank.client.admin.command(
            {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data}
        )
        await failing_bank["medici_journals"].insert_one(half)
        with pytest.raises(ChangeStreamInterruptedError, match="could not be looked up") as caught:
            await take(changes, 1)
        assert memos(await take(changes, 1)) == ["half"]
    async with open_changes(failing_bank, after=caught.value.position) as changes:
        assert memos(await take(changes, 1)) == ["half"]


async def test_token_that_is_none_is_an_error(bank: Bank) -> None:
    """A position that was damaged where it was stored is refused; the server's words follow."""
    position = ChangePosition({"_data": "nonsense"}, None)
    with pytest.raises(ChangeStreamError, match=r"'nonsense'} as a place .* not a valid hex string"):
        async with open_changes(bank, after=position):
            pass


def test_changes_are_what_open_changes_makes(bank: Bank) -> None:
    """Nothing is asked of the server before the block is entered."""
    assert isinstance(open_changes(bank), JournalChanges)


class TestCompleting:
    async def test_look_ups_ask_the_majority_on_the_primary(self, mongodb: EmbeddedMongo, bank: Bank) -> None:
        """The database's own preference may lead to a secondary that has not heard of the journal yet."""
        finds: list[Any] = []

        class Listener(monitoring.CommandListener):
            def started(self, event: monitoring.CommandStartedEvent) -> None:
                if event.command_name == "find":
                    finds.append(
                        (event.command["readConcern"].get("level"), event.command.get("$readPreference"))
                    )

            def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

            def failed(self, event: monitoring.CommandFailedEvent) -> None: ...

        half = await node_medici_writes(bank, "half", journal_later=True)
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri, event_listeners=[Listener()]) as client:
            weak = client.get_database(bank.name, read_preference=SecondaryPreferred())
            async with open_changes(weak) as changes:
                await bank["medici_journals"].insert_one(half)
                await Book("MainBook", bank).void(half["_id"])
                await take(changes, 3)
        assert [level for level, _ in finds] == ["majority", "majority"]
        assert {str(preference) for _, preference in finds} <= {"None", "{'mode': 'primary'}"}

    async def test_journal_whose_legs_are_gone_is_an_error_and_can_be_passed_over(
        self, bank: Bank, book: Book, pay: Callable[..., Any]
    ) -> None:
        """Never a journal without its legs; reading on is the reader's decision."""
        half = await node_medici_writes(bank, "half", journal_later=True)
        await bank["medici_transactions"].delete_one({"accounts": "A"})
        async with open_changes(bank) as changes:
            await bank["medici_journals"].insert_one(half)
            await pay(book, memo="next")
            with pytest.raises(IncompleteJournalError, match="2 legs, 1 of them") as caught:
                await take(changes, 1)
            assert memos(await take(changes, 1)) == ["next"]
        assert caught.value.position is not None
        async with open_changes(bank, after=caught.value.position) as changes:
            assert memos(await take(changes, 1)) == ["next"]

    async def test_journal_that_cannot_be_read_is_an_error_and_can_be_passed_over(
        self, bank: Bank, book: Book, pay: Callable[..., Any]
    ) -> None:
        """One damaged document does not end the stream for good."""
        half = await node_medici_writes(bank, "half", journal_later=True)
        await bank["medici_transactions"].update_many({}, {"$set": {"debit": "much"}})
        async with open_changes(bank) as changes:
            await bank["medici_journals"].insert_one(half)
            await pay(book, memo="next")
            with pytest.raises(UnreadableDocumentError) as caught:
                await take(changes, 1)
            assert caught.value.position == changes.position
            assert memos(await take(changes, 1)) == ["next"]
        assert caught.value.position is not None

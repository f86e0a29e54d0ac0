"""Balances in memory equal those of the database, whatever is posted while they start or the server fails."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo import AsyncMongoClient, monitoring
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import Balance, Book, init_models, mongo_transaction
from medici_py.embedded import EmbeddedMongo
from medici_py.errors import InvalidQueryError, MediciError, UnreadableDocumentError
from medici_py.live_balances import LiveBalances, LiveBalancesClosedError
from medici_py.money import exact_sum
from medici_py.turnover_snapshot import SnapshotReadError

Bank = AsyncDatabase[dict[str, Any]]
NOW = datetime(2024, 1, 1, tzinfo=UTC)


async def wait_for(live: LiveBalances, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await live.changed(live.version)


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


async def assert_equal_to_the_database(live: LiveBalances, *books: Book) -> None:
    """Every account and every parent, and the listing, are what the database says."""
    for book in books:
        accounts: list[str | None] = [None, *await book.list_accounts()]
        for account in accounts:
            assert live.balance(book.name, account) == await book.balance(account), account
        assert (
            sum(turnover.notes for turnover in live.turnovers(book.name).values())
            == live.balance(book.name).notes
        )


class TestQuestions:
    async def test_balance_covers_descendants_and_dimensions(self, driver_database: Any) -> None:
        """As book.balance() does, through each driver, for what was there before and what came after."""
        book = Book("Stablesats", driver_database, dimensions={"currency": "BTC", "layer": "SETTLED"})
        await book.entry("first").debit("Omnibus", 500).credit("Users:w1", 500).commit()
        async with LiveBalances(book) as live:
            entry = book.entry("second")
            entry.debit("Omnibus", "2.5", {"currency": "USD"}).credit("Users:w2", "2.5", {"currency": "USD"})
            journal = await entry.commit()
            await wait_for(live, lambda: live.journals_applied == 1)
            assert live.balance("Stablesats", "Users") == Balance(Decimal("502.5"), 2)
            assert live.balance("Stablesats", "Users", currency="USD") == Balance(Decimal("2.5"), 1)
            assert live.balance("Stablesats", "Users:w1", currency="USD") == Balance(Decimal(0), 0)
            assert live.balance("Stablesats", "Omnibus", layer="SETTLED") == Balance(Decimal("-502.5"), 2)
            assert live.balance("Stablesats") == Balance(Decimal(0), 4)
            assert live.last_event_at is not None
            assert abs((live.last_event_at - journal.datetime).total_seconds()) < 60
            assert {
                account: turnover.notes for account, turnover in live.turnovers("Stablesats").items()
            } == {
                ("Omnibus", ("BTC", "SETTLED")): 1,
                ("Users:w1", ("BTC", "SETTLED")): 1,
                ("Omnibus", ("USD", "SETTLED")): 1,
                ("Users:w2", ("USD", "SETTLED")): 1,
            }

    async def test_questions_touch_no_database(self, mongodb: EmbeddedMongo, bank: Bank, pay: Any) -> None:
        """An exporter may ask as often as it likes."""
        commands: list[str] = []

        class Listener(monitoring.CommandListener):
            def started(self, event: monitoring.CommandStartedEvent) -> None:
                commands.append(event.command_name)

            def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

            def failed(self, event: monitoring.CommandFailedEvent) -> None: ...

        await pay(Book("MainBook", bank))
        async with (
            AsyncMongoClient[dict[str, Any]](mongodb.uri, event_listeners=[Listener()]) as client,
            LiveBalances(Book("MainBook", client[bank.name])) as live,
        ):
            for _ in range(1_000):
                assert live.balance("MainBook", "Income").balance == 100
                assert len(live.turnovers("MainBook")) == 2
        assert set(commands) <= {"aggregate", "getMore", "killCursors", "endSessions"}
        assert commands.count("aggregate") == 2  # the snapshot and the stream

    async def test_several_books_with_dimensions_of_their_own(self, bank: Bank, pay: Any) -> None:
        """Books of one database are read at one cluster time and never mixed."""
        plain, dimensioned = Book("Plain", bank), Book("Dimensioned", bank, dimensions={"layer": "SETTLED"})
        for book in (plain, dimensioned):
            await pay(book, 3)
        async with LiveBalances(plain, dimensioned) as live:
            await pay(plain, 4)
            await pay(dimensioned, 5)
            await pay(Book("Other", bank), 6)
            await wait_for(live, lambda: live.journals_applied == 2)
            await assert_equal_to_the_database(live, plain, dimensioned)
            assert {values for _, values in live.turnovers("Plain")} == {()}
            assert {values for _, values in live.turnovers("Dimensioned")} == {("SETTLED",)}

    @pytest.mark.parametrize(
        ("book", "dimensions", "message"),
        [
            ("Nowhere", {}, "Book 'Nowhere' is not followed; these are: 'MainBook'"),
            ("MainBook", {"colour": "red"}, "Book 'MainBook' has no dimension 'colour'"),
        ],
    )
    async def test_question_that_cannot_mean_anything_is_refused(
        self, book: str, dimensions: dict[str, str], message: str, bank: Bank
    ) -> None:
        """A typo is never an answer of zero."""
        async with LiveBalances(Book("MainBook", bank)) as live:
            with pytest.raises(InvalidQueryError, match=message):
                live.balance(book, "Assets", **dimensions)

    async def test_database_without_collections_is_an_empty_book(self, mongo_database: Bank) -> None:
        """A service may start before the first journal."""
        async with LiveBalances(Book("MainBook", mongo_database)) as live:
            assert live.is_live
            assert live.balance("MainBook") == Balance(Decimal(0), 0)


class TestExactness:
    async def test_mixed_number_types_are_summed_exactly(self, bank: Bank, book: Book) -> None:
        """int32, int64, doubles of Node and Decimal128, from the snapshot and from the stream."""
        numbers = [1, Int64(2**60), 0.1, 0.30000000000000004, 9007199254740991.0, Decimal128("1.000000001")]

        async def insert() -> None:
            for number in numbers:
                leg = {"_journal": ObjectId(), "book": "MainBook", "account_path": ["A"], "accounts": "A"}
                await bank["medici_transactions"].insert_one(
                    leg | {"debit": 0, "credit": number, "datetime": NOW, "timestamp": NOW, "memo": ""}
                )

        await insert()
        async with LiveBalances(book) as live:
            once = live.balance("MainBook", "A").balance
            as_written = ["1", "1152921504606846976", "0.1", "0.30000000000000004", "9007199254740991"]
            assert once == exact_sum(map(Decimal, [*as_written, "1.000000001"]))
            await insert()
            await wait_for(live, lambda: live.balance("MainBook").notes == 12)
            assert live.balance("MainBook", "A").balance == exact_sum([once, once])
            await assert_equal_to_the_database(live, book)

    async def test_sums_too_large_for_the_server_are_made_here(self, bank: Bank, book_factory: Any) -> None:
        """A Decimal128 sum would be rounded; the answer is not."""
        book = book_factory("Large", precision=8, running_balances=False)
        large = 10**33
        await book.entry("large").debit("A", large).credit("B", large).commit()
        await book.entry("small").debit("A", "0.00000001").credit("B", "0.00000001").commit()
        async with LiveBalances(book) as live:
            assert live.balance("Large", "B").balance == Decimal(f"{large}.00000001")
            await assert_equal_to_the_database(live, book)

    async def test_stored_amount_that_is_no_number_refuses_the_start(self, bank: Bank, book: Book) -> None:
        """The leg is named; no balance over it can be right."""
        leg = {"_journal": ObjectId(), "book": "MainBook", "account_path": ["A"], "accounts": "A"}
        await bank["medici_transactions"].insert_one(leg | {"debit": True, "credit": 0})
        with pytest.raises(UnreadableDocumentError):
            await LiveBalances(book).start()

    @pytest.mark.parametrize("seed", range(6))
    async def test_every_journal_counts_exactly_once_whenever_the_start_is(
        self, seed: int, bank: Bank, book_factory: Any
    ) -> None:
        """Posters and voiders run while the balances start at a random moment: afterwards both agree."""
        chance = random.Random(seed)
        books = [book_factory("One", dimensions={"currency": "USD"}), book_factory("Two")]
        accounts = ["Assets:Cash", "Assets:Bank", "Liabilities:w1", "Liabilities:w2", "Income"]
        posted = 0

        async def post_and_void(number: int) -> None:
            nonlocal posted
            own = random.Random(seed * 1_000 + number)
            for _ in range(10):
                book = own.choice(books)
                debited, credited = own.sample(accounts, 2)
                amount = Decimal(own.randrange(1, 10**6)) / 100
                journal = await book.entry("x").debit(debited, amount).credit(credited, amount).commit()
                posted += 1
                if own.random() < 0.3:
                    await book.void(journal.id, "changed my mind")

        posters = [asyncio.ensure_future(post_and_void(number)) for number in range(8)]
        start_after = chance.randrange(60)
        await wait_until(lambda: posted >= start_after)
        async with LiveBalances(*books) as live:
            await asyncio.gather(*posters)
            total = [await book.balance() for book in books]
            await wait_for(live, lambda: [live.balance(book.name) for book in books] == total)
            await assert_equal_to_the_database(live, *books)

    async def test_legs_are_seen_only_with_their_whole_journal(self, bank: Bank, book: Book) -> None:
        """Whenever one looks, the book balances."""
        async with LiveBalances(book) as live:

            async def post(session: Any) -> None:
                for number in range(20):
                    await (
                        book.entry("x").debit("A", number + 1).credit("B", number + 1).commit(session=session)
                    )

            posting = asyncio.ensure_future(mongo_transaction(bank.client, post))
            seen = live.version
            async with asyncio.timeout(60):
                while live.journals_applied < 20:
                    seen = await live.changed(seen)
                    assert live.balance("MainBook").balance == 0
            await posting

    async def test_half_a_journal_of_node_counts_once(self, bank: Bank, book: Book) -> None:
        """Legs that were there before the start are not counted again when their journal comes."""
        journal_id = ObjectId()
        leg = {"_journal": journal_id, "book": "MainBook", "datetime": NOW, "timestamp": NOW, "memo": "m"}
        cash = leg | {"account_path": ["A"], "accounts": "A", "debit": 5, "credit": 0}
        income = leg | {"account_path": ["B"], "accounts": "B", "debit": 0, "credit": 5}
        await bank["medici_transactions"].insert_one(cash)
        async with LiveBalances(book) as live:
            inserted = await bank["medici_transactions"].insert_one(income)
            journal = {"_id": journal_id, "memo": "m", "datetime": NOW, "book": "MainBook"}
            await bank["medici_journals"].insert_one(
                journal | {"_transactions": [cash["_id"], inserted.inserted_id]}
            )
            await wait_for(live, lambda: live.journals_applied == 1)
            await assert_equal_to_the_database(live, book)


class TestWaking:
    async def test_every_waiter_wakes(self, bank: Bank, book: Book, pay: Any) -> None:
        """The wake-up is of the level, not of the edge: whoever comes late does not wait."""
        async with LiveBalances(book) as live:
            before = live.version
            waiters = [asyncio.ensure_future(live.changed(before)) for _ in range(5)]
            await pay(book)
            async with asyncio.timeout(30):
                assert min(await asyncio.gather(*waiters)) > before
                assert await live.changed(before) > before

    async def test_waiter_of_closed_balances_is_told(self, book: Book) -> None:
        """Nobody waits for ever."""
        live = LiveBalances(book)
        await live.start()
        waiter = asyncio.ensure_future(live.changed(live.version))
        await asyncio.sleep(0)
        await live.close()
        async with asyncio.timeout(30):
            await waiter
        assert (live.is_live, live.failure) == (False, "closed")
        with pytest.raises(LiveBalancesClosedError):
            await live.changed(live.version)

    async def test_balances_not_started_have_no_answer(self, book: Book) -> None:
        """Unknown is not zero."""
        live = LiveBalances(book)
        assert (live.is_live, live.failure) == (False, "not started")
        with pytest.raises(LiveBalancesClosedError, match="must be started"):
            live.balance("MainBook")

    async def test_starting_twice_at_once_makes_one_follower(self, bank: Bank, book: Book, pay: Any) -> None:
        """Every journal counts once, and closing leaves nothing behind."""
        live = LiveBalances(book)
        await asyncio.gather(live.start(), live.start())
        followers = [task for task in asyncio.all_tasks() if task.get_name() == "medici_py.LiveBalances"]
        assert len(followers) == 1
        await live.close()
        assert followers[0].done()

    async def test_closing_while_it_starts_leaves_nothing_running(self, book: Book) -> None:
        """Whoever closes last is obeyed."""
        live = LiveBalances(book)
        starting = asyncio.ensure_future(live.start())
        await asyncio.sleep(0)
        await live.close()
        await starting
        assert live.failure == "closed"
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "medici_py.LiveBalances"]

    async def test_closing_twice_is_harmless(self, book: Book) -> None:
        """Shutdown paths meet."""
        async with LiveBalances(book) as live:
            await live.close()
        assert live.failure == "closed"


class TestBooks:
    async def test_no_book_is_refused(self) -> None:
        """There is nothing to follow."""
        with pytest.raises(InvalidQueryError, match="at least one book"):
            LiveBalances()

    async def test_books_of_two_databases_are_refused(self, bank: Bank, book: Book) -> None:
        """One change stream follows one database."""
        with pytest.raises(InvalidQueryError, match="of one database"):
            LiveBalances(book, Book("Other", bank.client["elsewhere"]))


@pytest.fixture
async def failing_bank(failing_mongodb: EmbeddedMongo) -> AsyncIterator[Bank]:
    """A database on a server that can be told to fail."""
    async with AsyncMongoClient[dict[str, Any]](failing_mongodb.uri) as client:
        name = f"medici_test_{ObjectId()}"
        await init_models(client[name])
        yield client[name]
        await client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        await client.drop_database(name)


async def fail(bank: Bank, mode: Any, commands: list[str], **failure: Any) -> None:
    data = {"failCommands": commands, **failure}
    await bank.client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})


@pytest.fixture
def collected() -> Iterator[None]:
    """Whatever the driver left to the garbage collector is collected while the test still answers for it."""
    yield
    gc.collect()


# PyMongo leaves the socket of a connection attempt that was cancelled to the collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("collected")
class TestFailures:
    @pytest.mark.parametrize(
        "failure",
        [
            pytest.param({"closeConnection": True}, id="broken connection"),
            pytest.param({"errorCode": 286}, id="history lost"),
            pytest.param({"errorCode": 13}, id="not authorized"),
        ],
    )
    async def test_failed_stream_is_replaced_by_a_fresh_snapshot(
        self, failure: dict[str, Any], failing_bank: Bank, pay: Any
    ) -> None:
        """While it fails the balances say so; afterwards nothing is missing and nothing counts twice."""
        book = Book("MainBook", failing_bank)
        await pay(book, 1)
        async with LiveBalances(book, max_await_time_ms=50) as live:
            await fail(failing_bank, "alwaysOn", ["getMore", "aggregate"], **failure)
            await wait_until(lambda: not live.is_live)
            assert live.failure
            assert live.restarts >= 1
            assert live.balance("MainBook", "Income").balance == 1  # what was known is still there
            await failing_bank.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
            await pay(book, 2)
            await wait_for(live, lambda: live.is_live and live.balance("MainBook", "Income").balance == 3)
            await pay(book, 4)
            await wait_for(live, lambda: live.balance("MainBook", "Income").balance == 7)
            await assert_equal_to_the_database(live, book)
            assert live.failure is None

    async def test_journals_posted_through_repeated_failures_count_once(
        self, failing_bank: Bank, pay: Any
    ) -> None:
        """The stream breaks again and again while journals are posted."""
        book = Book("MainBook", failing_bank)
        async with LiveBalances(book, max_await_time_ms=20) as live:
            for number in range(1, 31):
                if number % 5 == 0:
                    await fail(failing_bank, {"times": 3}, ["getMore"], closeConnection=True)
                await pay(book, number)
            await wait_for(live, lambda: live.balance("MainBook", "Income").balance == 465)
            await assert_equal_to_the_database(live, book)

    async def test_dropped_database_is_an_empty_book_again(self, bank: Bank, book: Book, pay: Any) -> None:
        """An invalidated stream is a failure like any other."""
        await pay(book)
        async with LiveBalances(book, max_await_time_ms=50) as live:
            await bank.client.drop_database(bank.name)
            await wait_for(live, lambda: live.is_live and live.balance("MainBook").notes == 0)
            await init_models(bank)
            await pay(book, 8)
            await wait_for(live, lambda: live.balance("MainBook", "Income").balance == 8)

    async def test_unreadable_leg_is_a_failure_until_it_is_corrected(
        self, bank: Bank, book: Book, pay: Any
    ) -> None:
        """Its text names the leg; the balances come back by themselves."""
        async with LiveBalances(book, max_await_time_ms=50) as live:
            leg = {"_journal": ObjectId(), "book": "MainBook", "account_path": ["A"], "accounts": "A"}
            inserted = await bank["medici_transactions"].insert_one(leg | {"debit": "much", "credit": 0})
            await wait_until(lambda: not live.is_live)
            assert str(inserted.inserted_id) in str(live.failure)
            await bank["medici_transactions"].update_one(
                {"_id": inserted.inserted_id}, {"$set": {"debit": 1}}
            )
            await wait_for(live, lambda: live.is_live)
            assert live.balance("MainBook", "A").balance == -1

    async def test_server_that_hangs_is_noticed_and_survived(self, pay: Any) -> None:
        """Silence is not liveness; when the server goes on, so do the balances."""
        environment = {name: value for name, value in os.environ.items() if name != "MONGODB_URI"}
        async with EmbeddedMongo(environment=environment) as mongo:
            assert mongo.pid is not None
            uri = f"{mongo.uri}&connectTimeoutMS=1000&heartbeatFrequencyMS=500"
            async with AsyncMongoClient[dict[str, Any]](uri) as client:
                await init_models(client["bank"])
                book = Book("MainBook", client["bank"])
                async with LiveBalances(book, max_await_time_ms=50, stale_after_secs=1.0) as live:
                    await pay(book, 1)
                    await wait_for(live, lambda: live.journals_applied == 1)
                    os.kill(mongo.pid, signal.SIGSTOP)
                    try:
                        await wait_until(lambda: not live.is_live)
                        assert live.failure
                        assert live.balance("MainBook", "Income").balance == 1
                    finally:
                        os.kill(mongo.pid, signal.SIGCONT)
                    await pay(book, 2)
                    await wait_until(lambda: live.is_live and live.balance("MainBook", "Income").balance == 3)

    async def test_server_that_is_gone_refuses_the_start_with_one_error(self) -> None:
        """The driver's own errors stay inside."""
        uri = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"
        async with AsyncMongoClient[dict[str, Any]](uri) as client:
            with pytest.raises(SnapshotReadError) as caught:
                await LiveBalances(Book("MainBook", client["bank"])).start()
        assert isinstance(caught.value, MediciError)

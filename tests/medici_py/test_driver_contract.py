"""What a book promises whichever driver it is given: PyMongo Async, Motor, or mongomock-motor in memory.

The last has no transactions, so one class at the end states what it does instead; everything before holds
for all three alike.
"""

import datetime as dt
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import (
    Balance,
    Book,
    InvalidAccountPathLengthError,
    InvalidQueryError,
    Journal,
    JournalAlreadyVoidedError,
    JournalNotFoundError,
    LiveBalances,
    Transaction,
    TransactionError,
    UnsupportedDeploymentError,
    exactly,
    init_models,
    mongo_transaction,
    sync_indexes,
)
from medici_py.driver import capabilities
from medici_py.embedded import EmbeddedMongo

UTC = dt.UTC
JANUARY, FEBRUARY, MARCH = (dt.datetime(2024, month, 1, tzinfo=UTC) for month in (1, 2, 3))


@pytest.fixture(params=["pymongo", "motor", "mongomock"])
async def any_database(
    request: pytest.FixtureRequest,
    mongodb: EmbeddedMongo,
    bank: AsyncDatabase[dict[str, Any]],
    mongomock_database: AsyncDatabase[dict[str, Any]],
) -> AsyncIterator[Any]:
    """A fresh database through each driver, collections and indexes in place."""
    match request.param:
        case "pymongo":
            yield bank
        case "motor":
            client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(mongodb.uri)
            yield client[bank.name]
            client.close()
        case _:
            await init_models(mongomock_database)
            yield mongomock_database


@pytest.fixture
def book(any_database: Any) -> Book:
    return Book("MainBook", any_database)


class WalletTransaction(Transaction):
    wallet_id: ObjectId | None = None


class ApprovedJournal(Journal):
    approved: bool = False


class TestPosting:
    async def test_journal_and_legs_are_stored_as_medici_stores_them(self, book: Book) -> None:
        """Fields and their order; the zero side is whole."""
        journal = await (
            book.entry("Rent", date=MARCH).debit("A:B", "0.1").credit("C", "0.1", {"k": {"x": 1}}).commit()
        )
        stored = await book.database["medici_journals"].find_one({"_id": journal.id})
        assert stored is not None
        assert list(stored) == ["_id", "memo", "_transactions", "datetime", "book"]
        legs = {leg["_id"]: leg async for leg in book.database["medici_transactions"].find()}
        first, second = (legs[leg_id] for leg_id in journal.transactions)
        assert (
            first["account_path"],
            first["accounts"],
            first["book"],
            first["memo"],
            first["credit"],
        ) == (["A", "B"], "A:B", "MainBook", "Rent", 0)
        assert (Decimal("0.1"), {"k": {"x": 1}}) == (second["credit"].to_decimal(), second["meta"])
        assert "meta" not in first

    async def test_entry_that_does_not_balance_is_refused_and_leaves_nothing(self, book: Book) -> None:
        """The law is checked before anything is sent."""
        entry = book.entry("x").debit("A", "1.00000001").credit("B", 1)
        with pytest.raises(TransactionError, match=r"difference -0\.00000001") as caught:
            await entry.commit()
        assert Decimal("-0.00000001") == caught.value.total
        assert Balance(Decimal(0), 0) == await book.balance()

    async def test_second_commit_of_an_entry_returns_the_journal(self, book: Book) -> None:
        """A retry posts nothing twice."""
        entry = book.entry("x").debit("A", 1).credit("B", 1)
        assert await entry.commit() == await entry.commit()
        assert Balance(Decimal(1), 1) == await book.balance("B")

    async def test_path_that_is_too_deep_is_refused(self, book: Book) -> None:
        """Three parts by default."""
        with pytest.raises(InvalidAccountPathLengthError):
            book.entry("x").debit("A:B:C:D", 1)

    async def test_dimensions_balance_one_by_one(self, any_database: Any) -> None:
        """One dollar is no satoshi."""
        book = Book("Multi", any_database, dimensions=("currency",))
        with pytest.raises(TransactionError, match="currency"):
            await (
                book.entry("x")
                .debit("A", 1, {"currency": "USD"})
                .credit("B", 1, {"currency": "BTC"})
                .commit()
            )
        await book.entry("x").debit("A", 1, {"currency": "USD"}).credit("B", 1, {"currency": "USD"}).commit()
        assert Balance(Decimal(1), 1) == await book.balance("B", {"currency": "USD"})

    async def test_fields_of_the_books_own_models(self, any_database: Any) -> None:
        """Top-level in the document, found as such, copied by a void."""
        wallet = ObjectId()
        book = Book("W", any_database, transaction_model=WalletTransaction, journal_model=ApprovedJournal)
        journal = await book.entry("x").debit("A", 1, {"wallet_id": wallet}).credit("B", 1).commit()
        assert journal.model_dump()["approved"] is False
        await book.void(journal.id)
        page = await book.ledger("A", {"wallet_id": str(wallet)})
        assert [wallet, wallet] == [leg.model_dump()["wallet_id"] for leg in page.results]


@pytest.fixture
async def history(book: Book) -> Book:
    """Three journals of January, February and March, and one in another book."""
    ann, bob = {"client": "Ann", "n": 1}, {"client": "Bob", "n": 2}
    await book.entry("1", date=JANUARY).debit("Assets:Cash", 100).credit("Income:Rent", 100, ann).commit()
    await book.entry("2", date=FEBRUARY).debit("Assets:Bank", 20).credit("Income:Rent", 20, bob).commit()
    await book.entry("3", date=MARCH).debit("AssetsOther", 3).credit("Income", 3, bob).commit()
    other = Book("Other", book.database)
    await other.entry("x", date=MARCH).debit("Assets:Cash", 1000).credit("Income", 1000).commit()
    return book


class TestReading:
    @pytest.mark.parametrize(
        ("account", "extra", "dates", "balance", "notes"),
        [
            (None, None, {}, 0, 6),
            ("Assets", None, {}, -120, 2),
            ("Assets:Cash", None, {}, -100, 1),
            ("Asset", None, {}, 0, 0),
            (["Assets", "Assets:Cash"], None, {}, -120, 2),
            (["Assets:Cash", "Income"], None, {}, 23, 4),
            ("Income", {"client": "Bob"}, {}, 23, 2),
            ("Income", {"client": exactly("Bob"), "n": 2}, {}, 23, 2),
            ("Income", {"n": {"$lt": 2}}, {}, 100, 1),
            ("Income", {"client": {"$in": ["Ann", "Bob"]}}, {}, 123, 3),
            ("Income", {"n": "2"}, {}, 0, 0),
            ("Income", {"memo": "2"}, {}, 20, 1),
            ("Income", None, {"start_date": FEBRUARY}, 23, 2),
            ("Income", None, {"end_date": FEBRUARY}, 120, 2),
            ("Income", None, {"start_date": "2024-02-01", "end_date": "2024-02-01"}, 20, 1),
            ("Income", None, {"end_date": 0}, 0, 0),
        ],
    )
    async def test_balance(
        self, *, account: Any, extra: Any, dates: dict[str, Any], balance: int, notes: int, history: Book
    ) -> None:
        """Credits minus debits of what matches, descendants included, other books left out."""
        assert Balance(Decimal(balance), notes) == await history.balance(account, extra, **dates)

    async def test_accounts_with_their_parents(self, history: Book) -> None:
        """Sorted, each once."""
        assert await history.list_accounts() == [
            "Assets",
            "Assets:Bank",
            "Assets:Cash",
            "AssetsOther",
            "Income",
            "Income:Rent",
        ]

    async def test_ledger_is_newest_first_and_turns(self, history: Book) -> None:
        """By effective date; the total is the number returned."""
        page = await history.ledger("Income")
        assert ([leg.memo for leg in page.results], page.total) == (["3", "2", "1"], 3)
        turned = await history.ledger("Income", start_date=FEBRUARY, reverse=True)
        assert ([leg.memo for leg in turned.results], turned.total) == (["2", "3"], 2)
        assert all(leg.datetime.tzinfo is UTC for leg in page.results)

    async def test_pages_cover_each_leg_once(self, history: Book) -> None:
        """Also the legs of one journal, which share every date; beyond the end there is nothing."""
        await (
            history.entry("many", date=FEBRUARY)
            .debit("A", 1)
            .debit("B", 1)
            .debit("C", 1)
            .credit("D", 3)
            .commit()
        )
        pages = [await history.ledger(per_page=3, page=number) for number in (1, 2, 3, 4, 5)]
        ids = [leg.id for page in pages for leg in page.results]
        assert ([len(page.results) for page in pages], len(set(ids))) == ([3, 3, 3, 1, 0], 10)
        assert {10} == {page.total for page in pages}
        assert ids == [leg.id async for leg in history.stream()]
        assert ids[::-1] == [leg.id async for leg in history.stream(reverse=True)]

    async def test_questions_that_mean_nothing_are_refused(self, history: Book) -> None:
        """Before anything is asked."""
        with pytest.raises(InvalidQueryError, match="page 0 refused"):
            await history.ledger(per_page=1, page=0)
        with pytest.raises(InvalidQueryError, match="Account \\[\\] refused"):
            await history.balance([])


class TestVoiding:
    async def test_void_marks_reverses_and_restores_the_balance(self, history: Book) -> None:
        """The original stays, marked; the reversal points at it."""
        journal = await history.entry("Rent", date=MARCH).debit("A", 7).credit("B", 7, {"k": 1}).commit()
        reversal = await history.void(str(journal.id), use_original_date=True)
        assert (reversal.memo, reversal.datetime, reversal.voided) == ("[VOID] Rent", MARCH, False)
        legs = (await history.ledger(["A", "B"])).results
        assert {(journal.id, True, None), (reversal.id, False, journal.id)} == {
            (leg.journal, leg.voided, leg.original_journal) for leg in legs
        }
        for account in ("A", "B", None):
            assert Decimal(0) == (await history.balance(account)).balance
        assert Balance(Decimal(0), 2) == await history.balance("B", {"k": 1})

    async def test_void_of_a_void_posts_the_original_again(self, book: Book) -> None:
        """Tags of the memo tell how often."""
        journal = await book.entry("x").debit("A", 7).credit("B", 7).commit()
        memos = []
        for _ in range(3):
            journal = await book.void(journal.id)
            memos.append(journal.memo)
        assert memos == ["[VOID] x", "[UNVOID] x", "[REVOID] x"]
        assert Decimal(0) == (await book.balance("B")).balance

    async def test_second_void_is_refused(self, book: Book) -> None:
        """The journal says so."""
        journal = await book.entry("x").debit("A", 7).credit("B", 7).commit()
        await book.void(journal.id, "wrong")
        with pytest.raises(JournalAlreadyVoidedError):
            await book.void(journal.id, "wrong again")
        assert Balance(Decimal(0), 2) == await book.balance("B")

    async def test_journal_of_another_book_is_not_found(self, history: Book) -> None:
        """Ids do not cross books; nor does nonsense."""
        journal = await history.entry("x").debit("A", 7).credit("B", 7).commit()
        for journal_id in (journal.id, "nonsense"):
            with pytest.raises(JournalNotFoundError):
                await Book("Other", history.database).void(journal_id)


class TestSetUp:
    async def test_set_up_may_run_again(self, any_database: Any) -> None:
        """In every process, at every start."""
        await init_models(any_database)
        assert await sync_indexes(any_database) == []
        names = set(await any_database.list_collection_names())
        ours = {name for name in names if name.startswith("medici_py_")}
        assert {"medici_journals", "medici_transactions", "medici_locks", "medici_balances"} == names - ours
        assert ours == {
            "medici_py_balances",
            "medici_py_keys",
            "medici_py_books",
            "medici_py_stripes",
            "medici_py_templates",
        }


class TestTransactions:
    async def test_answer_of_the_callback_is_returned(self, book: Book) -> None:
        """Post, read what was posted, lock last."""

        async def withdraw(session: Any) -> Decimal:
            await book.entry("x").debit("Wallet", 5).credit("Out", 5).commit(session=session)
            balance = await book.balance("Wallet", session=session)
            await book.writelock_accounts(["Wallet"], session=session)
            return balance.balance

        assert Decimal(-5) == await mongo_transaction(book.database.client, withdraw)
        assert Balance(Decimal(-5), 1) == await book.balance("Wallet")

    async def test_error_of_the_callback_is_passed_on_and_undoes_the_work_if_there_are_transactions(
        self, book: Book
    ) -> None:
        """On mongomock the work stays: a test that needs it undone needs a server."""

        async def fail(session: Any) -> None:
            await book.entry("x").debit("A", 5).credit("B", 5).commit(session=session)
            raise LookupError("changed my mind")

        with pytest.raises(LookupError, match="changed my mind"):
            await mongo_transaction(book.database.client, fail)
        kept = 0 if capabilities(book.database).transactions else 1
        assert Balance(Decimal(5 * kept), kept) == await book.balance("B")


class TestMongomockAlone:
    async def test_callback_runs_once_without_a_session(self, mongomock_database: Any) -> None:
        """Code written for a session works: everything takes None for one."""
        sessions = []

        async def note(session: Any) -> None:
            sessions.append(session)

        await mongo_transaction(mongomock_database.client, note)
        assert sessions == [None]
        assert not capabilities(mongomock_database).transactions

    async def test_following_changes_is_refused_in_the_librarys_own_words(
        self, mongomock_database: Any
    ) -> None:
        """There are no change streams, and no silence that looks like one."""
        with pytest.raises(UnsupportedDeploymentError):
            await anext(Book("MainBook", mongomock_database).changes())
        with pytest.raises(UnsupportedDeploymentError):
            async with LiveBalances(Book("MainBook", mongomock_database)):
                pass

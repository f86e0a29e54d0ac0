"""One database, two languages: Node's medici and medici_py on the same books.

A shared book is opened here with ``running_balances=False``, so that the server makes the ids of its legs,
and with ``decimal_storage="double"`` where Node reads fractions. Node's cache is off unless a test is about it.
"""

import asyncio
import datetime as dt
import itertools
from collections.abc import Awaitable
from decimal import Decimal
from typing import Any

import pytest
from bson import Int64, ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from node_medici import NodeBook, NodeError, NodeMedici, NodeProcess
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import (
    Balance,
    Book,
    Journal,
    MediciError,
    Transaction,
    init_models,
    mongo_transaction,
    sync_indexes,
)
from medici_py.embedded import EmbeddedMongo

Database = AsyncDatabase[dict[str, Any]]
AnyBook = Book | NodeBook

UTC = dt.UTC
MAY, JUNE, JULY = (dt.datetime(2024, month, 1, 12, 30, 15, 250_000, tzinfo=UTC) for month in (5, 6, 7))
COLLECTIONS = ("medici_transactions", "medici_journals", "medici_locks", "medici_balances")

EXTRAS: dict[str, Any] = {
    "plain": (),
    "meta": ({"client": "Joe Blow", "n": 5, "nested": {"b": [1, "x"], "a": None}},),
    "meta as a key": ({"meta": {"client": "Joe Blow"}},),
    "memo and date of its own": ({"memo": "of the leg", "datetime": JULY},),
    "original journal of its own": ({"_original_journal": ObjectId("65f000000000000000000001")},),
}

QUESTIONS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "whole book": (None, {}, {}),
    "account": ("Assets", {}, {}),
    "sub-account": ("Assets:Cash", {}, {}),
    "deepest account": ("Assets:Cash:Till", {}, {}),
    "beginning of a name": ("Asset", {}, {}),
    "unknown account": ("Nowhere", {}, {}),
    "list of accounts": (["Assets:Cash", "Income"], {}, {}),
    "overlapping accounts": (["Assets", "Assets:Cash"], {}, {}),
    "meta": ("Assets", {"client": "Joe"}, {}),
    "unknown meta": ("Assets", {"nobody": "Joe"}, {}),
    "nested meta": (None, {"address.city": "Berlin"}, {}),
    "operator": (None, {"n": {"$gte": 2}}, {}),
    "list operator": (None, {"client": {"$in": ["Joe", "Ann"]}}, {}),
    "memo": (None, {"memo": "rent"}, {}),
    "since": ("Assets", {}, {"start_date": JUNE}),
    "until": ("Assets", {}, {"end_date": JUNE}),
    "between": (None, {}, {"start_date": "2024-05-15", "end_date": JUNE}),
    "date and meta": (None, {"client": "Joe"}, {"end_date": JUNE}),
}


@pytest.fixture
def node_book(node: NodeMedici) -> NodeBook:
    """The book ``MainBook`` in Node."""
    return node.book(balance_snapshot_sec=0)


@pytest.fixture
def python_book(node: NodeMedici, mongo_database: Database) -> Book:
    """The same book in Python, as a book is opened that Node also writes to."""
    return shared_book(mongo_database)


@pytest.fixture(params=["node", "python"])
def writer(request: pytest.FixtureRequest, node_book: NodeBook, python_book: Book) -> AnyBook:
    """The book in either language, to write with."""
    return node_book if request.param == "node" else python_book


@pytest.fixture
def other(writer: AnyBook, node_book: NodeBook, python_book: Book) -> AnyBook:
    """The book in the language that is not the writer's."""
    return python_book if writer is node_book else node_book


def shared_book(database: Database, name: str = "MainBook", **parameters: Any) -> Book:
    return Book(name, database, running_balances=False, decimal_storage="double", **parameters)


async def post(book: AnyBook, *legs: tuple[Any, ...], memo: str = "payment", **entry: Any) -> Journal:
    """Post legs such as ``("debit", "A", 5)``."""
    session = {"session": entry.pop("session")} if "session" in entry else {}
    building: Any = book.entry(memo, **entry)
    for side, *leg in legs:
        getattr(building, side)(*leg)
    journal: Journal = await building.commit(**session)
    return journal


async def pay(book: AnyBook, amount: Any = 100, **entry: Any) -> Journal:
    """Post *amount* from ``Assets:Cash`` (debited) to ``Income``."""
    return await post(book, ("debit", "Assets:Cash", amount), ("credit", "Income", amount), **entry)


async def refusal(attempt: Awaitable[Any]) -> tuple[str, int | None]:
    """Return the class and code of the error that *attempt* ends with, in whichever language."""
    with pytest.raises((NodeError, MediciError)) as caught:
        await attempt
    error: Any = caught.value
    return (error.name if isinstance(error, NodeError) else type(error).__name__), error.code


async def assert_alike(
    database: Database, *journals: Journal, except_for: frozenset[str] = frozenset()
) -> None:
    """Check that stored journals, and their legs one by one, have the same fields in the same order.

    The values agree too, but for ids, recorded time and the fields in *except_for*; so do their BSON types,
    where a whole number is one whatever its width (Node writes int32 and doubles, Python int64).
    """
    stored = [await database.medici_journals.find_one({"_id": journal.id}) for journal in journals]
    legs = [
        await database.medici_transactions.find({"_journal": journal.id}).sort("_id").to_list()
        for journal in journals
    ]
    left_out = {"_id", "_journal", "_transactions", "timestamp"} | except_for
    for first, second in [stored, *zip(*legs, strict=True)]:
        assert [(name, bson_type(value)) for name, value in first.items()] == [
            (name, bson_type(value)) for name, value in second.items()
        ]
        assert {name: value for name, value in first.items() if name not in left_out} == {
            name: value for name, value in second.items() if name not in left_out
        }
    named = [journal["_transactions"] for journal in stored if journal]
    assert named == [[leg["_id"] for leg in of_journal] for of_journal in legs]


def bson_type(value: object) -> str:
    whole = isinstance(value, (int, float)) and not isinstance(value, bool) and value == int(value)
    return "whole number" if whole else type(value).__name__


class TestDocuments:
    """What Python stores is what Node stores: fields, their order, their types."""

    @pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
    @pytest.mark.parametrize("amount", [5, 0, -7, "0.1", "1234567.25", 2**31, 2**53 - 1])
    async def test_entry_is_stored_alike(
        self, mongo_database: Database, node_book: NodeBook, python_book: Book, extra: Any, amount: Any
    ) -> None:
        """An entry with all that a leg can carry."""
        legs = ("debit", "Assets:Cash", amount, *extra), ("credit", ["Income", "Ads", "Web"], amount)
        original = "65f0000000000000000000aa"
        journals = [
            await post(book, *legs, memo="received", date=MAY, original_journal=original)
            for book in (node_book, python_book)
        ]
        await assert_alike(mongo_database, *journals)

    async def test_python_writes_whole_amounts_as_int64_and_fractions_as_doubles(
        self, mongo_database: Database, python_book: Book
    ) -> None:
        """The zero side is an int64 too: Node takes any other zero for a posted side when it voids."""
        await post(python_book, ("debit", "A", "0.5"), ("debit", "A", 2**40), ("credit", "B", 2**40 + 0.5))
        types = [
            (type(leg["debit"]), type(leg["credit"]))
            for leg in await mongo_database.medici_transactions.find().sort("_id").to_list()
        ]
        assert types == [(float, Int64), (Int64, Int64), (Int64, float)]

    @pytest.mark.parametrize("reason", [None, "I made a mistake"])
    @pytest.mark.parametrize("use_original_date", [False, True])
    async def test_void_is_stored_alike(
        self,
        mongo_database: Database,
        node_book: NodeBook,
        python_book: Book,
        reason: str | None,
        use_original_date: bool,
    ) -> None:
        """Two equal journals, one voided in each language: flags, reversals and what moves into meta."""
        legs = (
            ("debit", "Assets:Cash", 8, {"client": "Joe", "tags": ["a", {"b": 1}]}),
            ("debit", "Assets", -3, {"memo": "of the leg", "datetime": JULY}),
            ("credit", "Income", "0.1"),
            ("credit", "Income", "4.9"),
            ("credit", "Nothing", 0),
        )
        books: tuple[AnyBook, AnyBook] = (node_book, python_book)
        voided = [await post(book, *legs, memo="rent", date=MAY) for book in books]
        await mongo_database.medici_transactions.update_many(
            {"accounts": "Income"}, {"$set": {"imported_from": "old"}}
        )
        reversals = [
            await book.void(journal.id, reason, use_original_date=use_original_date)
            for book, journal in zip(books, voided, strict=True)
        ]
        await assert_alike(mongo_database, *voided)
        differ = {"_original_journal"} if use_original_date else {"_original_journal", "datetime"}
        await assert_alike(mongo_database, *reversals, except_for=frozenset(differ))

    async def test_reversal_names_the_voided_journal(
        self, mongo_database: Database, writer: AnyBook, other: AnyBook
    ) -> None:
        """``_original_journal`` of each reversing leg is the voided journal, whichever language voids."""
        journal = await pay(writer)
        reversal = await other.void(journal.id)
        originals = await mongo_database.medici_transactions.distinct(
            "_original_journal", {"_journal": reversal.id}
        )
        assert originals == [journal.id]

    async def test_lock_is_stored_alike(
        self, node: NodeMedici, mongo_database: Database, node_book: NodeBook, python_book: Book
    ) -> None:
        """A lock has the same fields in the same order, and one document whoever touches it."""
        session = await node.start_transaction()
        await node_book.writelock_accounts(["N", "both"], session=session)
        await session.commit_transaction()

        async def lock(joined: Any) -> None:
            await python_book.writelock_accounts(["P", "both"], session=joined)

        await mongo_transaction(mongo_database.client, lock)
        locks = {lock["account"]: lock async for lock in mongo_database.medici_locks.find()}
        assert {
            tuple((name, bson_type(value)) for name, value in lock.items()) for lock in locks.values()
        } == {
            (
                ("_id", "ObjectId"),
                ("account", "str"),
                ("book", "str"),
                ("__v", "whole number"),
                ("updatedAt", "datetime"),
            )
        }
        assert {account: lock["__v"] for account, lock in locks.items()} == {"N": 1, "P": 1, "both": 2}

    @pytest.mark.parametrize(
        "date", [0, 1_714_567_815_250, "1714567815250", "2024-05-01", "2024-05-01T12:30:15.250Z", MAY]
    )
    async def test_date_means_the_same_instant(
        self, node_book: NodeBook, python_book: Book, date: Any
    ) -> None:
        """Every form of a date that both languages take is stored as the same instant."""
        theirs, mine = await pay(node_book, date=date), await pay(python_book, date=date)
        assert theirs.datetime == mine.datetime


class TestReading:
    """Whoever wrote it, both languages give the same answers."""

    @staticmethod
    async def write_year(*books: AnyBook) -> None:
        """Post five journals and void one, taking turns among *books*."""
        turn = itertools.cycle(books)
        cash, till, income = "Assets:Cash", "Assets:Cash:Till", "Income"
        await post(
            next(turn), ("debit", cash, 100, {"client": "Joe", "n": 1}), ("credit", income, 100), date=MAY
        )
        await post(
            next(turn),
            ("debit", till, "0.1", {"client": "Ann", "n": 2}),
            ("debit", till, "0.2", {"address": {"city": "Berlin"}}),
            ("credit", income, "0.3"),
            date=JUNE,
        )
        await post(next(turn), ("credit", cash, 30, {"n": 3}), ("debit", "Rent", 30), memo="rent", date=JULY)
        wrong = await post(
            next(turn), ("debit", cash, 7), ("credit", income, 7, {"client": "Joe"}), date=JUNE
        )
        await post(next(turn), ("debit", "Assetsless", 2**40), ("credit", income, 2**40), date=MAY)
        await next(turn).void(wrong.id, use_original_date=True)

    @pytest.fixture(params=["node", "python", "both"])
    async def year(
        self, request: pytest.FixtureRequest, node_book: NodeBook, python_book: Book
    ) -> tuple[NodeBook, Book]:
        """A few months of postings, written in one language or in turns."""
        writers: dict[str, list[AnyBook]] = {
            "node": [node_book],
            "python": [python_book],
            "both": [node_book, python_book],
        }
        await self.write_year(*writers[request.param])
        return node_book, python_book

    async def test_balances_and_ledgers_agree(self, year: tuple[NodeBook, Book]) -> None:
        """Every question has one answer: the same balance, the same legs with the same contents."""
        node_book, python_book = year
        for name, (account, extra, bounds) in QUESTIONS.items():
            assert await node_book.balance(account, extra, **bounds) == await python_book.balance(
                account, extra, **bounds
            ), name
            theirs = await node_book.ledger(account, extra, **bounds)
            mine = await python_book.ledger(account, extra, **bounds)
            # Node leaves the order of legs open that share both dates; ids complete it.
            ordered = sorted(
                theirs.results, key=lambda leg: (leg.datetime, leg.timestamp, leg.id), reverse=True
            )
            assert (ordered, theirs.total) == (mine.results, mine.total), name

    async def test_balances_are_what_was_posted(self, year: tuple[NodeBook, Book]) -> None:
        """Agreement is not enough: the figures themselves."""
        _, book = year
        assert await book.balance("Assets") == Balance(Decimal("-70.3"), 6)
        assert await book.balance("Income") == Balance(Decimal(2**40) + Decimal("100.3"), 5)
        assert await book.balance() == Balance(Decimal(0), 13)

    async def test_account_lists_agree(self, year: tuple[NodeBook, Book]) -> None:
        """The same accounts and parents, in the same order."""
        node_book, python_book = year
        accounts = ["Assets", "Assets:Cash", "Assets:Cash:Till", "Assetsless", "Income", "Rent"]
        assert await node_book.list_accounts() == await python_book.list_accounts() == accounts

    async def test_pages_agree(self, writer: AnyBook, node_book: NodeBook, python_book: Book) -> None:
        """Legs with different dates come in the same order on the same pages."""
        for day in (3, 1, 5, 2, 4):
            await pay(writer, day, date=dt.datetime(2024, 5, day, tzinfo=UTC))
        for page in range(1, 5):
            theirs = await node_book.ledger("Income", per_page=2, page=page)
            assert theirs == await python_book.ledger("Income", per_page=2, page=page)
        newest = await python_book.ledger("Income", per_page=2)
        assert [leg.credit for leg in newest.results] == [5, 4]
        assert newest.total == 5

    async def test_whole_amounts_are_exact_up_to_what_node_can_count(
        self, writer: AnyBook, other: AnyBook
    ) -> None:
        """2^53 - 1 arrives on the other side to the last digit, and its void cancels it."""
        journal = await pay(writer, 2**53 - 1)
        assert (await other.balance("Income")).balance == 2**53 - 1
        await other.void(journal.id)
        for book in (writer, other):
            assert await book.balance("Income") == Balance(Decimal(0), 2)

    async def test_fraction_as_decimal128_is_beyond_node(
        self, mongo_database: Database, node: NodeMedici
    ) -> None:
        """Why a book that Node reads with fractions stores doubles: Node cannot add up anything else."""
        await pay(Book("Decimals", mongo_database, running_balances=False), "0.1")
        assert (await refusal(node.book("Decimals").balance("Income")))[0] == "TypeError"
        await pay(shared_book(mongo_database, "Doubles"), "0.1")
        assert (await node.book("Doubles").balance("Income")).balance == Decimal("0.1")

    async def test_custom_field_is_top_level_in_both_languages(
        self, node: NodeMedici, mongo_database: Database
    ) -> None:
        """A field of the transaction schema is stored, asked for and kept by a void alike."""

        class ClientTransaction(Transaction):
            client_id: ObjectId | None = None

        await node.open(client_id="ObjectId")
        joe = ObjectId()
        node_book = node.book(balance_snapshot_sec=0)
        python_book = shared_book(mongo_database, transaction_model=ClientTransaction)
        books: tuple[AnyBook, AnyBook] = (node_book, python_book)
        legs = ("debit", "A", 5, {"client_id": joe, "n": 1}), ("credit", "B", 5)
        posted = [await post(book, *legs, date=MAY) for book in books]
        reversals = [
            await book.void(journal.id, use_original_date=True)
            for book, journal in zip(books, reversed(posted), strict=True)
        ]
        await assert_alike(mongo_database, *posted)
        await assert_alike(mongo_database, *reversals, except_for=frozenset({"_original_journal"}))
        for book in books:
            assert await book.balance("A", {"client_id": str(joe)}) == Balance(Decimal(0), 4)


class TestVoiding:
    async def test_chain_of_voids_across_languages(self, writer: AnyBook, other: AnyBook) -> None:
        """A void of a void of a void, in turns: texts follow medici's rules, balances swing to and fro."""
        journal = await pay(writer, 100, memo="rent")
        for voider, memo, balance in (
            (other, "[VOID] rent", 0),
            (writer, "[UNVOID] rent", 100),
            (other, "[REVOID] rent", 0),
            (writer, "[UNVOID] rent", 100),
        ):
            journal = await voider.void(journal.id)
            assert journal.memo == memo
            for book in (writer, other):
                assert (await book.balance("Income")).balance == balance

    async def test_voided_journal_is_refused_by_the_other_language(
        self, writer: AnyBook, other: AnyBook
    ) -> None:
        """Class and code of the errors are medici's."""
        journal = await pay(writer)
        await writer.void(journal.id)
        assert await refusal(other.void(journal.id)) == ("JournalAlreadyVoidedError", 400)
        assert await refusal(writer.void(journal.id)) == ("JournalAlreadyVoidedError", 400)
        assert (
            await refusal(other.void(ObjectId()))
            == await refusal(writer.void(ObjectId()))
            == ("JournalNotFoundError", 403)
        )

    async def test_reason_is_seen_by_the_other_language(self, writer: AnyBook, other: AnyBook) -> None:
        """Flags and reason stand on the legs; the original memo stays."""
        journal = await pay(writer, memo="rent")
        reversal = await writer.void(journal.id, "I made a mistake")
        legs = (await other.ledger("Income")).results
        assert {(leg.journal, leg.memo, leg.voided, leg.void_reason) for leg in legs} == {
            (journal.id, "rent", True, "I made a mistake"),
            (reversal.id, "I made a mistake", False, None),
        }

    async def test_original_date_is_kept_across_languages(self, writer: AnyBook, other: AnyBook) -> None:
        """A reversal with the original date counts in the period of the journal."""
        journal = await pay(writer, date=MAY)
        assert (await other.void(journal.id, use_original_date=True)).datetime == MAY
        for book in (writer, other):
            assert await book.balance("Income", end_date=MAY) == Balance(Decimal(0), 2)


class TestCacheOfNode:
    async def test_legs_of_python_are_in_the_cached_balance_of_node(
        self, node: NodeMedici, python_book: Book
    ) -> None:
        """Node adds legs with greater ids to what it cached; the server makes ours, so none is lost."""
        cached = node.book()
        for posted in range(1, 31):
            await pay(cached if posted % 3 == 0 else python_book, 1)
            assert await cached.balance("Income") == Balance(Decimal(posted), posted)

    async def test_what_node_cached_changes_no_answer_and_is_left_alone(
        self, node: NodeMedici, mongo_database: Database, python_book: Book
    ) -> None:
        """A cached balance that is wrong, as Node itself may leave it, stays as it is and is not believed."""
        await pay(python_book, 5)
        await node.book().balance("Income")
        await mongo_database.medici_balances.update_many({}, {"$set": {"balance": 999, "notes": 7}})
        left = await mongo_database.medici_balances.find().to_list()
        assert len(left) == 1
        assert await python_book.balance("Income") == Balance(Decimal(5), 1)
        assert await mongo_database.medici_balances.find().to_list() == left


class TestLocks:
    @staticmethod
    async def withdraw(book: AnyBook, session: Any, account: str = "Wallet") -> None:
        """Take 100 from *account* as medici's manual says: post, look, lock last."""
        await post(book, ("debit", account, 100), ("credit", "Outside", 100), session=session)
        if (await book.balance(account, session=session)).balance < 0:
            raise ValueError("not enough")
        await book.writelock_accounts([account], session=session)

    async def test_withdrawal_in_node_stops_the_one_in_python(
        self, node: NodeMedici, mongo_database: Database, node_book: NodeBook, python_book: Book
    ) -> None:
        """Both saw 100; Python's lock meets Node's, so it runs again and sees that nothing is left."""
        await post(python_book, ("credit", "Wallet", 100), ("debit", "Outside", 100))
        theirs = await node.start_transaction()
        await self.withdraw(node_book, theirs)
        tries = itertools.count(1)

        async def withdraw(session: Any) -> None:
            if next(tries) == 2:
                await theirs.commit_transaction()
            await self.withdraw(python_book, session)

        with pytest.raises(ValueError, match="not enough"):
            await mongo_transaction(mongo_database.client, withdraw)
        assert next(tries) == 3
        assert (await node_book.balance("Wallet")).balance == 0

    async def test_withdrawal_in_python_stops_the_one_in_node(
        self, node: NodeMedici, mongo_database: Database, node_book: NodeBook, python_book: Book
    ) -> None:
        """The other way round: Node gets the transient error that tells it to run again."""
        await post(node_book, ("credit", "Wallet", 100), ("debit", "Outside", 100))
        theirs = await node.start_transaction()
        async with mongo_database.client.start_session() as session:
            await session.start_transaction()
            await self.withdraw(python_book, session)
            with pytest.raises(NodeError) as caught:
                await self.withdraw(node_book, theirs)
            await session.commit_transaction()
        assert caught.value.code == 112
        assert "TransientTransactionError" in caught.value.labels
        assert (await node_book.balance("Wallet")).balance == 0


class TestIndexes:
    @staticmethod
    async def snapshot(database: Database) -> dict[str, Any]:
        """Return the options of the collections and all their indexes."""
        options = {
            found["name"]: found["options"]
            async for found in await database.list_collections()
            if found["name"] in COLLECTIONS
        }
        # mongoose asks for ``background``, which the server stores and ignores since MongoDB 4.2.
        indexes = {
            name: [
                {option: value for option, value in index.items() if option != "background"}
                async for index in await database[name].list_indexes()
                # For balances of the past; Node's syncIndexes() drops them, which costs only time.
                if not index["name"].startswith("medici_py_")
            ]
            for name in COLLECTIONS
        }
        return {"options": options, "indexes": indexes}

    async def test_both_languages_create_the_same_in_either_order(
        self, node_process: NodeProcess, mongodb: EmbeddedMongo, mongo_database: Database
    ) -> None:
        """Node alone, Python alone, Node after Python, Python after Node: no conflict, no difference."""
        node = NodeMedici(node_process, mongodb.uri, mongo_database.name)
        client = mongo_database.client

        async def node_starts() -> None:
            await node.open()

        async def python_starts() -> None:
            await init_models(mongo_database)

        found = []
        orders = [
            (node_starts,),
            (python_starts,),
            (python_starts, node_starts),
            (node_starts, python_starts),
        ]
        for order in orders:
            await node_process.call("close")
            await client.drop_database(mongo_database.name)
            for start in order:
                await start()
            found.append(await self.snapshot(mongo_database))
        await node_process.call("close")
        assert found == found[:1] * len(orders)
        assert sum(map(len, found[0]["indexes"].values())) == 11

    async def test_index_synchronisation_of_node_leaves_what_is_ours(
        self, node_process: NodeProcess, mongodb: EmbeddedMongo, mongo_database: Database
    ) -> None:
        """Node's syncIndexes() drops what it does not know on medici's collections, and nothing else.

        The library's indexes are not even dropped and built again; other collections are not looked at.
        """
        await init_models(mongo_database)
        before = await self.snapshot(mongo_database)
        await mongo_database["medici_py_keys"].create_index("key", unique=True)
        await mongo_database.medici_transactions.create_index("meta.client")
        node = NodeMedici(node_process, mongodb.uri, mongo_database.name)
        await node.open()
        await mongo_database.command("profile", 2)
        await node.sync_indexes()
        await mongo_database.command("profile", 0)
        await node.close()
        assert await self.snapshot(mongo_database) == before
        assert set(await mongo_database["medici_py_keys"].index_information()) == {"_id_", "key_1"}
        drops = mongo_database["system.profile"].find({"command.dropIndexes": {"$exists": True}})
        assert {drop["command"]["index"] async for drop in drops} == {
            "meta.client_1",
            "medici_py_recorded",
            "medici_py_effective",
        }

    async def test_index_synchronisation_of_python_leaves_those_of_node(
        self, node: NodeMedici, mongo_database: Database
    ) -> None:
        """Our sync_indexes() finds nothing to replace after Node, and keeps an index that a user made."""
        await mongo_database.medici_transactions.create_index("meta.client")
        before = await self.snapshot(mongo_database)
        assert await sync_indexes(mongo_database) == []
        assert await self.snapshot(mongo_database) == before


# Histories: whatever either language does in whatever order, both answer alike.

ACCOUNTS = ["Assets", "Assets:Cash", "Assets:Cash:Till", "Assetsless", "Income"]
CLIENTS: list[dict[str, Any]] = [{}, {"client": "Joe"}, {"client": "Ann", "n": 1}]
DATES = [None, MAY, JUNE, JULY]

# All of a history together stay below 15 digits, which is as far as Node can add up fractions.
amounts = st.one_of(
    st.integers(1, 10**8),
    st.integers(-1_000, -1),
    st.integers(1, 10**9).map(lambda units: Decimal(units).scaleb(-4)),
)
posting = st.tuples(
    st.just("post"),
    st.lists(
        st.tuples(
            st.sampled_from(["debit", "credit"]),
            st.sampled_from(ACCOUNTS),
            amounts,
            st.sampled_from(CLIENTS),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(DATES),
)
voiding = st.tuples(st.just("void"), st.integers(0, 9), st.booleans())
steps = st.tuples(st.sampled_from(["node", "python"]), st.one_of(posting, posting, voiding))


class History:
    """One book in both languages, and the journals posted so far."""

    def __init__(self, node_book: NodeBook, python_book: Book) -> None:
        self.books: dict[str, AnyBook] = {"node": node_book, "python": python_book}
        self.journals: list[ObjectId] = []

    async def take(self, language: str, action: Any) -> None:
        match action:
            case ("post", legs, date):
                balanced = [leg for side, *rest in legs for leg in self.both_sides(side, *rest)]
                self.journals.append((await post(self.books[language], *balanced, date=date)).id)
            case ("void", number, use_original_date) if self.journals:
                await self.void(self.books[language], number % len(self.journals), use_original_date)

    @staticmethod
    def both_sides(side: str, account: str, amount: Any, extra: dict[str, Any]) -> list[tuple[Any, ...]]:
        other = "credit" if side == "debit" else "debit"
        return [(side, account, str(amount), extra), (other, "Outside", str(amount))]

    async def void(self, book: AnyBook, number: int, use_original_date: bool) -> None:
        journal = self.journals[number]
        try:
            reversal = await book.void(journal, use_original_date=use_original_date)
        except (NodeError, MediciError):
            refusals = [await refusal(either.void(journal)) for either in self.books.values()]
            assert refusals == [("JournalAlreadyVoidedError", 400)] * 2
        else:
            self.journals.append(reversal.id)

    async def assert_equal_answers(self) -> None:
        answers = [await self.answers(book) for book in self.books.values()]
        assert answers[0] == answers[1]
        assert answers[0]["balances"][0].balance == 0

    async def answers(self, book: AnyBook) -> dict[str, Any]:
        questions: list[tuple[Any, Any, dict[str, Any]]] = [
            *((account, {}, {}) for account in [None, *ACCOUNTS, ["Assets:Cash", "Income"]]),
            *((None, extra, {}) for extra in CLIENTS),
            *((account, {}, {"start_date": MAY, "end_date": JUNE}) for account in (None, "Assets", "Income")),
        ]
        page = await book.ledger()
        return {
            "balances": [
                await book.balance(account, extra, **bounds) for account, extra, bounds in questions
            ],
            "legs": sorted(page.results, key=lambda leg: leg.id),
            "dates": [(leg.datetime, leg.timestamp) for leg in page.results],
            "accounts": await book.list_accounts(),
        }


@settings(
    max_examples=settings.default.max_examples // 4, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(history=st.lists(steps, min_size=2, max_size=7))
def test_both_languages_agree_after_every_step(
    node_process: NodeProcess, mongodb: EmbeddedMongo, history_database: str, history: list[Any]
) -> None:
    """Balances by account, client and period, ledger and account list agree whoever posted and voided what."""

    async def run() -> None:
        node = NodeMedici(node_process, mongodb.uri, history_database)
        await node.open()
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            name = f"History {ObjectId()}"
            played = History(
                node.book(name, balance_snapshot_sec=0), shared_book(client[history_database], name)
            )
            for language, action in history:
                await played.take(language, action)
                await played.assert_equal_answers()
        await node.close()

    asyncio.run(run())


@pytest.fixture
def history_database(mongodb: EmbeddedMongo) -> Any:
    """Name of a database for the examples of one test."""
    name = f"histories_{ObjectId()}"
    yield name

    async def drop() -> None:
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            await client.drop_database(name)

    asyncio.run(drop())

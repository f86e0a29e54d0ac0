"""The collections as Beanie documents: the same data, the same indexes, questions only."""

import datetime as dt
import subprocess
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from beanie import Document, PydanticObjectId, init_beanie
from bson import ObjectId
from pydantic import BaseModel, ValidationError
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import Book, Journal, Transaction, init_models, mongo_transaction, sync_indexes
from medici_py.documents import custom_stored_names, journal_defaults, object_id_names
from medici_py.odm import (
    BalanceDocument,
    JournalDocument,
    LockDocument,
    ReadOnlyDocumentError,
    TransactionDocument,
)
from medici_py.store import INDEXES

MAY = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
DOCUMENTS: list[type[Document]] = [JournalDocument, TransactionDocument, LockDocument, BalanceDocument]
Pay = Callable[..., Any]


class WalletTransaction(TransactionDocument):
    wallet_id: PydanticObjectId | None = None
    channel: str = "web"


class ApprovedJournal(JournalDocument):
    approved: bool = False


@pytest.fixture
async def beanie_bank(bank: AsyncDatabase[dict[str, Any]]) -> AsyncDatabase[dict[str, Any]]:
    """A fresh database with the documents bound to it."""
    await init_beanie(database=bank, document_models=[*DOCUMENTS, WalletTransaction, ApprovedJournal])
    return bank


async def indexes_of(database: AsyncDatabase[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: dict(await database[name].index_information()) for name in INDEXES}


class TestIndexes:
    @pytest.mark.parametrize("beanie_first", [True, False])
    async def test_either_order_of_set_up_gives_the_same_indexes(
        self, beanie_first: bool, mongo_database: AsyncDatabase[dict[str, Any]]
    ) -> None:
        """init_beanie and init_models declare them alike, so that neither conflicts with the other."""
        reference = mongo_database.client[f"{mongo_database.name}_reference"]
        await init_models(reference)
        if beanie_first:
            await init_beanie(database=mongo_database, document_models=DOCUMENTS)
            made_by_beanie = await indexes_of(mongo_database)
            await init_models(mongo_database)
            # A collection without indexes of its own comes with its first document.
            assert {name: made_by_beanie[name] for name in INDEXES if INDEXES[name]} == {
                name: indexes for name, indexes in (await indexes_of(reference)).items() if INDEXES[name]
            }
        else:
            await init_models(mongo_database)
            await init_beanie(database=mongo_database, document_models=DOCUMENTS)
        assert await indexes_of(mongo_database) == await indexes_of(reference)
        assert await sync_indexes(mongo_database) == []
        await reference.client.drop_database(reference.name)

    async def test_index_dropping_of_beanie_keeps_ours_and_adds_nothing(
        self, bank: AsyncDatabase[dict[str, Any]]
    ) -> None:
        """With allow_index_dropping Beanie drops what its documents do not declare: they declare all."""
        before = await indexes_of(bank)
        await init_beanie(
            database=bank, document_models=[*DOCUMENTS, WalletTransaction], allow_index_dropping=True
        )
        assert before == await indexes_of(bank)
        assert set(INDEXES) == set(await bank.list_collection_names())


class TestQueries:
    @pytest.fixture
    async def posted(self, beanie_bank: AsyncDatabase[dict[str, Any]]) -> Journal:
        """0.30 paid by Ann and 1000 by Bob, whose payment is returned."""
        book = Book("MainBook", beanie_bank)
        ann, bob = {"client": "Ann"}, {"client": "Bob"}
        await (
            book.entry("A", date="2024-04-01")
            .debit("Assets:Cash", "0.3")
            .credit("Income", "0.3", ann)
            .commit()
        )
        return await book.entry("B", date=MAY).debit("Assets:Cash", 1000).credit("Income", 1000, bob).commit()

    async def test_legs_are_found_by_field_path_and_meta(self, posted: Journal) -> None:
        """Python names stand for stored ones; what is found is a Transaction with exact amounts."""
        by_field = await TransactionDocument.find(
            TransactionDocument.journal == posted.id, TransactionDocument.accounts == "Income"
        ).to_list()
        by_meta = await TransactionDocument.find(TransactionDocument.meta["client"] == "Bob").to_list()
        assert by_field == by_meta
        (leg,) = by_field
        assert isinstance(leg, Transaction)
        assert (Decimal(1000), ("Income",), MAY) == (leg.credit, leg.account_path, leg.datetime)

    async def test_amounts_are_compared_and_summed_exactly(self, posted: Journal) -> None:
        """int64 and Decimal128 meet in one sum."""
        large = TransactionDocument.find(TransactionDocument.credit >= Decimal("0.3"))
        assert await large.count() == 2
        assert Decimal("1000.3") == Decimal(str(await large.sum(TransactionDocument.credit)))

    async def test_sort_skip_and_limit(self, posted: Journal) -> None:
        """Order by effective date, a page at a time."""
        newest_first = TransactionDocument.find_all().sort(
            -TransactionDocument.datetime, -TransactionDocument.id
        )
        assert [leg.memo for leg in await newest_first.limit(2).to_list()] == ["B", "B"]
        assert [leg.memo async for leg in newest_first.skip(2).limit(1)] == ["A"]

    async def test_aggregation_into_a_model(self, posted: Journal) -> None:
        """Pipelines run as they are."""

        class Turnover(BaseModel):
            account: str
            legs: int

        rows = await TransactionDocument.aggregate(
            [
                {"$group": {"_id": "$accounts", "legs": {"$sum": 1}}},
                {"$project": {"_id": 0, "account": "$_id", "legs": 1}},
                {"$sort": {"account": 1}},
            ],
            projection_model=Turnover,
        ).to_list()
        assert [Turnover(account="Assets:Cash", legs=2), Turnover(account="Income", legs=2)] == rows

    async def test_journal_is_found_by_its_id_as_text(self, posted: Journal) -> None:
        """What a web framework hands over is text; what comes back goes into JSON."""
        found = await JournalDocument.get(str(posted.id))
        assert found is not None
        assert posted.model_dump() == found.model_dump(exclude={"revision_id"})
        assert f'"id":"{posted.id}"' in found.model_dump_json()

    async def test_voided_journals_and_their_reasons(
        self, posted: Journal, beanie_bank: AsyncDatabase[dict[str, Any]]
    ) -> None:
        """Flags that the book sets are found."""
        reversal = await Book("MainBook", beanie_bank).void(posted.id, "twice")
        voided = await JournalDocument.find_one(JournalDocument.voided == True)  # noqa: E712 - a query
        assert voided is not None
        assert (posted.id, "twice") == (voided.id, voided.void_reason)
        legs = TransactionDocument.find(TransactionDocument.original_journal == posted.id)
        assert {reversal.id} == {leg.journal for leg in await legs.to_list()}

    async def test_query_in_a_session_sees_what_it_wrote(
        self, beanie_bank: AsyncDatabase[dict[str, Any]]
    ) -> None:
        """The ODM joins the caller's transaction like any other read."""
        book = Book("MainBook", beanie_bank)

        async def post(session: Any) -> int:
            await book.entry("x").debit("A", 1).credit("B", 1).commit(session=session)
            assert await TransactionDocument.find_all().count() == 0
            return await TransactionDocument.find_all(session=session).count()

        assert await mongo_transaction(beanie_bank.client, post) == 2

    async def test_locks(self, beanie_bank: AsyncDatabase[dict[str, Any]]) -> None:
        """How often an account was locked."""
        book = Book("MainBook", beanie_bank)
        await book.entry("x").debit("A", 1).credit("B", 1).commit(writelock_accounts=["A"])
        lock = await LockDocument.find_one(LockDocument.account == "A")
        assert lock is not None
        assert (lock.book, lock.version, lock.updated_at.tzinfo) == ("MainBook", 1, dt.UTC)

    async def test_balance_that_node_cached_can_be_looked_at(
        self, beanie_bank: AsyncDatabase[dict[str, Any]]
    ) -> None:
        """The document is medici's own."""
        await beanie_bank["medici_balances"].insert_one(
            {
                "key": "k",
                "rawKey": "MainBook;A",
                "book": "MainBook",
                "account": "A",
                "meta": None,
                "transaction": ObjectId(),
                "balance": 0.1,
                "notes": 3,
                "createdAt": MAY,
                "expireAt": MAY,
            }
        )
        cached = await BalanceDocument.find_one(BalanceDocument.raw_key == "MainBook;A")
        assert cached is not None
        assert (Decimal("0.1"), 3, MAY) == (cached.balance, cached.notes, cached.expire_at)


class TestCustomSchema:
    def test_model_adds_only_its_own_fields(self) -> None:
        """What Beanie keeps on a document beside it (revision_id) is no field of a leg."""
        assert custom_stored_names(TransactionDocument) == frozenset()
        assert {"wallet_id", "channel"} == custom_stored_names(WalletTransaction)
        assert {"_id", "_journal", "_original_journal", "wallet_id"} == object_id_names(WalletTransaction)
        assert journal_defaults(ApprovedJournal) == {"approved": False}

    async def test_one_class_serves_book_and_beanie(self, beanie_bank: AsyncDatabase[dict[str, Any]]) -> None:
        """Its fields are top-level in the document, and found by both."""
        wallet = ObjectId()
        book = Book("W", beanie_bank, transaction_model=WalletTransaction, journal_model=ApprovedJournal)
        journal = await (
            book.entry("x").debit("A", 5, {"wallet_id": str(wallet), "note": "n"}).credit("B", 5).commit()
        )
        assert isinstance(journal, ApprovedJournal)
        stored = await beanie_bank["medici_transactions"].find_one({"accounts": "A"})
        assert stored is not None
        assert (wallet, {"note": "n"}) == (stored["wallet_id"], stored["meta"])
        assert "revision_id" not in stored
        (leg,) = await WalletTransaction.find(WalletTransaction.wallet_id == wallet).to_list()
        assert [leg] == (await book.ledger(extra={"wallet_id": wallet})).results
        assert Decimal(-5) == (await book.balance("A", {"wallet_id": wallet})).balance
        await book.void(journal.id)
        assert Decimal(0) == (await book.balance("A", {"wallet_id": wallet})).balance
        approved = await ApprovedJournal.find_one(ApprovedJournal.approved == False)  # noqa: E712 - a query
        assert approved is not None


class TestReadOnly:
    async def test_write_through_a_document_is_refused_and_nothing_changes(
        self, beanie_bank: AsyncDatabase[dict[str, Any]]
    ) -> None:
        """Postings go through Book, or debits would not have to equal credits."""
        book = Book("MainBook", beanie_bank)
        journal = await book.entry("x").debit("A", 1).credit("B", 1).commit()
        leg = await TransactionDocument.find_one()
        assert leg is not None
        everything = TransactionDocument.find_all()
        writes: dict[str, Callable[[], Awaitable[Any]]] = {
            "insert_one": leg.insert,
            "insert_many": lambda: TransactionDocument.insert_many([leg]),
            "replace": leg.replace,
            "save": leg.save,
            "set": lambda: leg.set({"debit": 5}),
            "delete": leg.delete,
            "update_many": lambda: everything.update({"$set": {"debit": 5}}),
            "update_one": lambda: TransactionDocument.find_one().update({"$set": {"debit": 5}}),
            "delete_many": everything.delete,
            "delete_all": TransactionDocument.delete_all,
            "void": lambda: JournalDocument.find_one().update({"$set": {"voided": True}}),
        }
        for name, write in writes.items():
            with pytest.raises(ReadOnlyDocumentError, match="are for reading") as caught:
                await write()
            assert caught.value.collection.startswith("medici_"), name
        assert [journal] == [
            Journal.from_document(document) async for document in beanie_bank["medici_journals"].find()
        ]
        assert await beanie_bank["medici_transactions"].count_documents({"debit": {"$in": [0, 1]}}) == 2

    async def test_document_cannot_be_changed_in_memory(
        self, beanie_bank: AsyncDatabase[dict[str, Any]]
    ) -> None:
        """A value read stays what was read."""
        await Book("MainBook", beanie_bank).entry("x").debit("A", 1).credit("B", 1).commit()
        leg = await TransactionDocument.find_one()
        assert leg is not None
        with pytest.raises(ValidationError):
            leg.debit = Decimal(5)  # type: ignore[misc]


def test_missing_beanie_is_named_with_the_extra_that_brings_it() -> None:
    """One line says what to install; the rest of the library does without."""
    program = "import sys; sys.modules['beanie'] = None; import medici_py; import medici_py.odm"
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (
        outcome.stderr.splitlines()[-1]
        == "ImportError: medici_py.odm needs Beanie 2: pip install 'medici-py[odm]'"
    )

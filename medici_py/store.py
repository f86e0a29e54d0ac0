"""The collections of medici in one database: their names, their indexes, and the few writes made to them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, CollectionInvalid, OperationFailure
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from medici_py.book_state import BOOKS
from medici_py.driver import (
    Collection,
    Database,
    Document,
    adopt,
    capabilities,
    codec_options,
    has_transaction,
)
from medici_py.entry_key import KEYS
from medici_py.errors import IndexConflictError
from medici_py.running_rows import ROWS
from medici_py.stripes import STRIPES
from medici_py.sums import SumTooLargeError

JOURNALS = "medici_journals"
TRANSACTIONS = "medici_transactions"
LOCKS = "medici_locks"
BALANCES = "medici_balances"
TEMPLATES = "medici_py_templates"

LOCK_LIFETIME_SECS = 86_400

# On medici's collections names and options are medici's to the letter: Node creates the same indexes when it
# starts, and the same keys under another name or with other options would make that fail.
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    JOURNALS: (),
    TRANSACTIONS: (
        IndexModel([("_journal", ASCENDING)]),
        IndexModel([("book", ASCENDING), ("accounts", ASCENDING), ("datetime", DESCENDING)]),
        IndexModel(
            [
                ("book", ASCENDING),
                ("account_path.0", ASCENDING),
                ("account_path.1", ASCENDING),
                ("account_path.2", ASCENDING),
                ("datetime", DESCENDING),
            ]
        ),
        # Ours, for balances as of a moment: Node's syncIndexes() may drop them, which costs only time.
        IndexModel([("book", ASCENDING), ("timestamp", ASCENDING)], name="medici_py_recorded"),
        IndexModel([("book", ASCENDING), ("datetime", ASCENDING)], name="medici_py_effective"),
    ),
    LOCKS: (
        IndexModel([("account", ASCENDING), ("book", ASCENDING)], unique=True),
        IndexModel([("updatedAt", ASCENDING)], expireAfterSeconds=LOCK_LIFETIME_SECS),
    ),
    BALANCES: (
        IndexModel([("key", ASCENDING)]),
        IndexModel([("expireAt", ASCENDING)], expireAfterSeconds=0),
    ),
    # Created beforehand: a transaction that creates a collection meets every other one that does.
    ROWS: (),
    KEYS: (),
    BOOKS: (),
    STRIPES: (),
    TEMPLATES: (),
}

_DOCUMENTS_OF_ANY_SIZE = 2
"""So many documents fit into one message of 48 MB, however large they are."""

_STATEMENTS_A_COMMAND = 2_000  # far below the 16 MB of a command and MongoDB's 100,000 statements
_NAMESPACE_EXISTS = 48
_DUPLICATE_KEY = 11000
_INDEX_CONFLICTS = frozenset({85, 86})

_SNAPSHOT = ReadConcern("snapshot")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How one read is done.

    Attributes:
        session: The caller's session, which decides read preference and concern inside a transaction.
        read_preference: Where to read; the database's own if None.
        read_concern: What to read; one majority-committed snapshot if None.
    """

    session: AsyncClientSession | None = None
    read_preference: Any | None = None
    read_concern: ReadConcern | None = None


class Store:
    """The collections of one database.

    Stateless: any number may exist for one database, in any number of processes.
    """

    def __init__(self, database: Database) -> None:
        self.database = adopt(database)
        self.capabilities = capabilities(database)
        self.codec_options = codec_options(self.database)
        self.journals: Collection = self.database[JOURNALS]
        self.transactions: Collection = self.database[TRANSACTIONS]
        self.locks: Collection = self.database[LOCKS]
        self.balance_rows: Collection = self.database[ROWS]
        self.keys: Collection = self.database[KEYS]
        self.books: Collection = self.database[BOOKS]
        self.stripes: Collection = self.database[STRIPES]

    @property
    def client(self) -> Any:
        """The client of the database."""
        return self.database.client

    @property
    def latest_journals(self) -> Collection:
        """The journals as a majority of the servers has them now, whatever the database's defaults are."""
        return self._latest(self.journals)

    @property
    def latest_transactions(self) -> Collection:
        """The legs, as `latest_journals`."""
        return self._latest(self.transactions)

    def _latest(self, collection: Collection) -> Collection:
        if not self.capabilities.transactions:
            return collection
        return collection.with_options(
            read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern("majority")
        )

    def transactions_for(self, options: ReadOptions) -> Collection:
        """Return the legs' collection, reading as *options* say."""
        return self._reading(self.transactions, options)

    def rows_for(self, options: ReadOptions) -> Collection:
        """Return the rows of running balances, reading as *options* say."""
        return self._reading(self.balance_rows, options)

    def _reading(self, collection: Collection, options: ReadOptions) -> Collection:
        if not self.capabilities.transactions or has_transaction(options.session):
            return collection
        return collection.with_options(
            read_preference=options.read_preference, read_concern=options.read_concern or _SNAPSHOT
        )

    async def insert(
        self,
        collection: Collection,
        documents: Sequence[Document],
        *,
        session: AsyncClientSession | None,
        small: bool = False,
    ) -> None:
        """Insert *documents* in order, inside a transaction if there are any.

        Args:
            collection: Where.
            documents: What is inserted.
            session: The session whose transaction this belongs to.
            small: Whether they are known to fit into one message of 48 MB.

        Raises:
            BulkWriteError: If the server refuses one; the transaction is aborted.
        """
        fits = small or len(documents) <= _DOCUMENTS_OF_ANY_SIZE
        if not fits or not self.capabilities.transactions:
            await collection.insert_many(list(documents), session=session)
            return
        # The driver's way for many, which looks at each and cuts them into messages, takes a third longer.
        reply = await self.database.command(
            {"insert": collection.name, "documents": list(documents), "ordered": True},
            codec_options=self.codec_options,
            session=session,
        )
        if reply.get("writeErrors"):
            raise BulkWriteError(reply)

    async def insert_legs(
        self, documents: Sequence[Document], *, session: AsyncClientSession | None, small: bool = False
    ) -> dict[ObjectId, list[ObjectId]]:
        """Insert legs in order, as `insert` does, and return the ids of each journal's in that order.

        Legs without ``_id`` get one from the server: Node's cached balances count only ids greater than
        the ones they have seen, and only the server's clock and counter give that.
        """
        if not self.capabilities.transactions:
            await self.transactions.insert_many(list(documents))
            return _ids_by_journal(documents)
        without = [document for document in documents if "_id" not in document]
        if not without:
            await self.insert(self.transactions, documents, small=small, session=session)
            return _ids_by_journal(documents)
        # Raw documents are sent as they are; of any other the driver would complete a missing _id.
        await self.insert(
            self.transactions,
            [document if "_id" in document else self._raw(document) for document in documents],
            session=session,
        )
        found = _ids_by_journal(document for document in documents if "_id" in document)
        journals = list(dict.fromkeys(document["_journal"] for document in without))
        inserted = self.transactions.find(
            {"_journal": {"$in": journals}}, {"_id": 1, "_journal": 1}, session=session
        ).sort("_id", ASCENDING)
        return found | _ids_by_journal([document async for document in inserted])

    def _raw(self, document: Document) -> Any:
        return RawBSONDocument(bson.encode(document, codec_options=self.codec_options))

    async def update_rows(
        self, statements: Sequence[Document], *, session: AsyncClientSession | None
    ) -> None:
        """Send the statements of `medici_py.running_rows` to the rows of running balances.

        Raises:
            SumTooLargeError: If a row would hold more than it can exactly; the transaction is aborted.
            BulkWriteError: If the server refuses one for another reason; the transaction is aborted.
        """
        for start in range(0, len(statements), _STATEMENTS_A_COMMAND):
            reply = await self.database.command(
                {
                    "update": ROWS,
                    "updates": list(statements[start : start + _STATEMENTS_A_COMMAND]),
                    "ordered": False,
                },
                session=session,
            )
            errors = reply.get("writeErrors", ())
            if any(error["code"] == _DUPLICATE_KEY for error in errors):
                raise SumTooLargeError("the row of the whole book is beyond its limit")
            if errors:
                # The driver raises only what the server calls a failed command.
                raise BulkWriteError(reply)

    async def lock_accounts(
        self, accounts: Sequence[str], *, book: str, now: datetime, session: AsyncClientSession | None
    ) -> None:
        """Touch the lock of each account, so that transactions which do the same conflict.

        Without transactions a lock would hold nothing, and none is written.
        """
        if not self.capabilities.transactions:
            return
        locks = [
            UpdateOne(
                {"account": account, "book": book},
                {"$set": {"updatedAt": now}, "$inc": {"__v": 1}},
                upsert=True,
            )
            for account in dict.fromkeys(accounts)
        ]
        if locks:
            await self.locks.bulk_write(locks, session=session)


def _ids_by_journal(documents: Iterable[Mapping[str, Any]]) -> dict[ObjectId, list[ObjectId]]:
    found: dict[ObjectId, list[ObjectId]] = {}
    journal: ObjectId | None = None
    ids: list[ObjectId] = []
    for document in documents:
        if document["_journal"] is not journal:  # As a rule those of one journal are neighbours.
            journal = document["_journal"]
            ids = found.setdefault(document["_journal"], [])
        ids.append(document["_id"])
    return found


async def init_models(database: Database) -> None:
    """Create the collections and indexes, where they are missing.

    Idempotent, and safe in every process at the same time, next to Node's ``initModels()`` too.

    Raises:
        IndexConflictError: If an index of the same name or keys exists with other options.
    """
    adopted = adopt(database)
    existing = set(await adopted.list_collection_names())
    for name, indexes in INDEXES.items():
        if name not in existing:
            await _create_collection(adopted, name)
        if indexes:
            await _create_indexes(adopted[name], indexes)


async def _create_collection(database: Any, name: str) -> None:
    try:
        await database.create_collection(name)
    except CollectionInvalid:
        return  # Another process was faster.
    except OperationFailure as exc:
        if exc.code != _NAMESPACE_EXISTS:
            raise


async def _create_indexes(collection: Collection, indexes: Sequence[IndexModel]) -> None:
    try:
        await collection.create_indexes(list(indexes))
    except OperationFailure as exc:
        if exc.code not in _INDEX_CONFLICTS:
            raise
        raise IndexConflictError(
            f"An index of {collection.name} exists with other options: {exc}. "
            "sync_indexes() replaces it if the name is ours; otherwise drop it by hand."
        ) from exc


async def sync_indexes(database: Database) -> list[str]:
    """Make the library's own indexes what they should be.

    Missing ones are created; one that carries a name of ours with other keys or options is replaced.
    Indexes with any other name are never touched.

    Returns:
        The names of the indexes that were replaced, as ``collection.index``.
    """
    replaced: list[str] = []
    adopted = adopt(database)
    for name, indexes in INDEXES.items():
        collection = adopted[name]
        found = await collection.index_information() if indexes else {}
        for index in indexes:
            wanted = index.document
            present = found.get(wanted["name"])
            if present is not None and _differs(present, wanted):
                await collection.drop_index(wanted["name"])
                replaced.append(f"{name}.{wanted['name']}")
    await init_models(database)
    return replaced


def _differs(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    options = ("unique", "expireAfterSeconds", "sparse", "partialFilterExpression", "collation")
    return (
        list(present["key"]) != list(wanted["key"].items())
        or any(
            (present.get(option) or None) != (wanted.get(option) or None)
            for option in options
            if option != "expireAfterSeconds"
        )
        or present.get("expireAfterSeconds") != wanted.get("expireAfterSeconds")
    )

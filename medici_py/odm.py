"""The collections as Beanie documents, for applications that ask their questions through an ODM.

They are for reading: ``find``, ``get``, ``count``, ``aggregate`` and the rest of Beanie's queries. Postings
go through `Book`, which keeps debits equal to credits, so whatever writes through one of these documents
is refused with `ReadOnlyDocumentError`. Indexes are declared as `medici_py.init_models` makes them:
``init_beanie`` finds them in place, or makes the same ones.

A book with fields of its own needs one class for both::

    class WalletTransaction(TransactionDocument):
        wallet_id: PydanticObjectId | None = None       # top-level in the document, not under meta

    await init_beanie(database=database, document_models=[WalletTransaction, JournalDocument])
    book = Book("Wallets", database, transaction_model=WalletTransaction)

Beanie binds a class to one database; such a book comes after ``init_beanie``. Needs the extra ``odm``
(Beanie 2, PyMongo Async; it does not run on Motor or mongomock-motor).
"""

from typing import Any, cast

from pydantic import ConfigDict, Field
from pymongo import IndexModel
from pymongo.asynchronous.collection import AsyncCollection

# As a module: Beanie registers every model it finds in here by its bare name, and an application may well
# have a Transaction of its own.
from medici_py import documents
from medici_py.errors import MediciError
from medici_py.store import BALANCES, INDEXES, JOURNALS, LOCKS, TRANSACTIONS

try:
    from beanie import Document, PydanticObjectId
except ModuleNotFoundError as exc:
    if exc.name != "beanie":
        raise
    raise ImportError("medici_py.odm needs Beanie 2: pip install 'medici-py[odm]'", name="beanie") from exc

__all__ = [
    "BalanceDocument",
    "JournalDocument",
    "LockDocument",
    "ReadOnlyDocumentError",
    "TransactionDocument",
]

_WRITES = frozenset(
    {
        "bulk_write",
        "delete_many",
        "delete_one",
        "drop",
        "find_one_and_delete",
        "find_one_and_replace",
        "find_one_and_update",
        "insert_many",
        "insert_one",
        "rename",
        "replace_one",
        "update_many",
        "update_one",
    }
)


class ReadOnlyDocumentError(MediciError):
    """A write through a Beanie document was refused; `Book` is what writes these collections.

    Attributes:
        collection: Name of the collection.
        operation: The driver's method that would have written.
    """

    code = 400

    def __init__(self, *, collection: str, operation: str) -> None:
        super().__init__(
            f"{operation}() on {collection} refused: documents of medici_py.odm are for reading. "
            "Post with Book.entry(...).commit() and undo with Book.void()."
        )
        self.collection = collection
        self.operation = operation


class _ReadOnlyCollection:
    """A collection of the driver without the methods that write documents."""

    __slots__ = ("_collection",)

    def __init__(self, collection: AsyncCollection[Any]) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        if name in _WRITES:
            raise ReadOnlyDocumentError(collection=self._collection.name, operation=name)
        return getattr(self._collection, name)


class _Reading(Document):
    """A Beanie document that can be found, not changed."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def get_pymongo_collection(cls) -> AsyncCollection[Any]:
        """Return the collection, which refuses writes; Beanie does everything through this method."""
        return cast("AsyncCollection[Any]", _ReadOnlyCollection(super().get_pymongo_collection()))


class JournalDocument(documents.Journal, _Reading):
    """A journal of ``medici_journals``: a `medici_py.Journal` that Beanie can find."""

    id: PydanticObjectId = Field(alias="_id")
    transactions: tuple[PydanticObjectId, ...] = Field(default=(), alias="_transactions")

    class Settings:
        """Where Beanie finds it."""

        name = JOURNALS
        indexes: tuple[IndexModel, ...] = tuple(INDEXES[JOURNALS])


class TransactionDocument(documents.Transaction, _Reading):
    """A leg of ``medici_transactions``: a `medici_py.Transaction` that Beanie can find."""

    id: PydanticObjectId = Field(alias="_id")
    journal: PydanticObjectId = Field(alias="_journal")
    original_journal: PydanticObjectId | None = Field(default=None, alias="_original_journal")

    class Settings:
        """Where Beanie finds it."""

        name = TRANSACTIONS
        indexes: tuple[IndexModel, ...] = tuple(INDEXES[TRANSACTIONS])


class LockDocument(_Reading):
    """A write lock of ``medici_locks``: when an account was last locked, and how often."""

    id: PydanticObjectId = Field(alias="_id")
    account: str
    book: str
    updated_at: documents.Instant = Field(alias="updatedAt")
    version: int = Field(alias="__v")

    class Settings:
        """Where Beanie finds it."""

        name = LOCKS
        indexes: tuple[IndexModel, ...] = tuple(INDEXES[LOCKS])


class BalanceDocument(_Reading):
    """A balance that Node's medici cached in ``medici_balances``; this library neither makes nor trusts any.

    Attributes:
        key: SHA-1 of *raw_key*, each byte as one character.
        account: Paths joined with ``,``; None for the whole book.
        meta: The query's extra keys as JSON text.
        transaction: Largest leg id that is included.
        notes: Number of legs.
    """

    id: PydanticObjectId = Field(alias="_id")
    key: str
    raw_key: str = Field(alias="rawKey")
    book: str
    account: str | None = None
    meta: str | None = None
    transaction: PydanticObjectId
    balance: documents.Amount
    notes: int
    created_at: documents.Instant = Field(alias="createdAt")
    expire_at: documents.Instant = Field(alias="expireAt")

    class Settings:
        """Where Beanie finds it."""

        name = BALANCES
        indexes: tuple[IndexModel, ...] = tuple(INDEXES[BALANCES])

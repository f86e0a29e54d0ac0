"""What a change stream over medici's two collections says: positions, events, and what they are made of.

A writer inserts the legs of a journal before the journal itself: this library inside one MongoDB
transaction, Node's medici without one. Voiding flags the journal by an update, before the reversing journal
is inserted. So the stream shows `LegInserted` any number of times, then `JournalInserted`, and for a void
`JournalFlagged`. From these `change_assembly` makes what callers see: `JournalPosted` and `JournalVoided`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Self, TypeAlias

from bson import ObjectId
from bson.timestamp import Timestamp

from medici_py.documents import Journal, Transaction
from medici_py.store import JOURNALS, TRANSACTIONS

Document: TypeAlias = Mapping[str, Any]

_TIMESTAMP_TYPE = "82"
_TIME_DIGITS = 18  # the type and eight bytes of time, in hexadecimal
_AFTER_ALL_TOKENS = "FF"


@dataclass(frozen=True, slots=True)
class ChangePosition:
    """A place in the stream of changes, after everything up to it.

    Attributes:
        token: MongoDB's resume token; None if only the time is known.
        cluster_time: The commit time of the newest change up to here, as far as it is known. Without a
            token, the place is right after everything committed at this time.
        seen: How many of the events that the next journal brings were handed out, too: a journal may bring
            several. A stream that hands out whole journals passes this over, and repeats the journal.
        since: Only what was committed after this time follows, by the server's wall clock: the place is a
            little before that, where a time was all that was known. A stream of whole journals passes this
            over, too. None for everything after the place.
    """

    token: Mapping[str, Any] | None
    cluster_time: Timestamp | None
    seen: int = 0
    since: datetime | None = None

    def to_document(self) -> dict[str, Any]:
        """Return a document to store; `from_document` reads it back."""
        token = None if self.token is None else dict(self.token)
        document: dict[str, Any] = {"token": token, "cluster_time": self.cluster_time}
        rare = {"seen": self.seen, "since": self.since}
        return document | {name: value for name, value in rare.items() if value}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_document` made."""
        since: datetime | None = document.get("since")
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)  # As PyMongo reads it by default.
        return cls(document["token"], document["cluster_time"], document.get("seen", 0), since)

    @property
    def sort_key(self) -> str:
        """A text that sorts positions of one deployment as they follow each other; `seen` does not count.

        What is no token of MongoDB's comes before everything.

        Source: MongoDB's resume tokens are hexadecimal texts made to be compared; they begin with a type
        and the cluster time.
        """
        if self.token is not None:
            data = self.token.get("_data")
            return data if isinstance(data, str) and data.startswith(_TIMESTAMP_TYPE) else ""
        return "" if self.cluster_time is None else _after_everything_at(self.cluster_time)

    def or_later(self, other: "ChangePosition") -> "ChangePosition":
        """Return this position or *other*, whichever comes later."""
        return other if other.sort_key > self.sort_key else self

    @property
    def idle_sort_key(self) -> str:
        """`sort_key` for a place where the server had nothing more: after everything of the same moment."""
        return self.sort_key[:_TIME_DIGITS] + _AFTER_ALL_TOKENS

    def watch_options(self) -> dict[str, Any]:
        """Return the driver's options for a stream of what comes after this place."""
        if self.token is not None:
            return {"start_after": self.token}
        if self.cluster_time is not None:
            # The server's option includes the instant that it is given.
            time, increment = self.cluster_time.time, self.cluster_time.inc
            return {"start_at_operation_time": Timestamp(time, increment + 1)}
        return {}


@dataclass(frozen=True, slots=True)
class JournalPosted:
    """A journal was committed.

    Attributes:
        journal: The journal as it was inserted.
        transactions: Its legs in posting order.
        position: To resume right after this event.
        committed_at: The server's wall clock at the commit; aware, UTC.
    """

    journal: Journal
    transactions: tuple[Transaction, ...]
    position: ChangePosition
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class JournalVoided:
    """A journal was marked voided; the `JournalPosted` of the reversing journal follows.

    Attributes:
        journal_id: The voided journal.
        book: Name of its book.
        void_reason: As stored on the voided journal.
        position: To resume right after this event.
        committed_at: The server's wall clock at the commit; aware, UTC.
    """

    journal_id: ObjectId
    book: str
    void_reason: str
    position: ChangePosition
    committed_at: datetime


JournalChange: TypeAlias = JournalPosted | JournalVoided


@dataclass(frozen=True, slots=True)
class BalanceChanged:
    """A journal moved the balance of an account, by a leg on the account itself or below it.

    Attributes:
        book: Name of the book.
        account: The account, parts joined with ``:``.
        dimensions: The values of the book's dimensions for which the balance is; empty if it has none.
        balance: Credits minus debits of the account and everything below it, after the journal. Journals
            that were committed together count one after the other; after the last of them it is what
            ``book.balance()`` says.
        notes: Number of legs behind it.
        journal_id: The journal.
        position: To resume right after this event.
        committed_at: The server's wall clock at the commit; aware, UTC.
    """

    book: str
    account: str
    dimensions: Mapping[str, Any]
    balance: Decimal
    notes: int
    journal_id: ObjectId
    position: ChangePosition
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class EventsDropped:
    """A subscriber that drops what it has no room for has missed events here.

    Attributes:
        count: How many.
        after: The place before the first of them: a subscription that begins there sees them.
        position: The place after the last of them.
    """

    count: int
    after: ChangePosition
    position: ChangePosition


BookEvent: TypeAlias = JournalPosted | JournalVoided | BalanceChanged
"""What happens in a book."""

ChangeEvent: TypeAlias = BookEvent | EventsDropped
"""What a subscription hands out."""


@dataclass(frozen=True, slots=True)
class LegInserted:
    """A leg as it was inserted; ``in_transaction`` if more may belong to the same commit."""

    leg: Document
    in_transaction: bool
    position: ChangePosition
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class JournalInserted:
    """A journal as it was inserted, after its legs; ``in_transaction`` if they belong to the same commit."""

    journal: Document
    position: ChangePosition
    committed_at: datetime
    in_transaction: bool = False


@dataclass(frozen=True, slots=True)
class JournalFlagged:
    """A journal got its ``voided`` flag."""

    journal_id: ObjectId
    void_reason: str
    position: ChangePosition
    committed_at: datetime


StoredChange: TypeAlias = LegInserted | JournalInserted | JournalFlagged


def change_pipeline(books: Collection[str] | None) -> list[dict[str, Any]]:
    """Return the pipeline of a database's change stream that lets through what concerns *books*.

    Flags of other books pass too: an update does not say to which book its document belongs.
    """
    of_books = {} if books is None else {"fullDocument.book": {"$in": sorted(books)}}
    inserted = {"operationType": "insert", "ns.coll": {"$in": [JOURNALS, TRANSACTIONS]}, **of_books}
    flagged = {"operationType": "update", "ns.coll": JOURNALS, "updateDescription.updatedFields.voided": True}
    return [{"$match": {"$or": [inserted, flagged]}}]


def read_change(document: Document) -> StoredChange:
    """Read a change document that `change_pipeline` let through."""
    position = ChangePosition(document["_id"], document["clusterTime"])
    # MongoDB 6 and later give the wall clock; the commit time alone has whole seconds.
    committed_at: datetime = document.get("wallTime") or document["clusterTime"].as_datetime()
    match document["operationType"], document["ns"]["coll"]:
        case "insert", collection if collection == TRANSACTIONS:
            return LegInserted(document["fullDocument"], "txnNumber" in document, position, committed_at)
        case "insert", _:
            return JournalInserted(
                document["fullDocument"], position, committed_at, in_transaction="txnNumber" in document
            )
        case _:
            reason = document["updateDescription"]["updatedFields"].get("void_reason")
            return JournalFlagged(document["documentKey"]["_id"], str(reason or ""), position, committed_at)


def _after_everything_at(cluster_time: Timestamp) -> str:
    return f"{_TIMESTAMP_TYPE}{cluster_time.time:08X}{cluster_time.inc:08X}{_AFTER_ALL_TOKENS}"

"""What a change stream over medici's two collections says: positions, events, and what they are made of.

A writer inserts the legs of a journal before the journal itself: this library inside one MongoDB
transaction, Node's medici without one. Voiding flags the journal by an update, before the reversing journal
is inserted. So the stream shows `LegInserted` any number of times, then `JournalInserted`, and for a void
`JournalFlagged`. From these `change_assembly` makes what callers see: `JournalPosted` and `JournalVoided`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TypeAlias

from bson import ObjectId
from bson.timestamp import Timestamp

from medici_py.documents import Journal, Transaction
from medici_py.store import JOURNALS, TRANSACTIONS

Document: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChangePosition:
    """A place in the stream of changes, after everything up to it.

    Attributes:
        token: MongoDB's resume token; None if only the time is known.
        cluster_time: The commit time of the newest change up to here, as far as it is known. Without a
            token, the place is right after everything committed at this time.
    """

    token: Mapping[str, Any] | None
    cluster_time: Timestamp | None

    def to_document(self) -> dict[str, Any]:
        """Return a document to store; `from_document` reads it back."""
        return {"token": None if self.token is None else dict(self.token), "cluster_time": self.cluster_time}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_document` made."""
        return cls(document["token"], document["cluster_time"])

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
class LegInserted:
    """A leg as it was inserted; ``in_transaction`` if more may belong to the same commit."""

    leg: Document
    in_transaction: bool
    position: ChangePosition
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class JournalInserted:
    """A journal as it was inserted, after its legs."""

    journal: Document
    position: ChangePosition
    committed_at: datetime


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
            return JournalInserted(document["fullDocument"], position, committed_at)
        case _:
            reason = document["updateDescription"]["updatedFields"].get("void_reason")
            return JournalFlagged(document["documentKey"]["_id"], str(reason or ""), position, committed_at)

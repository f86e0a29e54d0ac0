"""What durable subscriptions store: where each is, and what was handled where it might be met again.

``medici_py_subscriptions``, one document a name::

    {_id: "hedging", filter: {...}, token: int64, holder: text, position: {...}, position_at: date,
     skip: int64, recovery: {...} or null, repeats_until: date or null, not_before: date or null,
     updated_at: date}

``token`` is the fencing token of whoever is active. A holder writes it first, and reads the position in the
same command; every later write names its own token, so that one who lost the lease changes nothing, and a
transaction of his that is still open meets a write conflict.

``medici_py_handled`` has one document for each event that `run_in_transaction` handled, inserted in the same
transaction. A mark is needed only for a recovery, which may meet again what was committed a little before the
stored position; marks older than that are deleted by whoever is active, and never while nobody is.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bson import Int64, ObjectId
from bson.timestamp import Timestamp
from pymongo import ASCENDING, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError
from pymongo.read_preferences import ReadPreference

from medici_py.driver import TRANSACTION_WRITE_CONCERN, Collection, Database, adopt
from medici_py.durable_position import Progress
from medici_py.errors import MediciError
from medici_py.leases import LeaseLostError

SUBSCRIPTIONS = "medici_py_subscriptions"
HANDLED = "medici_py_handled"


class SubscriptionMismatchError(MediciError):
    """A subscription of this name exists and asks for other events; its position means nothing for these.

    Attributes:
        name: Name of the subscription.
        stored: What the existing one asks for.
        given: What was asked for now.
    """

    code = 400

    def __init__(self, name: str, *, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        differing = [key for key in given if stored.get(key) != given[key]]
        shown = "; ".join(f"{key} {stored.get(key)!r}, given {given[key]!r}" for key in differing)
        super().__init__(
            f"Subscription {name!r} exists with another filter: stored are {shown}. Use another name, or "
            f"delete the document {name!r} of {SUBSCRIPTIONS} to begin anew."
        )
        self.name = name
        self.stored = stored
        self.given = given


@dataclass(frozen=True, slots=True)
class ServerTime:
    """Where the server is: its newest cluster time and its wall clock."""

    cluster_time: Timestamp
    now: dt.datetime


@dataclass(frozen=True, slots=True)
class HandledMark:
    """What tells an event from every other one of the subscription.

    Attributes:
        event: ``"posted"`` or ``"voided"``.
        journal_id: The journal that was.
        committed_at: When, or when it was recorded.
    """

    event: str
    journal_id: ObjectId
    committed_at: dt.datetime


class SubscriptionRows:
    """The stored state of one subscription; safe to share.

    Args:
        database: Of PyMongo Async or Motor.
        name: Name of the subscription.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = adopt(database)
        self._name = name
        self._rows = _majority(self._database[SUBSCRIPTIONS])
        self._handled = _majority(self._database[HANDLED])

    async def prepare(self) -> None:
        """Create what transactions must not: a collection and its index. Idempotent."""
        await self._handled.create_index([("subscription", ASCENDING), ("committed_at", ASCENDING)])

    async def server_time(self) -> ServerTime:
        """Ask the server where it is."""
        hello = await self._database.command("hello")
        return ServerTime(hello["operationTime"], hello["localTime"].replace(tzinfo=dt.UTC))

    async def activate(self, token: int, holder: str, wanted: Mapping[str, Any]) -> Progress | None:
        """Claim the subscription for the holder of *token* and return how far it is; None if it is new.

        Raises:
            SubscriptionMismatchError: If it exists with another filter.
            LeaseLostError: If somebody with a greater token has claimed it.
        """
        found = await self._rows.find_one_and_update(
            {"_id": self._name, "token": {"$lte": Int64(token)}, "filter": dict(wanted)},
            [{"$set": {"token": Int64(token), "holder": {"$literal": holder}, "updated_at": "$$NOW"}}],
            return_document=ReturnDocument.AFTER,
        )
        if found is not None:
            return Progress.from_document(found)
        stored = await self._rows.find_one({"_id": self._name})
        if stored is None:
            return None
        if stored["filter"] != wanted:
            raise SubscriptionMismatchError(self._name, stored=stored["filter"], given=wanted)
        raise LeaseLostError(self._name, token=token)

    async def create(self, token: int, holder: str, wanted: Mapping[str, Any], progress: Progress) -> None:
        """Store a new subscription; marks of an earlier one under its name, which was deleted, are forgotten.

        Raises:
            LeaseLostError: If somebody else has just done so.
        """
        row = {
            "_id": self._name,
            "filter": dict(wanted),
            "token": Int64(token),
            "holder": holder,
            **progress.to_document(),
            "updated_at": progress.at,
        }
        await self._handled.delete_many({"subscription": self._name})
        try:
            await self._rows.insert_one(row)
        except DuplicateKeyError as exc:
            raise LeaseLostError(self._name, token=token) from exc

    async def store(
        self, token: int, progress: Progress, *, session: AsyncClientSession | None = None
    ) -> None:
        """Store how far the holder of *token* is, in the transaction of *session* if there is one.

        Raises:
            LeaseLostError: If the token is not the newest; nothing was written.
        """
        values = {name: {"$literal": value} for name, value in progress.to_document().items()}
        stored = await self._rows.update_one(
            {"_id": self._name, "token": Int64(token)},
            [{"$set": {**values, "updated_at": "$$NOW"}}],
            session=session,
        )
        if stored.matched_count == 0:
            raise LeaseLostError(self._name, token=token)

    async def check(self, token: int, *, session: AsyncClientSession) -> None:
        """Make sure, as far as the snapshot of *session* shows, that *token* is the newest.

        Raises:
            LeaseLostError: If it is not.
        """
        mine = {"_id": self._name, "token": Int64(token)}
        if await self._rows.find_one(mine, {"_id": 1}, session=session) is None:
            raise LeaseLostError(self._name, token=token)

    async def was_handled(self, mark: HandledMark, *, session: AsyncClientSession) -> bool:
        """Whether a transaction has handled the event of *mark*."""
        found = await self._handled.find_one({"_id": self._id(mark)}, {"_id": 1}, session=session)
        return found is not None

    async def mark_handled(self, mark: HandledMark, *, session: AsyncClientSession) -> None:
        """Remember, if the transaction of *session* commits, that it handled the event of *mark*."""
        document = {"_id": self._id(mark), "subscription": self._name, "committed_at": mark.committed_at}
        await self._handled.insert_one(document, session=session)

    async def forget_handled(self, before: dt.datetime) -> None:
        """Delete the marks of what was committed before a time."""
        await self._handled.delete_many({"subscription": self._name, "committed_at": {"$lt": before}})

    def _id(self, mark: HandledMark) -> dict[str, Any]:
        return {"subscription": self._name, "event": mark.event, "journal": mark.journal_id}


def _majority(collection: Collection) -> Collection:
    return collection.with_options(
        write_concern=TRANSACTION_WRITE_CONCERN, read_preference=ReadPreference.PRIMARY
    )

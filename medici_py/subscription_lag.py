"""How far durable subscriptions are behind, as anybody can read it from the database."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.read_preferences import ReadPreference

from medici_py.driver import Database, Document, adopt
from medici_py.durable_position import Progress
from medici_py.leases import LEASES
from medici_py.store import TRANSACTIONS
from medici_py.subscription_rows import SUBSCRIPTIONS


@dataclass(frozen=True, slots=True)
class SubscriptionLag:
    """How far a subscription is behind the newest entry of its books.

    Attributes:
        name: Name of the subscription.
        holder: Who is active; None if nobody is.
        position_at: Everything committed until then is done: aware, UTC, by the server's clock. It moves on
            while nothing comes, too, every few seconds, as long as somebody is active.
        seconds: How long ago that is; 0 if nothing was recorded in the books since. The recorded time is
            that of the posters' clocks: where those are behind the server's by some seconds, it stays 0 for
            as many seconds after the position while entries wait.
        recovering: Whether it reads from the journals what the stream has lost.
    """

    name: str
    holder: str | None
    position_at: dt.datetime
    seconds: float
    recovering: bool


async def subscription_lags(
    database: Database, *, names: Collection[str] | None = None
) -> list[SubscriptionLag]:
    """Return how far the subscriptions of a database are behind, by name.

    Costs a few indexed reads; safe in any process and at any time.

    Args:
        database: Of PyMongo Async or Motor.
        names: Only these; None for all there are.
    """
    adopted: Any = adopt(database).with_options(read_preference=ReadPreference.PRIMARY)
    matches = {} if names is None else {"_id": {"$in": list(names)}}
    rows = [row async for row in adopted[SUBSCRIPTIONS].find(matches).sort("_id", ASCENDING)]
    hello = await adopted.command("hello")
    now = hello["localTime"].replace(tzinfo=dt.UTC)
    holders = {
        lease["_id"]: lease["holder"] async for lease in adopted[LEASES].find({"expires_at": {"$gt": now}})
    }
    return [
        lag_of(
            row, holders.get(f"subscription:{row['_id']}"), newest_at=await _newest_at(adopted, row), now=now
        )
        for row in rows
    ]


def lag_of(
    row: Mapping[str, Any], holder: str | None, *, newest_at: dt.datetime | None, now: dt.datetime
) -> SubscriptionLag:
    """Return the lag that a stored subscription has.

    Args:
        row: The stored subscription.
        holder: Who is active.
        newest_at: When the newest entry of its books was recorded.
        now: The server's clock.
    """
    progress = Progress.from_document(row)
    recovery = progress.recovery
    at = recovery.read_to.recorded_at if recovery and recovery.read_to else progress.at
    behind = newest_at is not None and newest_at > at
    return SubscriptionLag(
        name=row["_id"],
        holder=holder,
        position_at=at,
        seconds=max((now - at).total_seconds(), 0.0) if behind else 0.0,
        recovering=recovery is not None,
    )


async def _newest_at(database: Any, row: Document) -> dt.datetime | None:
    legs = database[TRANSACTIONS].find({"book": {"$in": row["filter"]["books"]}}, {"_id": 0, "timestamp": 1})
    async for leg in legs.sort("timestamp", DESCENDING).limit(1):
        recorded_at = leg.get("timestamp")
        return recorded_at if isinstance(recorded_at, dt.datetime) else None
    return None

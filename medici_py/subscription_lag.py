"""How far durable subscriptions are behind, as anybody can read it from the database."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pymongo import ASCENDING
from pymongo.read_preferences import ReadPreference

from medici_py.driver import Database, adopt
from medici_py.durable_position import Progress, nothing_read_since
from medici_py.leases import LEASES
from medici_py.subscription_backlog import Backlog
from medici_py.subscription_rows import SUBSCRIPTIONS

_LEAST_SECS = 0.001  # of whoever is behind at all


@dataclass(frozen=True, slots=True)
class SubscriptionLag:
    """How far a subscription is behind the newest entry of its books.

    Attributes:
        name: Name of the subscription.
        holder: Who is active; None if nobody is.
        position_at: Everything committed until then is done: aware, UTC, by the server's clock. It moves on
            while nothing comes, too, every few seconds, as long as somebody is active. One that has still to
            begin is where the first entry was recorded.
        seconds: How long ago that is; 0 exactly if nothing of the books follows, whether it is asked for or
            not.
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

    Costs a few indexed reads a subscription, and a look into the stream of changes where recorded times leave
    a doubt; safe in any process and at any time. Where MongoDB does not answer within five seconds whether
    anything follows, something does.

    Args:
        database: Of PyMongo Async or Motor.
        names: Only these; None for all there are.
    """
    adopted: Any = adopt(database).with_options(read_preference=ReadPreference.PRIMARY)
    matches = {} if names is None else {"_id": {"$in": list(names)}}
    rows = [row async for row in adopted[SUBSCRIPTIONS].find(matches).sort("_id", ASCENDING)]
    if not rows:
        return []
    hello = await adopted.command("hello")
    now = hello["localTime"].replace(tzinfo=dt.UTC)
    holders = {
        lease["_id"]: lease["holder"] async for lease in adopted[LEASES].find({"expires_at": {"$gt": now}})
    }
    lags = []
    for row in rows:
        backlog = Backlog(adopted, row, through=hello["operationTime"])
        waits = await backlog.waits()
        unread_since = nothing_read_since(Progress.from_document(row))
        first_at = None if unread_since is None else await backlog.first_recorded_at(unread_since) or now
        holder = holders.get(f"subscription:{row['_id']}")
        lags.append(lag_of(row, holder, waits=waits, first_at=first_at, now=now))
    return lags


def lag_of(
    row: Mapping[str, Any], holder: str | None, *, waits: bool, first_at: dt.datetime | None, now: dt.datetime
) -> SubscriptionLag:
    """Return the lag that a stored subscription has.

    Args:
        row: The stored subscription.
        holder: Who is active.
        waits: Whether anything follows.
        first_at: Where it begins if it has read nothing so far; else None.
        now: The server's clock.
    """
    progress = Progress.from_document(row)
    recovery = progress.recovery
    at = recovery.read_to.recorded_at if recovery and recovery.read_to else progress.at
    if first_at is not None:
        at = max(at, first_at)
    return SubscriptionLag(
        name=row["_id"],
        holder=holder,
        position_at=at,
        seconds=max((now - at).total_seconds(), _LEAST_SECS) if waits else 0.0,
        recovering=recovery is not None,
    )

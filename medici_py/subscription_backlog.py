"""Whether anything waits for a durable subscription, as anybody can find out from the database.

Recorded times alone do not say: what one commit wrote has one recorded time, a transaction that stays open
commits what it recorded long before, and posters' clocks differ. So where they leave a doubt, the stream of
changes is asked whether a journal follows the stored place.
"""

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from bson.timestamp import Timestamp
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from medici_py.change_events import BalanceChanged, ChangePosition
from medici_py.change_feed import HISTORY_LOST, MALFORMED_TOKEN
from medici_py.driver import ChangeStream, start_session, watch
from medici_py.durable_position import Progress, Recovery
from medici_py.recorded_page import legs_after
from medici_py.store import JOURNALS, TRANSACTIONS

DOUBT = dt.timedelta(hours=1)
"""How far a recorded time may be from the commit: the longest transaction, and what clocks differ by."""

_ANSWER_SECS = 5.0
_AWAIT_MS = 10  # how soon an idle server says that there is no more
_LATEST_SECOND = 2**32 - 1


def certainly_waits(at: dt.datetime, newest_at: dt.datetime | None) -> bool | None:
    """Say whether something follows a place, as far as recorded times tell; None if they do not.

    Args:
        at: When everything up to the place was committed.
        newest_at: The newest recorded time; None if nothing is recorded.
    """
    if newest_at is None or newest_at < at - DOUBT:
        return False
    return True if newest_at > at + DOUBT else None


class Backlog:
    """What a stored subscription has still to read.

    Args:
        database: As `medici_py.driver.adopt` returns it, to be read at the primary.
        row: The stored subscription.
        through: A cluster time that is not earlier than the row.
    """

    def __init__(self, database: Any, row: Mapping[str, Any], *, through: Timestamp) -> None:
        self._database = database
        self._legs = database[TRANSACTIONS]
        self._books: Sequence[str] = row["filter"]["books"]
        self._kinds: Sequence[str] = row["filter"]["kinds"]
        self._progress = Progress.from_document(row)
        self._through = through

    async def waits(self) -> bool:
        """Whether anything of the books was not acknowledged yet, whether the subscriber wants it or not.

        Never False if it was committed before the call. True, too, if MongoDB does not say in five seconds.
        """
        recovery = self._progress.recovery
        if recovery is None:
            return await self._follows(self._progress.position, self._progress.at)
        if await self._is_recovering(recovery):
            return True
        return await self._follows(ChangePosition(None, recovery.until), recovery.until.as_datetime())

    async def first_recorded_at(self, since: dt.datetime) -> dt.datetime | None:
        """Return the first recorded time from *since* on; None if there is none."""
        return await self._recorded_at({"$gte": since}, ASCENDING)

    async def _is_recovering(self, recovery: Recovery) -> bool:
        if recovery.read_to is not None and BalanceChanged.__name__ in self._kinds:
            return True  # They come after all journals, and the place does not tell them apart.
        unread = legs_after(self._books, recovery, recovery.read_to, until=None)
        return await self._legs.find_one(unread, {"_id": 1}, sort=[("timestamp", ASCENDING)]) is not None

    async def _follows(self, position: ChangePosition, at: dt.datetime) -> bool:
        # Of the type of a date: anything else would sort before or behind all of them.
        newest_at = await self._recorded_at({"$type": "date"}, DESCENDING)
        certain = certainly_waits(at, newest_at)
        if certain is not None:
            return certain
        try:
            async with asyncio.timeout(_ANSWER_SECS):
                return await self._stream_shows(position, until=_timestamp(at + 2 * DOUBT))
        except TimeoutError:
            return True
        except OperationFailure as exc:
            if exc.code in HISTORY_LOST | MALFORMED_TOKEN:
                return True  # Whoever is active next has to read it from the journals.
            raise

    async def _recorded_at(self, recorded: Mapping[str, Any], order: int) -> dt.datetime | None:
        matches = {"book": {"$in": self._books}, "timestamp": recorded}
        leg = await self._legs.find_one(matches, {"_id": 0, "timestamp": 1}, sort=[("timestamp", order)])
        return None if leg is None else leg["timestamp"]

    async def _stream_shows(self, position: ChangePosition, *, until: Timestamp) -> bool:
        async with await start_session(self._database.client, causal_consistency=True) as session:
            # No stream may show yet what was committed just now.
            session.advance_operation_time(self._through)
            stream = await watch(
                self._database.with_options(read_concern=ReadConcern("majority")),
                _journals(self._books, until),
                batch_size=1,
                max_await_time_ms=_AWAIT_MS,
                session=session,
                **position.watch_options(),
            )
            try:
                return await self._shows(stream, until)
            finally:
                await stream.close()

    async def _shows(self, stream: ChangeStream, until: Timestamp) -> bool:
        end = ChangePosition(None, self._through).sort_key
        while (change := await stream.try_next()) is None:
            reached = ChangePosition(stream.resume_token, None)
            if reached.token is not None and reached.idle_sort_key >= end:
                return False
        found_at: Timestamp = change["clusterTime"]
        return found_at <= until


def _journals(books: Sequence[str], until: Timestamp) -> list[dict[str, Any]]:
    """Return the pipeline of a stream of journals, flags, and the end of the database.

    A flag does not say of which book it is. What recorded times leave in doubt was committed until *until*:
    any change after that ends the search.
    """
    inserted = {"operationType": "insert", "ns.coll": JOURNALS, "fullDocument.book": {"$in": list(books)}}
    flagged = {"operationType": "update", "ns.coll": JOURNALS, "updateDescription.updatedFields.voided": True}
    lost = {"operationType": {"$in": ["dropDatabase", "invalidate"]}}
    later = {"clusterTime": {"$gt": until}}
    return [
        {"$match": {"$or": [inserted, flagged, lost, later]}},
        {"$project": {"clusterTime": 1}},
    ]


def _timestamp(instant: dt.datetime) -> Timestamp:
    return Timestamp(min(max(int(instant.timestamp()), 0), _LATEST_SECOND), 0)

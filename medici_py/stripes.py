"""Stripes of running balances: numbers that keep concurrent transactions off each other's rows.

Each transaction that posts writes rows of a stripe that no other open transaction writes to. A process
leases the smallest free numbers in ``medici_py_stripes`` (``{_id: 2, holder: ..., until: date}``), renews
them while it posts, and gives them back when it is done with them or lets them lapse when it dies, so that
there are never more than transactions were open at once.

Only speed rests on a stripe being held once: two transactions on one stripe conflict, and one runs again.

There are two kinds. Transactions that check bounds, or that a caller keeps open and may check bounds in,
use **guarding** stripes, and a bound is checked by writing to the account's rows of all of these: so of two
such transactions that move one bounded account, one runs again. An entry without bounds is a blind addition:
posted at the same time, it counts as posted after, and never holds a bounded one up however busy the account.
"""

import datetime as dt
import secrets
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from medici_py.driver import Collection

STRIPES = "medici_py_stripes"

LEASE = dt.timedelta(seconds=60)
RENEW_AFTER = dt.timedelta(seconds=20)

FIRST = 1
FIRST_GUARDING = 1_000_000

_MAJORITY = WriteConcern("majority")


@dataclass(slots=True)
class _Lease:
    stripe: int
    until: dt.datetime


class StripePool:
    """The stripes of one process in one database.

    Args:
        collection: ``medici_py_stripes``.
        clock: The time; machines whose clocks differ by more than half a minute may share a stripe.
        guarding: Whether they are for transactions that check bounds.
    """

    def __init__(
        self, collection: Collection, clock: Callable[[], dt.datetime], *, guarding: bool = False
    ) -> None:
        self._collection = collection.with_options(
            write_concern=_MAJORITY, read_preference=ReadPreference.PRIMARY
        )
        self._clock = clock
        self._first = FIRST_GUARDING if guarding else FIRST
        self._numbers = {"$gte": FIRST_GUARDING} if guarding else {"$lt": FIRST_GUARDING}
        self._holder = secrets.token_hex(8)
        self._held: set[int] = set()
        self._free: list[_Lease] = []
        self._of_sessions: list[tuple[Callable[[], Any], _Lease]] = []

    @asynccontextmanager
    async def stripe(self) -> AsyncIterator[int]:
        """Give a stripe that no other open transaction of this process uses."""
        lease = await self._take()
        try:
            yield lease.stripe
        finally:
            self._give_back(lease)

    async def of_session(self, session: AsyncClientSession) -> int:
        """Return the stripe of the transaction that is open in a caller's session.

        It is free for others again when that transaction has ended, which is noticed at the next call.
        """
        current: _Lease | None = None
        still: list[tuple[Callable[[], Any], _Lease]] = []
        for reference, lease in self._of_sessions:
            holder = reference()
            if holder is session:
                current = lease
            if holder is not None and (holder is session or holder.in_transaction):
                still.append((reference, lease))
            else:
                self._give_back(lease)
        self._of_sessions = still
        if current is None:
            current = await self._take()
            self._of_sessions.append((weakref.ref(session), current))
        return current.stripe

    async def numbers(self, session: AsyncClientSession | None) -> list[int]:
        """Return every stripe of this kind there has been, as *session* sees it."""
        found = self._collection.find({"_id": self._numbers}, {"_id": 1}, session=session).sort(
            "_id", ASCENDING
        )
        return [stripe["_id"] async for stripe in found]

    async def release(self) -> None:
        """Give the free stripes back to other processes; failing to only delays that until they lapse."""
        mine = [lease.stripe for lease in self._free]
        self._free = []
        self._held.difference_update(mine)
        if mine:
            try:
                await self._collection.update_many(
                    {"_id": {"$in": mine}, "holder": self._holder}, {"$set": {"until": self._clock()}}
                )
            except PyMongoError:
                return

    def _give_back(self, lease: _Lease) -> None:
        self._free.append(lease)
        self._free.sort(key=lambda one: one.stripe)

    async def _take(self) -> _Lease:
        while self._free:
            lease = self._free.pop(0)
            try:
                if lease.until - self._clock() > LEASE - RENEW_AFTER or await self._renew(lease):
                    return lease
            except BaseException:
                self._give_back(lease)
                raise
            self._held.discard(lease.stripe)
        return await self._lease_new()

    async def _renew(self, lease: _Lease) -> bool:
        until = self._clock() + LEASE
        mine = {"_id": lease.stripe, "holder": self._holder}
        try:
            renewed = await self._collection.update_one(mine, {"$set": {"until": until}})
        except PyMongoError:
            # Posting goes on, and finds out by itself whether the server is there.
            return True
        lease.until = until
        return renewed.matched_count == 1

    async def _lease_new(self) -> _Lease:
        stripe = self._first
        while True:
            while stripe in self._held:
                stripe += 1
            now = self._clock()
            until = now + LEASE
            try:
                await self._collection.update_one(
                    {"_id": stripe, "until": {"$lte": now}},
                    {"$set": {"holder": self._holder, "until": until}},
                    upsert=True,
                )
            except DuplicateKeyError:
                stripe += 1  # Somebody holds it.
            else:
                self._held.add(stripe)
                return _Lease(stripe, until)

"""Leases: one holder at a time for a name, across processes and machines, with fencing tokens.

Stored in ``medici_py_leases``, one document a name, which stays for ever::

    {_id: "subscription:hedging", holder: "host:4711:9f2c51d0", token: int64, expires_at: date, ttl_ms: int64}

Time is the server's (``$$NOW`` in an update pipeline): no clock of a client decides who holds what. A client
measures only how long ago its own last renewal was sent, and, while it waits, for how long another one's has
not been renewed: a lease that nobody renewed for its time to live is free, whatever the server's clock says,
which may have been set back.

A lease alone cannot keep a paused process from writing after it lapsed. The *fencing token* can: it grows
with each new holder, and a resource that remembers the greatest token it has seen refuses every smaller one.
If the server's clock is set forward, by a failover for example, a lease ends early; tokens grow all the same.
"""

import asyncio
import contextlib
import logging
import math
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from bson import Int64
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_preferences import ReadPreference

from medici_py.driver import (
    TRANSACTION_WRITE_CONCERN,
    Collection,
    Database,
    Document,
    adopt,
    capabilities,
)
from medici_py.errors import InvalidQueryError, MediciError, UnsupportedDeploymentError
from medici_py.retry import was_away
from medici_py.task_begin import begin_task
from medici_py.task_end import end_task

LEASES = "medici_py_leases"
DEFAULT_TTL_SECS = 15.0

_RENEWALS_A_TTL = 3
_LONGEST_POLL_SECS = 1.0
_GIVE_BACK_SECS = 2.0
_RENEWED = "holder", "token", "expires_at"
_SHORTEST_TRY_SECS = 0.1  # a process that was paused still asks once

_logger = logging.getLogger(__name__)


class LeaseUnavailableError(MediciError):
    """Somebody else held the lease for as long as was waited.

    Attributes:
        name: Name of the lease.
        holder: Who held it when it was last asked for.
    """

    code = 400

    def __init__(self, name: str, *, holder: str, waited_secs: float) -> None:
        super().__init__(
            f"Lease {name!r} could not be had within {waited_secs:g} s: {holder!r} holds it. Wait longer, or "
            "stop that process."
        )
        self.name = name
        self.holder = holder


class LeaseLostError(MediciError):
    """The lease lapsed, or somebody else has it; nothing may be written under its token any more.

    Attributes:
        name: Name of the lease.
        token: The fencing token that is not valid any more.
    """

    code = 400

    def __init__(self, name: str, *, token: int) -> None:
        super().__init__(
            f"Lease {name!r} was lost: its token {token} is not the newest any more, or it could not be "
            "renewed in time. Somebody else may hold it; stop, and acquire it again."
        )
        self.name = name
        self.token = token


@dataclass(frozen=True, slots=True)
class Sighting:
    """A lease as somebody else holds it, and since when, by this side's clock, it has looked like that."""

    row: Mapping[str, Any]
    since: float

    def lapsed(self, now: float) -> bool:
        """Whether it was not renewed for as long as it lasts: its holder knows, then, that it lost it.

        What is seen was sent before it was seen, so its holder counts from an earlier moment.
        """
        ttl_ms = self.row.get("ttl_ms")
        return isinstance(ttl_ms, int) and now - self.since >= ttl_ms / 1_000


class Lease:
    """The right to act under *name*, held by at most one `Lease` at a time; for one task.

    An asynchronous context manager that waits for its turn; while held, a task renews it three times a
    *ttl_secs*. Whoever holds it watches `lost`, which is set once it is not held any more, and sends `token`
    along with whatever it writes.

    Args:
        database: Of PyMongo Async or Motor.
        name: What is to be done by one at a time.
        holder: Who asks, for people to read; host and process if left out. A random suffix tells two apart.
        ttl_secs: For how long it stays held after its last renewal: what a crash costs.
        monotonic: A clock, in seconds.
        jitter: Random numbers from 0 to 1, which spread the polls of those who wait.

    Raises:
        InvalidQueryError: If *name* is blank, or *ttl_secs* is no number above 0.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        *,
        holder: str | None = None,
        ttl_secs: float = DEFAULT_TTL_SECS,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if not name.strip():
            raise InvalidQueryError("A lease needs a name.", field="name", value=name)
        if not 0 < ttl_secs < math.inf:
            raise InvalidQueryError(
                f"ttl_secs={ttl_secs!r} refused: give a number of seconds above 0.",
                field="ttl_secs",
                value=ttl_secs,
            )
        self.name = name
        self.holder = f"{holder or f'{socket.gethostname()}:{os.getpid()}'}:{secrets.token_hex(4)}"
        self.lost = asyncio.Event()
        self._leases: Collection = adopt(database)[LEASES].with_options(
            write_concern=TRANSACTION_WRITE_CONCERN, read_preference=ReadPreference.PRIMARY
        )
        self._supported = capabilities(database).transactions
        self._ttl_secs = ttl_secs
        self._monotonic = monotonic
        self._jitter = jitter
        self._token: int | None = None
        self._renewed_at = 0.0
        self._seen: Sighting | None = None
        self._renewer: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = f"token={self._token}" if self.held else "not held"
        return f"<Lease {self.name!r} {state}>"

    @property
    def held(self) -> bool:
        """Whether it is held, as far as this side can know: not taken over, and not lapsed."""
        if self._token is None or self.lost.is_set():
            return False
        if self._monotonic() - self._renewed_at >= self._ttl_secs:
            # A process that was paused must not wait for the answer to its next renewal.
            self.lost.set()
            return False
        return True

    @property
    def token(self) -> int:
        """The fencing token: greater than that of every holder before.

        Raises:
            LeaseLostError: If the lease is not held (any more).
        """
        if self._token is None or not self.held:
            raise LeaseLostError(self.name, token=self._token or 0)
        return self._token

    async def try_acquire(self) -> int | None:
        """Take the lease if it is free and return its fencing token; None if somebody else holds it.

        Idempotent while held. After it was lost it may be acquired again; the token is then a greater one,
        unless nobody else can have held it meanwhile.

        Raises:
            UnsupportedDeploymentError: If the database is mongomock's.
        """
        if self.held:
            return self._token
        await self._stop_renewing()
        sent_at = self._monotonic()
        found = await self._take()
        if found is None:
            return None
        if found["holder"] != self.holder:
            self._see(found)
            return None
        self._seen = None
        self._token, self._renewed_at = int(found["token"]), sent_at
        self.lost.clear()
        self._renewer = begin_task(self._renew_until_lost(self._token), name=f"medici_py.Lease {self.name}")
        return self._token

    async def acquire(self, timeout_secs: float | None = None) -> int:
        """Wait until the lease is free, take it and return its fencing token.

        A server that is away, as in an election, is waited for as a holder is. Cancelling is safe: what was
        taken meanwhile is given back.

        Args:
            timeout_secs: For how long to wait; None for as long as it takes.

        Raises:
            LeaseUnavailableError: If others held it all the time, or the server was away.
            UnsupportedDeploymentError: If the database is mongomock's.
        """
        begun_at, failure = self._monotonic(), None
        try:
            while True:
                try:
                    if (token := await self.try_acquire()) is not None:
                        return token
                    failure = None
                except PyMongoError as exc:
                    if not was_away(exc):
                        raise
                    if failure is None:
                        _logger.warning("lease %r cannot be asked for now: %s", self.name, exc)
                    failure = exc
                if timeout_secs is not None and self._monotonic() - begun_at >= timeout_secs:
                    raise await self._unavailable(timeout_secs) from failure
                await asyncio.sleep(self._poll_secs)
        except (asyncio.CancelledError, PyMongoError, LeaseUnavailableError):
            # The command that was under way, or whose answer was lost, may have taken it.
            await self._give_back()
            raise

    async def release(self) -> None:
        """Stop renewing and let others have the lease at once. Idempotent.

        If the server cannot be told, the lease lapses by itself.
        """
        await self._stop_renewing()
        held, self._token = self._token is not None, None
        if held:
            await self._give_back()

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()

    @property
    def _poll_secs(self) -> float:
        longest = min(self._ttl_secs / 10, _LONGEST_POLL_SECS)
        return longest * (0.5 + 0.5 * self._jitter())

    async def _take(self) -> Document | None:
        if not self._supported:
            raise UnsupportedDeploymentError("mongomock has no leases; use a real MongoDB for this.")
        seen = self._seen
        lapsed = seen.row if seen is not None and seen.lapsed(self._monotonic()) else None
        try:
            return await self._leases.find_one_and_update(
                {"_id": self.name},
                acquisition(self.holder, self._ttl_secs, lapsed=lapsed),
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:
            return None  # Somebody else wrote the first document of this name just now.

    def _see(self, row: Document) -> None:
        if self._seen is None or self._seen.row != row:
            self._seen = Sighting(row, self._monotonic())

    async def _unavailable(self, waited_secs: float) -> LeaseUnavailableError:
        found: Document | None = None
        with contextlib.suppress(PyMongoError):
            found = await self._leases.find_one({"_id": self.name}, {"holder": 1})
        holder = str(found["holder"]) if found and found["holder"] else "somebody"
        return LeaseUnavailableError(self.name, holder=holder, waited_secs=waited_secs)

    async def _renew_until_lost(self, token: int) -> None:
        mine = {"_id": self.name, "holder": self.holder, "token": token}
        try:
            renewed = True
            while renewed and not self.lost.is_set():
                await asyncio.sleep(self._ttl_secs / _RENEWALS_A_TTL)
                renewed = await self._renew(mine)
        finally:
            self.lost.set()

    async def _renew(self, mine: Document) -> bool:
        """Renew once; False if the lease is lost. A try that failed counts until the lease has lapsed."""
        sent_at = self._monotonic()
        try:
            async with asyncio.timeout(max(self._renewed_at + self._ttl_secs - sent_at, _SHORTEST_TRY_SECS)):
                renewed = await self._leases.update_one(
                    mine, [{"$set": {"expires_at": _later(self._ttl_secs)}}]
                )
        except (PyMongoError, TimeoutError) as exc:
            lapsed = self._monotonic() - self._renewed_at >= self._ttl_secs
            if lapsed:
                _logger.warning("lease %r was not renewed in time: %s", self.name, exc)
            return not lapsed
        if renewed.matched_count == 0:
            _logger.warning("lease %r was taken over by another holder", self.name)
            return False
        self._renewed_at = sent_at
        return True

    async def _stop_renewing(self) -> None:
        renewer, self._renewer = self._renewer, None
        if renewer is not None:
            await end_task(renewer)

    async def _give_back(self) -> None:
        mine = {"_id": self.name, "holder": self.holder}
        with contextlib.suppress(PyMongoError, TimeoutError):
            async with asyncio.timeout(_GIVE_BACK_SECS):
                await self._leases.update_one(mine, [{"$set": {"holder": None, "expires_at": "$$NOW"}}])


def acquisition(
    holder: str, ttl_secs: float, *, lapsed: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return the update that gives a lease to *holder* if it is free, and else leaves it as it is.

    A holder that asks again, as one does whose answer was lost, keeps its token and holds it from now on.

    Args:
        holder: Who asks.
        ttl_secs: For how long.
        lapsed: The lease as it is known to have lapsed: free, if it still looks like that.
    """
    free: dict[str, Any] = {"$lte": [{"$ifNull": ["$expires_at", "$$NOW"]}, "$$NOW"]}
    if lapsed is not None:
        unchanged = [{"$eq": [f"${name}", {"$literal": lapsed[name]}]} for name in _RENEWED]
        free = {"$or": [free, {"$and": unchanged}]}
    mine = {"$eq": ["$holder", {"$literal": holder}]}
    token = {"$add": [{"$ifNull": ["$token", Int64(0)]}, Int64(1)]}
    taken = {
        "holder": ({"$literal": holder}, "$holder"),
        "token": (token, "$token"),
    }
    held = {
        "expires_at": (_later(ttl_secs), "$expires_at"),
        "ttl_ms": (_milliseconds(ttl_secs), "$ttl_ms"),
    }
    return [
        {
            "$set": {
                **{name: {"$cond": [free, *values]} for name, values in taken.items()},
                **{name: {"$cond": [{"$or": [free, mine]}, *values]} for name, values in held.items()},
            }
        }
    ]


def _later(secs: float) -> dict[str, Any]:
    return {"$add": ["$$NOW", _milliseconds(secs)]}


def _milliseconds(secs: float) -> Int64:
    return Int64(round(secs * 1_000))

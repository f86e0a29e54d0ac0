"""One change stream over a database's journals and legs, kept open while servers come and go."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from bson.timestamp import Timestamp
from pymongo.errors import ConnectionFailure, CursorNotFound, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from medici_py.backoff import backoff_secs
from medici_py.change_events import ChangePosition, StoredChange, change_pipeline, read_change
from medici_py.driver import ChangeStream, Database, adopt, capabilities, start_session, watch
from medici_py.errors import MediciError, UnsupportedDeploymentError
from medici_py.task_begin import begin_task
from medici_py.task_end import end_task

if TYPE_CHECKING:
    from pymongo.asynchronous.client_session import AsyncClientSession

# CappedPositionLost, InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost
HISTORY_LOST = frozenset({136, 260, 280, 286})
"""A server's codes for a place that it does not have any more."""

# FailedToParse, Overflow, Location40647, Location40649, Location50811: what is no token at all, or damaged.
MALFORMED_TOKEN = frozenset({9, 15, 40647, 40649, 50811})
"""A server's codes for a place that is none."""

_CURSOR_KILLED = 237  # somebody ended the cursor, not the wish to follow the changes
_NO_CHANGE_STREAMS = 40573  # Location40573: a standalone mongod's answer to $changeStream
_MAJORITY = ReadConcern("majority")  # Change streams have it anyhow; to wait for a time it has to be said.
_RESUMABLE_LABEL = "ResumableChangeStreamError"
_FIRST_PAUSE_SECS = 0.1
_LONGEST_PAUSE_SECS = 5.0
_CLOSE_SECS = 2.0
_READ_AHEAD = 256  # changes; a reader that is slower than the stream makes it wait
_BATCH_SIZE = 1_000  # changes; the server would fill 16 MB, a hundred and more once they are Python objects


_Item: TypeAlias = tuple[StoredChange | None, ChangePosition]


class ChangeStreamError(MediciError):
    """The stream of changes ended; the message says why.

    Attributes:
        position: Where it ended: everything up to here was handed out.
    """

    def __init__(self, message: str, position: ChangePosition) -> None:
        super().__init__(message)
        self.position = position


class ChangeHistoryLostError(ChangeStreamError):
    """MongoDB no longer has the changes after the position, or the database was dropped."""


class ChangeStreamInterruptedError(ChangeStreamError):
    """MongoDB was away for longer than the stream waits, or failed a look-up; resuming later is safe."""


@contextlib.contextmanager
def interrupted_at(position: ChangePosition) -> Iterator[None]:
    """Turn the failure of a look-up that completes a change into `ChangeStreamInterruptedError`.

    Args:
        position: The place before that change, so that resuming there looks again.
    """
    try:
        yield
    except PyMongoError as exc:
        raise ChangeStreamInterruptedError(f"a journal could not be looked up: {exc}", position) from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSettings:
    """How patient a stream of changes is.

    Attributes:
        max_await_time_ms: How long the server waits for a change before it answers that there is none.
        answer_timeout_secs: How long it may take to answer beyond that before it counts as away.
        resume_timeout_secs: How long to try to resume while it is away.
    """

    max_await_time_ms: int = 1_000
    answer_timeout_secs: float = 10.0
    resume_timeout_secs: float = 60.0


class ChangeFeed:
    """The stored changes after a position, one by one, in commit order.

    For one reader. A task of its own talks to the server, a bounded number of changes ahead of the reader, so
    cancelling `next` disturbs nothing and loses nothing.

    Args:
        database: Of PyMongo Async or Motor.
        books: Names of the books wanted; None for all.
        after: Where to begin; None for now, that is the moment of `open`.
        through: A cluster time whose commits every answer knows, "there is none so far" above all. Without it
            an answer is what a majority is known to have, which may be older than what was committed.
        settings: How patient to be.
        jitter: Random numbers from 0 to 1.
        monotonic: A clock, in seconds.
    """

    def __init__(
        self,
        database: Database,
        books: Collection[str] | None,
        *,
        after: ChangePosition | None = None,
        through: Timestamp | None = None,
        settings: FeedSettings | None = None,
        jitter: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = _ResumingStream(
            database,
            books,
            after=after,
            through=through,
            settings=settings or FeedSettings(),
            jitter=jitter,
            monotonic=monotonic,
        )
        self._position = self._stream.position
        self._read_ahead: asyncio.Queue[_Item | Exception] = asyncio.Queue(_READ_AHEAD)
        self._reader: asyncio.Task[None] | None = None

    @property
    def position(self) -> ChangePosition:
        """The place after everything that was handed out."""
        return self._position

    async def open(self) -> None:
        """Open the stream on the server: whatever is committed after this returns will be handed out.

        Raises:
            UnsupportedDeploymentError: If the server has no change streams.
            ChangeStreamError: If they cannot be had; its leaves say which case it is.
        """
        await self._stream.open()
        self._position = self._stream.position

    async def next(self) -> StoredChange | None:
        """Wait for the next change; None if the server said that there is none so far.

        `position` moves on in both cases.

        Raises:
            UnsupportedDeploymentError: If the server has no change streams.
            ChangeStreamError: If the stream ended; its leaves say which case it is.
        """
        if self._read_ahead.empty() and (self._reader is None or self._reader.done()):
            self._reader = begin_task(self._read(), name="medici_py.ChangeFeed")
        item = await self._read_ahead.get()
        if isinstance(item, Exception):
            raise item
        change, self._position = item
        return change

    async def close(self) -> None:
        """Close the cursor on the server; what was read ahead is forgotten. Idempotent."""
        reader, self._reader = self._reader, None
        if reader is not None:
            # Well before whoever ends this one cancels it again.
            await end_task(reader, again_secs=1.0)
        await self._stream.close()

    async def _read(self) -> None:
        try:
            while True:
                change = await self._stream.next()
                await self._read_ahead.put((change, self._stream.position))
        except Exception as exc:  # noqa: BLE001 - the reader of the feed gets it, in its turn
            await self._read_ahead.put(exc)


class _ResumingStream:
    """The change stream behind a feed, opened again after whatever can pass."""

    def __init__(
        self,
        database: Database,
        books: Collection[str] | None,
        *,
        after: ChangePosition | None,
        through: Timestamp | None,
        settings: FeedSettings,
        jitter: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        # What is wanted of the changes that follow is not for a feed of all of them to know.
        self.position = replace(after, seen=0, since=None) if after else ChangePosition(None, None)
        self._database = database
        self._pipeline = change_pipeline(books)
        self._through = through
        self._settings = settings
        self._jitter = jitter
        self._monotonic = monotonic
        self._stream: ChangeStream | None = None
        self._session: AsyncClientSession | None = None
        self._failures = 0
        self._failing_since = 0.0

    async def open(self) -> None:
        """Open the stream, if it is not open; try again while the server is away."""
        while self._stream is None:
            try:
                async with asyncio.timeout(self._answer_secs):
                    await self._open_stream()
            except (PyMongoError, TimeoutError) as exc:
                await self._recover_from(exc)

    async def next(self) -> StoredChange | None:
        """Return the next change, or None after an empty answer; open the stream again as needed."""
        while True:
            await self.open()
            try:
                async with asyncio.timeout(self._answer_secs):
                    return await self._read()
            except (PyMongoError, TimeoutError) as exc:
                await self._recover_from(exc)

    async def close(self) -> None:
        """Close the cursor on the server. Idempotent."""
        stream, self._stream = self._stream, None
        session, self._session = self._session, None
        with contextlib.suppress(PyMongoError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECS):
                if stream is not None:
                    await stream.close()
        if session is not None:
            await session.end_session()

    @property
    def _answer_secs(self) -> float:
        return self._settings.max_await_time_ms / 1000 + self._settings.answer_timeout_secs

    async def _open_stream(self) -> None:
        if not capabilities(self._database).transactions:
            raise UnsupportedDeploymentError("mongomock has no change streams; use a real MongoDB for this.")
        database = adopt(self._database)
        if self.position.token is None and self.position.cluster_time is None:
            await self._begin_now(database)
        options: dict[str, Any] = self.position.watch_options()
        if self._through is not None:
            database = database.with_options(read_concern=_MAJORITY)
            options["session"] = await self._session_through(self._through)
        self._stream = await watch(
            database,
            self._pipeline,
            batch_size=_BATCH_SIZE,
            max_await_time_ms=self._settings.max_await_time_ms,
            **options,
        )

    async def _begin_now(self, database: Any) -> None:
        """Choose the moment after which to begin, so that a resumption does not mean a later one.

        A stream that is opened without one begins somewhere, and does not say where if its first answer has
        changes already.
        """
        reply = await database.command("ping")
        # Without it there are no change streams, as the server will say.
        self.position = replace(self.position, cluster_time=reply.get("operationTime"))

    async def _session_through(self, time: Timestamp) -> "AsyncClientSession":
        """Return a session in which whichever server answers waits until it knows the commits of *time*."""
        if self._session is None:
            self._session = await start_session(self._database.client, causal_consistency=True)
            self._session.advance_operation_time(time)
        return self._session

    async def _read(self) -> StoredChange | None:
        stream = self._stream
        if stream is None:
            raise AssertionError("the stream is open")
        document = await stream.try_next()
        self._failures = 0
        if document is not None:
            change = read_change(document)
            self.position = change.position
            return change
        if not stream.alive:
            await self.close()
            raise ChangeHistoryLostError("the database was dropped or renamed", self.position)
        self.position = replace(self.position, token=stream.resume_token)
        return None

    async def _recover_from(self, error: PyMongoError | TimeoutError) -> None:
        """Wait a moment before the stream is opened again; raise if there is no point."""
        await self.close()
        if isinstance(error, OperationFailure) and error.code == _NO_CHANGE_STREAMS:
            raise UnsupportedDeploymentError from error
        if isinstance(error, OperationFailure) and error.code in HISTORY_LOST:
            raise ChangeHistoryLostError(
                f"MongoDB no longer has the changes after {self.position.cluster_time}: {_said(error)}",
                self.position,
            ) from error
        if isinstance(error, OperationFailure) and error.code in MALFORMED_TOKEN and self.position.token:
            raise ChangeStreamError(
                f"MongoDB cannot read {self.position.token} as a place to go on after: {_said(error)}. "
                "Give a resume token as it was stored, or a time.",
                self.position,
            ) from error
        if not _is_transient(error):
            raise ChangeStreamError(f"the stream of changes ended: {_said(error)}", self.position) from error
        self._failures += 1
        if self._failures == 1:
            self._failing_since = self._monotonic()
        away_secs = self._monotonic() - self._failing_since
        if away_secs >= self._settings.resume_timeout_secs:
            raise ChangeStreamInterruptedError(
                f"MongoDB was away for {away_secs:.1f} s: {_said(error) or 'it did not answer'}",
                self.position,
            ) from error
        pause = backoff_secs(
            self._failures, first_secs=_FIRST_PAUSE_SECS, max_secs=_LONGEST_PAUSE_SECS, jitter=self._jitter()
        )
        await asyncio.sleep(pause)


def _said(error: PyMongoError | TimeoutError) -> str:
    """Return what is wrong, without the rest of the server's reply."""
    reply = error.details if isinstance(error, OperationFailure) else None
    return str(reply["errmsg"]) if reply and "errmsg" in reply else str(error)


def _is_transient(error: PyMongoError | TimeoutError) -> bool:
    if isinstance(error, (TimeoutError, ConnectionFailure, CursorNotFound)):
        return True
    if isinstance(error, OperationFailure) and error.code == _CURSOR_KILLED:
        return True
    return error.has_error_label(_RESUMABLE_LABEL)

"""`ChangeSubscription`: the events of books as a subscriber reads them; ``book.changes()`` makes one.

::

    async with book.changes("Liabilities") as changes:
        ...                                         # whatever is committed from here on will be seen
        async for event in changes:
            match event:
                case JournalPosted(): ...
                case JournalVoided(): ...
                case BalanceChanged(): ...
                case EventsDropped(): ...           # with on_overflow=Overflow.DROP
            await save(changes.position.to_document())      # after=... goes on here
"""

import asyncio
import contextlib
import weakref
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from medici_py.change_buffer import Overflow
from medici_py.change_events import ChangeEvent, ChangePosition
from medici_py.change_filter import ChangeFilter
from medici_py.change_hub import ChangeHub, hub_of
from medici_py.change_seat import Seat
from medici_py.change_start import Start
from medici_py.errors import InvalidQueryError
from medici_py.shared_stream import SharedStream
from medici_py.store import Store
from medici_py.task_end import end_task


@dataclass(frozen=True, slots=True)
class ChangeLag:
    """How far a subscriber is behind.

    Attributes:
        events: Events that wait for it.
        seconds: Between the commit of what it is given next and the newest commit of the shared stream; 0
            if it has taken everything.
    """

    events: int
    seconds: float


class ChangeSubscription:
    """The events of some books, in commit order. For one reader.

    An asynchronous context manager, and an asynchronous iterator that needs none: it then opens with the
    first step, and `aclose` or its end as an object closes it. Cancelling a step loses nothing: the next one
    goes on. All subscriptions of a database share one change stream of the process; a slow one slows itself.

    Args:
        store: The database.
        wanted: Which events.
        start: Where to begin.
        buffer: Events that may wait for the reader.
        on_overflow: What happens beyond that.

    Raises:
        InvalidQueryError: If *buffer* is not at least 1, or *on_overflow* is no `Overflow`.
    """

    def __init__(
        self, store: Store, wanted: ChangeFilter, start: Start, *, buffer: int, on_overflow: Overflow
    ) -> None:
        if type(buffer) is not int or buffer < 1:
            raise InvalidQueryError(
                f"buffer={buffer!r} refused: give a number of events, 1 or more.",
                field="buffer",
                value=buffer,
            )
        if not isinstance(on_overflow, Overflow):
            raise InvalidQueryError(
                f"on_overflow={on_overflow!r} refused: give Overflow.WAIT, DROP or CLOSE.",
                field="on_overflow",
                value=on_overflow,
            )
        self._store = store
        self._start = start
        self._seat = Seat(wanted, limit=buffer, overflow=on_overflow)
        self._hub: ChangeHub | None = None
        self._entering: asyncio.Task[None] | None = None
        self._finalizer: weakref.finalize[..., ChangeSubscription] | None = None
        self._is_open = False
        self._closed = False

    @property
    def position(self) -> ChangePosition:
        """The place after everything handed out so far; it moves on while nothing happens, too.

        Before the subscription is open it is where it will begin, or no place if that is its opening.
        """
        seat, stream = self._seat, self._stream
        if stream is None and seat.reached == ChangePosition(None, None):
            return self._start.position or seat.reached
        if stream is None or not seat.is_live or seat.waiting:
            return seat.position
        return seat.dated(seat.position.or_later(stream.position))

    @property
    def lag(self) -> ChangeLag:
        """How far the reader is behind."""
        seat, stream = self._seat, self._stream
        if stream is None or stream.newest_at is None or (seat.is_live and not seat.waiting):
            return ChangeLag(seat.waiting, 0.0)
        at, time = seat.oldest_at, seat.position.cluster_time
        if at is None and time is not None:
            at = time.as_datetime()
        behind = 0.0 if at is None else (stream.newest_at - at).total_seconds()
        return ChangeLag(seat.waiting, max(0.0, behind))

    @property
    def dropped(self) -> int:
        """Events that were dropped so far, under `Overflow.DROP`."""
        return self._seat.dropped

    async def __aenter__(self) -> Self:
        """Open the subscription: whatever is committed after this returns will be handed out.

        Raises:
            UnsupportedDeploymentError: If the server has no change streams.
            ChangeStreamError: If they cannot be had; its leaves say which case it is.
            SnapshotReadError: If balances are wanted and cannot be read.
            UnreadableDocumentError: If balances are wanted and a stored amount is no number.
        """
        try:
            await self._open()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChangeEvent:
        """Wait for the next event.

        Raises:
            ChangeHistoryLostError: If MongoDB no longer has what comes after `position`.
            ChangeStreamInterruptedError: If MongoDB was away for too long, or a look-up failed; a new
                subscription after the error's ``position`` goes on.
            SubscriberTooSlowError: If the buffer was full, under `Overflow.CLOSE`.
            ChangeStreamError: If the stream ended otherwise.
            UnreadableDocumentError: If a stored journal or leg cannot be read as one; the next step passes it
                over. Where an amount is no number, no balance over it is handed out any more.
            IncompleteJournalError: If a journal's legs are not all there; the next step passes it over.
        """
        if not self._is_open and not self._closed:
            try:
                await self._open()
            except Exception:
                await self.aclose()
                raise
        while not self._closed:
            taken = self._seat.take()
            self._opened_hub.resume(self._seat)
            match taken:
                case None:
                    await self._seat.arrival()
                case Exception():
                    if self._seat.is_end(taken):
                        await self.aclose()
                    raise taken.with_traceback(None)
                case _:
                    return taken
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the subscription; what waits is forgotten. Idempotent."""
        self._closed = True
        entering, self._entering = self._entering, None
        if entering is not None and not entering.done():
            await end_task(entering)
        if self._hub is not None:
            await self._hub.leave(self._seat)
        if self._finalizer is not None:
            self._finalizer.detach()
        self._seat.wake()

    async def _open(self) -> None:
        if self._closed:
            raise InvalidQueryError("The subscription was closed; make a new one.", field="changes")
        if self._entering is None:
            hub = self._hub = hub_of(self._store)
            self._entering = asyncio.create_task(hub.enter(self._seat, self._start))
            # Whoever stops in the middle of an iteration without closing leaves nothing behind.
            self._finalizer = weakref.finalize(self, _abandon, asyncio.get_running_loop(), hub, self._seat)
            self._finalizer.atexit = False
        # A reader that is cancelled meanwhile finds it open, or opening, with its next step.
        await asyncio.shield(self._entering)
        self._is_open = True

    @property
    def _opened_hub(self) -> ChangeHub:
        if self._hub is None:
            raise AssertionError("the subscription is open")
        return self._hub

    @property
    def _stream(self) -> SharedStream | None:
        return None if self._hub is None else self._hub.stream_of(self._seat)


def _abandon(loop: asyncio.AbstractEventLoop, hub: ChangeHub, seat: Seat) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed, and its tasks with it
        loop.call_soon_threadsafe(hub.abandon, seat)

"""Where subscribers of one database meet: a process and event loop has one hub, with one stream or none."""

import asyncio
import logging

from bson.timestamp import Timestamp
from pymongo.errors import PyMongoError

from medici_py.change_catch_up import catch_up, follow_balances
from medici_py.change_events import ChangePosition
from medici_py.change_feed import ChangeStreamError, ChangeStreamInterruptedError, FeedSettings
from medici_py.change_seat import Seat
from medici_py.change_start import Start
from medici_py.errors import MediciError
from medici_py.one_per_database import one_per_database
from medici_py.shared_stream import SharedStream
from medici_py.store import Store
from medici_py.task_begin import begin_task
from medici_py.task_end import end_task

_logger = logging.getLogger(__name__)


class ChangeHub:
    """Opens the shared stream for the first subscriber and closes it behind the last.

    Args:
        store: The database.
        settings: How patient to be with the server.
    """

    def __init__(self, store: Store, settings: FeedSettings | None = None) -> None:
        self.store = store
        self._settings = settings or FeedSettings()
        self._stream: SharedStream | None = None
        self._streams: dict[Seat, SharedStream] = {}
        self._changing = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    def stream_of(self, seat: Seat) -> SharedStream | None:
        """Return the stream at which *seat* is; None if it is not in."""
        return self._streams.get(seat)

    async def enter(self, seat: Seat, start: Start) -> None:
        """Bring *seat* to the stream: whatever is committed after this returns will be offered to it.

        Raises:
            UnsupportedDeploymentError: If the server has no change streams.
            ChangeStreamError: If they cannot be had; its leaves say which case it is.
            SnapshotReadError: If balances are wanted and cannot be read.
            UnreadableDocumentError: If balances are wanted and a stored amount is no number.
        """
        stream = await self._join(seat)
        try:
            for shape in seat.wanted.shapes:
                await follow_balances(stream, shape)
            if start.position is None:
                seat.begin(ChangePosition(None, await self._now(stream)))
                if not seat.is_over:
                    stream.add_live(seat)
            else:
                seat.begin(start.position)
                self.resume(seat)
        except BaseException:
            await self.leave(seat)
            raise

    def resume(self, seat: Seat) -> None:
        """Let *seat* catch up, if it has to and has room."""
        stream = self._streams.get(seat)
        busy = seat.catching_up is not None and not seat.catching_up.done()
        if stream is None or busy or seat.is_live or seat.is_over or (seat.is_half_full and seat.waiting):
            return
        seat.catching_up = begin_task(_catch_up(stream, seat), name="medici_py.catch_up")

    def abandon(self, seat: Seat) -> None:
        """Let *seat* leave as soon as the event loop has time for it."""
        leaving = begin_task(self.leave(seat), name="medici_py.leave")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def leave(self, seat: Seat) -> None:
        """Forget *seat*; close the stream if it was the last. Idempotent."""
        if seat.catching_up is not None:
            await end_task(seat.catching_up)
        async with self._changing:
            stream = self._streams.pop(seat, None)
            if stream is None:
                return
            stream.remove(seat)
            if not stream.seats:
                if self._stream is stream:
                    self._stream = None
                await stream.close()

    async def _join(self, seat: Seat) -> SharedStream:
        async with self._changing:
            if self._stream is None or self._stream.is_over:
                self._stream = await self._open()
            self._streams[seat] = self._stream
            self._stream.seats.add(seat)
            return self._stream

    async def _open(self) -> SharedStream:
        stream = SharedStream(self.store, self._settings)
        try:
            await stream.open()
        except BaseException:
            await stream.close()
            raise
        return stream

    async def _now(self, stream: SharedStream) -> Timestamp:
        try:
            reply = await self.store.database.command("ping")
        except PyMongoError as exc:
            raise ChangeStreamInterruptedError(f"MongoDB did not answer: {exc}", stream.position) from exc
        now: Timestamp = reply["operationTime"]
        return now


async def _catch_up(stream: SharedStream, seat: Seat) -> None:
    try:
        await catch_up(stream, seat)
    except MediciError as exc:
        seat.end(exc)
    except Exception as exc:
        _logger.exception("a subscriber could not catch up")
        seat.end(ChangeStreamError(f"catching up failed: {exc!r}", seat.reached))


def hub_of(store: Store) -> ChangeHub:
    """Return the hub of everybody who follows this database, in this process and event loop.

    Two books share one if their client and the codec options of their databases are the same.
    """
    return one_per_database(store, "change_hubs", ChangeHub)

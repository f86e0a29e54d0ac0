"""One change stream of a database, shared by every subscriber of a process.

A reader task takes entries from the server, keeps the balances that subscribers follow, offers each entry to
the seats that are live, and remembers the newest entries, so that who comes a little later can still join.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from medici_py.change_balances import SharedBalances
from medici_py.change_entries import Entry, JournalEntry, VoidEntry
from medici_py.change_events import ChangePosition
from medici_py.change_feed import ChangeStreamError, FeedSettings
from medici_py.change_seat import Seat
from medici_py.change_source import ChangeSource
from medici_py.driver import is_sharded
from medici_py.errors import MediciError
from medici_py.store import Store
from medici_py.task_begin import begin_task
from medici_py.task_end import end_task
from medici_py.turnover_snapshot import BookShape

if TYPE_CHECKING:
    from datetime import datetime

    from medici_py.change_filter import ChangeFilter

_logger = logging.getLogger(__name__)

RECENT_LEGS = 4_096
"""Legs of the entries that are remembered."""


class SharedStream:
    """An open stream and its seats; once it is over another one takes its place.

    Args:
        store: The database.
        settings: How patient to be with the server.
    """

    def __init__(self, store: Store, settings: FeedSettings) -> None:
        self.store = store
        self.seats: set[Seat] = set()
        self.balances = SharedBalances()
        self.position = ChangePosition(None, None)
        """The place that the stream has reached; it moves on while nothing happens, too."""
        self.newest_at: datetime | None = None
        """When the newest entry was committed."""
        self.is_over = False
        self.following = asyncio.Lock()
        """Held by whoever makes the stream follow the balances of a book."""
        self.is_sharded = True
        """Whether there are shards, whose answers are merged; to be taken for granted until it is known."""
        self._source = ChangeSource(store, after=None, settings=settings, is_sharded=True)
        self._reader: asyncio.Task[None] | None = None
        self._live: dict[ChangeFilter, dict[Seat, None]] = {}
        self._recent: deque[Entry] = deque()
        self._recent_legs = 0
        self._recent_from = self.position

    async def open(self) -> None:
        """Open the stream on the server: whatever is committed after this returns will be offered."""
        await self._source.open()
        self.is_sharded = await is_sharded(self.store.client)
        self.position = self._recent_from = self._source.position
        self._reader = begin_task(self._read(), name="medici_py.SharedStream")

    async def close(self) -> None:
        """Close the cursor on the server. Idempotent."""
        if self._reader is not None:
            await end_task(self._reader)
        await self._source.close()

    def add_live(self, seat: Seat) -> None:
        """Offer *seat* every entry from now on."""
        seat.is_live = True
        seat.catching_up = None
        self._live.setdefault(seat.wanted, {})[seat] = None

    def remove(self, seat: Seat) -> None:
        """Forget *seat*, and the balances that it alone followed. Idempotent."""
        self.seats.discard(seat)
        self._detach(seat)
        self.balances.keep_only({shape for other in self.seats for shape in other.wanted.shapes})

    def joint(self, shapes: Collection[BookShape]) -> ChangePosition:
        """Return the earliest place from which a subscriber that follows *shapes* can join here."""
        earliest = self._recent_from
        for place in self.balances.through(shapes):
            earliest = earliest.or_later(place)
        return earliest

    def entries_after(self, position: ChangePosition) -> list[Entry]:
        """Return the remembered entries after *position*, which is not before `joint`."""
        return [entry for entry in self._recent if entry.position.sort_key > position.sort_key]

    async def look_up(self, entry: Entry, lacking: Callable[[VoidEntry], bool]) -> None:
        """Complete an entry of this stream as `ChangeSource.look_up` does; errors are the same."""
        await self._source.look_up(entry, lacking)

    def _is_lacking(self, entry: VoidEntry) -> bool:
        return any(wanted.lacks(entry) for wanted in self._live)

    async def _read(self) -> None:
        try:
            while True:
                for entry in await self._source.next() or ():
                    await self.look_up(entry, self._is_lacking)
                    if self._spread(entry):
                        # Who is not slow, but only did not have its turn, takes what waits.
                        await asyncio.sleep(0)
                self.position = self._source.position
        except MediciError as exc:
            self._end(exc)
        except Exception as exc:
            _logger.exception("the stream of changes failed")
            self._end(_failure_of(exc, self.position))

    def _spread(self, entry: Entry) -> bool:
        """Offer *entry* to the live seats; return whether one of them has become half full."""
        self.balances.apply(entry)
        filled = False
        for wanted, seats in list(self._live.items()):
            try:
                filled |= self._offer(entry, wanted, list(seats))
            except Exception as exc:
                # Models of the application may raise anything: that is a matter of who reads with them.
                _logger.exception("a subscriber could not be given a change")
                for seat in list(seats):
                    self._detach(seat)
                    seat.end(_failure_of(exc, seat.reached))
        self._remember(entry)
        self.newest_at = entry.committed_at
        return filled

    def _offer(self, entry: Entry, wanted: "ChangeFilter", seats: Sequence[Seat]) -> bool:
        """Offer *entry* to the *seats* that want the same; return whether one has become half full."""
        items, filled = wanted.items(entry), False
        for seat in seats:
            was_half_full = seat.is_half_full
            if not seat.offer(entry, items):
                self._detach(seat)
            filled |= seat.is_half_full and not was_half_full
        return filled

    def _remember(self, entry: Entry) -> None:
        self._recent.append(entry)
        self._recent_legs += _weight(entry)
        while self._recent_legs > RECENT_LEGS:
            forgotten = self._recent.popleft()
            self._recent_legs -= _weight(forgotten)
            self._recent_from = forgotten.position

    def _detach(self, seat: Seat) -> None:
        seat.is_live = False
        seats = self._live.get(seat.wanted, {})
        seats.pop(seat, None)
        if not seats:
            self._live.pop(seat.wanted, None)

    def _end(self, error: Exception) -> None:
        self.is_over = True
        self._live.clear()
        for seat in self.seats:
            if seat.catching_up is not None:
                seat.catching_up.cancel()
            seat.end(error)


def _failure_of(error: Exception, position: ChangePosition) -> ChangeStreamError:
    failure = ChangeStreamError(f"the stream of changes failed: {error!r}", position)
    failure.__cause__ = error
    return failure


def _weight(entry: Entry) -> int:
    return 1 + (len(entry.legs) if isinstance(entry, JournalEntry) else len(entry.counted))

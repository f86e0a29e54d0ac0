"""A subscriber's place at the shared stream of changes: what it wants, what waits for it, how far it is."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from medici_py.change_buffer import Delivery, EventBuffer, Overflow
from medici_py.change_entries import Entry, JournalEntry
from medici_py.change_events import ChangePosition
from medici_py.change_feed import ChangeStreamError
from medici_py.change_filter import ChangeFilter, Item


class Seat:
    """What the streams put events into and one subscriber takes them from.

    Args:
        wanted: What the subscriber wants.
        limit: Events that wait for it.
        overflow: What happens beyond that.
    """

    def __init__(self, wanted: ChangeFilter, *, limit: int, overflow: Overflow) -> None:
        self.wanted = wanted
        self.reached = ChangePosition(None, None)
        """The place after everything that it was offered."""
        self.is_live = False
        """Whether the shared stream offers it entries; if not it has to catch up."""
        self.catching_up: asyncio.Task[None] | None = None
        self._buffer = EventBuffer(limit, overflow)
        self._seen = 0
        self._since: datetime | None = None
        self._arrived = asyncio.Event()
        self._has_room = asyncio.Event()

    def begin(self, position: ChangePosition) -> None:
        """Set where the subscriber begins."""
        self.reached = self._buffer.taken = position
        self._seen = position.seen
        self._since = position.since

    @property
    def waiting(self) -> int:
        """Events that wait for the subscriber."""
        return len(self._buffer)

    @property
    def dropped(self) -> int:
        """Events that were dropped so far."""
        return self._buffer.dropped

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be offered."""
        return self._buffer.is_over

    @property
    def is_half_full(self) -> bool:
        """Whether at least half of its room is taken up."""
        return self._buffer.is_half_full

    @property
    def position(self) -> ChangePosition:
        """The place after everything that the subscriber took, or need not wait for."""
        return self._buffer.taken if self._buffer else self.dated(self.reached)

    def dated(self, place: ChangePosition) -> ChangePosition:
        """Return *place*, up to which it was offered everything, so that it says what is wanted next."""
        return place if self._since is None else replace(place, since=self._since)

    @property
    def oldest_at(self) -> datetime | None:
        """When the event that is taken next was committed; None if nothing waits, or it does not say."""
        return getattr(self._buffer.oldest, "committed_at", None)

    def offer(self, entry: Entry, items: Sequence[Item]) -> bool:
        """Add what an entry of the shared stream gives; return False if it found no room.

        Args:
            entry: The entry.
            items: What it gives to everybody who wants the same.
        """
        if entry.position.sort_key <= self.reached.sort_key:
            return True
        first = self._seen, self._since
        if any(first):
            items = self._first_items(entry)
        if not self._buffer.put(items, self.reached):
            self._seen, self._since = first
            self._arrived.set()
            return False
        self._move_on(entry, items)
        return True

    async def deliver(self, entry: Entry) -> None:
        """Add what an entry gives as soon as there is room for it."""
        items = self._first_items(entry)
        while not self._buffer.fits(len(items)):
            self._has_room.clear()
            await self._has_room.wait()
        self._buffer.put(items, self.reached)
        self._move_on(entry, items)

    def end(self, error: Exception) -> None:
        """Offer nothing more: *error* follows what waits."""
        if isinstance(error, ChangeStreamError):
            cause, error = error, type(error)(str(error), self.dated(self.reached))
            error.__cause__ = cause.__cause__
        self.is_live = False
        self._buffer.end(error)
        self._arrived.set()

    def take(self) -> Delivery | None:
        """Take the next event; None if there is none for now."""
        taken = self._buffer.take()
        self._has_room.set()
        if taken is None:
            self._arrived.clear()
        return taken

    def is_end(self, error: Exception) -> bool:
        """Whether nothing follows *error*, which was taken."""
        return self._buffer.is_end(error)

    def wake(self) -> None:
        """End the wait of a reader."""
        self._arrived.set()

    async def arrival(self) -> None:
        """Wait until there may be something to take."""
        await self._arrived.wait()

    def _first_items(self, entry: Entry) -> Sequence[Item]:
        """Return what an entry gives to a subscriber that may have begun in the middle of it."""
        if self._since is not None:
            if entry.committed_at <= self._since:
                return ()
            self._since = None
        if self._seen and isinstance(entry, JournalEntry):
            seen, self._seen = self._seen, 0
            return self.wanted.items(entry, seen=seen)
        return self.wanted.items(entry)

    def _move_on(self, entry: Entry, items: Sequence[Item]) -> None:
        self.reached = entry.position
        if items:
            self._arrived.set()

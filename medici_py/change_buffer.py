"""The events that wait for a subscriber, bounded, and what happens to those that find no room. Pure."""

from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import TypeAlias, assert_never

from medici_py.change_events import ChangeEvent, ChangePosition, EventsDropped
from medici_py.change_feed import ChangeStreamError
from medici_py.change_filter import Item


class Overflow(Enum):
    """What happens when a subscriber is so slow that its buffer is full; to it alone, never to others."""

    WAIT = "wait"
    """It leaves the shared stream, and catches up once it has made room. Nothing is lost."""

    DROP = "drop"
    """The oldest events make room; an `EventsDropped` stands in their place."""

    CLOSE = "close"
    """It gets what is buffered, then `SubscriberTooSlowError`."""


class SubscriberTooSlowError(ChangeStreamError):
    """The subscriber's buffer was full, and it wanted to be closed in that case."""


Delivery: TypeAlias = ChangeEvent | Exception
"""What a subscriber takes from its buffer: an event, or an error to raise."""


class EventBuffer:
    """A queue of events for one subscriber.

    What one entry of the stream gives goes in together, even where it alone is more than *limit*.

    Args:
        limit: Events it holds, at least 1.
        overflow: What happens beyond that.
    """

    def __init__(self, limit: int, overflow: Overflow) -> None:
        self.dropped = 0
        self.taken = ChangePosition(None, None)
        """The place after everything that was taken."""
        self._limit = limit
        self._overflow = overflow
        self._items: deque[Item] = deque()
        self._gap: EventsDropped | None = None
        self._end: Exception | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def oldest(self) -> Item | None:
        """The event that is taken next, those that were dropped aside."""
        return self._items[0] if self._items else None

    @property
    def is_over(self) -> bool:
        """Whether nothing more goes in."""
        return self._end is not None

    @property
    def is_half_full(self) -> bool:
        """Whether at least half of it is taken up."""
        return 2 * len(self._items) >= self._limit

    def fits(self, count: int) -> bool:
        """Whether there is room for *count* events."""
        return not self._items or not count or len(self._items) + count <= self._limit

    def put(self, items: Sequence[Item], before: ChangePosition) -> bool:
        """Add what an entry gives; return whether it was added.

        Args:
            items: The events.
            before: The place before them.
        """
        if not self.fits(len(items)):
            match self._overflow:
                case Overflow.WAIT:
                    return False
                case Overflow.CLOSE:
                    self.end(
                        SubscriberTooSlowError(
                            f"the subscriber left {len(self._items)} events in a buffer for {self._limit}; "
                            "take them faster, give a larger buffer, or begin again after this position",
                            before,
                        )
                    )
                    return False
                case Overflow.DROP:
                    self._make_room(len(items))
                case _:
                    assert_never(self._overflow)
        self._items.extend(items)
        return True

    def end(self, error: Exception) -> None:
        """Let nothing more in; *error* follows what is there."""
        if self._end is None:
            self._end = error

    def is_end(self, error: Exception) -> bool:
        """Whether nothing follows *error*, which was taken."""
        return error is self._end

    def take(self) -> Delivery | None:
        """Hand over the next event; None if there is none for now."""
        if self._gap is not None:
            gap, self._gap = self._gap, None
            self.taken = gap.position
            return gap
        if self._items:
            item = self._items.popleft()
            self.taken = position_of(item, self.taken)
            return item
        return self._end

    def _make_room(self, count: int) -> None:
        while not self.fits(count):
            dropped = self._items.popleft()
            self.dropped += 1
            gap = self._gap or EventsDropped(0, self.taken, self.taken)
            self._gap = EventsDropped(gap.count + 1, gap.after, position_of(dropped, gap.position))


def position_of(item: Item, before: ChangePosition) -> ChangePosition:
    """Return the place after *item*, which came after *before*."""
    return before if item.position is None else item.position

"""A wall clock that does not run backwards: what recorded times come from.

The order of journals, `Book.balance` as of an instant and what a subscription recovers all rest on recorded
times. Machines set their wall clock back: a time service that corrects it, a virtual machine that was moved.
"""

import datetime as dt
import logging
import time
from collections.abc import Callable

from medici_py.instants import to_millisecond, utc_now

FOLLOWED_AT_ONCE = dt.timedelta(seconds=30)
"""A step back of more than this is followed, and no answer is ahead of the wall clock by more.

Recorded times may differ by a minute between machines: recoveries, roll-ups and rebuilds allow for that.
"""

_NO_TIME = dt.timedelta(0)
_SLOWED = 2
_NANOS_A_MICRO = 1_000

_logger = logging.getLogger(__name__)


class SteadyClock:
    """The wall clock, and half its pace for as long as it is behind what this clock has said already.

    Safe in threads: two that ask at once are told the same time, or times a moment apart.

    Args:
        wall: The wall clock, aware.
        monotonic_ns: A clock that is never set, in nanoseconds.
    """

    def __init__(
        self,
        wall: Callable[[], dt.datetime] = utc_now,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall = wall
        self._monotonic_ns = monotonic_ns
        self._last: tuple[dt.datetime, int] | None = None
        """What was said last, and when; one value, so that no thread sees half of it."""

    def __call__(self) -> dt.datetime:
        """Return the time, UTC and whole milliseconds; never before an earlier answer.

        Unless the wall clock was set back by more than `FOLLOWED_AT_ONCE`, which is logged.
        """
        wall, now_ns = to_millisecond(self._wall()), self._monotonic_ns()
        last, last_ns = self._last or (wall, now_ns)
        behind = last - wall
        if behind <= _NO_TIME:
            now = wall
        elif behind > FOLLOWED_AT_ONCE:
            _logger.warning("the wall clock was set back from %s to %s: recorded times go back", last, wall)
            now = wall
        else:
            passed = dt.timedelta(microseconds=(now_ns - last_ns) // (_SLOWED * _NANOS_A_MICRO))
            now = to_millisecond(last + min(passed, FOLLOWED_AT_ONCE - behind))
            if now == last:  # Or parts of a millisecond would be forgotten.
                return now
        self._last = now, now_ns
        return now


recording_clock = SteadyClock()
"""The one of this process, so that its books agree on what comes after what."""

"""Ids of journals and legs, made as the driver makes them, in a fraction of the time.

Every journal needs three or more, and the driver's own constructor is the most expensive part of building an
entry.

Source: the ObjectId specification: four bytes of seconds, five random ones a process, three of a counter.
"""

import itertools
import os
import secrets
import struct
import time
from collections.abc import Callable

from bson import ObjectId

from medici_py.steady_clock import FOLLOWED_AT_ONCE

_SECONDS = struct.Struct(">I")
_FOLLOWED_AT_ONCE_SECS = int(FOLLOWED_AT_ONCE.total_seconds())


class ObjectIds:
    """A source of ids that nobody else has; safe in threads, and after a fork.

    Their seconds do not go back with the wall clock, unless by more than
    `medici_py.steady_clock.FOLLOWED_AT_ONCE`.

    Args:
        wall_secs: Seconds since 1970.
    """

    def __init__(self, wall_secs: Callable[[], float] = time.time) -> None:
        self._wall_secs = wall_secs
        self._prefix: tuple[int, bytes]
        """A second, and what its ids begin with; one value, so that no thread sees half of it."""
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def next(self) -> ObjectId:
        """Return a new id."""
        seconds = int(self._wall_secs())
        current, prefix = self._prefix
        # Set back, the clock would put ids of one millisecond in another order than they were made in.
        if seconds > current or seconds < current - _FOLLOWED_AT_ONCE_SECS:
            prefix = _SECONDS.pack(seconds & 0xFFFF_FFFF) + self._process
            self._prefix = seconds, prefix
        return ObjectId(prefix + (next(self._counter) & 0xFF_FFFF).to_bytes(3, "big"))

    def _begin(self) -> None:
        self._process = secrets.token_bytes(5)
        self._counter = itertools.count(secrets.randbelow(2**24))
        self._prefix = -1, b""


new_object_id = ObjectIds().next

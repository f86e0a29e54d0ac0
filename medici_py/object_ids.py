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

from bson import ObjectId

_SECONDS = struct.Struct(">I")


class ObjectIds:
    """A source of ids that nobody else has; safe in threads, and after a fork."""

    def __init__(self) -> None:
        self._prefix: tuple[int, bytes]
        """A second, and what its ids begin with; one value, so that no thread sees half of it."""
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def next(self) -> ObjectId:
        """Return a new id."""
        seconds = int(time.time())
        current, prefix = self._prefix
        if current != seconds:
            prefix = _SECONDS.pack(seconds & 0xFFFF_FFFF) + self._process
            self._prefix = seconds, prefix
        return ObjectId(prefix + (next(self._counter) & 0xFF_FFFF).to_bytes(3, "big"))

    def _begin(self) -> None:
        self._process = secrets.token_bytes(5)
        self._counter = itertools.count(secrets.randbelow(2**24))
        self._prefix = -1, b""


new_object_id = ObjectIds().next

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
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def next(self) -> ObjectId:
        """Return a new id."""
        count = next(self._counter) & 0xFF_FFFF
        seconds = _SECONDS.pack(int(time.time()) & 0xFFFF_FFFF)
        return ObjectId(seconds + self._process + count.to_bytes(3, "big"))

    def _begin(self) -> None:
        self._process = secrets.token_bytes(5)
        self._counter = itertools.count(secrets.randbelow(2**24))


new_object_id = ObjectIds().next

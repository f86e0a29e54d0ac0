"""A place for the newest value of a channel: readers never wait for it and it never waits for readers."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

from stablesats.okx.errors import OkxError
from stablesats.okx.streams.errors import OkxStaleError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old a value may be to be acted on.

    Attributes:
        stale_after_secs: Age since it was received, in seconds.
        by_its_own_time: Whether the time that OKX put on it must be that close to ours, too.
    """

    stale_after_secs: float
    by_its_own_time: bool = False


@dataclass(frozen=True, slots=True)
class Clocks:
    """The two clocks that a stream goes by.

    Attributes:
        monotonic: Seconds that only go forward, for ages and waits.
        now: Aware time, compared with the times that OKX puts on its messages.
    """

    monotonic: Callable[[], float]
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class _Held(Generic[T]):
    value: T
    at: datetime | None
    received_at_secs: float
    is_of_this_connection: bool = True


class Slot(Generic[T]):
    """Holds the newest value, or why there is none.

    For one event loop, any number of readers. A value that nobody has read is replaced, never queued: memory
    does not grow, and a slow reader sees the present. Use `OrderFeed` where every message counts.

    Attributes:
        received: How many values have come.
        out_of_order: How many of them were older than the one held, and were passed over.
    """

    def __init__(self, what: str, freshness: Freshness, clocks: Clocks) -> None:
        self._what = what
        self._freshness = freshness
        self._clocks = clocks
        self._held: _Held[T] | None = None
        self._unknown: OkxError = OkxStaleError(f"no {what} has been received yet")
        self._changed = asyncio.Event()
        self.received = 0
        self.out_of_order = 0

    def __repr__(self) -> str:
        return f"<Slot {self._what}: {'unknown' if self._held is None else self._held.value}>"

    @property
    def age_secs(self) -> float | None:
        """Seconds since the value was received; None if there is none."""
        return None if self._held is None else self._clocks.monotonic() - self._held.received_at_secs

    def latest(self) -> T:
        """Return the newest value.

        Raises:
            OkxStaleError: There is none, or it is older than allowed; the message says which and why.
            OkxStreamRefusedError: OKX refused the login or this channel.
            OkxClosedError: The stream has ended.
        """
        held = self._held
        if held is None:
            raise self._unknown.with_traceback(None)
        if (age_secs := self._age_secs(held)) > self._freshness.stale_after_secs:
            raise OkxStaleError(
                f"the {self._what} is {age_secs:.1f} s old, more than "
                f"{self._freshness.stale_after_secs:g} s, or this machine's clock is off: not acting on it"
            )
        return held.value

    async def changes(self) -> AsyncGenerator[T, None]:
        """Yield the newest value and then each that replaces it; those that came meanwhile are skipped.

        While there is none it waits. Never ends by itself: it raises when nothing can come any more.

        Raises:
            OkxStreamRefusedError, OkxClosedError: As `latest`.
        """
        seen: _Held[T] | None = None
        while True:
            changed, held = self._changed, self._held
            if held is not None and held is not seen:
                seen = held
                yield held.value
            elif held is None and not isinstance(self._unknown, OkxStaleError):
                raise self._unknown.with_traceback(None)
            else:
                await changed.wait()

    async def first(self) -> T:
        """Return the newest value, waiting for one; raises as `changes`."""
        changes = self.changes()
        try:
            return await anext(changes)
        finally:
            await changes.aclose()

    def put(self, value: T, at: datetime | None) -> None:
        """Take a value; *at* is the time OKX put on it. One that is older than the held is passed over."""
        self.received += 1
        if self._is_older_than_held(at):
            self.out_of_order += 1
            return
        self._held = _Held(value, at, self._clocks.monotonic())
        self._announce()

    def withdraw(self, why: OkxError) -> None:
        """Hold nothing, because of *why*, until the next value."""
        self._held = None
        self._unknown = why
        self._announce()

    def begin_anew(self) -> None:
        """Take whatever comes next as newer: a new connection has begun."""
        if self._held is not None:
            self._held = replace(self._held, is_of_this_connection=False)

    def _age_secs(self, held: _Held[T]) -> float:
        age_secs = self._clocks.monotonic() - held.received_at_secs
        if self._freshness.by_its_own_time and held.at is not None:
            age_secs = max(age_secs, abs((self._clocks.now() - held.at).total_seconds()))
        return age_secs

    def _is_older_than_held(self, at: datetime | None) -> bool:
        held = self._held
        if at is None or held is None or held.at is None or not held.is_of_this_connection:
            return False
        # A time far ahead of ours must not keep out everything until then.
        is_from_the_future = (held.at - self._clocks.now()).total_seconds() > self._freshness.stale_after_secs
        return at < held.at and not is_from_the_future

    def _announce(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

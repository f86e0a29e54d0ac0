"""The exchange's own time: the machine's, which an operator may speed up or skip ahead.

It stamps orders and drives replay, fill delays, transfers, blocks and funding settlements. Signatures and
rate limits stay with the machine's clock, because that is the one that clients have.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class MarketClock:
    """Wall clock and monotonic clock that agree on how fast time passes.

    Args:
        now: The machine's wall clock, aware UTC.
        monotonic: Seconds of the machine's clock that never goes back.
    """

    def __init__(self, *, now: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._now = now
        self._monotonic = monotonic
        self._speed = 1.0
        self._ahead_secs = 0.0
        self._since_secs = monotonic()

    def __repr__(self) -> str:
        return f"<MarketClock speed={self._speed:g} ahead_secs={self.ahead_secs:g}>"

    @property
    def speed(self) -> float:
        """Seconds that pass here in one second of the machine."""
        return self._speed

    @property
    def ahead_secs(self) -> float:
        """How far this clock is ahead of the machine's."""
        return self._ahead(self._monotonic())

    def now(self) -> datetime:
        """Return the wall clock, aware UTC."""
        ahead_secs = self.ahead_secs
        return self._now() + timedelta(seconds=ahead_secs) if ahead_secs else self._now()

    def monotonic(self) -> float:
        """Return the seconds of a clock that never goes back."""
        machine_secs = self._monotonic()
        return machine_secs + self._ahead(machine_secs)

    def at(self, monotonic_secs: float) -> datetime:
        """Return the wall clock at a reading of `monotonic`."""
        return self.now() - timedelta(seconds=self.monotonic() - monotonic_secs)

    def monotonic_of(self, at: datetime) -> float:
        """Return the reading of `monotonic` at a time of the wall clock."""
        return self.monotonic() - (self.now() - at).total_seconds()

    def run(self, speed: float) -> None:
        """Let *speed* seconds pass in one second from now on; at least 1."""
        machine_secs = self._monotonic()
        self._ahead_secs = self._ahead(machine_secs)
        self._since_secs = machine_secs
        self._speed = speed

    def skip(self, seconds: float) -> None:
        """Go *seconds* ahead at once; what falls due meanwhile happens at its own time."""
        self._ahead_secs += seconds

    def skip_to(self, at: datetime) -> None:
        """Go ahead to *at*; nothing happens if it is past."""
        self.skip(max(0.0, (at - self.now()).total_seconds()))

    def _ahead(self, machine_secs: float) -> float:
        return self._ahead_secs + (machine_secs - self._since_secs) * (self._speed - 1.0)

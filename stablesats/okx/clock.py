"""OKX's clock, as seen from ours: what is signed must be within 30 s of it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from stablesats.okx.errors import OkxInvalidRequestError

MEASURED_FOR: Final = timedelta(minutes=5)
"""How long a measured offset is relied on: clocks drift, and are stepped."""

REMEASURE_WITHIN_SECS: Final = 2.0
"""Whoever finds that the offset is to be measured again waits no longer than this; the known one serves."""

MEASURE_AGAIN_AFTER_SECS: Final = 30.0
"""After such a measurement has failed, nobody tries again for so long."""


def clock_offset(server_at: datetime, *, sent_at: datetime, received_at: datetime) -> timedelta:
    """Return how far OKX's clock is ahead of ours, to within half the round trip.

    The server is taken to have looked at its clock half-way between *sent_at* and *received_at*.
    """
    return server_at - (sent_at + (received_at - sent_at) / 2)


class ServerClock:
    """Our clock plus the offset that was measured last; the offset is zero until `learn` is called."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.offset = timedelta(0)
        self._measured_at: datetime | None = None

    @property
    def is_measured(self) -> bool:
        """Whether it was ever measured."""
        return self._measured_at is not None

    @property
    def needs_measuring(self) -> bool:
        """Whether it was never measured, or `MEASURED_FOR` ago; also if our clock went back that far."""
        return self._measured_at is None or abs(self.local_now() - self._measured_at) >= MEASURED_FOR

    def learn(self, offset: timedelta) -> None:
        """Use *offset*, server minus ours, from now on."""
        self.offset = offset
        self._measured_at = self.local_now()

    def local_now(self) -> datetime:
        """Return the time on our own clock.

        Raises:
            OkxInvalidRequestError: If the clock that was passed in gives times without a zone.
        """
        at = self._now()
        if at.tzinfo is None:
            raise OkxInvalidRequestError("the clock must give aware times, such as datetime.now(UTC)")
        return at

    def now(self) -> datetime:
        """Return the time on OKX's clock, as far as we know it."""
        return self.local_now() + self.offset

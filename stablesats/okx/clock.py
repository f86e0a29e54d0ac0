"""OKX's clock, as seen from ours: what is signed must be within 30 s of it."""

from collections.abc import Callable
from datetime import datetime, timedelta

from stablesats.okx.errors import OkxInvalidRequestError


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
        self.is_measured = False

    def learn(self, offset: timedelta) -> None:
        """Use *offset*, server minus ours, from now on."""
        self.offset = offset
        self.is_measured = True

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

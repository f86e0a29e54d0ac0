"""How fast a counter has been growing lately. Pure: the clock comes in."""

from collections import deque
from typing import Final

_WINDOW_SECS: Final = 5.0


class RateMeter:
    """Growth a second over the last five seconds."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, at_secs: float, count: int) -> None:
        """Note that the counter stood at *count* at *at_secs* of a monotonic clock."""
        self._samples.append((at_secs, count))
        while len(self._samples) > 2 and at_secs - self._samples[0][0] > _WINDOW_SECS:
            self._samples.popleft()

    @property
    def per_second(self) -> float:
        """Growth a second; 0 until there are two samples."""
        if len(self._samples) < 2:
            return 0.0
        (began, first), (ended, last) = self._samples[0], self._samples[-1]
        return (last - first) / (ended - began) if ended > began else 0.0

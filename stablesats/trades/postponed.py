"""Trades whose rows somebody else is writing, and when to look at them again. Pure.

The somebody is mostly another process that will be done in a moment. It may also have died: MongoDB keeps
what it had under way, and those rows with it, for ``transactionLifetimeLimitSeconds`` (a minute by default).
Nobody waits for that: such rows are left out, and tried again after ever longer pauses.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

_FIRST_PAUSE_SECS: Final = 0.05
_LONGEST_PAUSE_SECS: Final = 2.0

_STUCK_AFTER_TIMES: Final = 3


@dataclass(frozen=True, slots=True)
class _Postponement:
    times: int
    until_secs: float


class PostponedTrades:
    """Keeps track of postponed trades; times are seconds of any clock that only goes forward."""

    def __init__(self) -> None:
        """Begin with none."""
        self._postponed: dict[str, _Postponement] = {}

    def __len__(self) -> int:
        return len(self._postponed)

    def postpone(self, trade_ids: Iterable[str], now_secs: float) -> None:
        """Leave *trade_ids* out for a while: 0.1 s the first time, twice as long each time, up to 2 s."""
        for trade_id in trade_ids:
            times = self.times(trade_id) + 1
            pause_secs = min(_FIRST_PAUSE_SECS * 2 ** min(times, 16), _LONGEST_PAUSE_SECS)
            self._postponed[trade_id] = _Postponement(times, now_secs + pause_secs)

    def times(self, trade_id: str) -> int:
        """How often *trade_id* was postponed."""
        found = self._postponed.get(trade_id)
        return 0 if found is None else found.times

    def ready(self, trade_ids: Iterable[str], now_secs: float) -> list[str]:
        """Those of *trade_ids* that are not to be left out now, in the same order."""
        return [
            each
            for each in trade_ids
            if (found := self._postponed.get(each)) is None or found.until_secs <= now_secs
        ]

    def keep_only(self, trade_ids: Collection[str]) -> None:
        """Forget all but *trade_ids*: the others are done, whoever did them."""
        kept = set(trade_ids)
        self._postponed = {each: found for each, found in self._postponed.items() if each in kept}


def batches_of(
    trade_ids: Collection[str], postponed: PostponedTrades, *, largest: int
) -> list[tuple[str, ...]]:
    """Cut *trade_ids* into batches: those that were postponed several times alone, the others together.

    Somebody who is alive is done with a batch by then. One row that stays as it is keeps its whole batch from
    being booked; alone it keeps only itself.
    """
    alone = [(each,) for each in trade_ids if postponed.times(each) >= _STUCK_AFTER_TIMES]
    together = [each for each in trade_ids if postponed.times(each) < _STUCK_AFTER_TIMES]
    return [tuple(together[i : i + largest]) for i in range(0, len(together), largest)] + alone

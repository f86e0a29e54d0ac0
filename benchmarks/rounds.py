"""Rounds of a side, taken in turns with the other sides, and what they come to.

Sides alternate and each round begins with another side, so that a machine that drifts slows all of them.
"""

import math
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Round:
    """What one side did in one round.

    Attributes:
        journals: Journals posted.
        secs: From the first begun to the last answered.
        latencies_ms: How long each caller waited for its answer.
        retries: Transactions that were given up and ran again, where the side counts them.
        round_trips: Commands sent to the server, where the side counts them.
    """

    journals: int
    secs: float
    latencies_ms: Sequence[float]
    retries: int | None = None
    round_trips: int | None = None

    @property
    def journals_per_second(self) -> float:
        return self.journals / self.secs

    @classmethod
    def joined(cls, rounds: Sequence["Round"]) -> "Round":
        """Return what several processes did at the same time as one round."""
        retries = [one.retries for one in rounds if one.retries is not None]
        return cls(
            sum(one.journals for one in rounds),
            max(one.secs for one in rounds),
            [latency for one in rounds for latency in one.latencies_ms],
            sum(retries) if retries else None,
        )


Side = Callable[[], Awaitable[Round]]


async def alternate(
    sides: Mapping[str, Side], rounds: int, *, settle: Callable[[], Awaitable[None]]
) -> dict[str, list[Round]]:
    """Run every side once a round, each time after *settle*, which ends what the one before left to do."""
    done: dict[str, list[Round]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in rotated(list(sides), number):
            await settle()
            done[name].append(await sides[name]())
    return done


def rotated(those: Sequence[T], by: int) -> list[T]:
    """Return *those*, beginning with another one for each *by*."""
    first = by % len(those)
    return [*those[first:], *those[:first]]


def median_rate(rounds: Sequence[Round]) -> float:
    """Return journals a second, the median of the rounds."""
    return statistics.median(one.journals_per_second for one in rounds)


def rate_ratio(mine: Sequence[Round], theirs: Sequence[Round]) -> float:
    """Return how many times faster *mine* was: the median of the ratios of each round."""
    return statistics.median(
        one.journals_per_second / other.journals_per_second for one, other in zip(mine, theirs, strict=True)
    )


def pooled_percentile(rounds: Sequence[Round], share: float) -> float:
    """Return a percentile of the latencies of all rounds, in milliseconds."""
    return percentile([latency for one in rounds for latency in one.latencies_ms], share)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least *share* of *values* do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]

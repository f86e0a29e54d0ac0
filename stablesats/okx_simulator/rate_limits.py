"""OKX's rate limits as token buckets: one bucket for each limited row and key, full at the start.

Source: OKX API v5, the "Rate limit" line of each endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stablesats.okx_simulator.refusals import RefusalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Limit:
    """At most *burst* at once, refilled evenly over *period_secs*.

    Attributes:
        name: Names the bucket; endpoints with the same name share it.
        keyed_by: The parameter of which each value has its own bucket, ``""`` for one bucket a caller.
        code: What a caller over the limit is told.
    """

    name: str
    burst: int
    period_secs: float = 2.0
    keyed_by: str = ""
    code: str = "50011"


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request takes out of one bucket."""

    limit: Limit
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens left at an instant of the monotonic clock, in seconds."""

    tokens: float
    at_secs: float


def take(bucket: Bucket | None, charge: Charge, *, now_secs: float) -> Bucket | None:
    """Return the bucket after *charge*, or None if it holds too few tokens.

    A bucket of None has not been used yet and is full. A limit of 60 in 2 s refills 30 tokens a second.
    """
    limit = charge.limit
    tokens = float(limit.burst)
    if bucket is not None:
        refilled = (now_secs - bucket.at_secs) * limit.burst / limit.period_secs
        tokens = min(tokens, bucket.tokens + refilled)
    return Bucket(tokens - charge.cost, now_secs) if tokens >= charge.cost else None


class RateLimiter:
    """The buckets of every caller; does nothing when switched off."""

    def __init__(self, *, enabled: bool, monotonic: Callable[[], float]) -> None:
        self._enabled = enabled
        self._monotonic = monotonic
        self._buckets: dict[tuple[str, str, str], Bucket] = {}

    def spend(self, caller: str, charges: Sequence[tuple[Charge, str]]) -> None:
        """Take every charge from *caller*'s buckets, each with the value of the parameter it is keyed by.

        Raises:
            RefusalError: With the code of the first limit that is exhausted; then nothing is taken.
        """
        if not self._enabled:
            return
        after: dict[tuple[str, str, str], Bucket] = {}
        for charge, value in charges:
            key = (charge.limit.name, caller, value)
            left = take(self._buckets.get(key), charge, now_secs=self._monotonic())
            if left is None:
                raise RefusalError(charge.limit.code)
            after[key] = left
        self._buckets.update(after)

"""Asking again, for reads only: what is worth it, how often and for how long."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import stamina

from stablesats.okx.errors import (
    OkxError,
    OkxRateLimitedError,
    OkxUnavailableError,
    OkxUnreachableError,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReadRetry:
    """Exponential backoff with jitter.

    Attributes:
        attempts: At most this many requests for one read.
        deadline_secs: A failure that comes later than this, counted from the start, is the last; each
            attempt by itself is bounded by the request timeout.
        wait_initial_secs: First pause, doubled each time.
        wait_max_secs: Longest pause.
        wait_jitter_secs: A pause is lengthened by a random part of this: clients do not return together.
    """

    attempts: int = 6
    deadline_secs: float = 30.0
    wait_initial_secs: float = 0.2
    wait_max_secs: float = 5.0
    wait_jitter_secs: float = 0.5


def is_worth_retrying(error: Exception) -> bool:
    """Return whether the same read may succeed in a moment: no answer, server trouble, too many requests."""
    return isinstance(error, (OkxUnreachableError, OkxUnavailableError, OkxRateLimitedError))


async def retrying(read: Callable[[], Awaitable[T]], policy: ReadRetry) -> T:
    """Return what *read* returns, asking again after an error that `is_worth_retrying`.

    Raises:
        OkxError: The last error, once it is not worth a retry or *policy* allows none. Where the last
            attempts were not sent because of our own rate limit, the error before them, which says what is
            wrong.
    """
    failure: OkxError | None = None

    async def attempt() -> T:
        nonlocal failure
        try:
            return await read()
        except OkxError as exc:
            failure = failure if failure is not None and _was_kept_back(exc) else exc
        # Out here, so that the failure before keeps the cause that it had.
        raise failure

    caller = stamina.AsyncRetryingCaller(
        attempts=policy.attempts,
        timeout=policy.deadline_secs,
        wait_initial=policy.wait_initial_secs,
        wait_max=policy.wait_max_secs,
        wait_jitter=policy.wait_jitter_secs,
    )
    return await caller(is_worth_retrying, attempt)


def _was_kept_back(error: OkxError) -> bool:
    """Return whether it is our own limit that spoke, before anything was sent."""
    return isinstance(error, OkxRateLimitedError) and error.http_status is None

"""Asking again, for reads only."""

import asyncio

import pytest

from stablesats.okx import (
    OkxAuthenticationError,
    OkxClockSkewError,
    OkxClosedError,
    OkxError,
    OkxInvalidRequestError,
    OkxOutcomeUnknownError,
    OkxProtocolError,
    OkxRateLimitedError,
    OkxRefusedError,
    OkxUnavailableError,
    OkxUnreachableError,
    OrderNotFoundError,
    ReadRetry,
)
from stablesats.okx.retry import is_worth_retrying, retrying

REQUEST = "GET /api/v5/account/positions"


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (OkxUnreachableError("no answer"), True),
        (OkxUnavailableError("busy", request=REQUEST), True),
        (OkxRateLimitedError("too many", request=REQUEST), True),
        (OkxOutcomeUnknownError("timeout", request=REQUEST, client_order_id="a1"), False),
        (OkxRefusedError("no", request=REQUEST), False),
        (OrderNotFoundError("none", request=REQUEST), False),
        (OkxAuthenticationError("key", request=REQUEST), False),
        (OkxClockSkewError("clock", request=REQUEST), False),
        (OkxProtocolError("shape"), False),
        (OkxInvalidRequestError("id"), False),
        (OkxClosedError("closed"), False),
        (ValueError("bug"), False),
    ],
)
def test_only_trouble_on_the_way_is_worth_retrying(error: Exception, again: bool) -> None:
    """No answer, server trouble and too many requests pass; everything else would be answered the same."""
    assert is_worth_retrying(error) is again


@pytest.mark.parametrize(("failures", "asked"), [(0, 1), (2, 3)])
async def test_a_read_is_repeated_until_it_is_answered(
    fast_retry: ReadRetry, failures: int, asked: int
) -> None:
    """Up to the number of attempts."""
    attempts = 0

    async def read() -> str:
        nonlocal attempts
        attempts += 1
        if attempts <= failures:
            raise OkxUnreachableError("no answer")
        return "answer"

    assert await retrying(read, fast_retry) == "answer"
    assert attempts == asked


@pytest.mark.parametrize(
    ("error", "asked"),
    [(OkxUnreachableError("no answer"), 3), (OkxProtocolError("shape"), 1)],
)
async def test_the_last_error_is_raised(fast_retry: ReadRetry, error: OkxError, asked: int) -> None:
    """After three attempts, or at once if another one would not help."""
    attempts = 0

    async def read() -> None:
        nonlocal attempts
        attempts += 1
        raise error

    with pytest.raises(type(error)):
        await retrying(read, fast_retry)
    assert attempts == asked


@pytest.mark.parametrize(
    "cause", [OkxUnreachableError("no answer"), OkxUnavailableError("busy", request=REQUEST)]
)
async def test_our_own_limit_does_not_hide_why_a_read_was_repeated(
    fast_retry: ReadRetry, cause: OkxError
) -> None:
    """That the repetition was not sent is our doing; what is wrong with OKX is what came before."""
    cause.__cause__ = reason = ConnectionResetError()
    attempts = 0

    async def read() -> None:
        nonlocal attempts
        attempts += 1
        raise cause if attempts == 1 else OkxRateLimitedError("our own rate limit", request=REQUEST)

    with pytest.raises(type(cause)) as raised:
        await retrying(read, fast_retry)
    assert raised.value is cause
    assert raised.value.__cause__ is reason
    assert attempts == 3


async def test_a_limit_that_okx_reports_is_news(fast_retry: ReadRetry) -> None:
    """It was sent, and answered."""
    errors = [OkxUnreachableError("no answer"), OkxRateLimitedError("slow", http_status=429, request=REQUEST)]

    async def read() -> None:
        raise errors.pop(0) if len(errors) > 1 else errors[0]

    with pytest.raises(OkxRateLimitedError):
        await retrying(read, fast_retry)


async def test_our_own_limit_is_the_error_where_there_is_no_other(fast_retry: ReadRetry) -> None:
    """A read that never left."""

    async def read() -> None:
        raise OkxRateLimitedError("our own rate limit", request=REQUEST)

    with pytest.raises(OkxRateLimitedError):
        await retrying(read, fast_retry)


async def test_no_attempt_is_started_after_the_deadline() -> None:
    """A first attempt that has used up the time is the last, however many are allowed."""
    attempts = 0

    async def read() -> None:
        nonlocal attempts
        attempts += 1
        await asyncio.sleep(0.02)
        raise OkxUnreachableError("no answer")

    with pytest.raises(OkxUnreachableError):
        await retrying(read, ReadRetry(attempts=100, deadline_secs=0.01))
    assert attempts == 1

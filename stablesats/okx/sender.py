"""`RequestSender`: waits for OKX's limits, signs with OKX's clock, sends, and says what the answer means."""

import asyncio
import math
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self

import structlog

from stablesats.okx import answers, calls
from stablesats.okx.call import Call
from stablesats.okx.clock import (
    MEASURE_AGAIN_AFTER_SECS,
    REMEASURE_WITHIN_SECS,
    ServerClock,
    clock_offset,
)
from stablesats.okx.credentials import OkxCredentials
from stablesats.okx.envelope import Row, rows_of
from stablesats.okx.errors import (
    OkxClockSkewError,
    OkxError,
    OkxProtocolError,
    OkxRateLimitedError,
    OkxUnreachableError,
    OrderExpiredError,
)
from stablesats.okx.limits import RequestLimiter
from stablesats.okx.retry import ReadRetry, retrying
from stablesats.okx.signing import signed_headers
from stablesats.okx.single_flight import SingleFlight
from stablesats.okx.transport import Transport

OKX_BASE_URL = "https://www.okx.com"

# A clock this far off is worth a line in the log; OKX refuses at 30 s.
NOTEWORTHY_SKEW_SECS = 1.0

_log = structlog.get_logger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class RequestSender:
    """What every part of the client sends its requests with.

    For one event loop; any number of tasks may use it at once. Use it as a context manager or call `close`.
    """

    def __init__(
        self,
        *,
        base_url: str = OKX_BASE_URL,
        credentials: OkxCredentials,
        simulated: bool = False,
        request_timeout_secs: float = 10,
        now: Callable[[], datetime] = _utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        read_retry: ReadRetry | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            base_url: ``https://host`` or ``http://host:port``, without a path.
            credentials: Key, secret and passphrase; they never appear in a repr, a log line or an error.
            simulated: Whether the key belongs to OKX's demo trading (header ``x-simulated-trading``).
            request_timeout_secs: Bound on one HTTP exchange, and on the wait for the rate limit before it.
            now: Our clock, giving aware times.
            monotonic: Seconds that only go forward, for the pauses between measurements of OKX's clock.
            read_retry: How often and how long reads are repeated.
            tls: Which certificates to trust; the machine's by default.

        Raises:
            ConfigurationError: If *base_url* is malformed or the timeout is not above zero.
        """
        self._credentials = credentials
        self._simulated = simulated
        self._request_timeout_secs = request_timeout_secs
        self._read_retry = read_retry or ReadRetry()
        self._clock = ServerClock(now)
        self._monotonic = monotonic
        self._measurement = SingleFlight(self._measure_clock)
        self._measure_again_at_secs = -math.inf
        self._limiter = RequestLimiter()
        self._transport = Transport(
            base_url=base_url, timeout_secs=request_timeout_secs, now=self._clock.local_now, tls=tls
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} host={self._transport.host} simulated={self._simulated}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. A write under way ends as unknown. Safe to call twice."""
        await self._transport.close()

    async def server_time(self) -> datetime:
        """Return OKX's clock, and measure with it how far ours is off.

        This is the clock that an order's *expires_at* is compared with.

        Raises:
            OkxError: `OkxUnreachableError`, `OkxUnavailableError` or `OkxRateLimitedError` after the last
                attempt, `OkxProtocolError` and other refusals at once. The other reads raise the same.
        """
        return await retrying(self._measurement.answer, self._read_retry)

    def exchange_now(self) -> datetime:
        """Return the time on OKX's clock without asking: our clock plus the offset measured last."""
        return self._clock.now()

    @property
    def clock_offset(self) -> timedelta:
        """How far OKX's clock is ahead of ours, as measured last; zero before the first measurement."""
        return self._clock.offset

    # Sending

    async def _read(self, call: Call) -> list[Row]:
        return await retrying(partial(self._read_once, call), self._read_retry)

    async def _read_once(self, call: Call) -> list[Row]:
        try:
            return await self._send(call)
        except OkxClockSkewError:
            await self._measurement.answer()
            return await self._send(call)

    async def _write(self, call: Call) -> list[Row]:
        try:
            return await self._send(call)
        except (OkxClockSkewError, OrderExpiredError):
            # An expiry is counted on the clock too: where that is wrong, every order would expire.
            # Measured for the next request; this one stays refused, also if the measuring fails.
            await self._measure_clock_if_possible()
            raise

    async def _send(self, call: Call) -> list[Row]:
        if call.endpoint.private:
            await self._ensure_clock_is_measured(call)
        await self._wait_for_turn(call)
        self._refuse_if_expired(call)
        answer = await self._transport.exchange(call, partial(self._headers, call))
        return rows_of(answer, call)

    async def _wait_for_turn(self, call: Call) -> None:
        endpoint = call.endpoint
        try:
            async with asyncio.timeout(self._request_timeout_secs):
                await self._limiter.wait(
                    endpoint.allowance, endpoint.priority, inst_id=call.inst_id, cost=call.cost
                )
        except TimeoutError:
            raise OkxRateLimitedError(
                f"our own rate limit did not let it through within {self._request_timeout_secs:g} s",
                request=str(endpoint),
            ) from None

    def _refuse_if_expired(self, call: Call) -> None:
        if call.expires_at is not None and self._clock.now() >= call.expires_at:
            raise OrderExpiredError(
                f"it expired at {call.expires_at.isoformat()}, "
                f"and OKX's clock shows {self._clock.now().isoformat()}",
                request=str(call.endpoint),
            )

    def _headers(self, call: Call) -> Mapping[str, str]:
        """Return the headers, signed for this very moment."""
        headers = {"x-simulated-trading": "1" if self._simulated else "0"}
        if call.body:
            headers["Content-Type"] = "application/json"
        if call.expires_at_ms is not None:
            headers["expTime"] = str(call.expires_at_ms)
        if call.endpoint.private:
            headers |= signed_headers(
                self._credentials,
                at=self._clock.now(),
                method=call.endpoint.method,
                request_target=call.request_target,
                body=call.body,
            )
        return headers

    # Clock

    async def _ensure_clock_is_measured(self, call: Call) -> None:
        if not self._clock.needs_measuring:
            return
        if self._clock.is_measured:
            is_time = self._monotonic() >= self._measure_again_at_secs
            if is_time and not self._measurement.is_under_way:
                await self._measure_clock_if_possible()
            return
        try:
            await self._measurement.answer()
        except (OkxProtocolError, OkxUnreachableError) as exc:
            raise OkxUnreachableError(
                f"{call.endpoint} was not sent: OKX's clock, to sign it with, could not be measured: {exc}"
            ) from exc

    async def _measure_clock_if_possible(self) -> None:
        """Measure again; if that fails, the offset that is known stays in use, and nobody waits for long."""
        try:
            async with asyncio.timeout(REMEASURE_WITHIN_SECS):
                await self._measurement.answer()
        except (OkxError, TimeoutError) as exc:
            self._measure_again_at_secs = self._monotonic() + MEASURE_AGAIN_AFTER_SECS
            _log.warning(
                "OKX's clock could not be measured",
                action="okx-clock-not-measured",
                error=str(exc) or "no answer in time",
            )

    async def _measure_clock(self) -> datetime:
        call = calls.server_time()
        await self._wait_for_turn(call)
        answer = await self._transport.exchange(call, partial(self._headers, call))
        server_at = answers.server_time_of(rows_of(answer, call), call).at
        offset = clock_offset(server_at, sent_at=answer.sent_at, received_at=answer.received_at)
        if abs((offset - self._clock.offset).total_seconds()) >= NOTEWORTHY_SKEW_SECS:
            _log.warning(
                "our clock is not OKX's; requests are signed with OKX's",
                action="okx-clock-skewed",
                offset_secs=offset.total_seconds(),
                was_secs=self._clock.offset.total_seconds(),
            )
        self._clock.learn(offset)
        return server_at

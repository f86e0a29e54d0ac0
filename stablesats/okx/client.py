"""`OkxClient`: the calls of the dealer to OKX's REST API, each with a certain meaning.

Every call ends in one of three ways: accepted (it returns), refused (`OkxRefusedError` or
`OkxUnreachableError`: certainly not executed) or unknown (`OkxOutcomeUnknownError`, for writes only).

- A **write** is sent at most once, whatever happens. After an unknown outcome, ask `OkxClient.order`; OKX
  keeps a client order id unique among pending orders only, so sending the same order again can trade twice.
  If the caller's task is cancelled during a write, its outcome is unknown too.
- A **read** is asked again after a lost connection, a 5xx or a rate limit, within `ReadRetry`.
- Both wait for OKX's rate limits first and are signed after that wait, with OKX's clock.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from types import TracebackType
from typing import Self

import structlog

from stablesats.okx import answers, calls
from stablesats.okx.calls import Call
from stablesats.okx.clock import ServerClock, clock_offset
from stablesats.okx.credentials import OkxCredentials
from stablesats.okx.envelope import Row, rows_of
from stablesats.okx.errors import (
    OkxClockSkewError,
    OkxError,
    OkxRateLimitedError,
    OrderExpiredError,
    PositionNotFoundError,
)
from stablesats.okx.limits import RequestLimiter
from stablesats.okx.messages import (
    AccountConfig,
    Instrument,
    Order,
    OrderAck,
    OrderSide,
    OrderState,
    Position,
    Ticker,
    TradingBalance,
)
from stablesats.okx.retry import ReadRetry, retrying
from stablesats.okx.signing import signed_headers
from stablesats.okx.transport import Transport

OKX_BASE_URL = "https://www.okx.com"

# A clock this far off is worth a line in the log; OKX refuses at 30 s.
NOTEWORTHY_SKEW_SECS = 1.0

_log = structlog.get_logger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class OkxClient:
    """A client of OKX's REST API v5 for one account: cross margin, net position mode.

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
        read_retry: ReadRetry | None = None,
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            base_url: ``https://host`` or ``http://host:port``, without a path.
            credentials: Key, secret and passphrase; they never appear in a repr, a log line or an error.
            simulated: Whether the key belongs to OKX's demo trading (header ``x-simulated-trading``).
            request_timeout_secs: Bound on one HTTP exchange, and on the wait for the rate limit before it.
            now: Our clock, giving aware times.
            read_retry: How often and how long reads are repeated.

        Raises:
            ConfigurationError: If *base_url* is malformed or the timeout is not above zero.
        """
        self._credentials = credentials
        self._simulated = simulated
        self._request_timeout_secs = request_timeout_secs
        self._read_retry = read_retry or ReadRetry()
        self._clock = ServerClock(now)
        self._measuring_clock = asyncio.Lock()
        self._limiter = RequestLimiter()
        self._transport = Transport(
            base_url=base_url, timeout_secs=request_timeout_secs, now=self._clock.local_now
        )

    def __repr__(self) -> str:
        return f"<OkxClient host={self._transport.host} simulated={self._simulated}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. A write under way ends as unknown. Safe to call twice."""
        await self._transport.close()

    # Public

    async def server_time(self) -> datetime:
        """Return OKX's clock, and measure with it how far ours is off.

        This is the clock that an order's *expires_at* is compared with.

        Raises:
            OkxError: `OkxUnreachableError`, `OkxUnavailableError` or `OkxRateLimitedError` after the last
                attempt, `OkxProtocolError` and other refusals at once. The other reads raise the same.
        """
        return await retrying(self._measure_clock, self._read_retry)

    async def instrument(self, inst_id: str) -> Instrument:
        """Return the trading rules of a perpetual swap; read them at start, never hard-code a lot.

        Raises:
            UnknownInstrumentError: If OKX does not list it.
            OkxProtocolError: Also if it is no inverse contract in USD.
        """
        call = calls.instrument(inst_id)
        return answers.instrument_of(await self._read(call), call)

    async def ticker(self, inst_id: str) -> Ticker:
        """Return the last, bid and ask price, each None where OKX has none.

        Raises:
            UnknownInstrumentError: If OKX does not list it.
        """
        call = calls.ticker(inst_id)
        return answers.ticker_of(await self._read(call), call)

    # Account

    async def account_config(self) -> AccountConfig:
        """Return account level and position mode; the hedge needs futures mode and net mode."""
        call = calls.account_config()
        return answers.account_config_of(await self._read(call), call)

    async def leverage(self, inst_id: str) -> Decimal:
        """Return the leverage set for cross margin on *inst_id*."""
        call = calls.leverage(inst_id)
        return answers.leverage_of(await self._read(call), call)

    async def trading_balance(self) -> TradingBalance:
        """Return the bitcoin in the trading account; an account without any has a balance of zeros."""
        call = calls.balance("BTC")
        return answers.trading_balance_of(await self._read(call), call, "BTC")

    async def position(self, inst_id: str) -> Position:
        """Return the net position in cross margin on *inst_id*; flat is a size of zero.

        Raises:
            OkxProtocolError: Also for a position in isolated margin or long-short mode.
        """
        call = calls.positions(inst_id)
        return answers.net_position_of(await self._read(call), call)

    # Trade

    async def place_market_order(
        self,
        inst_id: str,
        side: OrderSide,
        size_contracts: Decimal | int,
        client_order_id: str,
        *,
        expires_at: datetime,
        reduce_only: bool = False,
    ) -> OrderAck:
        """Send a market order, once, and return that OKX accepted it; ask `order` what was filled.

        Args:
            inst_id: Such as ``BTC-USD-SWAP``.
            side: Buy or sell.
            size_contracts: Contracts, above zero, a multiple of the instrument's lot.
            client_order_id: Our id, 1 to 32 letters and digits, new for every order.
            expires_at: Instant on **OKX's** clock (`exchange_now`, `server_time`) after which OKX drops the
                order. It is sent as it is: once `server_time` is past it, the order can no longer arrive.
            reduce_only: Whether the order may only make the position smaller.

        Raises:
            OkxInvalidRequestError: An argument breaks a rule above; not sent.
            OrderExpiredError: The expiry has passed, here or at OKX; not executed. OKX's clock has been
                measured again by then.
            OkxRefusedError: Refused, with a leaf for what a caller may act on; not executed.
            OkxUnreachableError: No connection; not sent.
            OkxOutcomeUnknownError: Perhaps executed: settle it by `order`.
        """
        call = calls.market_order(
            inst_id, side, size_contracts, client_order_id, expires_at=expires_at, reduce_only=reduce_only
        )
        return answers.order_ack_of(await self._write(call), call)

    async def cancel_order(self, inst_id: str, client_order_id: str) -> OrderAck:
        """Ask OKX, once, to cancel a pending order; accepted is not yet cancelled, so ask `order`.

        Raises:
            OrderNotPendingError: It is filled, cancelled already or unknown.
            OkxError: As for `place_market_order`.
        """
        call = calls.cancel_order(inst_id, client_order_id)
        return answers.order_ack_of(await self._write(call), call)

    async def order(self, inst_id: str, client_order_id: str) -> Order:
        """Return the newest order under *client_order_id*.

        Raises:
            OrderNotFoundError: OKX has none. That proves that it never arrived only once `server_time` is
                past its expiry; OKX also forgets an order that was cancelled unfilled, after two hours.
        """
        call = calls.order_details(inst_id, client_order_id)
        rows = await self._read(call)
        order = answers.order_of(rows, call)
        if order.state is OrderState.UNKNOWN:
            _log.warning(
                "OKX reports an order state that we do not know; it counts as pending",
                action="okx-order-state-unknown",
                client_order_id=client_order_id,
                states=[row.get("state") for row in rows],
            )
        return order

    async def close_position(self, inst_id: str, client_order_id: str) -> bool:
        """Close the whole position at the market, sent once; ask `order` for the fill, under the same id.

        Closing twice is harmless, the second finds nothing. But OKX offers no expiry here: a close that is
        held up closes whatever position there is by then. Where that matters, send a reduce-only order.

        Returns:
            True if OKX accepted it, False if there was no position.

        Raises:
            OkxError: As for `place_market_order`.
        """
        call = calls.close_position(inst_id, client_order_id)
        try:
            answers.close_accepted(await self._write(call), call)
        except PositionNotFoundError:
            return False
        return True

    def exchange_now(self) -> datetime:
        """Return the time on OKX's clock without asking: our clock plus the offset measured last."""
        return self._clock.now()

    # Sending

    async def _read(self, call: Call) -> list[Row]:
        return await retrying(partial(self._read_once, call), self._read_retry)

    async def _read_once(self, call: Call) -> list[Row]:
        try:
            return await self._send(call)
        except OkxClockSkewError:
            await self._measure_clock()
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
            await self._ensure_clock_is_measured()
        await self._wait_for_turn(call)
        self._refuse_if_expired(call)
        answer = await self._transport.exchange(call, partial(self._headers, call))
        return rows_of(answer, call)

    async def _wait_for_turn(self, call: Call) -> None:
        endpoint = call.endpoint
        try:
            async with asyncio.timeout(self._request_timeout_secs):
                await self._limiter.wait(endpoint.allowance, endpoint.priority, inst_id=call.inst_id)
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

    async def _ensure_clock_is_measured(self) -> None:
        if not self._clock.needs_measuring:
            return
        async with self._measuring_clock:
            if not self._clock.is_measured:
                await self._measure_clock()
            elif self._clock.needs_measuring:
                await self._measure_clock_if_possible()

    async def _measure_clock_if_possible(self) -> None:
        """Measure again; if that fails, the offset that is known stays in use."""
        try:
            await self._measure_clock()
        except OkxError as exc:
            _log.warning("OKX's clock could not be measured", action="okx-clock-not-measured", error=str(exc))

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

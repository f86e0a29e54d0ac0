"""The newest ticker of an instrument, polled over REST, with a limit on its age."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import structlog

from stablesats.errors import StablesatsError
from stablesats.lifecycle import wait_or_stop
from stablesats.okx import OkxError, Ticker

_log = structlog.get_logger(__name__)

DEFAULT_STALE_AFTER: Final = timedelta(seconds=20)
"""Age above which a price counts as unknown. Source: stablesats-rs, ``unhealthy_msg_interval_price``."""


class PriceUnknownError(StablesatsError):
    """No price has been seen yet, or the newest one is too old to act on."""


class TickerSource(Protocol):
    """The part of the exchange client that this feed needs."""

    async def ticker(self, inst_id: str) -> Ticker:
        """Best bid, best ask and last price of an instrument."""
        ...


class TickerFeed:
    """Polls a ticker and remembers the newest one; readers never wait for the exchange.

    Attributes:
        failures: How many polls failed.
    """

    def __init__(
        self,
        source: TickerSource,
        instrument: str,
        *,
        poll_interval_secs: float = 1.0,
        stale_after: timedelta = DEFAULT_STALE_AFTER,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Watch *instrument* of *source*; *now* is the clock that ages the prices."""
        self._source = source
        self._instrument = instrument
        self._poll_interval_secs = poll_interval_secs
        self._stale_after = stale_after
        self._now = now
        self._newest: tuple[Ticker, datetime] | None = None
        self.failures = 0

    def latest(self) -> Ticker:
        """The newest ticker.

        Raises:
            PriceUnknownError: If there is none yet, or it was first received longer ago than allowed, or its
                own time stamp is further from our clock than that.
        """
        if self._newest is None:
            msg = f"no price of {self._instrument} has been received yet"
            raise PriceUnknownError(msg)
        ticker, received_at = self._newest
        now = self._now()
        age = max(now - received_at, abs(now - ticker.at))
        if age > self._stale_after:
            msg = (
                f"the price of {self._instrument} is {age.total_seconds():.1f} s old,"
                f" more than {self._stale_after.total_seconds():g} s, or this machine's clock is off:"
                " not acting on it"
            )
            raise PriceUnknownError(msg)
        return ticker

    async def refresh(self) -> Ticker:
        """Ask the exchange once, remember the answer and return it.

        Only an answer with a newer time stamp than the known one replaces it. Any other lets the known price
        age: a ticker that stands still is no news.

        Raises:
            OkxError: As the client raises it; the last known price stays and ages.
        """
        ticker = await self._source.ticker(self._instrument)
        now = self._now()
        if self._newest is None or self._is_newer(ticker, than=self._newest[0], now=now):
            self._newest = (ticker, now)
        return ticker

    def _is_newer(self, ticker: Ticker, *, than: Ticker, now: datetime) -> bool:
        # A stamp from the far future must not keep out every price until then.
        return ticker.at > than.at or than.at - now > self._stale_after

    async def run(self, stop: asyncio.Event) -> None:
        """Poll until *stop*; a failed poll is counted and logged, and the next one comes in its turn."""
        while not stop.is_set():
            try:
                await self.refresh()
            except OkxError as error:
                self.failures += 1
                _log.warning("price poll failed", action="price-poll-failed", error=str(error))
            await wait_or_stop(stop, self._poll_interval_secs)

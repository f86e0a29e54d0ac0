"""`PrivateStream`: orders, position and balance as OKX pushes them."""

import ssl
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from stablesats.okx.credentials import OkxCredentials
from stablesats.okx.messages import Position, TradingBalance
from stablesats.okx.streams import channel, push_values
from stablesats.okx.streams.frames import login_text
from stablesats.okx.streams.order_feed import OrderFeed
from stablesats.okx.streams.sinks import OrdersSink
from stablesats.okx.streams.slot import Freshness, Slot
from stablesats.okx.streams.stream import OKX_STREAM_URL, Stream, stream_url
from stablesats.okx.streams.timing import StreamTiming

# OKX pushes both every 5 s or so, changed or not.
ACCOUNT_FRESHNESS: Final = Freshness(stale_after_secs=30.0)


class ExchangeClock(Protocol):
    """The part of `OkxClient` that a login needs: what is signed must be within 30 s of OKX's clock."""

    async def server_time(self) -> datetime:
        """Measure how far our clock is off, and return OKX's."""
        ...

    def exchange_now(self) -> datetime:
        """Return the time on OKX's clock without asking."""
        ...


class PrivateStream(Stream):
    """Our orders, position and balance. How a stream runs and ends is said at `Stream`.

    What happens while the connection is away is not pushed later: position and balance are unknown meanwhile
    and come as snapshots after the next login, and an `OrderFeed` says `Reconcile`.
    """

    def __init__(
        self,
        *,
        credentials: OkxCredentials,
        clock: ExchangeClock,
        base_url: str = OKX_STREAM_URL,
        timing: StreamTiming | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare a stream; nothing is connected yet.

        Args:
            credentials: Key, secret and passphrase; they never appear in a repr, a log line or an error.
            clock: OKX's clock: the `OkxClient` of the same account. It is measured before each login.
            base_url: ``wss://host:port``; of demo trading `OKX_DEMO_STREAM_URL`.
            timing: How long to wait for what.
            tls: Which certificates to trust; the machine's by default.

        Raises:
            ConfigurationError: If *base_url* is malformed.
        """
        url = stream_url(base_url, "/ws/v5/private")
        super().__init__(url, timing=timing or StreamTiming(), tls=tls, now=clock.exchange_now)
        self._credentials = credentials
        self._clock = clock

    def position(self, inst_id: str, *, freshness: Freshness = ACCOUNT_FRESHNESS) -> Slot[Position]:
        """Return the slot of the net position in cross margin; flat is a size of zero."""
        return self._value_slot(
            channel.positions(inst_id), freshness, push_values.position_in, outlives_connection=False
        )

    def trading_balance(self, *, freshness: Freshness = ACCOUNT_FRESHNESS) -> Slot[TradingBalance]:
        """Return the slot of the bitcoin in the trading account."""
        return self._value_slot(
            channel.account(), freshness, push_values.balance_in, outlives_connection=False
        )

    def orders(self, inst_id: str) -> OrderFeed:
        """Return the feed of every change of our orders; it has one reader."""
        wanted = channel.orders(inst_id)
        found = self._sinks.get(wanted)
        if isinstance(found, OrdersSink):
            return found.feed
        return self._add(OrdersSink(wanted, OrderFeed())).feed

    async def _prepare(self) -> None:
        await self._clock.server_time()

    def _login_text(self) -> Callable[[], str]:
        return lambda: login_text(self._credentials, self._clock.exchange_now())

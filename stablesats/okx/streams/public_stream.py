"""`PublicStream`: prices as OKX pushes them."""

import ssl
from collections.abc import Callable
from datetime import datetime
from typing import Final

from stablesats.okx.market_messages import FundingRate, MarkPrice, OrderBook
from stablesats.okx.messages import Ticker
from stablesats.okx.streams import channel, push_values
from stablesats.okx.streams.sinks import BookSink
from stablesats.okx.streams.slot import Freshness, Slot
from stablesats.okx.streams.stream import OKX_STREAM_URL, Stream, stream_url, utc_now
from stablesats.okx.streams.timing import StreamTiming

# OKX pushes a ticker when it changes, a mark price every 10 s at least and a funding rate every 90 s. A book
# that does not change is fetched anew after 20 s, and has 10 s to come.
TICKER_FRESHNESS: Final = Freshness(stale_after_secs=20.0, by_its_own_time=True)
MARK_PRICE_FRESHNESS: Final = Freshness(stale_after_secs=25.0, by_its_own_time=True)
FUNDING_RATE_FRESHNESS: Final = Freshness(stale_after_secs=300.0)
BOOK_FRESHNESS: Final = Freshness(stale_after_secs=30.0)


class PublicStream(Stream):
    """Tickers, books, mark prices and funding rates, each in a slot that holds the newest.

    A slot asked for twice is the same one. How a stream runs and ends is said at `Stream`.
    """

    def __init__(
        self,
        *,
        base_url: str = OKX_STREAM_URL,
        timing: StreamTiming | None = None,
        tls: ssl.SSLContext | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Prepare a stream; nothing is connected yet.

        Args:
            base_url: ``wss://host:port``; of demo trading `OKX_DEMO_STREAM_URL`.
            timing: How long to wait for what.
            tls: Which certificates to trust; the machine's by default.
            now: The clock that OKX's times are compared with, such as `OkxClient.exchange_now`.

        Raises:
            ConfigurationError: If *base_url* is malformed.
        """
        url = stream_url(base_url, "/ws/v5/public")
        super().__init__(url, timing=timing or StreamTiming(), tls=tls, now=now)

    def ticker(self, inst_id: str, *, freshness: Freshness = TICKER_FRESHNESS) -> Slot[Ticker]:
        """Return the slot of the last, bid and ask price."""
        return self._value_slot(
            channel.tickers(inst_id), freshness, push_values.ticker_in, outlives_connection=True
        )

    def mark_price(self, inst_id: str, *, freshness: Freshness = MARK_PRICE_FRESHNESS) -> Slot[MarkPrice]:
        """Return the slot of the price that margin and profit are counted at."""
        return self._value_slot(
            channel.mark_price(inst_id), freshness, push_values.mark_price_in, outlives_connection=True
        )

    def funding_rate(
        self, inst_id: str, *, freshness: Freshness = FUNDING_RATE_FRESHNESS
    ) -> Slot[FundingRate]:
        """Return the slot of the rate forecast for the next settlement."""
        return self._value_slot(
            channel.funding_rate(inst_id), freshness, push_values.funding_rate_in, outlives_connection=True
        )

    def order_book(self, inst_id: str, *, freshness: Freshness = BOOK_FRESHNESS) -> Slot[OrderBook]:
        """Return the slot of the book, 400 levels a side; unknown from any doubt to the next snapshot.

        `Slot.latest` never gives a book that OKX confirmed longer ago than *freshness* allows. Within that
        age it may lack the last update, if that was lost and the market has been quiet since: on a quiet
        market it is fetched anew every `StreamTiming.book_quiet_secs` (as many times that as the stream has
        books), and lacks it no longer. Who needs a closer bound gives a *freshness* of a few seconds and
        asks `OkxClient.order_book` where that refuses.
        """
        wanted = channel.books(inst_id)
        found = self._sinks.get(wanted)
        if isinstance(found, BookSink):
            return found.slot
        return self._add(BookSink(wanted, Slot(str(wanted), freshness, self._clocks))).slot

"""Where the exchange's prices come from: one fixed price, a replay, or a price set by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stablesats.okx_simulator.amounts import ONE, ZERO, exact
from stablesats.okx_simulator.book import (
    Book,
    BookShape,
    PriceLimits,
    made_up_book,
    on_ticks,
    price_limits,
    to_tick,
)
from stablesats.okx_simulator.instrument import BTC_USD_SWAP, Instrument
from stablesats.okx_simulator.replay import Quote, ReplayClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from stablesats.okx_simulator.market import Side
    from stablesats.okx_simulator.replay import PriceReplay

_NO_INSTANT = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class MarketPrice:
    """The prices of one moment, USD for one BTC: margins and profits use *mark_usd* only."""

    bid_usd: Decimal
    ask_usd: Decimal
    last_usd: Decimal
    mark_usd: Decimal
    index_usd: Decimal

    def taker_usd(self, side: Side) -> Decimal:
        """Return what a market order on *side* trades at: a buy lifts the ask, a sell hits the bid."""
        return self.ask_usd if side.sign > 0 else self.bid_usd


@dataclass(frozen=True, slots=True)
class Market:
    """What an order meets: the prices of one moment, the book, and the band that it may trade in."""

    price: MarketPrice
    book: Book
    limits: PriceLimits


@exact
def quote_on_ticks(quote: Quote, tick_usd: Decimal) -> Quote:
    """Return *quote* with prices that an order may name: the ask rounded up, bid and last price down.

    Prices of other venues have finer ticks. What is below the first tick becomes that tick.
    """
    return Quote(
        quote.at,
        max(tick_usd, to_tick(quote.bid_usd, tick_usd, up=False)),
        to_tick(quote.ask_usd, tick_usd, up=True),
        max(tick_usd, to_tick(quote.last_usd, tick_usd, up=False)),
        None if quote.book is None else on_ticks(quote.book, tick_usd),
        quote.index_usd,
    )


class PriceFeed:
    """The current market: prices, and the book that orders trade against, all on the contract's ticks.

    A price set by hand holds until `follow` gives the market back to the replay (or, without one, to the
    configured price). The index is the middle of bid and ask where none is recorded or set, and the mark is
    ``index x (1 + basis)``.

    Args:
        price_usd: The market without a replay.
        replay: A recorded price history.
        monotonic: Seconds of a clock that never goes back.
        basis_ratio: How far the mark stands above the index; 0.001 is a tenth of a percent.
        shape: How a book is made up where none is recorded.
        instrument: Whose ticks and sizes the made-up book has.
        seed: Decides the sizes of the made-up book.
    """

    def __init__(
        self,
        price_usd: Decimal,
        replay: PriceReplay | None,
        *,
        monotonic: Callable[[], float],
        basis_ratio: Decimal = ZERO,
        shape: BookShape | None = None,
        instrument: Instrument = BTC_USD_SWAP,
        seed: int = 0,
    ) -> None:
        tick_usd = instrument.tick_usd
        if replay is not None:
            replay = replace(replay, quotes=tuple(quote_on_ticks(each, tick_usd) for each in replay.quotes))
        self.replay_clock = None if replay is None else ReplayClock(replay, monotonic=monotonic)
        self.basis_ratio = basis_ratio
        self._configured = quote_on_ticks(Quote(_NO_INSTANT, price_usd, price_usd, price_usd), tick_usd)
        self._by_hand: Quote | None = None
        self._shape = shape or BookShape()
        self._instrument = instrument
        self._seed = seed
        self._made_up: tuple[Quote | None, Book] = None, Book((), ())

    @property
    def by_hand(self) -> Quote | None:
        """The price set by hand, if one is."""
        return self._by_hand

    def set_by_hand(
        self,
        bid_usd: Decimal,
        ask_usd: Decimal,
        *,
        book: Book | None = None,
        index_usd: Decimal | None = None,
    ) -> None:
        """Hold the market at these quotes, the last price being their middle."""
        self.hold(Quote(_NO_INSTANT, bid_usd, ask_usd, (bid_usd + ask_usd) / 2, book, index_usd))

    def hold(self, quote: Quote) -> None:
        """Hold the market at *quote*, its prices brought onto ticks."""
        self._by_hand = quote_on_ticks(quote, self._instrument.tick_usd)

    def follow(self) -> None:
        """Forget the price set by hand."""
        self._by_hand = None

    def price(self, monotonic_at: float | None = None) -> MarketPrice:
        """Return the market at a past reading of the monotonic clock, or now."""
        return self.price_of(self.quote(monotonic_at))

    @exact
    def price_of(self, quote: Quote) -> MarketPrice:
        """Return the prices that *quote* stands for."""
        index = quote.mid_usd if quote.index_usd is None else quote.index_usd
        mark = index * (ONE + self.basis_ratio) if self.basis_ratio else index
        return MarketPrice(quote.bid_usd, quote.ask_usd, quote.last_usd, mark_usd=mark, index_usd=index)

    def market(self, monotonic_at: float | None = None) -> Market:
        """Return what an order meets at a past reading of the monotonic clock, or now."""
        return self.market_of(self.quote(monotonic_at))

    def market_of(self, quote: Quote) -> Market:
        """Return the market that *quote* stands for."""
        price, book = self.price_of(quote), self.book_of(quote)
        return Market(price, book, price_limits(price.mark_usd, book, self._instrument))

    def book(self, monotonic_at: float | None = None) -> Book:
        """Return the book at a past reading of the monotonic clock, or now."""
        return self.book_of(self.quote(monotonic_at))

    def book_of(self, quote: Quote) -> Book:
        """Return the recorded book of *quote*, or one made up around it."""
        if quote.book is not None:
            return quote.book
        around, book = self._made_up
        if around is not quote:
            book = made_up_book(
                quote.bid_usd,
                quote.ask_usd,
                shape=self._shape,
                instrument=self._instrument,
                seed=self._seed,
            )
            self._made_up = quote, book
        return book

    def quote(self, monotonic_at: float | None = None) -> Quote:
        """Return the quote that holds at a past reading of the monotonic clock, or now."""
        if self._by_hand is not None:
            return self._by_hand
        if self.replay_clock is not None:
            return self.replay_clock.quote(monotonic_at)
        return self._configured

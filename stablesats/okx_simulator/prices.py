"""Where the exchange's prices come from: one fixed price, a replay, or a price set by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

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


class PriceFeed:
    """The current market price.

    A price set by hand holds until `follow` gives the market back to the replay (or, without one, to the
    configured price). The index is the middle of bid and ask, and the mark is the index: the basis between
    them is zero.
    """

    def __init__(
        self, price_usd: Decimal, replay: PriceReplay | None, *, monotonic: Callable[[], float]
    ) -> None:
        self.replay_clock = None if replay is None else ReplayClock(replay, monotonic=monotonic)
        self._configured = Quote(_NO_INSTANT, price_usd, price_usd, price_usd)
        self._by_hand: Quote | None = None

    def set_by_hand(self, bid_usd: Decimal, ask_usd: Decimal) -> None:
        """Hold the market at these quotes, the last price being their middle."""
        middle = (bid_usd + ask_usd) / 2
        self._by_hand = Quote(_NO_INSTANT, bid_usd, ask_usd, middle)

    def follow(self) -> None:
        """Forget the price set by hand."""
        self._by_hand = None

    def price(self, monotonic_at: float | None = None) -> MarketPrice:
        """Return the market at a past reading of the monotonic clock, or now."""
        quote = self._quote(monotonic_at)
        mid = quote.mid_usd
        return MarketPrice(quote.bid_usd, quote.ask_usd, quote.last_usd, mark_usd=mid, index_usd=mid)

    def _quote(self, monotonic_at: float | None) -> Quote:
        if self._by_hand is not None:
            return self._by_hand
        if self.replay_clock is not None:
            return self.replay_clock.quote(monotonic_at)
        return self._configured

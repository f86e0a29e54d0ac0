"""The order book that orders trade against: levels of depth, and what a taker gets out of them.

The book is the rest of the market's, recorded or made up; the orders of the account are not in it. Its
liquidity is not used up by a trade: it stands again for the next order, as if refilled at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING

from stablesats.okx_simulator.amounts import ONE, ZERO, exact
from stablesats.okx_simulator.market import Side

if TYPE_CHECKING:
    from stablesats.okx_simulator.instrument import Instrument


@dataclass(frozen=True, slots=True)
class Level:
    """Contracts offered by *orders* orders at one price, USD for one BTC."""

    price_usd: Decimal
    contracts: Decimal
    orders: int = 1


@dataclass(frozen=True, slots=True)
class Book:
    """Both sides, best price first; a side may be empty."""

    asks: tuple[Level, ...]
    bids: tuple[Level, ...]

    def against(self, side: Side) -> tuple[Level, ...]:
        """Return what an order on *side* trades with: a buy lifts the asks, a sell hits the bids."""
        return self.asks if side is Side.BUY else self.bids


@dataclass(frozen=True, slots=True, kw_only=True)
class BookShape:
    """How a book is made up around a quote where none is recorded.

    Attributes:
        best_contracts: Size of the best level; None for the largest market order, which then never slips.
        levels: Levels on each side, one tick apart; 0 leaves the market without any offer.
        deeper_contracts: Size of each deeper level; None for sizes that the seed decides.
    """

    best_contracts: Decimal | None = None
    levels: int = 25
    deeper_contracts: Decimal | None = None


@dataclass(frozen=True, slots=True)
class PriceLimits:
    """The highest price to buy and the lowest to sell at; USD for one BTC."""

    max_buy_usd: Decimal
    min_sell_usd: Decimal

    def allow(self, side: Side, price_usd: Decimal) -> bool:
        """Tell whether an order on *side* may name *price_usd*."""
        return price_usd <= self.max_buy_usd if side is Side.BUY else price_usd >= self.min_sell_usd

    def worst_usd(self, side: Side) -> Decimal:
        """Return the worst price that an order on *side* may trade at."""
        return self.max_buy_usd if side is Side.BUY else self.min_sell_usd


@exact
def price_limits(mark_usd: Decimal, book: Book, instrument: Instrument) -> PriceLimits:
    """Return ``M (1 + x)`` and ``M (1 - x)``, widened to the best offers.

    The widening is this exchange's own: recorded spreads of thin markets are wider than the venue's band,
    and would leave nobody able to trade.
    """
    ratio = instrument.price_limit_ratio
    max_buy, min_sell = mark_usd * (ONE + ratio), mark_usd * (ONE - ratio)
    best_ask = book.asks[0].price_usd if book.asks else max_buy
    best_bid = book.bids[0].price_usd if book.bids else min_sell
    return PriceLimits(max(max_buy, best_ask), min(min_sell, best_bid))


def walk(levels: tuple[Level, ...], side: Side, contracts: Decimal, worst_usd: Decimal) -> tuple[Level, ...]:
    """Return what a taker of *contracts* gets, level by level, at *worst_usd* or better.

    Buying 15 from 10 at 100 and 10 at 101 gives 10 at 100 and 5 at 101. The sum is less than *contracts*
    when the book is too thin.
    """
    taken: list[Level] = []
    for level in levels:
        if not contracts or (level.price_usd - worst_usd) * side.sign > 0:
            break
        part = min(contracts, level.contracts)
        if part:
            taken.append(Level(level.price_usd, part))
        contracts -= part
    return tuple(taken)


def reachable_contracts(levels: tuple[Level, ...], side: Side, worst_usd: Decimal) -> Decimal:
    """Return how many contracts are offered at *worst_usd* or better."""
    return sum(
        (level.contracts for level in levels if (level.price_usd - worst_usd) * side.sign <= 0), Decimal(0)
    )


def made_up_book(
    bid_usd: Decimal, ask_usd: Decimal, *, shape: BookShape, instrument: Instrument, seed: int
) -> Book:
    """Return a book around a quote; under one seed and shape it always has the same sizes."""

    def side(best_usd: Decimal, direction: int) -> tuple[Level, ...]:
        if not shape.levels:
            return ()
        sizes = Random(f"{seed}/{direction}")  # noqa: S311 - sizes to look at, not secrets
        levels = [Level(best_usd, shape.best_contracts or instrument.max_market_contracts)]
        for distance in range(1, shape.levels):
            price_usd = best_usd + direction * distance * instrument.tick_usd
            contracts = Decimal(sizes.randint(1, 500))
            orders = sizes.randint(1, 9)
            if price_usd > 0:
                levels.append(Level(price_usd, shape.deeper_contracts or contracts, orders))
        return tuple(levels)

    return Book(asks=side(ask_usd, 1), bids=side(bid_usd, -1))


def on_ticks(book: Book, tick_usd: Decimal) -> Book:
    """Return *book* with every price on a tick, as the venue's are: asks are rounded up, bids down.

    Levels that meet at one price become one; a bid below the first tick is none. Nobody gets a better price.
    """
    return Book(_side_on_ticks(book.asks, tick_usd, up=True), _side_on_ticks(book.bids, tick_usd, up=False))


def to_tick(price_usd: Decimal, tick_usd: Decimal, *, up: bool) -> Decimal:
    """Return the tick at *price_usd*, or the next one above or below it."""
    below = price_usd // tick_usd * tick_usd
    return below + tick_usd if up and below < price_usd else below


@exact
def _side_on_ticks(levels: tuple[Level, ...], tick_usd: Decimal, *, up: bool) -> tuple[Level, ...]:
    if not any(level.price_usd % tick_usd for level in levels):
        return levels
    merged: dict[Decimal, Level] = {}
    for level in levels:
        price_usd = to_tick(level.price_usd, tick_usd, up=up)
        met = merged.get(price_usd, Level(price_usd, ZERO, 0))
        merged[price_usd] = Level(price_usd, met.contracts + level.contracts, met.orders + level.orders)
    return tuple(level for level in merged.values() if level.price_usd)


def without(levels: tuple[Level, ...], contracts: Decimal) -> tuple[Level, ...]:
    """Return *levels* after *contracts* were taken from the best ones."""
    left: list[Level] = []
    for level in levels:
        taken = min(contracts, level.contracts)
        contracts -= taken
        if level.contracts > taken:
            left.append(Level(level.price_usd, level.contracts - taken, level.orders))
    return tuple(left)

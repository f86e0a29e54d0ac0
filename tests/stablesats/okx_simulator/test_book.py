"""Depth: what a taker gets out of a book, and in which band."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx_simulator import BTC_USD_SWAP, Book, BookShape, Level
from stablesats.okx_simulator.book import (
    made_up_book,
    on_ticks,
    price_limits,
    reachable_contracts,
    walk,
    without,
)
from stablesats.okx_simulator.market import Side

D = Decimal
ASKS = (Level(D(100), D(10)), Level(D(101), D(10)), Level(D(103), D(5)))
BIDS = (Level(D(99), D(4)), Level(D(98), D(6)))

levels = st.lists(
    st.tuples(st.integers(1, 50), st.integers(1, 100)), max_size=6, unique_by=lambda level: level[0]
).map(lambda pairs: tuple(Level(D(price), D(size)) for price, size in sorted(pairs)))


def taken(side: Side, contracts: int, worst: int) -> list[tuple[Decimal, Decimal]]:
    offers = ASKS if side is Side.BUY else BIDS
    return [(level.price_usd, level.contracts) for level in walk(offers, side, D(contracts), D(worst))]


@pytest.mark.parametrize(
    ("side", "contracts", "worst", "expected"),
    [
        (Side.BUY, 5, 1000, [(100, 5)]),
        (Side.BUY, 15, 1000, [(100, 10), (101, 5)]),
        (Side.BUY, 15, 100, [(100, 10)]),
        (Side.BUY, 99, 1000, [(100, 10), (101, 10), (103, 5)]),
        (Side.BUY, 5, 99, []),
        (Side.SELL, 5, 1, [(99, 4), (98, 1)]),
        (Side.SELL, 5, 99, [(99, 4)]),
        (Side.SELL, 5, 100, []),
    ],
)
def test_taker_gets_the_best_levels_first_and_none_beyond_its_limit(
    side: Side, contracts: int, worst: int, expected: list[tuple[int, int]]
) -> None:
    """A buy goes up the asks, a sell down the bids."""
    assert taken(side, contracts, worst) == expected


@given(levels, st.integers(1, 400), st.integers(1, 60))
def test_what_is_taken_and_what_is_left_is_what_was_there(
    offers: tuple[Level, ...], contracts: int, worst: int
) -> None:
    """Nothing is traded twice, nothing beyond the limit, and as much as can be."""
    got = walk(offers, Side.BUY, D(contracts), D(worst))
    total = sum((level.contracts for level in got), D(0))
    assert total == min(D(contracts), reachable_contracts(offers, Side.BUY, D(worst)))
    assert all(level.price_usd <= worst for level in got)
    left = sum((level.contracts for level in without(offers, total)), D(0))
    assert left + total == sum((level.contracts for level in offers), D(0))


def test_band_is_half_a_percent_around_the_mark_and_holds_the_best_offers() -> None:
    """50,000 allows 50,250 and 49,750; a wider recorded spread widens it, so that somebody can trade."""
    narrow = Book((Level(D(50_001), D(1)),), (Level(D(49_999), D(1)),))
    limits = price_limits(D(50_000), narrow, BTC_USD_SWAP)
    assert (limits.max_buy_usd, limits.min_sell_usd) == (50_250, 49_750)
    wide = Book((Level(D(51_000), D(1)),), (Level(D(49_000), D(1)),))
    limits = price_limits(D(50_000), wide, BTC_USD_SWAP)
    assert (limits.max_buy_usd, limits.min_sell_usd) == (51_000, 49_000)
    assert limits.allow(Side.BUY, D(51_000))
    assert not limits.allow(Side.SELL, D("48999.9"))


@pytest.mark.parametrize(
    ("shape", "best", "second"),
    [
        ({}, 49_000, None),
        ({"best_contracts": D(30)}, 30, None),
        ({"best_contracts": D(30), "deeper_contracts": D(7)}, 30, 7),
    ],
)
def test_made_up_book_has_the_shape_it_is_given(shape: dict[str, Any], best: int, second: int | None) -> None:
    """By default the best level takes the largest market order; the seed decides what is not given."""

    def book(seed: int) -> Book:
        return made_up_book(D(100), D("100.5"), shape=BookShape(**shape), instrument=BTC_USD_SWAP, seed=seed)

    made = book(1)
    assert made == book(1)
    assert (made.asks[0].price_usd, made.bids[0].price_usd) == (D("100.5"), 100)
    assert made.asks[1].price_usd - made.asks[0].price_usd == BTC_USD_SWAP.tick_usd
    assert made.asks[0].contracts == best
    if second is not None:
        assert {level.contracts for level in made.asks[1:]} == {second}


def test_market_may_have_no_offers_at_all() -> None:
    """No level on either side: nobody can trade at the market."""
    book = made_up_book(D(100), D(100), shape=BookShape(levels=0), instrument=BTC_USD_SWAP, seed=0)
    assert book == Book((), ())


def test_prices_below_zero_are_left_out() -> None:
    """A price of a few ticks has only so many bids."""
    book = made_up_book(D("0.3"), D("0.4"), shape=BookShape(), instrument=BTC_USD_SWAP, seed=0)
    assert [level.price_usd for level in book.bids] == [D("0.3"), D("0.2"), D("0.1")]


def test_levels_of_finer_ticks_meet_on_the_contract_s() -> None:
    """Asks go up, bids down; what meets at one price is one level, what falls to nothing is none."""
    asks = (Level(D("100.01"), D(1)), Level(D("100.1"), D(2), 3), Level(D("100.11"), D(4)))
    bids = (Level(D("99.99"), D(1)), Level(D("99.91"), D(2)), Level(D("0.01"), D(9)))
    assert on_ticks(Book(asks, bids), D("0.1")) == Book(
        (Level(D("100.1"), D(3), 4), Level(D("100.2"), D(4))), (Level(D("99.9"), D(3), 2),)
    )


def test_book_that_is_on_ticks_stays_as_it_is() -> None:
    """Not even a copy is made: there are hundreds of levels a message."""
    book = on_ticks(Book(ASKS, BIDS), D("0.1"))
    assert book.asks is ASKS
    assert book.bids is BIDS

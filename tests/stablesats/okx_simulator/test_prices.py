"""The market price: configured, replayed, or set by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from stablesats.okx_simulator import PriceReplay, Quote
from stablesats.okx_simulator.market import Side
from stablesats.okx_simulator.prices import PriceFeed

START = datetime(2017, 9, 4, tzinfo=UTC)
REPLAY = PriceReplay(
    tuple(
        Quote(START + timedelta(seconds=second), Decimal(bid), Decimal(bid + 2), Decimal(bid))
        for second, bid in enumerate((4000, 4100))
    )
)


def test_sells_hit_the_bid_buys_lift_the_ask_and_the_mark_is_between(clock: Any) -> None:
    """Bid 4,000 and ask 4,002 have their mark and index at 4,001."""
    price = PriceFeed(Decimal(1), REPLAY, monotonic=clock.monotonic).price()
    assert (price.taker_usd(Side.SELL), price.taker_usd(Side.BUY)) == (4000, 4002)
    assert (price.mark_usd, price.index_usd, price.last_usd) == (4001, 4001, 4000)


def test_price_set_by_hand_holds_until_released(clock: Any) -> None:
    """The replay goes on behind it."""
    feed = PriceFeed(Decimal(1), REPLAY, monotonic=clock.monotonic)
    assert feed.replay_clock is not None
    feed.replay_clock.start()
    feed.set_by_hand(Decimal(10), Decimal(12))
    clock.advance(1)
    assert feed.price().mark_usd == 11
    feed.follow()
    assert feed.price().bid_usd == 4100


def test_without_replay_the_configured_price_has_no_spread(clock: Any) -> None:
    """A market order fills at exactly the configured price."""
    price = PriceFeed(Decimal(50_000), None, monotonic=clock.monotonic).price()
    assert price.bid_usd == price.ask_usd == price.last_usd == price.mark_usd == 50_000

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


def test_prices_of_finer_ticks_are_brought_onto_the_contract_s(clock: Any) -> None:
    """Nobody gets a better price than was recorded: the ask is rounded up, the bid down; the mark is their middle."""
    finer = Quote(START, Decimal("60590.01"), Decimal("60590.02"), Decimal("60590.015"))
    feed = PriceFeed(Decimal("7.77"), PriceReplay((finer,)), monotonic=clock.monotonic)
    shown = [feed.price()]
    feed.set_by_hand(Decimal("99.99"), Decimal("99.99"))
    shown.append(feed.price())
    feed = PriceFeed(Decimal("7.77"), None, monotonic=clock.monotonic)
    shown.append(feed.price())
    assert [(str(each.bid_usd), str(each.ask_usd), str(each.last_usd)) for each in shown] == [
        ("60590.0", "60590.1", "60590.0"), ("99.9", "100.0", "99.9"), ("7.7", "7.8", "7.7")
    ]  # fmt: skip
    assert [str(each.mark_usd) for each in shown] == ["60590.05", "99.95", "7.75"]


def test_price_below_the_first_tick_is_the_first_tick(clock: Any) -> None:
    """Bitcoin cost six cents once; a price of nothing would break every formula."""
    quote = Quote(START, *[Decimal("0.06")] * 3)
    price = PriceFeed(Decimal(1), PriceReplay((quote,)), monotonic=clock.monotonic).price()
    assert price.bid_usd == price.ask_usd == price.last_usd == Decimal("0.1")

"""The exchange's own time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from stablesats.okx_simulator.market_clock import MarketClock


@pytest.fixture
def market(clock: Any) -> MarketClock:
    return MarketClock(now=clock.now, monotonic=clock.monotonic)


def test_untouched_it_is_the_machines(market: MarketClock, clock: Any) -> None:
    """To the last digit."""
    clock.advance(7.3)
    assert (market.now(), market.monotonic(), market.ahead_secs) == (clock.now(), clock.seconds, 0)


def test_it_runs_faster_from_then_on(market: MarketClock, clock: Any) -> None:
    """Ten seconds at sixty are ten minutes; both clocks agree, and slowing down keeps what was gained."""
    began = market.now()
    clock.advance(5)
    market.run(60)
    clock.advance(10)
    assert market.now() - began == timedelta(seconds=605)
    assert market.monotonic() == 1605
    market.run(1)
    clock.advance(1)
    assert market.now() - began == timedelta(seconds=606)


def test_it_can_skip_ahead(market: MarketClock, clock: Any) -> None:
    """An hour at once."""
    market.skip(3600)
    assert market.now() - clock.now() == timedelta(hours=1)
    assert market.monotonic() - clock.seconds == 3600


def test_both_clocks_translate_into_each_other(market: MarketClock, clock: Any) -> None:
    """A reading of one names a time of the other."""
    market.run(10)
    clock.advance(3)
    earlier = market.monotonic() - 4
    assert market.now() - market.at(earlier) == timedelta(seconds=4)
    assert market.monotonic_of(market.at(earlier)) == pytest.approx(earlier)

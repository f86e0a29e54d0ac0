"""The replayed price history and its clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.errors import ConfigurationError
from stablesats.okx_simulator import PriceReplay, Quote, ReplayClock
from stablesats.okx_simulator.replay import MAX_SPEED

START = datetime(2017, 9, 4, tzinfo=UTC)


def quote(minute: int, price: int) -> Quote:
    return Quote(START + timedelta(minutes=minute), Decimal(price), Decimal(price + 1), Decimal(price))


REPLAY = PriceReplay((quote(0, 4000), quote(1, 4100), quote(5, 3900)), speed=Decimal(60))


@pytest.mark.parametrize(
    ("elapsed_secs", "minute", "price"),
    [(0.0, 0, 4000), (0.5, 0.5, 4000), (1.0, 1, 4100), (4.9, 4.9, 4100), (5.0, 5, 3900), (1e12, 5, 3900)],
)
def test_clock_runs_at_its_speed_and_shows_the_last_quote_before_it(
    clock: Any, elapsed_secs: float, minute: float, price: int
) -> None:
    """At speed 60 a second is a minute; after the end the last quote holds."""
    replay_clock = ReplayClock(REPLAY, monotonic=clock.monotonic)
    replay_clock.start()
    clock.seconds += elapsed_secs
    assert replay_clock.at() == START + timedelta(minutes=minute)
    assert replay_clock.quote().last_usd == price
    assert replay_clock.finished is (elapsed_secs >= 5)


def test_clock_at_the_highest_speed_stops_at_the_end(clock: Any) -> None:
    """Also when what has passed by then fits no timedelta."""
    replay_clock = ReplayClock(PriceReplay(REPLAY.quotes, speed=MAX_SPEED), monotonic=clock.monotonic)
    replay_clock.start()
    clock.seconds += 1e12
    assert (replay_clock.at(), replay_clock.finished) == (REPLAY.ends_at, True)


def test_clock_waits_until_started_and_holds_while_paused(clock: Any) -> None:
    """Time that passes before the start or in a pause is not replayed."""
    replay_clock = ReplayClock(REPLAY, monotonic=clock.monotonic)
    clock.seconds += 100
    assert (replay_clock.at(), replay_clock.started) == (START, False)
    replay_clock.start()
    clock.seconds += 2
    replay_clock.pause()
    clock.seconds += 100
    assert (replay_clock.at(), replay_clock.started) == (START + timedelta(minutes=2), True)
    replay_clock.start()
    replay_clock.start()
    clock.seconds += 1
    assert replay_clock.at() == START + timedelta(minutes=3)


@given(st.integers(min_value=-10, max_value=20))
def test_quote_is_never_from_the_future(minute: int) -> None:
    """Only before the first quote the first one is shown early."""
    at = START + timedelta(minutes=minute)
    assert REPLAY.quote_at(at).at <= max(at, START)


@pytest.mark.parametrize(
    ("quotes", "speed", "message"),
    [
        ((), Decimal(1), "no quotes"),
        ((quote(1, 1), quote(1, 1)), Decimal(1), "ascend"),
        ((quote(2, 1), quote(1, 1)), Decimal(1), "ascend"),
        ((quote(0, 1),), Decimal(0), "speed is 0"),
        ((quote(0, 1),), Decimal("NaN"), "speed is NaN"),
        ((quote(0, 1),), Decimal("Infinity"), "speed is Infinity"),
        ((quote(0, 1),), Decimal("1e300"), "at most 1,000,000"),
        ((quote(0, 1),), MAX_SPEED + 1, "at most 1,000,000"),
        ((Quote(datetime(2017, 1, 1), Decimal(1), Decimal(1), Decimal(1)),), Decimal(1), "time zone"),  # noqa: DTZ001
    ],
)
def test_impossible_replay_is_refused(quotes: tuple[Quote, ...], speed: Decimal, message: str) -> None:
    """The message says which rule is broken."""
    with pytest.raises(ConfigurationError, match=message):
        PriceReplay(quotes, speed)


@pytest.mark.parametrize(("bid", "ask"), [("0", "1"), ("2", "1"), ("1", "1e400"), ("-1", "1")])
def test_history_with_an_absurd_price_is_refused(bid: str, ask: str) -> None:
    """The message names the quote and the bound."""
    quotes = (quote(0, 4000), Quote(START + timedelta(days=1), Decimal(bid), Decimal(ask), Decimal(1)))
    with pytest.raises(
        ConfigurationError, match=r"2017-09-05T00:00:00\+00:00 must satisfy 0 < bid <= ask <= 1"
    ):
        PriceReplay(quotes)

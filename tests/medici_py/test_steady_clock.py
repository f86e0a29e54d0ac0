"""Recorded times go on while the wall clock is set back."""

import datetime as dt
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import Book
from medici_py.steady_clock import FOLLOWED_AT_ONCE, SteadyClock

Bank = AsyncDatabase[dict[str, Any]]

NOON = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
MILLISECOND = dt.timedelta(milliseconds=1)


class Clocks:
    """A wall clock that is set now and then, and one that never is."""

    def __init__(self) -> None:
        self.wall = NOON
        self.monotonic_ns = 5_000_000_000
        self.steady = SteadyClock(lambda: self.wall, lambda: self.monotonic_ns)

    def go_on(self, by: dt.timedelta) -> None:
        self.wall += by
        self.monotonic_ns += by // dt.timedelta(microseconds=1) * 1_000

    def set_by(self, step: dt.timedelta) -> None:
        self.wall += step


def test_it_is_the_wall_clock_as_long_as_that_goes_on() -> None:
    """Also when that is set forward."""
    clocks = Clocks()
    for step in (0 * SECOND, MILLISECOND, SECOND, 0 * SECOND):
        clocks.go_on(step)
        assert clocks.steady() == clocks.wall
    clocks.set_by(3_600 * SECOND)
    assert clocks.steady() == NOON + MILLISECOND + 3_601 * SECOND


def test_it_runs_at_half_the_pace_until_a_clock_set_back_has_caught_up() -> None:
    """Ten seconds back: so twenty seconds."""
    clocks = Clocks()
    clocks.steady()
    clocks.set_by(-10 * SECOND)
    said = []
    for _ in range(24):
        clocks.go_on(SECOND)
        said.append((clocks.steady() - NOON) / SECOND)
    assert said == [*(half / 2 for half in range(1, 19)), 9, 10, 11, 12, 13, 14]


def test_a_pace_below_a_millisecond_a_reading_adds_up() -> None:
    """However often it is read."""
    clocks = Clocks()
    clocks.steady()
    clocks.set_by(-10 * SECOND)
    for _ in range(20_000):
        clocks.go_on(dt.timedelta(microseconds=100))
        clocks.steady()
    assert clocks.steady() == NOON + SECOND


def test_a_clock_that_was_wrong_by_a_lot_is_followed(caplog: pytest.LogCaptureFixture) -> None:
    """It would be waited for too long; a warning says so, once."""
    clocks = Clocks()
    clocks.steady()
    clocks.set_by(-FOLLOWED_AT_ONCE)
    assert clocks.steady() == NOON
    clocks.set_by(-MILLISECOND)
    with caplog.at_level(logging.WARNING):
        assert [clocks.steady(), clocks.steady()] == [NOON - FOLLOWED_AT_ONCE - MILLISECOND] * 2
    assert [record.getMessage() for record in caplog.records] == [
        f"the wall clock was set back from {NOON} to {clocks.wall}: recorded times go back"
    ]


@pytest.mark.parametrize(
    ("idle_secs", "back_secs", "ahead_secs"),
    [
        (14_400, 10_800, 0),
        (3_600, 3_590, 0),
        (3_600, 3_610, 20 + 10),
        (3_600, 3_629, 1 + 29),
        (40, 50, 20 + 10),
    ],
)
def test_step_back_while_nobody_asked_leaves_it_ahead_by_little(
    idle_secs: int, back_secs: int, ahead_secs: int
) -> None:
    """However long that was: at most what is followed at once, and nothing if the wall clock is past it."""
    clocks = Clocks()
    clocks.steady()
    clocks.go_on(idle_secs * SECOND)
    clocks.set_by(-back_secs * SECOND)
    assert clocks.steady() - clocks.wall == ahead_secs * SECOND


steps = st.timedeltas(-3 * FOLLOWED_AT_ONCE, 3 * FOLLOWED_AT_ONCE)
passing = st.timedeltas(dt.timedelta(0), 4 * FOLLOWED_AT_ONCE)


@given(st.lists(st.tuples(steps, passing), max_size=10))
def test_it_goes_back_only_with_a_warning_and_is_never_far_from_the_wall_clock(
    turns: list[tuple[dt.timedelta, dt.timedelta]],
) -> None:
    """Never behind it, and ahead by no more than what is followed at once."""
    clocks = Clocks()
    last = clocks.steady()
    for step, passed in turns:
        clocks.set_by(step)
        clocks.go_on(passed)
        said = clocks.steady()
        assert clocks.wall - MILLISECOND < said <= clocks.wall + FOLLOWED_AT_ONCE
        assert said >= last or last - clocks.wall > FOLLOWED_AT_ONCE - MILLISECOND
        last = said


async def test_journals_keep_their_order_in_a_book_whose_clock_is_set_back(bank: Bank) -> None:
    """By their recorded times: what was posted later was recorded later."""
    clocks = Clocks()
    book = Book("Bank", bank, clock=clocks.steady)
    posted = []
    for step in (0, -5, 1, -20, 2):
        clocks.set_by(step * SECOND)
        clocks.go_on(SECOND)
        journal = await book.entry("payment").debit("Assets", 1).credit("Income", 1).commit()
        posted.append(journal.id)
    legs = bank["medici_transactions"].find({"accounts": "Assets"}).sort("timestamp", 1)
    times = {leg["_journal"]: leg["timestamp"] async for leg in legs}
    assert list(times) == posted
    assert len(set(times.values())) == len(posted)

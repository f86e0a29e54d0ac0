"""The posting rate."""

import pytest

from stablesats.demo.rate import RateMeter


def test_no_rate_before_the_second_sample() -> None:
    """One point has no slope."""
    meter = RateMeter()
    assert meter.per_second == 0
    meter.add(1.0, 100)
    assert meter.per_second == 0


def test_rate_is_the_growth_of_the_last_five_seconds() -> None:
    """0 to 10 s at 10 a second, then five seconds at 100 a second: what counts is the latter."""
    meter = RateMeter()
    for second in range(11):
        meter.add(float(second), 10 * second)
    for second in range(1, 6):
        meter.add(10.0 + second, 100 + 100 * second)
    assert meter.per_second == pytest.approx(100)


def test_samples_of_the_same_instant_give_no_rate() -> None:
    """A clock that stands still is no division by zero."""
    meter = RateMeter()
    meter.add(1.0, 1)
    meter.add(1.0, 2)
    assert meter.per_second == 0

"""What the demo can be asked to do."""

from decimal import Decimal

import pytest

from stablesats.data import SELL_OFF_2017, SPRING_2016, TWO_DAYS_2017, PriceHistory
from stablesats.demo.settings import DemoSettings
from stablesats.errors import ConfigurationError


@pytest.mark.parametrize(
    ("days", "history"), [(1, SELL_OFF_2017), (2, TWO_DAYS_2017), (3, SPRING_2016), (22, SPRING_2016)]
)
def test_the_shortest_history_that_is_long_enough_is_replayed(days: int, history: PriceHistory) -> None:
    """One and two days are the sell-off of 2017, more are the spring of 2016."""
    assert DemoSettings.checked(days=days, speed=None).history is history


@pytest.mark.parametrize(("days", "speed"), [(1, 2_400), (2, 4_800)])
def test_without_a_speed_every_replay_takes_36_seconds(days: int, speed: int) -> None:
    """86,400 s a day over 36 s."""
    assert DemoSettings.checked(days=days, speed=None).speed == speed


def test_a_given_speed_is_kept() -> None:
    """It wins over the default."""
    assert DemoSettings.checked(days=1, speed=Decimal("7.5")).speed == Decimal("7.5")


def test_more_days_than_recorded_are_refused_with_the_limit() -> None:
    """23 is one too many."""
    with pytest.raises(ConfigurationError, match=r"--days 23 .* 22 days"):
        DemoSettings.checked(days=23, speed=None)


def test_a_database_password_is_not_in_the_repr() -> None:
    """Settings end up in logs and tracebacks."""
    assert "hunter2" not in repr(
        DemoSettings.checked(days=1, speed=None, mongodb_uri="mongodb://u:hunter2@h/")
    )

"""One rule for the dates of entries and of queries."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medici_py.instants import parse_instant, utc_now

UTC = dt.UTC
EPOCH = dt.datetime(1970, 1, 1, tzinfo=UTC)
CET = dt.timezone(dt.timedelta(hours=1))


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        (
            dt.datetime(2024, 5, 1, 12, 0, 0, 123_999, tzinfo=UTC),
            dt.datetime(2024, 5, 1, 12, 0, 0, 123_000, tzinfo=UTC),
        ),
        (dt.datetime(2024, 5, 1, 13, tzinfo=CET), dt.datetime(2024, 5, 1, 12, tzinfo=UTC)),
        (dt.date(2024, 5, 1), dt.datetime(2024, 5, 1, tzinfo=UTC)),
        (0, EPOCH),
        (-1, EPOCH - dt.timedelta(milliseconds=1)),
        (1_714_564_800_000, dt.datetime(2024, 5, 1, 12, tzinfo=UTC)),
        ("1714564800000", dt.datetime(2024, 5, 1, 12, tzinfo=UTC)),
        ("0", EPOCH),
        ("2024-05-01", dt.datetime(2024, 5, 1, tzinfo=UTC)),
        ("2024-05-01T12:00:00Z", dt.datetime(2024, 5, 1, 12, tzinfo=UTC)),
        ("2024-05-01T13:00:00.5+01:00", dt.datetime(2024, 5, 1, 12, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_instant_is_aware_utc_to_the_millisecond(value: Any, instant: dt.datetime) -> None:
    """Datetimes, dates, milliseconds, digits and ISO texts mean one instant; microseconds are cut."""
    assert instant == parse_instant(value)


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(2024, 5, 1, 12),  # noqa: DTZ001 - the case
        "2024-05-01T12:00:00",
        "tomorrow",
        "",
        True,
        1.5,
        {},
        [],
        10**18,
        "999999999999999",
    ],
)
def test_anything_without_one_meaning_is_refused(value: Any) -> None:
    """No zone, no date, no year from 1 to 9999: refused."""
    with pytest.raises(ValueError, match=r"zone|instant|ISO 8601|outside"):
        parse_instant(value)


@given(
    value=st.datetimes(
        timezones=st.timezones(),
        allow_imaginary=False,
        min_value=dt.datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        max_value=dt.datetime(9998, 1, 1),  # noqa: DTZ001
    )
)
def test_reading_an_instant_again_changes_nothing(value: dt.datetime) -> None:
    """An instant is at most a millisecond before what was given, and reads back as itself."""
    instant = parse_instant(value)
    assert instant == parse_instant(instant) == parse_instant(instant.isoformat())
    assert dt.timedelta(0) <= value - instant < dt.timedelta(milliseconds=1)


def test_clock_gives_what_bson_holds() -> None:
    """The default clock is aware and whole milliseconds."""
    now = utc_now()
    assert now == parse_instant(now)


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-1))),
        dt.datetime.min.replace(tzinfo=CET),
        "9999-12-31T23:30:00-01:00",
    ],
    ids=str,
)
def test_instant_past_the_ends_of_the_calendar_is_refused(value: Any) -> None:
    """Its zone puts it into a year that UTC does not have."""
    with pytest.raises(ValueError, match="years 1 to 9999"):
        parse_instant(value)

"""Stretches of days are covered by few spans, each day once."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medici_py.calendar_spans import Grain, SpanRange, covering, spans_of

DAY, MONTH, YEAR = Grain.DAY, Grain.MONTH, Grain.YEAR
DAYS = st.one_of(st.dates(), st.dates(dt.date(2023, 11, 20), dt.date(2025, 2, 10)))


def date(text: str | None) -> dt.date | None:
    return None if text is None else dt.date.fromisoformat(text)


def times_covered(day: dt.date, ranges: tuple[SpanRange, ...]) -> int:
    spans = dict(spans_of(day.isoformat()))
    return sum(
        (one.first is None or one.first <= spans[one.grain])
        and (one.beyond is None or spans[one.grain] < one.beyond)
        for one in ranges
    )


def test_spans_of_day() -> None:
    """A day lies in itself, its month and its year."""
    assert spans_of("2026-11-21") == ((DAY, "2026-11-21"), (MONTH, "2026-11"), (YEAR, "2026"))
    assert spans_of("0007-01-02") == ((DAY, "0007-01-02"), (MONTH, "0007-01"), (YEAR, "0007"))


@pytest.mark.parametrize(
    ("first", "beyond", "ranges"),
    [
        ("2026-11-21", "2026-11-21", []),
        ("2026-11-22", "2026-11-21", []),
        ("2026-11-20", "2026-11-22", [(DAY, "2026-11-20", "2026-11-22")]),
        ("2026-11-01", "2026-12-01", [(MONTH, "2026-11", "2026-12")]),
        ("2026-10-31", "2026-12-01", [(DAY, "2026-10-31", "2026-11-01"), (MONTH, "2026-11", "2026-12")]),
        ("2026-01-01", "2027-01-01", [(YEAR, "2026", "2027")]),
        ("2025-12-01", "2026-02-01", [(MONTH, "2025-12", "2026-02")]),
        (
            "2024-12-31",
            "2026-02-02",
            [
                (DAY, "2024-12-31", "2025-01-01"),
                (YEAR, "2025", "2026"),
                (MONTH, "2026-01", "2026-02"),
                (DAY, "2026-02-01", "2026-02-02"),
            ],
        ),
        (
            None,
            "2026-11-21",
            [
                (YEAR, None, "2026"),
                (MONTH, "2026-01", "2026-11"),
                (DAY, "2026-11-01", "2026-11-21"),
            ],
        ),
        (None, "2026-01-01", [(YEAR, None, "2026")]),
        ("2026-11-30", None, [(DAY, "2026-11-30", "2026-12-01"), (MONTH, "2026-12", "2027-01"), (YEAR, "2027", None)]),
        ("9999-12-31", None, [(DAY, "9999-12-31", None)]),
        ("9999-02-01", None, [(MONTH, "9999-02", None)]),
        (None, None, [(YEAR, None, None)]),
    ],
)  # fmt: skip
def test_stretch_is_covered_by_longest_spans(
    first: str | None, beyond: str | None, ranges: list[tuple[Grain, str | None, str | None]]
) -> None:
    """Years where whole years lie inside, months at their sides, days at the ends."""
    assert covering(date(first), date(beyond)) == tuple(SpanRange(*one) for one in ranges)


@given(st.none() | DAYS, st.none() | DAYS, DAYS)
def test_every_day_is_covered_once_if_inside_and_never_if_outside(
    first: dt.date | None, beyond: dt.date | None, day: dt.date
) -> None:
    """Sums over the spans are sums over the days."""
    inside = (first is None or first <= day) and (beyond is None or day < beyond)
    assert times_covered(day, covering(first, beyond)) == int(inside)


@given(st.none() | DAYS, st.none() | DAYS)
def test_ranges_are_few(first: dt.date | None, beyond: dt.date | None) -> None:
    """Two of days, two of months, one of years."""
    assert len(covering(first, beyond)) <= 5

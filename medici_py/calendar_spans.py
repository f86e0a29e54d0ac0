"""Days, months and years as text, and how few of them cover a stretch of days.

A span is one day (``"2026-11-21"``), month (``"2026-11"``) or year (``"2026"``) in UTC. Spans of one grain
sort as text, so a run of them is a range of texts.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

_MONTHS = 12


class Grain(StrEnum):
    """How long a span is."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class SpanRange:
    """Consecutive spans of one grain.

    Attributes:
        grain: How long each is.
        first: The first one; None for no bound.
        beyond: The first one that is not among them; None for no bound.
    """

    grain: Grain
    first: str | None
    beyond: str | None


def spans_of(day: str) -> tuple[tuple[Grain, str], ...]:
    """Return the spans that a day, ``"2026-11-21"``, lies in."""
    return (Grain.DAY, day), (Grain.MONTH, day[:7]), (Grain.YEAR, day[:4])


def covering(first: dt.date | None, beyond: dt.date | None) -> tuple[SpanRange, ...]:
    """Cover the days from *first* up to *beyond*, which is not among them, each exactly once.

    Whole years are taken as years and whole months as months: at most five ranges and some 110 spans beside
    the years, however long the stretch is.

    Args:
        first: The first day; None for all days before *beyond*.
        beyond: The day after the last one; None for all days from *first* on.

    Returns:
        Ranges of spans; none if there is no such day.
    """
    if first is not None and beyond is not None and first >= beyond:
        return ()
    return tuple(_ranges(first, beyond))


def _ranges(first: dt.date | None, beyond: dt.date | None) -> Iterator[SpanRange]:
    since = None if first is None else _month(first) + (first.day > 1)
    until = None if beyond is None else _month(beyond)
    if since is not None and until is not None and since >= until:
        yield SpanRange(Grain.DAY, _text(first), _text(beyond))
        return
    if first is not None and first.day > 1:
        yield SpanRange(Grain.DAY, _text(first), _first_day(since))
    yield from _months_and_years(since, until)
    if beyond is not None and beyond.day > 1:
        yield SpanRange(Grain.DAY, _first_day(until), _text(beyond))


def _months_and_years(since: int | None, until: int | None) -> Iterator[SpanRange]:
    """Cover the months from *since* up to *until*, both counted from year 0."""
    first_year = None if since is None else -(-since // _MONTHS)
    beyond_year = None if until is None else until // _MONTHS
    if first_year is not None and beyond_year is not None and first_year >= beyond_year:
        yield SpanRange(Grain.MONTH, _month_text(since), _month_text(until))
        return
    if first_year is not None and since != first_year * _MONTHS:
        yield SpanRange(Grain.MONTH, _month_text(since), _month_text(first_year * _MONTHS))
    if first_year is None or first_year <= dt.MAXYEAR:
        yield SpanRange(Grain.YEAR, _year_text(first_year), _year_text(beyond_year))
    if beyond_year is not None and until != beyond_year * _MONTHS:
        yield SpanRange(Grain.MONTH, _month_text(beyond_year * _MONTHS), _month_text(until))


def _month(day: dt.date) -> int:
    return day.year * _MONTHS + day.month - 1


def _text(day: dt.date | None) -> str | None:
    return None if day is None else day.isoformat()


def _first_day(month: int | None) -> str | None:
    text = _month_text(month)
    return None if text is None else f"{text}-01"


def _month_text(month: int | None) -> str | None:
    # What would be the year 10000 is no bound: nothing lies beyond it, and as text it sorts elsewhere.
    if month is None or month >= (dt.MAXYEAR + 1) * _MONTHS:
        return None
    return f"{month // _MONTHS:04}-{month % _MONTHS + 1:02}"


def _year_text(year: int | None) -> str | None:
    return None if year is None else f"{year:04}"

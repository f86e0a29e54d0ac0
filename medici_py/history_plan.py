"""What to read for the turnover of a past moment: spans that are rolled up, and legs at their edges. Pure."""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

from medici_py.calendar_spans import SpanRange, covering
from medici_py.query import LegQuery
from medici_py.rollup_rows import Kind

REACH = dt.timedelta(days=1)
"""How far back legs are taken off the running balances of a book that is not rolled up."""

WIDE_REACH = dt.timedelta(days=31)
"""How much recorded time is taken off the spans of effective days, rather than reading the entries."""

_MILLISECOND = dt.timedelta(milliseconds=1)
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Reading:
    """What adds up to an answer.

    Attributes:
        kind: The kind of the spans.
        spans: Spans to add.
        added: Legs to add.
        removed: Legs to take off.
        from_running: Whether to begin with the running balances instead of spans.
    """

    kind: Kind
    spans: tuple[SpanRange, ...] = ()
    added: tuple[LegQuery, ...] = ()
    removed: tuple[LegQuery, ...] = ()
    from_running: bool = False


def plan_reading(query: LegQuery, *, covered: dt.datetime | None, now: dt.datetime) -> Reading | None:
    """Choose what to read for *query*.

    Args:
        query: Bounded by dates, by a recorded time, or by both.
        covered: Legs recorded before this midnight UTC are rolled up; None if none are.
        now: The time, which decides only what is quicker to read.

    Returns:
        What to read; None if the entries are as quick, or nothing else answers it.
    """
    if any(_is_outermost_day(bound) for bound in (query.at, query.start, query.end)):
        return None  # Its spans hold what lies outside the years 1 to 9999, too.
    if query.start is None and query.end is None:
        return None if query.at is None else _as_recorded(query, query.at, covered, now)
    return None if covered is None else _as_effective(query, covered)


def _as_recorded(
    query: LegQuery, at: dt.datetime, covered: dt.datetime | None, now: dt.datetime
) -> Reading | None:
    beyond = None if covered is None else min(_first_day_not_over(at), covered.date())
    if now - at <= (REACH if beyond is None else at - _midnight(beyond)):
        later = replace(query, at=None, conditions=_later(query, at))
        return Reading(Kind.RECORDED, removed=(later,), from_running=True)
    if beyond is None:
        return None
    rest = () if at < _midnight(beyond) else (_recorded(query, since=_midnight(beyond)),)
    return Reading(Kind.RECORDED, covering(None, beyond), added=rest)


def _as_effective(query: LegQuery, covered: dt.datetime) -> Reading | None:
    first = None if query.start is None else _first_whole_day(query.start)
    beyond = None if query.end is None else _first_day_not_over(query.end)
    spans = covering(first, beyond)
    if not spans:
        return None
    edges: list[LegQuery] = []
    whole = query
    if first is not None and query.start is not None:
        whole = replace(whole, start=_midnight(first))
        if query.start < _midnight(first):
            edges.append(replace(query, end=_midnight(first) - _MILLISECOND))
    if beyond is not None and query.end is not None:
        whole = replace(whole, end=_midnight(beyond) - _MILLISECOND)
        if query.end >= _midnight(beyond):
            edges.append(replace(query, start=_midnight(beyond)))
    if query.at is None or query.at >= covered:
        return Reading(Kind.EFFECTIVE, spans, added=(*edges, _recorded(whole, since=covered)))
    if covered - query.at > WIDE_REACH:
        return None
    later = replace(whole, at=None, conditions=_later(query, query.at, before=covered))
    return Reading(Kind.EFFECTIVE, spans, added=tuple(edges), removed=(later,))


def _recorded(query: LegQuery, *, since: dt.datetime) -> LegQuery:
    return replace(query, conditions={**query.conditions, "timestamp": {"$gte": since}})


def _later(query: LegQuery, at: dt.datetime, *, before: dt.datetime | None = None) -> dict[str, Any]:
    bounds = {"$gt": at} if before is None else {"$gt": at, "$lt": before}
    return {**query.conditions, "timestamp": bounds}


def _is_outermost_day(instant: dt.datetime | None) -> bool:
    return instant is not None and instant.date() in (dt.date.min, dt.date.max)


def _first_whole_day(start: dt.datetime) -> dt.date | None:
    """Return the first day that lies at or after *start* as a whole."""
    day = start.date()
    return day if start == _midnight(day) else day + _DAY


def _first_day_not_over(end: dt.datetime) -> dt.date:
    """Return the first day of which something is later than *end*, an inclusive bound."""
    day = end.date()
    return day if end < _midnight(day) + _DAY - _MILLISECOND else day + _DAY


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)

"""Which spans and which legs add up to an answer about the past."""

import datetime as dt
from dataclasses import replace

import pytest

from medici_py.calendar_spans import Grain, SpanRange
from medici_py.history_plan import Reading, plan_reading
from medici_py.query import LegQuery
from medici_py.rollup_rows import Kind

MS = dt.timedelta(milliseconds=1)
NOW = dt.datetime(2026, 11, 21, 15, tzinfo=dt.UTC)
COVERED = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
ASKED = LegQuery("Bank", (("Assets",),), {"meta.currency": "BTC"})


def moment(month: int, day: int, hour: int = 0) -> dt.datetime:
    return dt.datetime(2026, month, day, hour, tzinfo=dt.UTC)


def recorded(since: dt.datetime, **bounds: object) -> LegQuery:
    return replace(ASKED, conditions={**ASKED.conditions, "timestamp": {"$gte": since}}, **bounds)


def later(**bounds: dt.datetime) -> dict[str, object]:
    return {**ASKED.conditions, "timestamp": {f"${name}": bound for name, bound in bounds.items()}}


def plan(*, covered: dt.datetime | None = COVERED, **bounds: dt.datetime) -> Reading | None:
    return plan_reading(replace(ASKED, **bounds), covered=covered, now=NOW)


YEARS = SpanRange(Grain.YEAR, None, "2026")


def months(beyond: str) -> SpanRange:
    return SpanRange(Grain.MONTH, "2026-01", beyond)


def days(month: str, beyond: str) -> SpanRange:
    return SpanRange(Grain.DAY, f"{month}-01", beyond)


@pytest.mark.parametrize(
    ("at", "spans", "rest"),
    [
        (moment(3, 2, 9), (YEARS, months("2026-03"), days("2026-03", "2026-03-02")), moment(3, 2)),
        (moment(3, 2), (YEARS, months("2026-03"), days("2026-03", "2026-03-02")), moment(3, 2)),
        (moment(3, 2) - MS, (YEARS, months("2026-03"), days("2026-03", "2026-03-02")), None),
        (moment(3, 1) - MS, (YEARS, months("2026-03")), None),
        (COVERED - MS, (YEARS, months("2026-11"), days("2026-11", "2026-11-20")), None),
        (COVERED, (YEARS, months("2026-11"), days("2026-11", "2026-11-20")), COVERED),
        (moment(11, 20, 18), (YEARS, months("2026-11"), days("2026-11", "2026-11-20")), COVERED),
    ],
)
def test_recorded_moment_reads_whole_spans_and_the_rest_of_one_day(
    at: dt.datetime, spans: tuple[SpanRange, ...], rest: dt.datetime | None
) -> None:
    """The bound is inclusive; the last millisecond of a day is the whole day."""
    legs = () if rest is None else (recorded(rest, at=at),)
    assert plan(at=at) == Reading(Kind.RECORDED, spans, added=legs)


@pytest.mark.parametrize("at", [moment(11, 21, 3), moment(11, 21, 15), moment(12, 30)])
def test_moment_that_is_nearer_to_now_reads_backwards(at: dt.datetime) -> None:
    """The running balances, without what was recorded after it."""
    after = replace(ASKED, conditions=later(gt=at))
    assert plan(at=at) == Reading(Kind.RECORDED, removed=(after,), from_running=True)


def test_only_the_last_day_is_read_backwards_without_roll_ups() -> None:
    """Further back the entries of the account are found by its path."""
    a_day_ago = NOW - dt.timedelta(days=1)
    reading = plan(covered=None, at=a_day_ago)
    assert reading is not None
    assert reading.from_running
    assert plan(covered=None, at=a_day_ago - MS) is None
    assert plan(covered=None, end=NOW) is None


def test_effective_dates_read_whole_days_and_the_edges() -> None:
    """And what was recorded since the last roll-up, which may take effect at any time."""
    start, end = moment(2, 3, 8), moment(2, 20, 8)
    assert plan(start=start, end=end) == Reading(
        Kind.EFFECTIVE,
        (SpanRange(Grain.DAY, "2026-02-04", "2026-02-20"),),
        added=(
            replace(ASKED, start=start, end=moment(2, 4) - MS),
            replace(ASKED, start=moment(2, 20), end=end),
            recorded(COVERED, start=moment(2, 4), end=moment(2, 20) - MS),
        ),
    )


def test_whole_days_have_no_edges() -> None:
    """From midnight to the last millisecond of a day."""
    bounds = {"start": moment(2, 1), "end": moment(3, 1) - MS}
    month = (SpanRange(Grain.MONTH, "2026-02", "2026-03"),)
    assert plan(**bounds) == Reading(Kind.EFFECTIVE, month, added=(recorded(COVERED, **bounds),))


def test_one_sided_dates_reach_to_the_end_of_time() -> None:
    """Dates to come are dates, too."""
    assert plan(start=moment(12, 1)) == Reading(
        Kind.EFFECTIVE,
        (SpanRange(Grain.MONTH, "2026-12", "2027-01"), SpanRange(Grain.YEAR, "2027", None)),
        added=(recorded(COVERED, start=moment(12, 1)),),
    )


def test_dates_as_recorded_then_leave_out_what_was_recorded_later() -> None:
    """What is rolled up but was recorded after the moment is taken off again, if that is not much."""
    end = moment(11, 1) - MS
    spans = (YEARS, months("2026-11"))
    at = moment(11, 3, 12)
    removed = replace(ASKED, end=end, conditions=later(gt=at, lt=COVERED))
    assert plan(at=at, end=end) == Reading(Kind.EFFECTIVE, spans, removed=(removed,))
    assert plan(at=COVERED, end=end) == Reading(
        Kind.EFFECTIVE, spans, added=(recorded(COVERED, at=COVERED, end=end),)
    )
    month_before = COVERED - dt.timedelta(days=31)
    assert plan(at=month_before, end=end) is not None
    assert plan(at=month_before - MS, end=end) is None


@pytest.mark.parametrize(
    "bounds",
    [
        {},
        {"start": moment(2, 3, 1), "end": moment(2, 3, 9)},
        {"start": moment(2, 3, 1), "end": moment(2, 4, 9)},
        {"at": dt.datetime(1, 1, 1, 3, tzinfo=dt.UTC)},
        {"end": dt.datetime(1, 1, 1, 3, tzinfo=dt.UTC)},
        {"start": dt.datetime(9999, 12, 31, 3, tzinfo=dt.UTC)},
    ],
)
def test_entries_are_as_good_where_no_whole_day_lies_between(bounds: dict[str, dt.datetime]) -> None:
    """Nothing is planned then, nor for days that hold more than their own legs."""
    assert plan(**bounds) is None

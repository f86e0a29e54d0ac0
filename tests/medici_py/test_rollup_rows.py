"""Rows of roll-ups: what they hold, how they are found, how far they reach."""

import datetime as dt
from decimal import Decimal

import pytest
from bson import Decimal128, Int64, MaxKey
from hypothesis import given
from hypothesis import strategies as st

from medici_py.calendar_spans import Grain, SpanRange
from medici_py.rollup_rows import (
    Bucket,
    DayTurnover,
    Kind,
    RolledUp,
    bucket_of,
    buckets,
    count_legs,
    path_of,
    row_id,
    row_sums,
    rows_in,
    stored_sums,
)
from medici_py.running_rows import Turnover
from medici_py.sums import Sums

MAY = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
JUNE = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


def day_turnover(
    recorded: str | None, effective: str | None, debit: str, currency: str = "BTC"
) -> DayTurnover:
    return DayTurnover(recorded, effective, (currency,), Turnover(debit=Decimal(debit), notes=1))


def test_account_is_summed_by_day_month_and_year_of_either_time() -> None:
    """A leg counts where it was recorded and where it takes effect."""
    found = buckets(
        [
            day_turnover("2026-11-21", "2026-10-31", "1"),
            day_turnover("2026-11-22", "2026-10-31", "0.1"),
            day_turnover("2026-11-22", None, "7", "USD"),
        ]
    )
    assert {
        (bucket.kind.value, bucket.span, *bucket.dims): (str(sums.debit), sums.notes)
        for bucket, sums in found.items()
    } == {
        ("recorded", "2026-11-21", "BTC"): ("1", 1),
        ("recorded", "2026-11-22", "BTC"): ("0.1", 1),
        ("recorded", "2026-11", "BTC"): ("1.1", 2),
        ("recorded", "2026", "BTC"): ("1.1", 2),
        ("effective", "2026-10-31", "BTC"): ("1.1", 2),
        ("effective", "2026-10", "BTC"): ("1.1", 2),
        ("effective", "2026", "BTC"): ("1.1", 2),
        ("recorded", "2026-11-22", "USD"): ("7", 1),
        ("recorded", "2026-11", "USD"): ("7", 1),
        ("recorded", "2026", "USD"): ("7", 1),
    }
    assert count_legs(found) == 3


amounts = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**40), max_value=10**40)


@given(amounts, amounts)
def test_no_digit_of_a_sum_is_lost(debit: Decimal, credit: Decimal) -> None:
    """Also of those that no Decimal128 holds."""
    row = stored_sums(Sums(debit, credit, 3))
    assert row_sums(row) == Sums(debit, credit, 3)


def test_sum_is_a_number_as_long_as_one_holds_it() -> None:
    """Text begins at the 35th digit."""
    assert stored_sums(Sums(Decimal(10**34 - 1), Decimal(10**34 + 1), 2)) == {
        "debit": Decimal128("9" * 34),
        "credit": "10000000000000000000000000000000001",
        "notes": Int64(2),
    }


def test_row_says_what_it_is() -> None:
    """Account and bucket are read back from the id."""
    bucket = Bucket(Kind.EFFECTIVE, Grain.MONTH, "2026-11", ("BTC", None))
    row = {"_id": row_id("Bank", 4, ("Assets", "Cash"), bucket)}
    assert list(row["_id"]) == ["book", "generation", "path", "kind", "grain", "span", "dims"]
    assert (path_of(row), bucket_of(row)) == (("Assets", "Cash"), bucket)


def test_run_of_spans_is_one_range_an_account() -> None:
    """Documents compare field by field."""
    run = {"book": "Bank", "generation": 4, "kind": "recorded", "grain": "day"}
    first, second = rows_in(
        "Bank", 4, [("A",), ()], Kind.RECORDED, [SpanRange(Grain.DAY, "2026-01-01", "2026-01-09")]
    )
    assert first["_id"]["$gte"] == {**run, "path": ["A"], "span": "2026-01-01"}
    assert first["_id"]["$lt"] == {**run, "path": ["A"], "span": "2026-01-09"}
    assert second["_id"]["$lt"] == {**run, "path": [], "span": "2026-01-09"}
    (unbounded,) = rows_in("Bank", 4, [()], Kind.RECORDED, [SpanRange(Grain.DAY, None, None)])
    assert unbounded["_id"] == {"$gte": {**run, "path": []}, "$lt": {**run, "path": [], "span": MaxKey()}}


@pytest.mark.parametrize(
    ("done", "path", "covered"),
    [
        (None, ("A",), MAY),
        (("B",), ("C",), JUNE),
        (("B",), ("B", "X"), JUNE),
        (("B",), ("B",), JUNE),
        (("B",), ("A", "Z"), MAY),
        (("B",), (), MAY),
        ((), (), JUNE),
    ],
)
def test_account_is_covered_as_far_as_the_roll_up_has_come(
    done: tuple[str, ...] | None, path: tuple[str, ...], covered: dt.datetime
) -> None:
    """It takes the accounts in descending order, those below one before it."""
    assert RolledUp(before=MAY, to=JUNE, done=done).covered(path) == covered


@pytest.mark.parametrize(
    "rolled",
    [RolledUp(), RolledUp(7, 3, ("meta.currency",), MAY, JUNE, ("A", "B")), RolledUp(step=2, generation=1)],
)
def test_state_reads_back(rolled: RolledUp) -> None:
    """What is stored is what is known."""
    assert RolledUp.from_document(rolled.to_document()) == rolled
    assert RolledUp.from_document(None) == RolledUp()

"""What postings add to rows, how rows are named, and what they add up to."""

import datetime as dt
from decimal import Decimal, localcontext
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from medici_py.money import EXACT, MAX_INT64
from medici_py.running_rows import (
    RowWrites,
    Turnover,
    dimension_values,
    fold_rows_by_key,
    key_of,
    matching,
    row_id,
    row_updates,
    rows_below,
    rows_of,
    rows_of_key,
    size_limit,
    with_rows_above,
)
from medici_py.sums import Sums, SumTooLargeError

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
JOURNAL = ObjectId()

amounts = st.decimals(min_value=-(10**12), max_value=10**12, places=8)


def updates(added: dict[Any, Turnover], touched: Any = (), **changes: Any) -> list[Any]:
    arguments: dict[str, Any] = {
        "stripe": 2,
        "stripes": [],
        "journal": JOURNAL,
        "recorded_at": NOON,
        "precisions": {"B": 8},
    } | changes
    with localcontext(EXACT):
        return row_updates(RowWrites(added, touched), **arguments)


def turnover(debit: str = "0", credit: str = "0", notes: int = 1) -> Turnover:
    size = abs(Decimal(debit)) + abs(Decimal(credit))
    return Turnover(Decimal(debit), Decimal(credit), size, notes)


def test_leg_counts_on_its_account_on_all_above_and_on_the_book() -> None:
    """The whole book is the account without parts."""
    with localcontext(EXACT):
        added = with_rows_above(
            {
                ("B", (("A", "x"), ("USD",))): turnover("5"),
                ("B", (("A", "y"), ("USD",))): turnover("0", "3"),
                ("C", (("A",), ("USD",))): turnover("1"),
            }
        )
    assert {(book, path): (t.debit, t.credit, t.notes) for (book, (path, _)), t in added.items()} == {
        ("B", ("A", "x")): (5, 0, 1),
        ("B", ("A", "y")): (0, 3, 1),
        ("B", ("A",)): (5, 3, 2),
        ("B", ()): (5, 3, 2),
        ("C", ("A",)): (1, 0, 1),
        ("C", ()): (1, 0, 1),
    }


@given(st.lists(st.tuples(amounts, amounts), max_size=20))
def test_turnover_of_many_legs_is_their_exact_sum(legs: list[tuple[Decimal, Decimal]]) -> None:
    """In whatever order, and with negative amounts: the size has no signs."""
    with localcontext(EXACT):
        one_by_one, halves = Turnover(), [Turnover(), Turnover()]
        for index, (debit, credit) in enumerate(legs):
            one_by_one.add(debit, credit)
            halves[index % 2].add(debit, credit)
        halves[0].add_all(halves[1])
    assert halves[0] == one_by_one
    assert one_by_one.size >= abs(one_by_one.debit) + abs(one_by_one.credit)
    assert one_by_one.notes == len(legs)


@pytest.mark.parametrize(
    "amount",
    [
        "0",
        "1",
        str(MAX_INT64),
        str(MAX_INT64 + 1),
        "-1",
        "0.00000001",
        "-12.5",
        "9" * 26 + "." + "9" * 8,
        "1E+3",
    ],
)
def test_amounts_are_stored_digit_by_digit(amount: str) -> None:
    """Also where a whole amount takes the fast way."""
    (*_, statement) = updates({("B", (("A",), ())): turnover(amount)})
    stored = statement["u"]["$inc"]["debit"]
    assert stored.to_decimal() == Decimal(amount)
    assert stored == Decimal128(stored.to_decimal())


def test_row_of_the_whole_book_takes_an_amount_only_if_it_stays_exact() -> None:
    """The statement matches as long as there is room; beyond, its upsert meets the row's own id."""
    (statement,) = updates({("B", ((), ())): turnover("5", "3")})
    room = statement["q"]["size"]["$not"]["$gte"].to_decimal()
    assert room == size_limit(8) - 8
    assert statement["u"]["$inc"]["size"] == Decimal128("8")
    assert statement["upsert"] is True


def test_turnover_that_no_row_can_hold_is_refused() -> None:
    with pytest.raises(SumTooLargeError, match="more than a row holds exactly"):
        updates({("B", ((), ())): turnover(str(size_limit(8)))})


def test_places_of_foreign_legs_count_against_the_limit() -> None:
    """A leg that Node wrote may have more decimal places than the book allows."""
    with pytest.raises(SumTooLargeError):
        updates({("B", ((), ())): turnover("1" + "0" * 25 + ".0000000001")})


def test_touched_rows_are_written_in_every_stripe_but_the_own_one_that_is_written_anyway() -> None:
    """A write that adds nothing, and yet conflicts."""
    key = (("A",), ("USD",))
    statements = updates({("B", key): turnover("1")}, [("B", key)], stripe=2, stripes=[1, 2, 3])
    touches = [one for one in statements if "touches" in one["u"]["$inc"]]
    assert [one["q"]["_id"]["stripe"] for one in touches] == [1, 3]
    assert all(one["u"]["$inc"]["debit"] == Decimal128("0") for one in touches)
    untouched = updates({}, [("B", key)], stripe=2, stripes=[1, 2])
    assert [one["q"]["_id"]["stripe"] for one in untouched] == [1, 2]


@pytest.mark.parametrize(
    ("leg", "found"),
    [
        ({"meta": {"currency": "USD"}, "layer": "SETTLED"}, ("USD", "SETTLED")),
        ({"meta": {}, "layer": None}, (None, None)),
        ({}, (None, None)),
        ({"meta": {"currency": 5}, "layer": ["x"]}, (None, None)),
        ({"meta": "no mapping"}, (None, None)),
    ],
)
def test_dimension_values_are_text_or_nothing(leg: dict[str, Any], found: tuple[Any, ...]) -> None:
    assert dimension_values(leg, ("meta.currency", "layer")) == found


async def test_filters_find_the_rows_of_an_account_and_of_those_below(bank: Any) -> None:
    """By ranges of the id alone: not those of a neighbour whose name begins alike."""
    rows = bank["medici_py_balances"]
    keys = [((), ()), (("A",), ()), (("A",), ("USD",)), (("A", "x"), ()), (("AB",), ()), (("B",), ())]
    await rows.insert_many(
        [
            {"_id": row_id(book, key, stripe)}
            for book in ("One", "Two")
            for key in keys
            for stripe in (0, 1, 7)
        ]
    )

    async def found(query: dict[str, Any]) -> set[Any]:
        plan = await rows.find(query).explain()
        assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"])
        seen = [row async for row in rows.find(query)]
        assert {row["_id"]["book"] for row in seen} == {"One"}
        assert len(seen) == 3 * len({key_of(row) for row in seen})
        return {key_of(row) for row in seen}

    assert await found(rows_of("One", ("A",))) == {(("A",), ()), (("A",), ("USD",))}
    assert await found(rows_below("One", ("A",))) == {(("A",), ()), (("A",), ("USD",)), (("A", "x"), ())}
    assert await found(rows_below("One", ())) == set(keys)
    assert await found(rows_of_key("One", (("A",), ()))) == {(("A",), ())}
    assert await found(rows_of_key("One", (("A",), ("USD",)))) == {(("A",), ("USD",))}


def test_turnover_is_the_sum_over_the_stripes() -> None:
    """Told apart by account and dimension values, or added up for one value of a dimension."""
    rows = [
        {
            "_id": row_id("B", (("A",), dims), stripe),
            "debit": Decimal128(debit),
            "credit": Int64(1),
            "notes": 2,
        }
        for dims, stripe, debit in (
            (("USD", "x"), 1, "0.1"),
            (("USD", "x"), 2, "0.2"),
            (("USD", "y"), 1, "5"),
            (("BTC", "x"), 1, "7"),
        )
    ]
    folded = fold_rows_by_key(rows)
    assert folded[("A",), ("USD", "x")] == Sums(Decimal("0.3"), Decimal(2), 4)
    assert matching(rows, {0: "USD"}) == Sums(Decimal("5.3"), Decimal(3), 6)
    assert matching(rows, {0: "USD", 1: "y"}) == Sums(Decimal(5), Decimal(1), 2)
    assert matching(rows, {}) == Sums(Decimal("12.3"), Decimal(4), 8)

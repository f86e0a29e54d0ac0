"""The table in memory answers what a sum over the legs would."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medici_py.sums import Sums
from medici_py.turnover_table import TurnoverTable

paths = st.lists(st.sampled_from(["A", "B", "AB"]), min_size=1, max_size=3).map(tuple)
values = st.tuples(st.sampled_from(["USD", "BTC", None]), st.sampled_from(["SETTLED", "PENDING"]))
amounts = st.decimals(-(10**20), 10**20, places=8, allow_nan=False, allow_infinity=False)
legs = st.lists(st.tuples(paths, values, amounts, amounts), max_size=30)


def table_of(rows: list[tuple[tuple[str, ...], tuple[str | None, str], Decimal, Decimal]]) -> TurnoverTable:
    table = TurnoverTable(("currency", "layer"))
    for path, own, debit, credit in rows:
        table.add(path, own, Sums(debit, credit, 1))
    return table


@given(legs, st.one_of(st.just(()), paths), st.one_of(st.none(), st.sampled_from(["USD", "BTC"])))
def test_sums_equal_a_fold_over_the_legs(
    rows: list[tuple[tuple[str, ...], tuple[str | None, str], Decimal, Decimal]],
    path: tuple[str, ...],
    currency: str | None,
) -> None:
    """An account covers what lies below it, part by part, and nothing else; sums are exact."""
    wanted = {} if currency is None else {"currency": currency}
    matching = [
        row for row in rows if row[0][: len(path)] == path and (currency is None or row[1][0] == currency)
    ]
    sums = table_of(rows).sums(path, wanted)
    assert Fraction(sums.debit) == sum(Fraction(row[2]) for row in matching)
    assert Fraction(sums.credit) == sum(Fraction(row[3]) for row in matching)
    assert sums.notes == len(matching)


@given(legs)
def test_accounts_themselves_add_up_to_the_whole_book(
    rows: list[tuple[tuple[str, ...], tuple[str | None, str], Decimal, Decimal]],
) -> None:
    """Every leg is in exactly one row of the listing."""
    table = table_of(rows)
    listed = sum((sums for _, _, sums in table), Sums())
    assert listed == table.sums((), {})
    assert len({(path, own) for path, own, _ in table}) == len(list(table))


def test_unknown_account_has_no_turnover() -> None:
    """As in the database: no match is zero."""
    assert TurnoverTable(()).sums(("A",), {}) == Sums()


def test_unknown_dimension_is_refused() -> None:
    """A filter that cannot filter is never dropped."""
    table = TurnoverTable(("currency",))
    table.add(("A",), ("USD",), Sums(Decimal(1), Decimal(0), 1))
    with pytest.raises(KeyError, match="colour"):
        table.sums(("A",), {"colour": "red"})

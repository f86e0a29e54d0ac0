"""Balances follow legs one by one, forwards and back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from bson import Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from medici_py.balance_events import BalanceRow, BalanceTable, LegMove, balance_rows, moves_of
from medici_py.documents import Transaction
from medici_py.errors import UnreadableDocumentError
from medici_py.sums import Sums
from medici_py.turnover_snapshot import BookShape

SHAPE = BookShape.of("B", 8, ["currency"], Transaction)

moves = st.builds(
    LegMove,
    path=st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple),
    values=st.sampled_from([("USD",), ("BTC",), (None,)]),
    amount=st.decimals(-(10**9), 10**9, places=4),
)
journals = st.lists(st.lists(moves, min_size=1, max_size=4), max_size=12)


def leg(account: str, debit: Any, credit: Any, currency: str = "USD") -> dict[str, Any]:
    path = account.split(":")
    return {
        "_id": ObjectId(),
        "account_path": path,
        "debit": debit,
        "credit": credit,
        "meta": {"currency": currency},
    }


def recomputed(counted: list[list[LegMove]], row: BalanceRow) -> tuple[Decimal, int]:
    """Add up, from nothing, the legs on an account and below it."""
    found = [
        move.amount
        for journal in counted
        for move in journal
        if move.path[: len(row.path)] == row.path and move.values == row.values
    ]
    return sum(found, Decimal(0)), len(found)


@given(journals)
def test_rows_after_each_journal_are_what_its_legs_and_those_before_add_up_to(
    posted: list[list[LegMove]],
) -> None:
    """Of every account that it touched and of every one above, each once, those above first."""
    table = BalanceTable()
    for number, journal in enumerate(posted, start=1):
        table.add(journal)
        rows = balance_rows(table, journal)
        cells = [(row.path, row.values) for row in rows]
        assert len(cells) == len(set(cells))
        assert set(cells) == {
            (move.path[:depth], move.values) for move in journal for depth in range(1, len(move.path) + 1)
        }
        assert [row.path for row in rows] == sorted(row.path for row in rows)
        for row in rows:
            assert (row.balance, row.notes) == recomputed(posted[:number], row)


@given(journals)
def test_earlier_rows_are_found_again_from_later_balances(posted: list[list[LegMove]]) -> None:
    """Less what was counted since; when nothing is left to look back on, nothing is held."""
    table, later, then = BalanceTable(), BalanceTable(), []
    for journal in posted:
        table.add(journal)
        then.append(balance_rows(table, journal))
        later.add(journal)
    for journal, rows in zip(posted, then, strict=True):
        later.take(journal)
        assert balance_rows(table, journal, later=later) == rows
    assert len(later) == 0


@pytest.mark.parametrize(
    ("debit", "credit", "balance"),
    [
        (Int64(5), Int64(0), "-5"),
        (0, 2.5, "2.5"),
        (0, Int64(10**17), "100000000000000000"),
        ("0.30", "0.30", None),
    ],
)
def test_amounts_are_shown_as_balance_shows_them(debit: Any, credit: Any, balance: str | None) -> None:
    """Without exponents or trailing zeros; what is no number is refused."""
    stored = leg("A", debit, credit)
    if balance is None:
        with pytest.raises(UnreadableDocumentError, match=r"credit|debit"):
            moves_of(SHAPE, [stored])
        return
    table, added = BalanceTable(), moves_of(SHAPE, [stored])
    table.add(added)
    [row] = balance_rows(table, added)
    assert str(row.balance) == balance


def test_sum_that_loses_its_decimals_is_shown_without_them() -> None:
    """Halves make a whole."""
    table = BalanceTable()
    added = moves_of(SHAPE, [leg("A", 0, 0.5), leg("A", 0, 0.5)])
    table.add(added)
    assert [str(row.balance) for row in balance_rows(table, added)] == ["1"]


def test_table_begins_with_the_turnover_of_a_whole_book() -> None:
    """Descendants included."""
    turnover = SHAPE.empty_table()
    turnover.add(("A", "x"), ("USD",), Sums(Decimal(2), Decimal(9), 3))
    turnover.add(("A",), ("USD",), Sums(Decimal(1), Decimal(0), 1))
    table = BalanceTable.of(turnover)
    assert table.balance((("A",), ("USD",))) == (Decimal(6), 4)
    assert table.balance((("A", "x"), ("USD",))) == (Decimal(7), 3)
    assert table.balance((("A",), ("BTC",))) == (Decimal(0), 0)

"""Statements add up, whatever is posted and wherever the range is cut."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from medici_py import Book, InvalidQueryError, Transaction
from medici_py.reports import Statement, read_statement, statement_of

MAY = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
AMOUNTS = st.decimals(min_value=-(10**12), max_value=10**12, places=8, allow_nan=False, allow_infinity=False)


def leg(*, debit: Any = 0, credit: Any = 0) -> Transaction:
    return Transaction(
        id=ObjectId(),
        journal=ObjectId(),
        account_path=("A",),
        accounts="A",
        book="B",
        debit=debit,
        credit=credit,
        datetime=MAY,
        timestamp=MAY,
    )


def test_debits_lower_and_credits_raise_the_balance() -> None:
    """100, less 30, plus 5."""
    statement = statement_of(Decimal(100), [leg(debit=30), leg(credit=5)])
    assert [Decimal(70), Decimal(75)] == [line.balance for line in statement.lines]
    assert Decimal(75) == statement.closing_balance


def test_without_lines_it_closes_as_it_opened() -> None:
    """Nothing happened."""
    assert Statement(Decimal(7), ()).closing_balance == Decimal(7)


@given(opening=AMOUNTS, amounts=st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=20))
def test_closing_is_opening_plus_credits_minus_debits(
    opening: Decimal, amounts: list[tuple[Decimal, Decimal]]
) -> None:
    """To the last digit, each line following from the one before."""
    statement = statement_of(opening, [leg(debit=debit, credit=credit) for debit, credit in amounts])
    assert statement.closing_balance == opening + sum(credit - debit for debit, credit in amounts)
    assert len(amounts) == len(statement.lines)


class TestReadStatement:
    @pytest.fixture
    async def history(self, book: Book) -> Book:
        for day, amount in ((1, 100), (2, 20), (2, 3), (4, "0.5")):
            entry = book.entry(f"{amount}", date=f"2024-05-0{day}")
            await entry.debit("Out", amount).credit("Wallet:Ann", amount, {"currency": "USD"}).commit()
        return book

    @pytest.mark.parametrize(
        ("start", "end", "opening", "memos", "closing"),
        [
            (None, None, "0", ["100", "20", "3", "0.5"], "123.5"),
            ("2024-05-02", None, "100", ["20", "3", "0.5"], "123.5"),
            ("2024-05-02", "2024-05-02", "100", ["20", "3"], "123"),
            ("2024-05-03", "2024-05-03", "123", [], "123"),
            ("2024-05-02T00:00:00.001Z", None, "123", ["0.5"], "123.5"),
            (None, "2024-05-01", "0", ["100"], "100"),
            ("2025-01-01", None, "123.5", [], "123.5"),
        ],
    )
    async def test_ranges_include_both_ends(
        self,
        *,
        start: str | None,
        end: str | None,
        opening: str,
        memos: list[str],
        closing: str,
        history: Book,
    ) -> None:
        """What stands before the range is the opening balance, to the millisecond."""
        statement = await read_statement(history, "Wallet", start_date=start, end_date=end)
        assert (Decimal(opening), Decimal(closing)) == (statement.opening_balance, statement.closing_balance)
        assert memos == [line.leg.memo for line in statement.lines]

    async def test_adjoining_statements_meet(self, history: Book) -> None:
        """One closes as the next opens, and together they end at the balance."""
        first = await read_statement(history, "Wallet", end_date="2024-05-01T23:59:59.999Z")
        second = await read_statement(history, "Wallet", start_date="2024-05-02")
        assert first.closing_balance == second.opening_balance
        assert second.closing_balance == (await history.balance("Wallet")).balance

    async def test_filter_counts_for_the_opening_balance_too(self, history: Book) -> None:
        """Another currency is another statement."""
        other = await read_statement(history, "Wallet", {"currency": "EUR"}, start_date="2024-05-02")
        assert Statement(Decimal(0), ()) == other

    @pytest.mark.parametrize("bad", ["soon", dt.datetime(2024, 5, 1), "0001-01-01"])  # noqa: DTZ001
    async def test_beginning_that_is_no_instant_is_refused(self, bad: Any, book: Book) -> None:
        """A day before the first there is none either."""
        with pytest.raises(InvalidQueryError, match="start_date refused"):
            await read_statement(book, "Wallet", start_date=bad)

"""Reports over the legs of a book: pure arithmetic, and for each the one read that feeds it."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from medici_py.accounts import AccountLike
from medici_py.book import Book
from medici_py.documents import Transaction
from medici_py.driver import snapshot_session
from medici_py.errors import InvalidQueryError
from medici_py.instants import InstantLike, parse_instant
from medici_py.money import ZERO, exact_sum

_ONE_MILLISECOND = dt.timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One leg of a statement.

    Attributes:
        leg: What was posted.
        balance: Balance of the account after it, credits minus debits.
    """

    leg: Transaction
    balance: Decimal


@dataclass(frozen=True, slots=True)
class Statement:
    """What happened on an account within a time.

    Attributes:
        opening_balance: Credits minus debits before the first line.
        lines: Oldest first.
    """

    opening_balance: Decimal
    lines: tuple[StatementLine, ...]

    @property
    def closing_balance(self) -> Decimal:
        """Credits minus debits after the last line."""
        return self.lines[-1].balance if self.lines else self.opening_balance


def statement_of(opening_balance: Decimal, legs: Iterable[Transaction]) -> Statement:
    """Put the balance after each of *legs*, which come oldest first, beside it.

    From 100, a debit of 30 and a credit of 5 leave 70 and 75.
    """
    lines = []
    balance = opening_balance
    for leg in legs:
        balance = exact_sum((balance, leg.credit, leg.debit.copy_negate()))
        lines.append(StatementLine(leg, balance))
    return Statement(opening_balance, tuple(lines))


async def read_statement(
    book: Book,
    account: AccountLike,
    extra: Mapping[str, Any] | None = None,
    *,
    start_date: InstantLike | None = None,
    end_date: InstantLike | None = None,
) -> Statement:
    """Return the statement of *account* and everything below it; opening balance and lines are of one moment.

    Every line is held in memory.

    Args:
        book: The book.
        account: As in `Book.balance`.
        extra: As in `Book.balance`.
        start_date: Effective date of the first line, inclusive; the opening balance is what stood before it.
        end_date: Effective date of the last line, inclusive.

    Raises:
        InvalidQueryError: If an argument cannot mean anything.
    """
    before = None if start_date is None else _just_before(start_date)
    async with snapshot_session(book.database.client) as session:
        opening_balance = ZERO
        if before is not None:
            opening_balance = (await book.balance(account, extra, end_date=before, session=session)).balance
        page = await book.ledger(
            account, extra, start_date=start_date, end_date=end_date, reverse=True, session=session
        )
    return statement_of(opening_balance, page.results)


def _just_before(start_date: InstantLike) -> dt.datetime:
    try:
        # Stored dates are whole milliseconds, so nothing lies between.
        return parse_instant(start_date) - _ONE_MILLISECOND
    except (ValueError, OverflowError) as exc:
        raise InvalidQueryError(f"start_date refused: {exc}.", field="start_date", value=start_date) from exc

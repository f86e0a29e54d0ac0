"""What an entry may have to wait for: the same for those that wait for the same."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from medici_py import Book, Entry
from medici_py.book_state import BookState
from medici_py.claims import claims
from medici_py.posting_plan import Plan, plan_entry


@pytest.fixture
def book(mongomock_database: Any) -> Book:
    return Book("Bank", mongomock_database, dimensions=("currency",))


def plan(entry: Entry, *, rows: bool = True, locks: Sequence[str] = ()) -> Plan:
    state = BookState("Bank", running_balances=rows, fields=entry.rules.dimension_fields)
    return plan_entry(entry, state, locks=locks, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))


def payment(book: Book, wallet: str, *, currency: str = "USD", key: str | None = None) -> Entry:
    extra = {"currency": currency}
    entry = book.entry("payment", key=key).debit(wallet, 1, extra, min_balance=0)
    return entry.credit("Cash", 1, extra)


def test_entries_with_bounds_wait_for_the_balances_that_are_bounded(book: Book) -> None:
    """Whatever their keys and other accounts are."""
    first = claims([plan(payment(book, "W:1"))])
    assert first == claims([plan(payment(book, "W:1", key="k"))])
    assert not set(first) & set(claims([plan(payment(book, "W:2"))]))
    assert not set(first) & set(claims([plan(payment(book, "W:1", currency="BTC"))]))


def test_batch_waits_for_what_each_of_its_entries_waits_for(book: Book) -> None:
    """Each once."""
    one, two = plan(payment(book, "W:1")), plan(payment(book, "W:2"))
    assert claims([one, two, one]) == (*claims([one]), *claims([two]))


def test_bounds_that_no_row_answers_wait_for_each_other(book: Book) -> None:
    """They lock the accounts above theirs, which they have in common."""
    one = claims([plan(payment(book, "W:1"), rows=False)])
    assert one == claims([plan(payment(book, "W:2"), rows=False)])


def test_entries_that_lock_accounts_wait_for_these(book: Book) -> None:
    """Beside what their bounds look at."""
    extra = {"currency": "USD"}
    entry = book.entry("x").debit("A", 1, extra).credit("B", 1, extra)
    locked = set(claims([plan(entry, locks=["A", "B"])]))
    assert len(locked) == 2
    assert locked < set(claims([plan(payment(book, "W:1"), locks=["A", "B"])]))


def test_other_entries_wait_for_their_key_only(book: Book) -> None:
    """One without a key waits for nothing that would make sense to wait for."""
    extra = {"currency": "USD"}

    def deposit(key: str | None) -> Plan:
        return plan(book.entry("x", key=key).debit("A", 1, extra).credit("B", 1, extra))

    assert claims([deposit(None)]) == ()
    assert claims([deposit("k")]) == claims([deposit("k")])
    assert claims([deposit("k")]) != claims([deposit("l")])

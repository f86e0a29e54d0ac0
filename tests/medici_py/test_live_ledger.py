"""Changes are applied so that the books balance whenever they are looked at."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from bson import Int64, ObjectId
from bson.timestamp import Timestamp

from medici_py.change_events import ChangePosition, JournalFlagged, JournalInserted, LegInserted
from medici_py.documents import Transaction
from medici_py.errors import UnreadableDocumentError
from medici_py.live_ledger import Applied, LiveLedger
from medici_py.turnover_snapshot import BookShape

NOW = datetime(2024, 1, 1, tzinfo=UTC)
JOURNAL = ObjectId()


@pytest.fixture
def ledger() -> LiveLedger:
    shape = BookShape.of("B", 8, ["currency"], Transaction)
    return LiveLedger({"B": shape}, {"B": shape.empty_table()})


def leg(account: str, debit: Any, credit: Any, *, at: int = 1, in_transaction: bool = True) -> LegInserted:
    document = {"_id": ObjectId(), "_journal": JOURNAL, "book": "B", "account_path": account.split(":")}
    document |= {"debit": debit, "credit": credit, "meta": {"currency": "USD"}}
    return LegInserted(document, in_transaction, ChangePosition(None, Timestamp(at, 1)), NOW)


def journal(*, at: int = 1) -> JournalInserted:
    return JournalInserted({"_id": JOURNAL, "book": "B"}, ChangePosition(None, Timestamp(at, 1)), NOW)


def credit_of(ledger: LiveLedger, account: str) -> Decimal:
    return ledger.sums("B", tuple(account.split(":")), {}).credit


def test_legs_of_a_transaction_count_with_their_journal(ledger: LiveLedger) -> None:
    """Half a journal is never seen."""
    assert ledger.apply(leg("A", Int64(5), Int64(0))) == Applied(moved=False)
    assert ledger.apply(leg("L:x", Int64(0), Int64(5))) == Applied(moved=False)
    assert credit_of(ledger, "L") == 0
    assert ledger.apply(journal()) == Applied(moved=True, journal_at=NOW)
    assert credit_of(ledger, "L") == 5


def test_legs_of_two_journals_in_one_transaction_wait_each_for_its_own(ledger: LiveLedger) -> None:
    """The commit time is the same, the journals are not."""
    other = leg("L:y", 0, 7)
    other.leg["_journal"] = ObjectId()  # type: ignore[index]
    for change in (leg("L:x", 0, 5), other, journal()):
        ledger.apply(change)
    assert (credit_of(ledger, "L:x"), credit_of(ledger, "L:y")) == (5, 0)


def test_legs_without_a_transaction_count_at_once(ledger: LiveLedger) -> None:
    """So do they in the database when Node's medici writes them."""
    assert ledger.apply(leg("L:x", 0, 2.5, in_transaction=False)) == Applied(moved=True)
    assert credit_of(ledger, "L") == Decimal("2.5")
    assert ledger.apply(journal(at=2)) == Applied(moved=True, journal_at=NOW)
    assert credit_of(ledger, "L") == Decimal("2.5")


@pytest.mark.parametrize(
    "later", [None, JournalFlagged(ObjectId(), "", ChangePosition(None, Timestamp(2, 1)), NOW)]
)
def test_legs_whose_journal_never_comes_count_when_the_transaction_is_over(
    later: JournalFlagged | None, ledger: LiveLedger
) -> None:
    """Somebody inserted legs alone: they are in the database, so they count."""
    ledger.apply(leg("L:x", 0, 5))
    assert ledger.apply(later) == Applied(moved=True)
    assert credit_of(ledger, "L") == 5
    assert ledger.apply(None) == Applied(moved=False)


def test_void_alone_moves_nothing(ledger: LiveLedger) -> None:
    """Its reversing journal does."""
    flagged = JournalFlagged(JOURNAL, "typo", ChangePosition(None, Timestamp(1, 1)), NOW)
    assert ledger.apply(flagged) == Applied(moved=False)


def test_dimension_is_taken_from_where_the_leg_has_it(ledger: LiveLedger) -> None:
    """Values under meta are the dimensions of a book whose model does not declare them."""
    ledger.apply(leg("L:x", 0, 5, in_transaction=False))
    assert ledger.sums("B", ("L",), {"currency": "USD"}).credit == 5
    assert ledger.sums("B", ("L",), {"currency": "BTC"}).credit == 0


def test_amount_that_is_no_number_is_an_error(ledger: LiveLedger) -> None:
    """No balance over it can be right."""
    with pytest.raises(UnreadableDocumentError, match="debit"):
        ledger.apply(leg("A", True, 0, in_transaction=False))

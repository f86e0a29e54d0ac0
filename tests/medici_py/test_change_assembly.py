"""Legs come first, then their journal; together they are one event, in posting order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from medici_py.change_assembly import LegBuffer, in_posting_order, is_complete, journal_posted, journal_voided
from medici_py.change_events import (
    ChangePosition,
    JournalFlagged,
    JournalInserted,
    JournalVoided,
    LegInserted,
)
from medici_py.errors import UnreadableDocumentError

NOW = datetime(2024, 1, 1, tzinfo=UTC)
POSITION = ChangePosition({"_data": "82"}, Timestamp(1, 1))


def leg(journal_id: ObjectId, **fields: Any) -> dict[str, Any]:
    basis = {"_id": ObjectId(), "_journal": journal_id, "account_path": ["A"], "accounts": "A", "book": "B"}
    return basis | {"debit": 1, "credit": 0, "datetime": NOW, "timestamp": NOW, "memo": ""} | fields


def inserted(document: dict[str, Any]) -> LegInserted:
    return LegInserted(document, True, POSITION, NOW)


def test_legs_are_handed_over_once() -> None:
    """A journal takes its own legs, in the order in which they came, and nobody else's."""
    first, second = ObjectId(), ObjectId()
    legs = [leg(first), leg(second), leg(first)]
    buffer = LegBuffer()
    for one in legs:
        buffer.add(inserted(one))
    assert buffer.take(first) == [legs[0], legs[2]]
    assert buffer.take(first) == []
    assert len(buffer) == 1


def test_full_buffer_forgets_who_waited_longest() -> None:
    """Legs whose journal never comes do not fill the memory."""
    journals = [ObjectId() for _ in range(3)]
    buffer = LegBuffer(max_legs=4)
    for journal_id in journals:
        buffer.add(inserted(leg(journal_id)))
        buffer.add(inserted(leg(journal_id)))
    assert [len(buffer.take(journal_id)) for journal_id in journals] == [0, 2, 2]


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 10))
def test_buffer_never_holds_more_than_its_bound(journals: list[int], max_legs: int) -> None:
    """Whatever comes, the count is right and bounded."""
    ids = [ObjectId(f"{number:024x}") for number in range(6)]
    buffer = LegBuffer(max_legs=max_legs)
    for number in journals:
        buffer.add(inserted(leg(ids[number])))
        assert len(buffer) <= max_legs
    count = len(buffer)
    assert sum(len(buffer.take(one)) for one in ids) == count
    assert len(buffer) == 0


@pytest.mark.parametrize(("kept", "complete"), [(0, False), (1, False), (2, True)])
def test_journal_is_complete_with_all_legs_it_names(kept: int, complete: bool) -> None:
    """One missing leg is enough to look into the database."""
    journal_id = ObjectId()
    legs = [leg(journal_id), leg(journal_id)]
    journal = {"_id": journal_id, "_transactions": [one["_id"] for one in legs]}
    assert is_complete(journal, legs[:kept]) is complete


@given(st.permutations(range(5)))
def test_legs_are_put_in_posting_order(order: list[int]) -> None:
    """The journal names its legs in the order in which they were posted; strangers come last."""
    journal_id = ObjectId()
    legs = [leg(journal_id) for _ in range(5)]
    journal = {"_id": journal_id, "_transactions": [one["_id"] for one in legs[:4]]}
    assert in_posting_order(journal, [legs[index] for index in order]) == legs


def test_event_holds_journal_and_legs() -> None:
    """The event is made of what is stored."""
    journal_id = ObjectId()
    legs = [leg(journal_id, debit=5), leg(journal_id, debit=0, credit=5)]
    journal = {
        "_id": journal_id,
        "book": "B",
        "memo": "m",
        "datetime": NOW,
        "_transactions": [x["_id"] for x in legs],
    }
    event = journal_posted(JournalInserted(journal, POSITION, NOW), legs)
    assert event.journal.id == journal_id
    assert [(one.debit, one.credit) for one in event.transactions] == [(5, 0), (0, 5)]
    assert (event.position, event.committed_at) == (POSITION, NOW)


def test_unreadable_leg_is_an_error() -> None:
    """A leg whose amount is no number is named, not passed over."""
    journal_id = ObjectId()
    journal = {"_id": journal_id, "book": "B", "memo": "m", "datetime": NOW, "_transactions": []}
    with pytest.raises(UnreadableDocumentError):
        journal_posted(JournalInserted(journal, POSITION, NOW), [leg(journal_id, debit=True)])


def test_void_event_names_the_book() -> None:
    """The book is looked up elsewhere; the rest is in the change."""
    journal_id = ObjectId()
    flagged = JournalFlagged(journal_id, "typo", POSITION, NOW)
    assert journal_voided(flagged, "B") == JournalVoided(journal_id, "B", "typo", POSITION, NOW)

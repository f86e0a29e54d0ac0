"""Stored changes become entries: journals with their legs, voids, and legs that come without a journal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from bson.timestamp import Timestamp

from medici_py.change_entries import Entry, EntryAssembly, JournalEntry, LooseLegs, VoidEntry, template_code
from medici_py.change_events import (
    ChangePosition,
    JournalFlagged,
    JournalInserted,
    LegInserted,
    StoredChange,
)

NOW = datetime(2024, 1, 1, tzinfo=UTC)
JOURNAL = ObjectId()


class Stream:
    """Feeds an assembly and keeps the places."""

    def __init__(self) -> None:
        self.assembly = EntryAssembly()
        self.number = 0
        self.before = ChangePosition(None, None)

    def see(self, change: StoredChange) -> list[Entry]:
        entries = self.assembly.take(change, self.before)
        self.before = change.position
        return entries

    def place(self, at: int) -> ChangePosition:
        self.number += 1
        return ChangePosition({"_data": f"82{self.number:04}"}, Timestamp(at, 1))

    def leg(
        self, name: str, *, at: int, in_transaction: bool = True, journal: ObjectId = JOURNAL
    ) -> list[Entry]:
        leg = {"_id": name, "_journal": journal, "book": "B"}
        return self.see(LegInserted(leg, in_transaction, self.place(at), NOW))

    def journal(self, *legs: str, at: int, in_transaction: bool = True) -> list[Entry]:
        journal = {"_id": JOURNAL, "book": "B", "_transactions": list(legs)}
        return self.see(JournalInserted(journal, self.place(at), NOW, in_transaction=in_transaction))

    def flag(self, *, at: int) -> list[Entry]:
        return self.see(JournalFlagged(JOURNAL, "typo", self.place(at), NOW))


def names(legs: Any) -> list[str]:
    return [leg["_id"] for leg in legs]


def test_legs_of_a_transaction_count_with_their_journal() -> None:
    """In posting order, whatever order they came in; the entry knows the place before it."""
    stream = Stream()
    assert stream.leg("second", at=1) == stream.leg("first", at=1) == []
    before = stream.before
    [entry] = stream.journal("first", "second", at=1)
    assert isinstance(entry, JournalEntry)
    assert names(entry.legs) == names(entry.counted) == ["first", "second"]
    assert (entry.before, entry.book) == (before, "B")
    assert stream.flag(at=2)[0].counted == ()


def test_legs_without_a_transaction_count_at_once_and_not_again() -> None:
    """As they do in the database; the journal has them all the same."""
    stream = Stream()
    [loose] = stream.leg("a", at=1, in_transaction=False)
    assert isinstance(loose, LooseLegs)
    assert names(loose.counted) == ["a"]
    [entry] = stream.journal("a", at=2, in_transaction=False)
    assert isinstance(entry, JournalEntry)
    assert (names(entry.legs), list(entry.counted)) == (["a"], [])


@pytest.mark.parametrize("later", ["flag", "leg"])
def test_legs_whose_journal_never_comes_count_once_their_transaction_is_over(later: str) -> None:
    """At their own place, before the change that shows it."""
    stream = Stream()
    stream.leg("a", at=1)
    stream.leg("b", at=1, journal=ObjectId())
    last = stream.before
    entries = stream.flag(at=2) if later == "flag" else stream.leg("c", at=2, in_transaction=False)
    assert [type(entry) for entry in entries][:2] == [LooseLegs, LooseLegs]
    assert [names(entry.counted) for entry in entries[:2]] == [["a"], ["b"]]
    assert entries[1].position == last
    assert len(entries) == 3


def test_leg_that_comes_after_its_journal_is_not_counted_twice() -> None:
    """On a sharded cluster a journal may come first; its legs are then looked up."""
    stream = Stream()
    [entry] = stream.journal("a", at=1)
    assert isinstance(entry, JournalEntry)
    assert stream.leg("a", at=1) == []
    [void] = stream.flag(at=2)
    assert isinstance(void, VoidEntry)
    [again] = stream.leg("b", at=2, in_transaction=False)
    assert names(again.counted) == ["b"]


@pytest.mark.parametrize(
    ("template", "code"),
    [({"code": "sale", "version": 2}, "sale"), ({"version": 2}, None), ("sale", None), (None, None)],
)
def test_template_code_is_read_where_there_is_one(template: object, code: str | None) -> None:
    """Whatever else an application keeps under that name."""
    assert template_code({"template": template}) == code

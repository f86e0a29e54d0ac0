"""Two entries under one key are the same if what their callers decided is the same."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from bson import Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from medici_py.entry_key import (
    EntryKey,
    LegContent,
    UsedKey,
    content_digest,
    difference_text,
    stored_content,
)

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def leg(account: str = "A", debit: str = "1", credit: str = "0", **extra: Any) -> LegContent:
    return LegContent(account, Decimal(debit), Decimal(credit), extra)


def digest(*legs: LegContent, memo: str = "m", original: ObjectId | None = None) -> bytes:
    return content_digest(memo, original, legs)


@given(st.permutations(["x", "y", "z"]), st.permutations([0, 1, 2]))
def test_order_of_legs_and_of_keys_does_not_matter(names: list[str], order: list[int]) -> None:
    legs = [leg(meta=dict.fromkeys(names, 1)), leg("B", "0", "1"), leg("C")]
    assert digest(*(legs[place] for place in order)) == digest(
        leg(meta={"x": 1, "y": 1, "z": 1}), leg("B", "0", "1"), leg("C")
    )


@pytest.mark.parametrize(
    "other",
    [
        (leg("B"),),
        (leg(debit="2"),),
        (leg(debit="0", credit="1"),),
        (leg(meta={"x": 1}),),
        (leg(), leg()),
        (),
    ],
    ids=["account", "amount", "side", "extra", "one more", "none"],
)
def test_anything_else_makes_another_entry(other: tuple[LegContent, ...]) -> None:
    assert digest(*other) != digest(leg())


def test_memo_and_original_journal_belong_to_it() -> None:
    assert digest(leg(), memo="n") != digest(leg())
    assert digest(leg(), original=ObjectId()) != digest(leg())


def test_types_of_values_are_told_apart_and_so_is_the_order_of_lists() -> None:
    """1 and "1" are different values, ``[1, 2]`` and ``[2, 1]`` different lists."""
    assert digest(leg(meta={"x": 1})) != digest(leg(meta={"x": "1"}))
    assert digest(leg(meta={"x": [1, 2]})) != digest(leg(meta={"x": [2, 1]}))


def test_integer_is_the_same_in_either_width() -> None:
    """Whoever builds an entry from what MongoDB has returned may have the one for the other."""
    assert digest(leg(meta={"x": [1, {"y": 2}]})) == digest(leg(meta={"x": [Int64(1), {"y": Int64(2)}]}))
    assert digest(leg(meta={"x": 2**40})) == digest(leg(meta={"x": Int64(2**40)}))
    assert digest(leg(meta={"x": 1})) != digest(leg(meta={"x": 1.0})) != digest(leg(meta={"x": True}))


def test_stored_key_is_read_back_as_it_was() -> None:
    """Also by a client that reads times without their zone."""
    journal, key = ObjectId(), EntryKey("k", b"digest", NOON)
    document = key.document("B", journal)
    assert document["_id"] == {"book": "B", "key": "k"}
    for date in (NOON, NOON.replace(tzinfo=None)):
        used = UsedKey.from_document(document | {"date": date})
        assert used == UsedKey(journal, b"digest", NOON)
        assert used.is_repeated_by(key)


@pytest.mark.parametrize("other", [EntryKey("k", b"other", NOON), EntryKey("k", b"digest", None)])
def test_other_content_or_date_is_no_repeat(other: EntryKey) -> None:
    assert not UsedKey(ObjectId(), b"digest", NOON).is_repeated_by(other)


def test_stored_leg_shows_what_was_decided_about_it() -> None:
    """Fields that follow from the posting are left out; a memo only counts if it is not the journal's."""
    stored = {
        "_id": ObjectId(),
        "_journal": ObjectId(),
        "account_path": ["A", "x"],
        "accounts": "A:x",
        "book": "B",
        "debit": Int64(5),
        "credit": None,
        "datetime": NOON,
        "timestamp": NOON,
        "memo": "m",
        "meta": {"client": "Joe"},
        "wallet": 7,
    }
    assert stored_content(stored, "m") == leg("A:x", "5", wallet=7, meta={"client": "Joe"})
    assert stored_content(stored, "other").extra["memo"] == "m"


@pytest.mark.parametrize(
    ("memo", "legs", "date", "named"),
    [
        ("n", (leg(),), NOON, "memo 'n' instead of 'm'"),
        ("m", (leg(debit="2"),), NOON, "has debit 2 on A; lacks debit 1 on A"),
        ("m", (leg(),), None, "date none instead of 2026-01-01T12:00:00+00:00"),
        ("m", (leg(),), NOON, "a value of another type, or another original journal"),
    ],
)
def test_difference_is_named(
    memo: str, legs: tuple[LegContent, ...], date: dt.datetime | None, named: str
) -> None:
    used = UsedKey(ObjectId(), b"", NOON)
    text = difference_text(memo=memo, legs=legs, date=date, used=used, first_memo="m", first_legs=(leg(),))
    assert text == named

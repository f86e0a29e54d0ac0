"""Entries as documents: what is known of their size without encoding them."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import bson
import pytest

from medici_py.documents import Journal
from medici_py.entry import Entry
from medici_py.entry_documents import (
    are_small_journals,
    are_small_legs,
    journal_document,
    leg_documents,
)
from medici_py.entry_rules import EntryRules

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
MESSAGE_BYTES = 48_000_000
WIDE = "\U0001f3e6"
"""A character of four bytes."""

Document = dict[str, Any]


class NoPoster:
    async def post(self, entry: Entry, **_: Any) -> Journal:
        raise AssertionError("nothing is posted here")

    async def preview(self, entry: Entry, **_: Any) -> Journal:
        raise AssertionError("nothing is posted here")


def entry_of(memo: str = "memo", *, book: str = "Bank") -> Entry:
    return Entry(memo, EntryRules(book, max_account_path=250, dimensions={}), NoPoster())


def legs_of(entry: Entry) -> list[Document]:
    return leg_documents(entry, recorded_at=NOW)


def journal_of(entry: Entry) -> Document:
    return journal_document(entry, [leg.id for leg in entry.legs], recorded_at=NOW)


@pytest.mark.parametrize(
    "account",
    [WIDE * 500, [WIDE] * 250, [WIDE * 99] * 5],
    ids=["one part", "many parts", "a few parts"],
)
def test_largest_small_legs_fit_into_one_message(account: Any) -> None:
    """4,096 of them, with the longest texts that count as short and an amount of 34 digits."""
    legs = legs_of(entry_of(WIDE * 500, book=WIDE * 500).debit(account, 10**34 - 1)) * 4_096
    assert are_small_legs(legs)
    assert len(bson.encode({"documents": legs})) < MESSAGE_BYTES


def test_largest_small_journals_fit_into_one_message() -> None:
    """4,096 of them, with the longest texts that count as short and 100,000 legs together."""
    entry = entry_of(WIDE * 500, book=WIDE * 500)
    journals = [journal_of(entry)] * 4_095
    journals.append({**journals[0], "_transactions": [entry.id] * 100_000})
    assert are_small_journals(journals)
    assert len(bson.encode({"documents": journals})) < MESSAGE_BYTES


@pytest.mark.parametrize(
    ("change", "small"),
    [
        (lambda leg: leg, True),
        (lambda leg: {**leg, "memo": "m" * 500}, True),
        (lambda leg: {**leg, "memo": "m" * 501}, False),
        (lambda leg: {**leg, "accounts": "a" * 501}, False),
        (lambda leg: {**leg, "book": "b" * 501}, False),
        (lambda leg: {**leg, "meta": {"note": "of any length"}}, False),
    ],
)
def test_legs_are_small_only_with_short_texts_and_nothing_attached(
    change: Callable[[Document], Document], small: bool
) -> None:
    """One leg that may be large is enough; nobody looks into what a caller has attached."""
    legs = legs_of(entry_of().debit("A", 1).credit("B", 1))
    assert are_small_legs([*legs, change(legs[0])]) is small


@pytest.mark.parametrize(
    ("change", "small"),
    [
        (lambda journal: journal, True),
        (lambda journal: {**journal, "memo": "m" * 501}, False),
        (lambda journal: {**journal, "book": "b" * 501}, False),
        (lambda journal: {**journal, "metadata": {"note": "of any length"}}, False),
        (lambda journal: {**journal, "_transactions": [journal["_id"]] * 100_000}, False),
    ],
)
def test_journals_are_small_only_with_short_texts_few_legs_and_nothing_attached(
    change: Callable[[Document], Document], small: bool
) -> None:
    """As legs; the ids of legs count over all journals together."""
    journal = journal_of(entry_of().debit("A", 1).credit("B", 1))
    assert are_small_journals([journal, change(journal)]) is small


def test_many_documents_are_not_small() -> None:
    """However small each of them is."""
    legs = legs_of(entry_of().debit("A", 1))
    assert are_small_legs(legs * 4_096)
    assert not are_small_legs(legs * 4_097)
    assert not are_small_journals([journal_of(entry_of())] * 4_097)

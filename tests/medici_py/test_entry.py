"""The builder and the law of balance, without a database."""

import asyncio
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medici_py.documents import Journal
from medici_py.entry import Entry, check_entry
from medici_py.entry_documents import journal_document, leg_documents
from medici_py.entry_rules import EntryRules
from medici_py.errors import TransactionError
from medici_py.money import decimal_from_stored, exact_sum

NOW = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
RULES = EntryRules(book="MainBook", dimensions={"currency": "BTC"})

legs = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from(["A", "A:B", "C"]),
        st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**20), max_value=10**20),
        st.sampled_from(["BTC", "USD"]),
    ),
    max_size=8,
)


class NoPoster:
    async def post(self, entry: Entry, **_: Any) -> Journal:
        return Journal.from_document(journal_document(entry, [], recorded_at=NOW))


def entry_of(legs: list[tuple[bool, str, Decimal, str]]) -> Entry:
    entry = Entry("memo", RULES, NoPoster())
    for is_debit, account, amount, currency in legs:
        (entry.debit if is_debit else entry.credit)(account, amount, {"currency": currency})
    return entry


@given(legs=legs, close=st.booleans())
def test_accepted_journal_sums_to_zero_in_every_currency(
    legs: list[tuple[bool, str, Decimal, str]], close: bool
) -> None:
    """What passes the check is balanced as stored, and what is balanced passes."""
    if close:
        legs = legs + [(not is_debit, "Z", amount, currency) for is_debit, _, amount, currency in legs]
    entry = entry_of(legs)
    try:
        check_entry(entry)
    except TransactionError:
        assert not close or not legs
    else:
        for currency in ("BTC", "USD"):
            stored = [
                leg for leg in leg_documents(entry, recorded_at=NOW) if leg["meta"]["currency"] == currency
            ]
            debits, credited = (
                exact_sum(decimal_from_stored(leg[side]) for leg in stored) for side in ("debit", "credit")
            )
            assert debits == credited


@given(legs=legs)
def test_total_is_credit_minus_debit_of_the_unbalanced_currency(
    legs: list[tuple[bool, str, Decimal, str]],
) -> None:
    """The error carries the exact difference."""
    entry = entry_of([*legs, (True, "A", Decimal(10**21), "BTC")])
    with pytest.raises(TransactionError) as caught:
        check_entry(entry)
    differences = {
        exact_sum(
            amount.copy_negate() if is_debit else amount
            for is_debit, _, amount, leg_currency in [*legs, (True, "A", Decimal(10**21), "BTC")]
            if leg_currency == currency
        )
        for currency in ("BTC", "USD")
    }
    assert caught.value.total in differences


def test_documents_of_an_entry_are_the_same_at_every_try() -> None:
    """Ids are fixed before the first try; only the recorded time moves."""
    entry = entry_of([(True, "A", Decimal(1), "BTC"), (False, "B", Decimal(1), "BTC")])
    first, again = leg_documents(entry, recorded_at=NOW), leg_documents(entry, recorded_at=NOW)
    assert first == again
    later = leg_documents(entry, recorded_at=NOW + dt.timedelta(seconds=1))
    assert [leg["_id"] for leg in first] == [leg["_id"] for leg in later]
    assert {entry.id} == {leg["_journal"] for leg in later}


def test_entry_shows_what_it_is() -> None:
    """Its repr tells memo, book, legs and whether it is posted."""
    entry = entry_of([(True, "A", Decimal(0), "BTC")])
    assert repr(entry) == "<Entry 'memo' in 'MainBook': 1 legs, open>"
    asyncio.run(entry.commit())
    assert repr(entry) == "<Entry 'memo' in 'MainBook': 1 legs, posted>"

"""What a void writes, decided without a database."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from medici_py.documents import Transaction
from medici_py.entry_rules import EntryRules
from medici_py.errors import TransactionError, UnreadableDocumentError
from medici_py.money import decimal_from_stored
from medici_py.void import Reversal, reversal_documents, void_text

NOW = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
JOURNAL = {"_id": ObjectId(), "memo": "Rent"}
REVERSAL = Reversal(id=ObjectId(), text="[VOID] Rent", date=NOW, recorded_at=NOW)
RULES = EntryRules(book="MainBook")


def leg(**fields: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "_journal": JOURNAL["_id"],
        "account_path": ["A"],
        "accounts": "A",
        "book": "MainBook",
        "credit": Int64(0),
        "datetime": NOW,
        "debit": Int64(7),
        "memo": "Rent",
        "timestamp": NOW,
    } | fields


def reverse(*legs: dict[str, Any], rules: EntryRules = RULES) -> list[dict[str, Any]]:
    return reversal_documents(REVERSAL, JOURNAL, legs, rules)


@pytest.mark.parametrize(
    ("reason", "memo", "text"),
    [
        ("a mistake", "Rent", "a mistake"),
        ("", "Rent", "[VOID] Rent"),
        (None, "Rent", "[VOID] Rent"),
        (None, "", "[VOID]"),
        (None, None, "[VOID]"),
        (None, "[VOID] Rent", "[UNVOID] Rent"),
        (None, "[VOID]", "[UNVOID]"),
        (None, "[UNVOID] Rent", "[REVOID] Rent"),
        (None, "[REVOID] Rent", "[UNVOID] Rent"),
        (None, " [VOID] Rent", "[VOID]  [VOID] Rent"),
        (None, "[void] Rent", "[VOID] [void] Rent"),
        (None, "[VOID] [VOID] Rent", "[UNVOID] [VOID] Rent"),
    ],
)
def test_text_is_the_reason_or_comes_from_the_memo(reason: str | None, memo: str | None, text: str) -> None:
    """Only a tag at the very beginning counts, and only it changes."""
    assert text == void_text(reason, memo)


@pytest.mark.parametrize(
    ("debit", "credit", "reversed_sides"),
    [
        (Int64(7), Int64(0), [(0, 7)]),
        (0, 7, [(7, 0)]),
        (-7, 0, [(0, -7)]),
        (3, 5, [(5, 0), (0, 3)]),
        (Decimal128("0.5"), 0, [(0, Decimal128("0.5"))]),
        (Decimal128("0"), 7.0, [(7, 0)]),
        (0.1 + 0.2, None, [(0, 0.1 + 0.2)]),
        (2.0**70, 0, [(0, 2.0**70)]),
    ],
)
def test_sides_are_swapped_with_sign_and_digits(
    debit: Any, credit: Any, reversed_sides: list[tuple[Any, Any]]
) -> None:
    """Both sides make two legs; whole numbers become int64, anything else keeps its stored value."""
    documents = reverse(leg(debit=debit, credit=credit))
    assert reversed_sides == [(document["debit"], document["credit"]) for document in documents]
    assert all(
        isinstance(document[side], (Int64, Decimal128, float))
        for document in documents
        for side in ("debit", "credit")
    )


def test_legs_of_zero_are_left_out_unless_nothing_remains() -> None:
    """Zeros beside others go; zeros alone cannot be reversed."""
    assert len(reverse(leg(), leg(debit=0))) == 1
    with pytest.raises(TransactionError, match="nothing to reverse"):
        reverse(leg(debit=0))


def test_meta_is_copied_whole_and_unknown_fields_move_into_it() -> None:
    """Names that no book could post stay readable and reversible."""
    (document,) = reverse(leg(meta={"client": "Joe", "constructor": 1, "a.b": 2}, approved=True, voided=True))
    assert document["meta"] == {"client": "Joe", "constructor": 1, "a.b": 2, "approved": True}
    assert "voided" not in document


def test_fields_of_the_model_stay_top_level() -> None:
    """What the book's model declares is copied where it was."""

    class WalletTransaction(Transaction):
        wallet: str | None = None

    rules = EntryRules(book="MainBook", transaction_model=WalletTransaction)
    (document,) = reverse(leg(wallet="w1"), rules=rules)
    assert (document["wallet"], document.get("meta")) == ("w1", None)


def test_own_date_and_memo_of_a_leg_are_not_copied() -> None:
    """The reversal has one date, one memo, and names the voided journal."""
    (document,) = reverse(leg(datetime=NOW - dt.timedelta(days=9), memo="own", _original_journal=ObjectId()))
    assert (NOW, "[VOID] Rent", JOURNAL["_id"]) == (
        document["datetime"],
        document["memo"],
        document["_original_journal"],
    )


def test_ids_are_left_to_the_server_in_a_shared_book() -> None:
    """As for any leg of a book that Node reads."""
    assert "_id" in reverse(leg())[0]
    assert "_id" not in reverse(leg(), rules=EntryRules(book="MainBook", server_ids=True))[0]


stored_amounts = st.one_of(
    st.integers(-(2**62), 2**62).map(Int64),
    st.integers(-(2**31), 2**31 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**20), max_value=10**20).map(
        Decimal128
    ),
)


@given(sides=st.lists(st.tuples(stored_amounts, stored_amounts), min_size=1))
def test_reversal_cancels_every_leg_to_the_last_digit(sides: list[tuple[Any, Any]]) -> None:
    """Turnovers of the reversal are those of the legs with the sides exchanged, whatever was stored."""
    legs = [leg(debit=debit, credit=credit) for debit, credit in sides]
    try:
        documents = reverse(*legs)
    except TransactionError:
        assert not any(decimal_from_stored(side) for pair in sides for side in pair)
        return

    def amounts(documents: list[dict[str, Any]], side: str) -> list[Decimal]:
        return [amount for document in documents if (amount := decimal_from_stored(document[side]))]

    assert amounts(legs, "debit") == amounts(documents, "credit")
    assert amounts(legs, "credit") == amounts(documents, "debit")


@pytest.mark.parametrize("damage", [{"debit": True}, {"credit": "5"}, {"accounts": None}, {"meta": "text"}])
def test_leg_that_cannot_be_read_is_named(damage: dict[str, Any]) -> None:
    """A reversal is never made of what is not understood."""
    damaged = leg(**damage)
    with pytest.raises(UnreadableDocumentError) as caught:
        reverse(leg(), damaged)
    assert (caught.value.document_id, caught.value.field) == (damaged["_id"], next(iter(damage)))

"""Stored documents are read leniently, whoever wrote them."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from pydantic import Field, ValidationError

from medici_py import Journal, Transaction, UnreadableDocumentError
from medici_py.documents import custom_stored_names, journal_defaults, object_id_names, stored_names

NOW = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
LEG: dict[str, Any] = {
    "_id": ObjectId(),
    "_journal": ObjectId(),
    "account_path": ["A", "B"],
    "accounts": "A:B",
    "book": "MainBook",
    "credit": 0,
    "datetime": NOW,
    "debit": 5,
    "memo": "x",
    "timestamp": NOW,
}


def test_leg_is_read_under_python_names() -> None:
    """Stored names are aliases; what is absent has its default."""
    leg = Transaction.from_document(LEG)
    assert (LEG["_id"], LEG["_journal"], ("A", "B"), Decimal(5)) == (
        leg.id,
        leg.journal,
        leg.account_path,
        leg.debit,
    )
    assert (leg.meta, leg.original_journal, leg.voided, leg.void_reason) == ({}, None, False, None)


@pytest.mark.parametrize("stored", [5, Int64(5), 5.0, Decimal128("5.0")])
def test_amount_of_any_numeric_type_is_a_decimal(stored: Any) -> None:
    """int32, int64, double, Decimal128."""
    assert Decimal(5) == Transaction.from_document(LEG | {"debit": stored}).debit


@pytest.mark.parametrize(
    ("oddity", "field", "value"),
    [
        ({"meta": None}, "meta", {}),
        ({"credit": None}, "credit", Decimal(0)),
        ({"account_path": [], "accounts": ""}, "account_path", ()),
        ({"account_path": ["A:B", ""]}, "account_path", ("A:B", "")),
        ({"unknown": 1}, "memo", "x"),
        ({"memo": None}, "memo", ""),
    ],
)
def test_oddities_of_other_writers_are_readable(oddity: dict[str, Any], field: str, value: Any) -> None:
    """What could not be posted here can still be read."""
    assert value == getattr(Transaction.from_document(LEG | oddity), field)


@pytest.mark.parametrize(
    ("field", "value"), [("debit", True), ("debit", "5"), ("datetime", "soon"), ("_journal", 5)]
)
def test_field_that_cannot_be_read_is_named(field: str, value: Any) -> None:
    """Document, field and value are in the error."""
    with pytest.raises(UnreadableDocumentError, match=field) as caught:
        Transaction.from_document(LEG | {field: value})
    assert (LEG["_id"], field, value) == (caught.value.document_id, caught.value.field, caught.value.value)


def test_documents_cannot_be_changed() -> None:
    """A value read stays what was read."""
    journal = Journal(id=ObjectId(), datetime=NOW, book="MainBook")
    with pytest.raises(ValidationError):
        journal.memo = "other"  # type: ignore[misc]


class WalletTransaction(Transaction):
    wallet_id: ObjectId | None = None
    owner: str = "nobody"


class CountedTransaction(WalletTransaction):
    seen: int = Field(default=0, exclude=True)


class ApprovedJournal(Journal):
    approved: bool = False
    reviewer: str


def test_names_of_models_are_those_in_the_database() -> None:
    """Aliases count, the model's own fields are told apart, id fields are known."""
    assert {"_journal", "_original_journal", "wallet_id"} <= stored_names(WalletTransaction)
    assert {"wallet_id", "owner"} == custom_stored_names(WalletTransaction)
    assert {"_id", "_journal", "_original_journal", "wallet_id"} == object_id_names(WalletTransaction)
    assert journal_defaults(ApprovedJournal) == {"approved": False}
    assert journal_defaults(Journal) == {}


def test_field_that_is_excluded_is_no_part_of_the_document() -> None:
    """What a model keeps for itself is not stored, and as an extra key it goes under meta."""
    assert stored_names(WalletTransaction) == stored_names(CountedTransaction)


@pytest.mark.parametrize("stored", [1_714_564_800_000, 1_714_564_800_000.0, Int64(1_714_564_800_000)])
def test_date_stored_as_a_number_is_milliseconds(stored: Any) -> None:
    """As JavaScript counts, however small the number is."""
    noon = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
    assert noon == Transaction.from_document(LEG | {"datetime": stored}).datetime
    second = dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)
    assert second == Transaction.from_document(LEG | {"timestamp": 1000}).timestamp


@pytest.mark.parametrize("stored", [True, 10**18, float("inf")])
def test_date_stored_as_a_number_that_is_none_is_named(stored: Any) -> None:
    """A bool is no instant, and the calendar ends."""
    with pytest.raises(UnreadableDocumentError, match="datetime"):
        Transaction.from_document(LEG | {"datetime": stored})


@pytest.mark.parametrize("amount", [Decimal("1E-999999"), Decimal("1E+999999")])
def test_amount_beyond_all_digits_is_named(amount: Decimal) -> None:
    """No driver hands one over, but a caller who makes a leg by hand may."""
    with pytest.raises(UnreadableDocumentError, match="more digits"):
        Transaction.from_document(LEG | {"debit": amount})

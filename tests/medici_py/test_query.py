"""Questions become filters that mean exactly what was asked."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, ObjectId

from medici_py.documents import Transaction
from medici_py.errors import InvalidQueryError
from medici_py.query import beyond, exactly, parse_leg_query

UTC = dt.UTC
MAY = dt.datetime(2024, 5, 1, tzinfo=UTC)
LEG = ObjectId("65f000000000000000000001")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"book": "B"}),
        ({"account": "A:B"}, {"book": "B", "account_path.0": "A", "account_path.1": "B"}),
        (
            {"account": ["A", "C:D"]},
            {"book": "B", "$or": [{"account_path.0": "A"}, {"account_path.0": "C", "account_path.1": "D"}]},
        ),
        ({"extra": {"client": 1, "memo": "x"}}, {"book": "B", "meta.client": 1, "memo": "x"}),
        ({"extra": {"o.x": 1}}, {"book": "B", "meta.o.x": 1}),
        ({"extra": {"book": "Other"}}, {"book": "Other"}),
        (
            {"start_date": MAY, "end_date": 0},
            {"book": "B", "datetime": {"$gte": MAY, "$lte": dt.datetime(1970, 1, 1, tzinfo=UTC)}},
        ),
        ({"start_tx_id": LEG}, {"$and": [{"book": "B"}, {"_id": {"$gt": LEG}}]}),
        ({"extra": {"_journal": str(LEG)}}, {"book": "B", "_journal": LEG}),
        ({"extra": {"_journal": {"$nin": [str(LEG), LEG]}}}, {"book": "B", "_journal": {"$nin": [LEG, LEG]}}),
        (
            {"extra": {"credit": {"$gte": Decimal("0.5")}}},
            {"book": "B", "credit": {"$gte": Decimal128("0.5")}},
        ),
    ],
)
def test_filter_holds_everything_that_was_asked(arguments: dict[str, Any], expected: dict[str, Any]) -> None:
    """Model fields are top-level, other keys under meta, hex digits of id fields become ids."""
    assert expected == parse_leg_query("B", **arguments).to_filter()


def test_fields_of_a_custom_model_are_top_level_inside_too() -> None:
    """A declared field is reached by its name and by a path into it."""

    class WalletTransaction(Transaction):
        wallet: dict[str, Any] | None = None

    query = parse_leg_query("B", None, {"wallet.id": 1, "wallets": 2}, model=WalletTransaction)
    assert query.to_filter() == {"book": "B", "wallet.id": 1, "meta.wallets": 2}


@pytest.mark.parametrize(
    ("field", "value"), [("start_date", "x"), ("end_date", True), ("start_tx_id", "x"), ("end_tx_id", 1)]
)
def test_refusal_names_the_argument_and_what_was_found(field: str, value: Any) -> None:
    """The caller can show it to whoever typed it."""
    with pytest.raises(InvalidQueryError, match=field) as caught:
        parse_leg_query("B", **{field: value})
    assert (field, value) == (caught.value.field, caught.value.value)


def test_exactly_turns_any_value_into_equality() -> None:
    """What a user typed cannot become an operator."""
    assert exactly({"$ne": None}) == {"$eq": {"$ne": None}}


@pytest.mark.parametrize(("oldest_first", "operator"), [(False, "$lt"), (True, "$gt")])
def test_what_lies_beyond_a_leg_is_decided_key_by_key(oldest_first: bool, operator: str) -> None:
    """Later date; or the same date and later recorded time; or both the same and a later id."""
    last = {"_id": 3, "datetime": 1, "timestamp": 2, "memo": "x"}
    assert {
        "$or": [
            {"datetime": {operator: 1}},
            {"datetime": 1, "timestamp": {operator: 2}},
            {"datetime": 1, "timestamp": 2, "_id": {operator: 3}},
        ]
    } == beyond(last, oldest_first=oldest_first)

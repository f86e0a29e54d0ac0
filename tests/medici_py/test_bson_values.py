"""What callers attach becomes plain BSON, copied and checked."""

import datetime as dt
from collections import OrderedDict
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from bson import Decimal128, ObjectId, Regex
from bson.codec_options import DEFAULT_CODEC_OPTIONS

from medici_py.bson_values import MAX_DEPTH, check_encodable, hashable, stored_copy


class Layer(StrEnum):
    SETTLED = "settled"


class Side(Enum):
    DEBIT = 1


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "copy"),
    [
        (Decimal("0.50"), Decimal128("0.50")),
        (Layer.SETTLED, "settled"),
        (Side.DEBIT, 1),
        ((1, (2, 3)), [1, [2, 3]]),
        (OrderedDict(b=1, a=Decimal(2)), {"b": 1, "a": Decimal128("2")}),
        (None, None),
        (nested(MAX_DEPTH), nested(MAX_DEPTH)),
    ],
)
def test_values_become_plain_bson_types(value: Any, copy: Any) -> None:
    """Decimals, enums, tuples and mappings have one stored form; key order stays."""
    stored = stored_copy(value)
    assert (type(copy), copy) == (type(stored), stored)


def test_copy_does_not_follow_the_original() -> None:
    """At any depth."""
    original: dict[str, Any] = {"a": [{"b": 1}]}
    stored = stored_copy(original)
    original["a"][0]["b"] = 2
    assert stored == {"a": [{"b": 1}]}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"$gt": 1}, "begins with"),
        ({"a": {"b.c": 1}}, "holds '.'"),
        ([{"": 1}], "is empty"),
        ({"a\0": 1}, "holds NUL"),
        ({1: 1}, "is not text"),
        (dt.datetime(2024, 5, 1), "has no time zone"),  # noqa: DTZ001 - the case
        (Decimal("1E+7000"), "does not fit"),
        (nested(MAX_DEPTH + 1), "levels deep"),
    ],
)
def test_value_that_could_not_be_found_again_is_refused(value: Any, reason: str) -> None:
    """Keys no query reaches, times without zone, numbers and nesting BSON cannot hold."""
    with pytest.raises(ValueError, match=reason):
        stored_copy(value)


def test_queries_may_use_operators_and_paths() -> None:
    """There they are what is meant."""
    assert stored_copy({"$elemMatch": {"a.b": 1}}, operators=True) == {"$elemMatch": {"a.b": 1}}


@pytest.mark.parametrize("value", [object(), 2**64, dt.date(2024, 5, 1), UUID(int=1), {1, 2}, "\ud800"])
def test_value_that_bson_cannot_hold_is_refused(value: Any) -> None:
    """Before it is sent, with the driver's reason."""
    with pytest.raises(ValueError, match="BSON cannot hold it"):
        check_encodable({"value": value}, DEFAULT_CODEC_OPTIONS)


def test_value_that_bson_can_hold_passes() -> None:
    """Ids, texts, dates with zone, numbers."""
    check_encodable(
        {"value": [ObjectId(), "x", dt.datetime.now(dt.UTC), 2**63 - 1, 0.5, None]}, DEFAULT_CODEC_OPTIONS
    )


@pytest.mark.parametrize(
    ("value", "equal"),
    [
        ([1, {"a": [2]}], [1, {"a": [2]}]),
        ({"a": {"b": []}}, {"a": {"b": []}}),
        (Regex("x"), Regex("x")),
        (None, None),
        (ObjectId("0" * 24), ObjectId("0" * 24)),
    ],
)
def test_any_stored_value_can_be_a_key(value: Any, equal: Any) -> None:
    """Of what other writers keep in the place of an id; equal values are the same key."""
    assert {hashable(value): "found"}[hashable(equal)] == "found"
    assert hashable([value, 7]) != hashable([value, 8])

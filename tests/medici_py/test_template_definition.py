"""The canonical form of what a template does: equal things are written alike, different ones are not."""

import datetime as dt
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Optional, Union
from uuid import UUID

import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from medici_py import TemplateParams
from medici_py.template_definition import (
    MAX_SHOWN_DIFFERENCES,
    canonical,
    definition_differences,
    fingerprint_of,
    params_schema,
    shown_differences,
    type_text,
)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Money(TemplateParams):
    currency: str
    amount: Decimal


class Tree(TemplateParams):
    below: "list[Tree] | None" = None


class Trade(TemplateParams):
    sats: Annotated[int, Field(gt=0, title="Satoshi", description="What was paid")]
    note: str | None = None
    colour: Colour = Colour.RED
    prices: list[Money] = Field(default_factory=list)


OBJECT_ID = "65f000000000000000000001"
UUID_TEXT = "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, None),
        (True, True),
        (5, 5),
        (2**63, {"int": "9223372036854775808"}),
        ("5", "5"),
        (Decimal("5.50"), {"decimal": "5.5"}),
        (Decimal("5E+3"), {"decimal": "5000"}),
        (Decimal("NaN"), {"decimal": "NaN"}),
        (0.1, {"float": "0.1"}),
        (dt.date(2024, 1, 31), {"date": "2024-01-31"}),
        (dt.datetime(2024, 1, 31, tzinfo=dt.UTC), {"datetime": "2024-01-31T00:00:00+00:00"}),
        (dt.time(1, 2), {"time": "01:02:00"}),
        (dt.timedelta(hours=1), {"timedelta": "1:00:00"}),
        (UUID(UUID_TEXT), {"uuid": UUID_TEXT}),
        (ObjectId(OBJECT_ID), {"objectid": OBJECT_ID}),
        (b"\x01\xff", {"bytes": "01ff"}),
        (Colour.BLUE, "blue"),
        ((1, [2]), [1, [2]]),
        ({"b", "a"}, ["a", "b"]),
        ({2: "x", "a": 1}, {"2": "x", "a": 1}),
        (Money(currency="USD", amount=Decimal(1)), {"amount": {"decimal": "1"}, "currency": "USD"}),
    ],
)
def test_value_has_one_plain_form(value: object, form: object) -> None:
    """What JSON has no word for is tagged with its kind."""
    assert canonical(value) == form
    assert type(canonical(value)) is type(form)


def test_keys_are_in_order_at_every_level() -> None:
    """So that two stored definitions can be compared by eye."""
    form = canonical({"b": {"d": 1, "c": 2}, "a": 3})
    assert (list(form), list(form["b"])) == (["a", "b"], ["c", "d"])


def test_value_without_one_is_refused() -> None:
    """Its text could be another one tomorrow."""
    with pytest.raises(ValueError, match="a object has no canonical form"):
        canonical({"deep": [object()]})


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (Optional[int], "None | int"),  # noqa: UP045 - the spelling is the point
        (Union[None, int], "None | int"),  # noqa: UP007
        (int | None, "None | int"),
        (Annotated[int, Field(gt=0)], "int"),
        (list[Annotated[int, Field(gt=0)]], "list[int]"),
        (dict[str, Decimal], "dict[str, Decimal]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Literal["b", 1, "a"], 'Literal["a", "b", 1]'),
        (Colour, 'Colour("blue", "red")'),
        (dt.date, "date"),
        (Money, "Money(amount: Decimal, currency: str)"),
        (list[Money] | None, "None | list[Money(amount: Decimal, currency: str)]"),
        (Tree, "Tree(below: None | list[Tree])"),
        (Any, "Any"),
    ],
)
def test_type_is_written_the_same_however_it_is_spelled(annotation: object, text: str) -> None:
    """Constraints are left out: they change which params are taken, never what these post."""
    assert type_text(annotation) == text


def test_schema_of_params_is_names_types_and_defaults() -> None:
    """By name, without titles and descriptions."""
    money = "Money(amount: Decimal, currency: str)"
    assert params_schema(Trade) == {
        "colour": {"type": 'Colour("blue", "red")', "required": False, "default": "red"},
        "note": {"type": "None | str", "required": False, "default": None},
        "prices": {"type": f"list[{money}]", "required": False, "default": "made by list"},
        "sats": {"type": "int", "required": True},
    }
    assert list(params_schema(Trade)) == sorted(Trade.model_fields)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=5), st.randoms())
def test_order_of_keys_changes_no_fingerprint(value: dict[str, Any], random: Any) -> None:
    """At the top and below."""

    def shuffled(item: Any) -> Any:
        if isinstance(item, dict):
            keys = list(item)
            random.shuffle(keys)
            return {key: shuffled(item[key]) for key in keys}
        return [shuffled(one) for one in item] if isinstance(item, list) else item

    assert fingerprint_of(canonical(shuffled(value))) == fingerprint_of(canonical(value))


def test_difference_is_a_line_for_each_value() -> None:
    """Removed and added values in the order of the definition; what is the same is not shown."""
    registered = {"params": {"a": {"type": "int"}}, "samples": [{"legs": [{"amount": "5", "side": "debit"}]}]}
    given_ = {"params": {}, "samples": [{"legs": [{"amount": "6", "side": "debit"}, {"amount": "1"}]}]}
    assert definition_differences(registered, given_) == (
        '-params.a.type: "int"',
        '-samples[0].legs[0].amount: "5"',
        "+params: {}",
        '+samples[0].legs[0].amount: "6"',
        '+samples[0].legs[1].amount: "1"',
    )
    assert definition_differences(registered, registered) == ()


@pytest.mark.parametrize(
    ("lines", "last"), [(20, "+19"), (21, "... and 1 more lines"), (50, "... and 30 more lines")]
)
def test_long_difference_is_cut_for_a_message(lines: int, last: str) -> None:
    """The attribute of the error has them all."""
    text = shown_differences(tuple(f"+{number}" for number in range(lines))).splitlines()
    assert text[-1] == last
    assert len(text) <= MAX_SHOWN_DIFFERENCES + 1

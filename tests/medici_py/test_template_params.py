"""Params are taken as declared or refused by name."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from medici_py import Side, TemplateLeg, TemplateParams, TemplateParamsError, TransactionTemplate
from medici_py.templates import legs_of


class Fee(TemplateParams):
    sats: int


class Trade(TemplateParams):
    sats: int
    price: Decimal
    day: dt.date | None = None
    fees: tuple[Fee, ...] = ()


class Other(TemplateParams):
    sats: int
    price: Decimal


SAMPLE = Trade(sats=1, price=Decimal(2))


def trade_legs(params: Trade) -> list[TemplateLeg]:
    return [
        TemplateLeg(account=account, side=side, amount=params.sats, currency="BTC", entry_type="TRADE")
        for account, side in (("A", Side.DEBIT), ("B", Side.CREDIT))
    ]


TRADE = TransactionTemplate(
    code="TRADE", version=2, description="A trade.", params=Trade, legs=trade_legs, samples=[SAMPLE]
)


@pytest.mark.parametrize(
    "params",
    [
        Trade(sats=5, price=Decimal(2)),
        {"sats": 5, "price": Decimal(2)},
        {"sats": 5, "price": Decimal(2), "day": dt.date(2024, 1, 31), "fees": ({"sats": 1},)},
    ],
)
def test_instance_or_mapping_makes_the_same_legs(params: Any) -> None:
    """A mapping is what an application has from a message."""
    assert [leg.amount for leg in legs_of(TRADE, params)] == [5, 5]


GOOD = {"sats": 5, "price": Decimal(2)}


@pytest.mark.parametrize(
    ("params", "field", "value", "text"),
    [
        ({"price": Decimal(2)}, "sats", None, "sats: found nothing, expected int"),
        (GOOD | {"sats": "5"}, "sats", "5", "sats: found '5', expected a valid integer"),
        (GOOD | {"sats": 5.0}, "sats", 5.0, "sats: found 5.0, expected a valid integer"),
        (GOOD | {"sats": True}, "sats", True, "sats: found True, expected a valid integer"),
        (GOOD | {"sats": None}, "sats", None, "sats: found None, expected a valid integer"),
        (GOOD | {"price": 0.1}, "price", 0.1, "price: found 0.1, expected an instance of Decimal"),
        (
            GOOD | {"price": Decimal("NaN")},
            "price",
            Decimal("NaN"),
            "price: found Decimal('NaN'), expected a finite number",
        ),
        (GOOD | {"day": "2024-01-31"}, "day", "2024-01-31", "expected a valid date"),
        (
            GOOD | {"cents": 1},
            "cents",
            1,
            "cents: found 1, expected no such param, only day, fees, price, sats",
        ),
        (GOOD | {"fees": ({"sats": "1"},)}, "fees.0.sats", "1", "fees.0.sats: found '1'"),
        (GOOD | {"fees": ({},)}, "fees.0.sats", None, "fees.0.sats: found nothing, expected a value"),
        (GOOD | {"fees": ({"sats": 1, "x": 2},)}, "fees.0.x", 2, "fees.0.x: found 2, expected nothing"),
        (
            "TRADE",
            "params",
            "TRADE",
            "params: found 'TRADE', expected a valid dictionary or instance of Trade",
        ),
    ],
)
def test_param_at_fault_is_named_with_what_was_found_and_expected(
    params: Any, field: str, value: object, text: str
) -> None:
    """Missing, unknown or of another type; nothing is coerced."""
    with pytest.raises(TemplateParamsError) as caught:
        legs_of(TRADE, params)
    error = caught.value
    assert (error.code, error.template, error.leg, error.field) == (400, "TRADE", None, field)
    assert repr(error.value) == repr(value)
    assert str(error).startswith("Params refused by template TRADE version 2: ")
    assert text in str(error)
    assert error.expected in str(error)


def test_all_faults_are_in_the_message() -> None:
    """Whoever mends one would meet the next."""
    with pytest.raises(TemplateParamsError, match=r"sats: found nothing.*; price: found nothing.*\.$"):
        legs_of(TRADE, {})


def test_params_of_another_template_are_refused() -> None:
    """Even if they have the same fields."""
    with pytest.raises(TemplateParamsError, match="expected a valid dictionary or instance of Trade"):
        legs_of(TRADE, Other(sats=1, price=Decimal(2)))  # type: ignore[arg-type]


def test_instance_that_was_never_validated_is() -> None:
    """What was built around the validation is found out when it is posted."""
    with pytest.raises(TemplateParamsError, match="sats: found '5', expected a valid integer"):
        legs_of(TRADE, Trade.model_construct(sats="5", price=Decimal(2)))  # type: ignore[arg-type]


def test_params_cannot_be_changed() -> None:
    """A sample stays what its fingerprint says."""
    with pytest.raises(ValidationError):
        SAMPLE.sats = 2  # type: ignore[misc]

"""What a leg of a template may be, and when legs balance."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medici_py import Layer, Side, TemplateLeg
from medici_py.template_legs import imbalance, leg_fault


def leg(**changes: Any) -> TemplateLeg:
    """Build a leg that is accepted, with *changes*."""
    is_so: dict[str, Any] = {
        "account": "Assets:Cash",
        "side": Side.DEBIT,
        "amount": 5,
        "currency": "USD",
        "entry_type": "X_USD_DR",
    }
    return TemplateLeg(**is_so | changes)


@pytest.mark.parametrize("amount", [1, 10**33, Decimal("0.00000001"), Decimal("1E+3"), Decimal("12.50")])
def test_amount_above_zero_is_accepted(amount: Any) -> None:
    """Whole or not; how many places a book allows is the book's affair."""
    assert leg_fault(leg(amount=amount)) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": 0}, "amount 0 USD on 'Assets:Cash' refused: give an int or a Decimal above zero"),
        ({"amount": -5}, "amount -5 USD"),
        ({"amount": Decimal(0)}, "amount Decimal('0')"),
        ({"amount": Decimal("-0.1")}, "amount Decimal('-0.1')"),
        ({"amount": Decimal("NaN")}, "amount Decimal('NaN')"),
        ({"amount": Decimal("Infinity")}, "amount Decimal('Infinity')"),
        ({"amount": True}, "amount True"),
        ({"amount": 5.0}, "amount 5.0"),
        ({"amount": "5"}, "amount '5'"),
        ({"amount": None}, "amount None"),
        ({"amount": 10**34 + 1}, "more than 34 digits"),
        ({"amount": 10**400}, "Amount an integer of 1329 bits"),
        ({"min_balance": "much"}, "'much'"),
        ({"max_balance": True}, "True"),
        ({"side": "debit"}, "side 'debit' refused: give a Side"),
        ({"layer": "SETTLED"}, "layer 'SETTLED' refused: give a Layer"),
        ({"currency": ""}, "currency '' refused: give text"),
        ({"currency": None}, "currency None refused: give text"),
        ({"entry_type": "\ud800"}, "entry_type '\\ud800' refused: give text"),
        ({"meta": None}, "meta None refused: give a mapping"),
        ({"meta": {"sequence": 1}}, "meta key 'sequence' refused: every leg of a template has its own"),
        ({"meta": {"a": 1, "currency": "EUR"}}, "meta key 'currency' refused"),
        ({"meta": {"layer": "PENDING"}}, "meta key 'layer' refused"),
        ({"meta": {"entry_type": "Y"}}, "meta key 'entry_type' refused"),
    ],
)
def test_leg_is_refused_saying_what_was_found(changes: dict[str, Any], reason: str) -> None:
    """Zero and negative amounts, binary floats, and whatever is no amount, side, layer or text."""
    fault = leg_fault(leg(**changes))
    assert fault is not None
    assert reason in fault


def test_something_else_is_no_leg() -> None:
    """A tuple with the same parts, say."""
    assert leg_fault(("A", 5)) == "('A', 5) refused: return a TemplateLeg"


@pytest.mark.parametrize(
    ("legs", "difference"),
    [
        ([leg(), leg(side=Side.CREDIT)], None),
        (
            [
                leg(),
                leg(side=Side.CREDIT, amount=Decimal("4.9")),
                leg(side=Side.CREDIT, amount=Decimal("0.1")),
            ],
            None,
        ),
        ([leg()], "currency USD, layer SETTLED: debits 5, credits 0, difference -5"),
        ([leg(), leg(side=Side.CREDIT, amount=6)], "debits 5, credits 6, difference 1"),
        ([leg(), leg(side=Side.CREDIT, currency="BTC")], "currency USD, layer SETTLED: debits 5, credits 0"),
        (
            [leg(), leg(side=Side.CREDIT, layer=Layer.PENDING)],
            "currency USD, layer SETTLED: debits 5, credits 0",
        ),
        (
            [
                leg(),
                leg(side=Side.CREDIT),
                leg(layer=Layer.ENCUMBERED),
                leg(side=Side.CREDIT, layer=Layer.PENDING),
            ],
            "currency USD, layer ENCUMBERED: debits 5, credits 0",
        ),
        (
            [leg(amount=10**27), leg(side=Side.CREDIT, amount=Decimal(f"{10**27}.000001"))],
            "difference 0.000001",
        ),
    ],
)
def test_debits_equal_credits_in_every_currency_of_every_layer(
    legs: list[TemplateLeg], difference: str | None
) -> None:
    """Exactly, to the last digit."""
    found = imbalance(legs)
    assert (found is None) is (difference is None)
    assert (difference or "") in (found or "")


LEGS = st.lists(
    st.builds(
        leg,
        side=st.sampled_from(Side),
        layer=st.sampled_from(Layer),
        currency=st.sampled_from(["BTC", "USD"]),
        amount=st.integers(1, 3) | st.sampled_from([Decimal("0.1"), Decimal("0.2")]),
    ),
    max_size=6,
)


@settings(deadline=None)
@given(LEGS)
def test_legs_balance_exactly_if_no_currency_and_layer_has_a_remainder(legs: list[TemplateLeg]) -> None:
    """The same as adding up signed amounts."""
    remainders: defaultdict[tuple[str, Layer], Decimal] = defaultdict(Decimal)
    for one in legs:
        sign = 1 if one.side is Side.CREDIT else -1
        remainders[one.currency, one.layer] += sign * Decimal(one.amount)
    assert (imbalance(legs) is None) is (not any(remainders.values()))


def test_stored_keys_are_the_legs_own_beside_its_meta() -> None:
    """Currency and layer are the dimensions of the book; the sequence is the place in the journal."""
    keys = leg(meta={"order": 7}, layer=Layer.PENDING).stored_keys(3)
    assert keys == {
        "order": 7,
        "currency": "USD",
        "layer": "PENDING",
        "entry_type": "X_USD_DR",
        "sequence": 3,
    }

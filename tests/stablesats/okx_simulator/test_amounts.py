"""How the simulated exchange computes and writes amounts."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx_simulator.amounts import booked, exact, plain_text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, ""),
        (Decimal(0), "0"),
        (Decimal("-0.0"), "0"),
        (Decimal("1E-7"), "0.0000001"),
        (Decimal("1E+5"), "100000"),
        (Decimal("-100.50"), "-100.5"),
        (Decimal(1200), "1200"),
        (Decimal("0.00000000000000005"), "0"),
        (Decimal("0.00000000000000015"), "0.0000000000000002"),
    ],
)
def test_amounts_are_written_plainly_with_at_most_sixteen_places(amount: Decimal | None, text: str) -> None:
    """No exponent, no trailing zero, half to even at the sixteenth place; not applicable is the empty text."""
    assert plain_text(amount) == text


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=16))
def test_writing_and_reading_a_booked_amount_is_the_identity(amount: Decimal) -> None:
    """What is held has sixteen places, so the text says all of it."""
    assert Decimal(plain_text(booked(amount))) == booked(amount)


def test_exact_functions_ignore_the_caller_s_decimal_context() -> None:
    """A caller with a precision of five digits still gets fifty."""

    @exact
    def third() -> Decimal:
        return Decimal(1) / 3

    with localcontext() as context:
        context.prec = 5
        assert third() == Decimal("0." + "3" * 50)

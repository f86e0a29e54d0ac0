"""Decimal texts as OKX writes and reads them."""

import re
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx.amounts import order_size_text, parse_amount, plain_text
from stablesats.okx.errors import OkxInvalidRequestError

finite_amounts = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=20
)


@pytest.mark.parametrize(
    ("sent", "amount"),
    [
        ("0.1", Decimal("0.1")),
        ("-100", Decimal(-100)),
        ("1928374655647382910", Decimal(1928374655647382910)),
        ("0.00000000000000000001", Decimal("0.00000000000000000001")),
        ("1E-8", Decimal("0.00000001")),
        (10458, Decimal(10458)),
        (Decimal("0.30"), Decimal("0.3")),
    ],
)
def test_numbers_are_read_exactly(sent: object, amount: Decimal) -> None:
    """Text, integers and the decimals of bare JSON numbers keep every digit."""
    assert parse_amount(sent) == amount


@pytest.mark.parametrize("sent", ["", None])
def test_not_applicable_is_none_and_not_zero(sent: object) -> None:
    """OKX prints what does not apply as an empty text."""
    assert parse_amount(sent) is None


@pytest.mark.parametrize(
    "sent",
    [
        *("abc", "NaN", "Infinity", "-inf", "1_000", " 1", "1 ", "+1", ".5", "5.", "1e999", "0x10"),
        *("\u0661", "9" * 65, 0.1, True, False, [], {}, ["1"], Decimal("NaN"), Decimal("Infinity")),
    ],
)
def test_anything_else_is_refused(sent: object) -> None:
    """A number that cannot be read exactly is an error, never a guess; that includes binary floats."""
    with pytest.raises(ValueError, match="expected a"):
        parse_amount(sent)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (10, "10"),
        (Decimal("10.0"), "10"),
        (Decimal("1E+2"), "100"),
        (Decimal("0.50"), "0.5"),
        (Decimal("1E-8"), "0.00000001"),
        (Decimal("100.10"), "100.1"),
        (Decimal("-0.1"), "-0.1"),
    ],
)
def test_amounts_are_written_plainly(amount: Decimal | int, text: str) -> None:
    """No exponent, no trailing zeros, whole numbers as integers."""
    assert plain_text(amount) == text


@given(amount=finite_amounts)
def test_writing_and_reading_is_identity(amount: Decimal) -> None:
    """No digit is lost, whatever precision the caller's decimal context has."""
    with localcontext() as context:
        context.prec = 3
        text = plain_text(amount)
        assert parse_amount(text) == amount
    assert re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", text)


@pytest.mark.parametrize(
    "amount", [Decimal("NaN"), Decimal("Infinity"), Decimal("1E+999999"), Decimal("1E-65")]
)
def test_what_is_no_amount_is_not_written(amount: Decimal) -> None:
    """Neither infinite nor absurdly long."""
    with pytest.raises(OkxInvalidRequestError, match="OKX can be sent"):
        plain_text(amount)


def test_an_amount_with_too_many_digits_is_not_written() -> None:
    """Its magnitude may be ordinary; the text would still be longer than any number of the exchange."""
    with pytest.raises(OkxInvalidRequestError, match="65 characters"):
        plain_text(Decimal("1." + "3" * 63))


@pytest.mark.parametrize("size", [0, -1, Decimal("-0.1"), Decimal(0), Decimal("-0.0")])
def test_order_size_is_above_zero(size: Decimal | int) -> None:
    """The side carries the sign of an order."""
    with pytest.raises(OkxInvalidRequestError, match="above zero contracts"):
        order_size_text(size)


@pytest.mark.parametrize("size", [1.0, True, "10", None])
def test_order_size_is_an_exact_number(size: object) -> None:
    """A float, a boolean or a text as a size is an error in the calling code."""
    with pytest.raises(OkxInvalidRequestError, match="int or a Decimal"):
        order_size_text(size)  # type: ignore[arg-type]

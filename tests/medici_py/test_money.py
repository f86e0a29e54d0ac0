"""Amounts are exact or refused."""

from decimal import Decimal, DecimalException
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64
from hypothesis import example, given
from hypothesis import strategies as st

from medici_py.errors import TransactionError
from medici_py.money import (
    EXACT,
    MAX_INT64,
    decimal_from_stored,
    encode_amount,
    exact_product,
    exact_sum,
    parse_amount,
    plain,
    to_decimal128,
)

amounts = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places),
    st.integers(min_value=-(10**26) + 1, max_value=10**26 - 1),
    st.integers(min_value=0, max_value=8),
)


@pytest.mark.parametrize(
    ("given_amount", "amount"),
    [
        (500, "500"),
        (-5, "-5"),
        (0, "0"),
        (-0.0, "0"),
        ("500", "500"),
        ("5.50", "5.5"),
        ("1e3", "1000"),
        (".5", "0.5"),
        ("+7", "7"),
        (0.1, "0.1"),
        (1e22, "10000000000000000000000"),
        (Decimal("1.00000000"), "1"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1.000000000000"), "1"),
        (9007199254740993, "9007199254740993"),
        (10**34 - 1, "9" * 34),
        ("12345678901234567890123456.12345678", "12345678901234567890123456.12345678"),
    ],
)
def test_number_is_taken_digit_by_digit(given_amount: Any, amount: str) -> None:
    """Ints, Decimals, number texts and floats at their shortest text are amounts, trailing zeros aside."""
    assert amount == str(parse_amount(given_amount, precision=8))


@pytest.mark.parametrize(
    ("given_amount", "reason"),
    [
        (True, "a bool is no amount"),
        (None, "give an int"),
        ([1], "give an int"),
        (float("nan"), "not a finite number"),
        (float("inf"), "not a finite number"),
        (Decimal("NaN"), "not a finite number"),
        (Decimal("sNaN"), "not a finite number"),
        (Decimal("-Infinity"), "not a finite number"),
        ("abc", "not a number"),
        ("", "not a number"),
        ("7abc", "not a number"),
        ("1,000", "not a number"),
        ("1_000", "not a number"),
        (" 1", "not a number"),
        ("0x10", "not a number"),
        ("nan", "not a number"),
        ("\u0661", "not a number"),  # ARABIC-INDIC DIGIT ONE
        ("0.000000001", "9 decimal places, the book allows 8"),
        (0.1 + 0.2, "17 decimal places, the book allows 8; give a Decimal or str"),
        (10**34, "more than 34 digits"),
        pytest.param(10**5000, "more than 34 digits", id="huge"),
        (Decimal("1E+999999"), "more than 34 digits"),
        ("1e9999", "more than 34 digits"),
        ("123456789012345678901234567.12345678", "35 digits, at most 34"),
    ],
)
def test_anything_else_is_refused_by_name(given_amount: Any, reason: str) -> None:
    """What is no finite number, or has too many places or digits, is refused with field, value and reason."""
    with pytest.raises(TransactionError, match=reason) as caught:
        parse_amount(given_amount, precision=8)
    assert ("amount", given_amount) == (caught.value.field, caught.value.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("precision", "amount", "accepted"),
    [
        (0, "1", True),
        (0, "1.4", False),
        (2, "0.01", True),
        (2, "0.001", False),
        (17, "0.30000000000000001", True),
    ],
)
def test_decimal_places_are_bounded_by_precision(precision: int, amount: str, accepted: bool) -> None:
    """Exactly *precision* places pass, one more is refused; nothing is rounded."""
    if accepted:
        assert Decimal(amount) == parse_amount(amount, precision=precision)
    else:
        with pytest.raises(TransactionError, match="decimal places"):
            parse_amount(amount, precision=precision)


@pytest.mark.parametrize(
    ("amount", "stored"),
    [
        ("0", Int64(0)),
        ("7", Int64(7)),
        ("-7", Int64(-7)),
        (str(MAX_INT64), Int64(MAX_INT64)),
        (str(MAX_INT64 + 1), Decimal128(str(MAX_INT64 + 1))),
        ("0.5", Decimal128("0.5")),
    ],
)
def test_whole_amounts_are_int64_and_others_decimal128(amount: str, stored: Any) -> None:
    """Whole amounts that fit are int64, all others Decimal128."""
    encoded = encode_amount(Decimal(amount))
    assert (type(stored), stored) == (type(encoded), encoded)


@given(amount=amounts)
def test_encoding_and_reading_back_is_identity(amount: Decimal) -> None:
    """What is stored reads back as the same amount, through real BSON."""
    parsed = parse_amount(amount, precision=8)
    stored = bson.decode(bson.encode({"amount": encode_amount(parsed)}))["amount"]
    assert amount == parsed == decimal_from_stored(stored)


@given(st.integers(-(10**34) + 1, 10**34 - 1), st.integers(0, 40))
@example(10**34 - 1, 0)
@example(-(10**34) + 1, 34)
@example(1, 35)
@example(0, 3)
def test_decimal128_has_every_digit(digits: int, places: int) -> None:
    """It reads back as what the driver would have made of it, to the last digit and the sign."""
    amount = Decimal(digits).scaleb(-places, EXACT)
    made = to_decimal128(amount)
    assert made.to_decimal() == Decimal128(amount).to_decimal() == amount
    assert bson.decode(bson.encode({"amount": made}))["amount"] == made


def test_amount_beyond_34_digits_is_no_decimal128() -> None:
    with pytest.raises(DecimalException):
        to_decimal128(Decimal(10**34 + 1))


@given(amount=st.decimals(min_value=-(10**15), max_value=10**15, places=8))
def test_double_storage_gives_every_digit_back_or_refuses(amount: Decimal) -> None:
    """With doubles an accepted amount reads back digit by digit, on the server's 15 digits too."""
    try:
        parsed = parse_amount(amount, precision=8, storage="double")
    except TransactionError:
        assert len(plain(amount).as_tuple().digits) > 15
    else:
        assert amount == decimal_from_stored(encode_amount(parsed, "double"))


@pytest.mark.parametrize(
    ("amount", "accepted"),
    [
        (2**53 - 1, True),
        (2**53, False),
        (-(2**53), False),
        ("0.1", True),
        ("1234567.12345678", True),  # 15 digits
        ("12345678.12345678", False),  # 16 digits
    ],
)
def test_double_storage_bounds(amount: Any, accepted: bool) -> None:
    """Whole amounts stay below 2^53, fractions within 15 digits."""
    if accepted:
        assert Decimal(amount) == parse_amount(amount, precision=8, storage="double")
    else:
        with pytest.raises(TransactionError):
            parse_amount(amount, precision=8, storage="double")


@pytest.mark.parametrize(
    ("stored", "amount"),
    [
        (7, "7"),
        (Int64(7), "7"),
        (7.0, "7"),
        (0.1, "0.1"),
        (-0.0, "0"),
        (0.30000000000000004, "0.30000000000000004"),
        (Decimal128("1E+3"), "1000"),
    ],
)
def test_every_numeric_type_is_read(stored: Any, amount: str) -> None:
    """int32, int64, double (at its shortest text) and Decimal128 are amounts."""
    assert amount == str(decimal_from_stored(stored))


@pytest.mark.parametrize("stored", [True, "5", None, float("nan"), Decimal128("NaN"), Decimal128("Infinity")])
def test_stored_values_that_are_no_amount_are_refused(stored: Any) -> None:
    """A bool, text or NaN in the database is not taken for a number."""
    with pytest.raises(ValueError, match="is not an amount"):
        decimal_from_stored(stored)


@given(parts=st.lists(amounts, max_size=20), data=st.randoms())
def test_sums_do_not_depend_on_order(parts: list[Decimal], data: Any) -> None:
    """A sum is the same in every order, to the last digit, and nothing is left after taking it away."""
    shuffled = list(parts)
    data.shuffle(shuffled)
    total = exact_sum(parts)
    assert total == exact_sum(shuffled)
    assert exact_sum([*(part.copy_negate() for part in parts), total]) == 0


def test_sum_beyond_34_digits_is_exact() -> None:
    """The client's sums round nowhere: 10^33 and a hundred-millionth stay apart."""
    assert (
        str(exact_sum([Decimal(10**33), Decimal("0.00000001")]))
        == "1000000000000000000000000000000000.00000001"
    )
    assert Decimal("3333333333333333.3") == exact_product(Decimal("1111111111111111.1"), 3)


@pytest.mark.parametrize(
    "value",
    [Decimal("1E-999999"), "1." + "1" * 20_000, Decimal("1." + "1" * 20_000)],
    ids=["tiny", "text", "decimal"],
)
def test_amount_with_digits_without_end_is_refused(value: Any) -> None:
    """One error of ours, short, whatever the decimal module says."""
    with pytest.raises(TransactionError, match="refused: more than 34 digits") as caught:
        parse_amount(value, precision=8)
    assert caught.value.field == "amount"
    assert len(str(caught.value)) < 300


class LabelledFloat(float):
    """A float whose text is not a number, as numpy's are since version 2."""

    def __repr__(self) -> str:
        return f"LabelledFloat({float(self)})"


def test_float_of_another_type_is_its_number() -> None:
    """Its own text is not asked, neither for what comes in nor for what is stored."""
    assert parse_amount(LabelledFloat(0.1), precision=8) == Decimal("0.1")
    assert decimal_from_stored(LabelledFloat(0.1)) == Decimal("0.1")

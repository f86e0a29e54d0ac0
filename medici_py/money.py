"""Amounts: exact decimals in, exact BSON out, and what other writers stored read back exactly.

Inside the library an amount is a `Decimal` and arithmetic runs in `EXACT`, a context that raises where
another would round. A float a caller passes is taken at its shortest text (``0.1`` is one tenth).

In BSON a whole amount is an int64 and any other a Decimal128; the zero side of a leg is always int64 0
(Node's medici takes a Decimal128 zero for a posted side). ``decimal_storage="double"`` is for books that
Node reads with fractions: what a double cannot give back digit by digit is refused there.

Source: medici 7.4 for the accepted forms; MongoDB 6 for what doubles do on the server.
"""

import math
import re
from collections.abc import Iterable
from decimal import (
    Context,
    Decimal,
    DecimalException,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from typing import Literal, TypeAlias

from bson import Decimal128, Int64

from medici_py.errors import TransactionError

AmountLike: TypeAlias = int | Decimal | str | float
"""What a caller may give as an amount."""

DecimalStorage: TypeAlias = Literal["decimal128", "double"]
"""How amounts that are not whole are stored."""

StoredAmount: TypeAlias = Int64 | Decimal128 | float

MAX_DIGITS = 34
"""Significant digits of a Decimal128."""

DOUBLE_DIGITS = 15
"""Decimal digits that every double gives back, and that MongoDB's $toDecimal keeps of one."""

MAX_DOUBLE_WHOLE = 2**53 - 1
"""The largest whole number that Node reads exactly (Number.MAX_SAFE_INTEGER)."""

MAX_INT64 = 2**63 - 1

ZERO = Decimal(0)

EXACT = Context(
    prec=14_000, Emax=99_999, Emin=-99_999, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero]
)
"""Wide enough for the sum of any Decimal128 amounts; whatever would still round raises instead."""

_MAX_COEFFICIENT = 10**MAX_DIGITS - 1
_EXPONENT_BIAS = 6_176
_EXPONENT_SHIFT = 49
_LOW_HALF = 2**64 - 1

_PLAIN_BELOW = 10**DOUBLE_DIGITS
_NUMBER_TEXT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_TEXT_LIMIT = 80
_INT64_ZERO = Int64(0)


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """Add *amounts* without rounding."""
    with localcontext(EXACT):
        return plain(sum(amounts, ZERO))


def exact_product(amount: Decimal, count: int) -> Decimal:
    """Return *amount* taken *count* times, without rounding."""
    return plain(EXACT.multiply(amount, Decimal(count)))


def plain(amount: Decimal) -> Decimal:
    """Return *amount* without trailing zeros, exponent notation or a sign on zero: ``1E+3`` is ``1000``."""
    if not amount:
        return ZERO
    with localcontext(EXACT):
        shortest = amount.normalize()
        exponent = shortest.as_tuple().exponent
        return shortest.quantize(Decimal(1)) if isinstance(exponent, int) and exponent > 0 else shortest


def shown(value: object) -> str:
    """Return *value* for an error message, cut where it would flood it."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 300:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}..."


def parse_amount(value: AmountLike, *, precision: int, storage: DecimalStorage = "decimal128") -> Decimal:
    """Read what a caller gave as the amount of a leg.

    Args:
        value: An int, a finite Decimal, a number as text (``"500"``, ``"5.5"``, ``"1e3"``) or a float,
            which is taken at its shortest text. Negative amounts and zero are amounts.
        precision: Decimal places the book allows.
        storage: How the book stores fractions; ``"double"`` bounds the digits further.

    Returns:
        The amount without trailing zeros: ``"5.50"`` gives ``Decimal("5.5")``.

    Raises:
        TransactionError: If it is no number (bool, NaN, infinity, other text), has more than *precision*
            decimal places or 34 digits, or cannot be stored digit by digit.
    """
    if type(value) is int and abs(value) < _PLAIN_BELOW:
        return Decimal(value)  # By far the most common amounts; nothing below could refuse them.
    number = _number(value)
    if not number:
        return ZERO
    if number.adjusted() >= MAX_DIGITS:
        raise _refused(value, f"more than {MAX_DIGITS} digits")
    try:
        amount = plain(number)
    except DecimalException as exc:
        raise _refused(value, f"more than {MAX_DIGITS} digits or too many decimal places") from exc
    _, digits, exponent = amount.as_tuple()
    places = max(0, -int(exponent))
    if places > precision:
        hint = "; give a Decimal or str rounded as you mean it" if isinstance(value, float) else ""
        raise _refused(value, f"{places} decimal places, the book allows {precision}{hint}")
    if len(digits) > MAX_DIGITS:
        raise _refused(value, f"{len(digits)} digits, at most {MAX_DIGITS} can be stored")
    if storage == "double":
        _check_double(value, amount)
    return amount


def _number(value: object) -> Decimal:
    match value:
        case bool():
            raise _refused(value, "a bool is no amount")
        case int():
            # Checked before the conversion, whose cost grows with the square of the digits.
            if abs(value) >= 10**MAX_DIGITS:
                raise _refused(value, f"more than {MAX_DIGITS} digits")
            return Decimal(value)
        case Decimal():
            number = value
        case float():
            number = Decimal(float.__repr__(value))
        case str():
            if not _NUMBER_TEXT.fullmatch(value):
                raise _refused(value, "not a number")
            number = Decimal(value)
        case _:
            raise _refused(value, "give an int, Decimal, str or float")
    if not number.is_finite():
        raise _refused(value, "not a finite number")
    return number


def _check_double(value: object, amount: Decimal) -> None:
    if amount == amount.to_integral_value():
        if abs(amount) > MAX_DOUBLE_WHOLE:
            raise _refused(value, f"whole amounts of a double book lie within {MAX_DOUBLE_WHOLE}")
        return
    digits = len(amount.as_tuple().digits)
    if digits > DOUBLE_DIGITS or Decimal(repr(float(amount))) != amount:
        raise _refused(value, f"{digits} digits, a double keeps {DOUBLE_DIGITS} of a fraction")


def _refused(value: object, reason: str) -> TransactionError:
    return TransactionError(f"Amount {shown(value)} refused: {reason}.", field="amount", value=value)


def encode_amount(amount: Decimal, storage: DecimalStorage = "decimal128") -> StoredAmount:
    """Return the BSON value that stores *amount*, an answer of `parse_amount`."""
    if not amount:
        return _INT64_ZERO
    whole = int(amount)
    if whole == amount:
        if abs(whole) <= MAX_INT64:
            return Int64(whole)
    elif storage == "double":
        return float(amount)
    return to_decimal128(amount)


def to_decimal128(amount: Decimal) -> Decimal128:
    """Return *amount*, which is finite, without rounding; as the driver does, at a fraction of the cost.

    Raises:
        DecimalException: If it does not fit.

    Source: IEEE 754-2008, the binary encoding of decimal128: a sign, 14 bits of exponent, 113 of coefficient.
    """
    coefficient, exponent = int(amount), 0
    if coefficient != amount:
        places = amount.as_tuple().exponent
        if not isinstance(places, int) or places < -MAX_DIGITS:
            return Decimal128(amount)
        coefficient, exponent = int(amount.scaleb(-places, EXACT)), places
    sign, coefficient = int(amount.is_signed()), abs(coefficient)
    if coefficient > _MAX_COEFFICIENT:
        return Decimal128(amount)
    high = sign << 63 | (_EXPONENT_BIAS + exponent) << _EXPONENT_SHIFT | coefficient >> 64
    return Decimal128((high, coefficient & _LOW_HALF))  # type: ignore[arg-type]  # as documented


def decimal_from_stored(value: object) -> Decimal:
    """Read a stored amount: int32, int64, Decimal128, or a double at its shortest decimal text.

    Raises:
        ValueError: If *value* is not a finite number.
    """
    match value:
        case bool():
            number = None
        case int():
            number = Decimal(int(value))
        case float() if math.isfinite(value):
            number = Decimal(float.__repr__(value))
        case Decimal128():
            number = value.to_decimal()
        case Decimal():
            number = value
        case _:
            number = None
    if number is None or not number.is_finite():
        raise ValueError(f"{shown(value)} is not an amount")
    try:
        return plain(number)
    except DecimalException as exc:
        raise ValueError(f"{shown(value)} has more digits than an amount") from exc

"""Decimal texts as OKX writes and reads them; never a binary float on the way.

OKX prints numbers as JSON strings in plain notation and prints what does not apply as ``""``. Both
directions are exact here: no `decimal` context rounds, whatever precision the caller has set.
"""

import re
from decimal import Decimal

from stablesats.okx.errors import OkxInvalidRequestError

# A number of the exchange has far fewer digits; the bound keeps a broken answer from costing memory.
MAX_AMOUNT_CHARACTERS = 64

BTC_PLACES = 8

# OKX documents plain notation only. A short exponent is read all the same: its value is exact, and a JSON
# number such as 1E-8 arrives here as one.
_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?", re.ASCII)


def parse_amount(value: object) -> Decimal | None:
    """Read one number of an answer exactly.

    Args:
        value: What JSON held: a string, or an `int` or `Decimal` where OKX sent a bare number.

    Returns:
        The number, or None for ``""`` and ``null``, which mean "not applicable". Never a guess:
        None is not zero.

    Raises:
        ValueError: If it is anything else: a word, NaN, an infinity, a float, a boolean.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        # A ValueError, as for any other malformed field: it is data that is wrong, not the calling code.
        raise ValueError(f"expected a number as text, found {type(value).__name__}")  # noqa: TRY004
    text = str(value)
    if len(text) > MAX_AMOUNT_CHARACTERS or not _AMOUNT.fullmatch(text):
        raise ValueError(f"expected a plain decimal number, found {text[:MAX_AMOUNT_CHARACTERS]!r}")
    return Decimal(text)


def plain_text(amount: Decimal | int) -> str:
    """Write *amount* in plain notation, without exponent and without trailing zeros.

    ``Decimal("1E+2")`` gives ``"100"``, ``Decimal("0.50")`` gives ``"0.5"``.

    Raises:
        OkxInvalidRequestError: If it is not finite, or too long to be a number of the exchange.
    """
    number = Decimal(amount)
    # The exponent is looked at first: writing out 1E+999999 would take a megabyte to refuse.
    if not number.is_finite() or abs(number.adjusted()) > MAX_AMOUNT_CHARACTERS:
        raise OkxInvalidRequestError(f"{amount} is not an amount that OKX can be sent")
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if len(text) > MAX_AMOUNT_CHARACTERS:
        raise OkxInvalidRequestError(
            f"an amount of {len(text)} characters is not one that OKX can be sent, "
            f"at most {MAX_AMOUNT_CHARACTERS} are"
        )
    return text


def order_size_text(size_contracts: Decimal | int) -> str:
    """Write an order size, in contracts, as OKX wants it: positive, plain, whole numbers as integers.

    Raises:
        OkxInvalidRequestError: If the size is not a finite number above zero; a `bool` or `float` is
            refused too. The lot and the maximum are the exchange's to check.
    """
    if isinstance(size_contracts, bool) or not isinstance(size_contracts, (int, Decimal)):
        raise OkxInvalidRequestError(
            f"an order size is an int or a Decimal number of contracts, found {type(size_contracts).__name__}"
        )
    text = plain_text(size_contracts)
    if Decimal(text) <= 0:
        raise OkxInvalidRequestError(
            f"an order size is above zero contracts, found {text}; the side carries the sign"
        )
    return text


def btc_text(amount_btc: Decimal) -> str:
    """Write an amount of bitcoin to be moved: above zero, whole satoshis, plain notation.

    Raises:
        OkxInvalidRequestError: If it is anything else; nothing is rounded.
    """
    if not isinstance(amount_btc, Decimal):
        raise OkxInvalidRequestError(
            f"an amount of bitcoin is a Decimal in BTC, found {type(amount_btc).__name__}; "
            "Decimal(sats).scaleb(-8) makes one of satoshis"
        )
    text = plain_text(amount_btc)
    _, _, places = text.partition(".")
    if Decimal(text) <= 0 or len(places) > BTC_PLACES:
        raise OkxInvalidRequestError(
            f"an amount to be moved is above zero with at most {BTC_PLACES} places, found {text} BTC"
        )
    return text


def positive_text(number: Decimal | int, what: str) -> str:
    """Write *number* in plain notation; *what* it is stands in the error.

    Raises:
        OkxInvalidRequestError: If it is not a finite number above zero; a `bool` or `float` is refused too.
    """
    if isinstance(number, bool) or not isinstance(number, (int, Decimal)):
        raise OkxInvalidRequestError(f"{what} is an int or a Decimal, found {type(number).__name__}")
    text = plain_text(number)
    if Decimal(text) <= 0:
        raise OkxInvalidRequestError(f"{what} is above zero, found {text}")
    return text

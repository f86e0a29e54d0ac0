"""Exact decimal arithmetic of the simulated exchange, and how its amounts are written.

Division of an inverse contract rarely ends, so two rules keep the books exact all the same: formulas
run with 50 significant digits, and an amount that *moves cash* (a fee, a realised profit) is rounded
once, to the 16 places that OKX prints, before it is booked. What a client reads is what is held, and
the cash balance is the plain sum of what moved it.
"""

from __future__ import annotations

from decimal import (
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    localcontext,
)
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_R = TypeVar("_R")

ZERO = Decimal(0)
ONE = Decimal(1)
_SIXTEEN_PLACES = Decimal("1e-16")
_SATOSHI = Decimal("1e-8")
_CONTEXT = Context(prec=50, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])


def exact(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run *function* with 50 significant digits, whatever decimal context the caller has."""

    @wraps(function)
    def in_own_context(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with localcontext(_CONTEXT):
            return function(*args, **kwargs)

    return in_own_context


@exact
def booked(amount: Decimal) -> Decimal:
    """Round an amount that is about to move cash to 16 decimal places, half to even."""
    return amount.quantize(_SIXTEEN_PLACES)


@exact
def floor_to_satoshi(amount_btc: Decimal) -> Decimal:
    """Round down to whole satoshis: what can be paid out of *amount_btc*."""
    return amount_btc.quantize(_SATOSHI, rounding=ROUND_FLOOR)


def plain_text(amount: Decimal | None) -> str:
    """Write *amount* as OKX does: plain notation, at most 16 places, no trailing zeros; None is ``""``.

    ``Decimal("1E-7")`` is written ``0.0000001`` and ``Decimal("-0.0")`` is written ``0``.
    """
    if amount is None:
        return ""
    written = f"{booked(amount):f}".rstrip("0").rstrip(".")
    return "0" if written in {"-0", ""} else written

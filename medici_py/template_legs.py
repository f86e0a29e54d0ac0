"""The legs of transaction templates: what one is, which are refused, when they balance. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from medici_py.book_settings import MAX_PRECISION
from medici_py.bson_values import is_utf8
from medici_py.errors import TransactionError
from medici_py.money import EXACT, ZERO, AmountLike, parse_amount, plain, shown
from medici_py.template_definition import canonical

CURRENCY, LAYER = "currency", "layer"
"""The dimensions of a book that templates post into."""

OWN_KEYS = frozenset({CURRENCY, LAYER, "entry_type", "sequence"})
"""What every leg of a template is stored with; the meta of a leg cannot set it."""


class Layer(StrEnum):
    """How final a leg is."""

    SETTLED = "SETTLED"
    PENDING = "PENDING"
    ENCUMBERED = "ENCUMBERED"


class Side(StrEnum):
    """The side of an account that a leg goes to."""

    DEBIT = "debit"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateLeg:
    """One debit or credit that a template makes of its params.

    Attributes:
        account: Where it goes, parts joined with ``:``.
        side: Debit or credit.
        amount: In the book's unit of the currency; above zero, an int or a Decimal.
        currency: The currency of the amount.
        entry_type: What the leg is within its template, such as ``DEPOSIT_BTC_CR``.
        layer: How final it is.
        meta: What else is stored with the leg, as ``extra`` of `Entry.debit`.
        min_balance: Lowest balance that the account may have after the entry, as in `Entry.debit`.
        max_balance: Highest balance.
    """

    account: str
    side: Side
    amount: int | Decimal
    currency: str
    entry_type: str
    layer: Layer = Layer.SETTLED
    meta: Mapping[str, Any] = field(default_factory=dict)
    min_balance: AmountLike | None = None
    max_balance: AmountLike | None = None

    def stored_keys(self, sequence: int) -> dict[str, Any]:
        """Return what is stored with the leg beside account and amount.

        Args:
            sequence: Its number among the legs of its journal, from 1.
        """
        return {
            **self.meta,
            CURRENCY: self.currency,
            LAYER: self.layer,
            "entry_type": self.entry_type,
            "sequence": sequence,
        }

    def described(self) -> dict[str, Any]:
        """Return the leg as plain values in a canonical order, amounts as text.

        Raises:
            ValueError: If something in its meta has no canonical form.
        """
        return {
            "account": self.account,
            "side": self.side.value,
            "amount": f"{plain(Decimal(self.amount)):f}",
            CURRENCY: self.currency,
            LAYER: self.layer.value,
            "entry_type": self.entry_type,
            "meta": canonical(self.meta),
            "min_balance": _described_bound(self.min_balance),
            "max_balance": _described_bound(self.max_balance),
        }


def leg_fault(leg: object) -> str | None:
    """Say why *leg* is refused; None if it is not."""
    if not isinstance(leg, TemplateLeg):
        return f"{shown(leg)} refused: return a TemplateLeg"
    for name, accepts, accepted in _FIELDS:
        if not accepts(found := getattr(leg, name)):
            return f"{name} {shown(found)} refused: give {accepted}"
    if not _is_positive(leg.amount):
        return (
            f"amount {shown(leg.amount)} {leg.currency} on {leg.account!r} refused: give an int or a Decimal "
            "above zero; the side says where it goes, and a leg of zero is left out"
        )
    if own := sorted(OWN_KEYS & leg.meta.keys()):
        return f"meta key {own[0]!r} refused: every leg of a template has its own"
    try:
        for amount in (leg.amount, leg.min_balance, leg.max_balance):
            if amount is not None:
                parse_amount(amount, precision=MAX_PRECISION)
    except TransactionError as exc:
        return str(exc).rstrip(".")
    return None


def imbalance(legs: Sequence[TemplateLeg]) -> str | None:
    """Say where debits and credits of *legs* differ; None if they are equal in every currency and layer."""
    sides: dict[tuple[str, Layer], dict[Side, Decimal]] = {}
    for leg in legs:
        sums = sides.setdefault((leg.currency, leg.layer), dict.fromkeys(Side, ZERO))
        sums[leg.side] = EXACT.add(sums[leg.side], Decimal(leg.amount))
    for (currency, layer), sums in sides.items():
        debits, credits_ = sums[Side.DEBIT], sums[Side.CREDIT]
        if debits != credits_:
            return (
                f"it does not balance in currency {currency}, layer {layer.value}: debits {debits:f}, "
                f"credits {credits_:f}, difference {EXACT.subtract(credits_, debits):f}"
            )
    return None


def _described_bound(bound: AmountLike | None) -> str | None:
    return None if bound is None else f"{parse_amount(bound, precision=MAX_PRECISION):f}"


def is_text(value: object) -> bool:
    """Whether *value* is text that is not empty and that BSON can hold."""
    return isinstance(value, str) and bool(value) and is_utf8(value)


def _is_positive(amount: object) -> bool:
    match amount:
        case bool():
            return False
        case int():
            return amount > 0
        case Decimal():
            return amount.is_finite() and amount > 0
        case _:
            return False


_FIELDS: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("side", lambda value: isinstance(value, Side), "a Side"),
    ("layer", lambda value: isinstance(value, Layer), "a Layer"),
    (CURRENCY, is_text, "text that is not empty"),
    ("entry_type", is_text, "text that is not empty"),
    ("meta", lambda value: isinstance(value, Mapping), "a mapping"),
)

"""What each event of the dealer posts: pure functions from amounts to legs.

The codes, accounts and directions are those of stablesats-rs; a leg's entry type is the template's
code with a suffix for currency and side. Amounts are whole and positive: a reversal swaps the sides
instead of turning the signs, and nothing is ever posted for zero.

Source: stablesats-rs, ``ledger/src/templates/*.rs``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from stablesats.errors import StablesatsError
from stablesats.ledger.chart import Account, Currency, Layer, NormalSide


class AmountError(StablesatsError, ValueError):
    """An amount that is to be posted is not a whole, positive number of minor units."""


class ReferenceKeyError(StablesatsError, ValueError):
    """A reference to be stored on a leg has a key that the ledger itself uses."""


class TemplateCode(StrEnum):
    """The name of a kind of posting, as stored on every leg under ``meta.template``."""

    USER_BUYS_USD = "USER_BUYS_USD"
    USER_SELLS_USD = "USER_SELLS_USD"
    INCREASE_EXCHANGE_POSITION = "INCREASE_EXCHANGE_POSITION"
    DECREASE_EXCHANGE_POSITION = "DECREASE_EXCHANGE_POSITION"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One debit or credit to be posted.

    Attributes:
        account: Where it goes.
        side: Debit or credit.
        amount_minor: Satoshi or cents, whole and positive.
        currency: The currency of the amount.
        entry_type: What the leg is within its template.
    """

    account: Account
    side: NormalSide
    amount_minor: int
    currency: Currency
    entry_type: str

    def meta(self, template: TemplateCode, extra: Mapping[str, object]) -> dict[str, object]:
        """The extra keys that are stored with the leg, *extra* among them.

        Raises:
            ReferenceKeyError: If *extra* has one of the leg's own keys: it would move the leg elsewhere.
        """
        own = {
            "currency": self.currency.value,
            "layer": Layer.SETTLED.value,
            "template": template.value,
            "entry_type": self.entry_type,
        }
        if clashing := own.keys() & extra.keys():
            names = ", ".join(sorted(clashing))
            msg = f"a reference cannot have the key {names}: the ledger uses it; choose another name"
            raise ReferenceKeyError(msg)
        return own | dict(extra)


def user_buys_usd(*, sats: int, cents: int) -> tuple[Leg, ...]:
    """Legs for a user who pays *sats* and is owed *cents* from now on.

    Raises:
        AmountError: If an amount is not a whole number above zero.
    """
    return _trade(
        TemplateCode.USER_BUYS_USD, sats, cents, user_side=NormalSide.CREDIT, other_side=NormalSide.DEBIT
    )


def user_sells_usd(*, sats: int, cents: int) -> tuple[Leg, ...]:
    """Legs for a user who gives up *cents* and is paid *sats*: the sides of `user_buys_usd` swapped.

    Raises:
        AmountError: If an amount is not a whole number above zero.
    """
    return _trade(
        TemplateCode.USER_SELLS_USD, sats, cents, user_side=NormalSide.DEBIT, other_side=NormalSide.CREDIT
    )


def increase_exchange_position(*, cents: int) -> tuple[Leg, ...]:
    """Legs for a position whose signed dollar value rose by *cents* (less short)."""
    return _position(
        TemplateCode.INCREASE_EXCHANGE_POSITION, cents, position=NormalSide.CREDIT, omnibus=NormalSide.DEBIT
    )


def decrease_exchange_position(*, cents: int) -> tuple[Leg, ...]:
    """Legs for a position whose signed dollar value fell by *cents* (more short)."""
    return _position(
        TemplateCode.DECREASE_EXCHANGE_POSITION, cents, position=NormalSide.DEBIT, omnibus=NormalSide.CREDIT
    )


def _trade(
    code: TemplateCode, sats: int, cents: int, *, user_side: NormalSide, other_side: NormalSide
) -> tuple[Leg, ...]:
    _require_positive("sats", sats)
    _require_positive("cents", cents)
    return (
        _leg(code, Account.STABLESATS_BTC_WALLET, user_side, sats, Currency.BTC),
        _leg(code, Account.EXTERNAL_OMNIBUS, other_side, sats, Currency.BTC),
        _leg(code, Account.STABLESATS_LIABILITY, user_side, cents, Currency.USD),
        _leg(code, Account.STABLESATS_OMNIBUS, other_side, cents, Currency.USD),
    )


def _position(
    code: TemplateCode, cents: int, *, position: NormalSide, omnibus: NormalSide
) -> tuple[Leg, ...]:
    _require_positive("cents", cents)
    return (
        _leg(code, Account.OKEX_POSITION, position, cents, Currency.USD),
        _leg(code, Account.EXCHANGE_POSITION_OMNIBUS, omnibus, cents, Currency.USD),
    )


def _leg(code: TemplateCode, account: Account, side: NormalSide, amount: int, currency: Currency) -> Leg:
    suffix = "CR" if side is NormalSide.CREDIT else "DR"
    return Leg(
        account=account,
        side=side,
        amount_minor=amount,
        currency=currency,
        entry_type=f"{code}_{currency}_{suffix}",
    )


def _require_positive(name: str, amount: int) -> None:
    if type(amount) is not int or amount <= 0:  # a bool is an int to isinstance
        msg = (
            f"{name} must be a whole number above zero, got {amount!r}; swap the sides to take something back"
        )
        raise AmountError(msg)

"""What each event of the dealer posts: its nine transaction templates.

Codes, ids, accounts and directions are those of stablesats-rs. Three things are not:

- Amounts are whole satoshi and cents above zero. A reversal swaps the sides; there its signs were turned,
  by an expression that failed, so that no reversal could post.
- A leg of zero is left out; there it was posted.
- The entry type of every leg ends in the side it is on. There the two bitcoin legs of the quote templates
  ended in each other's: a label that says credit on a debit misleads everybody who reads it, and nobody's
  stored entries depend on it here.

Source: stablesats-rs, ``ledger/src/templates/*.rs``.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, TypeVar
from uuid import UUID

from medici_py import Layer, Side, TemplateLeg, TemplateParams, TransactionTemplate
from stablesats.errors import StablesatsError
from stablesats.ledger.chart import Account, ChartAccount, Currency

P = TypeVar("P", bound=TemplateParams)


class AmountError(StablesatsError, ValueError):
    """An amount that is to be posted is not the whole number of minor units that it must be."""


class TemplateCode(StrEnum):
    """The name of a kind of posting: the memo and the template of every journal of it."""

    USER_BUYS_USD = "USER_BUYS_USD"
    USER_SELLS_USD = "USER_SELLS_USD"
    REVERT_USER_BUYS_USD = "REVERT_USER_BUYS_USD"
    REVERT_USER_SELLS_USD = "REVERT_USER_SELLS_USD"
    INCREASE_EXCHANGE_POSITION = "INCREASE_EXCHANGE_POSITION"
    DECREASE_EXCHANGE_POSITION = "DECREASE_EXCHANGE_POSITION"
    BUY_USD_QUOTE_ACCEPTED = "BUY_USD_QUOTE_ACCEPTED"
    SELL_USD_QUOTE_ACCEPTED = "SELL_USD_QUOTE_ACCEPTED"
    ADJUST_EXCHANGE_ALLOCATION = "ADJUST_EXCHANGE_ALLOCATION"


class TradeAmounts(TemplateParams):
    """What a trade or a quote exchanges: satoshi for cents, both above zero."""

    sats: int
    cents: int


class PositionChange(TemplateParams):
    """By how many cents, above zero, the signed dollar value of the OKX position changed."""

    cents: int


class AllocationChange(TemplateParams):
    """How many cents each exchange has to hedge more; below zero for less, and not both zero."""

    okex_cents: int
    bitfinex_cents: int = 0


def trade_amounts(*, sats: int, cents: int) -> TradeAmounts:
    """Params of a trade or a quote.

    Raises:
        AmountError: If an amount is not a whole number above zero.
    """
    _require_positive("sats", sats)
    _require_positive("cents", cents)
    return TradeAmounts(sats=sats, cents=cents)


def position_change(*, cents: int) -> PositionChange:
    """Params of a change of the position.

    Raises:
        AmountError: If *cents* is not a whole number above zero.
    """
    _require_positive("cents", cents)
    return PositionChange(cents=cents)


def allocation_change(*, okex_cents: int, bitfinex_cents: int = 0) -> AllocationChange:
    """Params of an allocation.

    Raises:
        AmountError: If an amount is not a whole number, or both are zero.
    """
    require_whole("okex_cents", okex_cents)
    require_whole("bitfinex_cents", bitfinex_cents)
    if okex_cents == bitfinex_cents == 0:
        msg = "okex_cents and bitfinex_cents are both 0: there is nothing to allocate, so post nothing"
        raise AmountError(msg)
    return AllocationChange(okex_cents=okex_cents, bitfinex_cents=bitfinex_cents)


def _require_positive(name: str, amount: int) -> None:
    require_whole(name, amount)
    if amount <= 0:
        msg = f"{name} must be a whole number above zero, got {amount!r}; swap the sides to take it back"
        raise AmountError(msg)


def require_whole(name: str, amount: object) -> None:
    """Check that *amount*, the argument *name*, is a whole number of minor units.

    Raises:
        AmountError: If it is not; a bool is none.
    """
    if type(amount) is not int:  # a bool is an int to isinstance
        msg = f"{name} must be a whole number of minor units, got {amount!r}"
        raise AmountError(msg)


_TRADE_SAMPLES: Final = (TradeAmounts(sats=1_000_000, cents=500),)
_POSITION_SAMPLES: Final = (PositionChange(cents=10_000),)
_ALLOCATION_SAMPLES: Final = (
    AllocationChange(okex_cents=500),
    AllocationChange(okex_cents=-200),
    AllocationChange(okex_cents=300, bitfinex_cents=200),
    AllocationChange(okex_cents=-300, bitfinex_cents=300),
)


def opposite(side: Side) -> Side:
    """The other side."""
    return Side.DEBIT if side is Side.CREDIT else Side.CREDIT


def settled_leg(kind: str, account: ChartAccount, side: Side, amount: int, currency: Currency) -> TemplateLeg:
    """A settled leg whose entry type says its *kind*, its currency and its side."""
    return TemplateLeg(
        account=account.code,
        side=side,
        amount=amount,
        currency=currency.value,
        entry_type=f"{kind}_{currency}_{'CR' if side is Side.CREDIT else 'DR'}",
        layer=Layer.SETTLED,
    )


def first_version(
    code: StrEnum,
    id_: str,
    description: str,
    samples: tuple[P, ...],
    legs: Callable[[P], tuple[TemplateLeg, ...]],
) -> TransactionTemplate[P]:
    """Version 1 of the template *code*, whose *samples* say what its params are."""
    return TransactionTemplate(
        code=code.value,
        version=1,
        id=UUID(id_),
        description=description,
        params=type(samples[0]),
        legs=legs,
        samples=samples,
    )


def _trade(
    code: TemplateCode, id_: str, description: str, *, owed: Side
) -> TransactionTemplate[TradeAmounts]:
    """A trade: cents on side *owed* of the liability, satoshi on the same side of the wallet."""
    counter = opposite(owed)

    def legs(params: TradeAmounts) -> tuple[TemplateLeg, ...]:
        return (
            settled_leg(code, Account.STABLESATS_BTC_WALLET, owed, params.sats, Currency.BTC),
            settled_leg(code, Account.EXTERNAL_OMNIBUS, counter, params.sats, Currency.BTC),
            settled_leg(code, Account.STABLESATS_LIABILITY, owed, params.cents, Currency.USD),
            settled_leg(code, Account.STABLESATS_OMNIBUS, counter, params.cents, Currency.USD),
        )

    return first_version(code, id_, description, _TRADE_SAMPLES, legs)


def _quote(
    code: TemplateCode, id_: str, description: str, *, owed: Side
) -> TransactionTemplate[TradeAmounts]:
    """An accepted quote: cents on side *owed* of its liability, satoshi on the other of its asset."""
    counter = opposite(owed)

    def legs(params: TradeAmounts) -> tuple[TemplateLeg, ...]:
        return (
            settled_leg(code, Account.QUOTES_ASSETS, counter, params.sats, Currency.BTC),
            settled_leg(code, Account.QUOTES_OMNIBUS, owed, params.sats, Currency.BTC),
            settled_leg(code, Account.QUOTES_LIABILITIES, owed, params.cents, Currency.USD),
            settled_leg(code, Account.QUOTES_OMNIBUS, counter, params.cents, Currency.USD),
        )

    return first_version(code, id_, description, _TRADE_SAMPLES, legs)


def _position(
    code: TemplateCode, id_: str, description: str, *, mirror: Side
) -> TransactionTemplate[PositionChange]:
    """A change of the position: cents on side *mirror* of its mirror."""
    counter = opposite(mirror)

    def legs(params: PositionChange) -> tuple[TemplateLeg, ...]:
        return (
            settled_leg(code, Account.OKEX_POSITION, mirror, params.cents, Currency.USD),
            settled_leg(code, Account.EXCHANGE_POSITION_OMNIBUS, counter, params.cents, Currency.USD),
        )

    return first_version(code, id_, description, _POSITION_SAMPLES, legs)


def _allocation(params: AllocationChange) -> tuple[TemplateLeg, ...]:
    """Legs of an allocation: each amount on the side of its sign, and none for an amount of zero."""
    signed_cents = (
        (Account.STABLESATS_LIABILITY, "UNALLOCATED", -(params.okex_cents + params.bitfinex_cents)),
        (Account.OKEX_ALLOCATION, "OKEX", params.okex_cents),
        (Account.BITFINEX_ALLOCATION, "BITFINEX", params.bitfinex_cents),
    )
    return tuple(
        TemplateLeg(
            account=account.code,
            side=Side.CREDIT if cents > 0 else Side.DEBIT,
            amount=abs(cents),
            currency=Currency.USD.value,
            entry_type=f"{TemplateCode.ADJUST_EXCHANGE_ALLOCATION}_{part}_ADJUSTMENT",
            layer=Layer.SETTLED,
        )
        for account, part, cents in signed_cents
        if cents != 0
    )


USER_BUYS_USD: Final = _trade(
    TemplateCode.USER_BUYS_USD,
    "00000000-0000-0000-0000-000000000001",
    "A user paid bitcoin for dollars: the dealer owes more.",
    owed=Side.CREDIT,
)

USER_SELLS_USD: Final = _trade(
    TemplateCode.USER_SELLS_USD,
    "00000000-0000-0000-0000-000000000002",
    "A user gave up dollars for bitcoin: the dealer owes less.",
    owed=Side.DEBIT,
)

REVERT_USER_BUYS_USD: Final = _trade(
    TemplateCode.REVERT_USER_BUYS_USD,
    "00000000-0000-0000-0000-100000000001",
    "A USER_BUYS_USD is taken back; its journal is the correlation id.",
    owed=Side.DEBIT,
)

REVERT_USER_SELLS_USD: Final = _trade(
    TemplateCode.REVERT_USER_SELLS_USD,
    "00000000-0000-0000-0000-100000000002",
    "A USER_SELLS_USD is taken back; its journal is the correlation id.",
    owed=Side.CREDIT,
)

INCREASE_EXCHANGE_POSITION: Final = _position(
    TemplateCode.INCREASE_EXCHANGE_POSITION,
    "00000000-0000-0000-0000-000000000003",
    "The signed dollar value of the position rose: less short.",
    mirror=Side.CREDIT,
)

DECREASE_EXCHANGE_POSITION: Final = _position(
    TemplateCode.DECREASE_EXCHANGE_POSITION,
    "00000000-0000-0000-0000-000000000004",
    "The signed dollar value of the position fell: more short.",
    mirror=Side.DEBIT,
)

BUY_USD_QUOTE_ACCEPTED: Final = _quote(
    TemplateCode.BUY_USD_QUOTE_ACCEPTED,
    "00000000-0000-0000-0000-000000000005",
    "A user accepted a quote to buy dollars for bitcoin.",
    owed=Side.CREDIT,
)

SELL_USD_QUOTE_ACCEPTED: Final = _quote(
    TemplateCode.SELL_USD_QUOTE_ACCEPTED,
    "00000000-0000-0000-0000-000000000006",
    "A user accepted a quote to sell dollars for bitcoin.",
    owed=Side.DEBIT,
)

ADJUST_EXCHANGE_ALLOCATION: Final = first_version(
    TemplateCode.ADJUST_EXCHANGE_ALLOCATION,
    "00000000-0000-0000-0000-000000000007",
    "Exchanges are told to hedge more or less of what users are owed.",
    _ALLOCATION_SAMPLES,
    _allocation,
)

TEMPLATES: Final[tuple[TransactionTemplate[Any], ...]] = (
    USER_BUYS_USD,
    USER_SELLS_USD,
    REVERT_USER_BUYS_USD,
    REVERT_USER_SELLS_USD,
    INCREASE_EXCHANGE_POSITION,
    DECREASE_EXCHANGE_POSITION,
    BUY_USD_QUOTE_ACCEPTED,
    SELL_USD_QUOTE_ACCEPTED,
    ADJUST_EXCHANGE_ALLOCATION,
)
"""All of them, in the order of their source."""

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
from typing import Any, Final
from uuid import UUID

from medici_py import Layer, Side, TemplateLeg, TemplateParams, TransactionTemplate
from stablesats.errors import StablesatsError
from stablesats.ledger.chart import Account, Currency


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
    _require_whole("okex_cents", okex_cents)
    _require_whole("bitfinex_cents", bitfinex_cents)
    if okex_cents == bitfinex_cents == 0:
        msg = "okex_cents and bitfinex_cents are both 0: there is nothing to allocate, so post nothing"
        raise AmountError(msg)
    return AllocationChange(okex_cents=okex_cents, bitfinex_cents=bitfinex_cents)


def _require_positive(name: str, amount: int) -> None:
    _require_whole(name, amount)
    if amount <= 0:
        msg = f"{name} must be a whole number above zero, got {amount!r}; swap the sides to take it back"
        raise AmountError(msg)


def _require_whole(name: str, amount: object) -> None:
    if type(amount) is not int:  # a bool is an int to isinstance
        msg = f"{name} must be a whole number of minor units, got {amount!r}"
        raise AmountError(msg)


def _opposite(side: Side) -> Side:
    return Side.DEBIT if side is Side.CREDIT else Side.CREDIT


def _leg(code: TemplateCode, account: Account, side: Side, amount: int, currency: Currency) -> TemplateLeg:
    return TemplateLeg(
        account=account.code,
        side=side,
        amount=amount,
        currency=currency.value,
        entry_type=f"{code}_{currency}_{'CR' if side is Side.CREDIT else 'DR'}",
        layer=Layer.SETTLED,
    )


def _trade(code: TemplateCode, *, owed: Side) -> Callable[[TradeAmounts], tuple[TemplateLeg, ...]]:
    """Legs of a trade: cents on side *owed* of the liability, satoshi on the same side of the wallet."""
    counter = _opposite(owed)

    def legs(params: TradeAmounts) -> tuple[TemplateLeg, ...]:
        return (
            _leg(code, Account.STABLESATS_BTC_WALLET, owed, params.sats, Currency.BTC),
            _leg(code, Account.EXTERNAL_OMNIBUS, counter, params.sats, Currency.BTC),
            _leg(code, Account.STABLESATS_LIABILITY, owed, params.cents, Currency.USD),
            _leg(code, Account.STABLESATS_OMNIBUS, counter, params.cents, Currency.USD),
        )

    return legs


def _quote(code: TemplateCode, *, owed: Side) -> Callable[[TradeAmounts], tuple[TemplateLeg, ...]]:
    """Legs of an accepted quote: cents on side *owed* of its liability, satoshi on the other of its asset."""
    counter = _opposite(owed)

    def legs(params: TradeAmounts) -> tuple[TemplateLeg, ...]:
        return (
            _leg(code, Account.QUOTES_ASSETS, counter, params.sats, Currency.BTC),
            _leg(code, Account.QUOTES_OMNIBUS, owed, params.sats, Currency.BTC),
            _leg(code, Account.QUOTES_LIABILITIES, owed, params.cents, Currency.USD),
            _leg(code, Account.QUOTES_OMNIBUS, counter, params.cents, Currency.USD),
        )

    return legs


def _position(code: TemplateCode, *, mirror: Side) -> Callable[[PositionChange], tuple[TemplateLeg, ...]]:
    """Legs of a change of the position: cents on side *mirror* of its mirror."""

    def legs(params: PositionChange) -> tuple[TemplateLeg, ...]:
        return (
            _leg(code, Account.OKEX_POSITION, mirror, params.cents, Currency.USD),
            _leg(code, Account.EXCHANGE_POSITION_OMNIBUS, _opposite(mirror), params.cents, Currency.USD),
        )

    return legs


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


_TRADE_SAMPLES: Final = (TradeAmounts(sats=1_000_000, cents=500),)
_POSITION_SAMPLES: Final = (PositionChange(cents=10_000),)
_ALLOCATION_SAMPLES: Final = (
    AllocationChange(okex_cents=500),
    AllocationChange(okex_cents=-200),
    AllocationChange(okex_cents=300, bitfinex_cents=200),
    AllocationChange(okex_cents=-300, bitfinex_cents=300),
)

USER_BUYS_USD: Final = TransactionTemplate(
    code=TemplateCode.USER_BUYS_USD.value,
    version=1,
    id=UUID("00000000-0000-0000-0000-000000000001"),
    description="A user paid bitcoin for dollars: the dealer owes more.",
    params=TradeAmounts,
    legs=_trade(TemplateCode.USER_BUYS_USD, owed=Side.CREDIT),
    samples=_TRADE_SAMPLES,
)

USER_SELLS_USD: Final = TransactionTemplate(
    code=TemplateCode.USER_SELLS_USD.value,
    version=1,
    id=UUID("00000000-0000-0000-0000-000000000002"),
    description="A user gave up dollars for bitcoin: the dealer owes less.",
    params=TradeAmounts,
    legs=_trade(TemplateCode.USER_SELLS_USD, owed=Side.DEBIT),
    samples=_TRADE_SAMPLES,
)

REVERT_USER_BUYS_USD: Final = TransactionTemplate(
    code=TemplateCode.REVERT_USER_BUYS_USD.value,
    version=1,
    id=UUID("00000000-0000-0000-0000-100000000001"),
    description="A USER_BUYS_USD is taken back; its journal is the correlation id.",
    params=TradeAmounts,
    legs=_trade(TemplateCode.REVERT_USER_BUYS_USD, owed=Side.DEBIT),
    samples=_TRADE_SAMPLES,
)

REVERT_USER_SELLS_USD: Final = TransactionTemplate(
    code=TemplateCode.REVERT_USER_SELLS_USD.value,
    version=1,
    id=UUID("00000000-0000-0000-0000-100000000002"),
    description="A USER_SELLS_USD is taken back; its journal is the correlation id.",
    params=TradeAmounts,
    legs=_trade(TemplateCode.REVERT_USER_SELLS_USD, owed=Side.CREDIT),
    samples=_TRADE_SAMPLES,
)

INCREASE_EXCHANGE_POSITION: Final = TransactionTemplate(
    code=TemplateCode.INCREASE_EXCHANGE_POSITION.value,
    version=1,
    id=UUID("00000000-0000-0000-0000-000000000003"),
    description="The signed dollar value of the position rose: less short.",
    params=PositionChange,
    legs=_position(TemplateCode.INCREASE_EXCHANGE_POSITION, mirror=Side.CREDIT),
    samples=_POSITION_SAMPLES,
)

DECREASE_EXCHANGE_POSITION: Final = TransactionTemplate(
    code=TemplateCode.DECREASE_EXCHANGE_POSITION.value,
    version=1,
    id=UUID("00000000-0000-0000-0000-000000000004"),
    description="The signed dollar value of the position fell: more short.",
    params=PositionChange,
    legs=_position(TemplateCode.DECREASE_EXCHANGE_POSITION, mirror=Side.DEBIT),
    samples=_POSITION_SAMPLES,
)

BUY_USD_QUOTE_ACCEPTED: Final = TransactionTemplate(
    code=TemplateCode.BUY_USD_QUOTE_ACCEPTED.value,
    version=1,
    id=UUID("00000000-0000-0000-0000-000000000005"),
    description="A user accepted a quote to buy dollars for bitcoin.",
    params=TradeAmounts,
    legs=_quote(TemplateCode.BUY_USD_QUOTE_ACCEPTED, owed=Side.CREDIT),
    samples=_TRADE_SAMPLES,
)

SELL_USD_QUOTE_ACCEPTED: Final = TransactionTemplate(
    code=TemplateCode.SELL_USD_QUOTE_ACCEPTED.value,
    version=1,
    id=UUID("00000000-0000-0000-0000-000000000006"),
    description="A user accepted a quote to sell dollars for bitcoin.",
    params=TradeAmounts,
    legs=_quote(TemplateCode.SELL_USD_QUOTE_ACCEPTED, owed=Side.DEBIT),
    samples=_TRADE_SAMPLES,
)

ADJUST_EXCHANGE_ALLOCATION: Final = TransactionTemplate(
    code=TemplateCode.ADJUST_EXCHANGE_ALLOCATION.value,
    version=1,
    id=UUID("00000000-0000-0000-0000-000000000007"),
    description="Exchanges are told to hedge more or less of what users are owed.",
    params=AllocationChange,
    legs=_allocation,
    samples=_ALLOCATION_SAMPLES,
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

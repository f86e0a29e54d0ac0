"""What each movement of the dealer's collateral posts: ten transaction templates. Pure.

Amounts are whole satoshi above zero on both sides of a journal. Where an event goes both ways (a fee or a
rebate, paid or received), its param is signed as the exchange reports it, what the trading account gained,
and the sign chooses the sides.
"""

from enum import StrEnum
from typing import Any, Final

from medici_py import Side, TemplateLeg, TemplateParams, TransactionTemplate
from stablesats.ledger.chart import Currency
from stablesats.ledger.collateral_chart import CollateralAccount
from stablesats.ledger.templates import AmountError, first_version, opposite, settled_leg


class CollateralTemplateCode(StrEnum):
    """The name of a kind of movement: the memo and the template of every journal of it."""

    DEPOSIT_SENT = "COLLATERAL_DEPOSIT_SENT"
    DEPOSIT_RETURNED = "COLLATERAL_DEPOSIT_RETURNED"
    DEPOSIT_CREDITED = "COLLATERAL_DEPOSIT_CREDITED"
    WITHDRAWAL_REQUESTED = "COLLATERAL_WITHDRAWAL_REQUESTED"
    WITHDRAWAL_RETURNED = "COLLATERAL_WITHDRAWAL_RETURNED"
    WITHDRAWAL_ARRIVED = "COLLATERAL_WITHDRAWAL_ARRIVED"
    TRANSFERRED = "COLLATERAL_TRANSFERRED"
    TRADING_FEE = "COLLATERAL_TRADING_FEE"
    FUNDING_PAYMENT = "COLLATERAL_FUNDING_PAYMENT"
    REALISED_PROFIT = "COLLATERAL_REALISED_PROFIT"


class SentCollateral(TemplateParams):
    """Satoshi above zero that are sent on chain, and the fee on top of them, zero or above."""

    sats: int
    fee_sats: int = 0


class ArrivedCollateral(TemplateParams):
    """Satoshi above zero that arrived."""

    sats: int


class TradingChange(TemplateParams):
    """What the trading account gained; below zero for what it lost, and not zero."""

    change_sats: int


def sent_collateral(*, sats: int, fee_sats: int = 0) -> SentCollateral:
    """Params of what is sent on chain.

    Raises:
        AmountError: If *sats* is not a whole number above zero, or *fee_sats* not one from zero.
    """
    _require_positive("sats", sats)
    require_whole_sats("fee_sats", fee_sats)
    if fee_sats < 0:
        msg = f"fee_sats must be a whole number of satoshi from zero, got {fee_sats!r}"
        raise AmountError(msg)
    return SentCollateral(sats=sats, fee_sats=fee_sats)


def arrived_collateral(*, sats: int) -> ArrivedCollateral:
    """Params of what arrived.

    Raises:
        AmountError: If *sats* is not a whole number above zero.
    """
    _require_positive("sats", sats)
    return ArrivedCollateral(sats=sats)


def trading_change(*, change_sats: int) -> TradingChange:
    """Params of what changes the trading account.

    Raises:
        AmountError: If *change_sats* is not a whole number, or zero.
    """
    require_whole_sats("change_sats", change_sats)
    if change_sats == 0:
        msg = "change_sats is 0: nothing has changed, so post nothing"
        raise AmountError(msg)
    return TradingChange(change_sats=change_sats)


def require_whole_sats(name: str, amount: object) -> None:
    """Check that *amount* is a whole number of satoshi; *name* is what the error calls it.

    Raises:
        AmountError: If not.
    """
    if type(amount) is not int:  # a bool is an int to isinstance
        msg = f"{name} must be a whole number of satoshi, got {amount!r}"
        raise AmountError(msg)


def _require_positive(name: str, amount: int) -> None:
    require_whole_sats(name, amount)
    if amount <= 0:
        msg = f"{name} must be a whole number of satoshi above zero, got {amount!r}"
        raise AmountError(msg)


_SENT_SAMPLES: Final = (SentCollateral(sats=1_000_000, fee_sats=500), SentCollateral(sats=1_000_000))
_ARRIVED_SAMPLES: Final = (ArrivedCollateral(sats=1_000_000),)
_TRADING_SAMPLES: Final = (TradingChange(change_sats=200), TradingChange(change_sats=-200))


def _on_chain(
    code: CollateralTemplateCode,
    id_: str,
    description: str,
    *,
    source: CollateralAccount,
    transit: CollateralAccount,
    comes_back: bool = False,
) -> TransactionTemplate[SentCollateral]:
    """What goes from *source* on chain, its fee on top; or what comes back, with its fee."""
    given = Side.DEBIT if comes_back else Side.CREDIT
    taken = opposite(given)

    def legs(params: SentCollateral) -> tuple[TemplateLeg, ...]:
        moved = (
            settled_leg(code, source, given, params.sats + params.fee_sats, Currency.BTC),
            settled_leg(code, transit, taken, params.sats, Currency.BTC),
        )
        if params.fee_sats == 0:
            return moved
        fees = CollateralAccount.ONCHAIN_FEES
        return (*moved, settled_leg(f"{code}_FEE", fees, taken, params.fee_sats, Currency.BTC))

    return first_version(code, id_, description, _SENT_SAMPLES, legs)


def _arrival(
    code: CollateralTemplateCode,
    id_: str,
    description: str,
    *,
    transit: CollateralAccount,
    target: CollateralAccount,
) -> TransactionTemplate[ArrivedCollateral]:
    """What was in *transit* and is in *target* now."""

    def legs(params: ArrivedCollateral) -> tuple[TemplateLeg, ...]:
        return (
            settled_leg(code, transit, Side.CREDIT, params.sats, Currency.BTC),
            settled_leg(code, target, Side.DEBIT, params.sats, Currency.BTC),
        )

    return first_version(code, id_, description, _ARRIVED_SAMPLES, legs)


def _trading(
    code: CollateralTemplateCode, id_: str, description: str, *, against: CollateralAccount
) -> TransactionTemplate[TradingChange]:
    """What the trading account gained from *against*, or lost to it."""

    def legs(params: TradingChange) -> tuple[TemplateLeg, ...]:
        gained = Side.DEBIT if params.change_sats > 0 else Side.CREDIT
        sats = abs(params.change_sats)
        return (
            settled_leg(code, CollateralAccount.OKEX_TRADING, gained, sats, Currency.BTC),
            settled_leg(code, against, opposite(gained), sats, Currency.BTC),
        )

    return first_version(code, id_, description, _TRADING_SAMPLES, legs)


DEPOSIT_SENT: Final = _on_chain(
    CollateralTemplateCode.DEPOSIT_SENT,
    "c2000000-0000-0000-0000-000000000001",
    "The treasury sent bitcoin to OKX; the network fee is on top.",
    source=CollateralAccount.HOT_WALLET_COLLATERAL,
    transit=CollateralAccount.IN_TRANSIT_TO_OKEX,
)

DEPOSIT_RETURNED: Final = _on_chain(
    CollateralTemplateCode.DEPOSIT_RETURNED,
    "c2000000-0000-0000-0000-000000000002",
    "Bitcoin that was sent to OKX will never be confirmed: the treasury has it still.",
    source=CollateralAccount.HOT_WALLET_COLLATERAL,
    transit=CollateralAccount.IN_TRANSIT_TO_OKEX,
    comes_back=True,
)

DEPOSIT_CREDITED: Final = _arrival(
    CollateralTemplateCode.DEPOSIT_CREDITED,
    "c2000000-0000-0000-0000-000000000003",
    "OKX credited a deposit to the funding account.",
    transit=CollateralAccount.IN_TRANSIT_TO_OKEX,
    target=CollateralAccount.OKEX_FUNDING,
)

WITHDRAWAL_REQUESTED: Final = _on_chain(
    CollateralTemplateCode.WITHDRAWAL_REQUESTED,
    "c2000000-0000-0000-0000-000000000004",
    "OKX took a withdrawal off the funding account; its fee is on top.",
    source=CollateralAccount.OKEX_FUNDING,
    transit=CollateralAccount.IN_TRANSIT_FROM_OKEX,
)

WITHDRAWAL_RETURNED: Final = _on_chain(
    CollateralTemplateCode.WITHDRAWAL_RETURNED,
    "c2000000-0000-0000-0000-000000000005",
    "A withdrawal failed or was cancelled: OKX gave it back, with its fee.",
    source=CollateralAccount.OKEX_FUNDING,
    transit=CollateralAccount.IN_TRANSIT_FROM_OKEX,
    comes_back=True,
)

WITHDRAWAL_ARRIVED: Final = _arrival(
    CollateralTemplateCode.WITHDRAWAL_ARRIVED,
    "c2000000-0000-0000-0000-000000000006",
    "A withdrawal reached the treasury.",
    transit=CollateralAccount.IN_TRANSIT_FROM_OKEX,
    target=CollateralAccount.HOT_WALLET_COLLATERAL,
)

TRANSFERRED: Final = _trading(
    CollateralTemplateCode.TRANSFERRED,
    "c2000000-0000-0000-0000-000000000007",
    "OKX moved bitcoin from the funding account to the trading account, or back.",
    against=CollateralAccount.OKEX_FUNDING,
)

TRADING_FEE: Final = _trading(
    CollateralTemplateCode.TRADING_FEE,
    "c2000000-0000-0000-0000-000000000008",
    "OKX took a fee for a trade, or gave a rebate.",
    against=CollateralAccount.TRADING_FEES,
)

FUNDING_PAYMENT: Final = _trading(
    CollateralTemplateCode.FUNDING_PAYMENT,
    "c2000000-0000-0000-0000-000000000009",
    "The position received or paid funding.",
    against=CollateralAccount.FUNDING_PAYMENTS,
)

REALISED_PROFIT: Final = _trading(
    CollateralTemplateCode.REALISED_PROFIT,
    "c2000000-0000-0000-0000-00000000000a",
    "A part of the position was closed with a profit or a loss.",
    against=CollateralAccount.REALISED_PROFIT,
)

COLLATERAL_TEMPLATES: Final[tuple[TransactionTemplate[Any], ...]] = (
    DEPOSIT_SENT,
    DEPOSIT_RETURNED,
    DEPOSIT_CREDITED,
    WITHDRAWAL_REQUESTED,
    WITHDRAWAL_RETURNED,
    WITHDRAWAL_ARRIVED,
    TRANSFERRED,
    TRADING_FEE,
    FUNDING_PAYMENT,
    REALISED_PROFIT,
)
"""All of them, in the order of their ids."""

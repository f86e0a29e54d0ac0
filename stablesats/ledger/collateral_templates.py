"""What each movement of the dealer's collateral posts: ten transaction templates. Pure.

Amounts are whole satoshi above zero on both sides of a journal. Where an event goes both ways (a fee or a
rebate, paid or received), its param is signed as the exchange reports it, what the trading account gained,
and the sign chooses the sides.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from medici_py import Layer, Side, TemplateLeg, TemplateParams, TransactionTemplate
from stablesats.ledger.chart import Currency
from stablesats.ledger.collateral_chart import CollateralAccount
from stablesats.ledger.templates import AmountError


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


def _leg(entry_type: str, account: CollateralAccount, side: Side, sats: int) -> TemplateLeg:
    return TemplateLeg(
        account=account.code,
        side=side,
        amount=sats,
        currency=Currency.BTC.value,
        entry_type=f"{entry_type}_{Currency.BTC}_{'CR' if side is Side.CREDIT else 'DR'}",
        layer=Layer.SETTLED,
    )


def _on_chain(
    code: CollateralTemplateCode,
    *,
    source: CollateralAccount,
    transit: CollateralAccount,
    comes_back: bool = False,
) -> Callable[[SentCollateral], tuple[TemplateLeg, ...]]:
    """Legs of what goes from *source* on chain, its fee on top; or of what comes back, with its fee."""
    given, taken = (Side.DEBIT, Side.CREDIT) if comes_back else (Side.CREDIT, Side.DEBIT)

    def legs(params: SentCollateral) -> tuple[TemplateLeg, ...]:
        moved = (
            _leg(code, source, given, params.sats + params.fee_sats),
            _leg(code, transit, taken, params.sats),
        )
        if params.fee_sats == 0:
            return moved
        return (*moved, _leg(f"{code}_FEE", CollateralAccount.ONCHAIN_FEES, taken, params.fee_sats))

    return legs


def _arrival(
    code: CollateralTemplateCode, *, transit: CollateralAccount, target: CollateralAccount
) -> Callable[[ArrivedCollateral], tuple[TemplateLeg, ...]]:
    """Legs of what was in *transit* and is in *target* now."""

    def legs(params: ArrivedCollateral) -> tuple[TemplateLeg, ...]:
        return (
            _leg(code, transit, Side.CREDIT, params.sats),
            _leg(code, target, Side.DEBIT, params.sats),
        )

    return legs


def _trading(
    code: CollateralTemplateCode, *, against: CollateralAccount
) -> Callable[[TradingChange], tuple[TemplateLeg, ...]]:
    """Legs of what the trading account gained from *against*, or lost to it."""

    def legs(params: TradingChange) -> tuple[TemplateLeg, ...]:
        gained, counter = (Side.DEBIT, Side.CREDIT) if params.change_sats > 0 else (Side.CREDIT, Side.DEBIT)
        sats = abs(params.change_sats)
        return (
            _leg(code, CollateralAccount.OKEX_TRADING, gained, sats),
            _leg(code, against, counter, sats),
        )

    return legs


_SENT_SAMPLES: Final = (SentCollateral(sats=1_000_000, fee_sats=500), SentCollateral(sats=1_000_000))
_ARRIVED_SAMPLES: Final = (ArrivedCollateral(sats=1_000_000),)
_TRADING_SAMPLES: Final = (TradingChange(change_sats=200), TradingChange(change_sats=-200))

DEPOSIT_SENT: Final = TransactionTemplate(
    code=CollateralTemplateCode.DEPOSIT_SENT.value,
    version=1,
    id=UUID("c2000000-0000-0000-0000-000000000001"),
    description="The treasury sent bitcoin to OKX; the network fee is on top.",
    params=SentCollateral,
    legs=_on_chain(
        CollateralTemplateCode.DEPOSIT_SENT,
        source=CollateralAccount.HOT_WALLET_COLLATERAL,
        transit=CollateralAccount.IN_TRANSIT_TO_OKEX,
    ),
    samples=_SENT_SAMPLES,
)

DEPOSIT_RETURNED: Final = TransactionTemplate(
    code=CollateralTemplateCode.DEPOSIT_RETURNED.value,
    version=1,
    id=UUID("c2000000-0000-0000-0000-000000000002"),
    description="Bitcoin that was sent to OKX will never be confirmed: the treasury has it still.",
    params=SentCollateral,
    legs=_on_chain(
        CollateralTemplateCode.DEPOSIT_RETURNED,
        source=CollateralAccount.HOT_WALLET_COLLATERAL,
        transit=CollateralAccount.IN_TRANSIT_TO_OKEX,
        comes_back=True,
    ),
    samples=_SENT_SAMPLES,
)

DEPOSIT_CREDITED: Final = TransactionTemplate(
    code=CollateralTemplateCode.DEPOSIT_CREDITED.value,
    version=1,
    id=UUID("c2000000-0000-0000-0000-000000000003"),
    description="OKX credited a deposit to the funding account.",
    params=ArrivedCollateral,
    legs=_arrival(
        CollateralTemplateCode.DEPOSIT_CREDITED,
        transit=CollateralAccount.IN_TRANSIT_TO_OKEX,
        target=CollateralAccount.OKEX_FUNDING,
    ),
    samples=_ARRIVED_SAMPLES,
)

WITHDRAWAL_REQUESTED: Final = TransactionTemplate(
    code=CollateralTemplateCode.WITHDRAWAL_REQUESTED.value,
    version=1,
    id=UUID("c2000000-0000-0000-0000-000000000004"),
    description="OKX took a withdrawal off the funding account; its fee is on top.",
    params=SentCollateral,
    legs=_on_chain(
        CollateralTemplateCode.WITHDRAWAL_REQUESTED,
        source=CollateralAccount.OKEX_FUNDING,
        transit=CollateralAccount.IN_TRANSIT_FROM_OKEX,
    ),
    samples=_SENT_SAMPLES,
)

WITHDRAWAL_RETURNED: Final = TransactionTemplate(
    code=CollateralTemplateCode.WITHDRAWAL_RETURNED.value,
    version=1,
    id=UUID("c2000000-0000-0000-0000-000000000005"),
    description="A withdrawal failed or was cancelled: OKX gave it back, with its fee.",
    params=SentCollateral,
    legs=_on_chain(
        CollateralTemplateCode.WITHDRAWAL_RETURNED,
        source=CollateralAccount.OKEX_FUNDING,
        transit=CollateralAccount.IN_TRANSIT_FROM_OKEX,
        comes_back=True,
    ),
    samples=_SENT_SAMPLES,
)

WITHDRAWAL_ARRIVED: Final = TransactionTemplate(
    code=CollateralTemplateCode.WITHDRAWAL_ARRIVED.value,
    version=1,
    id=UUID("c2000000-0000-0000-0000-000000000006"),
    description="A withdrawal reached the treasury.",
    params=ArrivedCollateral,
    legs=_arrival(
        CollateralTemplateCode.WITHDRAWAL_ARRIVED,
        transit=CollateralAccount.IN_TRANSIT_FROM_OKEX,
        target=CollateralAccount.HOT_WALLET_COLLATERAL,
    ),
    samples=_ARRIVED_SAMPLES,
)

TRANSFERRED: Final = TransactionTemplate(
    code=CollateralTemplateCode.TRANSFERRED.value,
    version=1,
    id=UUID("c2000000-0000-0000-0000-000000000007"),
    description="OKX moved bitcoin from the funding account to the trading account, or back.",
    params=TradingChange,
    legs=_trading(CollateralTemplateCode.TRANSFERRED, against=CollateralAccount.OKEX_FUNDING),
    samples=_TRADING_SAMPLES,
)

TRADING_FEE: Final = TransactionTemplate(
    code=CollateralTemplateCode.TRADING_FEE.value,
    version=1,
    id=UUID("c2000000-0000-0000-0000-000000000008"),
    description="OKX took a fee for a trade, or gave a rebate.",
    params=TradingChange,
    legs=_trading(CollateralTemplateCode.TRADING_FEE, against=CollateralAccount.TRADING_FEES),
    samples=_TRADING_SAMPLES,
)

FUNDING_PAYMENT: Final = TransactionTemplate(
    code=CollateralTemplateCode.FUNDING_PAYMENT.value,
    version=1,
    id=UUID("c2000000-0000-0000-0000-000000000009"),
    description="The position received or paid funding.",
    params=TradingChange,
    legs=_trading(CollateralTemplateCode.FUNDING_PAYMENT, against=CollateralAccount.FUNDING_PAYMENTS),
    samples=_TRADING_SAMPLES,
)

REALISED_PROFIT: Final = TransactionTemplate(
    code=CollateralTemplateCode.REALISED_PROFIT.value,
    version=1,
    id=UUID("c2000000-0000-0000-0000-00000000000a"),
    description="A part of the position was closed with a profit or a loss.",
    params=TradingChange,
    legs=_trading(CollateralTemplateCode.REALISED_PROFIT, against=CollateralAccount.REALISED_PROFIT),
    samples=_TRADING_SAMPLES,
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

"""The trading account as an immutable value, and the folds that make a new one out of each event.

``price_fill`` says what a trade would do to an account (fee and realised profit); ``fold`` applies a
priced fill. Folding the recorded fills over the opening account gives the account of today, so a saved
history is a saved state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 - read at run time when a saved state is loaded
from decimal import Decimal  # noqa: TC003 - see above
from typing import TYPE_CHECKING

from stablesats.okx_simulator import market
from stablesats.okx_simulator.amounts import ZERO, booked, exact
from stablesats.okx_simulator.market import Side

if TYPE_CHECKING:
    from stablesats.okx_simulator.instrument import Instrument


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution: *fee_btc* is negative when charged, *pnl_btc* is what its closing part realised.

    A liquidation is charged *liquidation_penalty_btc* (negative) in place of the fee.
    """

    trade_id: str
    bill_id: str
    order_id: str
    side: Side
    contracts: Decimal
    price_usd: Decimal
    fee_btc: Decimal
    pnl_btc: Decimal
    at: datetime
    is_maker: bool = False
    liquidation_penalty_btc: Decimal = ZERO

    @property
    @exact
    def change_btc(self) -> Decimal:
        """What the execution does to the cash."""
        return self.pnl_btc + self.fee_btc + self.liquidation_penalty_btc

    @property
    def signed_contracts(self) -> Decimal:
        """Contracts bought, negative when sold."""
        return self.contracts * self.side.sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """An open position in net mode; *contracts* is signed and never zero, the sums are since it opened."""

    position_id: str
    contracts: Decimal
    entry_price_usd: Decimal
    pnl_btc: Decimal
    fee_btc: Decimal
    funding_fee_btc: Decimal
    liquidation_penalty_btc: Decimal
    last_trade_id: str
    opened_at: datetime
    updated_at: datetime

    @property
    @exact
    def realized_pnl_btc(self) -> Decimal:
        """Profit booked to cash since the position opened: ``pnl + fee + fundingFee + liqPenalty``."""
        return self.pnl_btc + self.fee_btc + self.funding_fee_btc + self.liquidation_penalty_btc


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A trading account with one cross-margined position or none.

    Cash is what was paid in plus the sum of everything that was booked since, to the last digit.
    *insured_btc* is what the exchange's insurance has paid in to lift a negative balance to zero.
    *last_position* is the position as it was before the latest fill: None means none was ever held.
    """

    deposited_btc: Decimal
    lever: Decimal
    updated_at: datetime
    realized_pnl_btc: Decimal = ZERO
    fees_btc: Decimal = ZERO
    funding_fees_btc: Decimal = ZERO
    liquidation_penalties_btc: Decimal = ZERO
    insured_btc: Decimal = ZERO
    position: Position | None = None
    last_position: Position | None = None

    @property
    @exact
    def cash_btc(self) -> Decimal:
        """What was paid in and realised: OKX's ``cashBal``."""
        return (
            self.deposited_btc
            + self.realized_pnl_btc
            + self.fees_btc
            + self.funding_fees_btc
            + self.liquidation_penalties_btc
            + self.insured_btc
        )

    @property
    def contracts(self) -> Decimal:
        """Signed contracts held, zero when flat."""
        return ZERO if self.position is None else self.position.contracts


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """An account valued at one mark price; BTC throughout, *ratio* None when flat."""

    unrealized_pnl_btc: Decimal
    equity_btc: Decimal
    initial_btc: Decimal
    maintenance_btc: Decimal
    order_frozen_btc: Decimal
    available_btc: Decimal
    ratio: Decimal | None


@exact
def margin_at(
    account: Account, mark_usd: Decimal, instrument: Instrument, *, order_frozen_btc: Decimal = ZERO
) -> Margin:
    """Value *account* at *mark_usd*, *order_frozen_btc* being what its pending orders hold back."""
    position, contracts = account.position, account.contracts
    upl = (
        ZERO
        if position is None
        else market.unrealized_pnl_btc(contracts, position.entry_price_usd, mark_usd, instrument)
    )
    equity = account.cash_btc + upl
    initial = market.initial_margin_btc(contracts, mark_usd, account.lever, instrument)
    return Margin(
        unrealized_pnl_btc=upl,
        equity_btc=equity,
        initial_btc=initial,
        maintenance_btc=market.maintenance_margin_btc(contracts, mark_usd, instrument),
        order_frozen_btc=order_frozen_btc,
        available_btc=market.available_equity_btc(equity, initial, order_frozen_btc),
        ratio=market.margin_ratio(equity, order_frozen_btc, contracts, mark_usd, instrument),
    )


def closing_contracts(account: Account, side: Side, contracts: Decimal) -> Decimal:
    """Return how many of *contracts* on *side* would close the position; the rest would open."""
    if account.contracts * side.sign >= 0:
        return ZERO
    return min(abs(account.contracts), contracts)


@exact
def price_fill(
    account: Account,
    *,
    trade_id: str,
    bill_id: str,
    order_id: str,
    side: Side,
    contracts: Decimal,
    price_usd: Decimal,
    at: datetime,
    instrument: Instrument,
    is_maker: bool = False,
) -> Fill:
    """Price a trade against *account*: its fee, and the profit of the part that closes a position."""
    rate = instrument.maker_rate if is_maker else instrument.taker_rate
    return Fill(
        trade_id=trade_id,
        bill_id=bill_id,
        order_id=order_id,
        side=side,
        contracts=contracts,
        price_usd=price_usd,
        fee_btc=market.fee_btc(contracts, price_usd, rate, instrument),
        pnl_btc=_realized_btc(account, side, contracts, price_usd, instrument),
        at=at,
        is_maker=is_maker,
    )


@exact
def price_liquidation(
    account: Account,
    *,
    trade_id: str,
    bill_id: str,
    order_id: str,
    mark_usd: Decimal,
    at: datetime,
    instrument: Instrument,
) -> Fill:
    """Price the forced close of the whole position at the mark: a penalty of ``t F / M``, and no fee."""
    contracts = abs(account.contracts)
    side = Side.SELL if account.contracts > 0 else Side.BUY
    return Fill(
        trade_id=trade_id,
        bill_id=bill_id,
        order_id=order_id,
        side=side,
        contracts=contracts,
        price_usd=mark_usd,
        fee_btc=ZERO,
        pnl_btc=_realized_btc(account, side, contracts, mark_usd, instrument),
        at=at,
        liquidation_penalty_btc=booked(-market.liquidation_fee_btc(contracts, mark_usd, instrument)),
    )


@exact
def fold(account: Account, fill: Fill) -> Account:
    """Return the account after *fill*: fee and profit booked, the position opened, grown, cut or turned."""
    position = _position_after(account.position, fill)
    return replace(
        account,
        realized_pnl_btc=account.realized_pnl_btc + fill.pnl_btc,
        fees_btc=account.fees_btc + fill.fee_btc,
        liquidation_penalties_btc=account.liquidation_penalties_btc + fill.liquidation_penalty_btc,
        position=position,
        last_position=account.position or account.last_position,
        updated_at=fill.at,
    )


@exact
def fold_funding(account: Account, payment_btc: Decimal, at: datetime) -> Account:
    """Return the account after a funding settlement; positive is received. It needs a position."""
    assert account.position is not None
    position = replace(
        account.position,
        funding_fee_btc=account.position.funding_fee_btc + payment_btc,
        updated_at=at,
    )
    return replace(
        account,
        funding_fees_btc=account.funding_fees_btc + payment_btc,
        position=position,
        updated_at=at,
    )


@exact
def insured(account: Account) -> Account:
    """Return the account with a negative balance lifted to zero by the insurance."""
    return replace(account, insured_btc=account.insured_btc + max(ZERO, -account.cash_btc))


@exact
def deposit(account: Account, amount_btc: Decimal, at: datetime) -> Account:
    """Return the account with *amount_btc* more cash (less, if negative)."""
    return replace(account, deposited_btc=account.deposited_btc + amount_btc, updated_at=at)


def with_lever(account: Account, lever: Decimal, at: datetime) -> Account:
    """Return the account at another leverage; the position and the cash are untouched."""
    return replace(account, lever=lever, updated_at=at)


def after_closing(
    account: Account, side: Side, closing: Decimal, price_usd: Decimal, instrument: Instrument
) -> Account:
    """Return the account after a taker on *side* has closed *closing* contracts of its position."""
    if not closing:
        return account
    fill = price_fill(
        account,
        trade_id="",
        bill_id="",
        order_id="",
        side=side,
        contracts=closing,
        price_usd=price_usd,
        at=account.updated_at,
        instrument=instrument,
    )
    return fold(account, fill)


def _realized_btc(
    account: Account, side: Side, contracts: Decimal, price_usd: Decimal, instrument: Instrument
) -> Decimal:
    closed, position = closing_contracts(account, side, contracts), account.position
    if position is None or not closed:
        return ZERO
    return market.realized_pnl_btc(
        position.contracts, closed, position.entry_price_usd, price_usd, instrument
    )


def _position_after(position: Position | None, fill: Fill) -> Position | None:
    if position is None:
        return _opened(fill, fill.signed_contracts, fill.fee_btc)
    total = position.contracts + fill.signed_contracts
    if not total:
        return None
    if total * position.contracts < 0:
        opening_fee = booked(fill.fee_btc * abs(total) / fill.contracts)
        return _opened(fill, total, opening_fee)
    grown = abs(total) > abs(position.contracts)
    entry = (
        market.entry_price_usd(
            position.contracts, position.entry_price_usd, fill.signed_contracts, fill.price_usd
        )
        if grown
        else position.entry_price_usd
    )
    return replace(
        position,
        contracts=total,
        entry_price_usd=entry,
        pnl_btc=position.pnl_btc + fill.pnl_btc,
        fee_btc=position.fee_btc + fill.fee_btc,
        last_trade_id=fill.trade_id,
        updated_at=fill.at,
    )


def _opened(fill: Fill, contracts: Decimal, fee_btc: Decimal) -> Position:
    return Position(
        position_id=fill.bill_id,
        contracts=contracts,
        entry_price_usd=fill.price_usd,
        pnl_btc=ZERO,
        fee_btc=fee_btc,
        funding_fee_btc=ZERO,
        liquidation_penalty_btc=ZERO,
        last_trade_id=fill.trade_id,
        opened_at=fill.at,
        updated_at=fill.at,
    )

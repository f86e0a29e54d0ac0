"""Economics of the inverse perpetual: what a fill costs, what a position is worth, what it may grow to.

Symbols follow the usual ones: ``q`` signed contracts (negative is short), ``V`` contract value in USD,
``F = |q| V``, ``A`` entry price, ``M`` mark price, ``L`` leverage, ``C`` cash, ``t`` taker rate, ``k``
maintenance rate. Prices are USD for one BTC; fees, margins and profits are BTC. Nothing here reads a
clock, a network or a state: every function maps values to a value.

Source: OKX, "Futures mode: cross margin" for margins and profit; where the venue publishes no formula
(opening check, liquidation price, harmonic entry price) the one that keeps the others consistent.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator.amounts import ONE, ZERO, booked, exact

if TYPE_CHECKING:
    from stablesats.okx_simulator.instrument import Instrument

MARGIN_ALERT_RATIO: Final = Decimal(3)
"""At this margin ratio or below the holder is warned."""
LIQUIDATION_RATIO: Final = Decimal(1)
"""At this margin ratio or below the position is closed by force."""


class Side(StrEnum):
    """The direction of an order or a fill."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


@exact
def value_btc(contracts: Decimal, price_usd: Decimal, instrument: Instrument) -> Decimal:
    """Return ``q V / P``: what *contracts* are worth in BTC at *price_usd*, with the sign of *contracts*."""
    return contracts * instrument.contract_value_usd / price_usd


@exact
def fee_btc(contracts: Decimal, price_usd: Decimal, rate: Decimal, instrument: Instrument) -> Decimal:
    """Return the fee of a fill as booked: negative is charged, positive is a rebate.

    100 contracts at 50,000 USD and a rate of 0.0005 cost ``-0.0001`` BTC.
    """
    return booked(-rate * value_btc(abs(contracts), price_usd, instrument))


@exact
def entry_price_usd(
    held_contracts: Decimal, held_price_usd: Decimal, added_contracts: Decimal, added_price_usd: Decimal
) -> Decimal:
    """Return the entry price after adding to a position: the harmonic mean weighted by contracts.

    The harmonic mean is the only one for which profit computed on the whole equals the sum over the
    parts. 50 at 50,000 and 50 at 40,000 give 44,444.44 USD, not 45,000.
    """
    total = held_contracts + added_contracts
    return total / (held_contracts / held_price_usd + added_contracts / added_price_usd)


@exact
def unrealized_pnl_btc(
    contracts: Decimal, entry_usd: Decimal, mark_usd: Decimal, instrument: Instrument
) -> Decimal:
    """Return ``q V (1/A - 1/M)``.

    Short 100 contracts from 50,000 with the mark at 40,000: ``+0.05`` BTC.
    """
    return contracts * instrument.contract_value_usd * (ONE / entry_usd - ONE / mark_usd)


@exact
def realized_pnl_btc(
    position_contracts: Decimal,
    closed_contracts: Decimal,
    entry_usd: Decimal,
    price_usd: Decimal,
    instrument: Instrument,
) -> Decimal:
    """Return the profit of closing *closed_contracts* (unsigned) of a position at *price_usd*, as booked.

    Buying back 40 of a short from 50,000 at 45,000 realises ``+0.0088888888888889`` BTC.
    """
    signed = closed_contracts.copy_sign(position_contracts)
    return booked(unrealized_pnl_btc(signed, entry_usd, price_usd, instrument))


@exact
def notional_usd(
    contracts: Decimal, mark_usd: Decimal, index_usd: Decimal, instrument: Instrument
) -> Decimal:
    """Return the unsigned dollar value that the position row shows: ``F x index / mark``."""
    return abs(contracts) * instrument.contract_value_usd * index_usd / mark_usd


@exact
def initial_margin_btc(
    contracts: Decimal, mark_usd: Decimal, lever: Decimal, instrument: Instrument
) -> Decimal:
    """Return ``F / (M L)``, the collateral that a position blocks."""
    return value_btc(abs(contracts), mark_usd, instrument) / lever


@exact
def maintenance_margin_btc(contracts: Decimal, mark_usd: Decimal, instrument: Instrument) -> Decimal:
    """Return ``k F / M``, without the liquidation fee."""
    return instrument.maintenance_rate * value_btc(abs(contracts), mark_usd, instrument)


@exact
def liquidation_fee_btc(contracts: Decimal, mark_usd: Decimal, instrument: Instrument) -> Decimal:
    """Return ``t F / M``, which is added to the maintenance margin."""
    return instrument.taker_rate * value_btc(abs(contracts), mark_usd, instrument)


@exact
def funding_payment_btc(
    contracts: Decimal, mark_usd: Decimal, rate: Decimal, instrument: Instrument
) -> Decimal:
    """Return ``-q V rate / M`` as booked to the holder: with a positive rate the short receives."""
    return booked(-rate * value_btc(contracts, mark_usd, instrument))


@exact
def available_equity_btc(equity_btc: Decimal, initial_margin: Decimal, order_frozen_btc: Decimal) -> Decimal:
    """Return ``max(0, eq - imr - ordFrozen)``: the margin that is free for opening."""
    return max(ZERO, equity_btc - initial_margin - order_frozen_btc)


@exact
def margin_ratio(
    equity_btc: Decimal,
    order_frozen_btc: Decimal,
    contracts: Decimal,
    mark_usd: Decimal,
    instrument: Instrument,
) -> Decimal | None:
    """Return ``(C + upl - ordFrozen) / ((k + t) F / M)``, where 3 means 300 %; None without a position."""
    if not contracts:
        return None
    required = maintenance_margin_btc(contracts, mark_usd, instrument) + liquidation_fee_btc(
        contracts, mark_usd, instrument
    )
    return (equity_btc - order_frozen_btc) / required


@exact
def liquidation_price_usd(
    contracts: Decimal, entry_usd: Decimal, cash_btc: Decimal, instrument: Instrument
) -> Decimal | None:
    """Return the mark price at which the margin ratio reaches 1; None if no price can liquidate.

    A short of 10,000 USD from 50,000 over 0.1 BTC: 99,550 USD; the long: 33,483.33 USD.
    """
    if not contracts:
        return None
    face_usd = abs(contracts) * instrument.contract_value_usd
    at_entry_btc = face_usd / entry_usd
    buffer = instrument.maintenance_rate + instrument.taker_rate
    if contracts > 0:
        collateral_btc = cash_btc + at_entry_btc
        return face_usd * (ONE + buffer) / collateral_btc if collateral_btc > 0 else None
    uncovered_btc = at_entry_btc - cash_btc
    return face_usd * (ONE - buffer) / uncovered_btc if uncovered_btc > 0 else None


@exact
def opening_cost_btc(
    contracts: Decimal, price_usd: Decimal, lever: Decimal, instrument: Instrument
) -> Decimal:
    """Return ``N V/P (1/L + t)``: initial margin and taker fee of opening *contracts* (unsigned)."""
    return value_btc(abs(contracts), price_usd, instrument) * (ONE / lever + instrument.taker_rate)


@exact
def largest_opening_contracts(
    available_btc: Decimal, price_usd: Decimal, lever: Decimal, instrument: Instrument
) -> Decimal:
    """Return how many contracts *available_btc* can open, rounded down to the lot.

    0.1 BTC at 50,000 USD and leverage 2 open 99.9 contracts.
    """
    cost_of_one = opening_cost_btc(ONE, price_usd, lever, instrument)
    return max(ZERO, floor_to_lot(available_btc / cost_of_one, instrument))


@exact
def floor_to_lot(contracts: Decimal, instrument: Instrument) -> Decimal:
    """Return *contracts* rounded down to the lot."""
    lots = (contracts / instrument.lot_contracts).to_integral_value(rounding=ROUND_FLOOR)
    return lots * instrument.lot_contracts


@exact
def withdrawable_btc(
    cash_btc: Decimal, equity_btc: Decimal, initial_margin: Decimal, order_frozen_btc: Decimal
) -> Decimal:
    """Return ``max(0, min(C, eq) - imr - ordFrozen)``: gains on paper cannot leave the account."""
    return max(ZERO, min(cash_btc, equity_btc) - initial_margin - order_frozen_btc)

"""A recorded flow of bitcoin payments, turned into the trades of users who want to hold dollars. Pure.

A receipt of the wallet is a user who pays in bitcoin and holds it as dollars from then on; a payment out
is a user who turns dollars back into the bitcoin that leaves. Amounts and order are the recorded ones.
The record has no times, so the payments are spread evenly over the replayed stretch of prices.
"""

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Final

from stablesats.trades.user_trade import Unit, UserTrade

_SATS_PER_BTC: Final = 100_000_000
_CENTS_PER_USD: Final = 100

IMMEDIATE_FEE_RATE: Final = Decimal("0.0010")
"""Base fee plus immediate fee of the dealer. Source: stablesats-rs, price server defaults."""


@dataclass(frozen=True, slots=True)
class Payment:
    """One recorded movement: *amount_sats* is positive for a receipt and negative for a payment out."""

    sequence: int
    amount_sats: int


@dataclass(frozen=True, slots=True)
class ScheduledPayment:
    """A payment with the instant of the replay at which it takes place."""

    payment: Payment
    at: datetime


@dataclass(frozen=True, slots=True)
class DealerQuote:
    """What bitcoin costs on the exchange right now, in USD a bitcoin."""

    bid_usd: Decimal
    ask_usd: Decimal


def read_payments(path: Path) -> list[Payment]:
    """Read a ``seq,direction,amount_sat,...`` file (gzip), in order."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [Payment(int(row["seq"]), int(row["amount_sat"])) for row in csv.DictReader(file)]


def schedule(payments: Sequence[Payment], start: datetime, end: datetime) -> Iterator[ScheduledPayment]:
    """Spread *payments* evenly over [start, end): the first at the start, none at the end."""
    for index, payment in enumerate(payments):
        yield ScheduledPayment(payment, start + (end - start) * index / len(payments))


def trade_for(
    payment: Payment,
    *,
    at: datetime,
    quote: DealerQuote,
    users_cents: int,
    fee_rate: Decimal = IMMEDIATE_FEE_RATE,
) -> UserTrade | None:
    """The trade that *payment* makes at *quote*.

    The dealer sells the bitcoin it gets at the bid, buys what it pays out at the ask, keeps *fee_rate*
    and rounds to whole cents in its own favour.

    Args:
        payment: The recorded movement.
        at: When it takes place.
        quote: Best bid and ask, USD a bitcoin.
        users_cents: Dollars that users hold before the trade; nobody can spend more.
        fee_rate: The dealer's fee as a fraction.

    Returns:
        The trade, or None when it is worth less than a cent or users do not hold enough dollars for it.
        1,569,000 sats received at a bid of 4,626.04 buy floor(7,258.25676 x 0.999) = 7,250 cents.

    Source: rounding and fee as in the price server of stablesats-rs (section "fees").
    """
    sats = abs(payment.amount_sats)
    trade_id = f"payment-{payment.sequence}"
    if payment.amount_sats > 0:
        cents = _cents(sats, quote.bid_usd * (1 - fee_rate), ROUND_FLOOR)
        if cents == 0:
            return None
        return UserTrade(
            id=trade_id,
            timestamp=at,
            buy_unit=Unit.USD_CENT,
            buy_amount=cents,
            sell_unit=Unit.SATOSHI,
            sell_amount=sats,
        )
    cents = _cents(sats, quote.ask_usd * (1 + fee_rate), ROUND_CEILING)
    if sats == 0 or cents > users_cents:
        return None
    return UserTrade(
        id=trade_id,
        timestamp=at,
        buy_unit=Unit.SATOSHI,
        buy_amount=sats,
        sell_unit=Unit.USD_CENT,
        sell_amount=cents,
    )


def _cents(sats: int, usd_per_btc: Decimal, rounding: str) -> int:
    exact = Decimal(sats) * usd_per_btc * _CENTS_PER_USD / _SATS_PER_BTC
    return int(exact.to_integral_value(rounding=rounding))

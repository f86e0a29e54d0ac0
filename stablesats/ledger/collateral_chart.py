"""The chart of accounts of the dealer's collateral at the exchange.

A third book, *Exchange Collateral*, beside the two of `stablesats.ledger.chart`: where the bitcoin is that
the bank's treasury gave the dealer to hedge with, and what the exchange took from it and added to it. It is
kept as the bank keeps its own book: what there is stands on the debit side, where it came from on the
credit side. A balance is credit minus debit, so that an asset or an expense is below zero.

stablesats-rs has no such book. Its ids are ours, in a range that it does not use (``c...``). All amounts are
whole satoshi.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from stablesats.ledger.chart import AccountSpec, ChartAccount, Currency, NormalSide

EXCHANGE_COLLATERAL_BOOK: Final = "Exchange Collateral"

COLLATERAL_BOOK_IDS: Final[Mapping[str, UUID]] = {
    EXCHANGE_COLLATERAL_BOOK: UUID("c0000000-0000-0000-0000-000000000001")
}
"""The fixed id of the book."""


def _spec(number: int, normal_side: NormalSide, meaning: str) -> AccountSpec:
    id_ = UUID(f"c1000000-0000-0000-0000-{number:012}")
    return AccountSpec(id_, EXCHANGE_COLLATERAL_BOOK, normal_side, (Currency.BTC,), meaning)


_DEBIT = NormalSide.DEBIT
_CREDIT = NormalSide.CREDIT


class CollateralAccount(ChartAccount):
    """The accounts of the collateral, all in bitcoin."""

    OKEX_FUNDING = _spec(
        1, _DEBIT, "Asset: bitcoin on the funding account at OKX; a debit is bitcoin that came in."
    )
    OKEX_TRADING = _spec(
        2, _DEBIT, "Asset: cash on the trading account at OKX, without what is not realised; a debit adds."
    )
    IN_TRANSIT_TO_OKEX = _spec(
        3, _DEBIT, "Asset: bitcoin that was sent to OKX and is not credited yet; a debit is sent."
    )
    IN_TRANSIT_FROM_OKEX = _spec(
        4, _DEBIT, "Asset: bitcoin that OKX was told to send and that has not arrived; a debit is under way."
    )
    HOT_WALLET_COLLATERAL = _spec(
        5, _CREDIT, "Equity: what the bank's treasury gave, less what it got back; a credit is given."
    )
    ONCHAIN_FEES = _spec(6, _DEBIT, "Expense: what moving bitcoin to and from OKX cost; a debit is paid.")
    TRADING_FEES = _spec(
        7, _DEBIT, "Expense: what OKX took for trades, less rebates; a debit is paid, a credit a rebate."
    )
    FUNDING_PAYMENTS = _spec(
        8, _CREDIT, "Income: what the position received for being held; a credit is received, a debit paid."
    )
    REALISED_PROFIT = _spec(
        9, _CREDIT, "Income: what closing positions brought; a credit is a profit, a debit a loss."
    )

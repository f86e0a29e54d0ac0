"""The dealer's books: which accounts exist, what a trade posts, what the balances mean."""

from stablesats.ledger.balances import DealerBalances
from stablesats.ledger.chart import (
    EXCHANGE_POSITION_BOOK,
    STABLESATS_BOOK,
    Account,
    Currency,
    Layer,
    NormalSide,
)
from stablesats.ledger.facade import Ledger

__all__ = [
    "EXCHANGE_POSITION_BOOK",
    "STABLESATS_BOOK",
    "Account",
    "Currency",
    "DealerBalances",
    "Layer",
    "Ledger",
    "NormalSide",
]

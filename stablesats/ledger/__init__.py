"""The dealer's books: which accounts exist, what a trade posts, what the balances mean."""

from stablesats.ledger.allocation import AllocationAdjustment, allocation_for
from stablesats.ledger.allocation_reconciler import AllocationHealth, AllocationReconciler
from stablesats.ledger.balances import DealerBalances, LedgerDamagedError, LiabilityAlarm, LiabilityBalances
from stablesats.ledger.chart import (
    EXCHANGE_POSITION_BOOK,
    STABLESATS_BOOK,
    Account,
    Currency,
    Layer,
    NormalSide,
    StrayAccount,
)
from stablesats.ledger.chart_registry import ChartChangedError
from stablesats.ledger.collateral import CollateralLedger, ExchangeIdError
from stablesats.ledger.collateral_balances import (
    AccountDifference,
    CollateralBalances,
    CollateralDifference,
    CollateralProfit,
    collateral_difference,
)
from stablesats.ledger.collateral_chart import EXCHANGE_COLLATERAL_BOOK, CollateralAccount
from stablesats.ledger.collateral_templates import CollateralTemplateCode
from stablesats.ledger.facade import Ledger
from stablesats.ledger.quotes import QuoteIdError
from stablesats.ledger.reverted_journal import RevertedJournalError, VoidedJournalError, VoidedReversalError
from stablesats.ledger.templates import AmountError, TemplateCode

__all__ = [
    "EXCHANGE_COLLATERAL_BOOK",
    "EXCHANGE_POSITION_BOOK",
    "STABLESATS_BOOK",
    "Account",
    "AccountDifference",
    "AllocationAdjustment",
    "AllocationHealth",
    "AllocationReconciler",
    "AmountError",
    "ChartChangedError",
    "CollateralAccount",
    "CollateralBalances",
    "CollateralDifference",
    "CollateralLedger",
    "CollateralProfit",
    "CollateralTemplateCode",
    "Currency",
    "DealerBalances",
    "ExchangeIdError",
    "Layer",
    "Ledger",
    "LedgerDamagedError",
    "LiabilityAlarm",
    "LiabilityBalances",
    "NormalSide",
    "QuoteIdError",
    "RevertedJournalError",
    "StrayAccount",
    "TemplateCode",
    "VoidedJournalError",
    "VoidedReversalError",
    "allocation_for",
    "collateral_difference",
]

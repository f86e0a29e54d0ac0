"""The journal library: double-entry bookkeeping on MongoDB, exact and always atomic."""

from medici_py.balances import Balance
from medici_py.book import Book
from medici_py.change_events import ChangePosition, JournalPosted, JournalVoided
from medici_py.change_feed import ChangeHistoryLostError, ChangeStreamError, ChangeStreamInterruptedError
from medici_py.changes import open_changes
from medici_py.documents import Journal, Transaction
from medici_py.entry import Entry
from medici_py.errors import (
    BalanceLimitError,
    BookConstructorError,
    ConsistencyError,
    DuplicateEntryError,
    IncompleteJournalError,
    IndexConflictError,
    InsufficientBalanceError,
    InvalidAccountPathError,
    InvalidAccountPathLengthError,
    InvalidQueryError,
    JournalAlreadyVoidedError,
    JournalNotFoundError,
    MediciError,
    TransactionError,
    UnknownOutcomeError,
    UnreadableDocumentError,
    UnsupportedDeploymentError,
)
from medici_py.ledger import LedgerPage
from medici_py.live_balances import LiveBalances, LiveBalancesClosedError
from medici_py.query import exactly
from medici_py.store import init_models, sync_indexes
from medici_py.transactions import mongo_transaction
from medici_py.turnover_snapshot import SnapshotReadError

__all__ = [  # noqa: RUF022 - by theme, as a reader looks for it
    # books and their set-up
    "Book",
    "init_models",
    "sync_indexes",
    "mongo_transaction",
    # what goes in and what comes out
    "Entry",
    "Journal",
    "Transaction",
    "Balance",
    "LedgerPage",
    "exactly",
    # what happens
    "open_changes",
    "JournalPosted",
    "JournalVoided",
    "ChangePosition",
    "LiveBalances",
    # errors
    "MediciError",
    "BookConstructorError",
    "InvalidAccountPathError",
    "InvalidAccountPathLengthError",
    "TransactionError",
    "DuplicateEntryError",
    "InsufficientBalanceError",
    "BalanceLimitError",
    "UnknownOutcomeError",
    "InvalidQueryError",
    "JournalNotFoundError",
    "JournalAlreadyVoidedError",
    "ConsistencyError",
    "IncompleteJournalError",
    "UnreadableDocumentError",
    "IndexConflictError",
    "UnsupportedDeploymentError",
    "ChangeStreamError",
    "ChangeStreamInterruptedError",
    "ChangeHistoryLostError",
    "SnapshotReadError",
    "LiveBalancesClosedError",
]

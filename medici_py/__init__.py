"""The journal library: double-entry bookkeeping on MongoDB, exact and always atomic."""

from medici_py.allowed_accounts import AccountNotAllowedError
from medici_py.balances import Balance
from medici_py.batch import EntryBatch
from medici_py.book import Book
from medici_py.change_buffer import Overflow, SubscriberTooSlowError
from medici_py.change_events import (
    BalanceChanged,
    ChangePosition,
    EventsDropped,
    JournalPosted,
    JournalVoided,
)
from medici_py.change_feed import ChangeHistoryLostError, ChangeStreamError, ChangeStreamInterruptedError
from medici_py.change_subscription import ChangeLag, ChangeSubscription
from medici_py.changes import open_changes
from medici_py.compared_rows import CorrectionTooLargeError
from medici_py.differences import Difference
from medici_py.documents import Journal, TemplateRef, Transaction
from medici_py.durable_events import DurableEvents, UnacknowledgedEventsError
from medici_py.durable_subscription import DurableSubscription
from medici_py.entry import Entry
from medici_py.errors import (
    BalanceLimitError,
    BookClosedError,
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
    JournalTakenBackError,
    MediciError,
    RunningBalancesError,
    TemplateChangedError,
    TemplateError,
    TemplateParamsError,
    TransactionError,
    UnknownOutcomeError,
    UnknownTemplateError,
    UnreadableDocumentError,
    UnsupportedDeploymentError,
)
from medici_py.group_commit import CommitStats
from medici_py.history_recovered import HistoryRecovered
from medici_py.leases import Lease, LeaseLostError, LeaseUnavailableError
from medici_py.ledger import LedgerPage
from medici_py.live_balances import LiveBalances, LiveBalancesClosedError
from medici_py.long_snapshot import SnapshotExpiredError
from medici_py.query import exactly
from medici_py.rebuild import (
    DimensionsChangedError,
    RebuildConflictError,
    RebuildReport,
)
from medici_py.rollups import RollUpRefusedError, RollUpReport, RollUpUnderWayError
from medici_py.store import init_models, sync_indexes
from medici_py.subscription_lag import SubscriptionLag, subscription_lags
from medici_py.subscription_rows import SubscriptionMismatchError
from medici_py.taking_back import take_back
from medici_py.template_legs import Layer, Side, TemplateLeg
from medici_py.template_params import TemplateParams
from medici_py.template_registry import StoredTemplate, read_templates, register_templates
from medici_py.templates import TransactionTemplate, post, template_entry
from medici_py.transactions import mongo_transaction
from medici_py.turnover_snapshot import SnapshotReadError
from medici_py.verify import VerifyReport

__all__ = [  # noqa: RUF022 - by theme, as a reader looks for it
    # books and their set-up
    "Book",
    "init_models",
    "sync_indexes",
    "mongo_transaction",
    # what goes in and what comes out
    "Entry",
    "EntryBatch",
    "Journal",
    "Transaction",
    "Balance",
    "LedgerPage",
    "exactly",
    "take_back",
    # transaction templates
    "TransactionTemplate",
    "TemplateParams",
    "TemplateLeg",
    "Layer",
    "Side",
    "template_entry",
    "post",
    "register_templates",
    "read_templates",
    "StoredTemplate",
    "TemplateRef",
    # looking after a book
    "CommitStats",
    "VerifyReport",
    "Difference",
    "RebuildReport",
    "RollUpReport",
    # what happens
    "open_changes",
    "JournalPosted",
    "JournalVoided",
    "BalanceChanged",
    "EventsDropped",
    "ChangePosition",
    "ChangeSubscription",
    "ChangeLag",
    "Overflow",
    "LiveBalances",
    # what happens, and no crash loses
    "DurableSubscription",
    "DurableEvents",
    "HistoryRecovered",
    "SubscriptionLag",
    "subscription_lags",
    "Lease",
    # errors
    "MediciError",
    "BookConstructorError",
    "InvalidAccountPathError",
    "InvalidAccountPathLengthError",
    "TransactionError",
    "DuplicateEntryError",
    "InsufficientBalanceError",
    "BalanceLimitError",
    "AccountNotAllowedError",
    "UnknownOutcomeError",
    "RunningBalancesError",
    "BookClosedError",
    "InvalidQueryError",
    "JournalNotFoundError",
    "JournalAlreadyVoidedError",
    "JournalTakenBackError",
    "ConsistencyError",
    "IncompleteJournalError",
    "UnreadableDocumentError",
    "IndexConflictError",
    "UnsupportedDeploymentError",
    "TemplateError",
    "TemplateParamsError",
    "TemplateChangedError",
    "UnknownTemplateError",
    "ChangeStreamError",
    "ChangeStreamInterruptedError",
    "ChangeHistoryLostError",
    "SubscriberTooSlowError",
    "SubscriptionMismatchError",
    "UnacknowledgedEventsError",
    "LeaseLostError",
    "LeaseUnavailableError",
    "SnapshotReadError",
    "LiveBalancesClosedError",
    "SnapshotExpiredError",
    "RebuildConflictError",
    "DimensionsChangedError",
    "CorrectionTooLargeError",
    "RollUpRefusedError",
    "RollUpUnderWayError",
]

"""User trades: what they are, where they come from, and how they get into the books once each."""

from stablesats.trades.accounting import BookedTrade, Trades
from stablesats.trades.errors import TradeConflictError, TradeNotLiveError, TradeReferenceError
from stablesats.trades.jsonl_source import JsonLinesSource, UnreadableTradesError
from stablesats.trades.lag import TradeLag, trade_lag
from stablesats.trades.queue_source import QueueClosedError, QueueSource
from stablesats.trades.trade_documents import (
    QuarantineDocument,
    RevertState,
    SourcePositionDocument,
    TradeRevertDocument,
    TradeState,
    UserTradeDocument,
)
from stablesats.trades.trade_source import (
    Delivery,
    MalformedItem,
    Place,
    Position,
    ReceivedTrade,
    RevertRequest,
    SourceItem,
    TradeSource,
)
from stablesats.trades.user_trade import Unit, UserTrade, UserTradeError

__all__ = [
    "BookedTrade",
    "Delivery",
    "JsonLinesSource",
    "MalformedItem",
    "Place",
    "Position",
    "QuarantineDocument",
    "QueueClosedError",
    "QueueSource",
    "ReceivedTrade",
    "RevertRequest",
    "RevertState",
    "SourceItem",
    "SourcePositionDocument",
    "TradeConflictError",
    "TradeLag",
    "TradeNotLiveError",
    "TradeReferenceError",
    "TradeRevertDocument",
    "TradeSource",
    "TradeState",
    "Trades",
    "Unit",
    "UnreadableTradesError",
    "UserTrade",
    "UserTradeDocument",
    "UserTradeError",
    "trade_lag",
]

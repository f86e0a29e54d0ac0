"""User trades: what they are, where they come from, and how they get into the books once each."""

from stablesats.trades.accounting import BookedTrade, TradeConflictError, Trades
from stablesats.trades.user_trade import Unit, UserTrade, UserTradeError

__all__ = ["BookedTrade", "TradeConflictError", "Trades", "Unit", "UserTrade", "UserTradeError"]

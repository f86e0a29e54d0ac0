"""How far the books are behind the trades, as numbers; from the database, so of all processes together."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from medici_py.driver import aggregate
from medici_py.instants import utc_now
from stablesats.trades.revert_requests import SETTLEABLE_REVERTS, WAITING_REVERTS
from stablesats.trades.trade_collections import durable
from stablesats.trades.trade_documents import TRADE_REVERTS, USER_TRADES, TradeState


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeLag:
    """What is still to be done.

    Attributes:
        unbooked: Trades received and not booked.
        reverts_pending: Trades that are here and still to be taken back.
        reverts_waiting: Requests for trades that have not come yet; they wait for as long as it takes.
        oldest_secs: How long the oldest of the first two has been waiting, in seconds; 0 if there are none.
    """

    unbooked: int
    reverts_pending: int
    reverts_waiting: int
    oldest_secs: float


async def trade_lag(database: Any, *, now: datetime | None = None) -> TradeLag:
    """Read the lag of the trades in *database*, as of *now* (by default the wall clock)."""
    trades_database = durable(database)
    received = await _count_and_oldest(
        trades_database[USER_TRADES], {"state": TradeState.RECEIVED.value}, "received_at"
    )
    pending = await _count_and_oldest(trades_database[TRADE_REVERTS], SETTLEABLE_REVERTS, "requested_at")
    waiting = await trades_database[TRADE_REVERTS].count_documents(dict(WAITING_REVERTS))
    oldest = min((at for _, at in (received, pending) if at is not None), default=None)
    return TradeLag(
        unbooked=received[0],
        reverts_pending=pending[0],
        reverts_waiting=waiting,
        oldest_secs=0.0 if oldest is None else max(((now or utc_now()) - oldest).total_seconds(), 0.0),
    )


async def _count_and_oldest(
    collection: Any, only: Mapping[str, Any], field: str
) -> tuple[int, datetime | None]:
    group = {"$group": {"_id": None, "count": {"$sum": 1}, "oldest": {"$min": f"${field}"}}}
    async for row in await aggregate(collection, [{"$match": dict(only)}, group]):
        return row["count"], row["oldest"]
    return 0, None

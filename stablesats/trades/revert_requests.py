"""The requests to take trades back, as they are met by those who hold the trades' rows.

A request is settled in the transaction in which the trade's row comes to say that it was taken back. Where a
request is settled and the row says something else, it is not the row of then: that was lost, or restored from
an older backup than the request was. Such a request is opened again. Settling it once more is harmless: the
row says again what it said, and nothing is posted but what the books do not have.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from medici_py.instants import to_millisecond
from stablesats.trades.trade_collections import TradeDocuments
from stablesats.trades.trade_documents import RevertState

SETTLEABLE_REVERTS: Final[Mapping[str, Any]] = {"state": RevertState.PENDING.value, "trade_known": True}
"""The requests that something can be done about: their trades have come."""

WAITING_REVERTS: Final[Mapping[str, Any]] = {
    "state": RevertState.PENDING.value,
    "trade_known": {"$ne": True},
}
"""The requests whose trades have not come; some of those never do."""


_NOT_REJECTED: Final[Mapping[str, Any]] = {"$ne": RevertState.REJECTED.value}


async def settled_reverts(documents: TradeDocuments, trade_ids: Collection[str]) -> set[str]:
    """Those of *trade_ids* that were taken back, whatever their rows say."""
    return await _trades_with(documents, trade_ids, RevertState.SETTLED.value, session=None)


async def wanted_back(documents: TradeDocuments, trade_ids: Collection[str]) -> set[str]:
    """Those of *trade_ids* that were taken back, or are to be once they are there."""
    return await _trades_with(documents, trade_ids, _NOT_REJECTED, session=None)


async def to_be_taken_back(
    documents: TradeDocuments, trade_ids: Collection[str], *, at: datetime, session: Any = None
) -> set[str]:
    """Those of *trade_ids* that somebody wants taken back: their requests can be settled from now on.

    All requests count but the rejected ones; those that are settled already are opened again.

    Args:
        documents: Of the database.
        trade_ids: Trades that are stored, or are by the same transaction; no row says that its trade was
            taken back.
        at: Now; an opened request counts as lag from then on.
        session: Joins this session's transaction.
    """
    asked = await _trades_with(documents, trade_ids, _NOT_REJECTED, session=session)
    await open_again(documents, asked, RevertState.SETTLED, at=at, session=session)
    await mark_trades_known(documents, asked, session=session)
    return asked


async def open_again(
    documents: TradeDocuments,
    trade_ids: Collection[str],
    state: RevertState,
    *,
    at: datetime,
    session: Any = None,
) -> int:
    """Have the requests about *trade_ids* that are in *state* tried once more; answer how many those are.

    Arguments are those of `to_be_taken_back`.
    """
    if not trade_ids:
        return 0
    settleable = {**SETTLEABLE_REVERTS, "requested_at": to_millisecond(at)}
    changed = await documents.reverts.get_pymongo_collection().update_many(
        {"_id": {"$in": list(trade_ids)}, "state": state.value},
        {"$set": settleable, "$unset": {"settled_at": ""}},
        session=session,
    )
    return changed.modified_count


async def mark_trades_known(
    documents: TradeDocuments, trade_ids: Collection[str], *, session: Any = None
) -> None:
    """Say of requests about *trade_ids* that there is something to do: those trades are stored."""
    if trade_ids:
        await documents.reverts.get_pymongo_collection().update_many(
            {"_id": {"$in": list(trade_ids)}, **WAITING_REVERTS},
            {"$set": {"trade_known": True}},
            session=session,
        )


async def mark_trade_missing(documents: TradeDocuments, trade_id: str) -> None:
    """Let the request about *trade_id* wait until the trade comes: it was here, and its row was lost."""
    changed = await documents.reverts.get_pymongo_collection().update_one(
        {"_id": trade_id, **SETTLEABLE_REVERTS}, {"$set": {"trade_known": False}}
    )
    # Whoever has stored it meanwhile may have found the request marked, just before.
    if changed.modified_count and await documents.trades.find_one({"_id": trade_id}) is not None:
        await mark_trades_known(documents, [trade_id])


async def _trades_with(
    documents: TradeDocuments, trade_ids: Collection[str], state: Any, *, session: Any
) -> set[str]:
    """Those of *trade_ids* about which there is a request whose state matches *state*."""
    if not trade_ids:
        return set()
    cursor = documents.reverts.get_pymongo_collection().find(
        {"_id": {"$in": list(trade_ids)}, "state": state}, {"_id": 1}, session=session
    )
    return {row["_id"] async for row in cursor}

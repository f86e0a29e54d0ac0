"""The trades that came in, and the requests to take some of them back: stored before anything is booked.

What is stored here survives every crash and is booked by whichever process comes first. Rows are only ever
moved by a write that names the state it expects.

A trade and the request to take it back may come in any order, and through two processes at once. Each of them
is stored first and then looks for the other: so at least one of the two sees both, and marks the request.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from medici_py.instants import to_millisecond
from stablesats.trades.quarantine import set_aside
from stablesats.trades.receiving import Received, TradeReceiver
from stablesats.trades.revert_requests import (
    SETTLEABLE_REVERTS,
    WAITING_REVERTS,
    mark_trades_known,
    open_again,
    settled_reverts,
)
from stablesats.trades.trade_collections import TradeDocuments
from stablesats.trades.trade_documents import TAKEN_BACK, USER_TRADES, RevertState, TradeState
from stablesats.trades.trade_source import MalformedItem, Place, Position, ReceivedTrade, RevertRequest
from stablesats.trades.user_trade import UserTrade
from stablesats.unordered_insert import insert_unordered

_WITH_TRADE: Final[Sequence[dict[str, Any]]] = (
    {
        "$lookup": {
            "from": USER_TRADES,
            "localField": "_id",
            "foreignField": "_id",
            "as": "trade",
            "pipeline": [{"$project": {"_id": 1}}],
        }
    },
    {"$match": {"trade": {"$ne": []}}},
)

_IDS_A_WRITE: Final = 1_000

_BOOKING: Final = Place("booking")


class TradeStore:
    """The trade collections of one database. Every method may run in any number of processes at once."""

    def __init__(self, documents: TradeDocuments) -> None:
        """Use the database of *documents*."""
        self._documents = documents
        self._receiver = TradeReceiver(documents)

    async def receive(self, trades: Sequence[ReceivedTrade], *, at: datetime) -> Received:
        """Store the trades that are not known yet, as received at *at*; safe to repeat."""
        return await self._receiver.receive(trades, at=at)

    async def request_reverts(self, requests: Sequence[RevertRequest], *, at: datetime) -> int:
        """Remember that trades are to be taken back.

        Returns:
            How many requests are new, or were done or refused before and are pending again: one that was done
            is so if its trade is here and its row does not say so.
        """
        if not requests:
            return 0
        reverts = self._documents.reverts
        rows = [
            reverts(_id=request.trade_id, requested_at=to_millisecond(at), traceparent=request.traceparent)
            for request in {request.trade_id: request for request in requests}.values()
        ]
        trade_ids = [row.id for row in rows]
        stored = len(rows) - len(await insert_unordered(reverts, rows))
        again = await open_again(self._documents, trade_ids, RevertState.REJECTED, at=at)
        # Before the rows: what is settled between the two looks has not lost its row.
        settled = await settled_reverts(self._documents, trade_ids)
        states = await self._states_of(trade_ids)
        await self.mark_trades_known(states)
        lost = [each for each in settled if each in states and states[each] not in TAKEN_BACK]
        return stored + again + await open_again(self._documents, lost, RevertState.SETTLED, at=at)

    async def _states_of(self, trade_ids: Collection[str]) -> dict[str, TradeState]:
        cursor = self._documents.trades.get_pymongo_collection().find(
            {"_id": {"$in": list(trade_ids)}}, {"state": 1}
        )
        return {row["_id"]: TradeState(row["state"]) async for row in cursor}

    async def mark_trades_known(self, trade_ids: Collection[str]) -> None:
        """Say of requests about *trade_ids* that there is something to do: those trades are stored."""
        await mark_trades_known(self._documents, trade_ids)

    async def mark_all_trades_known(self) -> None:
        """Do so for all trades: a process may have died when it had stored one and not looked any further."""
        cursor = await self._documents.reverts.get_pymongo_collection().aggregate(
            [{"$match": dict(WAITING_REVERTS)}, *_WITH_TRADE, {"$project": {"_id": 1}}]
        )
        trade_ids = [row["_id"] async for row in cursor]
        for start in range(0, len(trade_ids), _IDS_A_WRITE):
            await self.mark_trades_known(trade_ids[start : start + _IDS_A_WRITE])

    async def waiting_reverts(self) -> int:
        """How many requests wait for a trade that has not come."""
        count: int = await self._documents.reverts.get_pymongo_collection().count_documents(
            dict(WAITING_REVERTS)
        )
        return count

    async def unbooked(self, limit: int) -> list[str]:
        """The ids of trades that wait to be booked, oldest first, at most *limit*."""
        cursor = self._documents.trades.get_pymongo_collection().find(
            {"state": TradeState.RECEIVED.value}, {"_id": 1}, sort=[("timestamp", 1), ("_id", 1)], limit=limit
        )
        return [row["_id"] async for row in cursor]

    async def settleable_reverts(self, limit: int) -> list[str]:
        """The ids of trades that are here and wait to be taken back, oldest request first."""
        cursor = self._documents.reverts.get_pymongo_collection().find(
            dict(SETTLEABLE_REVERTS), {"_id": 1}, sort=[("requested_at", 1), ("_id", 1)], limit=limit
        )
        return [row["_id"] async for row in cursor]

    async def reject(self, trade_id: str, reason: str, *, at: datetime, session: Any) -> str | None:
        """Give up booking a trade that is received: set it aside and free its payments.

        Returns:
            The trace context in which it was made.
        """
        trades = self._documents.trades
        found = await trades.find_one({"_id": trade_id, "state": TradeState.RECEIVED}, session=session)
        if found is None:
            return None
        await trades.get_pymongo_collection().update_one(
            {"_id": trade_id, "state": TradeState.RECEIVED.value},
            {"$set": {"state": TradeState.REJECTED.value}, "$unset": {"live_reference": ""}},
            session=session,
        )
        item = MalformedItem(_BOOKING, trade_text(found.to_trade()), reason, trade_id, found.traceparent)
        await set_aside(self._documents, [item], at=at, session=session)
        return found.traceparent

    async def reject_revert(self, trade_id: str, reason: str, *, at: datetime, session: Any) -> str | None:
        """Give up taking a trade back, and set the request aside; answers as `reject`."""
        request = await self._documents.reverts.get_pymongo_collection().find_one_and_update(
            {"_id": trade_id, "state": RevertState.PENDING.value},
            {"$set": {"state": RevertState.REJECTED.value, "settled_at": to_millisecond(at)}},
            session=session,
        )
        if request is None:
            return None
        traceparent: str | None = request.get("traceparent")
        item = MalformedItem(_BOOKING, json.dumps({"revert": trade_id}), reason, trade_id, traceparent)
        await set_aside(self._documents, [item], at=at, session=session)
        return traceparent

    async def positions(self, source: str) -> dict[str, Position]:
        """How far each stream of *source* was read."""
        rows = await self._documents.positions.find({"_id.source": source}).to_list()
        return {row.id["stream"]: row.position for row in rows}

    async def save_position(self, source: str, stream: str, position: Position) -> None:
        """Remember that everything before *position* is stored."""
        await self._documents.positions.get_pymongo_collection().replace_one(
            {"_id": {"source": source, "stream": stream}}, {"position": dict(position)}, upsert=True
        )


def trade_text(trade: UserTrade) -> str:
    """The line of a trade file that would say *trade*."""
    fields = {"id": trade.id, **trade.to_document(), "timestamp": trade.timestamp.isoformat()}
    del fields["_id"]
    return json.dumps(fields)

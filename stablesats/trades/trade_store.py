"""The trades that came in, and the requests to take some of them back: stored before anything is booked.

What is stored here survives every crash and is booked by whichever process comes first. Rows are only ever
moved forward, by a write that names the state it expects.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo.errors import BulkWriteError

from medici_py.instants import to_millisecond
from stablesats.trades.errors import TradeConflictError, TradeReferenceError
from stablesats.trades.quarantine import set_aside
from stablesats.trades.trade_documents import (
    USER_TRADES,
    RevertState,
    TradeDocuments,
    TradeState,
    live_reference,
    received_row,
    trade_differences,
)
from stablesats.trades.trade_source import MalformedItem, Place, Position, ReceivedTrade, RevertRequest
from stablesats.trades.user_trade import UserTrade

_DUPLICATE_KEY: Final = 11000

PENDING_REVERTS_OF_KNOWN_TRADES: Final[Sequence[dict[str, Any]]] = (
    {"$match": {"state": RevertState.PENDING.value}},
    {"$sort": {"requested_at": 1, "_id": 1}},
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

_BOOKING: Final = Place("booking")

Conflict = TradeConflictError | TradeReferenceError


@dataclass(frozen=True, slots=True)
class Received:
    """What became of trades that were to be stored.

    Attributes:
        stored: How many are new.
        replayed: How many were known already, with the same content.
        conflicts: The others, each with the reason; nothing of them was stored.
    """

    stored: int
    replayed: int
    conflicts: tuple[tuple[ReceivedTrade, Conflict], ...]


class TradeStore:
    """The trade collections of one database. Every method may run in any number of processes at once."""

    def __init__(self, documents: TradeDocuments) -> None:
        """Use the database of *documents*."""
        self._documents = documents

    async def receive(self, trades: Sequence[ReceivedTrade], *, at: datetime) -> Received:
        """Store the trades that are not known yet, as received at *at*; safe to repeat."""
        stored, replayed = 0, 0
        conflicts: list[tuple[ReceivedTrade, Conflict]] = []
        left = list(trades)
        while left:
            fresh, known_again, differing = await self._compared(left)
            replayed += known_again
            conflicts += differing
            refused = await self._insert(fresh, at)
            stored += len(fresh) - len(refused)
            holding = {each.trade.id: await self._reference_conflict(each.trade) for each in refused}
            # After the look at who has the payments: a trade that another process stored meanwhile may have
            # been taken back and corrected since, and is a repeat and no conflict. The next round sees it.
            stored_elsewhere = await self._known(holding)
            left = []
            for received in refused:
                conflict = holding[received.trade.id]
                if conflict is None or received.trade.id in stored_elsewhere:
                    left.append(received)
                else:
                    conflicts.append((received, conflict))
        return Received(stored, replayed, tuple(conflicts))

    async def request_reverts(self, requests: Sequence[RevertRequest], *, at: datetime) -> int:
        """Remember that trades are to be taken back; answer how many requests are new."""
        reverts = self._documents.reverts
        rows = [
            reverts(_id=request.trade_id, requested_at=to_millisecond(at), traceparent=request.traceparent)
            for request in {request.trade_id: request for request in requests}.values()
        ]
        return len(rows) - len(await _insert_unordered(reverts, rows))

    async def unbooked(self, limit: int) -> list[str]:
        """The ids of trades that wait to be booked, oldest first, at most *limit*."""
        cursor = self._documents.trades.get_pymongo_collection().find(
            {"state": TradeState.RECEIVED.value}, {"_id": 1}, sort=[("timestamp", 1), ("_id", 1)], limit=limit
        )
        return [row["_id"] async for row in cursor]

    async def settleable_reverts(self, limit: int) -> list[str]:
        """The ids of trades that are here and wait to be taken back, oldest request first."""
        cursor = await self._documents.reverts.get_pymongo_collection().aggregate(
            [*PENDING_REVERTS_OF_KNOWN_TRADES, {"$limit": limit}, {"$project": {"_id": 1}}]
        )
        return [row["_id"] async for row in cursor]

    async def reject(self, trade_id: str, reason: str, *, at: datetime, session: Any) -> None:
        """Give up booking a trade that is received: set it aside and free its payments."""
        trades = self._documents.trades
        found = await trades.find_one({"_id": trade_id, "state": TradeState.RECEIVED}, session=session)
        if found is None:
            return
        await trades.get_pymongo_collection().update_one(
            {"_id": trade_id, "state": TradeState.RECEIVED.value},
            {"$set": {"state": TradeState.REJECTED.value}, "$unset": {"live_reference": ""}},
            session=session,
        )
        await self._set_trade_aside(trade_id, trade_text(found.to_trade()), reason, at, session)

    async def reject_revert(self, trade_id: str, reason: str, *, at: datetime, session: Any) -> None:
        """Give up taking a trade back, and set the request aside."""
        await self._documents.reverts.get_pymongo_collection().update_one(
            {"_id": trade_id, "state": RevertState.PENDING.value},
            {"$set": {"state": RevertState.REJECTED.value, "settled_at": to_millisecond(at)}},
            session=session,
        )
        await self._set_trade_aside(trade_id, json.dumps({"revert": trade_id}), reason, at, session)

    async def positions(self, source: str) -> dict[str, Position]:
        """How far each stream of *source* was read."""
        rows = await self._documents.positions.find({"_id.source": source}).to_list()
        return {row.id["stream"]: row.position for row in rows}

    async def save_position(self, source: str, stream: str, position: Position) -> None:
        """Remember that everything before *position* is stored."""
        await self._documents.positions.get_pymongo_collection().replace_one(
            {"_id": {"source": source, "stream": stream}}, {"position": dict(position)}, upsert=True
        )

    async def _compared(
        self, received: Sequence[ReceivedTrade]
    ) -> tuple[list[ReceivedTrade], int, list[tuple[ReceivedTrade, Conflict]]]:
        """Tell new trades from repeats and from other content under a known id."""
        ids = list({each.trade.id for each in received})
        rows = await self._documents.trades.find({"_id": {"$in": ids}}).to_list()
        known: dict[str, UserTrade] = {row.id: row.to_trade() for row in rows}
        fresh: list[ReceivedTrade] = []
        replayed = 0
        conflicts: list[tuple[ReceivedTrade, Conflict]] = []
        for each in received:
            stored = known.setdefault(each.trade.id, each.trade)
            if stored is each.trade:
                fresh.append(each)
            elif differences := trade_differences(stored, each.trade):
                conflicts.append((each, TradeConflictError(each.trade.id, differences)))
            else:
                replayed += 1
        return fresh, replayed, conflicts

    async def _insert(self, fresh: Sequence[ReceivedTrade], at: datetime) -> list[ReceivedTrade]:
        trades = self._documents.trades
        rows = [trades.model_validate(received_row(each, at)) for each in fresh]
        return [fresh[index] for index in await _insert_unordered(trades, rows)]

    async def _known(self, trade_ids: Iterable[str]) -> set[str]:
        cursor = self._documents.trades.get_pymongo_collection().find(
            {"_id": {"$in": list(trade_ids)}}, {"_id": 1}
        )
        return {row["_id"] async for row in cursor}

    async def _reference_conflict(self, trade: UserTrade) -> TradeReferenceError | None:
        """Which live trade has the payments of *trade*; None if none has any more."""
        if (live := live_reference(trade)) is None:
            return None
        trades = self._documents.trades
        holder = await trades.find_one({"live_reference": live})
        if holder is None or holder.id == trade.id:
            return None
        request = await self._documents.reverts.find_one({"_id": holder.id})
        if request is None or request.state is RevertState.REJECTED:
            return TradeReferenceError(trade.id, reference=trade.reference, holder_id=holder.id)
        # It is about to be taken back, or has been since it was found: that must not keep its correction out.
        await trades.get_pymongo_collection().update_one(
            {"_id": holder.id, "live_reference": live}, {"$unset": {"live_reference": ""}}
        )
        return None

    async def _set_trade_aside(
        self, trade_id: str, text: str, reason: str, at: datetime, session: Any
    ) -> None:
        item = MalformedItem(_BOOKING, text, reason, trade_id)
        await set_aside(self._documents, [item], at=at, session=session)


def trade_text(trade: UserTrade) -> str:
    """The line of a trade file that would say *trade*."""
    fields = {"id": trade.id, **trade.to_document(), "timestamp": trade.timestamp.isoformat()}
    del fields["_id"]
    return json.dumps(fields)


async def _insert_unordered(model: Any, rows: Sequence[Any]) -> list[int]:
    """Insert *rows*; answer the indexes of those that would have repeated a unique value."""
    if not rows:
        return []
    try:
        await model.insert_many(rows, ordered=False)
    except BulkWriteError as error:
        failures = (error.details or {}).get("writeErrors", [])
        only_duplicates = all(failure["code"] == _DUPLICATE_KEY for failure in failures)
        if not failures or not only_duplicates or (error.details or {}).get("writeConcernErrors"):
            raise
        return [failure["index"] for failure in failures]
    return []

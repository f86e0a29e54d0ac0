"""The trades that came in, and the requests to take some of them back: stored before anything is booked.

What is stored here survives every crash and is booked by whichever process comes first. Rows are only ever
moved by a write that names the state it expects.

A trade and the request to take it back may come in any order, and through two processes at once. Each of them
is stored first and then looks for the other: so at least one of the two sees both, and marks the request.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final, assert_never

from pymongo.errors import BulkWriteError, DuplicateKeyError

from medici_py.instants import to_millisecond
from stablesats.trades.errors import TradeConflictError, TradeReferenceError
from stablesats.trades.quarantine import set_aside
from stablesats.trades.trade_documents import (
    USER_TRADES,
    RevertState,
    TradeDocuments,
    TradeState,
    holders_of,
    live_reference,
    received_row,
    trade_differences,
)
from stablesats.trades.trade_source import MalformedItem, Place, Position, ReceivedTrade, RevertRequest
from stablesats.trades.user_trade import UserTrade

_DUPLICATE_KEY: Final = 11000

SETTLEABLE_REVERTS: Final[Mapping[str, Any]] = {"state": RevertState.PENDING.value, "trade_known": True}
"""The requests that something can be done about: their trades have come."""

WAITING_REVERTS: Final[Mapping[str, Any]] = {
    "state": RevertState.PENDING.value,
    "trade_known": {"$ne": True},
}
"""The requests whose trades have not come; some of those never do."""

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

Conflict = TradeConflictError | TradeReferenceError


class _Payments(Enum):
    """Who has the payments of a trade, if that is no reason to refuse it."""

    FREE = "nobody, or not any more"
    TO_BE_FREED = "a trade that is to be taken back"


@dataclass(frozen=True, slots=True)
class Received:
    """What became of trades that were to be stored.

    Attributes:
        stored: How many are new, or were refused before and are received again.
        replayed: How many were known already, with the same content.
        conflicts: Others, each with the reason; nothing of them was stored.
        waiting: Those whose payments are another trade's that is to be taken back; nothing of them was
            stored yet. Receive them again once that is done.
    """

    stored: int
    replayed: int
    conflicts: tuple[tuple[ReceivedTrade, Conflict], ...]
    waiting: tuple[ReceivedTrade, ...] = ()


@dataclass(slots=True)
class _Compared:
    fresh: list[ReceivedTrade] = field(default_factory=list)
    refused_before: list[ReceivedTrade] = field(default_factory=list)
    replayed: list[ReceivedTrade] = field(default_factory=list)
    conflicts: list[tuple[ReceivedTrade, Conflict]] = field(default_factory=list)


class TradeStore:
    """The trade collections of one database. Every method may run in any number of processes at once."""

    def __init__(self, documents: TradeDocuments) -> None:
        """Use the database of *documents*."""
        self._documents = documents

    async def receive(self, trades: Sequence[ReceivedTrade], *, at: datetime) -> Received:
        """Store the trades that are not known yet, as received at *at*; safe to repeat."""
        stored, replayed = 0, 0
        conflicts: list[tuple[ReceivedTrade, Conflict]] = []
        waiting: list[ReceivedTrade] = []
        left = list(trades)
        while left:
            found = await self._compared(left)
            conflicts += found.conflicts
            refused = [*await self._insert(found.fresh, at), *await self._receive_again(found.refused_before)]
            stored += len(found.fresh) + len(found.refused_before) - len(refused)
            replayed += len(found.replayed)
            known = {each.trade.id for each in (*found.fresh, *found.refused_before, *found.replayed)}
            await self.mark_trades_known(known - {each.trade.id for each in refused})
            left = await self._sort_refused(refused, conflicts, waiting)
        return Received(stored, replayed, tuple(conflicts), tuple(waiting))

    async def request_reverts(self, requests: Sequence[RevertRequest], *, at: datetime) -> int:
        """Remember that trades are to be taken back.

        Returns:
            How many requests are new, or were refused before and are pending again.
        """
        if not requests:
            return 0
        reverts = self._documents.reverts
        rows = [
            reverts(_id=request.trade_id, requested_at=to_millisecond(at), traceparent=request.traceparent)
            for request in {request.trade_id: request for request in requests}.values()
        ]
        trade_ids = [row.id for row in rows]
        stored = len(rows) - len(await _insert_unordered(reverts, rows))
        again = await reverts.get_pymongo_collection().update_many(
            {"_id": {"$in": trade_ids}, "state": RevertState.REJECTED.value},
            {
                "$set": {"state": RevertState.PENDING.value, "requested_at": to_millisecond(at)},
                "$unset": {"settled_at": ""},
            },
        )
        await self.mark_trades_known(await self._known(trade_ids))
        return stored + again.modified_count

    async def mark_trades_known(self, trade_ids: Collection[str]) -> None:
        """Say of requests about *trade_ids* that there is something to do: those trades are stored."""
        if trade_ids:
            await self._documents.reverts.get_pymongo_collection().update_many(
                {"_id": {"$in": list(trade_ids)}, **WAITING_REVERTS}, {"$set": {"trade_known": True}}
            )

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

    async def _compared(self, received: Sequence[ReceivedTrade]) -> _Compared:
        """Tell new trades from repeats and from other content under a known id."""
        ids = list({each.trade.id for each in received})
        rows = await self._documents.trades.find({"_id": {"$in": ids}}).to_list()
        known: dict[str, UserTrade] = {row.id: row.to_trade() for row in rows}
        rejected = {row.id for row in rows if row.state is TradeState.REJECTED}
        compared = _Compared()
        for each in received:
            stored = known.setdefault(each.trade.id, each.trade)
            if stored is each.trade:
                compared.fresh.append(each)
            elif differences := trade_differences(stored, each.trade):
                compared.conflicts.append((each, TradeConflictError(each.trade.id, differences)))
            elif each.trade.id in rejected:
                compared.refused_before.append(each)
            else:
                compared.replayed.append(each)
        return compared

    async def _insert(self, fresh: Sequence[ReceivedTrade], at: datetime) -> list[ReceivedTrade]:
        """Store *fresh*; answer those that were not, as their id or their payments are taken."""
        trades = self._documents.trades
        rows = [trades.model_validate(received_row(each, at)) for each in fresh]
        return [fresh[index] for index in await _insert_unordered(trades, rows)]

    async def _receive_again(self, refused_before: Sequence[ReceivedTrade]) -> list[ReceivedTrade]:
        """Have rejected trades tried once more; answer those that are not, as `_insert` does."""
        return [each for each in refused_before if not await self._is_received_again(each.trade)]

    async def _is_received_again(self, trade: UserTrade) -> bool:
        fields = {"state": TradeState.RECEIVED.value, "live_reference": live_reference(trade)}
        try:
            changed = await self._documents.trades.get_pymongo_collection().update_one(
                {"_id": trade.id, "state": TradeState.REJECTED.value},
                {"$set": {name: value for name, value in fields.items() if value is not None}},
            )
        except DuplicateKeyError:
            return False
        return changed.modified_count == 1

    async def _sort_refused(
        self,
        refused: Sequence[ReceivedTrade],
        conflicts: list[tuple[ReceivedTrade, Conflict]],
        waiting: list[ReceivedTrade],
    ) -> list[ReceivedTrade]:
        """Add *refused* to where they belong; answer those that are to be tried again at once."""
        held = {each.trade.id: await self._payments(each.trade) for each in refused}
        # After the look at who has the payments: a trade that another process stored meanwhile may have
        # been taken back and corrected since, and is a repeat and no conflict. The next round sees it.
        stored_elsewhere = await self._known(held, rejected=False)
        again: list[ReceivedTrade] = []
        for received in refused:
            payments = held[received.trade.id]
            if received.trade.id in stored_elsewhere:
                again.append(received)
                continue
            match payments:
                case TradeReferenceError():
                    conflicts.append((received, payments))
                case _Payments.TO_BE_FREED:
                    waiting.append(received)
                case _Payments.FREE:
                    again.append(received)
                case _:
                    assert_never(payments)
        return again

    async def _known(self, trade_ids: Iterable[str], *, rejected: bool = True) -> set[str]:
        """Those of *trade_ids* that are stored; without *rejected*, those that are more than that."""
        only: dict[str, Any] = {} if rejected else {"state": {"$ne": TradeState.REJECTED.value}}
        cursor = self._documents.trades.get_pymongo_collection().find(
            {"_id": {"$in": list(trade_ids)}, **only}, {"_id": 1}
        )
        return {row["_id"] async for row in cursor}

    async def _payments(self, trade: UserTrade) -> TradeReferenceError | _Payments:
        """Who has the payments of *trade*: they are free only when nobody can have them booked any more."""
        if (live := live_reference(trade)) is None:
            return _Payments.FREE
        holders = await self._documents.trades.find(holders_of(live)).sort("_id").to_list()
        found = _Payments.FREE
        for holder in holders:
            if holder.id == trade.id:
                continue
            request = await self._documents.reverts.find_one({"_id": holder.id})
            if request is None or request.state is RevertState.REJECTED:
                return TradeReferenceError(trade.id, reference=trade.reference, holder_id=holder.id)
            if request.state is RevertState.PENDING:
                await self.mark_trades_known([holder.id])
                found = _Payments.TO_BE_FREED
        return found

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

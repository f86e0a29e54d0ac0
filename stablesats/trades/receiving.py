"""Storing trades that may have come before, in other words, or with the payments of another one.

Any number of processes may receive the same trades at once: what is compared here may have changed when it is
stored, and then is compared again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import assert_never

from pymongo.errors import DuplicateKeyError

from stablesats.trades.errors import TradeConflictError, TradeReferenceError
from stablesats.trades.revert_requests import (
    mark_trades_known,
    open_again,
    settled_reverts,
    to_be_taken_back,
    wanted_back,
)
from stablesats.trades.trade_collections import TradeDocuments
from stablesats.trades.trade_documents import (
    TAKEN_BACK,
    RevertState,
    TradeState,
    holders_of,
    live_reference,
    received_row,
    trade_differences,
)
from stablesats.trades.trade_source import ReceivedTrade
from stablesats.trades.user_trade import UserTrade
from stablesats.unordered_insert import insert_unordered

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
    """What is known of trades.

    Attributes:
        fresh: New ones.
        refused_before: Those that the ledger refused.
        replayed: Repeats of others.
        conflicts: Those with other content under a known id.
        lost: The ids of those that were taken back, as their requests say and their rows do not (any more).
        wanted_back: Those, and the others that are to be taken back.
    """

    fresh: list[ReceivedTrade] = field(default_factory=list)
    refused_before: list[ReceivedTrade] = field(default_factory=list)
    replayed: list[ReceivedTrade] = field(default_factory=list)
    conflicts: list[tuple[ReceivedTrade, Conflict]] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    wanted_back: set[str] = field(default_factory=set)


class TradeReceiver:
    """Stores the trades that are new. Every method may run in any number of processes at once."""

    def __init__(self, documents: TradeDocuments) -> None:
        """Store into *documents*."""
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
            refused = [
                *await self._insert(found.fresh, found.wanted_back, at),
                *await self._receive_again(found.refused_before, found.wanted_back),
            ]
            stored += len(found.fresh) + len(found.refused_before) - len(refused)
            replayed += len(found.replayed)
            known = {each.trade.id for each in (*found.fresh, *found.refused_before, *found.replayed)}
            known -= {each.trade.id for each in refused}
            await mark_trades_known(self._documents, known)
            await open_again(self._documents, known & found.lost, RevertState.SETTLED, at=at)
            left = await self._sort_refused(refused, conflicts, waiting, at)
        return Received(stored, replayed, tuple(conflicts), tuple(waiting))

    async def _compared(self, received: Sequence[ReceivedTrade]) -> _Compared:
        """Tell new trades from repeats and from other content under a known id."""
        ids = list({each.trade.id for each in received})
        # Before the rows: what is settled between the two looks has not lost its row.
        asked = await wanted_back(self._documents, ids)
        settled = await settled_reverts(self._documents, asked)
        rows = await self._documents.trades.find({"_id": {"$in": ids}}).to_list()
        known: dict[str, UserTrade] = {row.id: row.to_trade() for row in rows}
        rejected = {row.id for row in rows if row.state is TradeState.REJECTED}
        taken_back = {row.id for row in rows if row.state in TAKEN_BACK}
        compared = _Compared(lost=settled - taken_back, wanted_back=asked)
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

    async def _insert(
        self, fresh: Sequence[ReceivedTrade], without_payments: set[str], at: datetime
    ) -> list[ReceivedTrade]:
        """Store *fresh*; answer those that were not, as their id or their payments are taken.

        The payments of one that is taken back may be its correction's by now: it gets none of them, unless
        it is booked after all.
        """
        trades = self._documents.trades
        rows = [
            trades.model_validate(received_row(each, at, live=each.trade.id not in without_payments))
            for each in fresh
        ]
        return [fresh[index] for index in await insert_unordered(trades, rows)]

    async def _receive_again(
        self, refused_before: Sequence[ReceivedTrade], without_payments: set[str]
    ) -> list[ReceivedTrade]:
        """Have rejected trades tried once more; answer those that are not, as `_insert` does."""
        return [
            each
            for each in refused_before
            if not await self._is_received_again(each.trade, live=each.trade.id not in without_payments)
        ]

    async def _is_received_again(self, trade: UserTrade, *, live: bool) -> bool:
        fields = {
            "state": TradeState.RECEIVED.value,
            "live_reference": live_reference(trade) if live else None,
        }
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
        at: datetime,
    ) -> list[ReceivedTrade]:
        """Add *refused* to where they belong; answer those that are to be tried again at once."""
        held = {each.trade.id: await self._payments(each.trade, at) for each in refused}
        # After the look at who has the payments: a trade that another process stored meanwhile may have
        # been taken back and corrected since, and is a repeat and no conflict. The next round sees it.
        stored_elsewhere = await _more_than_rejected(self._documents, held)
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

    async def _payments(self, trade: UserTrade, at: datetime) -> TradeReferenceError | _Payments:
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
            if request.state is RevertState.PENDING or await self._still_has(holder.id, live):
                await to_be_taken_back(self._documents, [holder.id], at=at)
                found = _Payments.TO_BE_FREED
        return found

    async def _still_has(self, holder_id: str, live: Mapping[str, str]) -> bool:
        """Whether a trade has payments that it had a moment ago."""
        found = await self._documents.trades.find_one({"_id": holder_id, **holders_of(live)})
        return found is not None


async def _more_than_rejected(documents: TradeDocuments, trade_ids: Iterable[str]) -> set[str]:
    """Those of *trade_ids* that are stored, and not rejected."""
    cursor = documents.trades.get_pymongo_collection().find(
        {"_id": {"$in": list(trade_ids)}, "state": {"$ne": TradeState.REJECTED.value}}, {"_id": 1}
    )
    return {row["_id"] async for row in cursor}

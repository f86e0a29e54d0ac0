"""One trade into the ledger, at once: for those who wait until it is booked.

A trade's row and its journal are written in one MongoDB transaction, and the row's ``_id`` is the trade's
own id. So a trade is either booked completely or not at all, and a repeat, also from another process or
after a crash, finds the row and posts nothing. It looks inside the transaction as well: what it finds is
held by a majority once the transaction has committed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from medici_py import mongo_transaction
from stablesats.ledger.facade import Ledger
from stablesats.tracing import current_traceparent
from stablesats.trades.errors import TradeConflictError, TradeNotLiveError, TradeReferenceError
from stablesats.trades.trade_documents import (
    USER_TRADES,
    RevertState,
    TradeDocuments,
    TradeState,
    UserTradeDocument,
    bind_documents,
    live_reference,
    received_row,
    trade_differences,
)
from stablesats.trades.trade_poster import TradePoster
from stablesats.trades.trade_source import Place, ReceivedTrade
from stablesats.trades.user_trade import UserTrade

__all__ = ["USER_TRADES", "BookedTrade", "TradeConflictError", "Trades"]

_HERE: Final = Place("booked at once")


@dataclass(frozen=True, slots=True)
class BookedTrade:
    """Where a trade stands in the ledger.

    Attributes:
        trade: The trade.
        journal_id: Its journal in the Stablesats book.
        replayed: True when it had been booked before and this call wrote nothing.
    """

    trade: UserTrade
    journal_id: ObjectId
    replayed: bool


class Trades:
    """The trades that have been booked, and the way to book more. Safe for any number of tasks."""

    def __init__(self, ledger: Ledger, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Store trades in the database of *ledger*; *now* says when a trade was booked."""
        self._ledger = ledger
        self._now = now
        self._documents: TradeDocuments | None = None

    async def prepare(self) -> None:
        """Create the collections, so that the first trades do not race to make them. Idempotent."""
        await self._ledger.prepare()
        self._documents = await bind_documents(self._ledger.database, make_indexes=True)

    async def book(self, trade: UserTrade) -> BookedTrade:
        """Book *trade* unless it is booked already.

        Atomic, and safe to repeat after any error, from any number of tasks and processes at once.

        Raises:
            TradeConflictError: If its id was used with other content. Nothing is written.
            TradeReferenceError: If its payments belong to another live trade. Nothing is written.
            TradeNotLiveError: If it was taken back before it was booked, or refused for good.
            MediciError: If the ledger could not be written; `UnknownOutcomeError` if it may have been.
        """
        documents = await self._bound()
        poster = TradePoster(self._ledger, documents, now=self._now)
        received = ReceivedTrade(trade, _HERE, current_traceparent())

        async def look_or_book(session: Any) -> BookedTrade:
            row = await documents.trades.find_one({"_id": trade.id}, session=session)
            if row is None:
                await _require_wanted(documents, trade, session)
                row = documents.trades.model_validate(received_row(received, self._now()))
                await row.insert(session=session)
            elif row.state is not TradeState.RECEIVED or trade_differences(row.to_trade(), trade):
                return _booked_before(trade, row)
            [(_, journal_id)] = await poster.book_rows([row], lambda row: row.traceparent, session)
            return BookedTrade(trade, journal_id, replayed=False)

        while True:
            try:
                return await mongo_transaction(self._ledger.database.client, look_or_book)
            except DuplicateKeyError as error:
                # Booked elsewhere between our look and our row: the next look sees it. Any other
                # duplicate is not ours to explain.
                if (error.details or {}).get("keyPattern") not in ({"_id": 1}, {"live_reference": 1}):
                    raise

    async def count(self) -> int:
        """How many trades are booked, those that were taken back later among them."""
        documents = await self._bound()
        booked: int = await documents.trades.find(
            {"state": {"$in": [TradeState.BOOKED, TradeState.REVERTED]}}
        ).count()
        return booked

    async def _bound(self) -> TradeDocuments:
        if self._documents is None:
            self._documents = await bind_documents(self._ledger.database)
        return self._documents


async def _require_wanted(documents: TradeDocuments, trade: UserTrade, session: Any) -> None:
    """Refuse a new trade that is to be taken back already, or whose payments another trade has."""
    pending = {"_id": trade.id, "state": RevertState.PENDING}
    if await documents.reverts.find_one(pending, session=session) is not None:
        raise TradeNotLiveError(trade.id, "to be taken back")
    if (live := live_reference(trade)) is not None:
        holder = await documents.trades.find_one({"live_reference": live}, session=session)
        if holder is not None:
            raise TradeReferenceError(trade.id, reference=trade.reference, holder_id=holder.id)


def _booked_before(trade: UserTrade, row: UserTradeDocument) -> BookedTrade:
    if differences := trade_differences(row.to_trade(), trade):
        raise TradeConflictError(trade.id, differences)
    if row.ledger_journal_id is None:
        raise TradeNotLiveError(trade.id, row.state.value)
    return BookedTrade(trade, row.ledger_journal_id, replayed=True)

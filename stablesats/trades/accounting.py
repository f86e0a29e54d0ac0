"""One trade into the ledger, at once: for those who wait until it is booked.

A trade's row and its journal are written in one MongoDB transaction, and the row's ``_id`` is the trade's
own id. So a trade is either booked completely or not at all, and a repeat, also from another process or
after a crash, finds the row and posts nothing. It looks inside the transaction as well: what it finds is
held by a majority once the transaction has committed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, assert_never

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from medici_py import mongo_transaction
from stablesats.ledger.facade import Ledger
from stablesats.tracing import current_traceparent
from stablesats.trades.errors import TradeConflictError, TradeNotLiveError, TradeReferenceError
from stablesats.trades.revert_requests import mark_trades_known, to_be_taken_back
from stablesats.trades.trade_collections import TradeDocuments, bind_documents
from stablesats.trades.trade_documents import (
    TAKEN_BACK,
    USER_TRADES,
    LiveReference,
    TradeState,
    UserTradeDocument,
    holders_of,
    live_reference,
    received_row,
    trade_differences,
)
from stablesats.trades.trade_poster import TradePoster
from stablesats.trades.trade_source import Place, ReceivedTrade
from stablesats.trades.user_trade import UserTrade

__all__ = ["USER_TRADES", "BookedTrade", "TradeConflictError", "Trades"]

_HERE: Final = Place("booked at once")

_UNBOOKED: Final = frozenset({TradeState.RECEIVED, TradeState.REJECTED})

_EXPLAINED_DUPLICATES: Final = frozenset(
    {"_id", *(f"live_reference.{name}" for name in LiveReference.model_fields)}
)


@dataclass(frozen=True, slots=True)
class BookedTrade:
    """Where a trade stands in the ledger.

    Attributes:
        trade: The trade.
        journal_id: Its journal in the Stablesats book.
        replayed: True when it had been booked before and this call posted nothing.
        taken_back: True when it has been taken back since: the books are as if it had never been.
    """

    trade: UserTrade
    journal_id: ObjectId
    replayed: bool
    taken_back: bool = False


@dataclass(frozen=True, slots=True)
class _TakeBackFirst:
    trade_id: str


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

        Atomic, and safe to repeat after any error, from any number of tasks and processes at once. Requests
        to take trades back are done before, as everywhere: the one about *trade* itself, and the one about
        the trade that has its payments. A trade that was refused before is tried again. One that was taken
        back, and whose row was lost since, is taken back once more.

        Raises:
            TradeConflictError: If its id is known with other content. Nothing is written.
            TradeReferenceError: If a payment of it belongs to another live trade. Nothing is written.
            TradeNotLiveError: If it was taken back before it was booked.
            TradeBusyError: If somebody else is taking back one of these trades, and is not done in a moment.
            RevertedJournalError: If it, or the trade that has its payments, cannot be taken back as was
                requested.
            DuplicateEntryError: If the ledger has a journal of other content under ``trade:`` and its id.
                Nothing is posted.
            MediciError: If the ledger could not be written; `UnknownOutcomeError` if it may have been.
        """
        documents = await self._bound()
        poster = TradePoster(self._ledger, documents, now=self._now)
        while True:
            try:
                outcome = await mongo_transaction(
                    self._ledger.database.client,
                    lambda session: self._look_or_book(documents, poster, trade, session),
                )
            except DuplicateKeyError as error:
                # Stored elsewhere between our look and our row: the next look sees it. Any other
                # duplicate is not ours to explain.
                if set((error.details or {}).get("keyPattern") or {"?"}) - _EXPLAINED_DUPLICATES:
                    raise
                continue
            match outcome:
                case BookedTrade():
                    # Somebody may have asked to take it back while it was not there to be seen.
                    await mark_trades_known(documents, [trade.id])
                    return outcome
                case _TakeBackFirst(trade_id):
                    await poster.settle_revert(trade_id)
                case _:
                    assert_never(outcome)

    async def _look_or_book(
        self, documents: TradeDocuments, poster: TradePoster, trade: UserTrade, session: Any
    ) -> BookedTrade | _TakeBackFirst:
        row = await documents.trades.find_one({"_id": trade.id}, session=session)
        if row is not None and (differences := trade_differences(row.to_trade(), trade)):
            raise TradeConflictError(trade.id, differences)
        if await self._is_to_be_taken_back(documents, trade.id, row, session):
            if row is None:
                # Its request came first, or its row was lost. Its payments may be its correction's by now.
                await self._insert(documents, trade, session, live=False)
            return _TakeBackFirst(trade.id)
        if row is not None and row.state not in _UNBOOKED:
            return _booked_before(trade, row)
        if (live := live_reference(trade)) is not None:
            for holder in await documents.trades.find(holders_of(live), session=session).to_list():
                if await self._is_to_be_taken_back(documents, holder.id, holder, session):
                    return _TakeBackFirst(holder.id)
                if holder.id != trade.id:
                    raise TradeReferenceError(trade.id, reference=trade.reference, holder_id=holder.id)
        if row is None:
            row = await self._insert(documents, trade, session)
        elif row.live_reference is None and live is not None:
            await documents.trades.get_pymongo_collection().update_one(
                {"_id": trade.id}, {"$set": {"live_reference": live}}, session=session
            )
        [posted] = await poster.book_rows([row], lambda row: row.traceparent, session)
        return BookedTrade(trade, posted.journal_id, replayed=posted.replayed, taken_back=posted.taken_back)

    async def _insert(
        self, documents: TradeDocuments, trade: UserTrade, session: Any, *, live: bool = True
    ) -> UserTradeDocument:
        received = ReceivedTrade(trade, _HERE, current_traceparent())
        row = documents.trades.model_validate(received_row(received, self._now(), live=live))
        await row.insert(session=session)
        return row

    async def _is_to_be_taken_back(
        self, documents: TradeDocuments, trade_id: str, row: UserTradeDocument | None, session: Any
    ) -> bool:
        if row is not None and row.state in TAKEN_BACK:
            return False
        return bool(await to_be_taken_back(documents, [trade_id], at=self._now(), session=session))

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


def _booked_before(trade: UserTrade, row: UserTradeDocument) -> BookedTrade:
    if row.ledger_journal_id is None:
        raise TradeNotLiveError(trade.id, row.state.value)
    taken_back = row.state is not TradeState.BOOKED
    return BookedTrade(trade, row.ledger_journal_id, replayed=True, taken_back=taken_back)

"""Posts trades and takes them back: a row's step forward and its journal, always in one transaction.

The row is written first. That is what two processes that pick the same trade collide on, before either has
posted anything: the later one starts again and finds the trade booked.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeVar, assert_never

import structlog
from bson import ObjectId
from opentelemetry import trace
from opentelemetry.trace import Span
from pymongo import UpdateOne
from pymongo.errors import OperationFailure

from medici_py import Book, Entry, Journal, template_entry
from medici_py.driver import start_session
from medici_py.entry import MAX_KEY_BYTES
from medici_py.instants import to_millisecond
from medici_py.retry import is_write_conflict
from medici_py.transactions import run_in_session
from stablesats.ledger.facade import Ledger
from stablesats.ledger.reverted_journal import VoidedJournalError, journal_under, reversal_of
from stablesats.ledger.templates import USER_BUYS_USD, USER_SELLS_USD, TradeAmounts
from stablesats.tracing import TRACEPARENT, start_span, traceparent_of
from stablesats.trades.errors import TradeBusyError, TradeReferenceError
from stablesats.trades.revert_requests import mark_trade_missing, to_be_taken_back
from stablesats.trades.trade_collections import TradeDocuments
from stablesats.trades.trade_documents import (
    RevertState,
    TradeState,
    UserTradeDocument,
    holders_of,
    live_reference,
)
from stablesats.trades.user_trade import UserTrade

_log = structlog.get_logger(__name__)

T = TypeVar("T")

_CONFLICTS: Final = 2
"""So many write conflicts are a row that somebody else holds for longer than a moment."""

_BOOK_SPAN: Final = "stablesats.book_trade"
_REVERT_SPAN: Final = "stablesats.revert_trade"


class RevertOutcome(Enum):
    """What became of a request to take a trade back."""

    REVERTED = "its journal was reversed"
    CANCELLED = "it had not been booked, and will not be; or its journal had been voided"
    NOTHING = "there was nothing to do, or nothing yet"


@dataclass(frozen=True, slots=True)
class PostedTrade:
    """A trade that has its journal now.

    Attributes:
        trade_id: The trade.
        journal_id: Its journal.
        replayed: Whether the journal stood before the row did.
        taken_back: Whether it has been reverted or voided already; only where it stood before.
    """

    trade_id: str
    journal_id: ObjectId
    replayed: bool
    taken_back: bool = False


@dataclass(frozen=True, slots=True)
class _Settled:
    outcome: RevertOutcome
    journal_id: ObjectId | None = None
    voided: VoidedJournalError | None = None
    is_trade_missing: bool = False


class TradePoster:
    """Moves stored trades into the ledger and out of it. Safe in any number of processes at once."""

    def __init__(self, ledger: Ledger, documents: TradeDocuments, *, now: Callable[[], datetime]) -> None:
        """Post into *ledger*, in whose database *documents* are; *now* is the clock of what is written."""
        self._ledger = ledger
        self._documents = documents
        self._now = now

    async def book(self, trade_ids: Sequence[str]) -> int:
        """Book those of the trades that still wait for it, all or none, and answer how many those were.

        One that somebody wants taken back, or that was so before its row was lost, is left to
        `settle_revert`. One whose journal stands already under its `external_id_of`, with the same content,
        gets that journal.

        Raises:
            TradeBusyError: If somebody else is writing one of them, and is not done in a moment.
            TradeReferenceError: If one that was to be taken back is booked after all, and its payments are
                another live trade's by now. Nothing was written.
            DuplicateEntryError: If the ledger has a journal of other content under the id of one of them.
                Nothing was written.
            StablesatsError, MediciError: If the ledger refuses one of them. Nothing was written.
            UnknownOutcomeError: If MongoDB did not say whether it was written. Safe to repeat.
        """
        with _spans(_BOOK_SPAN) as spans:

            async def book_waiting(session: Any) -> list[PostedTrade]:
                waiting = await self._waiting(trade_ids, session)
                return await self.book_rows(
                    waiting,
                    lambda row: traceparent_of(spans(row.id, row.traceparent).get_span_context()),
                    session,
                )

            booked = await self._in_transaction(book_waiting)
            for posted in booked:
                with trace.use_span(spans(posted.trade_id, None)):
                    _log.info(
                        "the trade's journal stood already" if posted.replayed else "trade booked",
                        action="trade-replayed" if posted.replayed else "trade-booked",
                        trade=posted.trade_id,
                        journal=str(posted.journal_id),
                    )
        return len(booked)

    async def settle_revert(self, trade_id: str) -> RevertOutcome:
        """Take a trade back as its pending request demands; nothing if there is no such trade or request.

        A request whose trade is not here waits for it from then on.

        Raises:
            TradeBusyError: If somebody else is writing the trade, and is not done in a moment.
            StablesatsError, MediciError: If the ledger refuses it. Nothing was written.
            UnknownOutcomeError: If MongoDB did not say whether it was written. Safe to repeat.
        """
        with _spans(_REVERT_SPAN) as spans:

            async def settle(session: Any) -> _Settled:
                request = await self._documents.reverts.find_one(
                    {"_id": trade_id, "state": RevertState.PENDING}, session=session
                )
                row = await self._documents.trades.find_one({"_id": trade_id}, session=session)
                if request is None or row is None:
                    return _Settled(RevertOutcome.NOTHING, is_trade_missing=row is None)
                at = to_millisecond(self._now())
                await self._documents.reverts.get_pymongo_collection().update_one(
                    {"_id": trade_id},
                    {"$set": {"state": RevertState.SETTLED.value, "settled_at": at}},
                    session=session,
                )
                span = spans(trade_id, request.traceparent or row.traceparent)
                return await self._take_back(row, at, span, session)

            settled = await self._in_transaction(settle)
            if settled.is_trade_missing:
                await mark_trade_missing(self._documents, trade_id)
            if settled.outcome is not RevertOutcome.NOTHING:
                with trace.use_span(spans(trade_id, None)):
                    if settled.voided is not None:
                        _log.warning(
                            "nothing to reverse: the trade's journal was voided",
                            action="trade-journal-voided",
                            trade=trade_id,
                            journal=str(settled.voided.journal_id),
                        )
                    _log.info(
                        "trade taken back",
                        action=f"trade-{settled.outcome.name.lower()}",
                        trade=trade_id,
                        journal=None if settled.journal_id is None else str(settled.journal_id),
                    )
        return settled.outcome

    async def _in_transaction(self, body: Callable[[Any], Awaitable[T]]) -> T:
        async with await start_session(self._ledger.database.client) as session:
            try:
                return await run_in_session(session, body, conflicts=_CONFLICTS)
            except OperationFailure as error:
                if is_write_conflict(error):
                    raise TradeBusyError from error
                raise

    async def book_rows(
        self,
        rows: Sequence[UserTradeDocument],
        traceparent: Callable[[UserTradeDocument], str | None],
        session: Any,
    ) -> list[PostedTrade]:
        """Book *rows*, which are received, in the transaction of *session*."""
        if not rows:
            return []
        await self._mark_booked([row.id for row in rows], session)
        book = self._ledger.stablesats
        async with book.batch(session=session) as batch:
            for row in rows:
                batch.add(_entry(book, row.to_trade(), traceparent(row)))
        booked = list(zip(rows, batch.journals, strict=True))
        await self._name_journals([(row.id, journal.id) for row, journal in booked], session)
        return [
            await self._catch_up(row, journal, session)
            if journal.replayed
            else PostedTrade(row.id, journal.id, replayed=False)
            for row, journal in booked
        ]

    async def _catch_up(self, row: UserTradeDocument, journal: Journal, session: Any) -> PostedTrade:
        """Let *row*, which is new, say what became of its journal, which is not."""
        at = to_millisecond(self._now())
        reversal_id = await reversal_of(self._ledger.stablesats, journal.id, session=session)
        if journal.voided:
            await self._step(row, TradeState.CANCELLED, {"reverted_at": at}, session)
        elif reversal_id is not None:
            fields = {"reverted_at": at, "correction_journal_id": reversal_id}
            await self._step(row, TradeState.REVERTED, fields, session)
        taken_back = journal.voided or reversal_id is not None
        return PostedTrade(row.id, journal.id, replayed=True, taken_back=taken_back)

    async def _take_back(self, row: UserTradeDocument, at: datetime, span: Span, session: Any) -> _Settled:
        match row.state:
            case TradeState.RECEIVED | TradeState.REJECTED:
                book = self._ledger.stablesats
                if await journal_under(book, external_id_of(row.id), session=session) is None:
                    await self._step(row, TradeState.CANCELLED, {"reverted_at": at}, session)
                    return _Settled(RevertOutcome.CANCELLED)
                # It was booked by hand, or before its row was lost: the row says so first.
                [posted] = await self.book_rows([row], lambda row: row.traceparent, session)
                return await self._take_back_booked(row, posted.journal_id, at, span, session)
            case TradeState.BOOKED:
                assert row.ledger_journal_id is not None
                return await self._take_back_booked(row, row.ledger_journal_id, at, span, session)
            case TradeState.REVERTED | TradeState.CANCELLED:
                return _Settled(RevertOutcome.NOTHING)
            case _:
                assert_never(row.state)

    async def _take_back_booked(
        self, row: UserTradeDocument, journal_id: ObjectId, at: datetime, span: Span, session: Any
    ) -> _Settled:
        reversal_id = await reversal_of(self._ledger.stablesats, journal_id, session=session)
        if reversal_id is None:
            try:
                reversal_id = (await self._reverse(row, journal_id, at, span, session)).id
            except VoidedJournalError as error:
                await self._step(row, TradeState.CANCELLED, {"reverted_at": at}, session)
                return _Settled(RevertOutcome.CANCELLED, voided=error)
        fields = {"reverted_at": at, "correction_journal_id": reversal_id}
        await self._step(row, TradeState.REVERTED, fields, session)
        return _Settled(RevertOutcome.REVERTED, reversal_id)

    async def _reverse(
        self, row: UserTradeDocument, reverted: ObjectId, at: datetime, span: Span, session: Any
    ) -> Journal:
        trade = row.to_trade()
        revert = (
            self._ledger.revert_user_buys_usd if trade.user_buys_usd else self._ledger.revert_user_sells_usd
        )
        return await revert(
            sats=trade.sats,
            cents=trade.cents,
            # The correction takes effect when it is made: a day that was reported stays as it was.
            at=at,
            reverted=reverted,
            reference=_reference(trade, traceparent_of(span.get_span_context())),
            session=session,
        )

    async def _waiting(self, trade_ids: Sequence[str], session: Any) -> list[UserTradeDocument]:
        rows = await self._documents.trades.find(
            {"_id": {"$in": list(trade_ids)}, "state": TradeState.RECEIVED}, session=session
        ).to_list()
        left_out = await to_be_taken_back(
            self._documents, [row.id for row in rows], at=self._now(), session=session
        )
        waiting = sorted(
            (row for row in rows if row.id not in left_out), key=lambda row: (row.timestamp, row.id)
        )
        for row in waiting:
            await self._claim_payments(row, session)
        return waiting

    async def _claim_payments(self, row: UserTradeDocument, session: Any) -> None:
        """Give *row* its payments, if it was stored without, to be taken back, and is booked after all."""
        trade = row.to_trade()
        live = live_reference(trade)
        if live is None or row.live_reference is not None:
            return
        holder = await self._documents.trades.find_one(holders_of(live), session=session)
        if holder is not None:
            raise TradeReferenceError(row.id, reference=trade.reference, holder_id=holder.id)
        await self._documents.trades.get_pymongo_collection().update_one(
            {"_id": row.id}, {"$set": {"live_reference": live}}, session=session
        )

    async def _mark_booked(self, trade_ids: Sequence[str], session: Any) -> None:
        await self._documents.trades.get_pymongo_collection().update_many(
            {"_id": {"$in": list(trade_ids)}},
            {"$set": {"state": TradeState.BOOKED.value, "booked_at": to_millisecond(self._now())}},
            session=session,
        )

    async def _name_journals(self, booked: Sequence[tuple[str, ObjectId]], session: Any) -> None:
        writes = [
            UpdateOne({"_id": trade_id}, {"$set": {"ledger_journal_id": journal_id}})
            for trade_id, journal_id in booked
        ]
        await self._documents.trades.get_pymongo_collection().bulk_write(writes, session=session)

    async def _step(
        self, row: UserTradeDocument, state: TradeState, fields: dict[str, Any], session: Any
    ) -> None:
        await self._documents.trades.get_pymongo_collection().update_one(
            {"_id": row.id},
            {"$set": {"state": state.value, **fields}, "$unset": {"live_reference": ""}},
            session=session,
        )


def external_id_of(trade_id: str) -> str:
    """The external id of a trade's journal: ``trade:`` and the trade's own id.

    It keeps the trade from being booked twice where its row does not: because that was lost, or because the
    trade is posted by hand. An id that is too long for that stands there as its digest.
    """
    text = f"trade:{trade_id}"
    if len(text.encode()) <= MAX_KEY_BYTES:
        return text
    return f"trade:sha256:{hashlib.sha256(trade_id.encode()).hexdigest()}"


def _entry(book: Book, trade: UserTrade, traceparent: str | None) -> Entry:
    """The journal of *trade*, as `Ledger.user_buys_usd` and `Ledger.user_sells_usd` post it one at a time."""
    return template_entry(
        book,
        USER_BUYS_USD if trade.user_buys_usd else USER_SELLS_USD,
        TradeAmounts(sats=trade.sats, cents=trade.cents),
        external_id=external_id_of(trade.id),
        effective=trade.timestamp,
        metadata=_reference(trade, traceparent),
    )


def _reference(trade: UserTrade, traceparent: str | None) -> dict[str, object]:
    fields = {
        "trade_id": trade.id,
        "btc_tx_id": trade.btc_tx_id,
        "usd_tx_id": trade.usd_tx_id,
        TRACEPARENT: traceparent,
    }
    return {name: value for name, value in fields.items() if value is not None}


@contextmanager
def _spans(name: str) -> Iterator[Callable[[str, str | None], Span]]:
    """Give one span a trade, however often its transaction runs, and end them all."""
    spans: dict[str, Span] = {}

    def span_of(trade_id: str, traceparent: str | None) -> Span:
        if trade_id not in spans:
            spans[trade_id] = start_span(name, traceparent=traceparent, attributes={"trade.id": trade_id})
        return spans[trade_id]

    try:
        yield span_of
    finally:
        for span in spans.values():
            span.end()

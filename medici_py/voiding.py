"""Voids journals: marks one and its legs, and posts the reversal, in one transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import localcontext

from bson import ObjectId
from bson.errors import BSONError
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from medici_py.documents import Journal
from medici_py.driver import Document, has_transaction
from medici_py.entry_rules import EntryRules
from medici_py.errors import (
    ConsistencyError,
    IncompleteJournalError,
    JournalAlreadyVoidedError,
    JournalNotFoundError,
    TransactionError,
    UnknownOutcomeError,
)
from medici_py.instants import no_earlier
from medici_py.journal_header import TAKEN_BACK_BY
from medici_py.money import EXACT
from medici_py.object_ids import new_object_id
from medici_py.posting_desk import PostingDesk, too_large
from medici_py.running_rows import RowWrites, row_updates, turnover_of_legs
from medici_py.store import Store
from medici_py.sums import SumTooLargeError
from medici_py.taking_back import require_not_taken_back
from medici_py.void import Reversal, reversal_documents, void_text


class JournalVoider:
    """Voids journals of one book; safe to use from any number of tasks of one event loop.

    Args:
        store: The database.
        rules: What the book demands of its entries.
        clock: Where the recorded time comes from.
        running_balances: Whether this library alone writes the book.
    """

    def __init__(
        self, store: Store, rules: EntryRules, clock: Callable[[], datetime], *, running_balances: bool
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._running_balances = running_balances

    async def void(
        self,
        desk: PostingDesk,
        journal_id: ObjectId,
        reason: str | None,
        *,
        use_original_date: bool,
        session: AsyncClientSession | None,
    ) -> Journal:
        """Mark a journal and its legs as voided, post the reversal and return it.

        Raises:
            JournalNotFoundError: If the book has no such journal.
            JournalAlreadyVoidedError: If it is voided.
            JournalTakenBackError: If another journal has taken it back.
            ConsistencyError: If somebody else changed it meanwhile.
            IncompleteJournalError: If its legs are not all there.
            UnreadableDocumentError: If it, or a leg, cannot be read as what it is.
            RunningBalancesError: If the book must not be written without running balances.
            TransactionError: If it has nothing to reverse, or the reversal cannot be saved.
            UnknownOutcomeError: If the server could not be asked whether it committed.
        """
        state = await desk.state_for_posting(self._rules, running_balances=self._running_balances)
        reversal_id = new_object_id()
        tries = 0

        async def write(joined: AsyncClientSession | None, stripe: int) -> Journal:
            nonlocal tries
            tries += 1
            # Only a commit whose answer was lost can have left our own reversal behind.
            if tries > 1 and (own := await self._own_reversal(reversal_id, joined)) is not None:
                return own
            journal, legs = await self._voidable(journal_id, joined)
            recorded_at = no_earlier(self._clock(), state.recorded_from)
            text = void_text(reason, journal.get("memo"))
            reversal = Reversal(
                id=reversal_id,
                text=text,
                date=journal["datetime"] if use_original_date else recorded_at,
                recorded_at=recorded_at,
                correlation_id=Journal.from_document(journal).correlation_id,
            )
            kept = state
            if state.is_assumed:
                # It was asked before anybody had posted what is voided here.
                kept = await desk.state_for_posting(self._rules, running_balances=self._running_balances)
            # Whatever refuses the void does so before the first write: the session may be the caller's.
            documents = reversal_documents(reversal, journal, legs, self._rules)
            await self._mark_voided(journal, legs, text, joined)
            if kept.running_balances:
                await self._add_to_rows(reversal, documents, kept.fields, stripe, joined)
            return await self._post_reversal(reversal, documents, joined)

        try:
            if session is not None and has_transaction(session):
                return await write(session, await desk.stripe_of(session))
        except SumTooLargeError as exc:
            raise too_large(self._rules) from exc
        try:
            return await desk.in_transaction(session, write)
        except UnknownOutcomeError as exc:
            raise UnknownOutcomeError(
                f"The server did not confirm whether journal {journal_id} was voided: {exc.__cause__}. "
                "Void it again: JournalAlreadyVoidedError says that it was."
            ) from exc.__cause__
        except SumTooLargeError as exc:
            raise too_large(self._rules) from exc
        except (PyMongoError, BSONError) as exc:
            raise TransactionError(f"Failure to save journal: {exc}") from exc

    async def _own_reversal(
        self, reversal_id: ObjectId, session: AsyncClientSession | None
    ) -> Journal | None:
        mine = {"_id": reversal_id, "book": self._rules.book}
        found = await self._store.journals.find_one(mine, session=session)
        return None if found is None else self._rules.journal_model.from_document(found)

    async def _voidable(
        self, journal_id: ObjectId, session: AsyncClientSession | None
    ) -> tuple[Document, list[Document]]:
        book = self._rules.book
        journal = await self._store.journals.find_one({"_id": journal_id, "book": book}, session=session)
        if journal is None:
            raise JournalNotFoundError(journal_id=journal_id, book=book)
        if journal.get("voided"):
            raise JournalAlreadyVoidedError(journal_id=journal_id, book=book)
        await require_not_taken_back(self._store, journal, session)
        named = Journal.from_document(journal).transactions
        cursor = self._store.transactions.find({"_journal": journal_id, "book": book}, session=session)
        stored = {leg["_id"]: leg async for leg in cursor}
        legs = [stored[leg_id] for leg_id in named if leg_id in stored]
        if len(legs) != len(named) or len(stored) != len(named):
            raise IncompleteJournalError(
                journal_id=journal_id, book=book, expected=len(named), found=len(stored)
            )
        return journal, legs

    async def _mark_voided(
        self, journal: Document, legs: Sequence[Document], text: str, session: AsyncClientSession | None
    ) -> None:
        flags = {"$set": {"void_reason": text, "voided": True}}
        unvoided = {
            "_id": journal["_id"],
            "voided": {"$ne": True},
            TAKEN_BACK_BY: {"$eq": journal.get(TAKEN_BACK_BY)},
        }
        marked = await self._store.journals.update_one(unvoided, flags, session=session)
        if marked.matched_count != 1:
            raise ConsistencyError(
                f"Journal {journal['_id']} in book {self._rules.book!r} changed while it was being voided."
            )
        # By _journal and not by a list of ids: a journal may have more legs than a command can name.
        mine = {"_journal": journal["_id"], "book": self._rules.book}
        changed = await self._store.transactions.update_many(mine, flags, session=session)
        if changed.matched_count != len(legs):
            raise ConsistencyError(f"The legs of journal {journal['_id']} changed while it was being voided.")

    async def _add_to_rows(
        self,
        reversal: Reversal,
        documents: Sequence[Document],
        fields: Sequence[str],
        stripe: int,
        session: AsyncClientSession | None,
    ) -> None:
        with localcontext(EXACT):
            statements = row_updates(
                RowWrites(turnover_of_legs(self._rules.book, documents, fields)),
                stripe=stripe,
                journal=reversal.id,
                recorded_at=reversal.recorded_at,
                precisions={self._rules.book: self._rules.precision},
            )
        await self._store.update_rows(statements, session=session)

    async def _post_reversal(
        self, reversal: Reversal, documents: Sequence[Document], session: AsyncClientSession | None
    ) -> Journal:
        leg_ids = await self._store.insert_legs(documents, session=session)
        stored = reversal.journal_document(leg_ids[reversal.id], self._rules)
        await self._store.journals.insert_one(stored, session=session)
        return self._rules.journal_model.from_document(stored)

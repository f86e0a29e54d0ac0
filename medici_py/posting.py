"""Writes journals: entries that are committed, and the reversals of voided journals.

Order of the writes inside the transaction: legs first, then the journal that names them, so that whoever
follows the change stream has seen all legs when the journal arrives. A void marks the journal and its
legs before that.

Exactly once: the journal's id is fixed before the first try. Two tries of one entry collide on it (or on
a leg's), the server refuses the second, and the journal that stands is what the caller gets.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bson import ObjectId
from bson.errors import BSONError
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from medici_py.accounts import join
from medici_py.documents import Journal
from medici_py.driver import Document, has_transaction
from medici_py.entry import Entry, WriteLocks, journal_document, leg_documents, lock_targets
from medici_py.entry_rules import EntryRules
from medici_py.errors import (
    ConsistencyError,
    DuplicateEntryError,
    IncompleteJournalError,
    JournalAlreadyVoidedError,
    JournalNotFoundError,
    TransactionError,
    UnknownOutcomeError,
)
from medici_py.store import Store
from medici_py.transactions import mongo_transaction, run_in_session
from medici_py.void import Reversal, reversal_documents, void_text

T = TypeVar("T")

Clock = Callable[[], dt.datetime]

_DUPLICATE_KEY = 11000


class JournalPoster:
    """Writes the journals of one book, each in one MongoDB transaction.

    Stateless and safe to use from any number of tasks.
    """

    def __init__(self, store: Store, rules: EntryRules, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock

    async def post(
        self, entry: Entry, *, session: AsyncClientSession | None, writelock_accounts: WriteLocks | None
    ) -> Journal:
        """Write *entry* and return its journal; one that stands already is returned as it is.

        Raises:
            TransactionError: If it cannot be saved; nothing was written.
            UnknownOutcomeError: If the server could not be asked whether it committed.
        """
        locks = lock_targets(writelock_accounts, (join(leg.path) for leg in entry.legs))

        async def write(joined: AsyncClientSession | None) -> Journal:
            recorded_at = self._clock()
            legs = leg_documents(entry, recorded_at=recorded_at)
            leg_ids = await self._store.insert_legs(legs, journal_id=entry.id, session=joined)
            journal = journal_document(entry, leg_ids, recorded_at=recorded_at)
            await self._insert_journal(journal, joined)
            await self._store.lock_accounts(locks, book=self._rules.book, now=recorded_at, session=joined)
            return self._rules.journal_model.from_document(journal)

        if has_transaction(session):
            return await self._join(write, session, entry)
        try:
            return await self._atomically(write, session)
        except UnknownOutcomeError as exc:
            raise UnknownOutcomeError(
                f"The server did not confirm whether journal {entry.id} ({entry.memo!r}) was committed: "
                f"{exc.__cause__}. Commit the same entry again: that finds out, and never posts it twice."
            ) from exc.__cause__
        except (PyMongoError, BSONError) as exc:
            standing = await self._standing(entry.id) if _is_duplicate(exc) else None
            if standing is not None:
                return standing
            raise TransactionError(f"Failure to save journal: {exc}") from exc

    async def void(
        self,
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
            ConsistencyError: If somebody else voided it meanwhile.
            IncompleteJournalError: If its legs are not all there.
            UnreadableDocumentError: If it, or a leg, cannot be read as what it is.
            TransactionError: If it has nothing to reverse, or the reversal cannot be saved.
            UnknownOutcomeError: If the server could not be asked whether it committed.
        """
        reversal_id = ObjectId()
        tries = 0

        async def write(joined: AsyncClientSession | None) -> Journal:
            nonlocal tries
            tries += 1
            # Only a commit whose answer was lost can have left our own reversal behind.
            if tries > 1 and (own := await self._standing(reversal_id, joined)) is not None:
                return own
            journal, legs = await self._voidable(journal_id, joined)
            recorded_at = self._clock()
            text = void_text(reason, journal.get("memo"))
            reversal = Reversal(
                id=reversal_id,
                text=text,
                date=journal["datetime"] if use_original_date else recorded_at,
                recorded_at=recorded_at,
            )
            # Whatever refuses the void does so before the first write: the session may be the caller's.
            documents = reversal_documents(reversal, journal, legs, self._rules)
            await self._mark_voided(journal, legs, text, joined)
            return await self._post_reversal(reversal, documents, joined)

        if has_transaction(session):
            return await write(session)
        try:
            return await self._atomically(write, session)
        except UnknownOutcomeError as exc:
            raise UnknownOutcomeError(
                f"The server did not confirm whether journal {journal_id} was voided: {exc.__cause__}. Void "
                "it again: JournalAlreadyVoidedError says that it was."
            ) from exc.__cause__
        except (PyMongoError, BSONError) as exc:
            raise TransactionError(f"Failure to save journal: {exc}") from exc

    async def _join(
        self,
        write: Callable[[AsyncClientSession | None], Awaitable[T]],
        session: AsyncClientSession | None,
        entry: Entry,
    ) -> T:
        try:
            return await write(session)
        except (DuplicateKeyError, BulkWriteError) as exc:
            if not _is_duplicate(exc):
                raise
            raise DuplicateEntryError(
                f"Journal {entry.id} ({entry.memo!r}) is posted already, or its leg breaks a unique index; "
                "the server has aborted the session's transaction."
            ) from exc

    async def _atomically(
        self, write: Callable[[AsyncClientSession | None], Awaitable[T]], session: AsyncClientSession | None
    ) -> T:
        if session is None:
            return await mongo_transaction(self._store.client, write)
        return await run_in_session(session, write)

    async def _standing(
        self, journal_id: ObjectId, session: AsyncClientSession | None = None
    ) -> Journal | None:
        journals = self._store.journals if session else self._store.latest_journals
        found = await journals.find_one({"_id": journal_id, "book": self._rules.book}, session=session)
        return None if found is None else self._rules.journal_model.from_document(found)

    async def _insert_journal(self, journal: Document, session: AsyncClientSession | None) -> None:
        await self._store.journals.insert_one(journal, session=session)

    async def _voidable(
        self, journal_id: ObjectId, session: AsyncClientSession | None
    ) -> tuple[Document, list[Document]]:
        book = self._rules.book
        journal = await self._store.journals.find_one({"_id": journal_id, "book": book}, session=session)
        if journal is None:
            raise JournalNotFoundError(journal_id=journal_id, book=book)
        if journal.get("voided"):
            raise JournalAlreadyVoidedError(journal_id=journal_id, book=book)
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
        unvoided = {"_id": journal["_id"], "voided": {"$ne": True}}
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

    async def _post_reversal(
        self, reversal: Reversal, documents: Sequence[Document], session: AsyncClientSession | None
    ) -> Journal:
        leg_ids = await self._store.insert_legs(documents, journal_id=reversal.id, session=session)
        stored = reversal.journal_document(leg_ids, self._rules)
        await self._insert_journal(stored, session)
        return self._rules.journal_model.from_document(stored)


def _is_duplicate(error: Exception) -> bool:
    if isinstance(error, BulkWriteError):
        return any(failed.get("code") == _DUPLICATE_KEY for failed in error.details.get("writeErrors", ()))
    return isinstance(error, DuplicateKeyError)

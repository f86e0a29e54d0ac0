"""Taking a journal back without voiding it: by an entry of the application's own, with the sides swapped.

A journal is taken back once. A void marks it with ``voided``; an entry posted by `take_back` marks it with
its own id, under ``taken_back_by``. Each looks for the other's mark and writes the journal in the transaction
of what it posts, so that of two at one moment one meets a write conflict, begins again and finds the other.

No mark is ever removed. What took a journal back may be voided: then the journal counts again, and to take it
back again that void's reversal is voided, as after a void that was voided. So there is one chain, in which
each journal is taken back by the next, and nothing but its last one can be taken back.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from bson.errors import BSONError
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from medici_py.audit import Relation, WithLegs, relation
from medici_py.documents import Journal
from medici_py.driver import Document, Session, adopt_session, has_transaction
from medici_py.entry import Entry, check_entry
from medici_py.entry_documents import leg_documents
from medici_py.entry_key import UsedKey, key_id
from medici_py.errors import (
    ConsistencyError,
    JournalAlreadyVoidedError,
    JournalNotFoundError,
    JournalTakenBackError,
    TransactionError,
    UnknownOutcomeError,
)
from medici_py.journal_header import TAKEN_BACK_BY, taken_back_by
from medici_py.journal_poster import JournalPoster
from medici_py.leg_fields import entry_object_id
from medici_py.store import Store
from medici_py.transactions import mongo_transaction, run_in_session

if TYPE_CHECKING:
    from medici_py.book import Book


async def take_back(
    book: "Book", journal_id: ObjectId | str, entry: Entry, *, session: Session | None = None
) -> Journal:
    """Post *entry* as what takes a journal back: a void with template, key, date and legs of one's own.

    One transaction: the journal is marked and the entry posted, or nothing is written. Of several at once,
    voids among them, exactly one succeeds. The journal is not voided, and neither are its legs. A repeat of
    the entry itself returns its journal; another entry under its key the first one's, with
    ``replayed=True``; either also if that journal was voided since.

    Args:
        book: The book of both.
        journal_id: The journal that is taken back.
        entry: Its legs with the sides swapped, in the same accounts and dimensions. Not committed yet.
        session: The caller's session, as in `Entry.commit`.

    Raises:
        JournalNotFoundError: If the book has no such journal.
        JournalAlreadyVoidedError: If it is voided.
        JournalTakenBackError: If another journal has taken it back.
        TransactionError: If the entry is of another book or database, or does not swap exactly the journal's
            legs; and as `Entry.commit`. Without an open transaction also for whatever the driver raises.
        UnknownOutcomeError: If the server could not be asked whether it committed. Safe to repeat.
    """
    wanted = entry_object_id("journal_id", journal_id)
    check_entry(entry)
    if entry.rules.book != book.name:
        raise TransactionError(
            f"Entry {entry.memo!r} refused: it is of book {entry.rules.book!r}, and journal {wanted} that it "
            f"is to take back of book {book.name!r}.",
            field="book",
            value=entry.rules.book,
        )
    store = Store(book.database)
    if not isinstance(entry.poster, JournalPoster) or not entry.poster.is_in_database_of(store):
        raise TransactionError(
            f"Entry {entry.memo!r} refused: its book {book.name!r} is of another database or client than "
            f"journal {wanted}; begin it with the same Book.",
            field="book",
            value=entry.rules.book,
        )

    async def mark_and_post(session: AsyncClientSession | None) -> Journal:
        return await _mark_and_post(store, wanted, entry, session)

    joined = adopt_session(session)
    if joined is not None and has_transaction(joined):
        return await mark_and_post(joined)
    try:
        if joined is None:
            return await mongo_transaction(store.client, mark_and_post)
        return await run_in_session(joined, mark_and_post)
    except UnknownOutcomeError as exc:
        raise UnknownOutcomeError(
            f"The server did not confirm whether journal {wanted} was taken back by {entry.id} "
            f"({entry.memo!r}): {exc.__cause__}. Take it back with the same entry again: that finds out, and "
            "never posts it twice."
        ) from exc.__cause__
    except (PyMongoError, BSONError) as exc:
        raise TransactionError(f"Failure to save journal: {exc}") from exc


async def require_not_taken_back(store: Store, journal: Document, session: AsyncClientSession | None) -> None:
    """Check that no other journal has taken a stored *journal* back, by the transaction of *session*.

    Raises:
        JournalTakenBackError: If one has.
    """
    if (taker := await _taker(store, journal, session)) is not None:
        raise _taken_back(journal, taker)


async def _mark_and_post(
    store: Store, journal_id: ObjectId, entry: Entry, session: AsyncClientSession | None
) -> Journal:
    book = entry.rules.book
    journal = await store.journals.find_one({"_id": journal_id, "book": book}, session=session)
    if journal is None:
        raise JournalNotFoundError(journal_id=journal_id, book=book)
    if journal.get("voided"):
        raise JournalAlreadyVoidedError(journal_id=journal_id, book=book)
    if (taker := await _taker(store, journal, session)) is not None:
        if taker["_id"] == entry.id:
            return entry.rules.journal_model.from_document(taker)
        if taker["_id"] != await _journal_under(store, entry, session):
            raise _taken_back(journal, taker)
        return await entry.commit(session=session)  # which says if it is another entry under the same key
    cursor = store.transactions.find({"_journal": journal_id, "book": book}, session=session)
    _require_mirror(entry, journal, [leg async for leg in cursor])
    # Before anything is posted: it is what two that take the journal back collide on.
    await _mark(store, journal, entry.id, session)
    posted = await entry.commit(session=session)
    if posted.id != entry.id:  # It stood under the key already, of a time when nobody marked the journal.
        await _mark(store, journal | {TAKEN_BACK_BY: entry.id}, posted.id, session)
    return posted


async def _taker(store: Store, journal: Document, session: AsyncClientSession | None) -> Document | None:
    """Return the journal that has taken *journal* back; None if there is none of that id in its book."""
    taker = taken_back_by(journal)
    if taker is None:
        return None
    return await store.journals.find_one({"_id": taker, "book": journal["book"]}, session=session)


def _taken_back(journal: Document, taker: Document) -> JournalTakenBackError:
    return JournalTakenBackError(
        journal_id=journal["_id"],
        book=journal["book"],
        taken_back_by=taker["_id"],
        counts_again=bool(taker.get("voided")),
    )


async def _journal_under(store: Store, entry: Entry, session: AsyncClientSession | None) -> ObjectId | None:
    if entry.key is None:
        return None
    used = await store.keys.find_one({"_id": key_id(entry.rules.book, entry.key)}, session=session)
    return None if used is None else UsedKey.from_document(used).journal


def _require_mirror(entry: Entry, journal: Document, legs: Sequence[Mapping[str, Any]]) -> None:
    swapped = WithLegs({}, leg_documents(entry, recorded_at=journal["datetime"]))
    if relation(WithLegs(journal, legs), swapped, entry.rules.dimension_fields) is not Relation.MIRRORS:
        raise TransactionError(
            f"Entry {entry.memo!r} refused: it should have the legs of journal {journal['_id']} in book "
            f"{entry.rules.book!r} with the sides swapped, and no others, to take it back."
        )


async def _mark(store: Store, journal: Document, taker: ObjectId, session: AsyncClientSession | None) -> None:
    unchanged = {
        "_id": journal["_id"],
        "voided": {"$ne": True},
        TAKEN_BACK_BY: {"$eq": journal.get(TAKEN_BACK_BY)},
    }
    marked = await store.journals.update_one(unchanged, {"$set": {TAKEN_BACK_BY: taker}}, session=session)
    if marked.matched_count != 1:
        raise ConsistencyError(
            f"Journal {journal['_id']} in book {journal['book']!r} changed while it was being taken back."
        )

"""Journals as they are committed: one change stream, whole journals, in commit order.

::

    async with open_changes(database, {"Stablesats"}) as changes:
        ...                                     # whatever is committed from here on will be seen
        async for change in changes:
            match change:
                case JournalPosted(): ...
                case JournalVoided(): ...
            await save(change.position.to_document())   # after=ChangePosition.from_document(...) resumes here
"""

from collections.abc import AsyncGenerator, Collection
from types import TracebackType
from typing import Self, assert_never

from medici_py.change_assembly import (
    LegBuffer,
    as_inserted,
    book_of,
    is_complete,
    journal_posted,
    journal_voided,
    named_legs,
)
from medici_py.change_events import (
    ChangePosition,
    Document,
    JournalChange,
    JournalFlagged,
    JournalInserted,
    JournalPosted,
    JournalVoided,
    LegInserted,
    StoredChange,
)
from medici_py.change_feed import (
    ChangeFeed,
    ChangeHistoryLostError,
    ChangeStreamError,
    ChangeStreamInterruptedError,
    FeedSettings,
    interrupted_at,
)
from medici_py.documents import Journal, Transaction
from medici_py.driver import Database
from medici_py.errors import IncompleteJournalError, UnreadableDocumentError
from medici_py.store import Store

__all__ = [
    "ChangeHistoryLostError",
    "ChangePosition",
    "ChangeStreamError",
    "ChangeStreamInterruptedError",
    "JournalChange",
    "JournalChanges",
    "JournalPosted",
    "JournalVoided",
    "open_changes",
    "watch_journals",
]


class JournalChanges:
    """An open stream of journals; `open_changes` makes one.

    An asynchronous context manager and iterator for one reader. Cancelling a read loses nothing: the next
    read goes on where the cancelled one was.
    """

    def __init__(
        self,
        database: Database,
        books: Collection[str] | None,
        feed: ChangeFeed,
        *,
        journal_model: type[Journal] = Journal,
        transaction_model: type[Transaction] = Transaction,
    ) -> None:
        self._books = None if books is None else frozenset(books)
        self._store = Store(database)
        self._feed = feed
        self._journal_model = journal_model
        self._transaction_model = transaction_model
        self._legs = LegBuffer()
        self._unfinished: StoredChange | None = None
        self._position = feed.position

    @property
    def position(self) -> ChangePosition:
        """The place after everything handed out so far; moves on while nothing happens, too."""
        return self._position

    async def __aenter__(self) -> Self:
        await self._feed.open()
        self._position = self._feed.position
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._feed.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JournalChange:
        """Wait for the next journal.

        Raises:
            ChangeHistoryLostError: If MongoDB no longer has what comes after `position`.
            ChangeStreamInterruptedError: If MongoDB was away for too long; reopening at `position` is safe.
            ChangeStreamError: If the stream ended otherwise.
            UnreadableDocumentError: If a stored journal or leg cannot be read as one. Its ``position``, and
                the next read, are right after that journal: to read on is to pass it over knowingly.
            IncompleteJournalError: If a journal's legs are not all there; as above.
        """
        while True:
            # A change whose completion was cancelled or failed is still to be handed out.
            change = self._unfinished or await self._feed.next()
            self._unfinished = change
            try:
                with interrupted_at(self._position):
                    event = await self._complete(change)
            except (UnreadableDocumentError, IncompleteJournalError) as exc:
                self._finish()
                exc.position = self._position
                raise
            self._finish()
            if event is not None:
                return event

    def _finish(self) -> None:
        self._unfinished = None
        self._position = self._feed.position

    async def _complete(self, change: StoredChange | None) -> JournalChange | None:
        match change:
            case None:
                return None
            case LegInserted():
                self._legs.add(change)
                return None
            case JournalInserted() if self._books is not None and book_of(change.journal) is None:
                return None  # A list of books, say, which the server finds a wanted one in.
            case JournalInserted():
                legs = await self._legs_of(change.journal)
                return journal_posted(change, legs, self._journal_model, self._transaction_model)
            case JournalFlagged():
                return await self._voided(change)
            case _:
                assert_never(change)

    async def _legs_of(self, journal: Document) -> list[Document]:
        legs = self._legs.take(journal["_id"])
        if is_complete(journal, legs):
            return legs
        # The stream began between the legs and their journal, or there were too many to keep.
        cursor = self._store.latest_transactions.find({"_journal": journal["_id"]}).sort("_id")
        stored = [as_inserted(leg) async for leg in cursor]
        if is_complete(journal, stored):
            return stored
        raise IncompleteJournalError(
            journal_id=journal["_id"],
            book=str(book_of(journal)),
            expected=len(named_legs(journal)),
            found=len(stored),
        )

    async def _voided(self, change: JournalFlagged) -> JournalVoided | None:
        journal = await self._store.latest_journals.find_one({"_id": change.journal_id}, {"book": 1})
        book = None if journal is None else book_of(journal)
        if book is None or (self._books is not None and book not in self._books):
            return None
        return journal_voided(change, book)


def open_changes(
    database: Database,
    books: Collection[str] | None = None,
    *,
    after: ChangePosition | None = None,
    settings: FeedSettings | None = None,
    journal_model: type[Journal] = Journal,
    transaction_model: type[Transaction] = Transaction,
) -> JournalChanges:
    """Prepare a stream of the journals of *books*; it is open once entered with ``async with``.

    Elections and broken connections are ridden out for ``settings.resume_timeout_secs``.

    Args:
        database: Of PyMongo Async or Motor.
        books: Names of the books wanted; None for all.
        after: Where to begin; None for the moment of entering.
        settings: How patient to be with the server.
        journal_model: What journals are read into.
        transaction_model: What legs are read into.
    """
    feed = ChangeFeed(database, books, after=after, settings=settings)
    return JournalChanges(
        database, books, feed, journal_model=journal_model, transaction_model=transaction_model
    )


async def watch_journals(
    database: Database, books: Collection[str] | None = None, *, after: ChangePosition | None = None
) -> AsyncGenerator[JournalChange]:
    """Yield the journals of *books* as they are committed; ``aclose()`` closes the cursor on the server.

    The stream is opened by the first step of the iteration; use `open_changes` where nothing that happens
    before may be missed. Arguments and errors are those of `open_changes` and `JournalChanges`.
    """
    async with open_changes(database, books, after=after) as changes:
        async for change in changes:
            yield change

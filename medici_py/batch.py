"""A batch: many entries, of one or several books of a database, posted together or not at all."""

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pymongo.asynchronous.client_session import AsyncClientSession

from medici_py.entry import Entry
from medici_py.errors import TransactionError
from medici_py.journal_poster import JournalPoster

if TYPE_CHECKING:
    from medici_py.documents import Journal


class EntryBatch:
    """Entries that stand or fall together; an asynchronous context manager.

    Nothing is written before the block ends. If it ends without an error, all entries are posted in one
    transaction, each judged on what the ones before it leave; if one is refused, that is raised and none
    is posted. If the block raises, nothing is posted either. For one task.

    Attributes:
        journals: The journals in the order of the entries, once the block has ended.
    """

    def __init__(self, poster: JournalPoster, session: AsyncClientSession | None) -> None:
        self.journals: tuple[Journal, ...] = ()
        self._poster = poster
        self._session = session
        self._entries: list[tuple[Entry, JournalPoster]] = []
        self._ended = False

    def add(self, entry: Entry) -> Entry:
        """Add an entry, of any book in the same database and of the same client, and return it.

        Raises:
            TransactionError: If it is empty or does not balance, is of another database, or was committed;
                or if the batch has ended.
        """
        poster = entry.poster
        if self._ended:
            raise TransactionError(f"Entry {entry.memo!r} refused: its batch has ended; begin a new one.")
        if not isinstance(poster, JournalPoster) or not poster.shares_database_with(self._poster):
            raise TransactionError(
                f"Entry {entry.memo!r} refused: a batch takes entries of one database and one client, and "
                f"book {entry.rules.book!r} has another."
            )
        if entry.is_posted or any(added is entry for added, _ in self._entries):
            raise TransactionError(f"Entry {entry.memo!r} refused: it is posted, or in this batch, already.")
        entry.seal()
        self._entries.append((entry, poster))
        return entry

    async def dry_run(self) -> "tuple[Journal, ...]":
        """Check the entries so far in every way that the end of the block does, and return what it would.

        Nothing is written; see `Entry.dry_run`. The batch goes on.

        Raises:
            TransactionError: As at the end of the block; also if the batch's session has an open transaction.
        """
        if not self._entries:
            return ()
        with self._under_way():
            return await self._poster.preview_together(self._entries, self._session)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._ended = True
        if error_type is not None or not self._entries:
            return
        with self._under_way():
            self.journals = await self._poster.post_together(self._entries, self._session)
        if self._session is None:
            for (entry, _poster), journal in zip(self._entries, self.journals, strict=True):
                entry.settle(journal)

    @contextlib.contextmanager
    def _under_way(self) -> Iterator[None]:
        """Hold all its books open."""
        with contextlib.ExitStack() as books:
            for poster in dict.fromkeys([self._poster, *(poster for _, poster in self._entries)]):
                books.enter_context(poster.under_way)
            yield

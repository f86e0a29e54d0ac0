"""The entries of a database's stream of changes, completed by look-ups where the stream is not enough."""

from collections.abc import Callable, Sequence

from bson.timestamp import Timestamp

from medici_py.change_assembly import as_inserted, book_of, in_posting_order, is_complete, named_legs
from medici_py.change_entries import Entry, EntryAssembly, JournalEntry, VoidEntry, template_code
from medici_py.change_events import ChangePosition
from medici_py.change_feed import ChangeFeed, FeedSettings, interrupted_at
from medici_py.errors import IncompleteJournalError
from medici_py.store import Store
from medici_py.turnover_snapshot import path_of


class ChangeSource:
    """The entries of all books after a position, in commit order. For one reader.

    Args:
        store: The database.
        after: Where to begin; None for the moment of `open`.
        settings: How patient to be with the server.
        is_sharded: Whether the answers of several servers are merged.
        through: A cluster time whose commits every answer knows; see `ChangeFeed`.
    """

    def __init__(
        self,
        store: Store,
        *,
        after: ChangePosition | None,
        settings: FeedSettings,
        is_sharded: bool,
        through: Timestamp | None = None,
    ) -> None:
        self._store = store
        self._is_sharded = is_sharded
        self._newest = after
        self._feed = ChangeFeed(store.database, None, after=after, through=through, settings=settings)
        self._assembly = EntryAssembly()

    @property
    def position(self) -> ChangePosition:
        """The place after everything that was handed out."""
        return self._feed.position

    @property
    def idle_sort_key(self) -> str:
        """Sorts the place where the stream is when there is nothing more so far, among positions.

        That is after everything of the same moment; but merged answers, while the position is that of a
        change, may still have a part of the same commit on its way from another server.
        """
        position, newest = self.position, self._newest
        if self._is_sharded and newest is not None and position.token == newest.token:
            return position.sort_key
        return position.idle_sort_key

    async def open(self) -> None:
        """Open the stream on the server; errors are those of `ChangeFeed.open`."""
        await self._feed.open()

    async def close(self) -> None:
        """Close the cursor on the server. Idempotent."""
        await self._feed.close()

    async def next(self) -> Sequence[Entry] | None:
        """Wait for the next change; return the entries that it completes, None if there is none so far.

        Raises:
            UnsupportedDeploymentError: If the server has no change streams.
            ChangeStreamError: If the stream ended, or a look-up failed; its leaves say which case it is.
        """
        before = self._feed.position
        change = await self._feed.next()
        if change is None:
            return None
        self._newest = change.position
        entries = self._assembly.take(change, before)
        with interrupted_at(before):
            for entry in entries:
                if isinstance(entry, JournalEntry) and entry.book is not None:
                    await self._look_up_legs(entry, entry.book)
        return entries

    async def look_up(self, entry: Entry, lacking: Callable[[VoidEntry], bool]) -> None:
        """Complete a void with what its flag does not say, as far as somebody has to know it.

        Args:
            entry: Any entry; only voids have something to look up.
            lacking: Says whether a void lacks anything; asked again after each look-up.

        Raises:
            ChangeStreamInterruptedError: If a look-up failed.
        """
        while isinstance(entry, VoidEntry) and lacking(entry):
            with interrupted_at(entry.before):
                if entry.identified:
                    await self._look_up_paths(entry)
                else:
                    await self._identify(entry)

    async def _identify(self, entry: VoidEntry) -> None:
        matches = {"_id": entry.change.journal_id}
        journal = await self._store.latest_journals.find_one(matches, {"book": 1, "template": 1})
        if journal is not None:
            entry.book, entry.template = book_of(journal), template_code(journal)
        entry.identified = True

    async def _look_up_paths(self, entry: VoidEntry) -> None:
        matches = {"_journal": entry.change.journal_id}
        legs = self._store.latest_transactions.find(matches, {"account_path": 1})
        entry.paths = [path_of(leg) async for leg in legs]

    async def _look_up_legs(self, entry: JournalEntry, book: str) -> None:
        journal = entry.change.journal
        if is_complete(journal, entry.legs):
            return
        # The stream began between the legs and their journal, or there were too many to keep.
        found = self._store.latest_transactions.find({"_journal": journal["_id"]}).sort("_id")
        stored = [as_inserted(leg) async for leg in found]
        entry.legs = in_posting_order(journal, stored)
        if entry.change.in_transaction:
            entry.counted = entry.legs
        if not is_complete(journal, stored):
            entry.fault = IncompleteJournalError(
                journal_id=journal["_id"],
                book=book,
                expected=len(named_legs(journal)),
                found=len(stored),
            )

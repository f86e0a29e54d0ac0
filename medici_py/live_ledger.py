"""Books in memory that follow the stored changes one by one."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from bson.timestamp import Timestamp

from medici_py.accounts import Path
from medici_py.bson_values import hashable
from medici_py.change_events import Document, JournalFlagged, JournalInserted, LegInserted, StoredChange
from medici_py.sums import Sums, leg_sums
from medici_py.turnover_snapshot import BookShape, path_of
from medici_py.turnover_table import TurnoverTable


@dataclass(frozen=True, slots=True)
class Applied:
    """What a change did: whether a balance moved or a journal came, and when that was committed."""

    moved: bool
    journal_at: datetime | None = None


class LiveLedger:
    """The turnover of some books, fed with every change after the instant at which it was read.

    The legs of one MongoDB transaction are held back until their journal comes, which is their last write, so
    that the books balance whenever they are looked at. Should it not come they count once the transaction
    is certainly over: at the next change with another commit time, or when the server has nothing more.
    """

    def __init__(self, shapes: Mapping[str, BookShape], tables: Mapping[str, TurnoverTable]) -> None:
        self.tables = tables
        self._shapes: Mapping[Hashable, BookShape] = dict(shapes.items())
        self._held: dict[Hashable, list[Document]] = {}
        self._held_at: Timestamp | None = None

    def sums(self, book: str, path: Path, dimensions: Mapping[str, Hashable]) -> Sums:
        """Return the turnover of *path* and everything below it."""
        return self.tables[book].sums(path, dimensions)

    def apply(self, change: StoredChange | None) -> Applied:
        """Take in the next change; None says that there is none for now.

        Raises:
            UnreadableDocumentError: If a leg's amount is no number.
        """
        released = self._release_all_but(None if change is None else change.position.cluster_time)
        match change:
            case None | JournalFlagged():  # a void moves balances by its reversal, which comes by itself
                return Applied(released)
            case LegInserted(in_transaction=True):
                self._held.setdefault(hashable(change.leg.get("_journal")), []).append(change.leg)
                return Applied(released)
            case LegInserted():
                self._count(change.leg)
                return Applied(moved=True)
            case JournalInserted():
                self._release(hashable(change.journal["_id"]))
                return Applied(moved=True, journal_at=change.committed_at)
            case _:
                assert_never(change)

    def _release_all_but(self, cluster_time: Timestamp | None) -> bool:
        if cluster_time is not None and cluster_time == self._held_at:
            return False
        self._held_at = cluster_time
        released = bool(self._held)
        for journal_id in list(self._held):
            self._release(journal_id)
        return released

    def _release(self, journal_id: Hashable) -> None:
        for leg in self._held.pop(journal_id, ()):
            self._count(leg)

    def _count(self, leg: Document) -> None:
        shape = self._shapes.get(hashable(leg["book"]))
        if shape is not None:  # and no list of books that the server found it in
            self.tables[shape.name].add(path_of(leg), shape.values_of(leg), leg_sums(leg))

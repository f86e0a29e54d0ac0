"""What the stream of stored changes says, a step at a time: journals, voids, and legs without a journal.

An entry belongs to the stream, not to a subscriber: it is put together once and whoever wants it takes its
events from it. `EntryAssembly` makes entries; what it cannot know is looked up by `medici_py.change_source`.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias, assert_never

from bson.timestamp import Timestamp

from medici_py.accounts import Path
from medici_py.balance_events import BalanceRow
from medici_py.bson_values import hashable
from medici_py.change_assembly import LegBuffer, book_of, in_posting_order
from medici_py.change_events import (
    ChangePosition,
    Document,
    JournalFlagged,
    JournalInserted,
    LegInserted,
    StoredChange,
)
from medici_py.errors import IncompleteJournalError, UnreadableDocumentError
from medici_py.turnover_snapshot import BookShape, path_of

DocumentFault: TypeAlias = UnreadableDocumentError | IncompleteJournalError


@dataclass(slots=True, eq=False)
class JournalEntry:
    """A journal with its legs.

    Attributes:
        change: The journal as it was inserted.
        legs: Its legs as stored, in posting order.
        counted: Those of them that enter the balances with the journal; others entered before.
        before: The place before the journal.
        fault: Why the journal cannot be shown; None if it can.
        rows: The balances after it, by book, where they are followed; or why there are none.
        made: Events that were made of it already.
    """

    change: JournalInserted
    legs: Sequence[Document]
    counted: Sequence[Document]
    before: ChangePosition
    fault: DocumentFault | None = None
    rows: dict[BookShape, tuple[BalanceRow, ...] | UnreadableDocumentError] = field(default_factory=dict)
    made: dict[Any, Any] = field(default_factory=dict)

    @property
    def position(self) -> ChangePosition:
        """The place after the journal."""
        return self.change.position

    @property
    def committed_at(self) -> datetime:
        """The server's wall clock at the commit."""
        return self.change.committed_at

    @property
    def book(self) -> str | None:
        """Name of its book; None if it is of none, and so nobody's."""
        return book_of(self.change.journal)

    def paths(self) -> list[Path]:
        """Return the accounts of its legs."""
        return [path_of(leg) for leg in self.legs]


@dataclass(slots=True, eq=False)
class VoidEntry:
    """A journal was flagged; what the flag does not say is looked up if anybody wants to know it.

    Attributes:
        change: The flag.
        before: The place before it.
        identified: Whether the journal was looked up: its book and its template.
        book: Name of its book; None if the journal is gone, or of none.
        template: Code of its template.
        paths: The accounts of its legs; None before they were looked up.
        counted: Nothing; balances move with the reversing journal.
    """

    change: JournalFlagged
    before: ChangePosition
    identified: bool = False
    book: str | None = None
    template: str | None = None
    paths: Sequence[Path] | None = None
    counted: Sequence[Document] = ()

    @property
    def position(self) -> ChangePosition:
        """The place after the flag."""
        return self.change.position

    @property
    def committed_at(self) -> datetime:
        """The server's wall clock at the commit."""
        return self.change.committed_at


@dataclass(slots=True, eq=False)
class LooseLegs:
    """Legs that entered the balances without their journal: it comes later, or never."""

    counted: Sequence[Document]
    position: ChangePosition
    committed_at: datetime


Entry: TypeAlias = JournalEntry | VoidEntry | LooseLegs


def template_code(journal: Document) -> str | None:
    """Return the code of the template that made a stored *journal*; None if none did."""
    match journal.get("template"):
        case {"code": str() as code}:
            return code
        case _:
            return None


class EntryAssembly:
    """Puts entries together from stored changes, taken one by one.

    The legs of a MongoDB transaction are held back until their journal comes, which is their last write.
    Should it not come they are loose once the transaction is over: at the next change of another commit.
    """

    def __init__(self) -> None:
        self._legs = LegBuffer()
        self._held: dict[Hashable, list[LegInserted]] = {}
        self._held_at: Timestamp | None = None
        self._posted: set[Hashable] = set()  # journals of the commit at hand

    def take(self, change: StoredChange, before: ChangePosition) -> list[Entry]:
        """Take in the next change, which follows the place *before*; return the entries that are complete.

        A `JournalEntry` may lack legs, if the stream did not show them.
        """
        released = self._release_held(change.position.cluster_time)
        match change:
            case LegInserted():
                return released + self._leg(change)
            case JournalInserted():
                return [*released, self._journal(change, before)]
            case JournalFlagged():
                return [*released, VoidEntry(change, before)]
            case _:
                assert_never(change)

    def _leg(self, change: LegInserted) -> list[Entry]:
        journal_id = hashable(change.leg.get("_journal"))
        if journal_id in self._posted:
            return []  # Its journal came first, from another shard, and its legs were looked up.
        self._legs.add(change)
        if change.in_transaction:
            self._held.setdefault(journal_id, []).append(change)
            return []
        return [_loose([change])]

    def _journal(self, change: JournalInserted, before: ChangePosition) -> JournalEntry:
        journal_id = hashable(change.journal["_id"])
        legs = in_posting_order(change.journal, self._legs.take(change.journal["_id"]))
        self._held.pop(journal_id, None)
        self._posted.add(journal_id)
        return JournalEntry(change, legs, legs if change.in_transaction else (), before)

    def _release_held(self, cluster_time: Timestamp | None) -> list[Entry]:
        if cluster_time is not None and cluster_time == self._held_at:
            return []
        self._held_at = cluster_time
        self._posted.clear()
        held, self._held = self._held, {}
        return [_loose(legs) for legs in held.values()]


def _loose(legs: Sequence[LegInserted]) -> LooseLegs:
    last = legs[-1]
    return LooseLegs([change.leg for change in legs], last.position, last.committed_at)

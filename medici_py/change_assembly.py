"""Journals put together from a stream that shows their legs first."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId

from medici_py.change_events import (
    Document,
    JournalFlagged,
    JournalInserted,
    JournalPosted,
    JournalVoided,
    LegInserted,
)
from medici_py.documents import Journal, Transaction

DEFAULT_MAX_LEGS = 50_000


class LegBuffer:
    """The legs whose journal has not come yet, in the order in which they came.

    Bounded: past *max_legs* the legs that have waited longest are forgotten (legs of a Node process that died
    before it wrote the journal would stay for ever). Whoever finds legs missing reads them from the database.
    """

    def __init__(self, max_legs: int = DEFAULT_MAX_LEGS) -> None:
        self._max_legs = max_legs
        self._legs: OrderedDict[Any, list[Document]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, change: LegInserted) -> None:
        """Keep a leg until its journal comes."""
        self._legs.setdefault(change.leg.get("_journal"), []).append(change.leg)
        self._count += 1
        while self._count > self._max_legs:
            _, forgotten = self._legs.popitem(last=False)
            self._count -= len(forgotten)

    def take(self, journal_id: ObjectId) -> list[Document]:
        """Hand over the legs that came for *journal_id*."""
        legs = self._legs.pop(journal_id, [])
        self._count -= len(legs)
        return legs


def is_complete(journal: Document, legs: Iterable[Document]) -> bool:
    """Whether *legs* are all that *journal* names."""
    return {leg["_id"] for leg in legs}.issuperset(journal.get("_transactions") or ())


def in_posting_order(journal: Document, legs: Sequence[Document]) -> list[Document]:
    """Return *legs* in the order in which *journal* names them; any that it does not name come last."""
    named: Mapping[Any, int] = {
        leg_id: index for index, leg_id in enumerate(journal.get("_transactions") or ())
    }
    return sorted(legs, key=lambda leg: named.get(leg["_id"], len(named)))


def journal_posted(
    change: JournalInserted,
    legs: Sequence[Document],
    journal_model: type[Journal] = Journal,
    transaction_model: type[Transaction] = Transaction,
) -> JournalPosted:
    """Return the event for a journal and its *legs*.

    Raises:
        UnreadableDocumentError: If the journal or a leg cannot be read as one.
    """
    return JournalPosted(
        journal=journal_model.from_document(change.journal),
        transactions=tuple(
            transaction_model.from_document(leg) for leg in in_posting_order(change.journal, legs)
        ),
        position=change.position,
        committed_at=change.committed_at,
    )


def journal_voided(change: JournalFlagged, book: str) -> JournalVoided:
    """Return the event for a journal of *book* that was flagged."""
    return JournalVoided(
        journal_id=change.journal_id,
        book=book,
        void_reason=change.void_reason,
        position=change.position,
        committed_at=change.committed_at,
    )

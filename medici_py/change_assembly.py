"""Journals put together from a stream that shows their legs first."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence

from medici_py.bson_values import hashable
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
        self._legs: OrderedDict[Hashable, list[Document]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, change: LegInserted) -> None:
        """Keep a leg until its journal comes."""
        self._legs.setdefault(hashable(change.leg.get("_journal")), []).append(change.leg)
        self._count += 1
        while self._count > self._max_legs:
            _, forgotten = self._legs.popitem(last=False)
            self._count -= len(forgotten)

    def take(self, journal_id: object) -> list[Document]:
        """Hand over the legs that came for *journal_id*."""
        legs = self._legs.pop(hashable(journal_id), [])
        self._count -= len(legs)
        return legs


def named_legs(journal: Document) -> list[Hashable]:
    """Return the ids of the legs that *journal* names; none where another writer left no list of them."""
    named = journal.get("_transactions")
    return [hashable(leg_id) for leg_id in named] if isinstance(named, list) else []


def is_complete(journal: Document, legs: Iterable[Document]) -> bool:
    """Whether *legs* are all that *journal* names."""
    return {hashable(leg["_id"]) for leg in legs}.issuperset(named_legs(journal))


def in_posting_order(journal: Document, legs: Sequence[Document]) -> list[Document]:
    """Return *legs* in the order in which *journal* names them; any that it does not name come last."""
    named: Mapping[Hashable, int] = {leg_id: index for index, leg_id in enumerate(named_legs(journal))}
    return sorted(legs, key=lambda leg: named.get(hashable(leg["_id"]), len(named)))


def book_of(journal: Document) -> str | None:
    """Return the name of the book of a stored *journal*; None where another writer left none."""
    book = journal.get("book")
    return book if isinstance(book, str) else None


def as_inserted(document: Document) -> Document:
    """Return a stored journal or leg without the marks of a void, which came later."""
    return {name: value for name, value in document.items() if name not in ("voided", "void_reason")}


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

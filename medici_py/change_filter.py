"""What a subscriber wants of the changes, and the events that an entry of the stream gives it. Pure."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias, assert_never

from medici_py.accounts import Path, covers, join
from medici_py.balance_events import BalanceRow
from medici_py.book_settings import BookSettings
from medici_py.change_assembly import journal_posted, journal_voided
from medici_py.change_entries import (
    DocumentFault,
    Entry,
    JournalEntry,
    LooseLegs,
    VoidEntry,
    template_code,
)
from medici_py.change_events import (
    BalanceChanged,
    BookEvent,
    ChangePosition,
    JournalPosted,
    JournalVoided,
)
from medici_py.documents import Journal, Transaction
from medici_py.errors import InvalidQueryError, UnreadableDocumentError
from medici_py.template_legs import is_text
from medici_py.templates import TransactionTemplate
from medici_py.turnover_snapshot import BookShape

Item: TypeAlias = BookEvent | DocumentFault
"""What an entry gives a subscriber: an event, or an error to raise in its place."""

ALL_KINDS: tuple[type, ...] = (JournalPosted, JournalVoided, BalanceChanged)


@dataclass(frozen=True, slots=True)
class FollowedBook:
    """A book and how its documents are read.

    Attributes:
        shape: Its name and dimensions.
        journal_model: What its journals are read into.
        transaction_model: What its legs are read into.
    """

    shape: BookShape
    journal_model: type[Journal]
    transaction_model: type[Transaction]

    @classmethod
    def of(cls, settings: BookSettings, name: str | None = None) -> Self:
        """Return the book of *settings*, or the one of that *name* read in the same way."""
        shape = BookShape.of(
            name or settings.name, settings.precision, list(settings.dimensions), settings.transaction_model
        )
        return cls(shape, settings.journal_model, settings.transaction_model)


class BookLike(Protocol):
    """What is needed of a `medici_py.Book` here."""

    settings: BookSettings

    @property
    def database(self) -> Any:
        """Where the book is."""


def followed_books(own: BookLike, books: Collection[BookLike | str] | None) -> tuple[FollowedBook, ...]:
    """Return the books that a subscription of *own* follows: *own* alone for None.

    Raises:
        InvalidQueryError: If *books* is empty, names one twice, or holds one of another database.
    """
    if books is None:
        return (FollowedBook.of(own.settings),)
    followed: dict[str, FollowedBook] = {}
    for book in [books] if isinstance(books, str) else books:
        one = _followed(own, book)
        if followed.setdefault(one.shape.name, one) != one:
            raise InvalidQueryError(
                f"Book {one.shape.name!r} is given twice, with different settings; give it once.",
                field="books",
                value=book,
            )
    if not followed:
        raise InvalidQueryError(
            "No books given; leave books out for the book itself.", field="books", value=books
        )
    return tuple(followed[name] for name in sorted(followed))


def _followed(own: BookLike, book: BookLike | str) -> FollowedBook:
    if isinstance(book, str):
        return FollowedBook.of(own.settings, book)
    if book.database != own.database:
        raise InvalidQueryError(
            f"Book {book.settings.name!r} is of another database; subscribe to it there.",
            field="books",
            value=book,
        )
    return FollowedBook.of(book.settings)


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """What a subscriber wants.

    Attributes:
        books: The books, each once.
        paths: Accounts; None for all.
        kinds: Which events.
        template: Code of the template that made a journal; None for any journal.
    """

    books: tuple[FollowedBook, ...]
    paths: tuple[Path, ...] | None
    kinds: frozenset[type]
    template: str | None

    @classmethod
    def of(
        cls,
        books: tuple[FollowedBook, ...],
        paths: tuple[Path, ...] | None,
        kinds: Collection[type],
        template: TransactionTemplate[Any] | str | None,
    ) -> Self:
        """Return the filter of these wishes.

        Raises:
            InvalidQueryError: If a kind is none, or there is none; or if *template* can be none.
        """
        wanted = frozenset(kinds)
        if not wanted or not wanted <= frozenset(ALL_KINDS):
            known = ", ".join(kind.__name__ for kind in ALL_KINDS)
            raise InvalidQueryError(
                f"Kinds {kinds!r} refused: give some of {known}.", field="kinds", value=kinds
            )
        return cls(books, paths, wanted, _code_of(template))

    @property
    def shapes(self) -> tuple[BookShape, ...]:
        """The books whose balances are wanted."""
        return tuple(book.shape for book in self.books) if BalanceChanged in self.kinds else ()

    def items(self, entry: Entry, *, seen: int = 0) -> Sequence[Item]:
        """Return what *entry* gives, in order: a journal, then the balances that it moved.

        Args:
            entry: An entry of the stream that lacks nothing. Where balances are wanted its rows are there;
                if it comes before they were followed, nobody who wants them has still to be told of it.
            seen: How many of the events of a journal were handed out before.
        """
        match entry:
            case JournalEntry():
                return self._of_journal(entry, seen)
            case VoidEntry():
                return self._of_void(entry)
            case LooseLegs():
                return ()
            case _:
                assert_never(entry)

    def lacks(self, entry: VoidEntry) -> bool:
        """Whether more of *entry* has to be looked up before `items` can say what it gives."""
        if JournalVoided not in self.kinds:
            return False
        if not entry.identified:
            return True
        if self._book(entry.book) is None or self.template not in (None, entry.template):
            return False
        return self.paths is not None and entry.paths is None

    def _of_journal(self, entry: JournalEntry, seen: int) -> Sequence[Item]:
        book = self._book(entry.book)
        if book is None or not self._wants(template_code(entry.change.journal), entry.paths):
            return ()
        if entry.fault is not None:
            return (_positioned(entry.fault, entry.position),)
        rows = entry.rows.get(book.shape, ()) if BalanceChanged in self.kinds else ()
        if isinstance(rows, UnreadableDocumentError):
            return (_positioned(rows, entry.position),)
        items: list[Item] = []
        if JournalPosted in self.kinds and not seen:
            items.append(_posted(entry, book, rows))
        if rows:
            events = _balances_changed(entry, book.shape, rows)[max(0, seen - 1) :]
            items.extend(event for event, path in events if self._covers(path))
        return items

    def _of_void(self, entry: VoidEntry) -> Sequence[Item]:
        if JournalVoided not in self.kinds or entry.book is None or self._book(entry.book) is None:
            return ()
        if not self._wants(entry.template, lambda: entry.paths or ()):
            return ()
        return (journal_voided(entry.change, entry.book),)

    def _book(self, name: str | None) -> FollowedBook | None:
        for book in self.books:
            if book.shape.name == name:
                return book
        return None

    def _wants(self, template: str | None, paths: Callable[[], Sequence[Path]]) -> bool:
        if self.template is not None and template != self.template:
            return False
        return self.paths is None or any(self._covers(path) for path in paths())

    def _covers(self, path: Path) -> bool:
        return self.paths is None or any(covers(wanted, path) for wanted in self.paths)


def _code_of(template: TransactionTemplate[Any] | str | None) -> str | None:
    match template:
        case TransactionTemplate():
            return template.code
        case None:
            return None
        case str() if is_text(template):
            return template
        case _:
            raise InvalidQueryError(
                f"template={template!r} refused: give a TransactionTemplate, or the code of one.",
                field="template",
                value=template,
            )


def _posted(entry: JournalEntry, book: FollowedBook, rows: Sequence[BalanceRow]) -> Item:
    key = book.journal_model, book.transaction_model, bool(rows)
    if key not in entry.made:
        entry.made[key] = _make_posted(entry, book, rows)
    item: Item = entry.made[key]
    return item


def _make_posted(entry: JournalEntry, book: FollowedBook, rows: Sequence[BalanceRow]) -> Item:
    change = entry.change
    try:
        event = journal_posted(change, entry.legs, book.journal_model, book.transaction_model)
    except UnreadableDocumentError as exc:
        return _positioned(exc, entry.position)
    if not rows:
        return event
    position = _within(entry, seen=1)
    return JournalPosted(event.journal, event.transactions, position, event.committed_at)


def _balances_changed(
    entry: JournalEntry, shape: BookShape, rows: Sequence[BalanceRow]
) -> list[tuple[BalanceChanged, Path]]:
    if shape not in entry.made:
        last = len(rows)
        entry.made[shape] = [
            (
                BalanceChanged(
                    book=shape.name,
                    account=join(row.path),
                    dimensions=dict(zip(shape.dimensions, row.values, strict=True)),
                    balance=row.balance,
                    notes=row.notes,
                    journal_id=entry.change.journal["_id"],
                    position=entry.position if place == last else _within(entry, seen=1 + place),
                    committed_at=entry.committed_at,
                ),
                row.path,
            )
            for place, row in enumerate(rows, start=1)
        ]
    events: list[tuple[BalanceChanged, Path]] = entry.made[shape]
    return events


def _within(entry: JournalEntry, *, seen: int) -> ChangePosition:
    return ChangePosition(entry.before.token, entry.before.cluster_time, seen)


def _positioned(fault: DocumentFault, position: ChangePosition) -> DocumentFault:
    fault.position = position
    return fault

"""The balances of books at the place where the shared stream of changes is, and at earlier places. Pure."""

from collections.abc import Collection, Iterable
from typing import TypeAlias

from medici_py.balance_events import BalanceTable, LegMove, balance_rows, moves_of
from medici_py.change_entries import Entry, JournalEntry
from medici_py.change_events import ChangePosition, Document
from medici_py.errors import UnreadableDocumentError
from medici_py.turnover_snapshot import BookShape

Later: TypeAlias = dict[BookShape, BalanceTable]
"""What `SharedBalances` count beyond an earlier place: a subscriber that catches up has its own."""


class BookBalances:
    """The balances of one book, fed with the entries of the stream.

    Args:
        shape: The book.
        table: Its balances at some place.
        through: That place: entries up to there are counted already.
    """

    def __init__(self, shape: BookShape, table: BalanceTable, through: ChangePosition) -> None:
        self.shape = shape
        self.through = through
        self.table = table
        self.later: list[BalanceTable] = []
        self._fault: UnreadableDocumentError | None = None

    def count(self, entry: Entry) -> None:
        """Count what *entry* adds, also for those who look back."""
        try:
            moves = counted_moves(self.shape, entry)
        except UnreadableDocumentError as exc:
            # From here on book.balance() refuses to answer, too.
            self._fault = exc
            return
        for table in (self.table, *self.later):
            table.add(moves)

    def note_rows(self, entry: JournalEntry, *, later: BalanceTable | None = None) -> None:
        """Write on *entry* the balances that it left.

        Args:
            entry: A journal, counted.
            later: What is counted beyond it.
        """
        try:
            moves = moves_of(self.shape, entry.legs)
        except UnreadableDocumentError as exc:
            entry.rows[self.shape] = exc
            return
        entry.rows[self.shape] = self._fault or balance_rows(self.table, moves, later=later)


class SharedBalances:
    """The balances of those books whose balances somebody follows."""

    def __init__(self) -> None:
        self._books: dict[BookShape, BookBalances] = {}

    def __contains__(self, shape: BookShape) -> bool:
        return shape in self._books

    def add(self, book: BookBalances, recent: Iterable[Entry]) -> None:
        """Follow a book from now on.

        Args:
            book: Its balances at an earlier place.
            recent: The entries after that place, in order.
        """
        self._books[book.shape] = book
        for entry in recent:
            self._apply(book, entry)

    def keep_only(self, shapes: Collection[BookShape]) -> None:
        """Forget the books that nobody follows any more."""
        self._books = {shape: book for shape, book in self._books.items() if shape in shapes}

    def apply(self, entry: Entry) -> None:
        """Count the next entry, and write on it the balances that it left."""
        for book in self._books.values():
            self._apply(book, entry)

    def through(self, shapes: Iterable[BookShape]) -> list[ChangePosition]:
        """Return the places up to which the balances of *shapes* were not followed entry by entry."""
        return [self._books[shape].through for shape in shapes]

    def look_back(self, later: Later) -> None:
        """Count in *later* what is counted from now on, until `look_no_more`."""
        for shape, table in later.items():
            self._books[shape].later.append(table)

    def look_no_more(self, later: Later) -> None:
        """End `look_back`. Idempotent."""
        for shape, table in later.items():
            if shape in self._books:
                kept = self._books[shape].later
                kept[:] = [one for one in kept if one is not table]

    def apply_earlier(self, entry: Entry, later: Later) -> None:
        """Take *entry* out of *later*, and write on it the balances that it left.

        Args:
            entry: An entry that the balances count.
            later: What they count beyond the place before it; afterwards, beyond it.
        """
        for shape, table in later.items():
            table.take(counted_moves(shape, entry))
            if isinstance(entry, JournalEntry) and entry.book == shape.name:
                self._books[shape].note_rows(entry, later=table)

    @staticmethod
    def _apply(book: BookBalances, entry: Entry) -> None:
        if entry.position.sort_key <= book.through.sort_key:
            return
        book.count(entry)
        if isinstance(entry, JournalEntry) and entry.book == book.shape.name:
            book.note_rows(entry)


def counted_moves(shape: BookShape, entry: Entry) -> tuple[LegMove, ...]:
    """Return what *entry* adds to the balances of a book.

    Raises:
        UnreadableDocumentError: If an amount is no number.
    """
    return moves_of(shape, of_book(shape, entry.counted))


def of_book(shape: BookShape, legs: Iterable[Document]) -> list[Document]:
    """Return those of *legs* that are of the book."""
    return [leg for leg in legs if leg.get("book") == shape.name]

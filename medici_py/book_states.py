"""Reads and stores how books are kept, and remembers it for a few seconds."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from medici_py.book_state import BookState
from medici_py.driver import Collection
from medici_py.errors import RunningBalancesError

_logger = logging.getLogger(__name__)

REMEMBERED_SECS = 10.0


class BookStates:
    """The states of the books of one database, as this process knows them.

    A state changes only when somebody rebuilds the balances of a book, and that is noticed within
    `REMEMBERED_SECS`.

    Args:
        books: ``medici_py_books``.
        legs: ``medici_transactions``.
        monotonic: A clock, in seconds.
    """

    def __init__(
        self, books: Collection, legs: Collection, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        majority = ReadConcern("majority")
        self._books = books.with_options(
            read_preference=ReadPreference.PRIMARY,
            read_concern=majority,
            write_concern=WriteConcern("majority", j=True),
        )
        self._legs = legs.with_options(read_preference=ReadPreference.PRIMARY, read_concern=majority)
        self._monotonic = monotonic
        self._known: dict[str, tuple[float, BookState]] = {}
        self._warned: set[str] = set()

    async def for_reading(self, book: str) -> BookState | None:
        """Return the state of *book*; None if nothing has been posted through this library yet."""
        return self.remembered(book) or await self._read(book)

    def remembered(self, book: str) -> BookState | None:
        """Return the state of *book* if it was read a moment ago."""
        remembered = self._known.get(book)
        if remembered is not None and self._monotonic() - remembered[0] < REMEMBERED_SECS:
            return remembered[1]
        return None

    async def for_posting(self, book: str, *, running_balances: bool, fields: tuple[str, ...]) -> BookState:
        """Return the state of *book*; what the first entry is to store, if nothing is stored yet.

        Running balances begin with the first entry. A book that has entries already keeps none until they
        are rebuilt. What is assumed is not remembered: somebody else may begin the book at any moment.

        Args:
            book: Its name.
            running_balances: Whether the caller is sure that this library alone writes the book.
            fields: Where its legs store the dimensions.

        Raises:
            RunningBalancesError: If the book keeps running balances and the caller would not.
        """
        state = await self.for_reading(book)
        if state is None:
            state = await self._assumed(book, running_balances=running_balances, fields=fields)
        if state.running_balances and not running_balances:
            raise RunningBalancesError(
                f"Book {book!r} keeps running balances, which a poster without them would falsify. Open it "
                "with running_balances=True; or, if Node's medici is to write it, stop all its writers and "
                "run rebuild_balances() of a Book(running_balances=False) once, which drops them."
            )
        return state

    async def begin(self, assumed: BookState) -> BookState:
        """Store *assumed* unless somebody else has begun the book, and return what is stored.

        In no transaction: one that stays open would hold up everybody else who begins the book.
        """
        if (known := self.remembered(assumed.book)) is not None:
            return known
        try:
            await self._books.insert_one(assumed.to_document())
        except DuplicateKeyError:
            stored = await self._read(assumed.book)  # Another process was faster.
            if stored is None:
                raise
            return stored
        begun = replace(assumed, is_assumed=False)
        self._known[assumed.book] = (self._monotonic(), begun)
        return begun

    def forget(self, book: str) -> None:
        """Read the state of *book* again before it is used the next time."""
        self._known.pop(book, None)

    async def _read(self, book: str) -> BookState | None:
        found = await self._books.find_one({"_id": book})
        if found is None:
            self._known.pop(book, None)
            return None
        state = BookState.from_document(found)
        self._known[book] = (self._monotonic(), state)
        return state

    async def _assumed(self, book: str, *, running_balances: bool, fields: tuple[str, ...]) -> BookState:
        older = running_balances and await self._legs.find_one({"book": book}, {"_id": 1}) is not None
        if older and book not in self._warned:
            self._warned.add(book)
            _logger.warning(
                "Book %r has entries from before its running balances: balances are summed over the entries "
                "until rebuild_balances() has run (medici rebuild).",
                book,
            )
        return BookState(book, running_balances and not older, fields, is_assumed=True)

"""What a book is doing right now, so that closing it can wait for that."""

import asyncio
from types import TracebackType

from medici_py.errors import BookClosedError


class UnderWay:
    """Counts calls that write; a context manager around each of them.

    Args:
        book: Name of the book, for the error.
    """

    def __init__(self, book: str) -> None:
        self._book = book
        self._calls = 0
        self._closed = False
        self._ended: asyncio.Event | None = None

    def __enter__(self) -> None:
        """Begin a call.

        Raises:
            BookClosedError: If the book was closed.
        """
        if self._closed:
            raise BookClosedError(f"Book {self._book!r} was closed; open another Book to write more.")
        self._calls += 1

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End a call."""
        self._calls -= 1
        if not self._calls and self._ended is not None:
            self._ended.set()

    async def close(self) -> None:
        """Refuse further calls, and wait until those under way have ended. Idempotent."""
        self._closed = True
        if self._calls:
            if self._ended is None:
                self._ended = asyncio.Event()
            await self._ended.wait()

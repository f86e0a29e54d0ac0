"""The order book as a numbered sequence: each state of it has an id, the next one a greater one.

Source: OKX API v5, "Order book channel": ``seqId`` and ``prevSeqId``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablesats.okx_simulator.book import Book, Level

_FIRST_SEQUENCE: Final = 1_000


class BookTape:
    """Numbers the states of the book in the order in which they are seen.

    Args:
        book: The book as it stands.
    """

    def __init__(self, book: Callable[[], Book]) -> None:
        self._book = book
        self._seen: Book | None = None
        self._sequence = _FIRST_SEQUENCE

    def current(self) -> tuple[Book, int]:
        """Return the book and its number; the number is the same as long as the book is."""
        book = self._book()
        if book != self._seen:
            self._seen = book
            self._sequence += 1
        return book, self._sequence


def level_changes(before: tuple[Level, ...], after: tuple[Level, ...]) -> tuple[Level, ...]:
    """Return what turns *before* into *after*: changed levels, and those that are gone with no contracts.

    The result comes in *after*'s order, then what was removed.
    """
    old = {level.price_usd: level for level in before}
    changed = [level for level in after if old.pop(level.price_usd, None) != level]
    removed = [type(level)(level.price_usd, level.contracts * 0, 0) for level in old.values()]
    return (*changed, *removed)

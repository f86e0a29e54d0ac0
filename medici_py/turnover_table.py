"""The turnover of a book in memory, by account and dimension values; a question covers descendants."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from medici_py.accounts import Path
from medici_py.money import EXACT, ZERO, plain
from medici_py.sums import Sums

DimensionValues: TypeAlias = tuple[Hashable, ...]
"""Values of a book's dimensions, in the book's order; None where a leg has none."""


@dataclass(slots=True)
class _Cell:
    debit: Decimal = ZERO
    credit: Decimal = ZERO
    notes: int = 0

    def add(self, sums: Sums) -> None:
        self.debit = EXACT.add(self.debit, sums.debit)
        self.credit = EXACT.add(self.credit, sums.credit)
        self.notes += sums.notes

    def sums(self) -> Sums:
        return Sums(plain(self.debit), plain(self.credit), self.notes)


class TurnoverTable:
    """Sums of one book's legs; adding a leg costs its account's depth, a question what it asks for.

    Args:
        dimensions: Names of the book's dimensions.
    """

    def __init__(self, dimensions: tuple[str, ...]) -> None:
        self._dimensions = dimensions
        self._own: dict[tuple[Path, DimensionValues], _Cell] = {}
        self._with_descendants: dict[Path, dict[DimensionValues, _Cell]] = {}

    def add(self, path: Path, values: DimensionValues, sums: Sums) -> None:
        """Add the turnover of legs on *path* with *values* of the dimensions."""
        self._own.setdefault((path, values), _Cell()).add(sums)
        for depth in range(len(path) + 1):
            cells = self._with_descendants.setdefault(path[:depth], {})
            cells.setdefault(values, _Cell()).add(sums)

    def sums(self, path: Path, wanted: Mapping[str, Hashable]) -> Sums:
        """Return the turnover of *path* and everything below it; ``()`` is the whole book.

        Args:
            path: The account.
            wanted: The values that some dimensions must have.

        Raises:
            KeyError: If the book has no dimension of a name in *wanted*.
        """
        conditions = [(self._index(name), value) for name, value in wanted.items()]
        total = _Cell()
        for values, cell in self._with_descendants.get(path, {}).items():
            if all(values[index] == value for index, value in conditions):
                total.add(cell.sums())
        return total.sums()

    def __iter__(self) -> Iterator[tuple[Path, DimensionValues, Sums]]:
        """Yield the turnover of each account itself, without what lies below it."""
        for (path, values), cell in self._own.items():
            yield path, values, cell.sums()

    def _index(self, name: str) -> int:
        try:
            return self._dimensions.index(name)
        except ValueError:
            raise KeyError(name) from None

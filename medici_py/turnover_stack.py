"""Adds the turnover of single accounts to everything above them, in one pass and little memory. Pure.

What comes in is in **descending order**: ``["A", "B"]`` before ``["A"]``, and both before ``[]``, the whole
book. That is the order of the ids of `medici_py.running_rows` read backwards, and what comes out has it too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import localcontext
from typing import Any

from medici_py.accounts import Path, covers
from medici_py.money import EXACT
from medici_py.running_rows import RowKey, Turnover
from medici_py.turnover_table import DimensionValues

RowOrder = tuple[Path, tuple[tuple[bool, Any], ...]]


def row_order(key: RowKey) -> RowOrder:
    """Return what sorts accounts and dimension values (text or None) as MongoDB sorts the ids of rows.

    Text compares by its UTF-8 bytes, which is the order of code points; null comes before text, and an
    array before every longer one that begins with it.
    """
    path, values = key
    return path, _values_order(values)


def _values_order(values: DimensionValues) -> tuple[tuple[bool, Any], ...]:
    return tuple((value is not None, "" if value is None else value) for value in values)


@dataclass(slots=True)
class _Frame:
    path: Path
    sums: dict[DimensionValues, Turnover]

    def add(self, values: DimensionValues, turnover: Turnover) -> None:
        total = self.sums.setdefault(values, Turnover())
        total.debit += turnover.debit
        total.credit += turnover.credit
        total.size += turnover.size
        total.notes += turnover.notes

    def complete(self) -> list[tuple[RowKey, Turnover]]:
        ordered = sorted(self.sums, key=_values_order, reverse=True)
        return [((self.path, values), self.sums[values]) for values in ordered]


class TurnoverStack:
    """Takes the turnover of accounts themselves, gives that of accounts with everything below them.

    Holds the accounts from the book down to the newest one, in each combination of values that was met:
    memory grows with the depth of accounts, not with their number.
    """

    def __init__(self) -> None:
        self._frames: list[_Frame] = []

    def add(self, key: RowKey, own: Turnover) -> list[tuple[RowKey, Turnover]]:
        """Add an account's own turnover and return what is complete now, in descending order.

        Args:
            key: The account and its values; not greater than the one before, by `row_order`.
            own: Without what lies below it.
        """
        path, values = key
        with localcontext(EXACT):
            complete = list(self._complete_until(path))
            for depth in range(len(self._frames), len(path) + 1):
                self._frames.append(_Frame(path[:depth], {}))
            self._frames[-1].add(values, own)
        return complete

    def finish(self) -> list[tuple[RowKey, Turnover]]:
        """Return what remains: the accounts above the newest one, the book last."""
        with localcontext(EXACT):
            return list(self._complete_until(None))

    def _complete_until(self, path: Path | None) -> Iterator[tuple[RowKey, Turnover]]:
        while self._frames and (path is None or not covers(self._frames[-1].path, path)):
            frame = self._frames.pop()
            if self._frames:
                for values, turnover in frame.sums.items():
                    self._frames[-1].add(values, turnover)
            yield from frame.complete()

"""Balances that follow journals one by one, and what each journal moves. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from medici_py.accounts import Path
from medici_py.change_events import Document
from medici_py.money import EXACT, ZERO, plain
from medici_py.sums import leg_sums
from medici_py.turnover_snapshot import BookShape, path_of
from medici_py.turnover_table import DimensionValues, TurnoverTable

Cell: TypeAlias = tuple[Path, DimensionValues]
"""An account and the dimension values of a balance."""

_WHOLE = Decimal(1)


@dataclass(frozen=True, slots=True)
class LegMove:
    """What a leg adds to its account and to everything above it: credit minus debit."""

    path: Path
    values: DimensionValues
    amount: Decimal


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """The balance of an account after a journal, and the number of legs behind it."""

    path: Path
    values: DimensionValues
    balance: Decimal
    notes: int


class BalanceTable:
    """Balances of accounts, descendants included; it holds no more than the accounts that have legs."""

    def __init__(self) -> None:
        self._cells: dict[Cell, tuple[Decimal, int]] = {}

    @classmethod
    def of(cls, turnover: TurnoverTable) -> "BalanceTable":
        """Return the balances of a whole book."""
        table = cls()
        for path, values, sums in turnover:
            table._add(path, values, EXACT.subtract(sums.credit, sums.debit), sums.notes)
        return table

    def __len__(self) -> int:
        return len(self._cells)

    def add(self, moves: Iterable[LegMove]) -> None:
        """Count legs."""
        for move in moves:
            self._add(move.path, move.values, move.amount, 1)

    def take(self, moves: Iterable[LegMove]) -> None:
        """Count legs no longer."""
        for move in moves:
            self._add(move.path, move.values, move.amount.copy_negate(), -1)

    def balance(self, cell: Cell) -> tuple[Decimal, int]:
        """Return the balance of an account and the number of its legs."""
        return self._cells.get(cell, (ZERO, 0))

    def _add(self, path: Path, values: DimensionValues, amount: Decimal, notes: int) -> None:
        for depth in range(1, len(path) + 1):
            cell = path[:depth], values
            balance, count = self._cells.get(cell, (ZERO, 0))
            if count + notes:
                self._cells[cell] = EXACT.add(balance, amount), count + notes
            else:
                self._cells.pop(cell, None)


def moves_of(shape: BookShape, legs: Iterable[Document]) -> tuple[LegMove, ...]:
    """Return what stored *legs* add to the balances of a book.

    Raises:
        UnreadableDocumentError: If an amount is no number.
    """
    moves = []
    for leg in legs:
        sums = leg_sums(leg)
        amount = EXACT.subtract(sums.credit, sums.debit)
        moves.append(LegMove(path_of(leg), shape.values_of(leg), amount))
    return tuple(moves)


def balance_rows(
    table: BalanceTable, moves: Sequence[LegMove], *, later: BalanceTable | None = None
) -> tuple[BalanceRow, ...]:
    """Return the balances that *moves* touched: of each account and of everything above it.

    Accounts come sorted by path, one above others before them; an account's dimension values in the order
    in which the legs have them.

    Args:
        table: Balances that count *moves*, and perhaps more.
        moves: What one journal added.
        later: What *table* counts beyond that journal.
    """
    touched = dict.fromkeys(
        (move.path[:depth], move.values) for move in moves for depth in range(1, len(move.path) + 1)
    )
    return tuple(_row(table, cell, later) for cell in sorted(touched, key=_path))


def _path(cell: Cell) -> Path:
    return cell[0]


def _row(table: BalanceTable, cell: Cell, later: BalanceTable | None) -> BalanceRow:
    balance, notes = table.balance(cell)
    if later is not None:
        beyond, notes_beyond = later.balance(cell)
        balance, notes = EXACT.subtract(balance, beyond), notes - notes_beyond
    return BalanceRow(*cell, balance if balance.same_quantum(_WHOLE) else plain(balance), notes)

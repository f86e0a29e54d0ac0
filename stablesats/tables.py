"""Printing tables for people: a number or an id is shown whole, or it would be read as another one."""

from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table

_ANY_WIDTH: Final = 1_000_000


def print_whole(table: Table, console: Console) -> None:
    """Print *table* without cutting a word in it, however narrow the terminal; a pipe gets one line a row.

    On a terminal that is too narrow the text of one column is broken between words. What is in the cells is
    no markup.
    """
    giving_way = max(table.columns, key=lambda column: _widest_cell(column) - _widest_word(column))
    for column in table.columns:
        column.no_wrap = column is not giving_way
        column.min_width = _widest_cell(column) if column.no_wrap else _widest_word(column)
    # Asked without the terminal's own width, which would bound the answer.
    wanted = Measurement.get(console, console.options.update(max_width=_ANY_WIDTH), table)
    console.width = max(console.width, wanted.minimum if console.is_terminal else wanted.maximum)
    console.print(table, markup=False)


def _widest_cell(column: Column) -> int:
    return max(cell_len(str(cell)) for cell in (column.header, *column.cells))


def _widest_word(column: Column) -> int:
    words = (word for cell in (column.header, *column.cells) for word in str(cell).split())
    return max(map(cell_len, words), default=0)

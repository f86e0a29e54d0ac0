"""Tables for people: no digit of a number is ever cut."""

import io

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stablesats.tables import print_whole

WORDS = (
    "-1,000,000,000,000",
    "order-0123456789abcdef",
    "some words that may be on several lines",
    "of two such texts one gives way",
)


def printed(width: int, *, terminal: bool) -> list[str]:
    table = Table("amount", "id", "what", "why", box=None)
    table.add_row(WORDS[0], Text(WORDS[1]), *WORDS[2:])
    written = io.StringIO()
    console = Console(file=written, width=width, force_terminal=terminal, color_system=None, no_color=True)
    print_whole(table, console)
    return written.getvalue().splitlines()


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 200])
def test_no_word_is_cut_on_a_terminal(width: int) -> None:
    """Text goes on in the next line; a number or an id has only one."""
    found = [word for line in printed(width, terminal=True)[1:] for word in line.split()]
    assert sorted(found) == sorted(" ".join(WORDS).split())


@pytest.mark.parametrize("width", [1, 80, 200])
def test_pipe_gets_one_line_a_row(width: int) -> None:
    """For whoever reads it with a program."""
    _, line = printed(width, terminal=False)
    assert line.split() == " ".join(WORDS).split()


def test_table_without_rows_is_its_heads() -> None:
    """Nothing to measure, nothing to fail on."""
    written = io.StringIO()
    print_whole(Table("", "b", box=None), Console(file=written, width=5))
    assert written.getvalue().split() == ["b"]

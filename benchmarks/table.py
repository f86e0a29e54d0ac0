"""Tables of measurements, the same on the terminal and in the documents."""

from collections.abc import Sequence
from dataclasses import dataclass

Cell = str | int | float | None

_SMALL = 100
"""Below this a number is shown with three significant digits, from here on as a whole number."""


@dataclass(frozen=True)
class Table:
    """Measurements under a title.

    Attributes:
        title: What they are of.
        columns: Headings, with units.
        rows: A cell a column; None where nothing was measured.
        note: What a reader has to know beside the numbers.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def to_markdown(self) -> str:
        """Return the table with aligned columns, and its note, without its title."""
        texts = [list(self.columns), *([cell_text(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[index]) for row in texts) for index in range(len(self.columns))]
        numeric = [
            all(not isinstance(row[index], str) for row in self.rows) for index in range(len(self.columns))
        ]
        rule = [
            "-" * (width - 1) + ":" if right else "-" * width
            for width, right in zip(widths, numeric, strict=True)
        ]
        lines = [_line(row, widths, numeric) for row in (texts[0], rule, *texts[1:])]
        note = ["", self.note] if self.note else []
        return "\n".join([*lines, *note])

    def titled(self) -> str:
        """Return it as it is printed."""
        return f"{self.title}\n\n{self.to_markdown()}"


def cell_text(cell: Cell) -> str:
    """Return *cell* as it is read: 12 345, 3.21, or a dash if nothing was measured."""
    match cell:
        case None:
            return "-"
        case str():
            return cell
        case float() if 0 < abs(cell) < _SMALL:
            return f"{cell:#.3g}".rstrip(".")
        case _:
            return f"{cell:,.0f}".replace(",", " ")


def _line(texts: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    cells = (
        text.rjust(width) if right else text.ljust(width)
        for text, width, right in zip(texts, widths, numeric, strict=True)
    )
    return f"| {' | '.join(cells)} |"

"""Bytes of a growing file, cut into lines. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from stablesats.trades.trade_lines import LARGEST_LINE_BYTES

_NEWLINE: Final = b"\n"
_KEPT_BYTES: Final = LARGEST_LINE_BYTES + 1
"""Of a line: one byte more than may be read, so that its reader sees that it is too long."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        number: Counted from 1.
        raw: Its bytes without the line break; of a line that is too long only the beginning.
        end_offset: Where the next line begins, in bytes from the start of the file.
    """

    number: int
    raw: bytes
    end_offset: int


class LineSplitter:
    """Takes chunks as they are read and gives complete lines; never holds much more than one line may have.

    Attributes:
        offset: Where the first line begins that has not been given yet, in bytes.
        lines: How many lines come before it.
    """

    def __init__(self, *, offset: int = 0, lines: int = 0) -> None:
        """Go on at *offset* of the file, which *lines* lines precede."""
        self.offset = offset
        self.lines = lines
        self._kept = b""
        self._held_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Take the next bytes of the file and give the lines that end in them."""
        *complete, rest = chunk.split(_NEWLINE)
        for part in complete:
            self._hold(part)
            self.offset += self._held_bytes + len(_NEWLINE)
            self.lines += 1
            yield Line(self.lines, self._kept, self.offset)
            self._kept, self._held_bytes = b"", 0
        self._hold(rest)

    def unfinished(self) -> Line | None:
        """The bytes after the last line break, as the line that they would be; None if there are none."""
        if not self._held_bytes:
            return None
        return Line(self.lines + 1, self._kept, self.offset + self._held_bytes)

    def _hold(self, part: bytes) -> None:
        self._held_bytes += len(part)
        self._kept += part[: _KEPT_BYTES - len(self._kept)]

"""One file that somebody else writes: read on from where it was left, whatever happened to it meanwhile.

A position holds if the bytes before it are those that were read. The last 256 of them stand for all: their
digest is compared before every read, which finds a file that was cut, written anew or exchanged by another
one under the same name, also while nobody looked; such a file is read from its start.

A file that was moved away is kept open and read on: its writer may go on writing into it until somebody tells
it (logrotate moves first and signals then). It is done with when another file is there under the path and it
has given nothing for some seconds; only then is the other one read. One that was moved away while nobody had
it open is looked for among its neighbours, and read on in the same way. Blocking calls; run them in a thread.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from stablesats.trades.file_tail import NO_TAIL, open_moved, tail_digest
from stablesats.trades.line_splitter import Line, LineSplitter

_log = structlog.get_logger(__name__)

_CHUNK_BYTES: Final = 65_536

MOVED_QUIET_SECS: Final = 10.0
"""How long a file that was moved away and replaced must have given nothing before it is done with."""


@dataclass(frozen=True, slots=True)
class FilePosition:
    """How far a file was read.

    Attributes:
        offset: Bytes.
        lines: Complete lines in them.
        tail_sha256: Digest of the last bytes of them, up to 256.
    """

    offset: int = 0
    lines: int = 0
    tail_sha256: str = NO_TAIL

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any] | None) -> "FilePosition":
        """Read what `to_stored` gave; the start of the file for None or for anything else."""
        match stored:
            case {"offset": int(offset), "lines": int(lines), "tail_sha256": str(digest)}:
                return cls(offset, lines, digest)
            case _:
                return cls()

    def to_stored(self) -> dict[str, Any]:
        """The position as MongoDB keeps it."""
        return {"offset": self.offset, "lines": self.lines, "tail_sha256": self.tail_sha256}


@dataclass(frozen=True, slots=True)
class LinesRead:
    """What one read gave.

    Attributes:
        lines: Lines, in order; none at the end of the file.
        position: After the last of them that is complete.
    """

    lines: tuple[Line, ...]
    position: FilePosition


class GrowingFile:
    """Reads one path, a chunk at a time.

    Attributes:
        path: The path.
    """

    def __init__(
        self,
        path: Path,
        position: FilePosition,
        *,
        moved_quiet_secs: float = MOVED_QUIET_SECS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read *path* on from *position*, if it holds; *clock* gives seconds and only goes forward."""
        self.path = path
        self._moved_quiet_secs = moved_quiet_secs
        self._clock = clock
        self._quiet_since: float | None = None
        self._position = position
        self._descriptor: int | None = None
        self._finished_moved = False
        self._splitter = LineSplitter()
        self._read_to = 0
        self._digest_read = ""
        self._found_at_end: _Found | None = None

    @property
    def may_have_more(self) -> bool:
        """Whether anything about the file changed since its end was read. Costs one system call.

        Raises:
            OSError: If the file is there and cannot be looked at.
        """
        return self._found_at_end is None or self._found_at_end != _found(self.path)

    @property
    def is_open(self) -> bool:
        """Whether a file is open; none is between one that was moved away and the one in its place."""
        return self._descriptor is not None

    def read(self, *, to_the_end: bool) -> LinesRead:
        """Read the next lines.

        Args:
            to_the_end: Take bytes at the end without a line break for a line, too. The position stays
                before it: if the file grows after all, it is read again as a whole.

        Returns:
            No lines where there are no more, or where the file does not exist.

        Raises:
            OSError: If it cannot be read.
        """
        found = _found(self.path)
        if self._descriptor is None and not self._open():
            self._found_at_end = found
            return LinesRead((), self._position)
        self._go_back_to_what_holds()
        while chunk := os.pread(self._opened, _CHUNK_BYTES, self._read_to):
            self._quiet_since = None
            self._read_to += len(chunk)
            self._digest_read = self._digest_before(self._read_to)
            if lines := tuple(self._splitter.feed(chunk)):
                self._position = FilePosition(
                    self._splitter.offset, self._splitter.lines, self._digest_before(self._splitter.offset)
                )
                return LinesRead(lines, self._position)
        return self._at_end(found, to_the_end=to_the_end)

    def close(self) -> None:
        """Close the file; a later `read` opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self._quiet_since = None

    @property
    def _opened(self) -> int:
        assert self._descriptor is not None
        return self._descriptor

    def _open(self) -> bool:
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        self._go_to(self._position)
        if not self._finished_moved and self._digest_before(self._read_to) != self._digest_read:
            self._open_moved_instead()
        self._finished_moved = False
        return True

    def _open_moved_instead(self) -> None:
        """Go on in the file that was read before, if it was only moved away."""
        moved = open_moved(self.path, self._read_to, self._digest_read)
        if moved is None:
            # It may have been cut or written anew; or moved out of sight, with lines that nobody has read.
            _log.warning("trade file is another one", action="trades-file-replaced", file=str(self.path))
            return
        os.close(self._opened)
        self._descriptor = moved

    def _go_to(self, position: FilePosition) -> None:
        self._position = position
        self._splitter = LineSplitter(offset=position.offset, lines=position.lines)
        self._read_to = position.offset
        self._digest_read = position.tail_sha256

    def _go_back_to_what_holds(self) -> None:
        """Forget what was read and is not there any more: half a line, or everything."""
        if self._digest_before(self._read_to) == self._digest_read:
            return
        self._go_to(self._position)
        if self._digest_before(self._read_to) != self._digest_read:
            self._go_to(FilePosition())

    def _digest_before(self, offset: int) -> str:
        return tail_digest(self._opened, offset)

    def _at_end(self, found: "_Found", *, to_the_end: bool) -> LinesRead:
        opened = os.fstat(self._opened)
        moved = (opened.st_dev, opened.st_ino) != found[:2]
        if moved and not to_the_end and not self._is_done_with(opened, found):
            return LinesRead((), self._position)
        unfinished = self._splitter.unfinished() if to_the_end or moved else None
        if moved:
            # What is written under the path from now on is another file.
            self.close()
            self._finished_moved = True
        else:
            self._found_at_end = found
        if unfinished is None:
            # To whoever reads to the end, an empty answer is the end: also of the file in its place.
            return self.read(to_the_end=True) if moved and to_the_end else LinesRead((), self._position)
        self._go_to(self._position)
        return LinesRead((unfinished,), self._position)

    def _is_done_with(self, moved: os.stat_result, found: "_Found") -> bool:
        """Whether the file that was *moved* away will hardly give any more."""
        if found == _NOTHING and moved.st_nlink:
            self._quiet_since = None
            return False
        now = self._clock()
        if self._quiet_since is None:
            self._quiet_since = now
        return now - self._quiet_since >= self._moved_quiet_secs


_Found = tuple[int, int, int, int]
"""What is found under a path: device, inode, size, time of the last change; zeros if nothing is."""

_NOTHING: Final[_Found] = (0, 0, 0, 0)


def _found(path: Path) -> _Found:
    try:
        there = path.stat()
    except FileNotFoundError:
        return _NOTHING
    return (there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns)

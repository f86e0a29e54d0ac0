"""Trades from JSON-lines files: one file, or all ``*.jsonl`` of a folder in the order of their names."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

from stablesats.errors import ConfigurationError, StablesatsError
from stablesats.trades.growing_file import MOVED_QUIET_SECS, FilePosition, GrowingFile, LinesRead
from stablesats.trades.trade_lines import malformed, read_line
from stablesats.trades.trade_source import Delivery, Place, Position, SourceItem

_log = structlog.get_logger(__name__)

LOOK_EVERY_SECS: Final = 0.25
"""How often files that stand still are looked at."""

_MOST_OPEN_FILES: Final = 64
"""Of a folder: those that grew last stay open, so that nothing is missed when they are moved away."""


class UnreadableTradesError(StablesatsError):
    """A trade file cannot be read; the message names it."""


class JsonLinesSource:
    """A `TradeSource` over a file or a folder. For one consumer.

    Read once, it ends at the end of the last file, whose last line needs no line break then. Followed, it
    goes on for ever: a line counts once its line break is there, files may grow, be added, be cut, or be
    moved away with another one taking their place; the folder may go and come back. Files of a folder whose
    names begin with a dot are left alone: somebody is still writing them. A file that was moved away while
    nobody followed it is read on under its new name, if that is in the same folder and begins alike.
    """

    def __init__(
        self,
        path: Path,
        *,
        follow: bool,
        look_every_secs: float = LOOK_EVERY_SECS,
        moved_quiet_secs: float = MOVED_QUIET_SECS,
    ) -> None:
        """Read *path*.

        Args:
            path: A file, or a folder.
            follow: Go on for ever, rather than end at the end.
            look_every_secs: How often files that stand still are looked at.
            moved_quiet_secs: How long a file that was moved away and replaced is read on without giving
                anything, before the one in its place is read.

        Raises:
            ConfigurationError: If there is no such file or folder, or it cannot be read.
        """
        self._path = Path(os.path.abspath(path))  # noqa: PTH100 - links stay what they are called
        self._follow = follow
        self._look_every_secs = look_every_secs
        self._moved_quiet_secs = moved_quiet_secs
        self._is_folder = path.is_dir()
        self._files: dict[Path, GrowingFile] = {}
        self._open: dict[Path, GrowingFile] = {}
        self._unreadable: set[Path] = set()
        _require_readable(path)

    @property
    def name(self) -> str:
        """The absolute path."""
        return _text(self._path)

    async def deliveries(self, positions: Mapping[str, Position]) -> AsyncGenerator[Delivery, None]:
        """Hand out the lines after *positions*; a stream is a file's name."""
        self._files, self._open = {}, {}
        await self._warn_of_empty_folder()
        try:
            while True:
                grew = False
                for file in await self._look(positions):
                    while (read := await self._read(file)).lines:
                        grew = True
                        yield _delivery(file.path, read)
                        if not self._follow and _ended_unfinished(read) and file.is_open:
                            break
                if not self._follow:
                    return
                if not grew:
                    await asyncio.sleep(self._look_every_secs)
        finally:
            for file in self._files.values():
                file.close()

    async def _look(self, positions: Mapping[str, Position]) -> list[GrowingFile]:
        try:
            await asyncio.to_thread(self._find_files, positions)
        except OSError as error:
            self._report_unreadable(self._path, error)
        else:
            if self._is_folder:
                self._unreadable.discard(self._path)
        # Files that are gone among them: what was written before they went may not have been read yet.
        return await asyncio.to_thread(self._changed_files)

    def _find_files(self, positions: Mapping[str, Position]) -> None:
        for path in self._paths():
            if path not in self._files:
                position = FilePosition.from_stored(positions.get(_text(path.name)))
                self._files[path] = GrowingFile(path, position, moved_quiet_secs=self._moved_quiet_secs)

    def _changed_files(self) -> list[GrowingFile]:
        return [self._files[path] for path in sorted(self._files) if _may_have_more(self._files[path])]

    def _paths(self) -> list[Path]:
        if not self._is_folder:
            return [self._path]
        return [
            path
            for path in self._path.iterdir()
            if path.suffix == ".jsonl" and not path.name.startswith(".") and path.is_file()
        ]

    async def _warn_of_empty_folder(self) -> None:
        try:
            empty = not await asyncio.to_thread(self._paths)
        except OSError:
            return  # which is said when it is looked into
        if empty:
            _log.warning(
                "no trades: the folder has no *.jsonl", action="trades-folder-empty", folder=str(self._path)
            )

    async def _read(self, file: GrowingFile) -> LinesRead:
        try:
            read = await _uninterrupted(lambda: file.read(to_the_end=not self._follow))
        except OSError as error:
            return self._set_back(file, error)
        self._unreadable.discard(file.path)
        self._keep_open(file, grew=bool(read.lines))
        return read

    def _set_back(self, file: GrowingFile, error: OSError) -> LinesRead:
        file.close()
        self._report_unreadable(file.path, error)
        return LinesRead((), FilePosition())

    def _report_unreadable(self, path: Path, error: OSError) -> None:
        """Say so once until it is readable again; whoever does not follow is told by an error."""
        msg = f"trades in {path} cannot be read: {error.strerror or error}"
        if not self._follow:
            raise UnreadableTradesError(msg) from error
        if path not in self._unreadable:
            self._unreadable.add(path)
            _log.warning("trades cannot be read", action="trades-unreadable", error=msg)

    def _keep_open(self, file: GrowingFile, *, grew: bool) -> None:
        """Keep the files open that grew last, and others while there are few; close the rest."""
        if grew:
            self._open.pop(file.path, None)
        elif file.path in self._open:
            return
        elif len(self._open) >= _MOST_OPEN_FILES:
            file.close()
            return
        self._open[file.path] = file
        if len(self._open) > _MOST_OPEN_FILES:
            self._open.pop(next(iter(self._open))).close()


def _delivery(path: Path, read: LinesRead) -> Delivery:
    where = _text(path)
    items = (_item(line.raw, Place(where, line.number)) for line in read.lines)
    return Delivery(
        _text(path.name), tuple(item for item in items if item is not None), read.position.to_stored()
    )


def _item(raw: bytes, place: Place) -> SourceItem | None:
    try:
        return read_line(raw, place)
    except Exception as error:  # noqa: BLE001 - whatever a line does to its reader, the others are read
        _log.exception("a line broke its reader", action="trade-line-failed", line=str(place))
        return malformed(raw, place, f"cannot be read: {type(error).__name__}: {error}")


def _ended_unfinished(read: LinesRead) -> bool:
    return read.lines[-1].end_offset > read.position.offset


def _require_readable(path: Path) -> None:
    wanted = "give a file of JSON lines or a folder of *.jsonl"
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        elif path.exists() and not path.is_file():
            raise ConfigurationError(f"trades cannot be read from {path}: neither file nor folder; {wanted}")
        else:
            path.open("rb").close()
    except OSError as error:
        msg = f"trades cannot be read from {path}: {error.strerror or error}; {wanted}"
        raise ConfigurationError(msg) from error


def _may_have_more(file: GrowingFile) -> bool:
    try:
        return file.may_have_more
    except OSError:
        return True  # reading it says what is wrong with it, and with no other file


def _text(path: Path | str) -> str:
    """A path as a text that can be stored: what is not UTF-8 in it is replaced."""
    return str(path).encode("utf-8", errors="replace").decode()


async def _uninterrupted(read: Callable[[], LinesRead]) -> LinesRead:
    """Run *read* in a thread, to its end even if the caller is cancelled: the file is closed after that."""
    task = asyncio.ensure_future(asyncio.to_thread(read))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise

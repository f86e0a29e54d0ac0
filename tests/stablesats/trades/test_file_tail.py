"""What was read of a file is known again by its last bytes."""

import os
from pathlib import Path

import pytest

from stablesats.trades.file_tail import NO_TAIL, open_moved, tail_digest


def digest(path: Path, offset: int) -> str:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return tail_digest(descriptor, offset)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("offset", [1, 255, 256, 257, 1_000])
def test_digest_is_of_up_to_256_bytes_before_the_offset(tmp_path: Path, offset: int) -> None:
    """What comes after it does not count, and a shorter file never has it."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * 2_000)
    found = digest(path, offset)
    path.write_bytes(b"x" * offset + b"more")
    assert digest(path, offset) == found
    path.write_bytes(b"x" * (offset - 1) + b"y")
    assert digest(path, offset) != found
    path.write_bytes(b"x" * (offset - 1))
    assert digest(path, offset) != found


def test_nothing_read_is_known_of_every_file(tmp_path: Path) -> None:
    """There is nothing that could differ."""
    (tmp_path / "a").write_bytes(b"anything")
    assert digest(tmp_path / "a", 0) == NO_TAIL


class TestMovedFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Where a file of four bytes was."""
        return tmp_path / "trades.jsonl"

    @pytest.fixture
    def tail(self, path: Path) -> str:
        path.write_bytes(b"a\nb\n")
        found = digest(path, 4)
        path.unlink()
        return found

    def opened(self, path: Path, tail: str) -> bytes | None:
        """All of the file that is found, if one is."""
        descriptor = open_moved(path, 4, tail)
        if descriptor is None:
            return None
        try:
            return os.pread(descriptor, 100, 0)
        finally:
            os.close(descriptor)

    def test_longest_with_that_tail_and_a_name_that_begins_alike(self, path: Path, tail: str) -> None:
        """Other contents, other names, folders, pipes and links to nowhere are passed over."""
        path.with_name("trades.other").write_bytes(b"a\nx\nnot this one")
        path.with_name("other.jsonl").write_bytes(b"a\nb\nnot this one")
        path.with_name("trades.d").mkdir()
        path.with_name("trades.gone").symlink_to("nowhere")
        os.mkfifo(path.with_name("trades.pipe"))
        assert self.opened(path, tail) is None
        path.with_name("trades.bak").write_bytes(b"a\nb\n")
        assert self.opened(path, tail) == b"a\nb\n"
        path.with_name("trades.jsonl.1").write_bytes(b"a\nb\nc\n")
        assert self.opened(path, tail) == b"a\nb\nc\n"

    def test_path_itself_is_not_looked_at(self, path: Path, tail: str) -> None:
        """It is another file by now."""
        path.write_bytes(b"a\nb\n")
        assert self.opened(path, tail) is None

    def test_folder_that_is_gone_has_none(self, path: Path, tail: str) -> None:
        """As a volume that is not mounted."""
        assert self.opened(path.parent / "gone" / path.name, tail) is None

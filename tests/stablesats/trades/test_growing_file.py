"""A file that grows, is cut, rewritten, moved away: read on where that is right, from its start where not."""

from pathlib import Path

import pytest
import structlog

from stablesats.trades.growing_file import FilePosition, GrowingFile

LONG = "".join(f"line {number}\n" for number in range(100))


def texts(file: GrowingFile, *, to_the_end: bool = False) -> list[str]:
    """The lines of one read."""
    return [line.raw.decode() for line in file.read(to_the_end=to_the_end).lines]


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.fixture
def file(trade_file: Path) -> GrowingFile:
    return GrowingFile(trade_file, FilePosition(), moved_quiet_secs=0)


@pytest.fixture(autouse=True)
def _closed(file: GrowingFile) -> object:
    yield
    file.close()


def test_growth_is_read_on(file: GrowingFile) -> None:
    """Each line once."""
    append(file.path, "a\nb\n")
    assert texts(file) == ["a", "b"]
    assert texts(file) == []
    append(file.path, "c\n")
    assert texts(file) == ["c"]


def test_line_without_its_break_is_waited_for(file: GrowingFile) -> None:
    """Somebody is writing it."""
    append(file.path, "a\nhal")
    assert texts(file) == ["a"]
    assert texts(file) == []
    append(file.path, "f\n")
    assert texts(file) == ["half"]


def test_last_line_without_its_break_is_read_at_the_end_but_not_passed(file: GrowingFile) -> None:
    """If the file goes on after all, the line is read again as a whole."""
    append(file.path, "a\nhal")
    assert texts(file, to_the_end=True) == ["a"]
    read = file.read(to_the_end=True)
    assert [line.raw for line in read.lines] == [b"hal"]
    assert read.position.offset == 2
    append(file.path, "f\n")
    again = GrowingFile(file.path, read.position)
    assert texts(again) == ["half"]
    again.close()


def test_position_survives_in_stored_form(file: GrowingFile) -> None:
    """The next process reads on, with the right line numbers."""
    append(file.path, "a\nb\n")
    stored = file.read(to_the_end=False).position.to_stored()
    append(file.path, "c\n")
    again = GrowingFile(file.path, FilePosition.from_stored(stored))
    [line] = again.read(to_the_end=False).lines
    assert (line.number, line.raw) == (3, b"c")
    again.close()


@pytest.mark.parametrize("stored", [None, {}, {"offset": "far"}, {"cursor": 5}])
def test_stored_position_of_another_kind_is_the_start(stored: dict[str, object] | None) -> None:
    """A repeat is harmless, a gap is not."""
    assert FilePosition.from_stored(stored) == FilePosition()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: path.write_text("x\ny\n"), id="shorter"),
        pytest.param(lambda path: path.write_text("x" * len(LONG) + "\ny\n"), id="rewritten longer"),
        pytest.param(lambda path: path.write_text(LONG.replace("line 99", "line xx")), id="same length"),
        pytest.param(lambda path: path.write_text(""), id="empty"),
    ],
)
@pytest.mark.parametrize("reopened", [True, False])
def test_rewritten_file_is_read_from_its_start(file: GrowingFile, change: object, reopened: bool) -> None:
    """Also one that is longer than what was read of the old one, or exactly as long."""
    append(file.path, LONG)
    position = file.read(to_the_end=False).position
    assert position.offset == len(LONG)
    change(file.path)  # type: ignore[operator]
    if reopened:
        file.close()
        file = GrowingFile(file.path, position)
    append(file.path, "last\n")
    assert texts(file) == file.path.read_text().splitlines()
    file.close()


def test_half_a_line_that_is_taken_back_is_forgotten(file: GrowingFile) -> None:
    """What stood there when the writer died is not glued to what stands there now."""
    append(file.path, "a\n{half a line that never was fin")
    assert texts(file) == ["a"]
    assert texts(file) == []
    file.path.write_text("a\n{another line}\nand more of them\n")
    assert texts(file) == ["{another line}", "and more of them"]


def test_moved_file_is_read_to_its_end_and_then_the_new_one(file: GrowingFile) -> None:
    """Nothing that was written before the move is missed; its last line needs no break any more."""
    append(file.path, "a\n")
    assert texts(file) == ["a"]
    append(file.path, "b\nc")
    file.path.rename(file.path.with_suffix(".1"))
    file.path.write_text("new\n")
    assert texts(file) == ["b"]
    assert texts(file) == ["c"]
    assert texts(file) == ["new"]


class TestMovedFileThatIsStillWritten:
    """As with logrotate: the file is moved, a new one is made, and only then the writer is told."""

    @pytest.fixture
    def clock(self) -> list[float]:
        """Its only item is the time."""
        return [0.0]

    @pytest.fixture
    def moved(self, trade_file: Path, clock: list[float]) -> GrowingFile:
        return GrowingFile(trade_file, FilePosition(), moved_quiet_secs=10, clock=lambda: clock[0])

    def test_its_lines_are_read_until_it_is_quiet(self, moved: GrowingFile, clock: list[float]) -> None:
        """Each line that it gives begins the wait anew; then comes the other file."""
        with moved.path.open("a") as writer:
            print("a", file=writer, flush=True)
            assert texts(moved) == ["a"]
            moved.path.rename(moved.path.with_suffix(".1"))
            moved.path.write_text("new\n")
            for at, line in ((0.0, "b"), (9.9, "c"), (19.8, "d")):
                clock[0] = at
                assert moved.may_have_more
                assert texts(moved) == []
                print(line, file=writer, flush=True)
                assert texts(moved) == [line]
                assert texts(moved) == []
            writer.write("last")
        clock[0] = 29.7
        assert texts(moved) == []  # its last line may still be half a line
        clock[0] = 39.6
        assert texts(moved) == []
        clock[0] = 39.8
        assert texts(moved) == ["last"]
        assert texts(moved) == ["new"]
        moved.close()

    def test_it_is_kept_while_no_other_file_is_there(self, moved: GrowingFile, clock: list[float]) -> None:
        """However long that takes: there is nothing else to read."""
        with moved.path.open("a") as writer:
            print("a", file=writer, flush=True)
            assert texts(moved) == ["a"]
            moved.path.rename(moved.path.with_suffix(".1"))
            for clock[0] in (1.0, 1_000.0):
                assert texts(moved) == []
                assert moved.may_have_more
            print("b", file=writer, flush=True)
            assert texts(moved) == ["b"]
        moved.close()

    def test_deleted_file_is_kept_for_a_while_only(self, moved: GrowingFile, clock: list[float]) -> None:
        """It takes room on the disk, and nobody can find it any more."""
        append(moved.path, "a\n")
        assert texts(moved) == ["a"]
        moved.path.unlink()
        assert texts(moved) == []
        clock[0] = 10.0
        assert texts(moved) == []
        assert texts(moved) == []
        assert not moved.may_have_more

    def test_read_once_waits_for_nothing(self, moved: GrowingFile) -> None:
        """Its end is the end."""
        append(moved.path, "a\nb")
        assert texts(moved, to_the_end=True) == ["a"]
        moved.path.rename(moved.path.with_suffix(".1"))
        moved.path.write_text("new\n")
        assert texts(moved, to_the_end=True) == ["b"]
        assert texts(moved, to_the_end=True) == ["new"]
        moved.close()


class TestMovedWhileNobodyHadItOpen:
    """As by logrotate between the end of one process and the start of the next."""

    @pytest.fixture
    def read_to(self, file: GrowingFile) -> FilePosition:
        """Two lines were read; a third came after that, and the file was moved and replaced."""
        append(file.path, "a\nb\n")
        position = file.read(to_the_end=False).position
        file.close()
        append(file.path, "c\n")
        file.path.rename(f"{file.path}.1")
        file.path.write_text("new\n")
        return position

    def test_it_is_read_on_until_it_is_quiet_and_then_the_new_one(
        self, trade_file: Path, read_to: FilePosition
    ) -> None:
        """Its writer may have it open still; a process that begins anew does the same again."""
        for _ in range(2):
            clock = [0.0]
            file = GrowingFile(trade_file, read_to, moved_quiet_secs=10, clock=lambda now=clock: now[0])
            [line] = file.read(to_the_end=False).lines
            assert (line.number, line.raw) == (3, b"c")
            assert texts(file) == []
            clock[0] = 9.0
            append(Path(f"{trade_file}.1"), "d\n")
            assert texts(file) == ["d"]
            assert texts(file) == []
            clock[0] = 19.0
            assert texts(file) == []
            read = file.read(to_the_end=False)
            assert ([line.raw for line in read.lines], read.position.offset) == ([b"new"], 4)
            file.close()
            Path(f"{trade_file}.1").write_text("a\nb\nc\n")

    @pytest.mark.parametrize("end", ["", "half"])
    def test_read_once_both_are_read_at_once(self, trade_file: Path, read_to: FilePosition, end: str) -> None:
        """Its end is the end."""
        append(Path(f"{trade_file}.1"), end)
        file = GrowingFile(trade_file, read_to)
        assert texts(file, to_the_end=True) == ["c"]
        if end:
            assert texts(file, to_the_end=True) == [end]
        assert texts(file, to_the_end=True) == ["new"]
        assert texts(file, to_the_end=True) == []
        file.close()

    @pytest.mark.parametrize("name", ["trades-20260901.jsonl", "trades.1.jsonl", "trades.jsonl-2026"])
    def test_its_name_may_be_any_that_begins_alike(
        self, trade_file: Path, read_to: FilePosition, name: str
    ) -> None:
        """As those who rotate files are used to name them."""
        Path(f"{trade_file}.1").rename(trade_file.with_name(name))
        file = GrowingFile(trade_file, read_to)
        assert texts(file) == ["c"]
        file.close()

    def test_one_that_cannot_be_found_is_reported(self, trade_file: Path, read_to: FilePosition) -> None:
        """What it had after the position, nobody has read; the one in its place is read from its start."""
        Path(f"{trade_file}.1").write_bytes(b"compressed")
        file = GrowingFile(trade_file, read_to)
        with structlog.testing.capture_logs() as logs:
            assert texts(file) == ["new"]
            assert texts(file) == []
        assert [(entry["action"], entry["file"]) for entry in logs] == [
            ("trades-file-replaced", str(trade_file))
        ]
        file.close()


def test_file_replaced_by_a_longer_copy_of_itself_is_read_on(file: GrowingFile, tmp_path: Path) -> None:
    """As programs do that never write into a file in place."""
    append(file.path, LONG)
    assert len(texts(file)) == 100
    copy = tmp_path / "copy"
    copy.write_text(LONG + "more\n")
    copy.replace(file.path)
    assert texts(file) == []  # the end of the old one
    assert texts(file) == ["more"]


def test_file_that_is_gone_is_waited_for(file: GrowingFile) -> None:
    """It has no lines until it is back."""
    append(file.path, "a\n")
    assert texts(file) == ["a"]
    file.path.unlink()
    assert texts(file) == []
    assert texts(file) == []
    assert not file.may_have_more
    file.path.write_text("b\n")
    assert file.may_have_more
    assert texts(file) == ["b"]


def test_file_at_rest_is_not_read_again(file: GrowingFile) -> None:
    """One look at its date is enough."""
    append(file.path, "a\n")
    assert file.may_have_more
    assert texts(file) == ["a"]
    assert texts(file) == []
    assert not file.may_have_more
    append(file.path, "b\n")
    assert file.may_have_more


def test_large_file_comes_in_pieces(file: GrowingFile) -> None:
    """No read holds much more than a line may have."""
    rows = [f"{number:09}" for number in range(30_000)]
    append(file.path, "\n".join(rows) + "\n")
    found: list[str] = []
    pieces = 0
    while piece := texts(file):
        found += piece
        pieces += 1
    assert found == rows
    assert pieces > 2


def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    """Not an empty one."""
    file = GrowingFile(tmp_path, FilePosition())  # a folder
    with pytest.raises(OSError, match="directory"):
        file.read(to_the_end=True)
    file.close()

"""Bytes into lines, however they are cut into chunks."""

from hypothesis import given
from hypothesis import strategies as st

from stablesats.trades.line_splitter import Line, LineSplitter
from stablesats.trades.trade_lines import LARGEST_LINE_BYTES


def test_lines_are_given_when_their_break_is_there() -> None:
    """With their number and where the next one begins."""
    splitter = LineSplitter()
    assert list(splitter.feed(b"one\ntw")) == [Line(1, b"one", 4)]
    assert splitter.unfinished() == Line(2, b"tw", 6)
    assert list(splitter.feed(b"o\n\n")) == [Line(2, b"two", 8), Line(3, b"", 9)]
    assert splitter.unfinished() is None
    assert (splitter.offset, splitter.lines) == (9, 3)


def test_it_goes_on_in_the_middle_of_a_file() -> None:
    """Offsets and numbers count from the file's start."""
    splitter = LineSplitter(offset=100, lines=5)
    assert list(splitter.feed(b"six\n")) == [Line(6, b"six", 104)]


def test_long_line_is_not_held() -> None:
    """Only enough of it to be told from one that may be read; the offset counts all of it."""
    splitter = LineSplitter()
    for _ in range(5):
        assert list(splitter.feed(b"x" * LARGEST_LINE_BYTES)) == []
    [line] = splitter.feed(b"\n")
    assert len(line.raw) == LARGEST_LINE_BYTES + 1
    assert line.end_offset == 5 * LARGEST_LINE_BYTES + 1


@given(st.lists(st.binary(max_size=8).map(lambda part: part.replace(b"x", b"\n")), max_size=20))
def test_chunks_make_no_difference(chunks: list[bytes]) -> None:
    """What comes out are the lines of the whole."""
    whole = b"".join(chunks)
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    *complete, rest = whole.split(b"\n")
    assert [line.raw for line in lines] == complete
    assert [line.number for line in lines] == list(range(1, len(complete) + 1))
    assert all(whole[: line.end_offset].count(b"\n") == line.number for line in lines)
    unfinished = splitter.unfinished()
    assert (b"" if unfinished is None else unfinished.raw) == rest

"""Trade files as a source: read once or followed, one file or a folder."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from stablesats.errors import ConfigurationError
from stablesats.trades import (
    Delivery,
    JsonLinesSource,
    MalformedItem,
    Place,
    ReceivedTrade,
    RevertRequest,
    SourceItem,
    UnreadableTradesError,
    jsonl_source,
)
from stablesats.trades.trade_lines import read_line

WITHIN_SECS = 60


def row(trade_id: str) -> str:
    return json.dumps(
        {"id": trade_id, "timestamp": 1_788_264_000_000, "buy_unit": "usd_cent", "buy_amount": 1, "sell_unit": "satoshi",
         "sell_amount": 1}
    )  # fmt: skip


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def make_unreadable(path: Path) -> None:
    """For everybody, the superuser among them."""
    path.unlink()
    path.symlink_to(path.name)


def names(deliveries: list[Delivery]) -> list[str]:
    """What was delivered, a word an item."""
    found = []
    for item in (item for delivery in deliveries for item in delivery.items):
        match item:
            case ReceivedTrade(trade):
                found.append(trade.id)
            case RevertRequest(trade_id):
                found.append(f"revert {trade_id}")
            case MalformedItem(place):
                found.append(f"malformed {Path(place.source).name}:{place.line}")
    return found


async def read_once(path: Path, positions: dict[str, Any] | None = None) -> list[Delivery]:
    source = JsonLinesSource(path, follow=False)
    async with aclosing(source.deliveries(positions or {})) as deliveries:
        return [delivery async for delivery in deliveries]


def positions_of(deliveries: list[Delivery]) -> dict[str, Any]:
    return {delivery.stream: delivery.position for delivery in deliveries}


@asynccontextmanager
async def following(
    path: Path, positions: dict[str, Any] | None = None
) -> AsyncIterator[Callable[[int], Any]]:
    """Give a function that waits for so many more items."""
    source = JsonLinesSource(path, follow=True, look_every_secs=0.01, moved_quiet_secs=0.05)
    async with aclosing(source.deliveries(positions or {})) as deliveries:

        async def more(items: int) -> list[str]:
            found: list[str] = []
            async with asyncio.timeout(WITHIN_SECS):
                while len(found) < items:
                    found += names([await anext(deliveries)])
            return found

        yield more


class TestOnce:
    async def test_file_is_read_to_its_end(self, trade_file: Path) -> None:
        """Each kind of line, a last one without its break, blank ones passed over."""
        append(trade_file, f'{row("t1")}\n\n{{"revert": "t1"}}\nnonsense\n{row("t2")}')
        found = await read_once(trade_file)
        assert names(found) == ["t1", "revert t1", "malformed trades.jsonl:4", "t2"]
        assert {delivery.stream for delivery in found} == {"trades.jsonl"}

    async def test_second_run_reads_what_is_new(self, trade_file: Path) -> None:
        """Nothing twice; but a last line that had no break, which may have been half a line."""
        append(trade_file, f"{row('t1')}\n{row('t2')}\n")
        first = await read_once(trade_file)
        assert await read_once(trade_file, positions_of(first)) == []
        append(trade_file, row("t3"))
        second = await read_once(trade_file, positions_of(first))
        assert names(second) == ["t3"]
        append(trade_file, f"\n{row('t4')}\n")
        assert names(await read_once(trade_file, positions_of(second))) == ["t3", "t4"]

    @pytest.mark.parametrize("end", ["\n", ""])
    async def test_second_run_reads_the_end_of_a_file_that_was_rotated(
        self, trade_file: Path, end: str
    ) -> None:
        """And then the one in its place; its last line needs no line break."""
        append(trade_file, f"{row('t1')}\n")
        positions = positions_of(await read_once(trade_file))
        append(trade_file, row("t2") + end)
        trade_file.rename(f"{trade_file}.1")
        trade_file.write_text(f"{row('t3')}\n")
        second = await read_once(trade_file, positions)
        assert names(second) == ["t2", "t3"]
        assert names(await read_once(trade_file, positions_of(second))) == []

    async def test_folder_is_read_in_the_order_of_names(self, tmp_path: Path) -> None:
        """Only files that end in .jsonl; each is a stream with a position of its own."""
        for name in ("b.jsonl", "a.jsonl", "c.json", ".hidden", ".being-written.jsonl"):
            append(tmp_path / name, row(name) + "\n")
        (tmp_path / "folder.jsonl").mkdir()
        found = await read_once(tmp_path)
        assert names(found) == ["a.jsonl", "b.jsonl"]
        append(tmp_path / "a.jsonl", row("more") + "\n")
        assert names(await read_once(tmp_path, positions_of(found))) == ["more"]

    async def test_empty_folder_has_no_trades(self, tmp_path: Path) -> None:
        """Which is said, as the path may be a mistake."""
        append(tmp_path / ".hidden.jsonl", row("t1") + "\n")
        with structlog.testing.capture_logs() as logs:
            assert await read_once(tmp_path) == []
        [entry] = logs
        assert (entry["action"], entry["folder"]) == ("trades-folder-empty", str(tmp_path))

    async def test_too_long_line_is_one_malformed_item(self, trade_file: Path) -> None:
        """The lines around it are read."""
        append(trade_file, f"{row('t1')}\n{'x' * 300_000}\n{row('t2')}\n")
        assert names(await read_once(trade_file)) == ["t1", "malformed trades.jsonl:2", "t2"]

    async def test_line_that_breaks_its_reader_is_one_malformed_item(
        self, trade_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever is wrong with the reader: a line that cannot be passed would end all intake for good."""
        append(trade_file, f"{row('t1')}\nbreaks\n{row('t2')}\n")

        def read(raw: bytes, place: Place) -> SourceItem | None:
            if raw == b"breaks":
                raise ArithmeticError("of its own")
            return read_line(raw, place)

        monkeypatch.setattr(jsonl_source, "read_line", read)
        with structlog.testing.capture_logs() as logs:
            found = await read_once(trade_file)
        assert names(found) == ["t1", "malformed trades.jsonl:2", "t2"]
        assert [entry["action"] for entry in logs] == ["trade-line-failed"]

    @pytest.mark.parametrize("of_a_folder", [True, False])
    async def test_place_is_the_absolute_path(
        self, trade_file: Path, monkeypatch: pytest.MonkeyPatch, of_a_folder: bool
    ) -> None:
        """However it was typed, and wherever the process goes: files of one name are told apart."""
        append(trade_file, "nonsense\n")
        monkeypatch.chdir(trade_file.parent)
        source = JsonLinesSource(Path("." if of_a_folder else "trades.jsonl"), follow=False)
        monkeypatch.chdir("/")
        async with aclosing(source.deliveries({})) as deliveries:
            [item] = (await anext(deliveries)).items
        assert item.place == Place(str(trade_file), 1)
        assert source.name == str(trade_file.parent if of_a_folder else trade_file)

    async def test_unreadable_file_is_named(self, trade_file: Path) -> None:
        """It is not an empty one."""
        source = JsonLinesSource(trade_file, follow=False)
        make_unreadable(trade_file)
        async with aclosing(source.deliveries({})) as deliveries:
            with pytest.raises(UnreadableTradesError, match=r"trades\.jsonl cannot be read: Too many levels"):
                await anext(deliveries)


@pytest.mark.parametrize("follow", [True, False])
def test_path_that_is_not_there_is_named(tmp_path: Path, follow: bool) -> None:
    """Before anything else is done."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.jsonl: No such file"):
        JsonLinesSource(tmp_path / "nowhere.jsonl", follow=follow)


def test_device_is_refused() -> None:
    """It would never end, or never begin."""
    with pytest.raises(ConfigurationError, match="/dev/zero: neither file nor folder"):
        JsonLinesSource(Path("/dev/zero"), follow=False)


class TestFollowing:
    async def test_lines_are_given_as_they_are_finished(self, trade_file: Path) -> None:
        """Half a line is nobody's trade yet."""
        append(trade_file, f"{row('t1')}\n")
        async with following(trade_file) as more:
            assert await more(1) == ["t1"]
            half = len(row("t2")) // 2
            append(trade_file, row("t2")[:half])
            append(trade_file, row("t2")[half:] + "\n" + row("t3") + "\n")
            assert await more(2) == ["t2", "t3"]

    async def test_rotated_file_is_finished_before_the_new_one(self, trade_file: Path) -> None:
        """What was written just before the move is there, too."""
        append(trade_file, f"{row('t1')}\n")
        async with following(trade_file) as more:
            assert await more(1) == ["t1"]
            append(trade_file, f"{row('t2')}\n")
            trade_file.rename(trade_file.with_suffix(".1"))
            trade_file.write_text(f"{row('t3')}\n")
            assert await more(2) == ["t2", "t3"]

    async def test_file_that_was_rotated_while_nobody_followed_is_finished_first(
        self, trade_file: Path
    ) -> None:
        """A restart within the ten seconds, or after a night: its last lines are not lost."""
        append(trade_file, f"{row('t1')}\n")
        positions = positions_of(await read_once(trade_file))
        with trade_file.open("a") as writer:
            print(row("t2"), file=writer, flush=True)
            trade_file.rename(f"{trade_file}.1")
            trade_file.write_text(f"{row('t4')}\n")
            async with following(trade_file, positions) as more:
                assert await more(1) == ["t2"]
                print(row("t3"), file=writer, flush=True)
                assert await more(2) == ["t3", "t4"]

    async def test_lines_that_a_writer_adds_after_the_move_are_read(self, trade_file: Path) -> None:
        """It has the file open, wherever that is now, until it is told to open another one."""
        with trade_file.open("a") as writer:
            print(row("t1"), file=writer, flush=True)
            async with following(trade_file) as more:
                assert await more(1) == ["t1"]
                trade_file.rename(trade_file.with_suffix(".1"))
                print(row("t2"), file=writer, flush=True)
                assert await more(1) == ["t2"]
                print(row("t3"), file=writer, flush=True)
                trade_file.write_text(f"{row('t4')}\n")
                assert await more(2) == ["t3", "t4"]

    async def test_cut_file_is_read_from_its_start(self, trade_file: Path) -> None:
        """As with copy-and-truncate."""
        append(trade_file, f"{row('t1')}\n{row('t2')}\n")
        async with following(trade_file) as more:
            assert await more(2) == ["t1", "t2"]
            trade_file.write_text(f"{row('t3')}\n")
            assert await more(1) == ["t3"]

    async def test_file_that_is_gone_for_a_while_is_waited_for(self, trade_file: Path) -> None:
        """Its path counts, not the file."""
        append(trade_file, f"{row('t1')}\n")
        async with following(trade_file) as more:
            assert await more(1) == ["t1"]
            trade_file.unlink()
            waiting = asyncio.create_task(more(1))
            await asyncio.wait([waiting], timeout=0.1)
            assert not waiting.done()
            trade_file.write_text(f"{row('t2')}\n")
            assert await waiting == ["t2"]

    async def test_unreadable_file_is_reported_once_and_tried_again(self, trade_file: Path) -> None:
        """Until somebody has mended it."""
        append(trade_file, f"{row('t1')}\n")
        async with following(trade_file) as more:
            assert await more(1) == ["t1"]
            with structlog.testing.capture_logs() as logs:
                make_unreadable(trade_file)
                waiting = asyncio.create_task(more(1))
                await asyncio.wait([waiting], timeout=0.2)
                trade_file.unlink()
                trade_file.write_text(f"{row('t1')}\n{row('t2')}\n")
                assert await waiting == ["t2"]
        assert [entry["action"] for entry in logs] == ["trades-unreadable"]

    async def test_folder_that_is_gone_for_a_while_is_reported_once(self, tmp_path: Path) -> None:
        """And read again when it is back, what is new in it."""
        folder = tmp_path / "trades"
        folder.mkdir()
        append(folder / "a.jsonl", row("a1") + "\n")
        async with following(folder) as more:
            assert await more(1) == ["a1"]
            with structlog.testing.capture_logs() as logs:
                folder.rename(tmp_path / "elsewhere")
                waiting = asyncio.create_task(more(2))
                await asyncio.wait([waiting], timeout=0.2)
                assert not waiting.done()
                append(tmp_path / "elsewhere" / "a.jsonl", row("a2") + "\n")
                append(tmp_path / "elsewhere" / "b.jsonl", row("b1") + "\n")
                (tmp_path / "elsewhere").rename(folder)
                assert sorted(await waiting) == ["a2", "b1"]
        assert [entry["action"] for entry in logs] == ["trades-unreadable"]

    async def test_file_that_cannot_be_looked_at_keeps_no_other_one_from_being_read(
        self, tmp_path: Path
    ) -> None:
        """The fault is its own."""
        for name in ("a", "b"):
            append(tmp_path / f"{name}.jsonl", row(name) + "\n")
        async with following(tmp_path) as more:
            assert await more(2) == ["a", "b"]
            waiting = asyncio.create_task(more(1))
            await asyncio.wait([waiting], timeout=0.1)
            make_unreadable(tmp_path / "a.jsonl")
            await asyncio.wait([waiting], timeout=0.1)
            append(tmp_path / "b.jsonl", row("b2") + "\n")
            assert await waiting == ["b2"]

    async def test_new_files_of_a_folder_are_found(self, tmp_path: Path) -> None:
        """And those that were there go on."""
        append(tmp_path / "a.jsonl", row("a1") + "\n")
        async with following(tmp_path) as more:
            assert await more(1) == ["a1"]
            append(tmp_path / "b.jsonl", row("b1") + "\n")
            assert await more(1) == ["b1"]
            append(tmp_path / "a.jsonl", row("a2") + "\n")
            assert await more(1) == ["a2"]

    async def test_more_files_than_may_be_open_are_all_followed(self, tmp_path: Path) -> None:
        """Those that stand still are closed."""
        files = [tmp_path / f"{number:03}.jsonl" for number in range(100)]
        for file in files:
            append(file, row(file.stem) + "\n")
        async with following(tmp_path) as more:
            assert await more(100) == [file.stem for file in files]
            append(files[0], row("again") + "\n")
            append(files[99], row("too") + "\n")
            assert sorted(await more(2)) == ["again", "too"]

    async def test_it_goes_on_after_a_position(self, trade_file: Path) -> None:
        """What another process has read and stored is not read again."""
        append(trade_file, f"{row('t1')}\n")
        read = positions_of(await read_once(trade_file))
        append(trade_file, f"{row('t2')}\n")
        async with following(trade_file, read) as more:
            assert await more(1) == ["t2"]

    async def test_consumer_that_begins_again_gets_what_it_did_not_store(self, trade_file: Path) -> None:
        """A position is what is stored, not what was handed out."""
        append(trade_file, f"{row('t1')}\n")
        source = JsonLinesSource(trade_file, follow=True, look_every_secs=0.01)
        for _ in range(2):
            async with aclosing(source.deliveries({})) as deliveries:
                assert names([await anext(deliveries)]) == ["t1"]

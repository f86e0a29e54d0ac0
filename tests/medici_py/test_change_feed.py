"""A feed goes on where it was after whatever can pass, and says plainly when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from bson.timestamp import Timestamp
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect, CursorNotFound, OperationFailure, PyMongoError

from medici_py import change_feed
from medici_py.change_events import ChangePosition, JournalInserted
from medici_py.change_feed import (
    ChangeFeed,
    ChangeHistoryLostError,
    ChangeStreamError,
    ChangeStreamInterruptedError,
    FeedSettings,
)
from medici_py.errors import UnsupportedDeploymentError

Step = Mapping[str, Any] | BaseException | None


def inserted(number: int) -> dict[str, Any]:
    return {
        "_id": {"_data": str(number)},
        "operationType": "insert",
        "clusterTime": Timestamp(number, 1),
        "wallTime": datetime(2024, 1, 1, tzinfo=UTC),
        "ns": {"db": "bank", "coll": "medici_journals"},
        "fullDocument": {"_id": number},
    }


class ScriptedStream:
    """A change stream that answers what it is told to."""

    def __init__(self, *steps: Step, alive: bool = True) -> None:
        self.steps = list(steps)
        self.brought = asyncio.Event()
        self.alive = alive
        self.closed = False
        self.resume_token: Mapping[str, Any] | None = {"_data": "idle"}

    async def try_next(self) -> Mapping[str, Any] | None:
        if not self.steps:
            await self.brought.wait()
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step

    def bring(self, step: Step) -> None:
        self.steps.append(step)
        self.brought.set()

    async def close(self) -> None:
        self.closed = True


class Script:
    """The streams that `watch` opens one after the other, and the options it was given."""

    def __init__(self, *streams: ScriptedStream | PyMongoError) -> None:
        self.streams = list(streams)
        self.options: list[dict[str, Any]] = []
        self.pings = 0

    async def command(self, name: str) -> Mapping[str, Any]:
        assert name == "ping"
        self.pings += 1
        return {"ok": 1.0, "operationTime": Timestamp(0, self.pings)}

    async def watch(self, target: object, pipeline: object, **options: Any) -> ScriptedStream:
        # An answer has a bounded number of changes: by default it would be filled to 16 MB.
        assert 0 < options.pop("batch_size") <= 10_000
        self.options.append({key: value for key, value in options.items() if key != "max_await_time_ms"})
        stream = self.streams.pop(0)
        if isinstance(stream, PyMongoError):
            raise stream
        return stream


@pytest.fixture
async def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a feed over scripted streams; its clock advances by a second whenever it is read."""
    feeds: list[ChangeFeed] = []

    def make(
        *streams: ScriptedStream | PyMongoError,
        after: ChangePosition | None = None,
        settings: FeedSettings | None = None,
    ) -> tuple[ChangeFeed, Script]:
        script = Script(*streams)
        monkeypatch.setattr(change_feed, "watch", script.watch)
        monkeypatch.setattr(change_feed, "adopt", lambda database: database)
        seconds = iter(range(10_000))
        feed = ChangeFeed(
            SimpleNamespace(command=script.command),  # type: ignore[arg-type]
            None,
            after=after,
            settings=settings or FeedSettings(resume_timeout_secs=5, answer_timeout_secs=10),
            jitter=lambda: 0.0,
            monotonic=lambda: float(next(seconds)),
        )
        feeds.append(feed)
        return feed, script

    yield make
    for feed in feeds:
        await feed.close()


async def next_id(feed: ChangeFeed) -> object:
    change = await feed.next()
    assert isinstance(change, JournalInserted)
    return change.journal["_id"]


class TestPosition:
    async def test_opening_fixes_the_place_called_now(self, play: Any) -> None:
        """Even before the first change a resumption does not mean a later now."""
        feed, script = play(ScriptedStream(AutoReconnect("gone")), ScriptedStream(inserted(1)))
        await feed.open()
        assert await next_id(feed) == 1
        assert script.options == [{"start_at_operation_time": Timestamp(0, 2)}] * 2

    async def test_position_follows_changes_and_idle_answers(self, play: Any) -> None:
        """While nothing happens the place moves on, so that it does not fall out of the oplog."""
        feed, _ = play(ScriptedStream(inserted(3), None))
        await feed.next()
        assert feed.position == ChangePosition({"_data": "3"}, Timestamp(3, 1))
        assert await feed.next() is None
        assert feed.position == ChangePosition({"_data": "idle"}, Timestamp(3, 1))

    async def test_given_position_is_where_the_stream_begins(self, play: Any) -> None:
        """A time without a token begins right after it."""
        feed, script = play(ScriptedStream(), after=ChangePosition(None, Timestamp(9, 4)))
        await feed.open()
        assert script.options == [{"start_at_operation_time": Timestamp(9, 5)}]


class TestResuming:
    @pytest.mark.parametrize(
        "error",
        [
            AutoReconnect("connection closed"),
            CursorNotFound("cursor id 7 not found", 43),
            OperationFailure("cursor killed", 237),
            OperationFailure("stepped down", 11602, {"errorLabels": ["ResumableChangeStreamError"]}),
        ],
    )
    async def test_passing_error_resumes_after_the_last_change(self, error: PyMongoError, play: Any) -> None:
        """An election, a broken connection or a lost cursor costs no change."""
        broken = ScriptedStream(inserted(1), error)
        feed, script = play(broken, ScriptedStream(inserted(2)))
        assert [await next_id(feed), await next_id(feed)] == [1, 2]
        assert broken.closed
        assert script.options[-1] == {"start_after": {"_data": "1"}}

    async def test_server_that_is_away_while_reopening_is_tried_again(self, play: Any) -> None:
        """The attempts go on as long as the settings say."""
        away = AutoReconnect("no primary")
        feed, _ = play(ScriptedStream(inserted(1), away), away, away, ScriptedStream(inserted(2)))
        assert [await next_id(feed), await next_id(feed)] == [1, 2]

    async def test_server_that_stays_away_ends_the_stream_with_its_position(self, play: Any) -> None:
        """Waiting is bounded, and the error says from where to go on."""
        away = AutoReconnect("no primary")
        feed, _ = play(ScriptedStream(inserted(1), away), *[away] * 20)
        await feed.next()
        with pytest.raises(ChangeStreamInterruptedError, match="no primary") as caught:
            await feed.next()
        assert caught.value.position == ChangePosition({"_data": "1"}, Timestamp(1, 1))

    async def test_server_that_does_not_answer_counts_as_away(self, play: Any) -> None:
        """A connection that is open but silent is given up."""
        settings = FeedSettings(max_await_time_ms=10, answer_timeout_secs=0.05, resume_timeout_secs=60)
        feed, _ = play(ScriptedStream(), ScriptedStream(inserted(1)), settings=settings)
        assert await next_id(feed) == 1

    async def test_cancelled_read_disturbs_nothing(self, play: Any) -> None:
        """The stream stays open, and what it brings goes to the next read."""
        stream = ScriptedStream(inserted(1))
        feed, script = play(stream)
        await feed.next()
        read = asyncio.ensure_future(feed.next())
        await asyncio.sleep(0.01)
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read
        stream.bring(inserted(2))
        assert await next_id(feed) == 2
        assert len(script.options) == 1

    async def test_slow_reader_makes_the_stream_wait(self, play: Any) -> None:
        """What is read ahead is bounded; the position is that of the reader."""
        stream = ScriptedStream(*[inserted(number) for number in range(1, 1_000)])
        feed, _ = play(stream)
        await feed.next()
        async with asyncio.timeout(30):
            while (left := len(stream.steps)) > 750:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
        assert left > 600
        assert feed.position.cluster_time == Timestamp(1, 1)
        assert [await next_id(feed) for _ in range(998)] == list(range(2, 1_000))

    async def test_feed_that_ended_may_be_asked_again(self, play: Any) -> None:
        """A reader that is told of an outage may decide to go on waiting."""
        away = AutoReconnect("no primary")
        settings = FeedSettings(resume_timeout_secs=0)
        feed, script = play(ScriptedStream(inserted(1), away), ScriptedStream(inserted(2)), settings=settings)
        await feed.next()
        with pytest.raises(ChangeStreamInterruptedError):
            await feed.next()
        assert await next_id(feed) == 2
        assert script.options[-1] == {"start_after": {"_data": "1"}}

    async def test_closing_closes_the_stream(self, play: Any) -> None:
        """Also while a read of it is under way."""
        stream = ScriptedStream(inserted(1))
        feed, _ = play(stream)
        await feed.next()
        await asyncio.sleep(0.01)
        await feed.close()
        assert stream.closed


class TestEnding:
    @pytest.mark.parametrize("code", [136, 260, 280, 286])
    async def test_lost_history_is_never_skipped(self, code: int, play: Any) -> None:
        """Going on from now would hide what was missed."""
        feed, _ = play(ScriptedStream(inserted(1), OperationFailure("oplog rolled over", code)))
        await feed.next()
        with pytest.raises(ChangeHistoryLostError, match="oplog rolled over") as caught:
            await feed.next()
        assert caught.value.position.cluster_time == Timestamp(1, 1)

    async def test_other_error_is_passed_on_with_its_words(self, play: Any) -> None:
        """What does not pass is not retried."""
        feed, _ = play(ScriptedStream(OperationFailure("not authorized", 13)))
        with pytest.raises(ChangeStreamError, match="not authorized"):
            await feed.next()

    async def test_standalone_server_is_named_as_such(self, play: Any) -> None:
        """Change streams need a replica set."""
        feed, _ = play(OperationFailure("only supported on replica sets", 40573))
        with pytest.raises(UnsupportedDeploymentError):
            await feed.open()

    async def test_invalidated_stream_is_lost_history(self, play: Any) -> None:
        """A stream that the server ended without an error has nothing to come back to."""
        feed, _ = play(ScriptedStream(None, alive=False))
        with pytest.raises(ChangeHistoryLostError, match="dropped or renamed"):
            await feed.next()

    async def test_dropped_database_is_lost_history(self, bank: AsyncDatabase[dict[str, Any]]) -> None:
        """A real server's invalidation is recognised."""
        feed = ChangeFeed(bank, None, settings=FeedSettings(max_await_time_ms=50))
        await feed.open()
        await bank.client.drop_database(bank.name)

        async def read_to_the_end() -> None:
            while await feed.next() is None:
                pass

        with pytest.raises(ChangeHistoryLostError):
            await asyncio.wait_for(read_to_the_end(), 30)


async def test_long_batch_lets_other_tasks_run(play: Any) -> None:
    """A reader that never has to wait does not stop the rest of the program."""
    feed, _ = play(ScriptedStream(*[inserted(number) for number in range(1, 1_500)]))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.ensure_future(count())
    for _ in range(1_499):
        await feed.next()
    counter.cancel()
    assert turns >= 3

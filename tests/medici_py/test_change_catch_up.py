"""Who catches up misses nothing, however long the server takes to show what was committed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from bson import ObjectId
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient, WriteConcern, monitoring
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern

from medici_py import BalanceChanged, Book, JournalPosted, change_feed, init_models
from medici_py.change_events import ChangePosition
from medici_py.driver import watch
from medici_py.embedded import EmbeddedMongo

Bank = AsyncDatabase[dict[str, Any]]
PATIENCE_SECS = 30
EMPTY_ANSWERS = 6  # twice as many as a subscriber needs at most until it is live


class PlacesAsked(monitoring.CommandListener):
    """Counts the change streams that somebody opens from an earlier place on."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        stages = event.command.get("pipeline") or [{}]
        self.count += "startAtOperationTime" in stages[0].get("$changeStream", {})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Not looked at."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Not looked at."""


async def operation_time(bank: Bank) -> Timestamp:
    reply = await bank.command("ping")
    time: Timestamp = reply["operationTime"]
    return time


@pytest.fixture(scope="module")
def journaling_mongodb() -> Iterator[EmbeddedMongo]:
    """A server of its own, which shows what its journal holds, as it does everywhere."""
    environment = {name: value for name, value in os.environ.items() if name != "MONGODB_URI"}
    with EmbeddedMongo(environment=environment, set_parameters={"enableTestCommands": True}) as mongo:
        yield mongo


@pytest.fixture
def places_asked() -> PlacesAsked:
    return PlacesAsked()


@pytest.fixture
async def journaling_bank(
    journaling_mongodb: EmbeddedMongo, places_asked: PlacesAsked
) -> AsyncIterator[Bank]:
    async with AsyncMongoClient[dict[str, Any]](
        journaling_mongodb.uri, event_listeners=[places_asked]
    ) as client:
        database = client[f"journaling_{ObjectId()}"]
        await init_models(database)
        yield database


@pytest.fixture
async def hide_commits(journaling_bank: Bank) -> AsyncIterator[Callable[[bool], Any]]:
    """Keep new commits from the journal, and so from change streams, for as long as that is wanted."""
    admin = journaling_bank.client.admin

    async def configure(hidden: bool) -> None:
        mode = "alwaysOn" if hidden else "off"
        await admin.command("configureFailPoint", "pauseJournalFlusherBeforeFlush", mode=mode)

    yield configure
    await configure(False)


async def insert_hidden(
    bank: Bank, like: ObjectId, hide_commits: Callable[[bool], Any]
) -> tuple[Timestamp, Timestamp]:
    """Insert a copy of a journal that no change stream can show yet; return the times before and after."""
    journal = await bank["medici_journals"].find_one({"_id": like})
    assert journal is not None
    journal |= {"_id": ObjectId(), "memo": "hidden"}
    legs = await bank["medici_transactions"].find({"_journal": like}).to_list()
    for leg in legs:
        leg |= {"_id": ObjectId(), "_journal": journal["_id"]}
    journal["_transactions"] = [leg["_id"] for leg in legs]
    await bank["medici_transactions"].insert_many(legs)
    before = await operation_time(bank)
    await hide_commits(True)
    unconfirmed = bank["medici_journals"].with_options(write_concern=WriteConcern(w=1, j=False))
    await unconfirmed.insert_one(journal)
    committed = bank["medici_journals"].with_options(read_concern=ReadConcern("majority"))
    assert await committed.find_one({"_id": journal["_id"]}) is None
    return before, await operation_time(bank)


async def until_nothing_is_said_often(bank: Bank, after: Timestamp) -> None:
    """Return once the server has said, as often as would do for a subscriber, that nothing was committed."""
    watched = bank["medici_journals"].watch(start_at_operation_time=after, max_await_time_ms=100)
    async with await watched as stream:
        for _ in range(EMPTY_ANSWERS):
            assert await stream.try_next() is None


@pytest.mark.parametrize(
    "kinds", [(JournalPosted,), (JournalPosted, BalanceChanged)], ids=["alone", "balances"]
)
async def test_commit_that_no_stream_can_show_yet_is_waited_for(
    journaling_bank: Bank,
    places_asked: PlacesAsked,
    pay: Any,
    hide_commits: Callable[[bool], Any],
    kinds: Any,
) -> None:
    """A server that says "nothing so far" may not know the newest commit yet."""
    book = Book("B", journaling_bank)
    journal = await pay(book)
    while True:
        before, after = await insert_hidden(journaling_bank, journal.id, hide_commits)
        if (after.time, after.inc) == (before.time, before.inc + 1):
            break  # It is the next tick of the server's clock, where the two are hardest to tell apart.
        await hide_commits(False)
    async with asyncio.timeout(PATIENCE_SECS):
        changes = book.changes(after=ChangePosition(None, before), kinds=kinds)
        opening = asyncio.create_task(changes.__aenter__())
        try:
            while places_asked.count < 2:  # The stream that is shared, and that of who catches up.
                await asyncio.sleep(0.01)
            await until_nothing_is_said_often(journaling_bank, before)
            await hide_commits(False)
            await opening
            await pay(book, memo="later")
            first = await anext(changes)
        finally:
            await changes.aclose()
    assert isinstance(first, JournalPosted)
    assert first.journal.memo == "hidden"


async def test_change_within_the_opening_of_the_shared_stream_hides_none_before_it(
    bank: Bank, pay: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream whose first answer has changes does not say where it began: drivers give it no token then."""
    book, opened = Book("B", bank), 0

    async def watch_while_another_pays(target: Any, pipeline: Any, **options: Any) -> Any:
        nonlocal opened
        opened += 1
        if opened == 1:  # The shared one.
            if "start_at_operation_time" not in options:
                now = await operation_time(bank)
                options["start_at_operation_time"] = Timestamp(now.time, now.inc + 1)
            await pay(Book("B", bank), memo="during")
        return await watch(target, pipeline, **options)

    before = await operation_time(bank)
    await pay(book, memo="before")
    monkeypatch.setattr(change_feed, "watch", watch_while_another_pays)
    async with asyncio.timeout(PATIENCE_SECS):
        async with book.changes(after=ChangePosition(None, before), kinds=(JournalPosted,)) as changes:
            events = [await anext(changes) for _ in range(2)]
    assert [event.journal.memo for event in events if isinstance(event, JournalPosted)] == [
        "before",
        "during",
    ]

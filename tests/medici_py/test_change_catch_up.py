"""Who catches up misses nothing, however long the server takes to show what was committed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from bson import ObjectId
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern

from medici_py import BalanceChanged, Book, JournalPosted, init_models
from medici_py.change_events import ChangePosition
from medici_py.embedded import EmbeddedMongo

Bank = AsyncDatabase[dict[str, Any]]
PATIENCE_SECS = 30


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
async def journaling_bank(journaling_mongodb: EmbeddedMongo) -> AsyncIterator[Bank]:
    async with AsyncMongoClient[dict[str, Any]](journaling_mongodb.uri) as client:
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


@pytest.mark.parametrize(
    "kinds", [(JournalPosted,), (JournalPosted, BalanceChanged)], ids=["alone", "balances"]
)
async def test_commit_that_no_stream_can_show_yet_is_waited_for(
    journaling_bank: Bank, pay: Any, hide_commits: Callable[[bool], Any], kinds: Any
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
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            # Several times as long as the server waits before it says so.
            await asyncio.wait({opening, never}, timeout=0.7)
            await hide_commits(False)
            await opening
            await pay(book, memo="later")
            first = await anext(changes)
        finally:
            await changes.aclose()
    assert isinstance(first, JournalPosted)
    assert first.journal.memo == "hidden"

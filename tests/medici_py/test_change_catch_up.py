"""Who catches up misses nothing, however long the server takes to show what was committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from bson import ObjectId
from bson.timestamp import Timestamp
from pymongo import WriteConcern
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import BalanceChanged, Book, JournalPosted
from medici_py.change_events import ChangePosition

Bank = AsyncDatabase[dict[str, Any]]
PATIENCE_SECS = 30


async def operation_time(bank: Bank) -> Timestamp:
    reply = await bank.command("ping")
    time: Timestamp = reply["operationTime"]
    return time


@pytest.fixture
async def hide_commits(faulty_bank: Bank) -> AsyncIterator[Callable[[bool], Any]]:
    """Keep new commits from the disk, and so from change streams, for as long as that is wanted."""
    admin = faulty_bank.client.admin

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
    return before, await operation_time(bank)


@pytest.mark.parametrize(
    "kinds", [(JournalPosted,), (JournalPosted, BalanceChanged)], ids=["alone", "balances"]
)
async def test_commit_that_no_stream_can_show_yet_is_waited_for(
    faulty_bank: Bank, pay: Any, hide_commits: Callable[[bool], Any], kinds: Any
) -> None:
    """A server that says "nothing so far" may not know the newest commit yet."""
    book = Book("B", faulty_bank)
    journal = await pay(book)
    while True:
        before, after = await insert_hidden(faulty_bank, journal.id, hide_commits)
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

"""Subscribers killed at random, and their history lost at random: each effect happens once, in order."""

import asyncio
import random
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import Book
from medici_py.embedded import EmbeddedMongo
from medici_py.subscription_rows import SUBSCRIPTIONS

Bank = AsyncDatabase[dict[str, Any]]

ROUNDS = 5
PATIENCE_SECS = 90

SUBSCRIBER = """
import asyncio, os, sys
from pymongo import AsyncMongoClient
from medici_py import Book, JournalPosted

async def main(uri, name):
    async with AsyncMongoClient(uri) as client:
        database = client[name]
        book, mirror = Book("MainBook", database), Book("Mirror", database)

        async def copy(event, session):
            if isinstance(event, JournalPosted):
                await mirror.entry(event.journal.memo).debit("A", 1).credit("B", 1).commit(session=session)

        async def note(event):
            if isinstance(event, JournalPosted):
                place = {"process": os.getpid(), "position": event.position.to_document()}
                await database["noted"].insert_one({"memo": event.journal.memo, **place})
            else:
                place = {"process": os.getpid(), "position": event.position.to_document()}
                await database["recovered"].insert_one({"since": event.since, **place})

        options = {"lease_ttl_secs": 1.5, "idle_secs": 0.2}
        await asyncio.gather(
            book.subscribe("once", **options).run_in_transaction(copy),
            book.subscribe("often", **options).run(note),
        )

asyncio.run(main(*sys.argv[1:]))
"""


class Subscribers:
    """Processes that are started again whenever they end, as in production."""

    def __init__(self, uri: str, database: Bank) -> None:
        self._arguments = uri, database.name
        self._processes: list[Process] = []

    async def fill_up(self, count: int) -> None:
        """Start what is missing."""
        self._processes = [one for one in self._processes if one.returncode is None]
        while len(self._processes) < count:
            self._processes.append(
                await asyncio.create_subprocess_exec(
                    sys.executable, "-c", SUBSCRIBER, *self._arguments,
                    cwd=Path(__file__).parents[2],
                    stderr=asyncio.subprocess.DEVNULL,
                )
            )  # fmt: skip

    async def kill(self, count: int) -> None:
        """End the oldest processes at whatever line they are."""
        for process in self._processes[:count]:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def lose_history(database: Bank, name: str) -> None:
    """Make a stored position, if it is that of an event, one that the oplog does not hold."""
    row = await database[SUBSCRIPTIONS].find_one({"_id": name})
    token = ((row or {}).get("position", {}).get("token") or {}).get("_data", "")
    if len(token) > 60:
        flipped = token[:-6] + ("01" if token[-6:-4] != "01" else "02") + token[-4:]
        where = {"_id": name, "position.token._data": token}
        await database[SUBSCRIPTIONS].update_one(where, {"$set": {"position.token._data": flipped}})


async def abandon_transactions_after(database: Bank, secs: int) -> int:
    """Set after how many seconds the server ends an open transaction; return what it was before."""
    reply = await database.client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=secs)
    return int(reply["was"])


async def memos_in(database: Bank, collection: str, **matches: Any) -> list[str]:
    """As they were inserted, one after the other; ids that several processes made in a second say nothing."""
    return [row["memo"] async for row in database[collection].find(matches).sort("$natural", 1)]


async def story_of(database: Bank) -> str:
    """Say who noted what, and from which place: what one needs to know if the order is wrong."""
    lines = [f"{row}" for name in ("recovered", "noted") async for row in database[name].find()]
    return "\n".join(lines)


async def growth(database: Bank, by: int, subscribers: Subscribers) -> None:
    """Wait until both subscriptions have handled so many events more."""
    before = [await count(database) for count in (mirrored, noted)]
    async with asyncio.timeout(PATIENCE_SECS):
        while min(await mirrored(database) - before[0], await noted(database) - before[1]) < by:
            await subscribers.fill_up(2)
            await asyncio.sleep(0.02)


async def mirrored(database: Bank) -> int:
    return await database["medici_journals"].count_documents({"book": "Mirror"})


async def noted(database: Bank) -> int:
    return len(await database["noted"].distinct("memo"))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_killed_subscribers_lose_and_double_nothing(
    mongodb: EmbeddedMongo, bank: Bank, book: Book, pay: Callable[..., Any]
) -> None:
    """Two processes with two subscriptions; SIGKILL at any line, the oplog forgotten now and then."""
    chance = random.Random(20240501)
    names, over = ("once", "often"), asyncio.Event()
    for collection in ("noted", "recovered"):
        await bank.create_collection(collection)
    for name in names:
        async with book.subscribe(name):
            pass

    async def post() -> int:
        number = 0
        while not over.is_set():
            await pay(book, memo=str(number))
            number += 1
            await asyncio.sleep(0.01)
        return number

    # The transactions of those who are killed keep the next holder out until the server gives them up.
    before_secs = await abandon_transactions_after(bank, 3)
    posting = asyncio.create_task(post())
    subscribers = Subscribers(mongodb.uri, bank)
    try:
        for number in range(ROUNDS):
            await subscribers.fill_up(2)
            await growth(bank, chance.randrange(3, 15), subscribers)
            forgetful = number % 3 == 1
            await subscribers.kill(2 if forgetful else 1)
            for name in names if forgetful else ():
                await lose_history(bank, name)
        over.set()
        expected = [str(number) for number in range(await posting)]
        async with asyncio.timeout(PATIENCE_SECS):
            while min(await mirrored(bank), await noted(bank)) < len(expected):
                await subscribers.fill_up(2)
                await asyncio.sleep(0.1)
    finally:
        over.set()
        await subscribers.kill(2)
        await asyncio.wait([posting])
        await abandon_transactions_after(bank, before_secs)
    assert await memos_in(bank, "medici_journals", book="Mirror") == expected
    assert list(dict.fromkeys(await memos_in(bank, "noted"))) == expected, await story_of(bank)
    assert await bank["recovered"].count_documents({}) > 0
    assert (await Book("Mirror", bank).verify()).clean

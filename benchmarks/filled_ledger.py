"""Ledgers of a given size, filled quickly with documents as the library stores them."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pymongo import AsyncMongoClient, WriteConcern

from benchmarks.journals import BOOK, Database, Document, flattened, stored_journal
from benchmarks.library import open_book, posting_to
from medici_py import Book, init_models
from medici_py.book_state import BOOKS
from medici_py.store import JOURNALS, TRANSACTIONS

JOURNALS_A_DAY = 2_800
"""A larger ledger is an older one, not a denser one."""

NEWEST = timedelta(minutes=6)
"""No filled journal is younger than this."""

_DAY = timedelta(days=1)
_SETTLED = timedelta(minutes=10)
_CHUNK_JOURNALS = 2_500
_WRITERS = 3
_QUICK = WriteConcern(w=1, j=False)


class FilledLedgers:
    """Filled ledgers by their number of journals, each filled when it is first asked for."""

    def __init__(self, client: AsyncMongoClient[Document], prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._filled: set[int] = set()

    async def of(self, journals: int) -> Database:
        """Return the database of the ledger with so many journals, its running balances in place."""
        database = self._client[f"{self._prefix}{journals}"]
        if journals not in self._filled:
            began = time.perf_counter()
            await self._client.drop_database(database.name)
            await init_models(database)
            await _fill(database, journals)
            await _build_balances(database)
            self._filled.add(journals)
            print(f"  filled a ledger of {journals:,} journals in {time.perf_counter() - began:.1f} s")
        return database


def recording_times(journals: int, now: datetime) -> Callable[[int], datetime]:
    """Return when the number-th of *journals* was recorded: half a day's journals today, the others before.

    Today begins at the last midnight UTC that a roll-up reaches, so that what comes after the roll-up is the
    same number of journals at any time of the day.
    """
    midnight = (now - _SETTLED).replace(hour=0, minute=0, second=0, microsecond=0)
    today = min(JOURNALS_A_DAY, journals) // 2
    older = journals - today
    step, step_today = _DAY / JOURNALS_A_DAY, (now - NEWEST - midnight) / today

    def recorded_at(number: int) -> datetime:
        if number < older:
            return midnight - step * (older - number)
        return midnight + step_today * (number - older)

    return recorded_at


async def _fill(database: Database, journals: int) -> None:
    recorded_at = recording_times(journals, datetime.now(UTC))
    # The first one through the library: the book keeps running balances from its beginning.
    async with Book(BOOK, database, clock=lambda: recorded_at(0)) as book:
        await posting_to(book)(0)
    chunks = iter(range(1, journals, _CHUNK_JOURNALS))

    async def writer() -> None:
        for first in chunks:
            numbers = range(first, min(first + _CHUNK_JOURNALS, journals))
            pairs = [stored_journal(number, recorded_at(number), with_meta=True) for number in numbers]
            legs = database[TRANSACTIONS].with_options(write_concern=_QUICK)
            await legs.insert_many(flattened(legs for _, legs in pairs), ordered=False)
            heads = database[JOURNALS].with_options(write_concern=_QUICK)
            await heads.insert_many([journal for journal, _ in pairs], ordered=False)

    await asyncio.gather(*(writer() for _ in range(_WRITERS)))


async def _build_balances(database: Database) -> None:
    """Bring the running balances in line with the legs that were not posted through the library."""
    async with open_book(database) as book:
        await book.rebuild_balances()
    # For some minutes after a rebuild the past is read from the entries, lest a reader of an older moment
    # meets new rows. Nobody has read this ledger before.
    await database[BOOKS].update_one({"_id": BOOK}, {"$set": {"usable_from": datetime.now(UTC)}})

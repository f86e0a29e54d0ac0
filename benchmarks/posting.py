"""How fast journals are posted, beside the raw driver writing the same documents, in one run.

The raw driver is the limit: it inserts two legs and a journal in one transaction with the same concerns and
checks nothing. Rounds alternate, so that a machine that drifts slows both. ``make bench`` runs this on a
private MongoDB, or on the one that MONGODB_URI names.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from bson import Int64, ObjectId
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.read_concern import ReadConcern

from medici_py import Book, init_models
from medici_py.embedded import EmbeddedMongo

POSTERS = (1, 16, 64)
JOURNALS_A_ROUND = 400
ROUNDS = 5

Post = Callable[[int], Awaitable[None]]


def library(database: Any) -> Post:
    """Post one journal of two legs through the library."""
    book = Book("Bench", database)

    async def post(number: int) -> None:
        await book.entry("bench").debit(f"Assets:{number % 100}", 7).credit("Income:Sales", 7).commit()

    return post


def raw_driver(database: Any) -> Post:
    """Insert the documents of such a journal in one transaction, unchecked."""
    client, legs, journals = database.client, database["raw_transactions"], database["raw_journals"]

    def leg(journal: ObjectId, path: list[str], debit: int, credit: int, now: datetime) -> dict[str, Any]:
        return {
            "_id": ObjectId(), "_journal": journal, "account_path": path, "accounts": ":".join(path),
            "book": "Bench", "credit": Int64(credit), "datetime": now, "debit": Int64(debit),
            "memo": "bench", "timestamp": now,
        }  # fmt: skip

    async def post(number: int) -> None:
        journal, now = ObjectId(), datetime.now(UTC)
        rows = [
            leg(journal, ["Assets", str(number % 100)], 7, 0, now),
            leg(journal, ["Income", "Sales"], 0, 7, now),
        ]
        head = {"_id": journal, "memo": "bench", "_transactions": [row["_id"] for row in rows],
                "datetime": now, "book": "Bench"}  # fmt: skip

        async def write(session: Any) -> None:
            await legs.insert_many(rows, session=session)
            await journals.insert_one(head, session=session)

        async with client.start_session() as session:
            await session.with_transaction(
                write,
                read_concern=ReadConcern("snapshot"),
                write_concern=WriteConcern("majority", j=True),
                read_preference=ReadPreference.PRIMARY,
            )

    return post


async def journals_per_second(post: Post, posters: int) -> float:
    """Post a round's journals with so many concurrent posters."""
    numbers = iter(range(JOURNALS_A_ROUND))

    async def poster() -> None:
        for number in numbers:
            await post(number)

    began = time.perf_counter()
    await asyncio.gather(*(poster() for _ in range(posters)))
    return JOURNALS_A_ROUND / (time.perf_counter() - began)


async def main() -> None:
    async with EmbeddedMongo() as mongo, AsyncMongoClient[dict[str, Any]](mongo.uri) as client:
        database = client["medici_py_bench"]
        await client.drop_database(database.name)
        await init_models(database)
        for keys in (["_journal"], ["book", "accounts", "datetime"]):
            await database["raw_transactions"].create_index([(key, 1) for key in keys])
        ours, limit = library(database), raw_driver(database)
        await journals_per_second(ours, 4), await journals_per_second(limit, 4)
        print(f"journals a second, median of {ROUNDS} alternating rounds of {JOURNALS_A_ROUND}")
        print(f"{'posters':>8} {'medici_py':>10} {'raw driver':>11} {'ratio':>6}")
        for posters in POSTERS:
            pairs = [
                (await journals_per_second(ours, posters), await journals_per_second(limit, posters))
                for _ in range(ROUNDS)
            ]
            ratio = statistics.median(a / b for a, b in pairs)
            mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
            print(f"{posters:>8} {mine:>10.0f} {theirs:>11.0f} {ratio:>6.2f}")
        await client.drop_database(database.name)


if __name__ == "__main__":
    asyncio.run(main())

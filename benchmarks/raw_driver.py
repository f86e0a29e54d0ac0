"""The limit: the same documents through the driver alone, nothing checked, read or summed.

A batch is two ``insert_many`` in one transaction with the concerns that the library uses, as large as the
batches that the library's group commit made with so many posters.
"""

from datetime import UTC, datetime

from pymongo import ReadPreference, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_concern import ReadConcern

from benchmarks.journals import Database, flattened, stored_journal
from benchmarks.load import Load, Post
from medici_py.store import JOURNALS, TRANSACTIONS


def batches_to(database: Database, *, batch: int) -> Post:
    """Return what inserts *batch* journals in one transaction."""

    async def post(number: int) -> int:
        now = datetime.now(UTC)
        pairs = [stored_journal(number * batch + index, now) for index in range(batch)]

        async def write(session: AsyncClientSession) -> None:
            await database[TRANSACTIONS].insert_many(flattened(legs for _, legs in pairs), session=session)
            await database[JOURNALS].insert_many([journal for journal, _ in pairs], session=session)

        async with database.client.start_session() as session:
            await session.with_transaction(
                write,
                read_concern=ReadConcern("snapshot"),
                write_concern=WriteConcern("majority", j=True),
                read_preference=ReadPreference.PRIMARY,
            )
        return batch

    return post


def holding_all(posters: int, *, batch: int, secs: float) -> Load:
    """Return the load with as many batches under way as it takes to hold every poster's journal."""
    return Load(-(-posters // batch), secs=secs)

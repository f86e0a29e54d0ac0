"""Following a book: what is posted and voided, in commit order, and a live balance without a query.

Run it against a replica set: MONGODB_URI=mongodb://... python examples/watch.py
"""

import asyncio
import os
from typing import Any

from pymongo import AsyncMongoClient

from medici_py import Book, JournalPosted, JournalVoided, LiveBalances, init_models
from medici_py.changes import open_changes


async def main() -> None:
    async with AsyncMongoClient[dict[str, Any]](os.environ["MONGODB_URI"]) as client:
        database = client["medici_py_examples"]
        await client.drop_database(database.name)
        await init_models(database)
        book = Book("Shop", database)

        # Nothing that is posted from here on is missed, however late the loop below begins.
        async with open_changes(database, books=["Shop"]) as changes, LiveBalances(book) as live:
            sale = (
                await book.entry("sale")
                .debit("Assets:Till", "12.50")
                .credit("Income:Sales", "12.50")
                .commit()
            )
            await book.void(sale.id, "returned")
            posted = 0
            async for change in changes:
                match change:
                    case JournalPosted(journal=journal):
                        posted += 1
                        print("posted", journal.memo)
                    case JournalVoided(void_reason=reason):
                        print("voided", reason)
                if posted == 2:
                    break
            while live.journals_applied < 2:
                await live.changed(live.version)
            print("till", live.balance("Shop", "Assets:Till").balance)
        await client.drop_database(database.name)


asyncio.run(main())

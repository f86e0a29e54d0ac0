"""Wallets in two currencies: debits equal credits in each, and a transfer joins the caller's transaction.

Run it against a replica set: MONGODB_URI=mongodb://... python examples/wallets.py
"""

import asyncio
import os
from typing import Any

from pymongo import AsyncMongoClient

from medici_py import Book, TransactionError, init_models, mongo_transaction


async def main() -> None:
    async with AsyncMongoClient[dict[str, Any]](os.environ["MONGODB_URI"]) as client:
        database = client["medici_py_examples"]
        await client.drop_database(database.name)
        await init_models(database)
        book = Book("Wallets", database, precision=0, dimensions=("currency",))

        async def deposit(wallet: str, amount: int, currency: str) -> None:
            meta = {"currency": currency}
            await (
                book.entry(f"deposit to {wallet}")
                .debit("Assets:OnChain", amount, meta)
                .credit(f"Liabilities:{wallet}", amount, meta)
                .commit()
            )

        await deposit("alice", 150_000, "BTC")
        await deposit("bob", 2_500, "USD")

        async def pay_and_note(session: Any) -> None:
            """A transfer and the application's own row: both or neither."""
            meta = {"currency": "BTC"}
            journal = await (
                book.entry("alice pays bob")
                .debit("Liabilities:alice", 50_000, meta)
                .credit("Liabilities:bob", 50_000, meta)
                .commit(session=session)
            )
            await database["payments"].insert_one({"journal": journal.id}, session=session)

        await mongo_transaction(client, pay_and_note)

        try:
            await (
                book.entry("bitcoin is no dollar")
                .debit("Liabilities:alice", 10, {"currency": "BTC"})
                .credit("Liabilities:alice", 10, {"currency": "USD"})
                .commit()
            )
        except TransactionError as error:
            print(error)

        for wallet in ("alice", "bob"):
            for currency in ("BTC", "USD"):
                balance = await book.balance(f"Liabilities:{wallet}", {"currency": currency})
                print(wallet, currency, balance.balance)
        await client.drop_database(database.name)


asyncio.run(main())

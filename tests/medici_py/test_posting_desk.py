"""What the books of one database share inside a process, and what they must not wait for."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from medici_py import Book
from medici_py.posting_desk import LANES

Pay = Callable[..., Any]


async def test_entries_that_wait_for_an_open_session_hold_nobody_else_up(book: Book, pay: Pay) -> None:
    """More entries than there are lanes meet a transaction that stays open; an unrelated one is posted."""
    await pay(book, 100, credit="Wallets:1")

    async def withdraw(**options: Any) -> None:
        entry = book.entry("withdrawal").debit("Wallets:1", 1, min_balance=0)
        await entry.credit("Assets:Cash", 1).commit(**options)

    lanes = book._poster.desk._lanes
    async with book.database.client.start_session() as session:
        await session.start_transaction()
        await withdraw(session=session)
        waiting = [asyncio.create_task(withdraw()) for _ in range(LANES + 1)]
        deadline = time.monotonic() + 30
        while not lanes.locked():
            assert time.monotonic() < deadline, "the withdrawals do not fill the lanes"
            await asyncio.sleep(0.01)
        async with asyncio.timeout(30):
            await pay(book, 5, credit="Income")
        assert not any(task.done() for task in waiting)
        await session.abort_transaction()
    await asyncio.gather(*waiting)
    assert (await book.balance("Wallets:1")).balance == 100 - len(waiting)
    assert (await book.balance("Income")).balance == 5

"""What the books of one database share inside a process, and what they must not wait for."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pymongo
import pytest

from medici_py import Book, Entry, TransactionError, UnknownOutcomeError, mongo_transaction
from medici_py.posting_desk import LANES

Pay = Callable[..., Any]
Fail = Callable[..., Any]


def withdrawal(book: Book, *, key: str | None = None) -> Entry:
    entry = book.entry("withdrawal", key=key).debit("Wallets:1", 1, min_balance=0)
    return entry.credit("Assets:Cash", 1)


@asynccontextmanager
async def held_wallet(book: Book) -> AsyncIterator[None]:
    """Keep the wallet in the open transaction of a session; nothing of that is left afterwards."""
    async with book.database.client.start_session() as session:
        await session.start_transaction()
        await withdrawal(book).commit(session=session)
        yield
        await session.abort_transaction()


async def until_retried(book: Book, times: int) -> None:
    deadline = time.monotonic() + 30
    before = book.commit_stats.retries
    while book.commit_stats.retries < before + times:
        assert time.monotonic() < deadline, "the withdrawals do not meet the session's transaction"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("group_commit", [True, False], ids=["shared", "own"])
async def test_entries_that_wait_for_an_open_session_hold_nobody_else_up(
    book_factory: Callable[..., Book], pay: Pay, group_commit: bool
) -> None:
    """More entries than there are lanes meet a transaction that stays open: all else is done meanwhile."""
    book = book_factory(group_commit=group_commit)
    others = [book_factory(group_commit=shared) for shared in (True, False)]
    await pay(book, 100, credit="Wallets:1")
    wrong = await pay(book, 7)
    async with held_wallet(book):
        waiting = [asyncio.create_task(withdrawal(book).commit()) for _ in range(2 * LANES)]
        await until_retried(book, LANES)
        async with asyncio.timeout(30):
            for other in others:
                await pay(other, 5, credit="Income")
            await others[0].void(wrong.id)
            await others[0].entry("what if").debit("A", 1).credit("B", 1).dry_run()
            bounded = book.entry("bounded").debit("Assets", 1).credit("Wallets:2", 1, min_balance=0)
            await bounded.commit()
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    assert (await book.balance("Wallets:1")).balance == 100 - len(waiting)
    assert (await book.balance("Income")).balance == 10
    assert (await book.verify()).clean


async def test_closing_does_not_wait_for_entries_whose_callers_have_gone(book: Book, pay: Pay) -> None:
    """They are withdrawn between two tries, though what they meet stays open."""
    await pay(book, 10, credit="Wallets:1")
    async with held_wallet(book):
        waiting = asyncio.create_task(withdrawal(book).commit())
        await until_retried(book, 3)
        waiting.cancel()
        await asyncio.wait([waiting])
        async with asyncio.timeout(30):
            await book.close()
    assert (await book.balance("Wallets:1")).balance == 10


async def test_time_that_one_caller_gives_the_driver_is_nobody_elses(book: Book, pay: Pay) -> None:
    """However short it is, those that share the transaction are posted."""
    await pay(book)

    async def impatient() -> None:
        with pymongo.timeout(0.001):
            await pay(book)

    hurried, *others = await asyncio.gather(
        impatient(), *(pay(book) for _ in range(50)), return_exceptions=True
    )
    assert hurried is None or isinstance(hurried, (TransactionError, UnknownOutcomeError))
    assert not [answer for answer in others if isinstance(answer, BaseException)]


@pytest.mark.parametrize("group_commit", [True, False], ids=["shared", "own"])
async def test_time_that_a_caller_gives_the_driver_ends_its_wait(
    faulty_bank: Any, fail: Fail, pay: Pay, group_commit: bool
) -> None:
    """The same entry may be committed again, and is posted once."""
    book = Book("Bank", faulty_bank, group_commit=group_commit)
    await pay(book)
    entry = book.entry("slow").debit("A", 1).credit("B", 1)
    await fail("update", times=None, blockConnection=True, blockTimeMS=500)
    async with asyncio.timeout(20):
        with pymongo.timeout(0.1), pytest.raises((TransactionError, UnknownOutcomeError)) as caught:
            await entry.commit()
    if group_commit:
        assert isinstance(caught.value, UnknownOutcomeError)
        assert "the time that pymongo.timeout() gave is over. Commit the same entry again" in str(
            caught.value
        )
    await fail("update", times=0)
    assert (await entry.commit()).id == entry.id
    assert (await book.balance("B")).notes == 1


@pytest.mark.parametrize("way", ["session", "dry run"])
async def test_first_journal_that_cannot_be_read_for_a_moment_is_read_again(
    faulty_bank: Any, fail: Fail, way: str
) -> None:
    """By whoever tries the open transaction again; nobody is told that its outcome is unknown."""
    book = Book("Bank", faulty_bank)

    def entry() -> Entry:
        return book.entry("x", key="k").debit("A", 1).credit("B", 1)

    first = await entry().commit()
    await fail("find", collection="medici_journals", errorCode=112, errorLabels=["TransientTransactionError"])
    if way == "dry run":
        again = await entry().dry_run()
    else:
        again = await mongo_transaction(faulty_bank.client, lambda session: entry().commit(session=session))
    assert (again.id, again.replayed) == (first.id, True)

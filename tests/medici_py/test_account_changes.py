"""`Book.changes` gives the journals of one book, or those that touch some accounts, in commit order."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from medici_py import Book, ChangeStreamInterruptedError, InvalidQueryError, JournalPosted, JournalVoided

Pay = Callable[..., Any]


async def test_journals_of_the_book_arrive_in_commit_order(driver_database: Any, pay: Pay) -> None:
    """A void gives its mark, then its reversal; another book stays out; a position goes on from there."""
    book, other = Book("MainBook", driver_database), Book("Other", driver_database)
    async with aclosing(book.changes()) as opening:
        waiting = asyncio.ensure_future(anext(opening))
        while not waiting.done():
            # The stream opens with the first step, so what it shows first is any one of these.
            await pay(book, memo="begin")
            await asyncio.sleep(0.01)
        begin = (await waiting).position
    await pay(other)
    journal = await pay(book, memo="first")
    await book.void(journal.id, "mistake")
    async with asyncio.timeout(30), aclosing(book.changes(after=begin)) as changes:
        seen = []
        while len(seen) < 3:
            change = await anext(changes)
            if not (isinstance(change, JournalPosted) and change.journal.memo == "begin"):
                seen.append(change)
    posted, voided, reversal = seen
    assert isinstance(posted, JournalPosted)
    assert isinstance(voided, JournalVoided)
    assert isinstance(reversal, JournalPosted)
    assert (journal, list(journal.transactions)) == (posted.journal, [leg.id for leg in posted.transactions])
    assert (journal.id, "MainBook", "mistake") == (voided.journal_id, voided.book, voided.void_reason)
    assert {journal.id} == {leg.original_journal for leg in reversal.transactions}


async def test_account_narrows_to_the_journals_that_touch_it(driver_database: Any, pay: Pay) -> None:
    """Descendants count, and a void of such a journal does too."""
    book = Book("MainBook", driver_database)
    async with aclosing(book.changes(["A", "Z"])) as opening:
        waiting = asyncio.ensure_future(anext(opening))
        while not waiting.done():
            await pay(book, memo="begin", debit="Z", credit="Z")
            await asyncio.sleep(0.01)
        begin = (await waiting).position
    await pay(book, debit="AB", credit="C")
    journal = await pay(book, debit="A:B", credit="C")
    await book.void(journal.id)
    async with asyncio.timeout(30), aclosing(book.changes("A", after=begin)) as changes:
        seen = [await anext(changes) for _ in range(3)]
    assert [JournalPosted, JournalVoided, JournalPosted] == [type(change) for change in seen]


def test_account_that_means_nothing_is_refused_at_the_call(bank: Any) -> None:
    """Not with the first change, which may be hours away."""
    with pytest.raises(InvalidQueryError):
        Book("MainBook", bank).changes([])


async def test_look_up_of_a_void_that_fails_can_be_resumed(faulty_bank: Any, fail: Any, pay: Pay) -> None:
    """The position of the error is before the void, which comes again after it."""
    book = Book("MainBook", faulty_bank)
    journal = await pay(book)
    async with aclosing(book.changes("Income")) as changes:
        waiting = asyncio.ensure_future(anext(changes))
        while not waiting.done():
            await pay(book)
            await asyncio.sleep(0.01)
        begin = (await waiting).position
    await book.void(journal.id)
    await fail("find", collection="medici_transactions", errorCode=8000)
    async with asyncio.timeout(30), aclosing(book.changes("Income", after=begin)) as changes:
        with pytest.raises(ChangeStreamInterruptedError, match="could not be looked up") as caught:
            _ = [change async for change in changes]
    async with asyncio.timeout(30), aclosing(book.changes("Income", after=caught.value.position)) as changes:
        assert isinstance(await anext(changes), JournalVoided)

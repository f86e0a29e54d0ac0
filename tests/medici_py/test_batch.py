"""`Book.batch`: many entries, of several books, posted together or not at all."""

from collections.abc import Callable
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from medici_py import (
    Book,
    BookClosedError,
    DuplicateEntryError,
    InsufficientBalanceError,
    TransactionError,
    UnknownOutcomeError,
)
from medici_py.embedded import EmbeddedMongo

BookFactory = Callable[..., Book]


def payment(book: Book, amount: int = 1, **entry: Any) -> Any:
    return book.entry("payment", **entry).debit("Assets", amount).credit("Income", amount)


async def post_together(book: Book, *entries: Any) -> Any:
    async with book.batch() as batch:
        for entry in entries:
            batch.add(entry)
    return batch.journals


def withdrawal(book: Book, amount: int) -> Any:
    return book.entry("out").debit("Wallet", amount, min_balance=0).credit("Assets", amount)


async def journals(database: Any) -> int:
    found: int = await database["medici_journals"].count_documents({})
    return found


async def test_entries_of_several_books_are_posted_when_the_block_ends(driver_database: Any) -> None:
    """Nothing stands before that; afterwards everything does, in the order in which it was added."""
    first, second = (Book(name, driver_database) for name in ("First", "Second"))
    async with first.batch() as batch:
        added = [batch.add(payment(book)) for book in (first, second, first)]
        assert await journals(driver_database) == 0
        assert batch.journals == ()
    assert [journal.id for journal in batch.journals] == [entry.id for entry in added]
    assert [journal.book for journal in batch.journals] == ["First", "Second", "First"]
    assert (await first.balance("Income")).balance == 2
    assert (await second.balance("Income")).balance == 1
    assert (await first.verify()).clean
    assert (await second.verify()).clean


@pytest.mark.parametrize("group_commit", [True, False], ids=["shared", "own"])
async def test_one_refused_entry_refuses_the_whole_batch(
    book_factory: BookFactory, bank: Any, group_commit: bool
) -> None:
    """Also the entries before it; the refusal is what the block raises."""
    book, other = book_factory(group_commit=group_commit), book_factory("Other", group_commit=group_commit)
    with pytest.raises(InsufficientBalanceError) as caught:
        await post_together(book, payment(book), payment(other), withdrawal(book, 1))
    assert (caught.value.account, caught.value.balance, caught.value.required) == ("Wallet", 0, 1)
    assert await journals(bank) == 0
    assert (await book.balance()).notes == 0


async def test_entry_is_judged_on_what_the_ones_before_it_leave(book: Book) -> None:
    """What the first brings in the second may spend, and a third may not spend again."""

    def deposit() -> Any:
        return book.entry("in").debit("Assets", 5).credit("Wallet", 5)

    await post_together(book, deposit(), withdrawal(book, 5))
    assert (await book.balance("Wallet")).balance == 0
    with pytest.raises(InsufficientBalanceError):
        await post_together(book, deposit(), withdrawal(book, 5), withdrawal(book, 5))
    assert (await book.balance("Wallet")).balance == 0


async def test_block_that_raises_posts_nothing(book: Book, bank: Any) -> None:
    """The caller's error comes out as it is, and the batch is over."""
    batch = book.batch()

    async def break_off() -> None:
        async with batch:
            batch.add(payment(book))
            raise LookupError("nowhere")

    with pytest.raises(LookupError, match="nowhere"):
        await break_off()
    assert await journals(bank) == 0
    with pytest.raises(TransactionError, match="its batch has ended"):
        batch.add(payment(book))


async def test_empty_batch_posts_nothing(book: Book, bank: Any) -> None:
    """And is no error."""
    async with book.batch() as batch:
        pass
    assert batch.journals == ()
    assert await journals(bank) == 0


async def test_replays_inside_a_batch_stand_beside_what_is_new(book: Book, bank: Any) -> None:
    """A key used before the batch, or by an entry before in it, gives the first journal back."""
    before = await payment(book, key="old").commit()
    async with book.batch() as batch:
        batch.add(payment(book, key="old"))
        batch.add(payment(book, key="new"))
        batch.add(payment(book, key="new"))
    old, new, repeated = batch.journals
    assert (old.id, old.replayed) == (before.id, True)
    assert (new.replayed, repeated.replayed) == (False, True)
    assert new.id == repeated.id
    assert await journals(bank) == 2


async def test_key_of_another_entry_refuses_the_whole_batch(book: Book, bank: Any) -> None:
    """Within the batch as much as before it."""
    with pytest.raises(DuplicateEntryError) as caught:
        await post_together(book, payment(book, 1, key="k"), payment(book, 2, key="k"))
    assert str(caught.value) == (
        "Entry 'payment' refused: its key 'k' was used in book 'MainBook' by another entry of the same batch: "
        "this one has debit 2 on Assets, credit 2 on Income; lacks debit 1 on Assets, credit 1 on Income. "
        "Nothing was written."
    )
    assert await journals(bank) == 0
    assert await bank["medici_py_keys"].count_documents({}) == 0
    await payment(book, 2, key="k").commit()


async def test_batch_under_used_keys_is_repeated_without_posting_twice(book: Book, bank: Any) -> None:
    """So a batch whose outcome is unknown can be sent again."""
    for replayed in (False, True):
        async with book.batch() as batch:
            for number in range(3):
                batch.add(payment(book, key=str(number)))
        assert [journal.replayed for journal in batch.journals] == [replayed] * 3
    assert await journals(bank) == 3


@pytest.mark.parametrize("group_commit", [True, False], ids=["shared", "own"])
async def test_batch_of_unknown_outcome_is_found_out_beside_a_replay(
    faulty_bank: Any, fail: Callable[..., Any], group_commit: bool
) -> None:
    """An entry under a used key never becomes a journal; the others are found by their own, bounds or not."""
    book = Book("Bank", faulty_bank, group_commit=group_commit)
    await payment(book, key="fee").commit()
    await book.entry("in").debit("Assets", 5).credit("Wallet", 5).commit()
    entries = [payment(book, key="fee"), payment(book), withdrawal(book, 5)]
    await fail("commitTransaction", writeConcernError={"code": 50, "errmsg": "too slow"})
    with pytest.raises(UnknownOutcomeError, match="Add the same entries to a new batch again"):
        await post_together(book, *entries)
    fee, *found = await post_together(book, *entries)
    assert (fee.memo, fee.replayed) == ("payment", True)
    assert [journal.id for journal in found] == [entry.id for entry in entries[1:]]
    assert await journals(faulty_bank) == 4
    assert (await book.balance("Wallet")).balance == 0
    assert (await book.verify()).clean


async def test_batch_in_a_callers_session_counts_when_it_commits(book: Book, bank: Any) -> None:
    """Aborted, nothing of it stands."""
    for commits in (False, True):
        async with bank.client.start_session() as session:
            await session.start_transaction()
            async with book.batch(session=session) as batch:
                batch.add(payment(book))
                batch.add(payment(book))
            assert len(batch.journals) == 2
            assert await journals(bank) == 0
            await (session.commit_transaction() if commits else session.abort_transaction())
        assert await journals(bank) == (2 if commits else 0)
    assert (await book.verify()).clean


async def test_batch_gives_a_session_without_a_transaction_one(book: Book, bank: Any) -> None:
    """And commits it."""
    async with bank.client.start_session() as session:
        async with book.batch(session=session) as batch:
            batch.add(payment(book))
        assert not session.in_transaction
    assert await journals(bank) == 1


async def test_entry_that_cannot_be_posted_is_refused_when_it_is_added(book: Book, bank: Any) -> None:
    """Empty, unbalanced, committed before or in a batch already: the rest of the batch stands."""
    committed = payment(book)
    await committed.commit()
    async with book.batch() as batch:
        kept = batch.add(payment(book))
        for refused, why in [
            (book.entry("empty"), "has no legs"),
            (book.entry("odd").debit("A", 1), "does not balance"),
            (committed, "is posted, or in this batch, already"),
            (kept, "is posted, or in this batch, already"),
        ]:
            with pytest.raises(TransactionError, match=why):
                batch.add(refused)
    assert await journals(bank) == 2
    assert (await kept.commit()).id == batch.journals[0].id
    assert await journals(bank) == 2


async def test_entry_of_another_database_or_client_is_refused(
    book: Book, bank: Any, mongodb: EmbeddedMongo
) -> None:
    """One transaction could not hold it."""
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client, book.batch() as batch:
        for stranger in (bank.client["elsewhere"], client[bank.name]):
            entry = payment(Book("MainBook", stranger))
            with pytest.raises(TransactionError, match="a batch takes entries of one database"):
                batch.add(entry)
            entry.debit("A", 1)  # It is still open.


@pytest.mark.parametrize("closed", ["MainBook", "Other"])
async def test_batch_with_a_closed_book_is_refused(book_factory: BookFactory, bank: Any, closed: str) -> None:
    """Whichever of its books it is: closing promises that nothing is written any more."""
    books = {name: book_factory(name) for name in ("MainBook", "Other")}

    async def close_before_the_end() -> None:
        async with books["MainBook"].batch() as batch:
            for book in books.values():
                batch.add(payment(book))
            await books[closed].close()

    with pytest.raises(BookClosedError):
        await close_before_the_end()
    assert await journals(bank) == 0


async def test_batch_works_on_mongomock_for_its_callers_tests(mongomock_database: Any) -> None:
    """One after the other, judged before anything is written."""
    book = Book("Bank", mongomock_database)
    async with book.batch() as batch:
        batch.add(payment(book))
        batch.add(payment(book))
    assert len(batch.journals) == 2
    with pytest.raises(InsufficientBalanceError):
        await post_together(book, payment(book), withdrawal(book, 1))
    assert await journals(mongomock_database) == 2

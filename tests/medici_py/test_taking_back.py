"""A journal is taken back once: by a void, or by an entry of the application's own, never by both."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bson import ObjectId
from mongomock_motor import AsyncMongoMockClient
from pymongo import AsyncMongoClient

from medici_py import (
    Book,
    DuplicateEntryError,
    Entry,
    Journal,
    JournalAlreadyVoidedError,
    JournalNotFoundError,
    JournalTakenBackError,
    TransactionError,
    UnknownOutcomeError,
    mongo_transaction,
    take_back,
    transactions,
)
from medici_py.embedded import EmbeddedMongo

Pay = Callable[..., Awaitable[Journal]]


def refund(book: Book, amount: Any = 100, *, memo: str = "refund", key: str | None = None) -> Entry:
    """The legs of `pay` with the sides swapped."""
    return book.entry(memo, key=key).debit("Income", amount).credit("Assets:Cash", amount)


async def income(book: Book) -> int:
    return int((await book.balance("Income")).balance)


async def journals(book: Book) -> int:
    return await book.database["medici_journals"].count_documents({"book": book.name})


@pytest.fixture
def book(driver_database: Any) -> Book:
    return Book("MainBook", driver_database)


class TestTakingBack:
    async def test_entry_is_posted_and_the_journal_marked(self, book: Book, pay: Pay) -> None:
        """The journal is not voided; the auditor finds nothing."""
        journal = await pay(book)
        back = await take_back(book, str(journal.id), refund(book))
        assert (back.memo, back.replayed, await income(book)) == ("refund", False, 0)
        stored = await book.database["medici_journals"].find_one({"_id": journal.id})
        assert stored is not None
        assert (stored["taken_back_by"], "voided" in stored) == (back.id, False)
        assert (await book.verify()).clean

    async def test_journal_is_taken_back_once(self, book: Book, pay: Pay) -> None:
        """Neither a void nor another entry comes after an entry; the error names what has taken it back."""
        journal = await pay(book)
        back = await take_back(book, journal.id, refund(book, key="a"))
        for again in (book.void(journal.id), take_back(book, journal.id, refund(book, key="b"))):
            with pytest.raises(JournalTakenBackError, match=f"by journal {back.id}, and is not") as raised:
                await again
            assert (raised.value.journal_id, raised.value.taken_back_by) == (journal.id, back.id)
            assert not raised.value.counts_again
        assert (await income(book), await journals(book)) == (0, 2)

    async def test_voided_journal_is_not_taken_back(self, book: Book, pay: Pay) -> None:
        """It has been taken back."""
        journal = await pay(book)
        await book.void(journal.id)
        with pytest.raises(JournalAlreadyVoidedError):
            await take_back(book, journal.id, refund(book))
        assert (await income(book), await journals(book)) == (0, 2)

    async def test_repeat_returns_the_first_journal(self, book: Book, pay: Pay) -> None:
        """Under the same key, or of the same entry; other content under the key is refused."""
        journal = await pay(book)
        entry = refund(book, key="refund-1")
        back = await take_back(book, journal.id, entry)
        for again, replayed in ((entry, False), (refund(book, key="refund-1"), True)):
            repeated = await take_back(book, journal.id, again)
            assert (repeated.id, repeated.replayed) == (back.id, replayed)
        with pytest.raises(DuplicateEntryError, match="refund-1"):
            await take_back(book, journal.id, refund(book, key="refund-1", memo="other"))
        assert (await income(book), await journals(book)) == (0, 2)

    async def test_entry_posted_under_the_key_without_a_mark_is_marked(self, book: Book, pay: Pay) -> None:
        """It has taken the journal back, though nobody wrote it down."""
        journal = await pay(book)
        back = await refund(book, key="refund-1").commit()
        assert (await take_back(book, journal.id, refund(book, key="refund-1"))).id == back.id
        with pytest.raises(JournalTakenBackError, match=str(back.id)):
            await book.void(journal.id)

    async def test_what_does_not_take_the_journal_back_is_refused(self, book: Book, pay: Pay) -> None:
        """Other amounts, accounts, sides or legs, another book, no such journal; nothing is written."""
        journal = await pay(book)
        other = Book("Other", book.database)
        wrong: list[tuple[Book, ObjectId | str, Entry, type[Exception], str]] = [
            (book, journal.id, refund(book, 99), TransactionError, "with the sides swapped"),
            (
                book,
                journal.id,
                book.entry("x").debit("Assets:Cash", 100).credit("Income", 100),
                TransactionError,
                "with the sides swapped",
            ),
            (
                book,
                journal.id,
                refund(book).debit("Income", 1).credit("Assets:Cash", 1),
                TransactionError,
                "with the sides swapped",
            ),
            (book, journal.id, book.entry("x"), TransactionError, "has no legs"),
            (book, journal.id, refund(other), TransactionError, "it is of book 'Other'"),
            (book, "no id", refund(book), TransactionError, "journal_id"),
            (book, ObjectId(), refund(book), JournalNotFoundError, "could not be found"),
            (other, journal.id, refund(other), JournalNotFoundError, "book 'Other'"),
        ]
        for where, journal_id, entry, error, message in wrong:
            with pytest.raises(error, match=message):
                await take_back(where, journal_id, entry)
        assert (await income(book), await journals(book)) == (100, 1)
        await book.void(journal.id)

    async def test_entry_of_a_book_of_that_name_elsewhere_is_refused(self, book: Book, pay: Pay) -> None:
        """One transaction would mark the journal here and post the entry there."""
        journal = await pay(book)
        elsewhere = Book(book.name, book.database.client["elsewhere"])
        with pytest.raises(TransactionError, match="of another database or client"):
            await take_back(book, journal.id, refund(elsewhere))
        assert (await income(book), await journals(elsewhere)) == (100, 0)
        stored = await book.database["medici_journals"].find_one({"_id": journal.id})
        assert stored is not None
        assert "taken_back_by" not in stored

    async def test_abort_of_the_callers_session_leaves_nothing(self, book: Book, pay: Pay) -> None:
        """Neither the entry nor the mark."""
        journal = await pay(book)

        async def change_of_mind(session: Any) -> None:
            await take_back(book, journal.id, refund(book), session=session)
            with pytest.raises(JournalTakenBackError):
                await book.void(journal.id, session=session)
            raise LookupError

        with pytest.raises(LookupError):
            await mongo_transaction(book._store.client, change_of_mind)
        assert (await income(book), await journals(book)) == (100, 1)
        await book.void(journal.id)
        assert await income(book) == 0

    async def test_field_of_somebody_else_under_that_name_stands_in_nobodys_way(
        self, book: Book, pay: Pay
    ) -> None:
        """An application's own journals may have one; the auditor minds it as little."""
        for theirs in ("Anna", 5, None, {"by": "Anna"}, ObjectId(), [1]):
            taken, voided = await pay(book), await pay(book)
            await book.database["medici_journals"].update_many(
                {"_id": {"$in": [taken.id, voided.id]}}, {"$set": {"taken_back_by": theirs}}
            )
            await take_back(book, taken.id, refund(book))
            await book.void(voided.id)
        assert await income(book) == 0
        assert (await book.verify()).clean


async def test_success_that_was_lost_is_recognised(
    book: Book, pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second try does not mistake its own mark for somebody else's."""
    journal = await pay(book)
    commit = transactions._commit
    tries = []

    async def commit_and_forget(session: Any, deadline: float) -> bool:
        tries.append(await commit(session, deadline))
        return len(tries) > 1

    monkeypatch.setattr(transactions, "_commit", commit_and_forget)
    entry = refund(book)
    assert (await take_back(book, journal.id, entry)).id == entry.id
    assert (tries, await income(book), await journals(book)) == ([True, True], 0, 2)


@pytest.mark.parametrize("in_session", [False, True])
async def test_errors_of_the_driver_are_named(
    faulty_bank: Any, fail: Callable[..., Any], pay: Pay, in_session: bool
) -> None:
    """As those of a commit: nothing was written, or the same entry finds out whether it was."""
    book = Book("Bank", faulty_bank)
    journal, entry = await pay(book), refund(book)
    async with faulty_bank.client.start_session() as own:
        session = own if in_session else None
        await fail("find", errorCode=13)
        with pytest.raises(TransactionError, match="Failure to save journal"):
            await take_back(book, journal.id, entry, session=session)
        await fail("commitTransaction", writeConcernError={"code": 50, "errmsg": "too slow"})
        with pytest.raises(
            UnknownOutcomeError, match=f"taken back by {entry.id}.* with the same entry again"
        ):
            await take_back(book, journal.id, entry, session=session)
        assert (await take_back(book, journal.id, entry, session=session)).id == entry.id
    assert (await income(book), await journals(book)) == (0, 2)


class TestWhatTookItBackIsVoided:
    async def test_journal_counts_again_and_is_taken_back_by_the_end_of_the_chain(
        self, book: Book, pay: Pay
    ) -> None:
        """As after a void that was voided: only the last journal of the chain can be voided."""
        journal = await pay(book)
        back = await take_back(book, journal.id, refund(book))
        unback = await book.void(back.id)
        assert await income(book) == 100
        for again in (book.void(journal.id), take_back(book, journal.id, refund(book))):
            with pytest.raises(JournalTakenBackError, match=f"void the reversal of {back.id}") as raised:
                await again
            assert raised.value.counts_again
        await book.void(unback.id)
        assert await income(book) == 0
        assert (await book.verify()).clean

    async def test_repeat_returns_it_as_it_is_now(self, book: Book, pay: Pay) -> None:
        """A key that was used stays used; who repeats the request can see that it was voided."""
        journal = await pay(book)
        back = await take_back(book, journal.id, refund(book, key="a"))
        await book.void(back.id)
        again = await take_back(book, journal.id, refund(book, key="a"))
        assert (again.id, again.replayed, again.voided, await income(book)) == (back.id, True, True, 100)

    async def test_what_took_it_back_can_be_taken_back(self, book: Book, pay: Pay) -> None:
        """By an entry in its turn."""
        journal = await pay(book)
        back = await take_back(book, journal.id, refund(book))
        anew = book.entry("charged again").debit("Assets:Cash", 100).credit("Income", 100)
        last = await take_back(book, back.id, anew)
        assert await income(book) == 100
        await book.void(last.id)
        assert await income(book) == 0


class TestAtOnce:
    async def test_exactly_one_of_many_succeeds(
        self, *, book: Book, pay: Pay, mongodb: EmbeddedMongo
    ) -> None:
        """Voids and entries, from two clients that share nothing."""
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            books = (book, Book(book.name, client[book.database.name]))
            for _ in range(4):
                journal = await pay(book)
                outcomes = await asyncio.gather(
                    *(one.void(journal.id) for one in books for _ in range(2)),
                    *(take_back(one, journal.id, refund(one)) for one in books for _ in range(2)),
                    return_exceptions=True,
                )
                refused = [one for one in outcomes if not isinstance(one, Journal)]
                assert len(refused) == len(outcomes) - 1
                assert {type(one) for one in refused} <= {JournalAlreadyVoidedError, JournalTakenBackError}
                assert await income(book) == 0
        assert (await book.verify()).clean

    async def test_repeats_at_once_give_one_journal(self, book: Book, pay: Pay) -> None:
        """Under one key everybody gets it, and a void that comes between is refused or the only one."""
        journal = await pay(book)
        backs = await asyncio.gather(
            *(take_back(book, journal.id, refund(book, key="refund-1")) for _ in range(5))
        )
        assert len({back.id for back in backs}) == 1
        assert sorted(back.replayed for back in backs) == [False, True, True, True, True]

    @pytest.mark.parametrize("late", ["void", "entry"])
    async def test_one_that_began_before_the_other_starts_again_and_finds_it(
        self, *, book: Book, pay: Pay, late: str
    ) -> None:
        """Its snapshot does not have the other's mark; only the write conflict tells."""
        journal = await pay(book)
        tries = 0
        ways: dict[str, Callable[[Any], Awaitable[Journal]]] = {
            "void": lambda session: book.void(journal.id, session=session),
            "entry": lambda session: take_back(book, journal.id, refund(book), session=session),
        }
        early = "entry" if late == "void" else "void"

        async def begin_before(session: Any) -> None:
            nonlocal tries
            tries += 1
            await book.balance("Income", session=session)
            if tries == 1:
                await ways[early](None)
            await ways[late](session)

        with pytest.raises((JournalTakenBackError, JournalAlreadyVoidedError)):
            await mongo_transaction(book._store.client, begin_before)
        assert (tries, await income(book)) == (2, 0)


@pytest.mark.parametrize("seed", range(3))
async def test_books_agree_with_the_model_whatever_is_taken_back(
    *, book_factory: Callable[[], Book], pay: Pay, seed: int
) -> None:
    """Each journal is taken back by at most one other; it counts unless that one does."""
    book, chance = book_factory(), random.Random(seed)
    amounts: dict[ObjectId, int] = {}
    takers: dict[ObjectId, ObjectId] = {}
    for _ in range(40):
        if len(amounts) < 3:
            journal = await pay(book, number := chance.randrange(1, 100))
            amounts[journal.id] = number
            continue
        journal_id = chance.choice(list(amounts))
        amount = amounts[journal_id]
        entry = book.entry("back").debit("Income", amount).credit("Assets:Cash", amount)
        if amount < 0:
            entry = book.entry("back").debit("Assets:Cash", -amount).credit("Income", -amount)
        do: Callable[[], Awaitable[Journal]] = chance.choice(
            [lambda: book.void(journal_id), lambda: take_back(book, journal_id, entry)]  # noqa: B023 - run at once
        )
        if journal_id in takers:
            with pytest.raises((JournalTakenBackError, JournalAlreadyVoidedError)):
                await do()
            continue
        back = await do()
        takers[journal_id] = back.id
        amounts[back.id] = -amount
        assert await income(book) == sum(amounts.values())
    assert len(takers) > 5
    report = await book.verify()
    assert report.differences == ()


async def test_without_transactions_it_is_refused_all_the_same(pay: Pay) -> None:
    """On mongomock, for the unit tests of applications."""
    book = Book("MainBook", AsyncMongoMockClient()["bank"], running_balances=False)
    journal = await pay(book)
    await take_back(book, journal.id, refund(book))
    with pytest.raises(JournalTakenBackError):
        await book.void(journal.id)
    assert await income(book) == 0


async def test_node_voids_it_all_the_same_and_the_auditor_says_so(*, bank: Any, pay: Pay, node: Any) -> None:
    """Node passes the mark over: the journal is taken back twice until one of the two is voided."""
    book, node_book = Book("MainBook", bank, running_balances=False), node.book("MainBook")
    journal = await pay(book)
    back = await take_back(book, journal.id, refund(book))
    assert (await node_book.balance("Income")).balance == 0
    await node_book.void(journal.id)
    assert await income(book) == -100
    [difference] = (await book.verify()).differences
    assert difference.kind == "SeveralReversals"
    assert str(back.id) in difference.text
    await book.void(back.id)
    assert await income(book) == 0
    assert (await book.verify()).clean

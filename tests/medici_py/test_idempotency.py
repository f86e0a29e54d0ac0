"""``key=``: one entry stands under it, however often, wherever and whenever it is sent again."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient

from medici_py import (
    Book,
    ConsistencyError,
    DuplicateEntryError,
    Journal,
    TransactionError,
    UnknownOutcomeError,
    mongo_transaction,
)
from medici_py.embedded import EmbeddedMongo

BookFactory = Callable[..., Book]

KEYS = "medici_py_keys"
FIRST_ORIGINAL, OTHER_ORIGINAL = ObjectId(), ObjectId()


def payment(book: Book, key: str | None = "k") -> Any:
    return book.entry("payment", key=key).debit("Assets", 5).credit("Income", 5)


async def counts(database: Any) -> tuple[int, int, int]:
    journals, legs, keys = [
        await database[name].count_documents({}) for name in ("medici_journals", "medici_transactions", KEYS)
    ]
    return journals, legs, keys


@pytest.mark.parametrize("group_commit", [True, False], ids=["shared", "own"])
@pytest.mark.parametrize("running_balances", [True, False], ids=["rows", "entries"])
async def test_repeat_returns_the_first_journal_and_writes_nothing(
    driver_database: Any, running_balances: bool, group_commit: bool
) -> None:
    """It says so by ``replayed``, and is the first journal in everything else."""
    book = Book("Bank", driver_database, running_balances=running_balances, group_commit=group_commit)
    first = await payment(book).commit()
    again = payment(book)
    repeat = await again.commit()
    assert (first.replayed, repeat.replayed) == (False, True)
    assert repeat.model_copy(update={"replayed": False}) == first
    assert await again.commit() is repeat
    assert await counts(driver_database) == (1, 2, 1)
    assert (await book.balance("Income")).balance == 5


@pytest.mark.parametrize("group_commit", [True, False], ids=["shared", "own"])
async def test_twenty_at_once_from_two_processes_post_one_journal(
    bank: Any, mongodb: EmbeddedMongo, group_commit: bool
) -> None:
    """Exactly one of them is the first, and all others replay that one; other entries are not hindered."""
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
        books = [Book("Bank", of[bank.name], group_commit=group_commit) for of in (bank.client, client)]
        keyed = [payment(book) for _ in range(10) for book in books]
        others = [payment(book, key=f"other {number}") for number, book in enumerate(books)]
        answers: list[Journal] = await asyncio.gather(*(entry.commit() for entry in (*keyed, *others)))
    assert len({journal.id for journal in answers[:20]}) == 1
    assert [journal.replayed for journal in answers].count(False) == 3
    assert await counts(bank) == (3, 6, 3)
    assert (await books[0].verify()).clean


async def test_key_belongs_to_its_book(book_factory: BookFactory) -> None:
    """The same text in another book is another key."""
    one, other = [await payment(book_factory(name)).commit() for name in ("One", "Other")]
    assert not one.replayed
    assert not other.replayed


async def test_order_of_legs_and_keys_and_the_way_an_amount_is_written_make_no_difference(book: Book) -> None:
    """Two entries are the same if they say the same."""
    first = (
        book.entry("x", key="k")
        .debit("A", "5.50", {"a": 1, "nested": {"b": 1, "c": [1, {"d": 1, "e": 2}]}})
        .credit("B", 5.5)
    )
    again = (
        book.entry("x", key="k")
        .credit("B", "5.500")
        .debit("A", 5.5, {"nested": {"c": [1, {"e": 2, "d": 1}], "b": 1}, "a": 1})
    )
    assert (await again.commit()).id == (await first.commit()).id


JOE = {"client": "Joe"}


def keyed(book: Book, **changes: Any) -> Any:
    """Build the entry of the table below, with *changes*."""
    is_so: dict[str, Any] = {
        "memo": "payment",
        "date": 0,
        "original_journal": FIRST_ORIGINAL,
        "debit": ("A", 5, JOE),
        "credit": ("B", 5),
        **changes,
    }
    entry = book.entry(is_so["memo"], key="k", date=is_so["date"], original_journal=is_so["original_journal"])
    return entry.debit(*is_so["debit"]).credit(*is_so["credit"])


DIFFERENT: list[tuple[dict[str, Any], list[str]]] = [
    ({"memo": "payout"}, ["memo 'payout' instead of 'payment'"]),
    (
        {"debit": ("A", 6, JOE), "credit": ("B", 6)},
        [
            "has debit 6 on A with {'meta': {'client': 'Joe'}}, credit 6 on B",
            "lacks debit 5 on A with {'meta': {'client': 'Joe'}}, credit 5 on B",
        ],
    ),
    ({"credit": ("C", 5)}, ["has credit 5 on C", "lacks credit 5 on B"]),
    (
        {"debit": ("B", 5), "credit": ("A", 5, JOE)},
        [
            "has debit 5 on B, credit 5 on A with {'meta': {'client': 'Joe'}}",
            "lacks debit 5 on A with {'meta': {'client': 'Joe'}}, credit 5 on B",
        ],
    ),
    (
        {"debit": ("A", 5, {"client": "Jane"})},
        [
            "has debit 5 on A with {'meta': {'client': 'Jane'}}",
            "lacks debit 5 on A with {'meta': {'client': 'Joe'}}",
        ],
    ),
    ({"date": 1}, ["date 1970-01-01T00:00:00.001000+00:00 instead of 1970-01-01T00:00:00+00:00"]),
    ({"date": None}, ["date none instead of 1970-01-01T00:00:00+00:00"]),
    ({"original_journal": OTHER_ORIGINAL}, ["a value of another type, or another original journal"]),
]


async def test_other_content_under_a_used_key_is_refused_naming_the_difference(book: Book, bank: Any) -> None:
    """Nothing of it is written, and the first entry can still be repeated."""
    journal = await keyed(book).commit()
    for changes, differences in DIFFERENT:
        with pytest.raises(DuplicateEntryError) as caught:
            await keyed(book, **changes).commit()
        assert (caught.value.code, caught.value.field, caught.value.value) == (400, "key", "k")
        assert str(caught.value) == (
            f"Entry {changes.get('memo', 'payment')!r} refused: its key 'k' was used in book 'MainBook' by journal "
            f"{journal.id}, which is another entry: this one {'; '.join(differences)}. Nothing was written."
        )
    assert await counts(bank) == (1, 2, 1)
    assert (await keyed(book).commit()).replayed


async def test_entry_that_shares_a_transaction_with_another_one_under_its_key_is_refused(book: Book) -> None:
    """The first of a burst stands; the error names its journal though both came at once."""
    await book.entry("the book is begun").debit("A", 1).credit("B", 1).commit()
    mine, other = payment(book), book.entry("other", key="k").debit("A", 1).credit("B", 1)
    first, error = await asyncio.gather(mine.commit(), other.commit(), return_exceptions=True)
    assert isinstance(first, Journal)
    assert isinstance(error, DuplicateEntryError)
    assert f"by journal {first.id}" in str(error)


async def test_key_of_a_session_counts_when_that_commits(driver_database: Any) -> None:
    """Aborted, the key is free again; inside, a repeat sees what the session has done."""
    book = Book("Bank", driver_database)

    async def give_up(session: Any) -> None:
        await payment(book).commit(session=session)
        raise LookupError

    with pytest.raises(LookupError):
        await mongo_transaction(driver_database.client, give_up)
    assert await counts(driver_database) == (0, 0, 0)

    async def post_twice(session: Any) -> tuple[Journal, Journal]:
        return await payment(book).commit(session=session), await payment(book).commit(session=session)

    first, repeat = await mongo_transaction(driver_database.client, post_twice)
    assert (first.id, first.replayed, repeat.id, repeat.replayed) == (first.id, False, first.id, True)
    assert (await payment(book).commit()).replayed
    assert await counts(driver_database) == (1, 2, 1)


async def test_refused_repeat_in_a_session_leaves_its_transaction_open(book: Book, bank: Any) -> None:
    """Nothing was written, so the caller may go on."""
    first = await payment(book).commit()

    async def work(session: Any) -> None:
        with pytest.raises(DuplicateEntryError, match=f"by journal {first.id}"):
            await book.entry("other", key="k").debit("A", 1).credit("B", 1).commit(session=session)
        await payment(book, key="next").commit(session=session)

    await mongo_transaction(bank.client, work)
    assert await counts(bank) == (2, 4, 2)


async def test_new_entry_under_the_key_finds_out_after_an_unknown_outcome(
    faulty_bank: Any, fail: Callable[..., Any]
) -> None:
    """A caller that has lost even its entry object sends the same content again, and never posts twice."""
    book = Book("MainBook", faulty_bank)
    lost = payment(book)
    await fail("commitTransaction", writeConcernError={"code": 50, "errmsg": "too slow"})
    with pytest.raises(UnknownOutcomeError, match="Commit the same entry again"):
        await lost.commit()
    found = await payment(book).commit()
    assert (found.id, found.replayed) == (lost.id, True)
    assert await counts(faulty_bank) == (1, 2, 1)


async def test_void_leaves_the_key_used(book: Book) -> None:
    """A repeat of what was voided returns it voided, and does not post it anew."""
    first = await payment(book).commit()
    await book.void(first.id)
    repeat = await payment(book).commit()
    assert (repeat.id, repeat.replayed, repeat.voided) == (first.id, True, True)
    assert (await book.balance("Income")).balance == 0


async def test_refused_entry_leaves_its_key_free(book: Book, bank: Any) -> None:
    """What was never posted can be sent again when it is covered."""
    out = [book.entry("out", key="k").debit("W", 5, min_balance=0).credit("A", 5) for _ in range(2)]
    with pytest.raises(TransactionError):
        await out[0].commit()
    assert await counts(bank) == (0, 0, 0)
    await book.entry("in").debit("A", 5).credit("W", 5).commit()
    assert not (await out[1].commit()).replayed


async def test_repeat_is_not_judged_by_its_bounds_again(book: Book) -> None:
    """It was posted when it was covered; that it would not be any more is no reason to say it failed."""
    await book.entry("in").debit("A", 5).credit("W", 5).commit()
    first, again = [
        await book.entry("out", key="k").debit("W", 5, min_balance=0).credit("A", 5).commit()
        for _ in range(2)
    ]
    assert (again.id, again.replayed) == (first.id, True)


@pytest.mark.parametrize("other", [True, False], ids=["another entry", "the same entry"])
async def test_journal_deleted_by_hand_is_named(book: Book, bank: Any, other: bool) -> None:
    """The key then promises what is not there: neither a journal nor a second posting is the answer."""
    first = await payment(book).commit()
    await bank["medici_journals"].delete_one({"_id": first.id})
    entry = book.entry("other", key="k").debit("A", 1).credit("B", 1) if other else payment(book)
    with pytest.raises(ConsistencyError, match=f"its key 'k' names journal {first.id}"):
        await entry.commit()


@pytest.mark.parametrize("key", ["", "x" * 513, "é" * 257, 7, b"k", "\ud800"], ids=range(6))
def test_key_that_is_no_short_text_is_refused(mongomock_database: Any, key: Any) -> None:
    """Up to 512 bytes in UTF-8."""
    with pytest.raises(TransactionError, match="key") as caught:
        Book("Bank", mongomock_database).entry("x", key=key)
    assert caught.value.field == "key"


@pytest.mark.parametrize(
    "key", ["x" * 512, "é" * 256, "$a.b", "\x00"], ids=["long", "not ASCII", "operator", "zero"]
)
async def test_any_other_text_is_a_key(book: Book, key: str) -> None:
    """Nothing in it means anything to the database."""
    first, again = [await payment(book, key=key).commit() for _ in range(2)]
    assert (first.replayed, again.replayed) == (False, True)


async def test_keys_work_on_mongomock_for_its_callers_tests(mongomock_database: Any) -> None:
    """One after the other."""
    book = Book("Bank", mongomock_database)
    first, again = [await payment(book).commit() for _ in range(2)]
    assert (again.id, again.replayed) == (first.id, True)
    with pytest.raises(DuplicateEntryError):
        await book.entry("other", key="k").debit("A", 1).credit("B", 1).commit()

"""`Entry.dry_run`: the answer of `commit`, and nothing written."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from medici_py import (
    BalanceLimitError,
    Book,
    BookClosedError,
    DuplicateEntryError,
    InsufficientBalanceError,
    Journal,
    RunningBalancesError,
    TransactionError,
    UnknownOutcomeError,
    init_models,
    mongo_transaction,
)
from medici_py.embedded import EmbeddedMongo

BookFactory = Callable[..., Book]

WRITTEN = (
    "medici_journals",
    "medici_transactions",
    "medici_locks",
    "medici_py_balances",
    "medici_py_books",
    "medici_py_keys",
)


def withdrawal(book: Book, amount: int = 5, **entry: Any) -> Any:
    return book.entry("out", **entry).debit("Wallet", amount, min_balance=0).credit("Assets", amount)


async def deposit(book: Book, amount: int = 5) -> None:
    await book.entry("in").debit("Assets", amount).credit("Wallet", amount).commit()


async def contents(database: Any) -> dict[str, list[Any]]:
    return {name: [one async for one in database[name].find().sort("_id")] for name in WRITTEN}


@pytest.mark.parametrize("running_balances", [True, False], ids=["rows", "entries"])
async def test_dry_run_writes_nothing_and_leaves_the_entry_open(
    driver_database: Any, running_balances: bool
) -> None:
    """It may be changed afterwards, tried again, and is then posted under the id that was shown."""
    book = Book("Bank", driver_database, running_balances=running_balances)
    await deposit(book)
    before = await contents(driver_database)
    entry = withdrawal(book, 4, key="k", date=0)
    preview = await entry.dry_run()
    assert await contents(driver_database) == before
    entry.debit("Wallet", 1).credit("Assets", 1)
    assert len((await entry.dry_run()).transactions) == 4
    assert await contents(driver_database) == before
    journal = await entry.commit()
    assert (journal.id, journal.memo, journal.datetime) == (preview.id, preview.memo, preview.datetime)
    assert not journal.replayed
    assert (await book.verify()).clean


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
async def test_dry_runs_spend_nothing_of_each_other(book_factory: BookFactory, shared: bool) -> None:
    """Each is judged on what is committed, though all could not be together."""
    book = book_factory(group_commit=shared)
    await deposit(book)
    previews: list[Journal] = await asyncio.gather(*(withdrawal(book).dry_run() for _ in range(5)))
    assert len({preview.id for preview in previews}) == 5
    assert (await book.balance("Wallet")).balance == 5


async def test_dry_run_refuses_what_commit_would(book: Book, bank: Any) -> None:
    """Bounds, keys and the entry itself; each with the same words."""
    await deposit(book)
    await withdrawal(book, 1, key="used").commit()
    before = await contents(bank)
    refused: list[tuple[Any, type[Exception]]] = [
        (withdrawal(book, 5), InsufficientBalanceError),
        (book.entry("x").debit("Assets", 7).credit("Wallet", 7, max_balance=10), BalanceLimitError),
        (withdrawal(book, 2, key="used"), DuplicateEntryError),
        (book.entry("odd").debit("A", 1), TransactionError),
        (book.entry("empty"), TransactionError),
    ]
    for entry, error in refused:
        with pytest.raises(error) as previewed:
            await entry.dry_run()
        with pytest.raises(error) as committed:
            await entry.commit()
        assert str(previewed.value) == str(committed.value)
    assert await contents(bank) == before


async def test_dry_run_of_a_repeat_shows_the_first_journal(book: Book) -> None:
    """As the commit would."""
    await deposit(book)
    first = await withdrawal(book, key="k").commit()
    preview = await withdrawal(book, key="k").dry_run()
    assert (preview.id, preview.replayed) == (first.id, True)


async def test_dry_run_of_an_entry_that_stands_shows_its_journal(
    faulty_bank: Any, fail: Callable[..., Any]
) -> None:
    """As another commit would, whether its own has been answered or not: it may have spent everything itself."""
    book = Book("Bank", faulty_bank)
    await deposit(book)
    entry = withdrawal(book)
    await fail("commitTransaction", writeConcernError={"code": 50, "errmsg": "too slow"})
    with pytest.raises(UnknownOutcomeError):
        await entry.commit()
    unanswered = await entry.dry_run()
    assert unanswered.id == entry.id
    assert await entry.commit() == unanswered
    assert await entry.dry_run() == unanswered


async def test_dry_run_takes_a_session_without_a_transaction_only(book: Book, bank: Any) -> None:
    """In an open one a failing write would abort what the caller has done before."""
    await deposit(book)
    async with bank.client.start_session() as session:
        assert (await withdrawal(book).dry_run(session=session)).memo == "out"
        assert not session.in_transaction

    async def work(session: Any) -> None:
        with pytest.raises(TransactionError, match="needs a transaction of its own"):
            await withdrawal(book).dry_run(session=session)
        await withdrawal(book).commit(session=session)

    await mongo_transaction(bank.client, work)
    assert (await book.balance("Wallet")).balance == 0


async def test_dry_run_of_a_book_that_must_not_be_written_says_so(book_factory: BookFactory) -> None:
    """Closed, or opened without the running balances that it keeps."""
    book = book_factory()
    await deposit(book)
    with pytest.raises(RunningBalancesError):
        await withdrawal(book_factory(running_balances=False)).dry_run()
    await book.close()
    with pytest.raises(BookClosedError):
        await withdrawal(book).dry_run()


async def test_first_dry_run_of_a_book_leaves_it_without_entries(book: Book, bank: Any) -> None:
    """Nothing of it shows in any answer."""
    await book.entry("x").debit("A", 1).credit("B", 1).dry_run()
    assert await contents(bank) == {name: [] for name in WRITTEN}
    assert (await book.balance()).notes == 0
    assert await book.balances() == {}
    assert await book.list_accounts() == []


async def test_dry_run_on_mongomock_judges_and_writes_nothing(mongomock_database: Any) -> None:
    """Nothing could be rolled back there."""
    book = Book("Bank", mongomock_database)
    await deposit(book)
    before = await contents(mongomock_database)
    preview = await withdrawal(book).dry_run()
    with pytest.raises(InsufficientBalanceError):
        await withdrawal(book, 6).dry_run()
    assert await contents(mongomock_database) == before
    assert len(preview.transactions) == 2


async def test_dry_run_of_a_batch_says_what_its_end_would_do(book: Book, bank: Any) -> None:
    """Each entry is judged on what the ones before it leave, and a repeat shows the first journal."""
    first = await book.entry("in", key="k").debit("Assets", 5).credit("Wallet", 5).commit()
    before = await contents(bank)
    async with book.batch() as batch:
        assert await batch.dry_run() == ()
        batch.add(book.entry("in", key="k").debit("Assets", 5).credit("Wallet", 5))
        batch.add(withdrawal(book, 5, date=0))
        previews = await batch.dry_run()
        assert [(journal.memo, journal.replayed) for journal in previews] == [("in", True), ("out", False)]
        assert previews[0].id == first.id
        assert await contents(bank) == before
    assert batch.journals == previews
    batch = book.batch()
    batch.add(withdrawal(book, 1))
    with pytest.raises(InsufficientBalanceError):
        await batch.dry_run()
    async with bank.client.start_session() as session:
        await session.start_transaction()
        batch = book.batch(session=session)
        batch.add(withdrawal(book, 1))
        with pytest.raises(TransactionError, match="needs a transaction of its own"):
            await batch.dry_run()


async def test_dry_run_of_a_repeat_within_a_batch_shows_the_first_of_the_two(
    book: Book, mongomock_database: Any
) -> None:
    """Though nothing of either is written."""
    await init_models(mongomock_database)
    for where in (book, Book("Bank", mongomock_database)):
        async with where.batch() as batch:
            for _ in range(2):
                batch.add(where.entry("in", key="k", date=0).debit("Assets", 5).credit("Wallet", 5))
            previews = await batch.dry_run()
            assert [journal.replayed for journal in previews] == [False, True]
            assert previews[0].id == previews[1].id
        assert batch.journals == previews


ACCOUNTS = ["Wallet", "Wallet:a", "Assets"]
legs = st.tuples(
    st.sampled_from(ACCOUNTS),
    st.integers(1, 6),
    st.one_of(st.none(), st.integers(-4, 4)),
    st.one_of(st.none(), st.integers(0, 8)),
)
entries = st.tuples(
    st.lists(st.tuples(legs, st.sampled_from(ACCOUNTS)), min_size=1, max_size=3),
    st.one_of(st.none(), st.sampled_from(["k1", "k2"])),
)
units = st.one_of(entries.map(lambda entry: [entry]), st.lists(entries, min_size=2, max_size=3))


def build(book: Book, drawn: Any) -> Any:
    moves, key = drawn
    entry = book.entry("x", key=key, date=0)
    for (account, amount, minimum, maximum), credited in moves:
        entry.debit(account, amount, min_balance=minimum, max_balance=maximum).credit(credited, amount)
    return entry


async def outcome(call: Any) -> Any:
    try:
        return await call
    except TransactionError as error:
        return type(error), str(error)


async def preview_of(book: Book, unit: list[Any]) -> tuple[Journal, ...]:
    if len(unit) == 1:
        return (await unit[0].dry_run(),)
    batch = book.batch()
    for entry in unit:
        batch.add(entry)
    return await batch.dry_run()


async def posted(book: Book, unit: list[Any], session: Any = None) -> tuple[Journal, ...]:
    if len(unit) == 1:
        return (await unit[0].commit(session=session),)
    async with book.batch(session=session) as batch:
        for entry in unit:
            batch.add(entry)
    return batch.journals


def without_legs(found: Any) -> Any:
    """Leave the ids of legs out, which are the server's own where the book has no running balances."""
    if not all(isinstance(one, Journal) for one in found):
        return found
    return [(len(one.transactions), one.model_copy(update={"transactions": ()})) for one in found]


@settings(
    max_examples=settings.default.max_examples // 5, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(
    drawn=st.lists(st.tuples(units, st.booleans()), min_size=1, max_size=4),
    running_balances=st.booleans(),
    dimensions=st.sampled_from([(), {"layer": "SETTLED"}]),
)
def test_preview_equals_what_commit_does(
    mongodb: EmbeddedMongo, drawn: list[Any], running_balances: bool, dimensions: Any
) -> None:
    """Journals or refusal: of entries and batches, repeats among them, from the first one of a book on.

    Each is previewed and posted twice: what has been posted in a caller's session stands the second time
    without its entry having heard of it. Nobody is told by any preview how to keep the book.
    """
    parameters: dict[str, Any] = {"running_balances": running_balances, "dimensions": dimensions}
    others: dict[str, Any] = {"running_balances": not running_balances, "dimensions": ("other",)}

    async def run() -> None:
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            database = client["dry_runs"]
            await init_models(database)
            name = f"Preview {ObjectId()}"
            book = Book(name, database, **parameters)
            other = {"other": "x"}
            await (
                Book(name, database, **others).entry("x").debit("A", 1, other).credit("B", 1, other).dry_run()
            )
            assert await database["medici_py_books"].count_documents({"_id": name}) == 0
            for each, in_session in drawn:
                unit = [build(book, entry) for entry in each]

                async def post(unit: list[Any] = unit, in_session: bool = in_session) -> tuple[Journal, ...]:
                    if not in_session:
                        return await posted(book, unit)
                    return await mongo_transaction(client, lambda session: posted(book, unit, session))

                for _ in range(1 if len(unit) > 1 and not in_session else 2):  # a batch ends once
                    balances = await book.balances()
                    preview = await outcome(preview_of(book, unit))
                    assert await book.balances() == balances
                    real = await outcome(post())
                    assert without_legs(preview) == without_legs(real)
                    if running_balances:
                        assert preview == real
            assert (await book.verify()).clean

    asyncio.run(run())

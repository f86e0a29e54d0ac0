"""Posting and voiding are all or nothing, exactly once, whatever fails and whoever else is at work."""

import asyncio
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from bson.codec_options import TypeEncoder, TypeRegistry
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.monitoring import CommandListener, CommandStartedEvent
from pymongo.read_concern import ReadConcern

from medici_py import (
    Balance,
    Book,
    DuplicateEntryError,
    Journal,
    JournalAlreadyVoidedError,
    TransactionError,
    UnknownOutcomeError,
    UnreadableDocumentError,
    mongo_transaction,
    transactions,
)
from medici_py.embedded import EmbeddedMongo

Pay = Callable[..., Any]
Fail = Callable[..., Any]

JOURNALS = "medici_journals"
LEGS = "medici_transactions"

TRANSIENT: list[dict[str, Any]] = [
    {"closeConnection": True},
    {"errorCode": 112, "errorLabels": ["TransientTransactionError"]},
    {"errorCode": 10107},
]


async def counts(database: Any) -> tuple[int, int]:
    return await database[JOURNALS].count_documents({}), await database[LEGS].count_documents({})


ROWS = "medici_py_balances"

WRITES_OF_COMMIT = [
    ("update", ROWS),
    ("insert", LEGS),
    ("insert", JOURNALS),
    ("commitTransaction", None),
]
WRITES_OF_VOID = [
    ("find", JOURNALS),
    ("find", LEGS),
    ("update", JOURNALS),
    ("update", LEGS),
    *WRITES_OF_COMMIT,
]


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("how", TRANSIENT, ids=str)
@pytest.mark.parametrize(("command", "collection"), WRITES_OF_COMMIT, ids=str)
async def test_commit_posts_once_though_a_write_fails_in_passing(
    *, command: str, collection: str | None, how: dict[str, Any], shared: bool, faulty_bank: Any, fail: Fail
) -> None:
    """Whichever write is hit, the entry stands once, with all legs."""
    book = Book("MainBook", faulty_bank, running_balances=not shared)
    await fail(command, collection=collection, **how)
    journal = await book.entry("x").debit("A", 5).credit("B", 5).commit()
    assert await counts(faulty_bank) == (1, 2)
    assert list(journal.transactions) == [leg.id async for leg in book.stream(reverse=True)]


@pytest.mark.parametrize(("command", "collection"), WRITES_OF_COMMIT, ids=str)
async def test_commit_that_fails_for_good_writes_nothing_and_can_be_repeated(
    command: str, collection: str | None, faulty_bank: Any, fail: Fail
) -> None:
    """Medici leaves two legs without a journal; here the same entry posts once the cause is gone."""
    book = Book("MainBook", faulty_bank)
    entry = book.entry("x").debit("A", 5).credit("B", 5)
    await fail(command, collection=collection, errorCode=8000)
    with pytest.raises(TransactionError, match=r"^Failure to save journal: ") as caught:
        await entry.commit()
    assert isinstance(caught.value.__cause__, OperationFailure)
    assert await counts(faulty_bank) == (0, 0)
    journal = await entry.commit()
    assert ((1, 2), entry.id) == (await counts(faulty_bank), journal.id)


@pytest.mark.parametrize("how", TRANSIENT, ids=str)
@pytest.mark.parametrize(("command", "collection"), WRITES_OF_VOID, ids=str)
async def test_void_reverses_once_though_a_write_fails_in_passing(
    *, command: str, collection: str | None, how: dict[str, Any], faulty_bank: Any, fail: Fail, pay: Pay
) -> None:
    """Whichever statement is hit, one reversal stands and the flags agree with it."""
    book = Book("MainBook", faulty_bank)
    journal = await pay(book, 5, debit="A", credit="B")
    await fail(command, collection=collection, **how)
    await book.void(journal.id)
    assert ((2, 4), Balance(Decimal(0), 2)) == (await counts(faulty_bank), await book.balance("B"))
    assert [leg.voided async for leg in book.stream(reverse=True)] == [True, True, False, False]


@pytest.mark.parametrize(("command", "collection"), WRITES_OF_VOID[2:], ids=str)
async def test_void_that_fails_for_good_leaves_the_journal_untouched(
    command: str, collection: str | None, faulty_bank: Any, fail: Fail, pay: Pay
) -> None:
    """Medici leaves a journal marked voided that nothing reverses; here it can be voided again."""
    book = Book("MainBook", faulty_bank)
    journal = await pay(book, 5, debit="A", credit="B")
    await fail(command, collection=collection, errorCode=8000)
    with pytest.raises(TransactionError, match=r"^Failure to save journal: "):
        await book.void(journal.id)
    assert ((1, 2), Balance(Decimal(5), 1)) == (await counts(faulty_bank), await book.balance("B"))
    assert not (await book.ledger()).results[0].voided
    await book.void(journal.id)
    assert Balance(Decimal(0), 2) == await book.balance("B")


@pytest.fixture
def lost_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first commit succeeds, yet the driver is told that the transaction was lost."""
    commit = transactions._commit
    lost = []

    async def commit_and_forget(session: Any, deadline: float) -> bool:
        answer = await commit(session, deadline)
        if lost:
            return answer
        lost.append(True)
        return False

    monkeypatch.setattr(transactions, "_commit", commit_and_forget)


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
async def test_commit_whose_success_was_lost_is_recognised(
    shared: bool, bank: Any, lost_commit: None
) -> None:
    """The second try meets the first one's journal and returns it."""
    book = Book("MainBook", bank, running_balances=not shared)
    entry = book.entry("x").debit("A", 5).credit("B", 5)
    journal = await entry.commit()
    assert ((1, 2), entry.id, 2) == (await counts(bank), journal.id, len(journal.transactions))


async def test_void_whose_success_was_lost_is_recognised(
    book: Book, bank: Any, pay: Pay, request: Any
) -> None:
    """The second try does not mistake its own work for somebody else's void."""
    journal = await pay(book, 5, debit="A", credit="B")
    request.getfixturevalue("lost_commit")
    reversal = await book.void(journal.id, "mistake")
    assert (reversal.memo, await counts(bank)) == ("mistake", (2, 4))


async def test_one_of_many_concurrent_voids_succeeds(driver_database: Any, pay: Pay) -> None:
    """Medici makes four reversals of one journal; here the others are told."""
    book = Book("MainBook", driver_database)
    journal = await pay(book, 100, debit="A", credit="B")
    outcomes = await asyncio.gather(
        *(book.void(journal.id, f"reason {number}") for number in range(6)), return_exceptions=True
    )
    assert [Journal] + [JournalAlreadyVoidedError] * 5 == sorted(
        map(type, outcomes), key=lambda kind: kind is not Journal
    )
    assert Balance(Decimal(0), 2) == await book.balance("B")


async def test_entry_committed_from_several_tasks_posts_once(driver_database: Any) -> None:
    """Every task gets the same journal."""
    book = Book("MainBook", driver_database)
    entry = book.entry("x").debit("A", 5).credit("B", 5)
    journals = await asyncio.gather(*(entry.commit() for _ in range(5)))
    assert {entry.id} == {journal.id for journal in journals}
    assert await counts(driver_database) == (1, 2)


async def test_entry_of_a_session_counts_with_the_session(driver_database: Any) -> None:
    """It is seen inside, and gone after an abort; the same entry can be committed again then."""
    book = Book("MainBook", driver_database)
    entry = book.entry("x").debit("A", 5).credit("B", 5)

    async def post_and_fail(session: Any) -> None:
        await entry.commit(session=session)
        assert (await book.balance("B", session=session)).balance == 5
        assert (await book.ledger(session=session)).total == 2
        assert (await book.ledger(per_page=1, session=session)).total == 2
        assert await book.list_accounts(session=session) == ["A", "B"]
        assert (await book.balance("B")).balance == 0
        raise LookupError

    with pytest.raises(LookupError):
        await mongo_transaction(driver_database.client, post_and_fail)
    assert await counts(driver_database) == (0, 0)
    await entry.commit()
    assert await counts(driver_database) == (1, 2)


async def test_entry_posted_before_is_found_inside_a_session(book: Book, bank: Any) -> None:
    """Each time it is committed, in one transaction or in the next; the transaction goes on."""
    entry = book.entry("x").debit("A", 5).credit("B", 5)

    async def post_twice(session: Any) -> list[Journal]:
        await book.entry("beside").debit("A", 1).credit("B", 1).commit(session=session)
        return [await entry.commit(session=session) for _ in range(2)]

    for rounds in (1, 2):
        for journal in await mongo_transaction(bank.client, post_twice):
            assert (journal.id, journal.replayed) == (entry.id, False)
        assert await counts(bank) == (1 + rounds, 2 + 2 * rounds)


async def test_leg_that_breaks_a_unique_index_is_told_inside_a_session(book: Book, bank: Any) -> None:
    """The server has aborted that transaction, so the caller must hear of it."""
    await bank["medici_transactions"].create_index("meta.order", unique=True, sparse=True)

    async def post(session: Any) -> None:
        entry = book.entry("x").debit("A", 5, {"order": 1}).credit("B", 5)
        await entry.commit(session=session)

    await mongo_transaction(bank.client, post)
    with pytest.raises(DuplicateEntryError, match="its leg breaks a unique index"):
        await mongo_transaction(bank.client, post)
    assert await counts(bank) == (1, 2)


async def test_session_without_a_transaction_gets_one(book: Book, bank: Any) -> None:
    """Atomic in a plain session too, and the session reads what it wrote."""
    async with bank.client.start_session() as session:
        journal = await book.entry("x").debit("A", 5).credit("B", 5).commit(session=session)
        assert Balance(Decimal(5), 1) == await book.balance("B", session=session)
        await book.void(journal.id, session=session)
        assert Balance(Decimal(0), 2) == await book.balance("B", session=session)
        assert not session.in_transaction


async def test_late_commit_of_an_open_transaction_is_never_lost(driver_database: Any, pay: Pay) -> None:
    """Medici's cache answers 1 for good; the truth is 101."""
    book = Book("MainBook", driver_database)

    async def post_slowly(session: Any) -> None:
        await book.entry("slow").debit("A", 100).credit("B", 100).commit(session=session)
        await pay(book, 1, debit="A", credit="B")
        assert Balance(Decimal(1), 1) == await book.balance("B")

    await mongo_transaction(driver_database.client, post_slowly)
    assert Balance(Decimal(101), 2) == await book.balance("B")


async def test_whole_book_is_always_balanced_while_others_post(book: Book, pay: Pay) -> None:
    """A reader sees whole journals only: the book sums to zero at every moment."""
    posters = [asyncio.create_task(_post_many(book, pay)) for _ in range(4)]
    seen = []
    while not all(poster.done() for poster in posters):
        seen.append(await book.balance())
    await asyncio.gather(*posters)
    assert {Decimal(0)} == {balance.balance for balance in seen}
    assert {0} == {balance.notes % 2 for balance in seen}


async def _post_many(book: Book, pay: Pay) -> None:
    for number in range(1, 26):
        await pay(book, number, debit="A", credit="B")


async def test_locked_account_is_never_overdrawn(driver_database: Any, pay: Pay) -> None:
    """18 concurrent withdrawals of 1 from 2: two succeed, as each reads the balance behind the lock."""
    book = Book("MainBook", driver_database)
    await pay(book, 2, debit="Bank", credit="Wallet")

    async def withdraw(session: Any) -> None:
        await book.entry("withdraw").debit("Wallet", 1).credit("Bank", 1).commit(session=session)
        if (await book.balance("Wallet", session=session)).balance < 0:
            raise LookupError("overdrawn")
        assert book is await book.writelock_accounts(["Wallet", "Wallet"], session=session)

    outcomes = await asyncio.gather(
        *(mongo_transaction(driver_database.client, withdraw) for _ in range(18)), return_exceptions=True
    )
    assert [outcomes.count(None), sum(isinstance(outcome, LookupError) for outcome in outcomes)] == [2, 16]
    assert Balance(Decimal(0), 3) == await book.balance("Wallet")
    lock = await driver_database["medici_locks"].find_one()
    assert (lock["account"], lock["book"], lock["__v"]) == ("Wallet", "MainBook", 2)


@pytest.mark.parametrize(
    ("locks", "locked"),
    [
        (["B:1"], ["B:1"]),
        (re.compile("^B"), ["B:1", "B:2"]),
        (("B:1", "Z", "B:1"), ["B:1", "Z"]),
        (re.compile("x"), []),
    ],
    ids=str,
)
async def test_commit_locks_the_accounts_named(locks: Any, locked: list[str], book: Book, bank: Any) -> None:
    """A list, or a pattern that every matching account is locked by."""
    entry = book.entry("x").debit("A", 2).credit("B:1", 1).credit("B:2", 1)
    await entry.commit(writelock_accounts=locks)
    assert locked == sorted([lock["account"] async for lock in bank["medici_locks"].find()])


async def test_locks_that_mean_nothing_are_refused(book: Book, bank: Any) -> None:
    """A lock outside a transaction holds nothing; a bare string is a slip."""
    with pytest.raises(TransactionError, match="list of accounts or a pattern"):
        await book.entry("x").debit("A", 0).commit(writelock_accounts="A")
    async with bank.client.start_session() as session:
        with pytest.raises(TransactionError, match="need a session with an open transaction"):
            await book.writelock_accounts(["A"], session=session)
    assert await counts(bank) == (0, 0)


class Commands(CommandListener):
    """The names of the commands sent, with the collection where there is one."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        target = event.command.get(event.command_name)
        self.sent.append(f"{event.command_name} {target}" if isinstance(target, str) else event.command_name)

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


@pytest.fixture
async def listened(mongodb: Any, bank: Any) -> Any:
    from pymongo import AsyncMongoClient

    commands = Commands()
    async with AsyncMongoClient(mongodb.uri, event_listeners=[commands]) as client:
        await client.admin.command("ping")
        commands.sent.clear()
        yield client[bank.name], commands


async def begun_book(database: Any, **parameters: Any) -> Book:
    """A book of which this process knows how it is kept."""
    book = Book("MainBook", database, **parameters)
    await book.entry("first").debit("A", 1).credit("B", 1).commit()
    return book


@pytest.mark.parametrize("group_commit", [True, False])
async def test_commit_takes_four_round_trips_legs_before_journal(group_commit: bool, listened: Any) -> None:
    """A budget that only goes down; readers of the change stream rely on the order."""
    database, commands = listened
    book = await begun_book(database, group_commit=group_commit)
    commands.sent.clear()
    await book.entry("x").debit("A", 1).credit("B", 1).commit()
    assert [f"update {ROWS}", f"insert {LEGS}", f"insert {JOURNALS}", "commitTransaction"] == commands.sent


async def test_commit_in_a_shared_book_reads_the_ids_that_the_server_made(listened: Any) -> None:
    """Four round trips, too, and no running balances."""
    database, commands = listened
    book = await begun_book(database, running_balances=False)
    commands.sent.clear()
    await book.entry("x").debit("A", 1).credit("B", 1).commit()
    assert [f"insert {LEGS}", f"find {LEGS}", f"insert {JOURNALS}", "commitTransaction"] == commands.sent


async def test_entries_committed_at_once_share_their_round_trips(listened: Any) -> None:
    """Sixteen at once take one transaction for whoever comes first and one for all others."""
    database, commands = listened
    book = await begun_book(database)
    commands.sent.clear()
    entries = (book.entry("x").debit("A", 1).credit("B", 1) for _ in range(16))
    await asyncio.gather(*(entry.commit() for entry in entries))
    assert commands.sent.count("commitTransaction") <= 2
    assert len(commands.sent) <= 8


async def test_void_marks_first_then_posts_legs_before_journal(listened: Any) -> None:
    """Eight round trips, in this order."""
    database, commands = listened
    book = Book("MainBook", database)
    journal = await book.entry("x").debit("A", 1).credit("B", 1).commit()
    commands.sent.clear()
    await book.void(journal.id)
    assert [
        f"find {JOURNALS}",
        f"find {LEGS}",
        f"update {JOURNALS}",
        f"update {LEGS}",
        f"update {ROWS}",
        f"insert {LEGS}",
        f"insert {JOURNALS}",
        "commitTransaction",
    ] == commands.sent


async def test_concerns_of_the_database_do_not_weaken_a_posting(bank: Any) -> None:
    """Unacknowledged writes and stale reads may be the database's default; a posting sets its own."""
    weak = bank.with_options(
        write_concern=WriteConcern(w=0),
        read_concern=ReadConcern("local"),
        read_preference=ReadPreference.SECONDARY,
    )
    book = Book("MainBook", weak)
    entry = book.entry("x").debit("A", 5).credit("B", 5)
    journal = await entry.commit(writelock_accounts=["A"])
    entry._journal = None
    assert journal == await entry.commit()
    await book.void(journal.id)
    assert await counts(bank) == (2, 4)
    primary = ReadPreference.PRIMARY
    assert Balance(Decimal(0), 2) == await book.balance(
        "A", read_preference=primary, read_concern=ReadConcern("majority")
    )
    assert (await book.ledger(per_page=1, read_preference=primary)).total == 4


async def test_leg_too_large_for_a_document_is_refused(book: Book, bank: Any) -> None:
    """16 MB is the server's limit; nothing is written."""
    entry = book.entry("x").debit("A", 1, {"blob": b"x" * 17_000_000}).credit("B", 1)
    with pytest.raises(TransactionError, match=r"^Failure to save journal: "):
        await entry.commit()
    assert await counts(bank) == (0, 0)


@pytest.mark.parametrize("running_balances", [True, False])
async def test_entries_that_are_together_too_large_for_a_command_are_posted(
    bank: Any, running_balances: bool
) -> None:
    """MongoDB takes 16 MB at once; whether the legs are the transaction's first statement makes no difference."""
    book = Book("Large", bank, running_balances=running_balances)
    await book.entry("first").debit("A", 1).credit("B", 1).commit()
    note = {"scan": "x" * 1_000_000}
    large = [book.entry("large").debit("A", 1, note).credit("B", 1, note).commit() for _ in range(9)]
    # A server with a small cache may roll such a transaction back and make it start again.
    posted = await asyncio.wait_for(
        asyncio.gather(*large, book.entry("small").debit("A", 1).credit("B", 1).commit()), timeout=100
    )
    assert len({journal.id for journal in posted}) == 10
    assert (await book.balance("B")).balance == 11


async def test_values_are_stored_as_the_database_encodes_them(mongodb: EmbeddedMongo, bank: Any) -> None:
    """UUIDs and types that the client was told how to encode; a void copies them."""

    class Sku:
        def __init__(self, text: str) -> None:
            self.text = text

    class SkuEncoder(TypeEncoder):
        python_type = Sku

        def transform_python(self, value: Any) -> str:
            return str(value.text)

    options: dict[str, Any] = {
        "uuidRepresentation": "standard",
        "type_registry": TypeRegistry([SkuEncoder()]),
    }
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri, **options) as client:
        book = Book("Typed", client[bank.name])
        extra = {"request": UUID(int=7), "sku": Sku("a-1")}
        journal = await book.entry("x").debit("A", 1, extra).credit("B", 1).commit()
        reversal = await book.void(journal.id)
        legs = client[bank.name]["medici_transactions"]
        stored = [await legs.find_one({"_journal": one.id, "accounts": "A"}) for one in (journal, reversal)]
    assert [leg["meta"]["request"] for leg in stored if leg] == [UUID(int=7)] * 2
    assert stored[0] is not None
    assert stored[0]["meta"]["sku"] == "a-1"


@pytest.mark.parametrize("zero", [True, False], ids=["zero only", "amount unreadable"])
async def test_void_that_is_refused_inside_a_session_leaves_nothing_to_commit(
    zero: bool, driver_database: Any
) -> None:
    """A caller who catches the refusal and commits has not voided the journal."""
    book = Book("MainBook", driver_database)
    journal = await book.entry("x").debit("A", 0).credit("B", 0).commit()
    if not zero:
        await driver_database[LEGS].update_many({}, {"$set": {"debit": "much"}})

    async def void_and_catch(session: Any) -> None:
        with pytest.raises((TransactionError, UnreadableDocumentError)):
            await book.void(journal.id, session=session)

    await mongo_transaction(driver_database.client, void_and_catch)
    assert await driver_database[JOURNALS].count_documents({"voided": True}) == 0
    assert await driver_database[LEGS].count_documents({"voided": True}) == 0


async def test_void_that_is_refused_on_mongomock_leaves_the_journal(mongomock_database: Any) -> None:
    """Without transactions nothing would take the flags back."""
    book = Book("MainBook", mongomock_database)
    journal = await book.entry("x").debit("A", 0).credit("B", 0).commit()
    with pytest.raises(TransactionError, match="nothing to reverse"):
        await book.void(journal.id)
    assert await mongomock_database[JOURNALS].count_documents({"voided": True}) == 0


@pytest.mark.parametrize(
    ("collection", "damage"),
    [
        (LEGS, {"$set": {"debit": True}}),
        (LEGS, {"$unset": {"account_path": 1}}),
        (LEGS, {"$set": {"meta": "text"}}),
        (JOURNALS, {"$unset": {"datetime": 1}}),
        (JOURNALS, {"$set": {"_transactions": 5}}),
    ],
    ids=str,
)
async def test_void_of_a_damaged_journal_names_the_damage(
    collection: str, damage: dict[str, Any], book: Book, bank: Any, pay: Pay
) -> None:
    """An error of ours, and nothing is written."""
    journal = await pay(book)
    await bank[collection].update_many({}, damage)
    with pytest.raises(UnreadableDocumentError) as caught:
        await book.void(journal.id, use_original_date=True)
    assert caught.value.field in str(damage)
    assert await counts(bank) == (1, 2)


async def test_leg_after_the_first_commit_is_refused(book: Book, bank: Any) -> None:
    """In a session too, where a second commit would return the journal without that leg."""
    entry = book.entry("x").debit("A", 5).credit("B", 5)
    await mongo_transaction(bank.client, lambda session: entry.commit(session=session))
    for add in (entry.debit, entry.credit):
        with pytest.raises(TransactionError, match="was committed already as journal"):
            add("A", 1)
    assert await entry.commit() == Journal.from_document(await bank[JOURNALS].find_one({"_id": entry.id}))
    assert await counts(bank) == (1, 2)


async def test_leg_may_mend_an_entry_that_did_not_balance(book: Book, bank: Any) -> None:
    """What was refused before anything was tried is still being built."""
    entry = book.entry("x").debit("A", 5).credit("B", 4)
    with pytest.raises(TransactionError, match="does not balance"):
        await entry.commit()
    await entry.credit("B", 1).commit()
    assert await counts(bank) == (1, 3)


async def test_unknown_outcome_says_how_to_find_out(faulty_bank: Any, fail: Fail, pay: Pay) -> None:
    """It is no refusal: something may have been written. An entry and a void each name their way out."""
    assert not issubclass(UnknownOutcomeError, TransactionError)
    book = Book("MainBook", faulty_bank)
    journal = await pay(book)
    expired = {"writeConcernError": {"code": 50, "errmsg": "too slow"}}
    await fail("commitTransaction", **expired)
    entry = book.entry("x").debit("A", 5).credit("B", 5)
    with pytest.raises(UnknownOutcomeError, match="Commit the same entry again") as caught:
        await entry.commit()
    assert isinstance(caught.value.__cause__, PyMongoError)
    assert entry.id == (await entry.commit()).id
    await fail("commitTransaction", **expired)
    with pytest.raises(UnknownOutcomeError, match="Void it again"):
        await book.void(journal.id)
    with pytest.raises(JournalAlreadyVoidedError):
        await book.void(journal.id)
    assert await counts(faulty_bank) == (3, 6)

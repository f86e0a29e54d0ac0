"""The auditor of a book, on books that somebody has damaged."""

import asyncio
import datetime as dt
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import (
    Book,
    Journal,
    UnsupportedDeploymentError,
    init_models,
    journal_audit,
    verify,
    void_audit,
)
from medici_py.book_state import BookState
from medici_py.differences import OrphanLeg, UnregisteredTemplate, WrongRunningBalance, WrongSize
from medici_py.embedded import EmbeddedMongo
from medici_py.long_snapshot import SnapshotExpiredError
from medici_py.rollups import roll_up
from medici_py.store import Store
from medici_py.sums import Sums
from medici_py.verify import Stage, VerifyProgress, VerifyReport, verify_book

Bank = AsyncDatabase[dict[str, Any]]

NAME = f"medici_verify_{secrets.token_hex(6)}"


@pytest.fixture(scope="module")
def database_name(mongodb: EmbeddedMongo) -> Iterator[str]:
    """One database for all tests, each of which has a book of its own in it."""

    async def create() -> None:
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            await init_models(client[NAME])

    asyncio.run(create())
    yield NAME
    with MongoClient[dict[str, Any]](mongodb.uri) as client:
        client.drop_database(NAME)


@pytest.fixture
async def bank(mongodb: EmbeddedMongo, database_name: str) -> AsyncIterator[Bank]:
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
        yield client[database_name]


@pytest.fixture
async def book(bank: Bank) -> AsyncIterator[Book]:
    """A book by currency with four journals, one of them voided, beside another one with the same accounts."""
    own = Book(f"Book {ObjectId()}", bank, dimensions={"currency": "USD"})
    other = Book("Other", bank)
    for memo, amount in (("Rent", "1000.5"), ("Fee", 3), ("Gift", 7)):
        entry = own.entry(memo, key=memo).debit("Assets:Cash", amount)
        await entry.credit("Income:Sales", amount).commit()
    await other.entry("Rent").debit("Assets:Cash", 1).credit("Income:Sales", 1).commit()
    await own.void((await journal_of(own, "Gift"))["_id"])
    yield own
    await own.close()
    await other.close()


async def journal_of(book: Book, memo: str) -> dict[str, Any]:
    found = await book.database["medici_journals"].find_one({"book": book.name, "memo": memo})
    assert found is not None
    return found


async def nothing(_: float) -> None:
    """Stands for the pause before the second look."""


async def audited(book: Book, **options: Any) -> VerifyReport:
    options = {"precision": 8, "fields": ("meta.currency",), "pause": nothing} | options
    return await verify_book(Store(book.database), book.name, **options)


async def test_sound_book_is_clean(book: Book) -> None:
    """Every journal, leg, account and the whole book is looked at once, and no other book's."""

    async def look_again(_: float) -> None:
        pytest.fail("nothing was to be suspected")

    report = await audited(book, pause=look_again)
    assert (report.book, report.clean) == (book.name, True)
    assert (report.differences, report.differences_found) == ((), 0)
    assert (report.journals, report.legs, report.accounts) == (4, 8, 5)


async def test_book_nobody_knows_is_clean(bank: Bank) -> None:
    """There is nothing to contradict."""
    assert await verify_book(Store(bank), "Nothing", precision=8) == VerifyReport("Nothing", 0, 0, 0, (), 0)


Damage = Callable[[Bank, dict[str, Any]], Awaitable[Any]]


def on_legs(update: dict[str, Any], account: str = "Assets:Cash") -> Damage:
    """Change the journal's leg on an account."""

    async def damage(bank: Bank, journal: dict[str, Any]) -> Any:
        leg = {"_journal": journal["_id"], "accounts": account}
        return await bank["medici_transactions"].update_one(leg, update)

    return damage


def on_journal(update: dict[str, Any]) -> Damage:
    async def damage(bank: Bank, journal: dict[str, Any]) -> Any:
        return await bank["medici_journals"].update_one({"_id": journal["_id"]}, update)

    return damage


async def delete_journal(bank: Bank, journal: dict[str, Any]) -> None:
    await bank["medici_journals"].delete_one({"_id": journal["_id"]})


async def delete_leg(bank: Bank, journal: dict[str, Any]) -> None:
    await bank["medici_transactions"].delete_one({"_id": journal["_transactions"][0]})


async def copy_leg(bank: Bank, journal: dict[str, Any]) -> None:
    leg = await bank["medici_transactions"].find_one({"_id": journal["_transactions"][0]})
    assert leg is not None
    await bank["medici_transactions"].insert_one(leg | {"_id": ObjectId(), "debit": Int64(0)})


async def copy_journal(bank: Bank, journal: dict[str, Any]) -> None:
    await bank["medici_journals"].insert_one(journal | {"_id": ObjectId(), "_transactions": []})


async def rename_journal(bank: Bank, journal: dict[str, Any]) -> None:
    await bank["medici_journals"].delete_one({"_id": journal["_id"]})
    await bank["medici_journals"].insert_one(journal | {"_id": f"{journal['_id']}"})


async def forget_void(bank: Bank, journal: dict[str, Any]) -> None:
    plain = {"$unset": {"voided": 1, "void_reason": 1}}
    await bank["medici_journals"].update_one({"_id": journal["_id"]}, plain)
    await bank["medici_transactions"].update_many({"_journal": journal["_id"]}, plain)


async def delete_reversal(bank: Bank, journal: dict[str, Any]) -> None:
    legs = {"_original_journal": journal["_id"]}
    first = await bank["medici_transactions"].find_one(legs)
    assert first is not None
    await bank["medici_journals"].delete_one({"_id": first["_journal"]})
    await bank["medici_transactions"].delete_many(legs)


async def void_twice(bank: Bank, journal: dict[str, Any]) -> None:
    """As several voids at once by Node do."""
    first = await bank["medici_transactions"].find_one({"_original_journal": journal["_id"]})
    assert first is not None
    reversal = await bank["medici_journals"].find_one({"_id": first["_journal"]})
    assert reversal is not None
    legs = [leg async for leg in bank["medici_transactions"].find({"_journal": reversal["_id"]})]
    again = ObjectId()
    copies = [leg | {"_id": ObjectId(), "_journal": again} for leg in legs]
    await bank["medici_transactions"].insert_many(copies)
    named = [leg["_id"] for leg in copies]
    await bank["medici_journals"].insert_one(reversal | {"_id": again, "_transactions": named})


async def change_reversal(bank: Bank, journal: dict[str, Any]) -> None:
    legs = {"_original_journal": journal["_id"]}
    await bank["medici_transactions"].update_many(legs, {"$mul": {"debit": 2, "credit": 2}})


JOURNAL_FAULTS: list[tuple[str, str, Damage, list[str]]] = [
    ("no fault", "Rent", on_journal({"$set": {"custom": 1}}), []),
    ("amount changed", "Rent", on_legs({"$inc": {"debit": Decimal128("0.00000001")}}), ["UnbalancedJournal"]),
    ("currency changed", "Rent", on_legs({"$set": {"meta.currency": "EUR"}}), ["UnbalancedJournal"] * 2),
    ("amount is a text", "Rent", on_legs({"$set": {"debit": "1000.5"}}), ["UnreadableDocument"]),
    ("amount is a bool", "Rent", on_legs({"$set": {"debit": True}}), ["UnreadableDocument"]),
    ("leg deleted", "Rent", delete_leg, ["MissingLeg", "UnbalancedJournal"]),
    ("leg copied", "Rent", copy_leg, ["ExtraLeg"]),
    (
        "leg moved away",
        "Rent",
        on_legs({"$set": {"_journal": ObjectId()}}),
        ["MissingLeg", "OrphanLeg", "UnbalancedJournal"],
    ),
    (
        "leg without a journal",
        "Rent",
        on_legs({"$unset": {"_journal": 1}}),
        ["MissingLeg", "OrphanLeg", "UnbalancedJournal"],
    ),
    (
        "leg of a text",
        "Rent",
        on_legs({"$set": {"_journal": "x"}}),
        ["MissingLeg", "OrphanLeg", "UnbalancedJournal"],
    ),
    (
        "leg of another book",
        "Rent",
        on_legs({"$set": {"book": "Other"}}),
        ["LegContradiction", "UnbalancedJournal"],
    ),
    ("account renamed", "Rent", on_legs({"$set": {"accounts": "Assets:Bank"}}), ["LegContradiction"]),
    ("journal deleted", "Rent", delete_journal, ["KeyWithoutJournal", "OrphanLeg", "OrphanLeg"]),
    (
        "journal of another book",
        "Rent",
        on_journal({"$set": {"book": "Other"}}),
        ["KeyWithoutJournal", "OrphanLeg", "OrphanLeg"],
    ),
    (
        "journal's id is a text",
        "Rent",
        rename_journal,
        ["KeyWithoutJournal", "OrphanLeg", "OrphanLeg", "UnreadableDocument"],
    ),
    ("journal without legs", "Rent", copy_journal, ["EmptyJournal"]),
    (
        "template that nobody registered",
        "Rent",
        on_journal({"$set": {"template": {"code": "RENT", "version": Int64(1)}}}),
        ["UnregisteredTemplate"],
    ),
    (
        "template that is one of the application's own",
        "Rent",
        on_journal({"$set": {"template": "rent.html"}}),
        [],
    ),
    ("null among the ids", "Rent", on_journal({"$push": {"_transactions": None}}), ["UnreadableDocument"]),
    ("leg voided alone", "Rent", on_legs({"$set": {"voided": True}}), ["WrongFlag"]),
    (
        "void reached half",
        "Rent",
        on_journal({"$set": {"voided": True, "void_reason": "x"}}),
        ["MissingReversal", "WrongFlag", "WrongFlag"],
    ),
    ("reason changed on a leg", "Gift", on_legs({"$set": {"void_reason": "x"}}), ["WrongFlag"]),
    ("reason changed on all", "Gift", on_journal({"$set": {"void_reason": "x"}}), ["WrongFlag", "WrongFlag"]),
    ("void forgotten", "Gift", forget_void, ["ReversalOfStanding"]),
    ("reversal deleted", "Gift", delete_reversal, ["MissingReversal"]),
    ("reversed twice", "Gift", void_twice, ["SeveralReversals"]),
    ("reversal changed", "Gift", change_reversal, ["WrongReversal"]),
]


@pytest.mark.parametrize(
    ("memo", "damage", "expected"),
    [fault[1:] for fault in JOURNAL_FAULTS],
    ids=[fault[0] for fault in JOURNAL_FAULTS],
)
async def test_every_fault_is_named(
    book: Book, bank: Bank, memo: str, damage: Damage, expected: list[str]
) -> None:
    """With the book's name, in one line; balances that follow from it are wrong besides."""
    await damage(bank, await journal_of(book, memo))
    report = await audited(book)
    kinds = sorted(one.kind for one in report.differences)
    follow_up = ("WrongRunningBalance", "WrongSize", "NotChecked")
    assert [kind for kind in kinds if kind not in follow_up] == expected
    assert report.clean == (not expected)
    for difference in report.differences:
        assert difference.text.startswith(f"Book {book.name!r}, ")
        assert "\n" not in difference.text


async def test_template_that_is_not_registered_is_named_with_its_journals(book: Book, bank: Bank) -> None:
    """Once, however many it made; once it is registered, the ledger describes itself again."""
    journals = await bank["medici_journals"].find({"book": book.name}).sort("_id").to_list()
    for journal, version in zip(journals, (1, 2, 1), strict=False):
        made_by = {"$set": {"template": {"code": book.name, "version": version}}}
        await bank["medici_journals"].update_one({"_id": journal["_id"]}, made_by)
    await bank["medici_py_templates"].insert_one({"_id": {"code": book.name, "version": Int64(2)}})
    report = await audited(book)
    assert report.differences == (UnregisteredTemplate(book.name, book.name, 1, 2, journals[0]["_id"]),)
    assert report.differences[0].text == (
        f"Book {book.name!r}, template {book.name} version 1: it made 2 journals, the first of them "
        f"{journals[0]['_id']}, so it should be registered, it is not. Register it as it was when they were "
        "posted; see register_templates()."
    )
    await bank["medici_py_templates"].insert_one({"_id": {"code": book.name, "version": 1}})
    assert (await audited(book)).clean


async def test_wrong_running_balances_are_named_up_to_the_book(book: Book, bank: Bank) -> None:
    """The account, those above it and the whole book, each in its currency; what is right is not."""
    below = {"_id.book": book.name, "_id.path": ["Assets", "Cash"]}
    await bank["medici_py_balances"].update_one(below, {"$inc": {"debit": Int64(2), "notes": Int64(1)}})
    stray = {"book": book.name, "path": ["Nobody"], "dims": [None], "stripe": 9}
    await bank["medici_py_balances"].insert_one(
        {"_id": stray, "debit": Int64(4), "credit": Int64(0), "notes": Int64(0)}
    )
    report = await audited(book)
    assert report.differences == (
        WrongRunningBalance(book.name, ("Nobody",), (None,), Sums(), Sums(Decimal(4))),
        WrongRunningBalance(
            book.name,
            ("Assets", "Cash"),
            ("USD",),
            Sums(Decimal("1010.5"), Decimal(7), 4),
            Sums(Decimal("1012.5"), Decimal(7), 5),
        ),
    )
    assert report.differences[1].text == (
        f"Book {book.name!r}, running balance of 'Assets:Cash' ['USD']: its legs give debit 1010.5, credit 7, "
        "4 legs, stored is debit 1012.5, credit 7, 5 legs. Run rebuild_balances() (medici rebuild)."
    )


async def test_rows_that_add_up_to_nothing_are_right(book: Book, bank: Bank) -> None:
    """A rebuild leaves such where an account lost its last leg."""
    stray = {"book": book.name, "path": ["Nobody"], "dims": ["USD"]}
    amounts = {"credit": Int64(0), "notes": Int64(0)}
    await bank["medici_py_balances"].insert_many(
        [
            {"_id": stray | {"stripe": 0}, "debit": Decimal128("-4"), **amounts},
            {"_id": stray | {"stripe": 9}, "debit": Decimal128("4.00"), **amounts},
        ]
    )
    assert (await audited(book)).clean


async def test_size_that_bounds_the_sums_must_not_be_too_small(book: Book, bank: Bank) -> None:
    """Too large only makes the book full earlier."""
    rows = bank["medici_py_balances"]
    root = {"_id.book": book.name, "_id.path": []}
    await rows.update_one(root, {"$inc": {"size": Int64(100)}})
    assert (await audited(book)).clean
    await rows.update_one(root, {"$inc": {"size": Int64(-101)}})
    assert (await audited(book)).differences == (
        WrongSize(book.name, ("USD",), Decimal(2035), Decimal(2034)),
    )


@pytest.mark.parametrize(
    "row",
    [
        {"_id": {"path": ["A"], "dims": ["USD"], "stripe": 1}, "debit": "4"},
        {"_id": {"path": "A", "dims": ["USD"], "stripe": 1}},
        {"_id": {"path": ["A"], "dims": [5], "stripe": 1}},
        {"_id": {"path": ["A"], "dims": []}},
        {"_id": {"path": ["A"], "dims": [], "stripe": 1}, "notes": 1.5},
    ],
)
async def test_row_that_cannot_be_read_is_named(book: Book, bank: Bank, row: dict[str, Any]) -> None:
    """Then nothing is said about the others."""
    await bank["medici_py_balances"].insert_one(row | {"_id": {"book": book.name} | row["_id"]})
    (found,) = (await audited(book)).differences
    assert found.kind == "NotChecked"
    assert "Delete the row" in found.text


async def test_garbage_is_named_and_stops_nothing(book: Book, bank: Bank) -> None:
    """Whoever has written it there."""
    rent = await journal_of(book, "Rent")
    garbage: list[dict[str, Any]] = [
        {"_journal": rent["_id"]},
        {"_id": {"a": 1}, "_journal": rent["_id"]},
        {"_journal": {"a": 1}, "account_path": 5, "meta": 3},
        {"_journal": None, "account_path": [[]], "accounts": {}, "debit": None},
        {"_original_journal": rent["_id"], "_journal": [1], "voided": "maybe"},
        {"_original_journal": rent["_id"], "_journal": rent["_id"]},
    ]
    await bank["medici_transactions"].insert_many([leg | {"book": book.name} for leg in garbage])
    await bank["medici_journals"].insert_one({"_id": {"a": 1}, "book": book.name})
    await bank["medici_journals"].insert_one(
        {"book": book.name, "_transactions": 5, "memo": 5, "voided": True}
    )
    await bank["medici_py_keys"].insert_one({"_id": {"book": book.name, "key": "x"}, "journal": {"a": 1}})
    report = await audited(book)
    kinds = Counter(one.kind for one in report.differences)
    assert kinds["UnreadableDocument"] == 5
    assert kinds["OrphanLeg"] == 2
    assert kinds["KeyWithoutJournal"] == 1


async def test_book_without_running_balances_has_none_to_check(bank: Bank) -> None:
    """Its journals are checked as any."""
    shared = Book(f"Shared {ObjectId()}", bank, running_balances=False)
    await shared.entry("Rent").debit("A", 1).credit("B", 1).commit()
    assert await audited(shared) == VerifyReport(shared.name, 1, 2, 0, (), 0)
    await shared.close()


async def test_refund_is_no_reversal(book: Book) -> None:
    """A journal may refer to another one, and even undo it, under a text of its own."""
    rent = await journal_of(book, "Rent")
    entry = book.entry("Refund", original_journal=rent["_id"]).credit("Assets:Cash", "1000.5")
    await entry.debit("Income:Sales", "1000.5").commit()
    assert (await audited(book)).clean


async def test_reversal_that_was_voided_itself_still_reverses(book: Book) -> None:
    """Each of a chain of voids has its own."""
    reversal = await journal_of(book, "[VOID] Gift")
    await book.void(reversal["_id"])
    assert (await audited(book)).clean


async def test_what_a_writer_has_half_done_counts_only_if_it_stays(book: Book, bank: Bank) -> None:
    """Node inserts legs first, then their journal; marks a journal as voided, then posts the reversal."""
    rent = await journal_of(book, "Rent")
    await delete_journal(bank, rent)
    fee = await journal_of(book, "Fee")
    flags = {"$set": {"voided": True, "void_reason": "[VOID] Fee"}}
    await bank["medici_journals"].update_one({"_id": fee["_id"]}, flags)
    pauses: list[float] = []

    async def finish(secs: float) -> None:
        pauses.append(secs)
        if len(pauses) == 1:
            await bank["medici_journals"].insert_one(rent)
            await bank["medici_transactions"].update_many({"_journal": fee["_id"]}, flags)
        else:
            await bank["medici_journals"].update_one({"_id": fee["_id"]}, {"$unset": {"voided": 1}})
            await bank["medici_transactions"].update_many({"_journal": fee["_id"]}, {"$unset": {"voided": 1}})

    assert (await audited(book, pause=finish, look_again_secs=1.5)).clean
    assert pauses == [1.5, 1.5]


async def test_differences_past_the_limit_are_counted(book: Book, bank: Bank) -> None:
    """A ruined book does not fill the memory."""
    await bank["medici_transactions"].insert_many(
        [
            {"book": book.name, "accounts": "A", "account_path": ["A"], "_journal": ObjectId()}
            for _ in range(7)
        ]
    )
    report = await audited(book, max_differences=3)
    assert len(report.differences) == 3
    assert all(isinstance(one, OrphanLeg) for one in report.differences)
    assert report.differences_found >= 7


@pytest.mark.parametrize(("journals", "legs", "pairs"), [(1, 1, 1), (2, 5, 2), (3, 1000, 1), (1000, 3, 1000)])
async def test_chunks_of_any_size_find_the_same(
    book: Book, bank: Bank, *, journals: int, legs: int, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one ends and the next begins nothing is lost or seen twice."""
    monkeypatch.setattr(journal_audit, "JOURNALS_A_CHUNK", journals)
    monkeypatch.setattr(journal_audit, "LEGS_A_CHUNK", legs)
    monkeypatch.setattr(void_audit, "PAIRS_A_CHUNK", pairs)
    monkeypatch.setattr(verify, "SUSPECTS_A_LOOK", 2)
    monkeypatch.setattr(verify, "KEYS_A_CHUNK", 1)
    assert (await audited(book)).clean
    orphans = [
        {"book": book.name, "accounts": "A", "account_path": ["A"], "_journal": one, "debit": 0}
        for one in (ObjectId("0" * 24), ObjectId("0" * 24), ObjectId(), ObjectId("f" * 24))
    ]
    await bank["medici_transactions"].insert_many(orphans)
    await void_twice(bank, await journal_of(book, "Gift"))
    await delete_journal(bank, await journal_of(book, "Rent"))
    report = await audited(book)
    kinds = sorted(one.kind for one in report.differences if one.kind != "WrongRunningBalance")
    assert kinds == ["KeyWithoutJournal", *["OrphanLeg"] * 6, "SeveralReversals", "WrongSize"]
    assert (report.journals, report.legs) == (4, 14)


async def test_progress_tells_stage_and_how_far(book: Book) -> None:
    """Of about how many, where that is known."""
    told: list[VerifyProgress] = []
    await audited(book, progress=told.append)
    assert told == [
        VerifyProgress(Stage.JOURNALS, 8, 8),
        VerifyProgress(Stage.VOIDS, 0),
        VerifyProgress(Stage.KEYS, 3),
        VerifyProgress(Stage.BALANCES, 5, 5),
        VerifyProgress(Stage.ROLL_UPS, 0),
    ]


async def test_wrong_roll_up_is_named(book: Book, bank: Bank) -> None:
    """Roll-ups are held against the legs, too."""
    store = Store(bank)
    stored = await bank["medici_py_books"].find_one({"_id": book.name})
    assert stored is not None
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    await roll_up(store, BookState.from_document(stored), precision=8, now=tomorrow)
    assert (await audited(book)).clean
    await bank["medici_py_rollups"].update_one(
        {"_id.book": book.name, "_id.path": ["Assets"]}, {"$inc": {"debit": Int64(1)}}
    )
    assert [one.kind for one in (await audited(book)).differences] == ["WrongRollUp"]


async def test_index_that_was_dropped_costs_time_only(book: Book, bank: Bank) -> None:
    """The answer is the same."""
    await copy_leg(bank, await journal_of(book, "Rent"))
    before = await audited(book)
    await bank["medici_transactions"].drop_index("_journal_1")
    try:
        assert await audited(book) == before
    finally:
        await init_models(bank)


async def test_verifying_while_others_post_is_clean(book: Book) -> None:
    """Journals and balances are read at one moment each."""
    posting = True

    async def post() -> None:
        while posting:
            entry = book.entry("Sale").debit("Assets:Cash", "0.1").credit("Income:Sales", "0.1")
            journal: Journal = await entry.commit()
            await book.void(journal.id)

    posters = [asyncio.create_task(post()) for _ in range(4)]
    try:
        reports = [await audited(book) for _ in range(5)]
    finally:
        posting = False
        await asyncio.gather(*posters)
    assert [report.differences for report in reports] == [()] * 5
    assert reports[-1].journals > reports[0].journals


async def test_moment_that_the_server_no_longer_has_is_an_error_that_says_what_to_raise(
    faulty_bank: Bank, fail: Callable[..., Awaitable[None]]
) -> None:
    """The book may be right; nobody can say."""
    await fail("find", collection="medici_journals", errorCode=239)
    with pytest.raises(SnapshotExpiredError, match="minSnapshotHistoryWindowInSeconds"):
        await verify_book(Store(faulty_bank), "Bank", precision=8)


async def test_other_errors_of_the_driver_pass_through(
    faulty_bank: Bank, fail: Callable[..., Awaitable[None]]
) -> None:
    """As they do from any read."""
    from pymongo.errors import OperationFailure

    await fail("find", collection="medici_journals", errorCode=13, times=None)
    with pytest.raises(OperationFailure):
        await verify_book(Store(faulty_bank), "Bank", precision=8)


async def test_any_driver_will_do(driver_database: Any) -> None:
    """Motor's cursors are others."""
    name = f"Shop {ObjectId()}"
    async with Book(name, driver_database) as shop:
        journal = await shop.entry("Rent").debit("A", 1).credit("B", 1).commit()
        await shop.void(journal.id)
    await driver_database["medici_transactions"].insert_one(
        {"book": name, "accounts": "A", "account_path": ["A"], "_journal": ObjectId(), "debit": Int64(0)}
    )
    report = await verify_book(Store(driver_database), name, precision=8, pause=nothing)
    kinds = [one.kind for one in report.differences]
    assert kinds == ["OrphanLeg", "WrongRunningBalance", "WrongRunningBalance"]
    assert (report.journals, report.legs, report.accounts) == (2, 5, 3)


async def test_mongomock_is_refused(mongomock_database: Bank) -> None:
    """It has no snapshots."""
    with pytest.raises(UnsupportedDeploymentError, match="mongomock"):
        await verify_book(Store(mongomock_database), "Bank", precision=8)

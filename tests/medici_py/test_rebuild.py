"""Rebuilding running balances: mending them while others post, switching them on and off."""

import asyncio
import datetime as dt
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, Int64
from node_medici import NodeMedici
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from medici_py import Book, UnreadableDocumentError, UnsupportedDeploymentError, rebuild
from medici_py.book_state import BookState
from medici_py.compared_rows import CorrectionTooLargeError
from medici_py.embedded import EmbeddedMongo
from medici_py.rebuild import (
    SETTLING,
    DimensionsChangedError,
    RebuildConflictError,
    RebuildProgress,
    RebuildReport,
    rebuild_balances,
)
from medici_py.store import Store
from medici_py.verify import VerifyReport, verify_book

Bank = AsyncDatabase[dict[str, Any]]

FIELDS = ("meta.currency",)
NOW = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
async def book(bank: Bank) -> AsyncIterator[Book]:
    """A book by currency with three journals, beside another one with the same accounts."""
    own, other = Book("Own", bank, dimensions={"currency": "USD"}), Book("Other", bank)
    for amount in ("1000.5", 3, 7):
        await sell(own, amount)
        await sell(other, 1)
    yield own
    await own.close()
    await other.close()


async def sell(book: Book, amount: Any = 1) -> None:
    await book.entry("Sale").debit("Assets:Cash", amount).credit("Income", amount).commit()


async def rebuilt(bank: Bank, **options: Any) -> RebuildReport:
    options = {"running_balances": True, "fields": FIELDS, "precision": 8, "clock": lambda: NOW} | options
    return await rebuild_balances(Store(bank), "Own", **options)


async def audited(bank: Bank, book: str = "Own") -> VerifyReport:
    return await verify_book(Store(bank), book, precision=8, fields=FIELDS, look_again_secs=0)


async def rows_of(bank: Bank, book: str = "Own", **part_of_id: Any) -> list[dict[str, Any]]:
    wanted = {"_id.book": book} | {f"_id.{name}": value for name, value in part_of_id.items()}
    return [row async for row in bank["medici_py_balances"].find(wanted)]


async def pollute(bank: Bank) -> int:
    """Change, delete and add rows at random; return how many balances are wrong then."""
    rows = bank["medici_py_balances"]
    own = {"_id.book": "Own"}
    await rows.update_one(own | {"_id.path": ["Assets"]}, {"$inc": {"debit": Decimal128("2.25")}})
    await rows.update_one(own | {"_id.path": []}, {"$inc": {"notes": Int64(3), "size": Int64(-5)}})
    await rows.delete_many(own | {"_id.path": ["Income"]})
    stray = {"book": "Own", "path": ["Nobody"], "dims": ["EUR"], "stripe": 7}
    await rows.insert_one({"_id": stray, "debit": Int64(9), "credit": Int64(0), "notes": Int64(1)})
    return 4


async def state_of(bank: Bank) -> BookState:
    stored = await Store(bank).books.find_one({"_id": "Own"})
    assert stored is not None
    return BookState.from_document(stored)


class TestMending:
    async def test_right_balances_are_left_alone(self, book: Book, bank: Bank) -> None:
        """Nothing is written, not even the state."""
        before = await rows_of(bank), await state_of(bank)
        report = await rebuilt(bank)
        assert (report.accounts, report.corrected, report.dropped) == (4, 0, 0)
        assert (await rows_of(bank), await state_of(bank)) == before

    async def test_wrong_balances_become_what_the_legs_give(self, book: Book, bank: Bank) -> None:
        """By rows of a stripe of their own; what posters have written stays. Another book is not touched."""
        other = await rows_of(bank, "Other")
        wrong = await pollute(bank)
        posted = [row for row in await rows_of(bank) if row["_id"]["stripe"]]
        report = await rebuilt(bank)
        assert (report.accounts, report.corrected) == (5, wrong)
        assert (await audited(bank)).clean
        assert [row for row in await rows_of(bank) if row["_id"]["stripe"]] == posted
        assert await rows_of(bank, "Other") == other

    async def test_reads_of_an_earlier_moment_go_to_the_entries(self, book: Book, bank: Bank) -> None:
        """The rows of that moment are wrong."""
        await pollute(bank)
        report = await rebuilt(bank)
        assert report.state == await state_of(bank)
        assert report.state.usable_from == NOW + SETTLING

    async def test_again_there_is_nothing_left(self, book: Book, bank: Bank) -> None:
        """And mending what was mended by hand undoes the correction."""
        await pollute(bank)
        await rebuilt(bank)
        assert (await rebuilt(bank)).corrected == 0
        correction = {"_id.book": "Own", "_id.path": ["Assets"], "_id.stripe": {"$ne": 0}}
        await bank["medici_py_balances"].update_one(correction, {"$inc": {"debit": Decimal128("-2.25")}})
        assert (await rebuilt(bank)).corrected == 1
        (row,) = await rows_of(bank, path=["Assets"], stripe=0)
        assert row["debit"].to_decimal() == 0
        assert (await audited(bank)).clean

    @pytest.mark.parametrize("killed_after", [0, 1, 2, 3])
    async def test_killed_at_any_step_it_is_finished_by_the_next(
        self, book: Book, bank: Bank, killed_after: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was corrected stays corrected, and counts once."""
        monkeypatch.setattr(rebuild, "ROWS_A_TRANSACTION", 1)
        wrong = await pollute(bank)

        def die(progress: RebuildProgress) -> None:
            if progress.corrected > killed_after:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await rebuilt(bank, progress=die)
        report = await rebuilt(bank)
        assert report.corrected == wrong - killed_after - 1
        assert (await audited(bank)).clean

    async def test_while_others_post(self, book: Book, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        """They add to legs and rows at once, so what is between the two stays as it was seen."""
        monkeypatch.setattr(rebuild, "ROWS_A_TRANSACTION", 1)
        posting, posted = True, 0

        async def post() -> None:
            nonlocal posted
            while posting:
                journal = (
                    await book.entry("Sale").debit("Assets:Cash", "0.1").credit("Income", "0.1").commit()
                )
                await book.void(journal.id)
                posted += 2

        posters = [asyncio.create_task(post()) for _ in range(3)]
        try:
            for _ in range(3):
                await pollute(bank)
                seen = posted
                report = await rebuilt(bank)
                assert report.corrected >= 1
                await bank["medici_py_balances"].delete_one({"_id.path": ["Nobody"], "_id.stripe": 7})
                assert (await rebuilt(bank)).corrected == 1
                assert (await audited(bank)).differences == ()
                while posted <= seen:
                    await asyncio.sleep(0.01)
        finally:
            posting = False
            await asyncio.gather(*posters)
        assert (await audited(bank)).clean
        assert (await book.balance("Assets:Cash")).balance == Decimal("-1010.5")

    async def test_of_several_at_once_one_goes_on(
        self, book: Book, bank: Bank, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All have seen the same difference; added more than once it would be wrong again."""
        monkeypatch.setattr(rebuild, "ROWS_A_TRANSACTION", 2)
        await pollute(bank)
        all_have_seen, met = asyncio.Barrier(3), set[int]()
        write = rebuild._Rebuild._write

        async def write_together(run: rebuild._Rebuild, corrections: list[Any]) -> None:
            if id(run) not in met:
                met.add(id(run))
                await all_have_seen.wait()
            await write(run, corrections)

        monkeypatch.setattr(rebuild._Rebuild, "_write", write_together)
        outcomes = await asyncio.gather(*(rebuilt(bank) for _ in range(3)), return_exceptions=True)
        refused = [one for one in outcomes if isinstance(one, RebuildConflictError)]
        assert len(refused) == 2
        assert all(isinstance(one, (RebuildConflictError, RebuildReport)) for one in outcomes)
        await rebuilt(bank)
        assert (await audited(bank)).clean

    async def test_other_dimensions_are_refused(self, book: Book, bank: Bank) -> None:
        """The rows could not be compared; the way is to stop and begin anew."""
        before = await rows_of(bank)
        with pytest.raises(DimensionsChangedError, match="running_balances=False") as caught:
            await rebuilt(bank, fields=())
        assert (caught.value.stored, caught.value.given) == (FIELDS, ())
        assert await rows_of(bank) == before

    async def test_leg_that_cannot_be_read_stops_it(self, book: Book, bank: Bank) -> None:
        """Unknown is not zero."""
        await bank["medici_transactions"].update_one({"book": "Own"}, {"$set": {"debit": True}})
        with pytest.raises(UnreadableDocumentError):
            await rebuilt(bank)

    async def test_correction_with_too_many_digits_is_refused(self, book: Book, bank: Bank) -> None:
        """Rather than rounded."""
        leg = {"book": "Own", "debit": Decimal128("1000.5")}
        await bank["medici_transactions"].update_one(leg, {"$set": {"debit": Decimal128("1E34")}})
        with pytest.raises(CorrectionTooLargeError, match="34"):
            await rebuilt(bank)

    async def test_transaction_that_the_server_aborts_is_repeated(
        self, faulty_bank: Bank, fail: Callable[..., Awaitable[None]]
    ) -> None:
        """An election or a write conflict costs nothing but time."""
        shop = Book("Own", faulty_bank, dimensions={"currency": "USD"})
        await sell(shop)
        await faulty_bank["medici_py_balances"].update_many({}, {"$inc": {"debit": Int64(1)}})
        await fail("commitTransaction", errorCode=112, errorLabels=["TransientTransactionError"])
        assert (await rebuilt(faulty_bank)).corrected == 4
        assert (await audited(faulty_bank)).clean
        await shop.close()

    async def test_errors_of_the_driver_pass_through(
        self, faulty_bank: Bank, fail: Callable[..., Awaitable[None]]
    ) -> None:
        """As from any other call."""
        await fail("aggregate", errorCode=13, times=None)
        with pytest.raises(OperationFailure):
            await rebuilt(faulty_bank)


class TestSwitchingOn:
    async def test_book_with_older_entries_gets_its_rows(self, bank: Bank, mongodb: EmbeddedMongo) -> None:
        """Afterwards postings keep them."""
        old = Book("Own", bank, running_balances=False)
        for amount in range(1, 4):
            await sell(old, amount)
        await old.close()
        report = await rebuilt(bank, fields=())
        assert (report.accounts, report.corrected) == (4, 4)
        assert report.state == await state_of(bank)
        assert report.state.running_balances
        assert report.state.usable_from == NOW + SETTLING
        # A client of its own, as a process has that begins after that.
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            new = Book("Own", client[bank.name])
            await sell(new)
            assert (await new.balance("Income")).balance == 7
            await new.close()
        assert (await audited(bank)).clean
        assert await rows_of(bank, path=["Income"], stripe={"$ne": 0})

    async def test_book_that_node_has_written(self, node: NodeMedici, mongo_database: Bank) -> None:
        """Its doubles, voids and odd accounts are no differences, and give rows as any legs."""
        theirs = node.book("Own")
        rent = (
            await theirs.entry("Rent").debit("Assets:Cash", 0.1).debit("A:", 2).credit("Income", 2.1).commit()
        )
        reversal = await theirs.void(rent.id)
        await theirs.void(reversal.id, "after all")
        await theirs.entry("Nothing").credit(["A:B", "C"], 0).commit()
        assert (await audited(mongo_database)).differences == ()
        report = await rebuilt(mongo_database, fields=())
        assert report.corrected == report.accounts == 8
        assert (await audited(mongo_database)).differences == ()

    async def test_any_driver_will_do(self, driver_database: Any, bank: Bank) -> None:
        """Motor's cursors are others."""
        old = Book("Own", driver_database, running_balances=False)
        await sell(old)
        await old.close()
        assert (await rebuilt(driver_database, fields=())).corrected == 4
        assert (await audited(bank)).accounts == 4
        assert (await rebuilt(driver_database, running_balances=False)).dropped == 4

    async def test_book_without_a_journal_is_just_noted(self, bank: Bank) -> None:
        """Its first entry finds it switched on."""
        report = await rebuilt(bank)
        assert report == RebuildReport(report.state, 0, 0, 0)
        assert (report.state.running_balances, report.state.fields) == (True, FIELDS)

    @pytest.mark.parametrize("killed_after", range(4))
    async def test_killed_half_way_the_book_is_still_off(
        self, book: Book, bank: Bank, killed_after: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rows that are not complete are read by nobody; the next one completes them."""
        await rebuilt(bank, running_balances=False)
        monkeypatch.setattr(rebuild, "ROWS_A_TRANSACTION", 1)

        def die(progress: RebuildProgress) -> None:
            if progress.corrected > killed_after:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await rebuilt(bank, progress=die)
        assert not (await state_of(bank)).running_balances
        assert (await rebuilt(bank)).corrected == 4 - killed_after - 1
        assert (await state_of(bank)).running_balances
        assert (await audited(bank)).clean

    async def test_by_other_dimensions_after_it_was_off(self, book: Book, bank: Bank) -> None:
        """Nothing of the old rows is left, also where a rebuild was killed half way."""
        await rebuilt(bank, running_balances=False)
        left = {"book": "Own", "path": [], "dims": ["USD"], "stripe": 0}
        await bank["medici_py_balances"].insert_one(
            {"_id": left, "debit": Int64(1), "credit": Int64(0), "notes": Int64(0)}
        )
        report = await rebuilt(bank, fields=("memo",))
        assert (report.state.fields, report.dropped) == (("memo",), 1)
        assert [row["_id"]["dims"] for row in await rows_of(bank)] == [["Sale"]] * 4
        assert (await audited(bank)).clean


class TestSwitchingOff:
    async def test_state_first_then_all_rows_go(
        self, book: Book, bank: Bank, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only those of the book; who reads meanwhile sums the entries."""
        monkeypatch.setattr(rebuild, "ROWS_A_TRANSACTION", 3)
        other = await rows_of(bank, "Other")
        told: list[RebuildProgress] = []
        report = await rebuilt(bank, running_balances=False, progress=told.append)
        assert not report.state.running_balances
        assert (told[0].dropped, told[-1].dropped) == (3, report.dropped)
        assert (await rows_of(bank), await rows_of(bank, "Other")) == ([], other)
        assert (await audited(bank)).accounts == 0

    async def test_killed_half_way_the_next_one_drops_the_rest(
        self, book: Book, bank: Bank, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The state was changed before."""
        monkeypatch.setattr(rebuild, "ROWS_A_TRANSACTION", 1)

        def die(_: RebuildProgress) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await rebuilt(bank, running_balances=False, progress=die)
        assert not (await state_of(bank)).running_balances
        left = len(await rows_of(bank))
        assert left > 0
        assert (await rebuilt(bank, running_balances=False)).dropped == left
        assert await rows_of(bank) == []

    async def test_book_nobody_knows(self, bank: Bank) -> None:
        """Is off from then on."""
        report = await rebuilt(bank, running_balances=False)
        assert not report.state.running_balances
        assert report.dropped == 0


async def test_any_rows_become_right(bank: Bank) -> None:
    """Whatever legs and rows there are."""
    rng = random.Random(4)
    paths = [["A"], ["A", "B"], ["A", "B", "C"], ["B"], [], [""], ["A:B"]]

    def amount() -> Any:
        value = rng.randint(-5, 5)
        return rng.choice([Int64(value), float(value) / 8, Decimal128(f"{value}E-3")])

    def meta() -> dict[str, Any]:
        return {"meta": {"currency": value}} if (value := rng.choice(["X", "Y", None, 4])) else {}

    legs = [
        {"book": "Own", "account_path": rng.choice(paths), "debit": amount(), "credit": amount(), **meta()}
        for _ in range(80)
    ]
    await bank["medici_transactions"].insert_many(legs)
    rows = {
        (tuple(rng.choice(paths)), rng.choice(["X", "Z", None]), rng.randint(0, 3)): None for _ in range(20)
    }
    await bank["medici_py_balances"].insert_many(
        [
            {
                "_id": {"book": "Own", "path": list(path), "dims": [value], "stripe": stripe},
                "debit": amount(),
                "credit": amount(),
                "notes": rng.randint(-2, 2),
            }
            for path, value, stripe in rows
        ]
    )
    await bank["medici_py_books"].insert_one(
        BookState("Own", running_balances=True, fields=FIELDS).to_document()
    )
    assert (await rebuilt(bank)).corrected > 10
    wrong = [
        one for one in (await audited(bank)).differences if one.kind in ("WrongRunningBalance", "WrongSize")
    ]
    assert wrong == []


async def test_mongomock_is_refused(mongomock_database: Bank) -> None:
    """It has no transactions."""
    with pytest.raises(UnsupportedDeploymentError, match="mongomock"):
        await rebuilt(mongomock_database)

"""Rolling a book up, again, half, at once; dropping its roll-ups; checking them against the entries."""

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bson import Int64, ObjectId
from pymongo.errors import OperationFailure

from medici_py import Book, init_models, rollups
from medici_py.errors import UnreadableDocumentError, UnsupportedDeploymentError
from medici_py.history import History
from medici_py.query import parse_leg_query
from medici_py.rollup_check import check_rollups
from medici_py.rollup_rows import ROLLUPS, RolledUp
from medici_py.rollup_stream import RecordedLegs
from medici_py.rollups import (
    RollUpProgress,
    RollUpRefusedError,
    RollUpReport,
    RollUpUnderWayError,
    drop_rollups,
    read_state,
    roll_up,
)
from medici_py.store import ReadOptions, Store

BEGIN = dt.datetime(2024, 12, 28, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)

PayAt = Callable[..., Awaitable[None]]


@pytest.fixture
def pay_at() -> PayAt:
    """Post a payment as if it were recorded at that time."""

    async def post(
        database: Any,
        at: dt.datetime,
        amount: Any = 1,
        *,
        date: dt.datetime | None = None,
        debit: str = "Assets:Cash",
        **settings: Any,
    ) -> None:
        book = Book("MainBook", database, clock=lambda: at, **settings)
        extra = dict.fromkeys(settings.get("dimensions", ()), "BTC")
        entry = book.entry("payment", date=date).debit(debit, amount, extra)
        await entry.credit("Income", amount, extra).commit()

    return post


async def rolled_up(database: Any, now: dt.datetime, **options: Any) -> RollUpReport:
    store = Store(database)
    return await roll_up(store, await read_state(store, "MainBook"), precision=8, now=now, **options)


async def checked(database: Any, **options: Any) -> list[str]:
    store = Store(database)
    state = await read_state(store, "MainBook")
    return [one.text for one in await check_rollups(store, state, precision=8, **options)]


async def progress_of(database: Any) -> RolledUp:
    return RolledUp.from_document((await read_state(Store(database), "MainBook")).rolled_up)


async def rows_of(database: Any, **key: Any) -> dict[tuple[str, ...], tuple[str, str, int]]:
    wanted = {f"_id.{name}": value for name, value in key.items()}
    return {
        (":".join(row["_id"]["path"]), row["_id"]["span"]): (
            str(row["debit"]),
            str(row["credit"]),
            row["notes"],
        )
        async for row in database[ROLLUPS].find(wanted)
    }


async def test_turnover_is_kept_by_account_and_span(bank: Any, pay_at: PayAt) -> None:
    """Every account with what lies below it, by the time of recording and by that of taking effect."""
    await pay_at(bank, BEGIN + HOUR, 5, date=BEGIN - 40 * DAY)
    await pay_at(bank, BEGIN + 5 * DAY, "0.5")
    report = await rolled_up(bank, BEGIN + 9 * DAY)
    assert report == RollUpReport("MainBook", BEGIN + 9 * DAY - DAY, legs=4, rows=48)
    recorded = await rows_of(bank, kind="recorded")
    assert recorded["Assets", "2024-12-28"] == recorded["Assets:Cash", "2024"] == ("5", "0", 1)
    assert recorded["", "2025-01-02"] == ("0.5", "0.5", 2)
    effective = await rows_of(bank, kind="effective")
    assert effective["", "2024-11"] == ("5", "5", 2)
    assert ("", "2024-12") not in effective
    assert await checked(bank) == []


@pytest.mark.parametrize(
    ("after_midnight", "settle_secs", "days"),
    [
        (dt.timedelta(seconds=299), 300, 1),
        (dt.timedelta(seconds=300), 300, 2),
        (dt.timedelta(seconds=300), 301, 1),
        (dt.timedelta(0), 0, 2),
    ],
)
async def test_day_is_rolled_up_once_nobody_can_still_record_in_it(
    bank: Any, pay_at: PayAt, after_midnight: dt.timedelta, settle_secs: int, days: int
) -> None:
    """Midnight must be as long ago as a transaction may last and clocks may differ."""
    await pay_at(bank, BEGIN)
    report = await rolled_up(bank, BEGIN + 2 * DAY + after_midnight, settle_secs=settle_secs)
    assert report.before == BEGIN + days * DAY


async def test_what_comes_later_is_added_once(bank: Any, pay_at: PayAt) -> None:
    """Running again adds nothing; the next day adds to the rows of its month and year."""
    await pay_at(bank, BEGIN)
    await rolled_up(bank, BEGIN + 1.5 * DAY)
    assert (await rolled_up(bank, BEGIN + 1.5 * DAY)).legs == 0
    await pay_at(bank, BEGIN + 2 * DAY, 10)
    assert (await rolled_up(bank, BEGIN + 3.5 * DAY)).legs == 2
    assert (await rows_of(bank, kind="recorded"))["Assets", "2024-12"] == ("11", "0", 2)
    assert await checked(bank) == []


async def test_long_past_is_taken_month_by_month(bank: Any, pay_at: PayAt) -> None:
    """Each pass is told of; time in which nothing was recorded takes none."""
    for days in (0, 10, 400):
        await pay_at(bank, BEGIN + days * DAY)
    seen: list[RollUpProgress] = []
    target = BEGIN + 500 * DAY
    await rolled_up(bank, target + HOUR, progress=seen.append)
    assert [(one.before, one.accounts) for one in seen] == [
        (BEGIN + 31 * DAY, 4),
        (BEGIN + 431 * DAY, 4),
        (target, 0),
    ]
    assert {one.target for one in seen} == {target}


async def test_roll_up_that_fails_within_a_transaction_goes_on_where_it_was(
    faulty_bank: Any, fail: Any, pay_at: PayAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and state are written together or not at all."""
    monkeypatch.setattr(rollups, "ROWS_A_TRANSACTION", 1)
    for name in "ABCD":
        await pay_at(faulty_bank, BEGIN + HOUR, debit=f"Assets:{name}")
    seen: list[RollUpProgress] = []

    def progress(progress: RollUpProgress) -> None:
        seen.append(progress)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rolled_up(faulty_bank, BEGIN + 2 * DAY, progress=progress)
    half = await progress_of(faulty_bank)
    await fail("insert", collection=ROLLUPS, errorCode=8)
    with pytest.raises(OperationFailure):
        await rolled_up(faulty_bank, BEGIN + 2 * DAY)
    assert await progress_of(faulty_bank) == half
    assert half.done == ("Assets", "D")
    assert await checked(faulty_bank) == []
    await rolled_up(faulty_bank, BEGIN + 2 * DAY)
    assert (await progress_of(faulty_bank)).done is None
    assert (await rows_of(faulty_bank, kind="recorded"))["", "2024-12-28"] == ("4", "4", 8)
    assert await checked(faulty_bank) == []


async def test_write_conflict_is_tried_again(faulty_bank: Any, fail: Any, pay_at: PayAt) -> None:
    """The transaction runs from its beginning."""
    await pay_at(faulty_bank, BEGIN)
    await fail("insert", collection=ROLLUPS, errorCode=112, errorLabels=["TransientTransactionError"])
    await rolled_up(faulty_bank, BEGIN + 2 * DAY)
    assert await checked(faulty_bank) == []


async def test_sums_beyond_34_digits_stay_exact(bank: Any, pay_at: PayAt) -> None:
    """They are folded here, and stored as text."""
    await pay_at(bank, BEGIN)
    nines = Int64(2**63 - 1)
    legs = [
        {
            "_id": ObjectId(),
            "_journal": ObjectId(),
            "book": "MainBook",
            "accounts": "Assets:Cash",
            "account_path": ["Assets", "Cash"],
            "debit": amount,
            "credit": Int64(0),
            "datetime": BEGIN,
            "timestamp": BEGIN,
        }
        for amount in (nines, 1e25, 0.1, 0.1, 1e25)
    ]
    await bank.medici_transactions.insert_many(legs)
    store = Store(bank)
    state = await read_state(store, "MainBook")
    await roll_up(store, state, precision=16, now=BEGIN + 2 * DAY)
    assert (await rows_of(bank, grain="year", kind="recorded"))["Assets", "2024"] == (
        "20000009223372036854775808.2",
        "0",
        6,
    )
    assert await check_rollups(store, state, precision=0) == []


async def test_book_without_running_balances_is_refused(bank: Any, pay_at: PayAt) -> None:
    """Node stores the time at which an entry was begun, so it may still write to any past."""
    store = Store(bank)
    await pay_at(bank, BEGIN, running_balances=False)
    for book in ("MainBook", "Unknown"):
        with pytest.raises(RollUpRefusedError, match=rf"Book '{book}' keeps no running balances.*rebuild"):
            await read_state(store, book)
    assert await drop_rollups(store, "Unknown") == 0


async def test_leg_without_recorded_time_is_refused(bank: Any, pay_at: PayAt) -> None:
    """No past moment has it or lacks it."""
    await pay_at(bank, BEGIN)
    await bank.medici_transactions.update_one({"accounts": "Income"}, {"$set": {"timestamp": "yesterday"}})
    with pytest.raises(UnreadableDocumentError, match="stores no time under 'timestamp'") as caught:
        await rolled_up(bank, BEGIN + 2 * DAY)
    assert (caught.value.field, caught.value.value) == ("timestamp", "yesterday")


async def test_dates_of_other_writers_are_met(bank: Any, pay_at: PayAt) -> None:
    """A date that is text is no date, an account that is no list of texts is in the whole book alone."""
    for debit in ("A", "B"):
        await pay_at(bank, BEGIN, debit=debit)
    await bank.medici_transactions.update_one({"accounts": "A"}, {"$set": {"datetime": "2024-12-28"}})
    await bank.medici_transactions.update_one({"accounts": "B"}, {"$set": {"account_path": None}})
    await rolled_up(bank, BEGIN + 2 * DAY)
    assert (await rows_of(bank, kind="effective"))["", "2024"] == ("1", "2", 3)
    assert (await rows_of(bank, kind="recorded"))["", "2024"] == ("2", "2", 4)
    assert await checked(bank) == []


async def test_dropped_roll_ups_stop_counting_at_once(bank: Any, pay_at: PayAt) -> None:
    """The rows go afterwards; those that a killed run has left go with the next roll-up."""
    await pay_at(bank, BEGIN)
    await rolled_up(bank, BEGIN + 2 * DAY)
    left = await bank[ROLLUPS].find().to_list()
    store = Store(bank)
    assert await drop_rollups(store, "MainBook") == len(left) == 24
    dropped = await progress_of(bank)
    assert (dropped.generation, dropped.before) == (1, None)
    await bank[ROLLUPS].insert_many(left)
    assert await checked(bank) == []
    await rolled_up(bank, BEGIN + 2 * DAY)
    assert {row["_id"]["generation"] async for row in bank[ROLLUPS].find()} == {1}
    assert await checked(bank) == []


async def test_drop_stops_a_roll_up_under_way(
    bank: Any, pay_at: PayAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It notices at its next transaction, and leaves nothing that would count."""
    monkeypatch.setattr(rollups, "ROWS_A_TRANSACTION", 1)
    await pay_at(bank, BEGIN)
    by_account = RecordedLegs.by_account
    store = Store(bank)

    async def dropping_in_between(self: RecordedLegs, *bounds: Any) -> Any:
        async for account in by_account(self, *bounds):
            if account[0] == ("Assets",):
                await drop_rollups(store, "MainBook")
            yield account

    monkeypatch.setattr(RecordedLegs, "by_account", dropping_in_between)
    with pytest.raises(RollUpUnderWayError, match="changed by somebody else"):
        await rolled_up(bank, BEGIN + 2 * DAY)
    monkeypatch.undo()
    assert await rows_of(bank) == {}
    await rolled_up(bank, BEGIN + 2 * DAY)
    assert await checked(bank) == []


async def test_slow_clock_records_no_earlier_than_what_is_rolled_up(bank: Any, pay_at: PayAt) -> None:
    """Entries and voids count from that midnight on, which is nearer to the truth: no answer lacks them."""
    await pay_at(bank, BEGIN, 1)
    await rolled_up(bank, BEGIN + 2 * DAY)
    midnight = (await progress_of(bank)).before
    assert midnight is not None
    slow = Book("MainBook", bank, clock=lambda: BEGIN + HOUR)
    slow._poster.desk.forget_state(slow.name)  # a process hears of a roll-up within ten seconds
    journal = await slow.entry("late").debit("Assets:Cash", 10).credit("Income", 10).commit()
    dated = await slow.entry("dated", date=BEGIN).debit("Assets:Cash", 5).credit("Income", 5).commit()
    reversal = await slow.void(dated.id)
    assert (journal.datetime, dated.datetime, reversal.datetime) == (midnight, BEGIN, midnight)
    await rolled_up(bank, BEGIN + 9 * DAY)
    book = Book("MainBook", bank, clock=lambda: BEGIN + 9 * DAY)
    for end, balance in ((midnight - HOUR, 6), (midnight, 11)):
        assert (await book.balance("Income", end_date=end)).balance == balance
        assert (await book.balance("Income", {"no": None}, end_date=end)).balance == balance
    assert (await book.balance("Income", at=midnight - HOUR)).balance == 1
    assert await checked(bank) == []


async def test_other_dimensions_begin_anew(bank: Any, pay_at: PayAt) -> None:
    """Rows that tell other values apart answer nothing."""
    await pay_at(bank, BEGIN, dimensions=("currency",))
    await rolled_up(bank, BEGIN + 2 * DAY)
    await bank.medici_py_books.update_one({"_id": "MainBook"}, {"$set": {"fields": []}})
    assert (await rolled_up(bank, BEGIN + 3 * DAY)).legs == 2
    assert {tuple(row["_id"]["dims"]) async for row in bank[ROLLUPS].find()} == {()}
    assert await checked(bank) == []


async def test_every_driver_rolls_up_and_answers(driver_database: Any, pay_at: PayAt) -> None:
    """PyMongo Async and Motor."""
    await pay_at(driver_database, BEGIN, 3, date=BEGIN - 50 * DAY)
    await pay_at(driver_database, BEGIN + DAY, 4)
    await rolled_up(driver_database, BEGIN + 3 * DAY)
    store = Store(driver_database)
    history = History(store, precision=8, clock=lambda: BEGIN + 9 * DAY)
    state = await read_state(store, "MainBook")
    for bounds in ({"at": BEGIN}, {"end_date": BEGIN}, {"end_date": BEGIN, "at": BEGIN + 2 * DAY}):
        query = parse_leg_query("MainBook", "Assets", **bounds)
        answer = await history.turnover(query, state, ReadOptions())
        assert answer is not None
        assert (answer.debit, answer.notes) == (3, 1)
    assert await checked(driver_database) == []
    assert await drop_rollups(store, "MainBook") > 0


async def test_mongomock_is_refused() -> None:
    """Without transactions nothing is exact."""
    mongomock_motor = pytest.importorskip("mongomock_motor")
    store = Store(mongomock_motor.AsyncMongoMockClient()["bank"])
    state: Any = None
    with pytest.raises(UnsupportedDeploymentError, match="need transactions; use a real MongoDB"):
        await roll_up(store, state, precision=8, now=BEGIN)


class TestCheck:
    """Every row is compared with the legs it stands for."""

    async def test_entry_recorded_in_a_time_that_was_rolled_up_is_found(
        self, bank: Any, pay_at: PayAt
    ) -> None:
        """As Node's medici does, or somebody's script."""
        await pay_at(bank, BEGIN)
        await rolled_up(bank, BEGIN + 2 * DAY)
        await pay_at(bank, BEGIN + 2 * DAY, "2.5")
        past = {"timestamp": BEGIN + HOUR, "datetime": BEGIN + HOUR}
        await bank.medici_transactions.update_many({"timestamp": BEGIN + 2 * DAY}, {"$set": past})
        found = await checked(bank)
        assert len(found) == 24
        assert found[0] == (
            "Book 'MainBook', roll-up of account 'Income', recorded 2024-12-28: the entries add up to debit 0, "
            "credit 3.5, 2 legs, the roll-up has debit 0, credit 1, 1 legs. An entry was recorded at a time that "
            "had been rolled up, or the row was changed by hand. Roll the book up anew (medici roll-up --anew)."
        )
        assert "roll-up of all accounts, effective 2024:" in found[-1]
        assert await checked(bank, max_differences=3) == found[:3]
        await drop_rollups(Store(bank), "MainBook")
        await rolled_up(bank, BEGIN + 2 * DAY)
        assert await checked(bank) == []

    @pytest.mark.parametrize(
        ("path", "damage"),
        [
            (["Assets"], {"$set": {"notes": 7}}),
            ([], {"$set": {"debit": "12345678901234567890123456789012345"}}),
        ],
    )
    async def test_row_changed_by_hand_is_found(
        self, bank: Any, pay_at: PayAt, path: list[str], damage: dict[str, Any]
    ) -> None:
        """Whichever of its figures."""
        await pay_at(bank, BEGIN)
        await rolled_up(bank, BEGIN + 2 * DAY)
        await bank[ROLLUPS].update_one({"_id.path": path, "_id.kind": "recorded"}, damage)
        assert len(await checked(bank)) == 1

    @pytest.mark.parametrize("path", [["Zebra"], ["Assets", "Cash", "Till"], ["A"]])
    async def test_row_of_an_account_without_legs_is_found(
        self, bank: Any, pay_at: PayAt, path: list[str]
    ) -> None:
        """Wherever in the order it stands; one of zero is none."""
        await pay_at(bank, BEGIN)
        await rolled_up(bank, BEGIN + 2 * DAY)
        row = await bank[ROLLUPS].find_one({"_id.path": ["Assets", "Cash"]})
        await bank[ROLLUPS].insert_one({**row, "_id": {**row["_id"], "path": path}})
        (difference,) = await checked(bank)
        assert f"roll-up of account '{':'.join(path)}'" in difference
        assert "add up to debit 0, credit 0, 0 legs" in difference
        nothing = {"debit": Int64(0), "notes": Int64(0)}
        await bank[ROLLUPS].update_one({"_id.path": path}, {"$set": nothing})
        assert await checked(bank) == []

    async def test_missing_row_is_found(self, bank: Any, pay_at: PayAt) -> None:
        """Entries that no row stands for."""
        await pay_at(bank, BEGIN)
        await rolled_up(bank, BEGIN + 2 * DAY)
        await bank[ROLLUPS].delete_many({"_id.path": ["Income"], "_id.grain": "day"})
        assert [difference.partition(":")[0] for difference in await checked(bank)] == [
            "Book 'MainBook', roll-up of account 'Income', recorded 2024-12-28",
            "Book 'MainBook', roll-up of account 'Income', effective 2024-12-28",
        ]

    async def test_leg_inserted_without_recorded_time_is_found(self, bank: Any, pay_at: PayAt) -> None:
        """It counts by its date, and no roll-up has it."""
        await pay_at(bank, BEGIN)
        await rolled_up(bank, BEGIN + 2 * DAY)
        leg = await bank.medici_transactions.find_one({"accounts": "Income"})
        del leg["_id"], leg["timestamp"]
        await bank.medici_transactions.insert_one(leg)
        assert len(await checked(bank)) == 6

    async def test_check_begins_again_if_a_roll_up_went_on_meanwhile(
        self, bank: Any, pay_at: PayAt, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It gives up if that never ends."""
        await pay_at(bank, BEGIN)
        await rolled_up(bank, BEGIN + 2 * DAY)
        by_account = RecordedLegs.by_account
        meanwhile = 1

        async def with_another(self: RecordedLegs, *bounds: Any) -> Any:
            nonlocal meanwhile
            if meanwhile:
                meanwhile -= 1
                await bank.medici_py_books.update_one({"_id": "MainBook"}, {"$inc": {"rolled_up.step": 1}})
            async for account in by_account(self, *bounds):
                yield account

        monkeypatch.setattr(RecordedLegs, "by_account", with_another)
        assert await checked(bank) == []
        meanwhile = 100
        with pytest.raises(RollUpUnderWayError, match="could not be checked"):
            await checked(bank)

    async def test_book_that_is_not_rolled_up_is_clean(self, bank: Any, pay_at: PayAt) -> None:
        """There is nothing to compare."""
        await init_models(bank)
        await pay_at(bank, BEGIN)
        assert await checked(bank) == []

"""Answers about the past are what the entries add up to, however much of them is rolled up."""

import asyncio
import datetime as dt
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient
from pymongo.read_concern import ReadConcern

from medici_py import Book, init_models, rollups
from medici_py.balances import EntrySums
from medici_py.book_state import BookState
from medici_py.driver import snapshot_session
from medici_py.embedded import EmbeddedMongo
from medici_py.history import History
from medici_py.query import LegQuery, parse_leg_query
from medici_py.rollups import RollUpProgress, RollUpUnderWayError, read_state, roll_up
from medici_py.store import ReadOptions, Store
from medici_py.sums import Sums
from medici_py.transactions import mongo_transaction

BEGIN = dt.datetime(2024, 12, 28, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)
MS = dt.timedelta(milliseconds=1)
PLAIN = ReadOptions()
ACCOUNTS = ("Assets:Cash", "Assets:Cash:Till", "Assets", "Liabilities:w1")


class KilledError(Exception):
    """Stands for the end of the process."""


class Bank:
    """A book whose clock the test turns."""

    def __init__(self, database: Any, name: str = "MainBook") -> None:
        self.now = BEGIN
        self.store = Store(database)
        self.book = Book(name, database, dimensions=("currency",), clock=lambda: self.now)
        self.history = History(self.store, precision=8, clock=lambda: self.now)
        self.entries = EntrySums(self.store, precision=8)

    async def pay(
        self,
        amount: Any = 1,
        *,
        at: dt.datetime | None = None,
        date: dt.datetime | None = None,
        debit: str = "Assets:Cash",
        credit: str = "Liabilities:w1",
        currency: str = "BTC",
        leg_date: dt.datetime | None = None,
        session: Any = None,
    ) -> None:
        self.now = at or self.now
        extra = {"currency": currency}
        own_date = {} if leg_date is None else {"datetime": leg_date}
        entry = self.book.entry("payment", date=date).debit(debit, amount, extra)
        await entry.credit(credit, amount, {**extra, **own_date}).commit(session=session)

    async def state(self) -> BookState:
        return await read_state(self.store, self.book.name)

    async def roll_up(self, *, now: dt.datetime | None = None, die_after: int | None = None) -> None:
        """Roll up; after so many transactions the process ends."""
        done = 0

        def progress(_: RollUpProgress) -> None:
            nonlocal done
            done += 1
            if die_after is not None and done > die_after:
                raise KilledError

        await roll_up(self.store, await self.state(), precision=8, now=now or self.now, progress=progress)

    def ask(self, account: Any = None, extra: Any = None, **bounds: Any) -> LegQuery:
        return parse_leg_query(self.book.name, account, extra, **bounds)

    async def answers(self, query: LegQuery, options: ReadOptions = PLAIN) -> tuple[Sums | None, Sums]:
        """Return what the roll-ups say and what the entries add up to."""
        return (
            await self.history.turnover(query, await self.state(), options),
            await self.entries.turnover(query, options),
        )


@pytest.fixture
async def bank(mongo_database: Any) -> Bank:
    """A fresh book."""
    await init_models(mongo_database)
    return Bank(mongo_database)


instants = st.builds(
    lambda day, shift: BEGIN + day * DAY + shift,
    st.integers(-40, 45) | st.integers(-1, 12),
    st.sampled_from([dt.timedelta(), -MS, MS, 7 * HOUR]),
)
posts = st.fixed_dictionaries(
    {
        "pass": st.sampled_from([dt.timedelta(), MS, 5 * HOUR, DAY - MS, DAY, 3 * DAY, 33 * DAY]),
        "date": st.none() | instants | st.sampled_from([BEGIN - 4000 * DAY, BEGIN + 4000 * DAY]),
        "leg_date": st.none() | instants,
        "debit": st.sampled_from(ACCOUNTS),
        "credit": st.sampled_from(ACCOUNTS),
        "currency": st.sampled_from(["BTC", "USD"]),
        "amount": st.sampled_from(["1", "0.00000001", "999999999999999999999999", "-3"]),
    }
)
roll_ups = st.fixed_dictionaries({"die_after": st.none() | st.integers(0, 3)})
questions = st.fixed_dictionaries(
    {
        "account": st.sampled_from([None, "Assets", "Assets:Cash", "Liabilities:w1", "Nowhere", [*ACCOUNTS]]),
        "extra": st.sampled_from([None, {"currency": "BTC"}, {"currency": {"$eq": "USD"}}]),
        "at": st.none() | instants,
        "start_date": st.none() | instants,
        "end_date": st.none() | instants,
    }
)


@settings(
    max_examples=settings.default.max_examples // 4, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(
    actions=st.lists(posts | posts | roll_ups, min_size=1, max_size=8),
    asked=st.lists(questions, min_size=6, max_size=12),
)
def test_answers_equal_the_sums_over_the_entries(
    mongodb: EmbeddedMongo, monkeypatch: pytest.MonkeyPatch, actions: list[Any], asked: list[Any]
) -> None:
    """Whatever is backdated, dated ahead, rolled up, or left half rolled up by a process that died."""
    monkeypatch.setattr(rollups, "ROWS_A_TRANSACTION", 7)

    async def run() -> None:
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            database = client["history_property"]
            await init_models(database)
            bank = Bank(database, str(ObjectId()))
            await bank.pay(at=BEGIN)
            for action in actions:
                await act(bank, action)
            for question in asked:
                answer, truth = await bank.answers(bank.ask(**question))
                assert answer in (None, truth), question

    asyncio.run(run())


async def act(bank: Bank, action: dict[str, Any]) -> None:
    if "pass" in action:
        bank.now += action["pass"]
        fields = {name: value for name, value in action.items() if name != "pass"}
        await bank.pay(fields.pop("amount"), **fields)
        return
    try:
        # So late that what has just been recorded is rolled up, too, and nothing is recorded before again.
        bank.now = bank.now.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
        await bank.roll_up(now=bank.now + 5 * dt.timedelta(minutes=1), **action)
    except KilledError:
        pass


@pytest.fixture
async def two_years(bank: Bank) -> Bank:
    """A payment of 1 at noon of every fiftieth day for two years, and what happened at a few midnights."""
    for number in range(0, 700, 50):
        await bank.pay(1, at=BEGIN + number * DAY + 12 * HOUR)
    for shift in (-MS, dt.timedelta(), MS):
        await bank.pay(10, at=BEGIN + 700 * DAY + shift)
    await bank.pay(100, date=BEGIN + 5 * DAY)
    await bank.pay(1000, date=BEGIN + 9000 * DAY)
    await bank.pay(10000, leg_date=BEGIN + 55 * DAY)
    await bank.roll_up(now=BEGIN + 702 * DAY)
    await bank.pay(100_000, at=BEGIN + 702 * DAY + HOUR)
    await bank.pay(1_000_000, date=BEGIN + 3 * DAY, at=BEGIN + 705 * DAY)
    return bank


async def test_every_kind_of_bound_is_answered_from_roll_ups(two_years: Bank) -> None:
    """Recorded time, effective dates and both; before, at and after what is rolled up; never left to entries."""
    bank = two_years
    bank.now = BEGIN + 706 * DAY
    marks = [BEGIN + days * DAY for days in (55, 700, 702, 705)]
    moments = [mark + shift for mark in marks for shift in (-MS, dt.timedelta(), 12 * HOUR)]
    for account, moment in itertools.product(("Assets", ["Assets:Cash", "Liabilities"], None), moments):
        for bounds in (
            {"at": moment},
            {"end_date": moment},
            {"start_date": moment},
            {"start_date": BEGIN - 9 * DAY + HOUR, "end_date": moment + 2 * DAY},
            {"at": BEGIN + 703 * DAY, "end_date": moment},
            {"at": BEGIN + 700 * DAY, "start_date": BEGIN, "end_date": moment + 2 * DAY},
        ):
            answer, truth = await bank.answers(bank.ask(account, {"currency": "BTC"}, **bounds))
            assert answer == truth, (account, bounds)


async def test_moment_in_the_recent_past_needs_no_roll_up(bank: Bank) -> None:
    """The running balances without what came after: the last day may be asked for before the first roll-up."""
    await bank.pay(1, at=BEGIN)
    await bank.pay(10, at=BEGIN + HOUR)
    bank.now = BEGIN + 2 * HOUR
    answer, truth = await bank.answers(bank.ask("Liabilities", at=BEGIN))
    assert answer == truth
    assert truth.credit == 1


async def test_moment_to_come_is_the_present(two_years: Bank) -> None:
    """What is recorded until then is what is recorded now."""
    answer, truth = await two_years.answers(two_years.ask("Liabilities", at=BEGIN + 9999 * DAY))
    assert answer == truth
    assert truth.notes == 22


@pytest.mark.parametrize("die_after", [0, 2, 3])
async def test_answers_are_exact_while_a_roll_up_is_under_way(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, die_after: int
) -> None:
    """Each account counts as rolled up exactly as far as it is; the next run goes on there."""
    monkeypatch.setattr(rollups, "ROWS_A_TRANSACTION", 1)
    for day, account in enumerate(("Assets:A", "Assets:B", "Assets:C", "Other:D")):
        await bank.pay(1, at=BEGIN + day * DAY + HOUR, debit=account)
    await bank.roll_up(now=BEGIN + 2 * DAY)
    bank.now = BEGIN + 60 * DAY
    with pytest.raises(KilledError):
        await bank.roll_up(die_after=die_after)
    accounts = (None, "Assets", "Assets:C", ["Assets:A", "Assets:C", "Other:D"])

    async def check() -> None:
        for account in accounts:
            for day in range(6):
                for bounds in ({"at": BEGIN + day * DAY}, {"end_date": BEGIN + day * DAY}):
                    answer, truth = await bank.answers(bank.ask(account, **bounds))
                    assert answer == truth, (account, bounds)

    await check()
    await bank.roll_up()
    await check()


async def test_reads_join_the_transaction_of_a_session(two_years: Bank) -> None:
    """What the transaction has written counts, what others commit meanwhile does not."""
    bank = two_years
    query = bank.ask("Liabilities", end_date=BEGIN + 800 * DAY)

    async def write_and_ask(session: Any) -> None:
        await bank.pay(7, session=session)
        await bank.pay(9)
        answer, truth = await bank.answers(query, ReadOptions(session=session))
        assert answer == truth
        assert truth.notes == before.notes + 1

    _, before = await bank.answers(query)
    await mongo_transaction(bank.store.client, write_and_ask)


async def test_reads_join_a_snapshot(two_years: Bank) -> None:
    """A session of one moment answers as of that moment."""
    bank = two_years
    query = bank.ask("Liabilities", end_date=BEGIN + 800 * DAY)
    async with snapshot_session(bank.store.client) as session:
        options = ReadOptions(session=session)
        _, before = await bank.answers(query, options)
        await bank.pay(9)
        assert await bank.answers(query, options) == (before, before)


async def test_what_roll_ups_do_not_know_is_left_to_the_entries(two_years: Bank) -> None:
    """They know accounts, dimension values and time."""
    bank = two_years
    state = await bank.state()
    at = {"at": BEGIN + 300 * DAY}
    for query in (
        bank.ask(extra={"memo": "payment"}, **at),
        bank.ask(extra={"currency": {"$in": ["BTC"]}}, **at),
        bank.ask(start_tx_id=ObjectId(), **at),
        bank.ask(end_tx_id=ObjectId(), **at),
        bank.ask(at=dt.datetime(1, 1, 1, 5, tzinfo=dt.UTC)),
        bank.ask(start_date=dt.datetime(9999, 12, 31, 5, tzinfo=dt.UTC)),
        bank.ask(start_date=BEGIN + HOUR, end_date=BEGIN + 2 * HOUR),
        bank.ask(at=BEGIN + DAY, end_date=BEGIN + 3 * DAY),
        bank.ask(),
    ):
        assert await bank.history.turnover(query, state, PLAIN) is None
    local = ReadOptions(read_concern=ReadConcern("local"))
    assert await bank.history.turnover(bank.ask(**at), state, local) is None
    async with bank.store.client.start_session() as session:
        plain_session = ReadOptions(session=session)
        assert await bank.history.turnover(bank.ask(**at), state, plain_session) is None


@pytest.mark.parametrize(
    "change",
    [
        {"running_balances": False},
        {"fields": ["meta.layer"]},
        {"usable_from": BEGIN + 10_000 * DAY},
        {"rolled_up": None},
    ],
)
async def test_roll_ups_that_no_longer_hold_are_not_used(two_years: Bank, change: dict[str, Any]) -> None:
    """The state stored at the moment of reading decides, not the one that the caller remembers."""
    bank = two_years
    remembered = await bank.state()
    await bank.store.books.update_one({"_id": bank.book.name}, {"$set": change})
    query = bank.ask(at=BEGIN + 300 * DAY)
    assert await bank.history.turnover(query, remembered, PLAIN) is None


async def test_two_roll_ups_at_once_add_nothing_twice(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them notices that the other was faster, and stops."""
    monkeypatch.setattr(rollups, "ROWS_A_TRANSACTION", 1)
    for day in range(5):
        await bank.pay(1, at=BEGIN + day * DAY, debit=f"Assets:{day}")
    bank.now = BEGIN + 9 * DAY
    outcomes = await asyncio.gather(*(bank.roll_up() for _ in range(3)), return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, RollUpUnderWayError) for outcome in outcomes)
    assert None in outcomes
    for day in range(7):
        answer, truth = await bank.answers(bank.ask(at=BEGIN + day * DAY))
        assert answer == truth


async def test_answers_do_not_grow_with_the_age_of_the_ledger(
    two_years: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the rows of roll-ups one day of legs is read, whatever lies before."""
    bank = two_years
    read: list[int] = []
    turnover: Callable[..., Any] = EntrySums.turnover

    async def counted(self: EntrySums, query: LegQuery, options: ReadOptions) -> Sums:
        sums: Sums = await turnover(self, query, options)
        read.append(sums.notes)
        return sums

    monkeypatch.setattr(EntrySums, "turnover", counted)
    answer = await bank.history.turnover(
        bank.ask(at=BEGIN + 650 * DAY + 13 * HOUR), await bank.state(), PLAIN
    )
    assert answer is not None
    assert answer.notes == 28
    assert read == [2]


async def test_answers_are_exact_beside_posters_and_a_roll_up(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Roll-ups and entries are compared at one moment, again and again, until the roll-up is done."""
    monkeypatch.setattr(rollups, "ROWS_A_TRANSACTION", 1)
    for day in range(8):
        await bank.pay(1, at=BEGIN + day * DAY, debit=f"Assets:{day % 4}")
    bank.now = BEGIN + 20 * DAY
    rolling = asyncio.create_task(bank.roll_up())
    answered = 0
    while not rolling.done() or not answered:
        await bank.pay(1, date=BEGIN + DAY)
        for query in (
            bank.ask(at=BEGIN + 3 * DAY),
            bank.ask("Assets", end_date=BEGIN + 2 * DAY),
            bank.ask("Assets:2", start_date=BEGIN + HOUR),
        ):
            async with snapshot_session(bank.store.client) as session:
                answer, truth = await bank.answers(query, ReadOptions(session=session))
            assert answer in (None, truth)
            answered += answer is not None
    await rolling

"""Several processes post to the same books while processes are killed and the server steps down.

What must hold afterwards is checked against what the processes were told, and against the stream of changes,
which shows every journal in the order of the commits.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from medici_py import (
    Book,
    ChangePosition,
    JournalPosted,
    JournalVoided,
    RebuildConflictError,
    RollUpUnderWayError,
    UnknownOutcomeError,
    init_models,
    open_changes,
)
from medici_py.embedded import EmbeddedMongo

WORKER = Path(__file__).with_name("medici_torture_worker.py")
WORKERS = 4
AT_WORK = 3
KILL_EVERY_SECS = 0.5
STOP_WITHIN_SECS = 60.0

TORTURE_SECS = float(os.environ.get("MEDICI_TORTURE_SECS", "6"))
TORTURE_SEED = int(os.environ.get("MEDICI_TORTURE_SEED", "20260101"))
"""What the workers do and who is killed; when is up to the machine. A failed run prints it."""

BOOKS = ("Main", "Side")
GUARDED = "Wallets"
OPENING = 40


@pytest.fixture(scope="module")
def torture_mongodb() -> Iterator[EmbeddedMongo]:
    """A server of its own, since it steps down.

    A killed client's open transaction keeps what it has written locked until MongoDB ends it, after 60 s by
    default: here soon, so that the others get something done in the time there is.
    """
    environment = {name: value for name, value in os.environ.items() if name != "MONGODB_URI"}
    with EmbeddedMongo(
        environment=environment, set_parameters={"transactionLifetimeLimitSeconds": 1}
    ) as mongo:
        yield mongo


@pytest.fixture
async def bank(torture_mongodb: EmbeddedMongo) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """A fresh database on that server."""
    async with AsyncMongoClient[dict[str, Any]](torture_mongodb.uri) as client:
        database = client[f"torture_{ObjectId()}"]
        await init_models(database)
        yield database
        await client.drop_database(database.name)


@dataclass(frozen=True)
class Worker:
    """A process that posts, and the file in which it writes what it was told."""

    process: asyncio.subprocess.Process
    log: Path

    def is_at_work(self) -> bool:
        assert self.process.returncode is None, f"a worker ended with status {self.process.returncode}"
        return self.log.exists()


class Crew:
    """The processes that post; one that is killed is replaced."""

    def __init__(self, uri: str, database: str, folder: Path, *, mode: str, seed: int) -> None:
        self._arguments = uri, database
        self._folder = folder
        self._mode = mode
        self._rng = random.Random(seed)
        self._workers: list[Worker] = []
        self._started = 0
        self.killed = 0

    async def start(self, workers: int) -> None:
        for _ in range(workers):
            await self._start_one()

    async def kill_one(self) -> None:
        """Kill one without warning and start another one, if enough have got past their start."""
        at_work = [worker for worker in self._workers if worker.is_at_work()]
        if len(at_work) >= AT_WORK:
            victim = self._rng.choice(at_work)
            victim.process.kill()
            await victim.process.wait()
            self._workers.remove(victim)
            self.killed += 1
            await self._start_one()

    async def stop(self) -> None:
        """Let them finish what is under way."""
        deadline = time.monotonic() + STOP_WITHIN_SECS
        while not all(worker.is_at_work() for worker in self._workers):
            assert time.monotonic() < deadline, "a worker has not begun to work"
            await asyncio.sleep(0.05)
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            assert await asyncio.wait_for(worker.process.wait(), STOP_WITHIN_SECS) == 0
        self._workers.clear()

    async def end(self) -> None:
        """Kill those that are left of a failed test."""
        for worker in self._workers:
            with suppress(ProcessLookupError):
                worker.process.kill()
            await worker.process.wait()

    def said(self) -> list[dict[str, Any]]:
        """All that they have written down; a line that a kill cut short was not said."""
        return [
            json.loads(line)
            for path in sorted(self._folder.glob("worker-*.log"))
            for line in path.read_text().splitlines(keepends=True)
            if line.endswith("\n")
        ]

    async def _start_one(self) -> None:
        self._started += 1
        log = self._folder / f"worker-{self._started:03}.log"
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(WORKER), *self._arguments, str(log), str(self._rng.randrange(2**32)),
            self._mode, stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._workers.append(Worker(process, log))


@dataclass
class Books:
    """The books of a run, as the test itself uses them."""

    bank: AsyncDatabase[dict[str, Any]]
    shared: bool

    def book(self, name: str, **options: Any) -> Book:
        return Book(name, self.bank, running_balances=self.shared, group_commit=self.shared, **options)

    async def open(self) -> None:
        """Give each wallet something to begin with, recorded some days ago, so that there is a past."""
        for days in (3, 2):
            recorded = datetime.now(UTC) - timedelta(days=days)
            for name in BOOKS:
                book = self.book(name, clock=lambda recorded=recorded: recorded)
                for number in range(8):
                    entry = book.entry("opening").debit("Assets:Omnibus", OPENING)
                    await entry.credit(f"{GUARDED}:{number}", OPENING).commit()


@dataclass
class Replay:
    """What the stream of changes says, followed in the order of the commits."""

    journals: Counter[ObjectId] = field(default_factory=Counter)
    memos: Counter[tuple[str, str]] = field(default_factory=Counter)
    voided: Counter[ObjectId] = field(default_factory=Counter)
    reversed: Counter[ObjectId] = field(default_factory=Counter)
    balances: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in BOOKS})
    overdrawn: list[tuple[str, int, str]] = field(default_factory=list)

    def follow(self, change: JournalPosted | JournalVoided) -> None:
        match change:
            case JournalVoided():
                self.voided[change.journal_id] += 1
            case JournalPosted():
                self._post(change)

    def _post(self, change: JournalPosted) -> None:
        journal, legs = change.journal, change.transactions
        balances = self.balances[journal.book]
        self.journals[journal.id] += 1
        self.memos[journal.book, journal.memo] += 1
        if legs[0].original_journal is not None:
            self.reversed[legs[0].original_journal] += 1
        for leg in legs:
            for depth in range(1, len(leg.account_path) + 1):
                balances[":".join(leg.account_path[:depth])] += int(leg.credit - leg.debit)
        self.overdrawn += [
            (leg.accounts, balances[leg.accounts], journal.memo)
            for leg in legs
            if leg.account_path[0] == GUARDED and balances[leg.accounts] < 0
        ]


async def replay(books: Books, after: ChangePosition) -> Replay:
    """Follow all changes from *after* to now."""
    last = await books.book("Main").entry("end").debit("End:A", 1).credit("End:B", 1).commit()
    replayed = Replay()
    async with open_changes(books.bank, BOOKS, after=after) as changes:
        async for change in changes:
            replayed.follow(change)
            if isinstance(change, JournalPosted) and change.journal.id == last.id:
                return replayed
    raise AssertionError("the stream of changes ended")


async def primary_again(client: AsyncMongoClient[dict[str, Any]]) -> None:
    """Wait until the server accepts writes."""
    deadline = time.monotonic() + 30
    while not (await client.admin.command("hello"))["isWritablePrimary"]:
        assert time.monotonic() < deadline, "the server has not become primary again"
        await asyncio.sleep(0.05)


async def step_down(client: AsyncMongoClient[dict[str, Any]]) -> None:
    """Make the only member of the replica set step down; it may be elected again a second later."""
    before = await elections(client)
    await client.admin.command({"replSetStepDown": 1, "secondaryCatchUpPeriodSecs": 0, "force": True})
    await primary_again(client)
    assert await elections(client) > before


async def elections(client: AsyncMongoClient[dict[str, Any]]) -> int:
    """How many elections there were."""
    return int((await client.admin.command("replSetGetStatus"))["term"])


async def patiently(task: Callable[[], Awaitable[Any]]) -> Any:
    """Run *task*, once more if the server or another run of the same came between."""
    for _ in range(3):
        with suppress(UnknownOutcomeError, RollUpUnderWayError, RebuildConflictError, PyMongoError):
            return await task()
    return await task()


async def disturb(books: Books, secs: float) -> None:
    """Step down again and again, and in between look after the book as an operator would."""
    client = books.bank.client
    main = books.book("Main")

    async def rebuild() -> None:
        # Nothing was ever wrong, not even for a moment.
        assert (await patiently(main.rebuild_balances)).corrected == 0

    async def roll_up() -> None:
        assert (await patiently(main.roll_up)).legs > 0

    async def verify() -> None:
        report = await patiently(main.verify)
        assert report.clean, report.differences

    steps = [verify]
    if books.shared:
        steps = [roll_up, rebuild, verify]
    for step in steps:
        await asyncio.sleep(secs / (len(steps) + 1))
        await step_down(client)
        await step()


def missing(said: list[dict[str, Any]]) -> set[str]:
    """What a run must have seen to be worth something, and has not."""
    wanted = {"deposit", "withdrawal", "payment", "transfer", "void", "held", "replay", "refusal"}
    seen = {line["kind"] for line in said if line["event"] == "posted"}
    seen |= {"replay" for line in said if line.get("replayed")}
    seen |= {"refusal" for line in said if line.get("error") == "InsufficientBalanceError"}
    return wanted - seen


async def torture(books: Books, crew: Crew, secs: float) -> None:
    """Kill workers for *secs* seconds, and disturb whatever else can be disturbed."""
    await crew.start(WORKERS)
    disturbing = asyncio.create_task(disturb(books, secs))
    until = time.monotonic() + secs
    while time.monotonic() < until or not disturbing.done() or not crew.killed or missing(crew.said()):
        assert time.monotonic() < until + STOP_WITHIN_SECS, f"did not happen in time: {missing(crew.said())}"
        await asyncio.sleep(KILL_EVERY_SECS)
        await crew.kill_one()
    await disturbing
    await crew.stop()


async def check(books: Books, said: list[dict[str, Any]], replayed: Replay) -> None:
    """What must hold of the books, given what the workers were told."""
    posted = [line for line in said if line["event"] == "posted"]
    refused = [line for line in said if line["event"] == "refused"]

    # Every journal that somebody was told of is there exactly once, and so is every other one.
    assert set(replayed.journals.values()) == {1}
    assert {ObjectId(id_) for line in posted for id_ in line["journals"]} <= set(replayed.journals)
    # What was refused is not there.
    assert not {ObjectId(id_) for line in refused for id_ in line["journals"]} & set(replayed.journals)

    # A key has one journal, whoever asks; an entry's memo is its key here, so that a second one would show.
    keys = {
        (key["_id"]["book"], key["_id"]["key"]): key["journal"]
        async for key in books.bank["medici_py_keys"].find()
    }
    for line in posted:
        if line["key"] is not None:
            told = [ObjectId(id_) for id_ in line["journals"]]
            assert [keys[book, line["key"]] for book in line["books"]] == told
    of_keys = {memo: count for memo, count in replayed.memos.items() if memo[1].startswith(("pay", "tra"))}
    assert set(of_keys) == set(keys)
    assert set(of_keys.values()) == {1}
    # A batch is in both books or in none.
    transfers = [(book, key) for book, key in keys if key.startswith("transfer-")]
    assert len(transfers) == 2 * len({key for _, key in transfers})
    assert not {line["key"] for line in refused if line["kind"] == "transfer"} & {key for _, key in transfers}

    # Who was voided has one reversal.
    assert set(replayed.voided.values()) <= {1}
    assert replayed.voided == replayed.reversed
    assert {ObjectId(line["journal"]) for line in said if line["event"] == "voided"} <= set(replayed.voided)

    # No wallet was overdrawn at any moment.
    assert replayed.overdrawn == []
    for name in BOOKS:
        book = books.book(name)
        report = await book.verify()
        assert report.clean, report.differences
        kept = {account: balance.balance for account, balance in (await book.balances()).items()}
        assert kept == {account: Decimal(total) for account, total in replayed.balances[name].items()}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("mode", "secs"),
    [
        pytest.param("shared", TORTURE_SECS, id="group-commit-and-running-balances"),
        pytest.param("alone", TORTURE_SECS, id="neither", marks=pytest.mark.slow),
        pytest.param("shared", 60.0, id="a-minute", marks=pytest.mark.slow),
    ],
)
async def test_books_keep_every_promise_through_kills_and_elections(
    torture_mongodb: EmbeddedMongo,
    bank: AsyncDatabase[dict[str, Any]],
    tmp_path: Path,
    mode: str,
    secs: float,
) -> None:
    """Whatever a caller was told holds, no bound is ever passed, and the auditor finds nothing."""
    print(f"MEDICI_TORTURE_SEED={TORTURE_SEED}")  # noqa: T201 - shown if the test fails
    books = Books(bank, shared=mode == "shared")
    async with open_changes(bank, BOOKS) as changes:
        start = changes.position
    await books.open()
    crew = Crew(torture_mongodb.uri, bank.name, tmp_path, mode=mode, seed=TORTURE_SEED)
    try:
        await torture(books, crew, secs)
    finally:
        await crew.end()
    await check(books, crew.said(), await replay(books, start))

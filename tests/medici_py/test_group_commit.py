"""The committer by itself, with a pretended database: who shares a transaction, and who gets which answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, DocumentTooLarge, OperationFailure

from medici_py.group_commit import MAX_UNITS, MAX_WEIGHT, GroupCommitter, may_be_owned
from medici_py.sums import SumTooLargeError

CONFLICT = OperationFailure("conflict", 112, {"errorLabels": ["TransientTransactionError"]})


class RefusedError(Exception):
    """A unit's own answer."""


@dataclass
class PretendedDatabase:
    """Commits when it is let, in the order in which it was asked; remembers what was committed together."""

    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    begun: list[list[Any]] = field(default_factory=list)
    committed: list[list[Any]] = field(default_factory=list)
    fails: Callable[[Sequence[Any], int | None], BaseException | None] = lambda *_: None
    at_once: int = 0
    most_at_once: int = 0

    async def commit(self, units: Sequence[Any], tries: int | None) -> list[Any]:
        self.begun.append(list(units))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.is_open.wait()
            if (error := self.fails(units, tries)) is not None:
                raise error
            self.committed.append(list(units))
            return [RefusedError(unit) if str(unit).startswith("refused") else f"{unit}!" for unit in units]
        finally:
            self.at_once -= 1

    @property
    def units(self) -> list[Any]:
        """Every unit that was committed, as often as it was."""
        return [unit for together in self.committed for unit in together]


@pytest.fixture
def pretended() -> PretendedDatabase:
    return PretendedDatabase()


def committer_of(pretended: PretendedDatabase, **parameters: Any) -> GroupCommitter[Any, Any]:
    parameters.setdefault("weight", lambda _: 1)
    return GroupCommitter(pretended.commit, **parameters)


def submit(committer: GroupCommitter[Any, Any], *units: Any) -> list["asyncio.Task[Any]"]:
    return [asyncio.create_task(committer.submit(unit)) for unit in units]


async def until(condition: Callable[[], Any], secs: float = 60) -> None:
    async with asyncio.timeout(secs):
        while not condition():
            await asyncio.sleep(0)


async def let_everybody_run() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def answers(tasks: Sequence[Awaitable[Any]]) -> list[Any]:
    return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), timeout=60)


async def test_lone_caller_waits_for_nobody(pretended: PretendedDatabase) -> None:
    """No timer: its transaction begins at once and holds nothing else."""
    pretended.is_open.set()
    assert await committer_of(pretended).submit("a") == "a!"
    assert pretended.committed == [["a"]]


async def test_whoever_comes_while_a_transaction_is_under_way_shares_the_next(
    pretended: PretendedDatabase,
) -> None:
    """Two are under way at once; the rest gather, and are committed together in the order they came."""
    committer = committer_of(pretended)
    tasks = submit(committer, "a")
    await until(lambda: len(pretended.begun) == 1)
    tasks += submit(committer, "b")
    await until(lambda: len(pretended.begun) == 2)
    tasks += submit(committer, *"cdef")
    await until(lambda: committer.stats.waiting == 4)
    pretended.is_open.set()
    assert await answers(tasks) == ["a!", "b!", "c!", "d!", "e!", "f!"]
    assert pretended.begun == [["a"], ["b"], [*"cdef"]]
    assert pretended.most_at_once == 2


async def test_each_caller_gets_its_own_answer(pretended: PretendedDatabase) -> None:
    """Also an error of its own, which is nobody else's."""
    pretended.is_open.set()
    first, error, last = await answers(submit(committer_of(pretended), "a", "refused", "c"))
    assert (first, last) == ("a!", "c!")
    assert isinstance(error, RefusedError)


async def test_crowd_is_shared_between_the_lanes(pretended: PretendedDatabase) -> None:
    """Half for each: they would otherwise all come back to the same one."""
    committer = committer_of(pretended)
    tasks = submit(committer, *range(64))
    await until(lambda: len(pretended.begun) == 2)
    assert [len(together) for together in pretended.begun] == [32, 32]
    pretended.is_open.set()
    assert await answers(tasks) == [f"{unit}!" for unit in range(64)]


@pytest.mark.parametrize(
    ("units", "weight", "largest"),
    [
        (MAX_UNITS * 2 + 1, 1, MAX_UNITS),
        (9, MAX_WEIGHT // 4, 4),
        (3, MAX_WEIGHT, 1),
        (3, MAX_WEIGHT * 10, 1),
    ],
)
async def test_transaction_is_bounded(
    pretended: PretendedDatabase, units: int, weight: int, largest: int
) -> None:
    """In units and in weight; a unit that is too heavy by itself goes alone."""
    committer = committer_of(pretended, weight=lambda _: weight)
    tasks = submit(committer, *range(units))
    pretended.is_open.set()
    assert await answers(tasks) == [f"{unit}!" for unit in range(units)]
    assert max(map(len, pretended.committed)) == largest
    assert sorted(pretended.units) == list(range(units))


async def test_exclusive_units_are_never_in_two_transactions_at_once() -> None:
    """The second one waits for the first; others pass both."""
    gates = {name: asyncio.Event() for name in ("x1", "x2", "a")}
    begun: list[list[Any]] = []

    async def commit(units: Sequence[Any], tries: int | None) -> list[Any]:
        begun.append(list(units))
        await gates[units[0]].wait()
        return list(units)

    committer: GroupCommitter[Any, Any] = GroupCommitter(
        commit, weight=lambda _: 1, exclusive=lambda unit: unit.startswith("x")
    )
    tasks = submit(committer, "x1")
    await until(lambda: begun == [["x1"]])
    tasks += submit(committer, "a")
    await until(lambda: begun == [["x1"], ["a"]])
    gates["a"].set()
    tasks += submit(committer, "x2")
    await until(lambda: committer.stats.waiting == 1)
    await let_everybody_run()
    assert begun == [["x1"], ["a"]]
    gates["x1"].set()
    await until(lambda: begun == [["x1"], ["a"], ["x2"]])
    gates["x2"].set()
    assert await answers(tasks) == ["x1", "a", "x2"]


async def test_units_of_two_kinds_never_share_a_transaction() -> None:
    """Whatever an exclusive one has to wait for, nobody else waits with it, however they come."""
    begun: list[list[Any]] = []
    released = asyncio.Event()

    async def commit(units: Sequence[Any], tries: int | None) -> list[Any]:
        begun.append(list(units))
        if units[0].startswith("x"):
            await released.wait()
        return list(units)

    committer: GroupCommitter[Any, Any] = GroupCommitter(
        commit, weight=lambda _: 1, exclusive=lambda unit: unit.startswith("x")
    )
    held = submit(committer, "x1", "x2", "x3")
    others: list[Any] = []
    for number in range(5):
        others += submit(committer, f"a{number}", f"x{number + 4}", f"b{number}")
        await let_everybody_run()
    plain = [task for place, task in enumerate(others) if place % 3 != 1]
    assert len(await answers(plain)) == 10
    assert not any(task.done() for task in held)
    released.set()
    await answers(held + others)
    assert all(len({unit[0] == "x" for unit in units}) == 1 for units in begun)
    exclusive = [unit for units in begun for unit in units if unit[0] == "x"]
    assert exclusive == [f"x{number}" for number in range(1, 9)]


@pytest.mark.parametrize("bad", [{0}, {6}, {3, 4}, set(range(7))], ids=str)
@pytest.mark.parametrize(
    "error", [SumTooLargeError("much"), DocumentTooLarge("fat"), OperationFailure("no", 2)]
)
async def test_bad_unit_never_fails_its_neighbours(
    pretended: PretendedDatabase, bad: set[int], error: Exception
) -> None:
    """A transaction that fails for what one of them may own is halved until that one is alone."""
    pretended.fails = lambda units, _: error if bad & set(units) else None
    pretended.is_open.set()
    committer = committer_of(pretended)
    found = await answers(submit(committer, *range(7)))
    assert found == [error if unit in bad else f"{unit}!" for unit in range(7)]
    assert sorted(pretended.units) == sorted(set(range(7)) - bad)
    assert committer.stats.splits > 0
    assert committer.stats.refused == len(bad)


async def test_server_that_is_away_is_nobodys_fault(pretended: PretendedDatabase) -> None:
    """Trying each alone would only make everybody wait longer."""
    away = AutoReconnect("away")
    pretended.fails = lambda *_: away
    pretended.is_open.set()
    committer = committer_of(pretended)
    assert await answers(submit(committer, *range(5))) == [away] * 5
    assert len(pretended.begun) == 1
    assert (committer.stats.splits, committer.stats.refused) == (0, 5)


async def test_unit_that_meets_an_open_transaction_is_tried_alone_while_others_go_on() -> None:
    """The shared transaction tolerates some conflicts; alone it tries for as long as the caller listens."""
    held = asyncio.Event()
    tried: list[int | None] = []

    async def commit(units: Sequence[Any], tries: int | None) -> list[Any]:
        tried.append(tries)
        if "held" in units:
            if tries is not None:
                raise CONFLICT
            await held.wait()
        return [f"{unit}!" for unit in units]

    committer: GroupCommitter[Any, Any] = GroupCommitter(commit, weight=lambda _: 1)
    tasks = submit(committer, "a", "held", "c")
    await until(lambda: None in tried)
    assert await committer.submit("later") == "later!"
    assert [task.done() for task in tasks] == [True, False, True]
    held.set()
    assert await answers(tasks) == ["a!", "held!", "c!"]


async def test_unit_tried_alone_gets_the_error_that_it_ends_with(pretended: PretendedDatabase) -> None:
    """What comes after the conflict is its own."""
    away = AutoReconnect("away")
    pretended.fails = lambda _, tries: CONFLICT if tries is not None else away
    pretended.is_open.set()
    assert await answers(submit(committer_of(pretended), "a")) == [away]


async def test_caller_cancelled_before_its_transaction_begins_is_withdrawn(
    pretended: PretendedDatabase,
) -> None:
    """It is never committed, and its neighbours are."""
    committer = committer_of(pretended)
    tasks = submit(committer, "a")
    await until(lambda: len(pretended.begun) == 1)
    tasks += submit(committer, "b")
    await until(lambda: len(pretended.begun) == 2)
    tasks += submit(committer, "withdrawn", "d")
    await until(lambda: committer.stats.waiting == 2)
    tasks[2].cancel()
    await asyncio.wait([tasks[2]])
    pretended.is_open.set()
    assert await answers([tasks[0], tasks[1], tasks[3]]) == ["a!", "b!", "d!"]
    assert tasks[2].cancelled()
    assert sorted(pretended.units) == ["a", "b", "d"]


async def test_caller_cancelled_after_its_transaction_has_begun_is_committed_all_the_same(
    pretended: PretendedDatabase,
) -> None:
    """The transaction goes on for the others; nothing is lost and nothing is doubled."""
    committer = committer_of(pretended)
    tasks = submit(committer, "a", "b")
    await until(lambda: len(pretended.begun) == 1)
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    pretended.is_open.set()
    assert await answers(tasks[1:]) == ["b!"]
    assert tasks[0].cancelled()
    assert pretended.units == ["a", "b"]


async def test_lanes_that_are_cancelled_tell_whoever_waits_and_begin_nothing_more(
    pretended: PretendedDatabase,
) -> None:
    """As when the event loop is closed; a new caller gets a new lane."""
    committer = committer_of(pretended)
    tasks = submit(committer, "a")
    await until(lambda: len(pretended.begun) == 1)
    tasks += submit(committer, "b")
    await until(lambda: len(pretended.begun) == 2)
    tasks += submit(committer, "c", "d")
    await until(lambda: committer.stats.waiting == 2)
    for lane in list(committer._lanes):
        lane.cancel()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [True] * 4
    assert (pretended.committed, len(pretended.begun)) == ([], 2)
    pretended.is_open.set()
    assert await committer.submit("e") == "e!"
    assert committer.stats.waiting == 0


async def test_more_callers_than_may_wait_are_held_back(pretended: PretendedDatabase) -> None:
    """Memory is bounded: who finds no room waits outside, and comes in when there is some."""
    committer = committer_of(pretended, max_waiting=5)
    tasks = submit(committer, "a")
    await until(lambda: len(pretended.begun) == 1)
    tasks += submit(committer, "b")
    await until(lambda: len(pretended.begun) == 2)
    tasks += submit(committer, *range(10))
    await until(lambda: committer.stats.waiting == 3)
    await let_everybody_run()
    assert committer.stats.waiting == 3
    pretended.is_open.set()
    assert await answers(tasks) == ["a!", "b!", *(f"{unit}!" for unit in range(10))]
    assert max(map(len, pretended.committed)) <= 5


async def test_room_of_a_withdrawn_unit_is_given_back(pretended: PretendedDatabase) -> None:
    """Cancelled callers, waiting inside or outside, do not fill the queue for ever."""
    committer = committer_of(pretended, max_waiting=4)
    tasks = submit(committer, "a")
    await until(lambda: len(pretended.begun) == 1)
    tasks += submit(committer, "b")
    await until(lambda: len(pretended.begun) == 2)
    withdrawn = submit(committer, *range(6))
    await until(lambda: committer.stats.waiting == 2)
    for task in withdrawn:
        task.cancel()
    await asyncio.wait(withdrawn)
    pretended.is_open.set()
    assert await answers([*tasks, *submit(committer, *"cdef")]) == ["a!", "b!", "c!", "d!", "e!", "f!"]
    assert sorted(pretended.units) == [*"abcdef"]


async def test_stats_count_what_was_done(pretended: PretendedDatabase) -> None:
    """All but *waiting* only grow."""
    committer = committer_of(pretended)
    tasks = submit(committer, "a", "b", "refused")
    await until(lambda: len(pretended.begun) == 1)
    tasks += submit(committer, "d")
    await until(lambda: len(pretended.begun) == 2)
    committer.count_retry()
    pretended.is_open.set()
    await answers(tasks)
    stats = committer.stats
    assert (stats.transactions, stats.units, stats.largest) == (2, 4, 3)
    assert (stats.retries, stats.splits, stats.refused, stats.waiting) == (1, 0, 1, 0)
    assert 0 <= stats.longest_wait_secs <= stats.wait_secs
    assert stats.commit_secs >= 0


async def test_tasks_live_only_while_there_is_something_to_do(pretended: PretendedDatabase) -> None:
    """Nothing is left behind that the end of the loop would have to cancel."""
    pretended.is_open.set()
    before = asyncio.all_tasks()
    await answers(submit(committer_of(pretended), *range(50)))
    await until(lambda: asyncio.all_tasks() == before)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("error", "owned"),
    [
        (SumTooLargeError("much"), True),
        (DocumentTooLarge("fat"), True),
        (OverflowError("int64"), True),
        (OperationFailure("duplicate", 11000), True),
        (CONFLICT, True),
        (OperationFailure("election", 10107, {"errorLabels": ["TransientTransactionError"]}), False),
        (AutoReconnect("away"), False),
        (RuntimeError("a bug"), True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_what_one_unit_may_own(error: Exception, owned: bool) -> None:
    """Only then is taking a transaction apart worth its time."""
    assert may_be_owned(error) is owned

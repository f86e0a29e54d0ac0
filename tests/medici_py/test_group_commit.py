"""The committer by itself, with a pretended database: who shares a transaction, and who gets which answer."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, DocumentTooLarge, OperationFailure

from medici_py import group_commit
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
    fails: Callable[[Sequence[Any]], BaseException | None] = lambda _: None
    at_once: int = 0
    most_at_once: int = 0

    async def commit(self, units: Sequence[Any], _tries: int) -> list[Any]:
        self.begun.append(list(units))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.is_open.wait()
            await asyncio.sleep(0)
            if (error := self.fails(units)) is not None:
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


async def test_lanes_that_began_unequal_become_equal(pretended: PretendedDatabase) -> None:
    """Those of one transaction come back together: they would else stay together, and one lane idle."""
    committer = committer_of(pretended)

    async def post_again_and_again(name: int) -> None:
        for turn in range(8):
            await committer.submit((name, turn))

    posters = [asyncio.create_task(post_again_and_again(0))]
    await until(lambda: len(pretended.begun) == 1)
    posters += [asyncio.create_task(post_again_and_again(name)) for name in range(1, 64)]
    await until(lambda: len(pretended.begun) == 2)
    assert [len(together) for together in pretended.begun] == [1, 32]
    pretended.is_open.set()
    await answers(posters)
    sizes = [len(together) for together in pretended.committed]
    assert sum(sizes) == 64 * 8
    assert sizes[4:12] == [32] * 8


async def test_crowd_is_not_shared_with_a_lane_that_an_exclusive_unit_has() -> None:
    """The other lane takes all of it at once: nobody waits for a bound of somebody else's."""
    gate = asyncio.Event()
    begun: list[list[Any]] = []

    async def commit(units: Sequence[Any], _tries: int) -> list[Any]:
        begun.append(list(units))
        if "bounded" in units:
            await gate.wait()
        return list(units)

    committer: GroupCommitter[Any, Any] = GroupCommitter(
        commit, weight=lambda _: 1, exclusive=lambda unit: unit == "bounded"
    )
    tasks = submit(committer, "bounded")
    await until(lambda: begun == [["bounded"]])
    crowd = submit(committer, *range(64))
    assert await answers(crowd) == list(range(64))
    assert begun == [["bounded"], list(range(64))]
    gate.set()
    assert await answers(tasks) == ["bounded"]


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

    async def commit(units: Sequence[Any], _tries: int) -> list[Any]:
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

    async def commit(units: Sequence[Any], _tries: int) -> list[Any]:
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
    pretended.fails = lambda units: error if bad & set(units) else None
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
    pretended.fails = lambda _: away
    pretended.is_open.set()
    committer = committer_of(pretended)
    assert await answers(submit(committer, *range(5))) == [away] * 5
    assert len(pretended.begun) == 1
    assert (committer.stats.splits, committer.stats.refused) == (0, 5)


@pytest.fixture
def held(pretended: PretendedDatabase, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Units that an open transaction of somebody else's is in the way of, until they are taken out."""
    monkeypatch.setattr(group_commit, "conflict_pause_secs", lambda *_: 0)
    in_the_way: set[str] = set()
    pretended.fails = lambda units: CONFLICT if in_the_way & set(units) else None
    pretended.is_open.set()
    return in_the_way


def wallet(unit: str) -> tuple[str]:
    """What units are claimed by in these tests: ``w1-a`` and ``w1-b`` wait for the same."""
    return (unit.partition("-")[0],)


async def test_units_that_are_held_up_go_on_trying_apart_from_the_others(
    pretended: PretendedDatabase, held: set[str]
) -> None:
    """In one try at a time for what they wait for, and without first meeting it in the others' company."""
    committer = committer_of(pretended, claims=wallet, exclusive=lambda _: True)
    held |= {f"w0-{number}" for number in range(60)}
    waiting = submit(committer, *sorted(held)[:50])
    others = submit(committer, *(f"w{number}-a" for number in range(1, 21)))
    assert await answers(others) == [f"w{number}-a!" for number in range(1, 21)]
    begun = len(pretended.begun)
    waiting += submit(committer, *sorted(held)[50:])
    later = submit(committer, *(f"w{number}-b" for number in range(1, 21)))
    assert await answers(later) == [f"w{number}-b!" for number in range(1, 21)]
    await until(lambda: len(pretended.begun) > begun + 10)
    assert all(len({unit in held for unit in units}) == 1 for units in pretended.begun[begun:])
    assert committer.stats.waiting >= 59
    assert not any(task.done() for task in waiting)
    in_the_way = sorted(held)
    held.clear()
    assert await answers(waiting) == [f"{unit}!" for unit in in_the_way]
    assert len(pretended.units) == len(set(pretended.units)) == 100
    assert pretended.most_at_once == 2  # the others, and the one try for those that are held up


async def test_units_that_a_hold_up_does_not_concern_get_through(
    pretended: PretendedDatabase, held: set[str]
) -> None:
    """They came for the same as the one that it concerns, and only that one waits until it is over."""
    held.add("w0-7")
    committer = committer_of(pretended, claims=wallet)
    tasks = submit(committer, *(f"w0-{number}" for number in range(20)))
    assert len(await answers(tasks[:7] + tasks[8:])) == 19
    assert await committer.submit("w0-later") == "w0-later!"
    assert not tasks[7].done()
    held.clear()
    assert await tasks[7] == "w0-7!"
    assert len(pretended.units) == len(set(pretended.units)) == 21


async def test_unit_that_gets_through_shares_transactions_with_the_others_again(
    pretended: PretendedDatabase, held: set[str]
) -> None:
    """Nothing is left of the hold-up once all that waited could be committed together."""
    held.add("w0-a")
    committer = committer_of(pretended, claims=wallet)
    (waiting,) = submit(committer, "w0-a")
    await until(lambda: len(pretended.begun) > 3)
    held.clear()
    await waiting
    await answers(submit(committer, "w0-b", "w1-b"))
    assert pretended.committed[-1] == ["w0-b", "w1-b"]
    await until(lambda: not committer._apart and not committer._held_up)


@pytest.mark.parametrize("claims", [wallet, lambda _: ()], ids=["claimed", "unclaimed"])
async def test_unit_that_is_held_up_gets_the_error_that_it_ends_with(
    pretended: PretendedDatabase, held: set[str], claims: Callable[[str], tuple[str, ...]]
) -> None:
    """What comes after the conflict is its own."""
    away = AutoReconnect("away")
    pretended.fails = lambda _: CONFLICT if len(pretended.begun) < 5 else away
    assert await answers(submit(committer_of(pretended, claims=claims), "a")) == [away]


async def test_unit_that_is_held_up_for_too_long_gets_the_conflict(
    pretended: PretendedDatabase, held: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its neighbours do not."""
    held.add("w0-a")
    committer = committer_of(pretended, claims=wallet)
    tasks = submit(committer, "w0-a", "w1-a")
    await until(lambda: len(pretended.begun) > 10)
    assert not tasks[0].done()
    monkeypatch.setattr(group_commit, "DEADLINE_SECS", 0)
    assert await answers(tasks) == [CONFLICT, "w1-a!"]
    assert committer.stats.refused == 1


async def test_caller_cancelled_between_two_tries_is_withdrawn(
    pretended: PretendedDatabase, held: set[str]
) -> None:
    """Nothing of it is under way while it pauses, so that nobody has to wait for it, either."""
    held |= {"w0-a", "w0-b"}
    committer = committer_of(pretended, claims=wallet)
    first, second = submit(committer, "w0-a", "w0-b")
    await until(lambda: len(pretended.begun) > 5)
    first.cancel()
    await asyncio.wait([first])
    held.clear()
    assert await second == "w0-b!"
    await asyncio.wait_for(committer.settled(), timeout=20)
    await until(lambda: not committer._apart)
    assert pretended.units == ["w0-b"]
    assert committer.stats.waiting == 0


async def test_nobody_waits_for_units_that_pause_to_be_settled(
    pretended: PretendedDatabase, held: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing a book waits for what is under way, and that is nothing between two tries."""
    monkeypatch.setattr(group_commit, "conflict_pause_secs", lambda *_: 3_600)
    held.add("w0-a")
    committer = committer_of(pretended, claims=wallet)
    (waiting,) = submit(committer, "w0-a")
    await until(lambda: committer._apart and not committer._under_way)
    await asyncio.wait_for(committer.settled(), timeout=20)
    waiting.cancel()
    for task in list(committer._apart):
        task.cancel()
    await until(lambda: not committer._apart)


async def test_tries_apart_that_are_cancelled_tell_whoever_waits(
    pretended: PretendedDatabase, held: set[str]
) -> None:
    """As when the event loop is closed."""
    held |= {f"w0-{number}" for number in range(5)}
    committer = committer_of(pretended, claims=wallet)
    tasks = submit(committer, *sorted(held))
    await until(lambda: len(pretended.begun) > 5)
    pretended.is_open.clear()
    await let_everybody_run()
    for task in list(committer._apart):
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert not pretended.committed
    assert not committer._held_up
    assert committer.stats.waiting == 0


async def test_transaction_inherits_nothing_of_the_caller_that_began_it() -> None:
    """Its deadline for PyMongo and its trace are its own, in the lanes and apart from them."""
    deadline = contextvars.ContextVar("deadline", default="nobody's")
    seen: list[str] = []

    async def commit(units: Sequence[Any], _tries: int) -> list[Any]:
        seen.append(deadline.get())
        if len(seen) < 4:
            raise CONFLICT
        return list(units)

    committer: GroupCommitter[Any, Any] = GroupCommitter(commit, weight=lambda _: 1)
    deadline.set("the caller's")
    await committer.submit("a")
    assert seen == ["nobody's"] * 4


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


async def test_withdrawn_units_leave_the_queue_at_once(pretended: PretendedDatabase) -> None:
    """However long the lanes are busy, callers that give up leave nothing behind to pile up."""
    committer = committer_of(pretended, exclusive=lambda unit: unit == "x")
    tasks = submit(committer, "a")
    await until(lambda: len(pretended.begun) == 1)
    tasks += submit(committer, "b")
    await until(lambda: len(pretended.begun) == 2)
    for _ in range(3):
        withdrawn = submit(committer, "x", *range(50))
        await until(lambda: committer.stats.waiting == 51)
        for task in withdrawn:
            task.cancel()
        await asyncio.wait(withdrawn)
        assert committer.stats.waiting == 0
    pretended.is_open.set()
    assert await answers(tasks) == ["a!", "b!"]
    assert sorted(pretended.units) == ["a", "b"]


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

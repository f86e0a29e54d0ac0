"""The shared committer: concurrent callers share transactions, and each gets its own answer.

It takes whatever is waiting, up to a bound, without a timer: a lone caller waits for nobody, and while one
transaction is under way the next callers gather. If a shared transaction fails for a reason that one of
them may own, it is halved until that one is alone. Nothing is kept from a transaction that failed.

It knows nothing of journals: what a unit is and how units are committed together is given.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar, cast

from pymongo.errors import DocumentTooLarge, OperationFailure, PyMongoError

from medici_py.errors import UnknownOutcomeError, UnsupportedDeploymentError
from medici_py.retry import is_write_conflict

U = TypeVar("U")
R = TypeVar("R")

LANES = 2
SHARE_FROM = 32
MAX_UNITS = 512
MAX_WEIGHT = 4_096
MAX_WAITING = 8_192

_SHARED_TRIES = 3
"""Write conflicts that a transaction tolerates before it is taken apart: the other side may be an open
session that stays open for as long as it likes."""


@dataclass(frozen=True, slots=True)
class CommitStats:
    """What the shared committer has done in this process and database so far; all but *waiting* only grow.

    Attributes:
        transactions: Transactions that were committed.
        units: Entries and batches in them.
        largest: Units in the largest one.
        retries: Tries after the first, whatever made them necessary.
        splits: Transactions that were taken apart.
        refused: Units that ended with an error.
        wait_secs: Seconds that units waited for their transaction to begin, added up.
        longest_wait_secs: The longest such wait.
        commit_secs: Seconds from the beginning of transactions to their end, added up.
        waiting: Units that wait now.
    """

    transactions: int = 0
    units: int = 0
    largest: int = 0
    retries: int = 0
    splits: int = 0
    refused: int = 0
    wait_secs: float = 0.0
    longest_wait_secs: float = 0.0
    commit_secs: float = 0.0
    waiting: int = 0


@dataclass(slots=True, eq=False)
class _Waiting(Generic[U, R]):
    unit: U
    future: "asyncio.Future[R]"
    since: float

    def answer(self, answer: R | BaseException) -> None:
        if self.future.done():
            return  # The caller was cancelled and no longer listens.
        if isinstance(answer, BaseException):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)


class GroupCommitter(Generic[U, R]):
    """Gathers units and commits them together.

    Up to `LANES` transactions are under way, so that the server works on one while the next is made ready.
    Units that may conflict with each other (they look at balances, or lock) wait in a queue of their own and
    are in one transaction at a time, which has no others: whatever they wait for, the others do not. Within
    its kind each unit keeps its turn. Tasks live only while there is something to do. All of it belongs to
    one event loop.

    Args:
        commit: Commits units in one transaction. Its second argument bounds the tries that a write conflict
            may cost, None for no bound. It returns each unit's result or own error; if it raises, nothing
            of any unit was written.
        weight: How heavy a unit is; a transaction takes units up to `MAX_WEIGHT`.
        exclusive: Whether a unit may conflict with other such units in another transaction.
        max_waiting: Units that may wait or be under way; further callers wait for room.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[U], int | None], Awaitable[Sequence[R | Exception]]],
        *,
        weight: Callable[[U], int],
        exclusive: Callable[[U], bool] = lambda _: False,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._commit = commit
        self._weight = weight
        self._exclusive = exclusive
        self._waiting: deque[_Waiting[U, R]] = deque()
        self._waiting_exclusive: deque[_Waiting[U, R]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room = asyncio.Semaphore(max_waiting)
        self._lanes: set[asyncio.Task[None]] = set()
        self._alone: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._under_way: set[asyncio.Event] = set()
        self._has_exclusive = False
        self._stats = CommitStats()

    @property
    def stats(self) -> CommitStats:
        """What it has done so far."""
        return replace(self._stats, waiting=len(self._waiting) + len(self._waiting_exclusive))

    def count_retry(self) -> None:
        """Count a try of a transaction after its first."""
        self._stats = replace(self._stats, retries=self._stats.retries + 1)

    async def settled(self) -> None:
        """Wait until the transactions that are under way now have ended, whoever waits for them."""
        for under_way in list(self._under_way):
            await under_way.wait()
        if self._alone:
            await asyncio.wait(set(self._alone))

    async def submit(self, unit: U) -> R:
        """Commit *unit*, together with whatever else is waiting, and return its answer.

        Cancelling the call withdraws the unit if its transaction has not begun; afterwards it is committed
        all the same.

        Raises:
            Exception: Whatever the unit's own answer is.
        """
        await self._room.acquire()
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # Asked once: each time is a system call.
        waiting: _Waiting[U, R] = _Waiting(unit, self._loop.create_future(), time.monotonic())
        (self._waiting_exclusive if self._exclusive(unit) else self._waiting).append(waiting)
        self._open_lane()
        try:
            return await waiting.future
        finally:
            self._room.release()

    def _open_lane(self) -> None:
        if len(self._lanes) < LANES:
            lane = asyncio.create_task(self._drain(), name="medici_py.GroupCommitter")
            self._lanes.add(lane)

    async def _drain(self) -> None:
        try:
            while queue := self._next_queue():
                exclusive = queue is self._waiting_exclusive
                batch = self._take(queue)
                if not batch:
                    continue
                self._has_exclusive = self._has_exclusive or exclusive
                self._busy += 1
                under_way = asyncio.Event()
                self._under_way.add(under_way)
                try:
                    await self._settle(batch)
                finally:
                    under_way.set()
                    self._under_way.discard(under_way)
                    self._busy -= 1
                    self._has_exclusive = self._has_exclusive and not exclusive
                if len(batch) > 1:
                    # The callers that were answered go first: what they bring shares the next transaction.
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            # The loop is being closed: whoever waits is told, and nothing more is begun.
            for queue in (self._waiting, self._waiting_exclusive):
                while queue:
                    queue.popleft().future.cancel()
            raise
        finally:
            # At once, so that whoever comes next begins another lane.
            self._lanes.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _next_queue(self) -> deque[_Waiting[U, R]]:
        """Return the queue whose turn it is: that of the longest wait. An empty one if there is none."""
        if not self._waiting_exclusive or self._has_exclusive:
            return self._waiting
        if not self._waiting or self._waiting_exclusive[0].since < self._waiting[0].since:
            return self._waiting_exclusive
        return self._waiting

    def _take(self, queue: deque[_Waiting[U, R]]) -> list[_Waiting[U, R]]:
        """Take the next batch of *queue*; nothing if all its callers have been cancelled."""
        batch: list[_Waiting[U, R]] = []
        weight = 0
        limit = MAX_UNITS
        if queue is self._waiting and not self._busy and len(queue) >= SHARE_FROM:
            # Half of a crowd for each lane: they would otherwise all come back to the same one.
            limit = min(limit, len(queue) // LANES)
        while queue and len(batch) < limit:
            one = queue[0]
            if not one.future.done():
                weight += self._weight(one.unit)
                if batch and weight > MAX_WEIGHT:
                    break
                batch.append(one)
            queue.popleft()
        if self._next_queue():
            self._open_lane()
        self._count_waits(batch)
        return batch

    async def _settle(self, batch: Sequence[_Waiting[U, R]]) -> None:
        """Commit *batch*, and tell every caller of it if the lane is cancelled."""
        try:
            await self._settle_parts(batch)
        except asyncio.CancelledError:
            for one in batch:
                one.future.cancel()
            raise

    async def _settle_parts(self, batch: Sequence[_Waiting[U, R]]) -> None:
        """Commit *batch*; whoever cannot be committed with the others is tried without them."""
        try:
            await self._try(batch, _SHARED_TRIES)
        except Exception as exc:  # noqa: BLE001 - every caller gets an answer
            if len(batch) > 1 and may_be_owned(exc):
                self._stats = replace(self._stats, splits=self._stats.splits + 1)
                middle = len(batch) // 2
                await self._settle_parts(batch[:middle])
                await self._settle_parts(batch[middle:])
            elif is_write_conflict(exc):
                # It meets somebody else's open transaction: the others do not wait for that.
                self._try_alone(batch)
            else:
                self._fail(batch, exc)

    def _try_alone(self, batch: Sequence[_Waiting[U, R]]) -> None:
        for one in batch:
            task = asyncio.create_task(self._until_settled(one), name="medici_py.GroupCommitter.alone")
            self._alone.add(task)
            task.add_done_callback(self._alone.discard)

    async def _until_settled(self, one: _Waiting[U, R]) -> None:
        try:
            await self._try([one], None)
        except asyncio.CancelledError:
            one.future.cancel()
            raise
        except Exception as exc:  # noqa: BLE001 - the caller gets it
            self._fail([one], exc)

    async def _try(self, batch: Sequence[_Waiting[U, R]], tries: int | None) -> None:
        began = time.monotonic()
        answers = await self._commit([one.unit for one in batch], tries)
        refused = sum(isinstance(answer, Exception) for answer in answers)
        stats = self._stats
        self._stats = replace(
            stats,
            transactions=stats.transactions + 1,
            units=stats.units + len(batch),
            largest=max(stats.largest, len(batch)),
            refused=stats.refused + refused,
            commit_secs=stats.commit_secs + time.monotonic() - began,
        )
        for one, answer in zip(batch, answers, strict=True):
            one.answer(answer)

    def _fail(self, batch: Sequence[_Waiting[U, R]], error: Exception) -> None:
        self._stats = replace(self._stats, refused=self._stats.refused + len(batch))
        for one in batch:
            one.answer(error)

    def _count_waits(self, batch: Sequence[_Waiting[U, R]]) -> None:
        now = time.monotonic()
        waits = [now - one.since for one in batch]
        self._stats = replace(
            self._stats,
            wait_secs=self._stats.wait_secs + sum(waits),
            longest_wait_secs=max([self._stats.longest_wait_secs, *waits]),
        )


def may_be_owned(error: BaseException) -> bool:
    """Whether one unit alone may be the reason why a shared transaction failed with *error*.

    A server that is away, or that has no transactions, is nobody's fault.
    """
    if isinstance(error, OperationFailure):
        return is_write_conflict(error) or not error.has_error_label("TransientTransactionError")
    if isinstance(error, PyMongoError):
        return isinstance(error, DocumentTooLarge)
    return not isinstance(error, (UnsupportedDeploymentError, UnknownOutcomeError))

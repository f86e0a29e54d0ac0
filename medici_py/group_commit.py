"""The shared committer: concurrent callers share transactions, and each gets its own answer.

It takes whatever is waiting, up to a bound, without a timer: a lone caller waits for nobody, and while one
transaction is under way the next callers gather. If a shared transaction fails for a reason that one of
them may own, it is halved until that one is alone. Those that meet an open transaction of somebody else's,
which stays open for as long as that one likes, go on trying apart from the others. Nothing is kept from a
transaction that failed.

It knows nothing of journals: what a unit is and how units are committed together is given.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar, cast

from pymongo.errors import DocumentTooLarge, OperationFailure, PyMongoError

from medici_py.errors import UnknownOutcomeError, UnsupportedDeploymentError
from medici_py.retry import DEADLINE_SECS, conflict_pause_secs, is_write_conflict
from medici_py.task_begin import begin_task
from medici_py.waiting_units import HeldUp, Waiting, WaitingQueue

U = TypeVar("U")
R = TypeVar("R")

LANES = 2
LANES_APART = 8
SHARE_FROM = 32
MAX_UNITS = 512
MAX_WEIGHT = 4_096
MAX_WAITING = 8_192

_SHARED_TRIES = 5
"""Write conflicts that a transaction tolerates before it is taken apart: the other side may be of another
process, and through in a moment, or an open session, which stays open for as long as it likes."""

_LONGEST_PAUSE_SECS = 0.1
"""Pause between two tries apart: for so long it may go unnoticed that nothing holds them up any more."""


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


class GroupCommitter(Generic[U, R]):
    """Gathers units and commits them together.

    Up to `LANES` transactions are under way, so that the server works on one while the next is made ready.
    Units that may conflict with each other (they look at balances, or lock) wait in a queue of their own and
    are in one transaction at a time, which has no others: whatever they wait for, the others do not. Within
    its kind each unit keeps its turn.

    Units that meet an open transaction of somebody else's leave their queue, and with them all that come
    for the same: they are tried again and again, one try at a time for what they have in common, beside the
    lanes, until they get through, and may be passed by others meanwhile. Tasks live only while there is
    something to do. All of it belongs to one event loop.

    Args:
        commit: Commits units in one transaction. Its second argument bounds the tries that a write conflict
            may cost. It returns each unit's result or own error; if it raises, nothing of any unit was
            written.
        weight: How heavy a unit is; a transaction takes units up to `MAX_WEIGHT`.
        exclusive: Whether a unit may conflict with other such units in another transaction.
        claims: What a unit may have to wait for while somebody else's transaction has it. Asked only after
            there was a conflict.
        max_waiting: Units that may wait or be under way; further callers wait for room.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[U], int], Awaitable[Sequence[R | Exception]]],
        *,
        weight: Callable[[U], int],
        exclusive: Callable[[U], bool] = lambda _: False,
        claims: Callable[[U], Sequence[Hashable]] = lambda _: (),
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._commit = commit
        self._weight = weight
        self._exclusive = exclusive
        self._claims = claims
        self._waiting: WaitingQueue[U, R] = WaitingQueue()
        self._waiting_exclusive: WaitingQueue[U, R] = WaitingQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room = asyncio.Semaphore(max_waiting)
        self._lanes: set[asyncio.Task[None]] = set()
        self._apart: dict[asyncio.Task[None], HeldUp[U, R]] = {}
        self._lanes_apart = asyncio.Semaphore(LANES_APART)
        self._held_up: dict[Hashable, HeldUp[U, R]] = {}
        self._sharing = 0
        self._under_way: set[asyncio.Event] = set()
        self._has_exclusive = False
        self._stats = CommitStats()

    @property
    def stats(self) -> CommitStats:
        """What it has done so far."""
        held_up = sum(len(held.queue) for held in self._apart.values())
        return replace(self._stats, waiting=len(self._waiting) + len(self._waiting_exclusive) + held_up)

    def count_retry(self) -> None:
        """Count a try of a transaction after its first."""
        self._stats = replace(self._stats, retries=self._stats.retries + 1)

    async def settled(self) -> None:
        """Wait until the transactions that are under way now have ended, whoever waits for them."""
        for under_way in list(self._under_way):
            await under_way.wait()

    async def submit(self, unit: U) -> R:
        """Commit *unit*, together with whatever else is waiting, and return its answer.

        Cancelling the call withdraws the unit if no transaction that holds it is under way; else that goes
        on all the same.

        Raises:
            Exception: Whatever the unit's own answer is.
        """
        await self._room.acquire()
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # Asked once: each time is a system call.
        waiting: Waiting[U, R] = Waiting(unit, self._loop.create_future(), time.monotonic())
        (self._waiting_exclusive if self._exclusive(unit) else self._waiting).append(waiting)
        self._open_lane()
        try:
            return await waiting.future
        finally:
            if waiting.queue is not None:
                waiting.queue.remove(waiting)
            self._room.release()

    def _open_lane(self) -> None:
        if len(self._lanes) < LANES:
            self._lanes.add(begin_task(self._drain(), name="medici_py.GroupCommitter"))

    async def _drain(self) -> None:
        try:
            while queue := self._next_queue():
                exclusive = queue is self._waiting_exclusive
                batch = self._take(queue)
                if not batch:
                    continue
                self._has_exclusive = self._has_exclusive or exclusive
                sharing = 0 if exclusive else len(batch)
                self._sharing += sharing
                try:
                    await self._settle(batch, _SHARED_TRIES, home=queue)
                    if len(batch) > 1:
                        # The callers that were answered go first: what they bring shares the next one.
                        await asyncio.sleep(0)
                finally:
                    self._sharing -= sharing
                    self._has_exclusive = self._has_exclusive and not exclusive
        except asyncio.CancelledError:
            # The loop is being closed: whoever waits is told, and nothing more is begun.
            for queue in (self._waiting, self._waiting_exclusive):
                for one in queue.remove_all():
                    one.future.cancel()
            raise
        finally:
            # At once, so that whoever comes next begins another lane.
            self._lanes.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _next_queue(self) -> WaitingQueue[U, R]:
        """Return the queue whose turn it is: that of the longest wait. An empty one if there is none."""
        if not self._waiting_exclusive or self._has_exclusive:
            return self._waiting
        if not self._waiting or self._waiting_exclusive.first.since < self._waiting.first.since:
            return self._waiting_exclusive
        return self._waiting

    def _take(self, queue: WaitingQueue[U, R]) -> list[Waiting[U, R]]:
        """Take the next batch of *queue*; nothing if all in it are withdrawn, or held up with others."""
        limit = MAX_UNITS
        crowd = len(queue) + self._sharing
        if queue is self._waiting and crowd >= SHARE_FROM:
            # An equal part for each lane, whoever comes for it first: those of one transaction come back
            # together, so that lanes once unequal would stay so, and one would wait while the other works.
            limit = min(limit, -(-crowd // (LANES - self._has_exclusive)))
        batch = self._pop(queue, limit, may_be_held_up=bool(self._held_up))
        if self._next_queue():
            self._open_lane()
        self._count_waits(batch)
        return batch

    def _pop(
        self, queue: WaitingQueue[U, R], limit: int, *, may_be_held_up: bool = False
    ) -> list[Waiting[U, R]]:
        """Take up to *limit* units; those that come for what others are held up by are sent to wait there."""
        batch: list[Waiting[U, R]] = []
        weight = 0
        for one in list(queue):
            if len(batch) == limit:
                break
            if one.future.done():
                queue.remove(one)  # Its caller was cancelled.
                continue
            held = self._holding(self._claims(one.unit)) if may_be_held_up else None
            if held is not None:
                queue.remove(one)
                held.queue.append(one)
                continue
            weight += self._weight(one.unit)
            if batch and weight > MAX_WEIGHT:
                break
            queue.remove(one)
            batch.append(one)
        return batch

    def _holding(self, claims: Iterable[Hashable]) -> HeldUp[U, R] | None:
        return next((self._held_up[claim] for claim in claims if claim in self._held_up), None)

    async def _settle(
        self,
        batch: Sequence[Waiting[U, R]],
        tries: int,
        *,
        home: WaitingQueue[U, R],
        held: HeldUp[U, R] | None = None,
    ) -> None:
        """Commit *batch*, of queue *home*, and tell every caller of it if the task is cancelled."""
        under_way = asyncio.Event()
        self._under_way.add(under_way)
        try:
            await self._settle_parts(batch, tries, home, held)
        except asyncio.CancelledError:
            for one in batch:
                one.future.cancel()
            raise
        finally:
            under_way.set()
            self._under_way.discard(under_way)

    async def _settle_parts(
        self, batch: Sequence[Waiting[U, R]], tries: int, home: WaitingQueue[U, R], held: HeldUp[U, R] | None
    ) -> None:
        """Commit *batch*; whoever cannot be committed with the others is tried without them."""
        batch = [one for one in batch if not one.future.done()]
        if not batch:
            return
        try:
            await self._try(batch, tries)
        except Exception as exc:  # noqa: BLE001 - every caller gets an answer
            parts = self._parts(batch, exc)
            if len(parts) > 1:
                self._stats = replace(self._stats, splits=self._stats.splits + 1)
                for part in parts:
                    await self._settle_parts(part, 1, home, held)
            elif is_write_conflict(exc):
                self._hold_up(batch, exc, home, held)
            else:
                self._fail(batch, exc)

    def _parts(self, batch: Sequence[Waiting[U, R]], error: Exception) -> Sequence[Sequence[Waiting[U, R]]]:
        """Return the halves of *batch*, if some of it may own *error* without the rest; else it alone."""
        if not may_be_owned(error):
            return [batch]
        alike: dict[object, list[Waiting[U, R]]] = {}
        for one in batch:
            # Those that wait for the same are not told apart by trying them one by one.
            kind = frozenset(self._claims(one.unit)) if is_write_conflict(error) else one
            alike.setdefault(kind, []).append(one)
        kinds = list(alike.values())
        middle = len(kinds) // 2
        halves = kinds[:middle], kinds[middle:]
        return [[one for kind in half for one in kind] for half in halves if half]

    def _hold_up(
        self,
        batch: Sequence[Waiting[U, R]],
        error: Exception,
        home: WaitingQueue[U, R],
        held: HeldUp[U, R] | None,
    ) -> None:
        """Let *batch*, which met an open transaction of somebody else's, go on trying apart."""
        claims = self._claims(batch[0].unit)
        held = held or self._holding(claims)
        if held is None:
            held = HeldUp(home)
            self._held_up.update(dict.fromkeys(claims, held))
            task = begin_task(self._go_on_apart(held), name="medici_py.GroupCommitter.apart")
            self._apart[task] = held
        held.count_conflict(len(batch))
        too_old = time.monotonic() - DEADLINE_SECS
        for one in batch:
            if one.since < too_old:
                self._fail([one], error)
            else:
                held.queue.append(one)

    async def _go_on_apart(self, held: HeldUp[U, R]) -> None:
        """Try those that are held up until some of them, and then all that wait, get through."""
        try:
            while held.queue:
                if held.conflicts:
                    jitter = random.random()  # noqa: S311 - spreads retries, no secret
                    pause_secs = conflict_pause_secs(held.conflicts, jitter)
                    await asyncio.sleep(min(pause_secs, _LONGEST_PAUSE_SECS))
                async with self._lanes_apart:
                    conflicts = held.conflicts
                    batch = self._pop(held.queue, min(held.at_once, MAX_UNITS))
                    are_all = not held.queue
                    self.count_retry()
                    await self._settle(batch, 1, home=held.home, held=held)
                if held.conflicts == conflicts:
                    held.count_success()
                    if are_all:
                        break
        except asyncio.CancelledError:
            for one in held.queue.remove_all():
                one.future.cancel()
            raise
        finally:
            self._held_up = {claim: other for claim, other in self._held_up.items() if other is not held}
            self._apart.pop(cast("asyncio.Task[None]", asyncio.current_task()))
            if held.queue:
                # Nothing holds them up any more: they share transactions with the others again.
                held.home.put_first(held.queue.remove_all())
                self._open_lane()

    async def _try(self, batch: Sequence[Waiting[U, R]], tries: int) -> None:
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

    def _fail(self, batch: Sequence[Waiting[U, R]], error: Exception) -> None:
        self._stats = replace(self._stats, refused=self._stats.refused + len(batch))
        for one in batch:
            one.answer(error)

    def _count_waits(self, batch: Sequence[Waiting[U, R]]) -> None:
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

"""Units that wait for a transaction of the shared committer, in queues that any of them can leave."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from medici_py.retry import PATIENT_AFTER_CONFLICTS

if TYPE_CHECKING:
    import asyncio

U = TypeVar("U")
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class Waiting(Generic[U, R]):
    """A unit and whoever waits for its answer.

    Attributes:
        unit: What is to be committed.
        future: The caller's.
        since: When it came, monotonic seconds.
        queue: Where it waits; None while a transaction that holds it is under way, and afterwards.
    """

    unit: U
    future: "asyncio.Future[R]"
    since: float
    queue: "WaitingQueue[U, R] | None" = None

    def answer(self, answer: R | BaseException) -> None:
        """Tell the caller, if it still listens."""
        if self.future.done():
            return  # It was cancelled.
        if isinstance(answer, BaseException):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)


class WaitingQueue(OrderedDict["Waiting[U, R]", None], Generic[U, R]):
    """Units in their turn."""

    @property
    def first(self) -> Waiting[U, R]:
        """Whose turn it is."""
        return next(iter(self))

    def append(self, one: Waiting[U, R]) -> None:
        """Let *one* wait behind the others."""
        self[one] = None
        one.queue = self

    def put_first(self, some: Iterable[Waiting[U, R]]) -> None:
        """Let *some* wait before the others, in their order."""
        for one in reversed(list(some)):
            self.append(one)
            self.move_to_end(one, last=False)

    def remove(self, one: Waiting[U, R]) -> None:
        """Let *one*, which waits here, leave."""
        del self[one]
        one.queue = None

    def remove_all(self) -> list[Waiting[U, R]]:
        """Let all leave, and return them in their order."""
        removed = list(self)
        for one in removed:
            self.remove(one)
        return removed


@dataclass(slots=True, eq=False)
class HeldUp(Generic[U, R]):
    """Units that met an open transaction of somebody else's, and those that came for the same after them.

    Attributes:
        home: Where they wait when nothing holds them up.
        queue: Where they wait now.
        at_once: How many of them the next try takes: once `PATIENT_AFTER_CONFLICTS` have met it, half as many
            after each, and twice as many after one that did not, so that those whom it does not concern get
            through.
        conflicts: Tries in a row that met it.
    """

    home: WaitingQueue[U, R]
    queue: WaitingQueue[U, R] = field(default_factory=WaitingQueue)
    at_once: int = 0
    conflicts: int = 0

    def count_conflict(self, units: int) -> None:
        """Count a try of so many units that met it."""
        self.conflicts += 1
        patient = self.conflicts <= PATIENT_AFTER_CONFLICTS
        self.at_once = max(self.at_once, units) if patient else max(1, units // 2)

    def count_success(self) -> None:
        """Count a try that did not."""
        self.conflicts = 0
        self.at_once *= 2

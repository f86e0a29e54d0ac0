"""Reads of balances, of several kinds and from several ledgers, taken in turns and timed one by one."""

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from benchmarks.journals import CASH, wallet
from benchmarks.rounds import percentile
from benchmarks.table import Cell
from benchmarks.worker_process import WorkerProcess
from medici_py import Balance

WALLET = wallet(7)
"""The account of one user: one leg in two thousand. `CASH` has every second one."""

_LEAST_READS = 3
_P99_READS = 30
"""Of fewer reads there is no 99th percentile to speak of."""

COLUMNS = ("account", "side", "journals in the ledger", "p50 ms", "p99 ms", "reads")


@dataclass(frozen=True)
class Read:
    """One kind of read of one account in one ledger, and how long it took each time.

    Attributes:
        account: What is asked for.
        side: Who is asked, and how.
        journals: Size of the ledger.
        ask: Reads once and returns how many milliseconds that took.
        taken_ms: What `ask` returned so far.
    """

    account: str
    side: str
    journals: int
    ask: Callable[[], Awaitable[float]]
    taken_ms: list[float] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        return percentile(self.taken_ms, 0.50)

    def row(self) -> Sequence[Cell]:
        p99_ms = percentile(self.taken_ms, 0.99) if len(self.taken_ms) >= _P99_READS else None
        return (self.account, self.side, self.journals, self.median_ms, p99_ms, len(self.taken_ms))


async def take_turns(reads: Sequence[Read], turn: int, *, budget_secs: float) -> None:
    """Do every read once, in an order that each turn has for itself.

    A read that has taken *budget_secs* altogether is not done any more, once it was done a few times.
    """
    order = random.Random(turn).sample(reads, len(reads))
    for read in order:
        if len(read.taken_ms) < _LEAST_READS or sum(read.taken_ms) < budget_secs * 1_000:
            read.taken_ms.append(await read.ask())


def median_of(reads: Sequence[Read], account: str, side: str, journals: int) -> float:
    """Return the median of one kind of read, in milliseconds."""
    found = next(
        read for read in reads if (read.account, read.side, read.journals) == (account, side, journals)
    )
    return found.median_ms


def rows_by_account(reads: Sequence[Read]) -> list[Sequence[Cell]]:
    """Return a row a read: by account, then side, then size."""
    sides = list(dict.fromkeys(read.side for read in reads))
    ordered = sorted(reads, key=lambda read: (read.account == CASH, sides.index(read.side), read.journals))
    return [read.row() for read in ordered]


class WrongAnswerError(Exception):
    """A side answered fast, but not what the documents add up to."""


def our_read(ask: Callable[[], Awaitable[Balance]], *, expected: int) -> Callable[[], Awaitable[float]]:
    """Return a read of our side as a `Read` wants it.

    Reading raises WrongAnswerError if it finds anything but *expected*.
    """

    async def read() -> float:
        began = time.perf_counter()
        answer = await ask()
        took_secs = time.perf_counter() - began
        _check(answer.balance, expected)
        return took_secs * 1_000

    return read


def node_read(
    medici: WorkerProcess, account: str, *, expected: int, cached: bool, end_date: datetime | None = None
) -> Callable[[], Awaitable[float]]:
    """Return the same of Node's medici, by Node's own clock."""
    bounds = {} if end_date is None else {"end_date_ms": round(end_date.timestamp() * 1_000)}

    async def read() -> float:
        answer = await medici.call("balance", account=account, cached=cached, **bounds)
        _check(answer["balance"], expected)
        return float(answer["ms"])

    return read


def _check(found: object, expected: int) -> None:
    if found != expected:
        raise WrongAnswerError(f"a balance of {expected} was read as {found}")

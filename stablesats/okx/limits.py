"""Waiting until OKX's rate limits allow one more request; orders first, then polls, then prices.

Two rules shape this module. The pace is such that *no* window of OKX's length, wherever it starts, holds
more than the allowed number; a bucket of the full allowance would let nearly twice as many through
after a pause. And where calls share an allowance, a request waits at most for the one that already
stands at the door, then for those of its own priority.

One process is assumed for each API key and address: allowances are not shared between processes, so a
second one may meet OKX's own refusal, which is typed and, for reads, retried.
"""

import asyncio
import heapq
import itertools
from dataclasses import dataclass

from aiolimiter import AsyncLimiter

from stablesats.okx.endpoints import Allowance, Priority

# Two requests may be nearer to each other when they arrive than when they were sent.
SPACING_MARGIN = 1.1

# A burst of a fifth of the allowance; the other four fifths come evenly over the window.
BURSTS_PER_WINDOW = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """A leaky bucket: *burst* requests at once, refilled evenly over *refill_secs* seconds."""

    burst: float
    refill_secs: float


def pace_of(allowance: Allowance) -> Pace:
    """Return the fastest even pace that keeps within *allowance* in every window.

    Ten requests in two seconds give a burst of two, refilled in half a second: 2 + 4 * 2 = 10. A single one
    in five seconds is one in 5.5 s.
    """
    if allowance.requests == 1:
        return Pace(burst=1.0, refill_secs=SPACING_MARGIN * allowance.window_secs)
    # Below five requests a window the burst is one: less would never let a request through.
    burst = max(1.0, allowance.requests / BURSTS_PER_WINDOW)
    return Pace(burst=burst, refill_secs=burst * allowance.window_secs / (allowance.requests - burst))


class RequestLimiter:
    """Holds one door for each allowance (and instrument, where OKX counts by instrument).

    For one event loop. Memory grows with the number of instruments used, not with requests.
    """

    def __init__(self) -> None:
        self._doors: dict[tuple[str, str], _Door] = {}

    async def wait(
        self, allowance: Allowance, priority: Priority, *, inst_id: str = "", cost: int = 1
    ) -> None:
        """Return when one more request is allowed, or one that counts as *cost* of them.

        A cancelled wait takes no part of the allowance.
        """
        key = (allowance.name, inst_id if allowance.per_instrument else "")
        door = self._doors.get(key)
        if door is None:
            door = self._doors[key] = _Door(pace_of(allowance))
        await door.pass_through(priority, cost)


class _Door:
    """One waits at the limiter; the others queue behind it by priority, then by arrival."""

    def __init__(self, pace: Pace) -> None:
        self._limiter = AsyncLimiter(pace.burst, pace.refill_secs)
        self._queue: list[tuple[Priority, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()
        self._occupied = False

    async def pass_through(self, priority: Priority, cost: int) -> None:
        await self._my_turn(priority)
        try:
            await self._limiter.acquire(cost)
        finally:
            self._admit_next()

    async def _my_turn(self, priority: Priority) -> None:
        if not self._occupied:
            self._occupied = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (priority, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            # The turn may have come in the very moment of the cancellation: hand it on, or all wait for ever.
            if not turn.cancelled():
                self._admit_next()
            raise

    def _admit_next(self) -> None:
        while self._queue:
            *_, turn = heapq.heappop(self._queue)
            if not turn.done():
                turn.set_result(None)
                return
        self._occupied = False

"""So many posters at work at the same time, each posting its next journal when the last one stands."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.rounds import Round

Post = Callable[[int], Awaitable[int]]
"""Posts the number-th journal, or a batch from there on; returns how many journals that were."""


@dataclass(frozen=True)
class Load:
    """How much is posted: by the clock or by count; one of the two is given.

    Attributes:
        posters: Callers at work at the same time.
        secs: No journal is begun after so many seconds.
        journals: No more journals than these are begun.
    """

    posters: int
    secs: float | None = None
    journals: int | None = None


async def run_load(post: Post, load: Load) -> Round:
    """Post until *load* is done and everything begun is answered."""
    numbers = itertools.count() if load.journals is None else iter(range(load.journals))
    latencies_ms: list[float] = []
    began = time.perf_counter()
    ends = began + (float("inf") if load.secs is None else load.secs)
    posted = 0

    async def poster() -> None:
        nonlocal posted
        for number in numbers:
            asked = time.perf_counter()
            if asked >= ends:
                return
            journals = await post(number)
            posted += journals  # in one line with the await it would add to what stood before it
            latencies_ms.append((time.perf_counter() - asked) * 1_000)

    async with asyncio.TaskGroup() as posters:  # one that fails ends the others, and with them the bench
        for _ in range(load.posters):
            posters.create_task(poster())
    return Round(posted, time.perf_counter() - began, latencies_ms)

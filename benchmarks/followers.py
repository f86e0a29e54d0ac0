"""Those who follow the changes of a book, and when each of them was given what.

Posters in another process say when they asked and when they were answered. Both clocks are the machine's
monotonic one, which all processes of a Linux machine have in common.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from medici_py import Book, JournalPosted
from medici_py.durable_events import SubscriptionEvent

PATIENCE_SECS = 120.0
_LOOK_EVERY_SECS = 0.01


class FollowerTooSlowError(Exception):
    """A follower was not given everything in time."""


@dataclass
class Follower:
    """What one subscriber was given.

    Attributes:
        journals: Its journals and when it was given them, in seconds.
        events: How many events those were, balances among them.
    """

    journals: list[tuple[ObjectId, float]] = field(default_factory=list)
    events: int = 0

    def take(self, event: object) -> None:
        """Note that *event* was handed out now."""
        self.events += 1
        if isinstance(event, JournalPosted):
            self.journals.append((event.journal.id, time.monotonic()))


async def seen_by_all(followers: Sequence[Follower], journals: int) -> None:
    """Wait until each follower was given so many journals.

    Raises:
        FollowerTooSlowError: If that takes too long.
    """
    gives_up = time.monotonic() + PATIENCE_SECS
    while (slowest := min(len(follower.journals) for follower in followers)) < journals:
        if time.monotonic() > gives_up:
            raise FollowerTooSlowError(f"{slowest} of {journals} journals after {PATIENCE_SECS:g} s")
        await asyncio.sleep(_LOOK_EVERY_SECS)


@asynccontextmanager
async def following(book: Book, subscribers: int, kinds: Collection[type]) -> AsyncIterator[list[Follower]]:
    """Follow *book* with so many subscriptions of this process."""
    followers = [Follower() for _ in range(subscribers)]
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(book.changes(kinds=kinds)) for _ in followers]

        async def follow(number: int) -> None:
            async for event in opened[number]:
                followers[number].take(event)

        async with _at_work([follow(number) for number in range(subscribers)]):
            yield followers


@asynccontextmanager
async def acknowledging(book: Book) -> AsyncIterator[list[Follower]]:
    """Follow *book* with a durable subscription whose handler does nothing; each event is acknowledged."""
    follower = Follower()

    async def handle(event: SubscriptionEvent) -> None:
        follower.take(event)

    subscription = book.subscribe("bench at least once")
    async with subscription:
        pass  # Everything from now on.
    async with _at_work([subscription.run(handle)]):
        yield [follower]


@asynccontextmanager
async def transacting(book: Book) -> AsyncIterator[list[Follower]]:
    """The same, each event and its acknowledgement in a transaction."""
    follower = Follower()

    async def handle(event: SubscriptionEvent, session: Any) -> None:  # noqa: ARG001
        follower.take(event)

    subscription = book.subscribe("bench exactly once")
    async with subscription:
        pass
    async with _at_work([subscription.run_in_transaction(handle)]):
        yield [follower]


@asynccontextmanager
async def _at_work(coroutines: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run *coroutines* as long as the block lasts; one that fails ends the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        yield
        for task in tasks:
            task.cancel()

"""A subscriber that takes nothing, beside one that takes everything, in one process: what that holds."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from medici_py import Book, ChangeSubscription, JournalPosted, Overflow

DURABLE = "durable"
NONE = "none"

_LOOK_EVERY_SECS = 0.05


class ChangeHolder:
    """Keeps a stuck subscription of *book* open.

    Args:
        book: The book.
        kind: An `Overflow` by its value, `DURABLE`, or `NONE` for nobody but the reader.
    """

    def __init__(self, book: Book, kind: str) -> None:
        self._book = book
        self._kind = kind
        self._stack = AsyncExitStack()
        self._stuck: ChangeSubscription | None = None
        self._read = 0
        self._reading: asyncio.Task[None] | None = None
        self._first: asyncio.Future[Any] | None = None

    async def open(self) -> None:
        """Open both; what is committed from here on reaches them."""
        reader = await self._stack.enter_async_context(self._book.changes(kinds=(JournalPosted,)))
        if self._kind == DURABLE:
            events = await self._stack.enter_async_context(self._book.subscribe("bench stuck"))
            self._first = asyncio.ensure_future(anext(events))
        elif self._kind != NONE:
            changes = self._book.changes(on_overflow=Overflow(self._kind))
            self._stuck = await self._stack.enter_async_context(changes)
        self._reading = asyncio.create_task(self._count(reader))

    async def until_read(self, journals: int) -> None:
        """Wait until the reader was given so many journals."""
        while self._read < journals:
            if self._reading is not None and self._reading.done():
                await self._reading  # raises what ended it
            await asyncio.sleep(_LOOK_EVERY_SECS)

    @property
    def waiting(self) -> int | None:
        """Events that wait for the stuck subscription, where that can be asked."""
        return None if self._stuck is None else self._stuck.lag.events

    async def close(self) -> None:
        """Close both."""
        for task in (self._reading, self._first):
            if task is not None:
                task.cancel()
        await self._stack.aclose()

    async def _count(self, reader: ChangeSubscription) -> None:
        async for _ in reader:
            self._read += 1

"""Trades of the process itself: a bounded queue, for applications that embed the dealer's books."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Final

from stablesats.errors import StablesatsError
from stablesats.tracing import current_traceparent
from stablesats.trades.trade_source import Delivery, Place, Position, ReceivedTrade, RevertRequest
from stablesats.trades.user_trade import UserTrade, require_text

_MOST_AT_ONCE: Final = 200


class QueueClosedError(StablesatsError):
    """The queue was closed; the trade was not taken."""


class QueueSource:
    """A `TradeSource` that the application fills; safe for any number of tasks of one event loop.

    What waits in it is lost with the process: put a trade again if it died before `join` returned. A repeat
    is harmless.
    """

    def __init__(self, name: str = "queue", *, maxsize: int = 1_000) -> None:
        """Name the source, and bound what may wait in it (items)."""
        self._name = name
        self._place = Place(name)
        self._waiting: asyncio.Queue[ReceivedTrade | RevertRequest | None] = asyncio.Queue(maxsize)
        # A put that waits for room must not land behind the mark that ends the queue.
        self._entrance = asyncio.Lock()
        self._closed = False
        self._ended = False
        self._taken: list[ReceivedTrade | RevertRequest | None] = []
        self._drained = False

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    async def put(self, trade: UserTrade) -> None:
        """Hand over *trade* in the current trace context; waits while the queue is full.

        Raises:
            QueueClosedError: If the queue was closed.
        """
        await self._put(ReceivedTrade(trade, self._place, current_traceparent()))

    async def put_revert(self, trade_id: str) -> None:
        """Take the trade *trade_id* back, whether it was put before or will be; waits as `put` does.

        Raises:
            UserTradeError: If *trade_id* cannot be a trade's id.
            QueueClosedError: If the queue was closed.
        """
        require_text("revert", trade_id)
        await self._put(RevertRequest(trade_id, self._place, current_traceparent()))

    async def join(self) -> None:
        """Wait until everything that was put is stored; it will be booked then, whatever happens here."""
        await self._waiting.join()

    async def close(self) -> None:
        """Take no more; the source ends when what waits in it has been stored."""
        self._closed = True
        async with self._entrance:
            if not self._ended:
                await self._waiting.put(None)
                self._ended = True

    async def deliveries(self, positions: Mapping[str, Position]) -> AsyncGenerator[Delivery, None]:  # noqa: ARG002
        """Hand out what was put, in order; what one consumer did not store, the next one gets first."""
        while not self._drained:
            if not self._taken:
                self._taken = [await self._waiting.get()]
                while len(self._taken) < _MOST_AT_ONCE and not self._waiting.empty():
                    self._taken.append(self._waiting.get_nowait())
            if items := tuple(item for item in self._taken if item is not None):
                yield Delivery(self._name, items, None)
            self._drained = self._taken[-1] is None
            for _ in self._taken:
                self._waiting.task_done()
            self._taken = []

    async def _put(self, item: ReceivedTrade | RevertRequest) -> None:
        async with self._entrance:
            if self._closed:
                msg = f"queue {self._name!r} is closed and takes no more; open another one"
                raise QueueClosedError(msg)
            await self._waiting.put(item)

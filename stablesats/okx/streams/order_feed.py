"""Changes of our orders, each of which counts: a bounded queue that says so when one may be missing."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias

from stablesats.okx.errors import OkxError
from stablesats.okx.messages import Order

MAX_WAITING: Final = 1_000
"""How many changes may wait for their reader; far more than OKX's limits let one account cause."""


@dataclass(frozen=True, slots=True)
class OrderFill:
    """The trade that a push is about.

    Attributes:
        fee_btc: Of this trade; negative was charged. None if OKX does not say.
    """

    trade_id: str
    size_contracts: Decimal
    price_usd: Decimal
    fee_btc: Decimal | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """An order as it is now, with the trade that made it so, if one did.

    OKX may repeat one, and send two in the wrong order: the newer is the `Order` that `supersedes` the other.
    """

    order: Order
    fill: OrderFill | None = None


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Changes may be missing from here on back: ask over REST what became of the open orders.

    Comes first of all (what happened before a subscription is never pushed), after each reconnection, and
    whenever something was lost. It also comes every `StreamTiming.reconcile_secs`, since OKX does not number
    the changes: one that was lost on a sound connection shows only when it is asked for.

    Attributes:
        reason: What happened.
    """

    reason: str


OrderEvent: TypeAlias = OrderUpdate | Reconcile


class OrderFeed:
    """The queue between the stream and the one reader of its events.

    Attributes:
        lost: How many updates were dropped because the reader was too slow.
    """

    def __init__(self, *, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._waiting: deque[OrderEvent] = deque()
        self._failure: OkxError | None = None
        self._changed = asyncio.Event()
        self.lost = 0

    def __repr__(self) -> str:
        return f"<OrderFeed waiting={len(self._waiting)} lost={self.lost}>"

    async def events(self) -> AsyncGenerator[OrderEvent, None]:
        """Yield every event in its order; for one reader.

        Raises:
            OkxStreamRefusedError: OKX refused the login or the channel.
            OkxClosedError: The stream has ended, and every event of it has been read.
        """
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            self._changed.clear()
            await self._changed.wait()

    def put(self, event: OrderEvent) -> None:
        """Queue *event*. If too many wait, all of them give way to one `Reconcile` that says so."""
        self._failure = None
        if len(self._waiting) >= self._max_waiting:
            dropped = sum(isinstance(waiting, OrderUpdate) for waiting in self._waiting)
            self.lost += dropped
            self._waiting.clear()
            self._waiting.append(Reconcile(f"the reader was too slow: {dropped} updates were dropped"))
        self._waiting.append(event)
        self._changed.set()

    def fail(self, failure: OkxError) -> None:
        """Let the reader have what waits, then raise *failure* to it."""
        self._failure = failure
        self._changed.set()

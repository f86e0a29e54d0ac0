"""A queue inside the process as a source."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from stablesats.trades import (
    Delivery,
    Place,
    QueueClosedError,
    QueueSource,
    ReceivedTrade,
    RevertRequest,
    UserTrade,
    UserTradeError,
)

Factory = Callable[..., ReceivedTrade]


@pytest.fixture
def trade(received: Factory) -> Callable[[str], UserTrade]:
    return lambda trade_id: received(trade_id).trade


async def drained(queue: QueueSource) -> list[Delivery]:
    async with aclosing(queue.deliveries({})) as deliveries:
        return [delivery async for delivery in deliveries]


async def test_what_is_put_comes_out_in_order(trade: Callable[[str], UserTrade]) -> None:
    """Trades and requests to take them back alike; there is no position to go back to."""
    queue = QueueSource("shop")
    await queue.put(trade("t1"))
    await queue.put_revert("t1")
    await queue.close()
    here = Place("shop")
    assert await drained(queue) == [
        Delivery("shop", (ReceivedTrade(trade("t1"), here), RevertRequest("t1", here)), None)
    ]
    assert await drained(queue) == []


async def test_putting_waits_while_the_queue_is_full(trade: Callable[[str], UserTrade]) -> None:
    """Memory is bounded."""
    queue = QueueSource(maxsize=1)
    await queue.put(trade("t1"))
    second = asyncio.create_task(queue.put(trade("t2")))
    closing = asyncio.create_task(queue.close())
    await asyncio.wait([second, closing], timeout=0.05)
    assert not second.done()
    found = await drained(queue)
    await asyncio.gather(second, closing)
    assert [item.trade.id for each in found for item in each.items if isinstance(item, ReceivedTrade)] == [
        "t1",
        "t2",
    ]


async def test_join_waits_until_the_delivery_is_stored(trade: Callable[[str], UserTrade]) -> None:
    """That is when its consumer asks for the next one."""
    queue = QueueSource()
    await queue.put(trade("t1"))
    joined = asyncio.create_task(queue.join())
    async with aclosing(queue.deliveries({})) as deliveries:
        await anext(deliveries)
        await asyncio.wait([joined], timeout=0.05)
        assert not joined.done()
        await queue.close()
        assert await anext(deliveries, None) is None
    await asyncio.wait_for(joined, 60)


async def test_delivery_that_was_not_stored_is_delivered_again(trade: Callable[[str], UserTrade]) -> None:
    """Its consumer failed and began again."""
    queue = QueueSource()
    await queue.put(trade("t1"))
    async with aclosing(queue.deliveries({})) as deliveries:
        first = await anext(deliveries)
    await queue.close()
    assert (await drained(queue))[0] == first


async def test_closed_queue_takes_nothing(trade: Callable[[str], UserTrade]) -> None:
    """And says so; closing it again is harmless."""
    queue = QueueSource("shop")
    await queue.close()
    await queue.close()
    with pytest.raises(QueueClosedError, match="'shop' is closed"):
        await queue.put(trade("t1"))
    with pytest.raises(QueueClosedError):
        await queue.put_revert("t1")


async def test_revert_needs_an_id() -> None:
    """Where it is put, not where it is booked."""
    with pytest.raises(UserTradeError, match="revert must be a text"):
        await QueueSource().put_revert("")

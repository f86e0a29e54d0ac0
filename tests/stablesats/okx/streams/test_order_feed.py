"""Changes of our orders, each of which counts."""

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablesats.okx import OkxClosedError, Order
from stablesats.okx.streams import OrderEvent, OrderFeed, OrderUpdate, Reconcile


@pytest.fixture
def update(order_row):
    """An update of the order under a number."""

    def make(number: int) -> OrderUpdate:
        return OrderUpdate(Order.model_validate(order_row(ordId=str(number))))

    return make


async def waiting_events(feed: OrderFeed) -> list[OrderEvent]:
    """Everything that waits; the feed ends by it."""
    feed.fail(OkxClosedError("end of test"))
    events: list[OrderEvent] = []
    with contextlib.suppress(OkxClosedError):
        async for event in feed.events():
            events.append(event)  # noqa: PERF401 - the loop ends with an error
    return events


async def test_events_come_in_their_order(update) -> None:
    """None is skipped, however slow the reader is."""
    feed = OrderFeed(max_waiting=3)
    expected = [update(1), Reconcile("why"), update(2)]
    for event in expected:
        feed.put(event)
    assert await waiting_events(feed) == expected
    assert feed.lost == 0


async def test_a_reader_waits_for_the_next_event(update) -> None:
    """And gets it at once."""
    feed = OrderFeed()
    events = feed.events()
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    assert not waiting.done()
    feed.put(update(1))
    assert await waiting == update(1)


async def test_a_reader_that_is_too_slow_is_told_so(update) -> None:
    """What was dropped is counted, and it is to reconcile before it goes on."""
    feed = OrderFeed(max_waiting=2)
    for number in range(5):
        feed.put(update(number))
    events = await waiting_events(feed)
    assert isinstance(events[0], Reconcile)
    assert "too slow" in events[0].reason
    assert events[-1] == update(4)
    assert feed.lost == 5 - sum(isinstance(event, OrderUpdate) for event in events)


async def test_the_end_comes_after_what_waits(update) -> None:
    """A fill that arrived is not lost because the stream ended behind it."""
    feed = OrderFeed()
    feed.put(update(1))
    feed.fail(OkxClosedError("the stream has ended"))
    events = feed.events()
    assert await anext(events) == update(1)
    with pytest.raises(OkxClosedError):
        await anext(events)


@settings(deadline=None)
@given(bound=st.integers(min_value=1, max_value=6), count=st.integers(min_value=0, max_value=30))
async def test_memory_is_bounded_and_no_loss_goes_unsaid(bound: int, count: int) -> None:
    """Either every update is there, or a `Reconcile` stands before what is left; the newest is always there."""
    row = {"instId": "BTC-USD-SWAP", "side": "sell", "state": "live", "sz": "1", "accFillSz": "0"}
    updates = [
        OrderUpdate(Order.model_validate({**row, "ordId": str(number), "cTime": "1", "uTime": "1"}))
        for number in range(1, count + 1)
    ]
    feed = OrderFeed(max_waiting=bound)
    for one in updates:
        feed.put(one)
    events = await waiting_events(feed)
    assert len(events) <= bound + 1
    kept = [event for event in events if isinstance(event, OrderUpdate)]
    assert kept == updates[len(updates) - len(kept) :]
    assert feed.lost == len(updates) - len(kept)
    assert (feed.lost > 0) == (bool(events) and isinstance(events[0], Reconcile))
    assert not updates or kept

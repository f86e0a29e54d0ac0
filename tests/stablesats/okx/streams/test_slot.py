"""A place for the newest value of a channel."""

import asyncio
from datetime import timedelta

import pytest

from stablesats.okx import OkxClosedError
from stablesats.okx.streams import Freshness, OkxStaleError, OkxSubscriptionRefusedError, Slot

FRESH = Freshness(stale_after_secs=20.0)
BY_ITS_OWN_TIME = Freshness(stale_after_secs=20.0, by_its_own_time=True)
REFUSED = OkxSubscriptionRefusedError("it", code="60018", message="wrong channel")


@pytest.fixture
def slot(clock) -> Slot[str]:
    return Slot("price", FRESH, clock.clocks)


def test_before_the_first_value_there_is_none(slot: Slot[str]) -> None:
    """Unknown is not zero."""
    with pytest.raises(OkxStaleError, match="no price has been received yet"):
        slot.latest()
    assert slot.age_secs is None


@pytest.mark.parametrize(("secs", "fresh"), [(19.9, True), (20.0, True), (20.1, False)])
def test_a_value_is_good_for_so_long(clock, slot: Slot[str], secs: float, fresh: bool) -> None:
    """Counted from its reception."""
    slot.put("a", None)
    clock.advance(secs)
    if fresh:
        assert slot.latest() == "a"
    else:
        with pytest.raises(OkxStaleError, match=r"the price is 20.1 s old, more than 20 s"):
            slot.latest()


@pytest.mark.parametrize("secs", [-21, 21])
def test_a_value_whose_own_time_is_far_from_ours_is_stale(clock, secs: int) -> None:
    """It was received this moment, but OKX sends old news, or our clock is off."""
    slot: Slot[str] = Slot("price", BY_ITS_OWN_TIME, clock.clocks)
    slot.put("a", clock.at + timedelta(seconds=secs))
    with pytest.raises(OkxStaleError, match="clock is off"):
        slot.latest()


def test_an_older_value_does_not_replace_a_newer_one(clock, slot: Slot[str]) -> None:
    """Messages may arrive in the wrong order; those of the same time replace each other."""
    slot.put("newer", clock.at)
    slot.put("older", clock.at - timedelta(milliseconds=1))
    assert (slot.latest(), slot.received, slot.out_of_order) == ("newer", 2, 1)
    slot.put("same time", clock.at)
    assert slot.latest() == "same time"


def test_a_value_from_the_far_future_does_not_keep_out_the_others(clock, slot: Slot[str]) -> None:
    """One wrong time would be the last value for years."""
    slot.put("wrong", clock.at + timedelta(days=300))
    slot.put("right", clock.at)
    assert slot.latest() == "right"


def test_on_a_new_connection_whatever_comes_is_newer(clock, slot: Slot[str]) -> None:
    """The held value is still good meanwhile."""
    slot.put("before", clock.at)
    slot.begin_anew()
    assert slot.latest() == "before"
    slot.put("after", clock.at - timedelta(seconds=5))
    assert slot.latest() == "after"


def test_a_withdrawn_value_is_unknown_until_the_next(clock, slot: Slot[str]) -> None:
    """The error says why there is none; raised often, it does not grow."""
    slot.put("a", None)
    slot.withdraw(REFUSED)
    for _ in range(3):
        with pytest.raises(OkxSubscriptionRefusedError) as raised:
            slot.latest()
    assert len(list(raised.traceback)) <= 2
    slot.put("b", None)
    assert slot.latest() == "b"


async def test_a_reader_gets_each_change_and_skips_what_it_was_too_slow_for(slot: Slot[str]) -> None:
    """It always gets the newest; nothing queues up."""
    changes = slot.changes()
    slot.put("1", None)
    assert await anext(changes) == "1"
    slot.put("2", None)
    slot.put("3", None)
    assert await anext(changes) == "3"
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    assert not waiting.done()
    slot.put("3", None)  # the same value again is news: it was seen again
    assert await waiting == "3"


async def test_readers_do_not_take_values_from_each_other(slot: Slot[str]) -> None:
    """Any number of them, each at its own pace."""
    readers = [asyncio.ensure_future(slot.first()) for _ in range(3)]
    await asyncio.sleep(0)
    slot.put("a", None)
    assert await asyncio.gather(*readers) == ["a", "a", "a"]


async def test_a_reader_waits_through_doubt_and_is_told_of_the_end(slot: Slot[str]) -> None:
    """Staleness passes; a refusal, or the end of the stream, does not."""
    slot.withdraw(OkxStaleError("being fetched anew"))
    reader = asyncio.ensure_future(slot.first())
    await asyncio.sleep(0)
    assert not reader.done()
    slot.withdraw(OkxClosedError("the stream has ended"))
    with pytest.raises(OkxClosedError, match="has ended"):
        await reader

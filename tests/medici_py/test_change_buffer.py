"""A buffer is bounded, keeps the order, and says what it did not keep."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bson import ObjectId
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from medici_py.change_buffer import EventBuffer, Overflow, SubscriberTooSlowError
from medici_py.change_events import ChangePosition, EventsDropped, JournalVoided

START = ChangePosition(None, Timestamp(1, 0))


def place(number: int) -> ChangePosition:
    return ChangePosition(None, Timestamp(1, number))


def event(number: int) -> JournalVoided:
    return JournalVoided(ObjectId(), "B", str(number), place(number), datetime(2024, 1, 1, tzinfo=UTC))


def buffer_of(limit: int, overflow: Overflow) -> EventBuffer:
    buffer = EventBuffer(limit, overflow)
    buffer.taken = START
    return buffer


def drained(buffer: EventBuffer) -> list[object]:
    taken: list[object] = []
    while (item := buffer.take()) is not None:
        taken.append(item)
    return taken


def test_waiting_buffer_refuses_what_has_no_room_and_keeps_the_rest() -> None:
    """The refused events are still to come from elsewhere."""
    buffer = buffer_of(3, Overflow.WAIT)
    events = [event(number) for number in range(1, 6)]
    assert buffer.put(events[:2], START)
    assert not buffer.put(events[2:4], place(2))
    assert buffer.put(events[2:3], place(2))
    assert (len(buffer), buffer.dropped, buffer.is_over) == (3, 0, False)
    assert drained(buffer) == events[:3]
    assert buffer.taken == place(3)


def test_events_of_one_entry_stay_together_even_beyond_the_limit() -> None:
    """An empty buffer takes whatever comes next."""
    buffer = buffer_of(1, Overflow.WAIT)
    events = [event(number) for number in range(5)]
    assert buffer.put(events, START)
    assert not buffer.put([event(9)], START)
    assert buffer.put([], START)
    assert drained(buffer) == events


def test_closing_buffer_hands_out_what_it_has_and_then_its_error() -> None:
    """The error stays, and says where it ended."""
    buffer = buffer_of(1, Overflow.CLOSE)
    first = event(1)
    assert buffer.put([first], START)
    assert not buffer.put([event(2)], place(1))
    assert buffer.is_over
    assert buffer.take() is first
    error = buffer.take()
    assert isinstance(error, SubscriberTooSlowError)
    assert error.position == place(1)
    assert buffer.take() is error
    assert buffer.is_end(error)


def test_first_end_counts() -> None:
    """Whatever happens to a stream afterwards is of no interest any more."""
    buffer = buffer_of(1, Overflow.WAIT)
    first = ValueError("first")
    buffer.end(first)
    buffer.end(ValueError("second"))
    assert buffer.take() is first
    assert not buffer.is_end(ValueError("first"))


@pytest.mark.parametrize(("count", "half_full"), [(0, False), (1, False), (2, True), (3, True)])
def test_half_full_is_half_of_the_limit(count: int, half_full: bool) -> None:
    """Three events: two are more than half."""
    buffer = buffer_of(3, Overflow.WAIT)
    buffer.put([event(number) for number in range(count)], START)
    assert buffer.is_half_full is half_full


@given(st.integers(1, 5), st.lists(st.integers(0, 4), max_size=30))
def test_dropping_buffer_loses_the_oldest_and_tells_exactly_what(limit: int, steps: list[int]) -> None:
    """Every event is either taken or counted by the gap that stands in its place; the newest are there."""
    buffer = buffer_of(limit, Overflow.DROP)
    put, number = [], 0
    seen: list[object] = []
    for step in steps:
        if step == 0:
            seen.extend([item] if (item := buffer.take()) is not None else [])
            continue
        batch = [event(number + place_in) for place_in in range(1, step + 1)]
        number += step
        put.extend(batch)
        assert buffer.put(batch, START)
        assert len(buffer) <= max(limit, step)
    seen.extend(drained(buffer))
    next_number, dropped = 1, 0
    for one in seen:
        if isinstance(one, EventsDropped):
            assert one.after == (place(next_number - 1) if next_number > 1 else START)
            next_number += one.count
            dropped += one.count
            assert one.position == place(next_number - 1)
        else:
            assert one is put[next_number - 1]
            next_number += 1
    assert next_number == len(put) + 1
    assert buffer.dropped == dropped

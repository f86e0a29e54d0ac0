"""Where pushes go, and what each kind may lose."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from stablesats.okx import OkxClosedError, OrderState
from stablesats.okx.streams import Freshness, OkxStaleError, OrderFeed, OrderUpdate, Reconcile, Slot, channel
from stablesats.okx.streams.frames import Push
from stablesats.okx.streams.push_values import mark_price_in, position_in
from stablesats.okx.streams.sinks import BookSink, OrdersSink, ValueSink

SWAP = "BTC-USD-SWAP"
FRESH = Freshness(60.0)
ENDED = OkxClosedError("the stream has ended")


def push(*rows: dict[str, Any], action: str = "") -> Push:
    return Push({}, action, False, rows)


@pytest.fixture
def position(clock) -> ValueSink:
    slot = Slot("position", FRESH, clock.clocks)
    return ValueSink(channel.positions(SWAP), slot, position_in, outlives_connection=False)


@pytest.fixture
def book(clock) -> BookSink:
    return BookSink(channel.books(SWAP), Slot("book", FRESH, clock.clocks))


def test_a_price_ages_while_the_connection_is_away(clock) -> None:
    """It is still the newest that is known."""
    slot = Slot("price", FRESH, clock.clocks)
    price = ValueSink(channel.mark_price(SWAP), slot, mark_price_in, outlives_connection=True)
    price.take(push({"instId": SWAP, "markPx": "50000", "ts": "1"}))
    price.interrupt("gone")
    assert price.slot.latest().mark_usd == 50_000


def test_a_position_is_unknown_while_the_connection_is_away(position: ValueSink, position_row) -> None:
    """An order of ours may have changed it unseen."""
    position.take(push(position_row()))
    position.unreadable("noise")
    assert position.slot.latest().size_contracts == -100
    position.interrupt("the line is cut")
    with pytest.raises(OkxStaleError, match="may have changed unseen: the line is cut"):
        position.slot.latest()


@pytest.mark.parametrize("change", [{"pos": ""}, {"uTime": "soon"}, {"mgnMode": "isolated"}])
def test_a_value_that_cannot_be_understood_is_unknown(position: ValueSink, position_row, change) -> None:
    """The one before it is no longer true."""
    position.take(push(position_row()))
    assert position.take(push(position_row(**change))) is None
    with pytest.raises(OkxStaleError, match="cannot be understood"):
        position.slot.latest()
    position.take(push(position_row()))
    assert position.slot.latest().size_contracts == -100


def test_a_push_of_an_older_position_is_passed_over(position: ValueSink, position_row) -> None:
    """By the time of the push, not of its arrival."""
    position.take(push(position_row(pos="-90", pTime="1767268800002", uTime="1767268800000")))
    position.take(push(position_row(pos="-80", pTime="1767268800001", uTime="1767268800000")))
    assert position.slot.latest().size_contracts == -90


def test_a_book_is_unknown_while_the_connection_is_away(book: BookSink) -> None:
    """Nobody knows how it has changed meanwhile."""
    numbers = {"prevSeqId": -1, "seqId": 1, "checksum": 0}
    snapshot = push({"bids": [], "asks": [], "ts": "1", **numbers}, action="snapshot")
    assert book.take(snapshot) is None
    assert book.slot.latest().sequence == 1
    book.unreadable("noise")
    assert book.slot.latest().sequence == 1
    book.interrupt("the line is cut")
    with pytest.raises(OkxStaleError, match="the line is cut"):
        book.slot.latest()


async def test_an_order_that_cannot_be_understood_is_a_reason_to_reconcile(order_row) -> None:
    """What it said is asked for over REST."""
    sink = OrdersSink(channel.orders(SWAP), OrderFeed())
    sink.begin()
    sink.take(push(order_row()))
    sink.take(push(order_row(accFillSz="")))
    sink.interrupt("gone")
    sink.fail(ENDED)
    events = sink.feed.events()
    kinds = [type(await anext(events)) for _ in range(3)]
    assert kinds == [Reconcile, OrderUpdate, Reconcile]
    with pytest.raises(OkxClosedError):
        await anext(events)


async def test_an_order_in_a_state_that_we_do_not_know_is_pending_with_an_alarm(order_row) -> None:
    """The log quotes OKX's word; rows about another instrument do not shift it to another order."""
    sink = OrdersSink(channel.orders(SWAP), OrderFeed())
    with capture_logs() as logs:
        sink.take(
            push(
                order_row(instId="ETH-USD-SWAP", state="asleep"),
                order_row(),
                order_row(clOrdId="a2", state="frozen"),
            )
        )
    events = sink.feed.events()
    states = [(await anext(events)).order.state for _ in range(2)]
    assert states == [OrderState.FILLED, OrderState.UNKNOWN]
    assert not OrderState.UNKNOWN.is_final
    assert [
        (line["action"], line["log_level"], line["client_order_id"], line["states"]) for line in logs
    ] == [("okx-order-state-unknown", "warning", "a2", ["frozen"])]


def test_the_end_is_told_to_the_readers_of_values(position: ValueSink, book: BookSink) -> None:
    """Also of those that were known."""
    for sink in (position, book):
        sink.fail(ENDED)
        with pytest.raises(OkxClosedError):
            sink.slot.latest()

"""What a source delivers, each kind in its place."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from pymongo.errors import AutoReconnect

from stablesats.ledger import Ledger
from stablesats.tracing import add_trace_ids
from stablesats.trades import Delivery, MalformedItem, Place, Position, ReceivedTrade, RevertRequest
from stablesats.trades.booking import TradeBooking
from stablesats.trades.counts import TradeCounts
from stablesats.trades.intake import TradeIntake
from stablesats.trades.trade_collections import TradeDocuments
from stablesats.trades.trade_documents import QUARANTINE, SOURCE_POSITIONS, TRADE_REVERTS, USER_TRADES
from stablesats.trades.trade_store import TradeStore

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOW = datetime(2026, 9, 2, tzinfo=UTC)

Factory = Callable[..., ReceivedTrade]
Revert = Callable[[str], RevertRequest]
Rows = Callable[[str], Any]


class ListSource:
    """A source whose position is how many deliveries came before; then it waits, or ends."""

    name = "list"

    def __init__(self, deliveries: Sequence[tuple[Any, ...]], *, ends: bool = True) -> None:
        self._deliveries = deliveries
        self._ends = ends

    async def deliveries(self, positions: Mapping[str, Position]) -> AsyncGenerator[Delivery, None]:
        done = positions.get("all", {"done": 0})["done"]
        for number, items in enumerate(self._deliveries[done:], start=done + 1):
            yield Delivery("all", items, {"done": number})
        if not self._ends:
            await asyncio.Event().wait()


def intake_of(
    documents: TradeDocuments, source: ListSource, on_stored: Callable[[], None] = lambda: None
) -> tuple[TradeIntake, TradeCounts]:
    counts = TradeCounts()
    return TradeIntake(source, documents, counts=counts, now=lambda: NOW, on_stored=on_stored), counts


async def test_each_kind_of_item_goes_where_it_belongs(
    documents: TradeDocuments, received: Factory, revert: Revert, rows_of: Rows
) -> None:
    """What cannot be booked is logged and kept with its place; the rest goes on."""
    nonsense = MalformedItem(Place("trades.jsonl", 3), "nonsense", "not JSON")
    conflicting = received("t1", cents=7, line=4)
    source = ListSource(
        [(received("t1"), revert("t0"), nonsense), (conflicting, received("t2"), received("t1"))]
    )
    intake, counts = intake_of(documents, source)
    with structlog.testing.capture_logs() as logs:
        await intake.run(asyncio.Event())
    assert counts == TradeCounts(received=2, replayed=1, quarantined=2)
    assert [row["_id"] for row in await rows_of(USER_TRADES)] == ["t1", "t2"]
    assert [row["_id"] for row in await rows_of(TRADE_REVERTS)] == ["t0"]
    kept = {row["line"]: row for row in await rows_of(QUARANTINE)}
    assert kept[3]["text"] == "nonsense"
    assert (kept[4]["trade_id"], "buy_amount: stored 500, given 7" in kept[4]["reason"]) == ("t1", True)
    assert [(entry["line"], entry["action"]) for entry in logs] == [
        (3, "trade-quarantined"),
        (4, "trade-quarantined"),
    ]


async def test_record_of_what_is_set_aside_belongs_to_the_trace_of_its_line(
    documents: TradeDocuments, received: Factory, rows_of: Rows
) -> None:
    """Whether the line or the trade in it is at fault; one without a trace has none."""
    nonsense = MalformedItem(Place("trades.jsonl", 3), "{}", "no trade", None, PARENT.replace("0af", "1af"))
    other = received("t1", cents=7, line=4, traceparent=PARENT)
    untraced = received("t1", cents=8, line=5)
    intake, _ = intake_of(documents, ListSource([(received("t1"), nonsense), (other, untraced)]))
    with structlog.testing.capture_logs([add_trace_ids]) as logs:
        await intake.run(asyncio.Event())
    assert {entry["line"]: entry.get("trace_id", "")[:3] for entry in logs} == {3: "1af", 4: "0af", 5: ""}
    assert {row["line"]: row.get("traceparent") for row in await rows_of(QUARANTINE)} == {
        3: nonsense.traceparent,
        4: PARENT,
        5: None,
    }


async def test_u4_correction_comes_in_with_the_revert_of_what_it_corrects(
    documents: TradeDocuments, ledger: Ledger, received: Factory, revert: Revert
) -> None:
    """In whichever order they stand in one delivery; it waits until the payments are free."""
    source = ListSource(
        [
            (received("wrong", btc="b", usd="u"),),
            (received("right", btc="b", usd="u", cents=7), revert("wrong")),
        ]
    )
    due = asyncio.Event()
    intake, counts = intake_of(documents, source, due.set)
    booking = TradeBooking(ledger, documents, counts=counts, now=lambda: NOW)
    running = asyncio.create_task(intake.run(asyncio.Event()))
    async with asyncio.timeout(30):
        while not running.done():
            await due.wait()
            due.clear()
            await booking.round()
            await asyncio.wait([running], timeout=0.01)
        await running
        while not (await booking.round()).is_last:
            pass
    assert (counts.received, counts.quarantined) == (2, 0)
    assert (await ledger.balances()).users_liability_cents == 7


async def test_stop_ends_the_wait_for_payments(
    *, documents: TradeDocuments, store: TradeStore, received: Factory, revert: Revert, rows_of: Rows
) -> None:
    """The delivery counts as not delivered: the next start brings it again."""
    waiting = asyncio.Event()
    await store.receive([received("wrong", btc="b")], at=NOW)
    source = ListSource([(revert("wrong"), received("right", btc="b", cents=7))])
    intake, _ = intake_of(documents, source, waiting.set)
    stop = asyncio.Event()
    running = asyncio.create_task(intake.run(stop))
    await asyncio.wait_for(waiting.wait(), 60)
    stop.set()
    await asyncio.wait_for(running, 60)
    assert [row["_id"] for row in await rows_of(USER_TRADES)] == ["wrong"]
    assert await rows_of(SOURCE_POSITIONS) == []
    assert await rows_of(QUARANTINE) == []


async def test_it_goes_on_after_the_last_delivery_that_was_stored(
    documents: TradeDocuments, received: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure loses nothing, and a restart repeats nothing."""
    source = ListSource([(received("t1"),), (received("t2"),), (received("t3"),)])
    intake, counts = intake_of(documents, source)
    save = intake._store.save_position
    calls = 0

    async def fails_the_second_time(*position: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise AutoReconnect("gone")
        await save(*position)

    monkeypatch.setattr(intake._store, "save_position", fails_the_second_time)
    with pytest.raises(AutoReconnect):
        await intake.run(asyncio.Event())
    await intake.run(asyncio.Event())
    assert counts == TradeCounts(received=2, replayed=1)  # t2 was stored before its position failed
    await intake.run(asyncio.Event())
    assert counts == TradeCounts(received=2, replayed=1)


async def test_stop_ends_the_wait_for_more(documents: TradeDocuments, received: Factory) -> None:
    """At once, with everything before it stored; and booking was told that there is something."""
    stored = asyncio.Event()
    intake, counts = intake_of(documents, ListSource([(received("t1"),)], ends=False), stored.set)
    stop = asyncio.Event()
    running = asyncio.create_task(intake.run(stop))
    await asyncio.wait_for(stored.wait(), 60)
    stop.set()
    await asyncio.wait_for(running, 60)
    assert counts.received == 1


async def test_two_intakes_of_one_source_store_each_trade_once(
    documents: TradeDocuments, received: Factory
) -> None:
    """Two processes that read the same file."""
    deliveries = [
        tuple(received(f"t{page}-{row}", btc=f"{page}-{row}") for row in range(20)) for page in range(5)
    ]
    both = [intake_of(documents, ListSource(deliveries)) for _ in range(2)]
    await asyncio.gather(*(intake.run(asyncio.Event()) for intake, _ in both))
    assert sum(counts.received for _, counts in both) == 100
    assert all(counts.quarantined == 0 for _, counts in both)

"""The booking loop, a round at a time: everything that can be done is done, whatever cannot."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from pymongo.errors import AutoReconnect

from medici_py import TransactionError
from stablesats.ledger import Ledger
from stablesats.tracing import add_trace_ids
from stablesats.trades import ReceivedTrade, RevertRequest
from stablesats.trades.booking import LOOK_FOR_TRADES_EVERY_SECS, Round, TradeBooking, share_of
from stablesats.trades.counts import TradeCounts
from stablesats.trades.trade_collections import TradeDocuments
from stablesats.trades.trade_documents import QUARANTINE, TRADE_REVERTS, USER_TRADES
from stablesats.trades.trade_store import TradeStore

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
NOW = datetime(2026, 9, 2, tzinfo=UTC)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

Factory = Callable[..., ReceivedTrade]
Revert = Callable[[str], RevertRequest]
Rows = Callable[[str], Any]


def booking_of(ledger: Ledger, documents: TradeDocuments) -> tuple[TradeBooking, TradeCounts]:
    counts = TradeCounts()
    return TradeBooking(ledger, documents, counts=counts, now=lambda: NOW), counts


async def finish(booking: TradeBooking) -> None:
    """Rounds until there is nothing more to do."""
    async with asyncio.timeout(60):
        while not (await booking.round()).is_last:
            pass


@pytest.mark.parametrize(
    ("round_", "is_last"),
    [(Round(0, 0), True), (Round(1, 0), False), (Round(0, 1), False), (Round(1, 1), False)],
)
def test_round_is_the_last_when_it_found_nothing(round_: Round, is_last: bool) -> None:
    """What it did may have left more to do, and what somebody else is at may come back."""
    assert round_.is_last is is_last


async def test_everything_received_is_booked(
    ledger: Ledger, documents: TradeDocuments, store: TradeStore, received: Factory
) -> None:
    """In as many rounds as it takes; then there is nothing to do."""
    await store.receive([received(f"t{number}") for number in range(150)], at=NOW)
    booking, counts = booking_of(ledger, documents)
    await finish(booking)
    assert counts == TradeCounts(booked=150)
    assert (await ledger.balances()).users_liability_cents == 150 * 500
    assert (await booking.round()).is_last


async def test_two_bookings_share_the_work(
    ledger: Ledger, documents: TradeDocuments, store: TradeStore, received: Factory
) -> None:
    """As two processes do, each with books of its own: each trade once, and none left."""
    await store.receive([received(f"t{number}") for number in range(300)], at=NOW)
    both = [booking_of(ledger, documents), booking_of(Ledger(ledger.database), documents)]
    await asyncio.gather(*(finish(booking) for booking, _ in both))
    assert sum(counts.booked for _, counts in both) == 300
    assert await ledger.database["medici_journals"].count_documents({}) == 300
    assert (await ledger.balances()).users_liability_cents == 300 * 500


@pytest.mark.parametrize("shares", [1, 2, 8])
def test_shares_make_up_the_whole(shares: int) -> None:
    """Each trade is in exactly one of them, the same one whoever asks; none has nearly all."""
    ids = [f"t{number}" for number in range(1_000)]
    parts = [share_of(ids, number, shares) for number in range(shares)]
    assert sorted(each for part in parts for each in part) == sorted(ids)
    assert max(len(part) for part in parts) <= 2 * 1_000 / shares


async def test_reverts_run_first(
    ledger: Ledger, documents: TradeDocuments, store: TradeStore, received: Factory, revert: Revert
) -> None:
    """A trade that came together with its revert is never booked."""
    await store.receive([received("t1"), received("t2")], at=NOW)
    await store.request_reverts([revert("t1"), revert("unknown")], at=NOW)
    booking, counts = booking_of(ledger, documents)
    await finish(booking)
    assert counts == TradeCounts(booked=1, cancelled=1)
    await store.request_reverts([revert("t2")], at=NOW)
    await finish(booking)
    assert counts == TradeCounts(booked=1, cancelled=1, reverted=1)
    assert (await ledger.balances()).users_liability_cents == 0


async def test_u6_refused_trade_is_set_aside_and_its_neighbours_are_booked(
    strict_ledger: Ledger, documents: TradeDocuments, store: TradeStore, received: Factory, rows_of: Rows
) -> None:
    """What the ledger refuses for good never blocks what it takes."""
    trades = [received(f"t{number}", sats=1_000_000 if number in (3, 11) else 999) for number in range(20)]
    await store.receive(trades, at=NOW)
    booking, counts = booking_of(strict_ledger, documents)
    with structlog.testing.capture_logs() as logs:
        await finish(booking)
    assert counts == TradeCounts(booked=18, quarantined=2)
    assert {row["trade_id"] for row in await rows_of(QUARANTINE)} == {"t3", "t11"}
    assert all("a million or more" in row["reason"] for row in await rows_of(QUARANTINE))
    assert [row["state"] for row in await rows_of(USER_TRADES)].count("rejected") == 2
    logged = {entry["trade"] for entry in logs if entry["action"] == "trade-quarantined"}
    assert logged == {"t3", "t11"}


async def test_trade_that_the_ledger_has_with_other_content_is_set_aside(
    ledger: Ledger, documents: TradeDocuments, store: TradeStore, received: Factory, rows_of: Rows
) -> None:
    """Booked by hand under the trade's id, with another amount: the reason says what differs."""
    await ledger.user_buys_usd(
        sats=1_000_000, cents=501, at=NOON, key="trade:t2", reference={"trade_id": "t2"}
    )
    await store.receive([received("t1"), received("t2", traceparent=PARENT), received("t3")], at=NOW)
    booking, counts = booking_of(ledger, documents)
    with structlog.testing.capture_logs([add_trace_ids]) as logs:
        await finish(booking)
    assert (counts.booked, counts.quarantined) == (2, 1)
    [refused] = [entry for entry in logs if entry["action"] == "trade-quarantined"]
    assert (refused["trade"], refused["trace_id"]) == ("t2", PARENT.split("-")[1])
    assert [row["state"] for row in await rows_of(USER_TRADES)] == ["booked", "rejected", "booked"]
    [set_aside] = await rows_of(QUARANTINE)
    assert (set_aside["trade_id"], set_aside["traceparent"]) == ("t2", PARENT)
    assert "'trade:t2'" in set_aside["reason"]
    assert "501" in set_aside["reason"]
    assert (await ledger.balances()).users_liability_cents == 500 + 501 + 500


async def test_row_that_somebody_holds_is_left_out_and_all_others_are_booked(
    *, ledger: Ledger, documents: TradeDocuments, store: TradeStore, received: Factory, revert: Revert
) -> None:
    """A process that died with a transaction open keeps rows for a minute; nobody waits for them."""
    await store.receive([received(f"t{number:02}") for number in range(20)], at=NOW)
    booking, counts = booking_of(ledger, documents)
    async with ledger.database.client.start_session() as dead:
        await dead.start_transaction()
        await ledger.database[USER_TRADES].update_one({"_id": "t07"}, {"$set": {"mine": True}}, session=dead)
        await store.request_reverts([revert("t07")], at=NOW)
        async with asyncio.timeout(30):
            while counts.booked < 19:
                assert (await booking.round()).left > 0
        assert await store.unbooked(5) == ["t07"]
        await dead.abort_transaction()
    await finish(booking)
    assert counts == TradeCounts(booked=19, cancelled=1)


async def test_refused_revert_is_set_aside_and_the_others_are_done(
    *, strict_ledger: Ledger, documents: TradeDocuments, store: TradeStore, received: Factory,
    revert: Revert, rows_of: Rows,
) -> None:  # fmt: skip
    """The trade stays booked; the request is kept with its reason."""
    await store.receive([received("small", sats=999), received("large")], at=NOW)
    await finish(booking_of(Ledger(strict_ledger.database), documents)[0])
    await store.request_reverts([replace(revert("large"), traceparent=PARENT), revert("small")], at=NOW)
    booking, counts = booking_of(strict_ledger, documents)
    with structlog.testing.capture_logs([add_trace_ids]) as logs:
        await finish(booking)
    [refused] = [entry for entry in logs if entry["action"] == "revert-quarantined"]
    assert (refused["trade"], refused["trace_id"]) == ("large", PARENT.split("-")[1])
    assert counts == TradeCounts(reverted=1, quarantined=1)
    assert {row["_id"]: row["state"] for row in await rows_of(USER_TRADES)} == {
        "large": "booked",
        "small": "reverted",
    }
    assert {row["_id"]: row["state"] for row in await rows_of(TRADE_REVERTS)} == {
        "large": "rejected",
        "small": "settled",
    }
    [row] = await rows_of(QUARANTINE)
    assert (row["trade_id"], row["text"]) == ("large", '{"revert": "large"}')


async def test_revert_that_the_database_fails_is_tried_again_and_not_refused(
    *, ledger: Ledger, documents: TradeDocuments, store: TradeStore, received: Factory, revert: Revert,
    rows_of: Rows, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Also where the ledger passes the failure on under a name of its own."""
    await store.receive([received("t1")], at=NOW)
    booking, counts = booking_of(ledger, documents)
    await finish(booking)
    await store.request_reverts([revert("t1")], at=NOW)

    async def fails(_: object) -> int:
        raise TransactionError("the book could not be read") from AutoReconnect("gone")

    monkeypatch.setattr(booking._poster, "settle_revert", fails)
    with pytest.raises(TransactionError, match="could not be read"):
        await booking.round()
    assert (await rows_of(TRADE_REVERTS))[0]["state"] == "pending"
    assert await rows_of(QUARANTINE) == []
    monkeypatch.undo()
    await finish(booking)
    assert counts == TradeCounts(booked=1, reverted=1)


async def test_revert_of_a_journal_that_booked_something_else_is_set_aside(
    *, ledger: Ledger, documents: TradeDocuments, store: TradeStore, received: Factory, revert: Revert,
    rows_of: Rows,
) -> None:  # fmt: skip
    """The row and its journal contradict each other: somebody has to look."""
    await store.receive([received("t1")], at=NOW)
    booking, counts = booking_of(ledger, documents)
    await finish(booking)
    await ledger.database[USER_TRADES].update_one({"_id": "t1"}, {"$set": {"buy_amount": 7}})
    await store.request_reverts([revert("t1")], at=NOW)
    await finish(booking)
    assert counts == TradeCounts(booked=1, quarantined=1)
    [row] = await rows_of(QUARANTINE)
    assert "STABLESATS_LIABILITY USD: booked 500, asked 7" in row["reason"]


async def test_failing_revert_does_not_keep_trades_from_being_booked(
    *, ledger: Ledger, documents: TradeDocuments, store: TradeStore, received: Factory, revert: Revert,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The round tries everything, and only then says what failed."""
    await store.receive([received("t1")], at=NOW)
    booking, counts = booking_of(ledger, documents)
    await finish(booking)
    await store.request_reverts([revert("t1")], at=NOW)
    await store.receive([received("t2")], at=NOW)

    async def fails(_: object) -> int:
        raise AutoReconnect("gone")

    monkeypatch.setattr(booking._poster, "settle_revert", fails)
    with pytest.raises(AutoReconnect):
        await booking.round()
    assert counts == TradeCounts(booked=2)


async def test_database_error_is_passed_on_and_sets_nothing_aside(
    *, ledger: Ledger, documents: TradeDocuments, store: TradeStore, received: Factory, rows_of: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Also one that the ledger passes on under a name of its own: the next round tries again."""
    await store.receive([received("t1")], at=NOW)
    booking, counts = booking_of(ledger, documents)

    async def fails(_: object) -> int:
        raise TransactionError("the book could not be read") from AutoReconnect("gone")

    monkeypatch.setattr(booking._poster, "book", fails)
    with pytest.raises(TransactionError, match="could not be read"):
        await booking.round()
    assert await rows_of(QUARANTINE) == []
    monkeypatch.undo()
    await finish(booking)
    assert counts == TradeCounts(booked=1)


async def test_request_whose_trade_was_lost_waits_for_it(
    *, ledger: Ledger, documents: TradeDocuments, store: TradeStore, received: Factory, revert: Revert,
    rows_of: Rows,
) -> None:  # fmt: skip
    """There is nothing to do about it, and so the rounds come to an end, until the trade comes again."""
    await store.receive([received("t1")], at=NOW)
    await store.request_reverts([revert("t1")], at=NOW)
    await ledger.database[USER_TRADES].delete_many({})
    booking, counts = booking_of(ledger, documents)
    await asyncio.wait_for(finish(booking), 30)
    assert await store.waiting_reverts() == 1
    await store.receive([received("t1")], at=NOW)
    await finish(booking)
    assert counts == TradeCounts(cancelled=1)
    assert (await rows_of(USER_TRADES))[0]["state"] == "cancelled"


async def test_request_whose_trade_comes_again_at_this_moment_does_not_wait(
    *, ledger: Ledger, documents: TradeDocuments, store: TradeStore, received: Factory, revert: Revert,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It was stored after the look for it, and found the request marked: that one is marked once more."""
    await store.receive([received("t1")], at=NOW)
    await store.request_reverts([revert("t1")], at=NOW)
    await ledger.database[USER_TRADES].delete_many({})
    booking, counts = booking_of(ledger, documents)
    in_transaction = booking._poster._in_transaction

    async def then_receive(body: Any) -> Any:
        settled = await in_transaction(body)
        await store.receive([received("t1")], at=NOW)
        return settled

    monkeypatch.setattr(booking._poster, "_in_transaction", then_receive)
    await booking.round()
    monkeypatch.undo()
    assert await store.waiting_reverts() == 0
    await finish(booking)
    assert counts == TradeCounts(cancelled=1)


async def test_request_that_a_dead_process_did_not_mark_is_found_by_those_that_run(
    ledger: Ledger, documents: TradeDocuments, store: TradeStore, received: Factory, revert: Revert
) -> None:
    """It had stored the trade and told nobody: a running service looks from time to time."""
    passed_secs = 0.0
    counts = TradeCounts()
    booking = TradeBooking(ledger, documents, counts=counts, now=lambda: NOW, clock=lambda: passed_secs)
    await store.receive([received("t1")], at=NOW)
    await finish(booking)
    await store.request_reverts([revert("t1")], at=NOW)
    await ledger.database[TRADE_REVERTS].update_one({"_id": "t1"}, {"$set": {"trade_known": False}})
    passed_secs = LOOK_FOR_TRADES_EVERY_SECS - 1
    await finish(booking)
    assert counts == TradeCounts(booked=1)
    passed_secs = LOOK_FOR_TRADES_EVERY_SECS
    await finish(booking)
    assert counts == TradeCounts(booked=1, reverted=1)

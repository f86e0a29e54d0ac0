"""Trades into the ledger and out of it, row and journal together."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import pytest
import structlog

from medici_py import DuplicateEntryError, mongo_transaction
from stablesats.ledger import Ledger
from stablesats.tracing import add_trace_ids
from stablesats.trades import ReceivedTrade, RevertRequest
from stablesats.trades.errors import TradeBusyError
from stablesats.trades.trade_collections import TradeDocuments
from stablesats.trades.trade_documents import TRADE_REVERTS, USER_TRADES
from stablesats.trades.trade_poster import RevertOutcome, TradePoster, external_id_of
from stablesats.trades.trade_store import TradeStore

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
NOW = datetime(2026, 9, 2, tzinfo=UTC)
T = TypeVar("T")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

Factory = Callable[..., ReceivedTrade]
Revert = Callable[[str], RevertRequest]
Rows = Callable[[str], Any]


@pytest.fixture
def poster(ledger: Ledger, documents: TradeDocuments) -> TradePoster:
    return TradePoster(ledger, documents, now=lambda: NOW)


async def figures(ledger: Ledger) -> tuple[int, int]:
    """Cents owed to users, satoshi held for them."""
    found = await ledger.balances()
    return found.users_liability_cents, found.btc_wallet_sats


async def patiently(step: Callable[[], Awaitable[T]]) -> T:
    """Take *step* again while somebody else is at the same trade, as the loops do."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await step()
            except TradeBusyError:
                await asyncio.sleep(0.01)


async def journals(ledger: Ledger) -> int:
    count: int = await ledger.database["medici_journals"].count_documents({})
    return count


class TestBooking:
    async def test_many_trades_are_booked_together(
        self, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory, rows_of: Rows
    ) -> None:
        """Each with a journal of its own, which names it."""
        await store.receive([received("t1", btc="b1"), received("t2", cents=200, sats=5, sells=True)], at=NOW)
        assert await poster.book(["t1", "t2", "unknown"]) == 2
        assert await figures(ledger) == (300, 999_995)
        for row in await rows_of(USER_TRADES):
            journal = await ledger.database["medici_journals"].find_one({"_id": row["ledger_journal_id"]})
            assert journal is not None
            assert journal["metadata"]["trade_id"] == row["_id"]
            assert row["state"] == "booked"
        assert await journals(ledger) == 2

    async def test_booking_again_does_nothing(
        self, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory
    ) -> None:
        """The row says that it is done."""
        await store.receive([received("t1")], at=NOW)
        assert await poster.book(["t1"]) == 1
        assert await poster.book(["t1"]) == 0
        assert await journals(ledger) == 1

    async def test_trade_whose_row_was_lost_is_not_booked_again(
        self, *, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory, rows_of: Rows
    ) -> None:
        """Its journal has the trade's id: rows that are read again from the files find it and name it.

        So with rows that were restored from a backup of the day before. Who asked is no part of the content.
        """
        trades = [received("t1", btc="b1", usd="u1", traceparent=PARENT), received("t2", sells=True)]
        await store.receive(trades, at=NOW)
        assert await poster.book(["t1", "t2"]) == 2
        before = await rows_of(USER_TRADES)
        await ledger.database[USER_TRADES].delete_many({})
        await store.receive([received("t1", btc="b1", usd="u1"), *trades[1:], received("t3")], at=NOW)
        assert await poster.book(["t1", "t2", "t3"]) == 3
        assert await journals(ledger) == 3
        named = {row["_id"]: row["ledger_journal_id"] for row in await rows_of(USER_TRADES)}
        assert {trade: named[trade] for trade in ("t1", "t2")} == {
            row["_id"]: row["ledger_journal_id"] for row in before
        }

    async def test_other_trade_under_the_id_in_the_ledger_is_refused(
        self, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory
    ) -> None:
        """Another amount was booked by hand under it: nothing is written, and the error names the id."""
        await ledger.user_buys_usd(
            sats=1_000_000, cents=501, at=NOON, key=external_id_of("t1"), reference={"trade_id": "t1"}
        )
        await store.receive([received("t1")], at=NOW)
        with pytest.raises(DuplicateEntryError, match="trade:t1"):
            await poster.book(["t1"])
        assert await journals(ledger) == 1

    async def test_trade_that_was_booked_by_hand_is_not_booked_again(
        self, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory, rows_of: Rows
    ) -> None:
        """Under the trade's id and with its content it is the trade's journal."""
        journal = await ledger.user_buys_usd(
            sats=1_000_000, cents=500, at=NOON, key="trade:t1", reference={"trade_id": "t1"}
        )
        await store.receive([received("t1")], at=NOW)
        assert await poster.book(["t1"]) == 1
        [row] = await rows_of(USER_TRADES)
        assert (row["state"], row["ledger_journal_id"]) == ("booked", journal.id)
        assert await figures(ledger) == (500, 1_000_000)

    async def test_trade_is_booked_whatever_the_length_of_its_id(
        self, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory
    ) -> None:
        """256 characters of four bytes each are more than an external id can have."""
        trade_id = "\U0001f680" * 256
        await store.receive([received(trade_id)], at=NOW)
        assert await poster.book([trade_id]) == 1
        await ledger.database[USER_TRADES].delete_many({})
        await store.receive([received(trade_id)], at=NOW)
        assert await poster.book([trade_id]) == 1
        assert await journals(ledger) == 1

    async def test_same_trades_from_many_tasks_are_booked_once(
        self, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory
    ) -> None:
        """The row is what they meet on."""
        ids = [f"t{number}" for number in range(12)]
        await store.receive([received(each) for each in ids], at=NOW)
        booked = await asyncio.gather(*(patiently(lambda: poster.book(ids)) for _ in range(4)))
        assert sum(booked) == 12
        assert await journals(ledger) == 12
        assert (await figures(ledger))[0] == 12 * 500

    async def test_trace_goes_on_in_the_journal(
        self, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory
    ) -> None:
        """From whoever gave the trade to whoever reads the journal's event."""
        await store.receive([received("t1", traceparent=PARENT), received("t2")], at=NOW)
        await poster.book(["t1", "t2"])
        found = {
            row["metadata"]["trade_id"]: row["metadata"].get("traceparent")
            async for row in ledger.database["medici_journals"].find({})
        }
        assert found == {"t1": PARENT, "t2": None}


class TestTakingBack:
    async def test_l1_booked_trade_is_reversed(
        self,
        *,
        poster: TradePoster,
        store: TradeStore,
        ledger: Ledger,
        received: Factory,
        revert: Revert,
        rows_of: Rows,
    ) -> None:
        """By a journal that names the first one; the books are as if it had never been."""
        await store.receive([received("t1", btc="b1"), received("t2", sells=True)], at=NOW)
        await poster.book(["t1", "t2"])
        await store.request_reverts([revert("t1"), revert("t2")], at=NOW)
        for trade_id in ("t1", "t2"):
            assert await poster.settle_revert(trade_id) is RevertOutcome.REVERTED
        assert await figures(ledger) == (0, 0)
        for row in await rows_of(USER_TRADES):
            assert row["state"] == "reverted"
            assert "live_reference" not in row
            correction = await ledger.database["medici_journals"].find_one(
                {"_id": row["correction_journal_id"]}
            )
            assert correction is not None
            assert correction["correlation_id"] == str(row["ledger_journal_id"])
            assert correction["metadata"]["trade_id"] == row["_id"]
        assert {row["state"] for row in await rows_of(TRADE_REVERTS)} == {"settled"}

    async def test_trade_whose_journal_was_voided_is_cancelled_and_not_reversed_again(
        self,
        *,
        poster: TradePoster,
        store: TradeStore,
        ledger: Ledger,
        received: Factory,
        revert: Revert,
        rows_of: Rows,
    ) -> None:
        """Somebody took it back by hand: a second reversal would owe users less than nothing."""
        await store.receive([received("t1", btc="b1", traceparent=PARENT)], at=NOW)
        await poster.book(["t1"])
        [row] = await rows_of(USER_TRADES)
        await ledger.stablesats.void(row["ledger_journal_id"], "by hand")
        await store.request_reverts([revert("t1")], at=NOW)
        with structlog.testing.capture_logs([add_trace_ids]) as logs:
            assert await poster.settle_revert("t1") is RevertOutcome.CANCELLED
        assert await figures(ledger) == (0, 0)
        [row] = await rows_of(USER_TRADES)
        assert (row["state"], "live_reference" in row) == ("cancelled", False)
        assert [entry["action"] for entry in logs] == ["trade-journal-voided", "trade-cancelled"]
        assert {entry["trace_id"] for entry in logs} == {PARENT.split("-")[1]}

    async def test_trade_whose_row_was_lost_is_taken_back_with_its_journal(
        self, *, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory, revert: Revert,
        rows_of: Rows,
    ) -> None:  # fmt: skip
        """Its new row is not booked yet, but the ledger has it: to cancel it would leave dollars owed."""
        journal = await ledger.user_buys_usd(
            sats=1_000_000, cents=500, at=NOON, key="trade:t1", reference={"trade_id": "t1"}
        )
        await store.receive([received("t1")], at=NOW)
        await store.request_reverts([revert("t1")], at=NOW)
        assert await poster.settle_revert("t1") is RevertOutcome.REVERTED
        assert await figures(ledger) == (0, 0)
        [row] = await rows_of(USER_TRADES)
        assert (row["state"], row["ledger_journal_id"]) == ("reverted", journal.id)

    async def test_reversal_that_stands_already_is_the_trades(
        self, *, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory, revert: Revert,
        rows_of: Rows,
    ) -> None:  # fmt: skip
        """Made by hand, of another day: the request is done, and the row names it."""
        await store.receive([received("t1", btc="b1")], at=NOW)
        await poster.book(["t1"])
        [row] = await rows_of(USER_TRADES)
        reversal = await ledger.revert_user_buys_usd(
            sats=1_000_000, cents=500, at=NOON, reverted=row["ledger_journal_id"]
        )
        await store.request_reverts([revert("t1")], at=NOW)
        assert await poster.settle_revert("t1") is RevertOutcome.REVERTED
        [row] = await rows_of(USER_TRADES)
        assert (row["state"], row["correction_journal_id"]) == ("reverted", reversal.id)
        assert "live_reference" not in row
        assert (await figures(ledger), await journals(ledger)) == ((0, 0), 2)

    @pytest.mark.parametrize("requests_too", [True, False])
    async def test_rows_of_trades_that_were_taken_back_may_be_lost(
        self, *, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory, revert: Revert,
        rows_of: Rows, requests_too: bool,
    ) -> None:  # fmt: skip
        """The files are read again: reverted and voided trades become so again, and nothing is posted."""
        trades, requests = [received("t1", btc="b1"), received("t2", btc="b2")], [revert("t1")]
        await store.receive(trades, at=NOW)
        await poster.book(["t1", "t2"])
        await store.request_reverts(requests, at=NOW)
        await poster.settle_revert("t1")
        before = {row["_id"]: row for row in await rows_of(USER_TRADES)}
        await ledger.stablesats.void(before["t2"]["ledger_journal_id"], "by hand")
        standing = await journals(ledger)
        await ledger.database[USER_TRADES].delete_many({})
        if requests_too:
            await ledger.database[TRADE_REVERTS].delete_many({})
        await store.receive(trades, at=NOW)
        await store.request_reverts(requests, at=NOW)
        assert await poster.settle_revert("t1") is RevertOutcome.REVERTED
        await poster.book(["t1", "t2"])
        after = {row["_id"]: row for row in await rows_of(USER_TRADES)}
        assert after["t1"]["correction_journal_id"] == before["t1"]["correction_journal_id"]
        assert {trade: row["state"] for trade, row in after.items()} == {"t1": "reverted", "t2": "cancelled"}
        assert all("live_reference" not in row for row in after.values())
        assert (await figures(ledger), await journals(ledger)) == ((0, 0), standing)

    async def test_revert_of_a_trade_that_the_ledger_has_with_other_content_is_refused(
        self, *, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory, revert: Revert
    ) -> None:
        """Which of the two is meant is for people to say."""
        await ledger.user_buys_usd(sats=1_000_000, cents=501, at=NOON, key="trade:t1")
        await store.receive([received("t1")], at=NOW)
        await store.request_reverts([revert("t1")], at=NOW)
        with pytest.raises(DuplicateEntryError, match="trade:t1"):
            await poster.settle_revert("t1")
        assert await figures(ledger) == (501, 1_000_000)

    async def test_taking_back_twice_does_nothing(
        self, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory, revert: Revert
    ) -> None:
        """However often it is asked for, and by how many at once."""
        await store.receive([received("t1")], at=NOW)
        await poster.book(["t1"])
        await store.request_reverts([revert("t1")], at=NOW)
        outcomes = await asyncio.gather(*(patiently(lambda: poster.settle_revert("t1")) for _ in range(5)))
        assert sorted(outcomes, key=str).count(RevertOutcome.REVERTED) == 1
        assert await store.request_reverts([revert("t1")], at=NOW) == 0
        assert await poster.settle_revert("t1") is RevertOutcome.NOTHING
        assert await journals(ledger) == 2

    async def test_u5_trade_that_is_not_booked_yet_is_cancelled(
        self,
        *,
        poster: TradePoster,
        store: TradeStore,
        ledger: Ledger,
        received: Factory,
        revert: Revert,
        rows_of: Rows,
    ) -> None:
        """It never reaches the ledger, also if the request was there first."""
        await store.request_reverts([revert("t1")], at=NOW)
        assert await poster.settle_revert("t1") is RevertOutcome.NOTHING
        await store.receive([received("t1", btc="b1")], at=NOW)
        assert await poster.settle_revert("t1") is RevertOutcome.CANCELLED
        assert await poster.book(["t1"]) == 0
        assert await journals(ledger) == 0
        [row] = await rows_of(USER_TRADES)
        assert (row["state"], "live_reference" in row) == ("cancelled", False)

    async def test_nobody_asked_for_it(
        self, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory
    ) -> None:
        """Then nothing is taken back."""
        await store.receive([received("t1")], at=NOW)
        await poster.book(["t1"])
        assert await poster.settle_revert("t1") is RevertOutcome.NOTHING
        assert await journals(ledger) == 1

    async def test_booking_and_taking_back_at_once_end_in_nothing_owed(
        self, poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory, revert: Revert
    ) -> None:
        """Whichever comes first: cancelled, or booked and reversed."""
        ids = [f"t{number}" for number in range(10)]
        await store.receive([received(each) for each in ids], at=NOW)
        await store.request_reverts([revert(each) for each in ids], at=NOW)
        steps: list[Callable[[], Awaitable[object]]] = [partial(poster.settle_revert, each) for each in ids]
        await asyncio.gather(*(patiently(step) for step in [partial(poster.book, ids), *steps]))
        assert await figures(ledger) == (0, 0)
        assert await store.unbooked(10) == []
        assert await store.settleable_reverts(10) == []


async def test_row_that_somebody_else_is_writing_is_not_waited_for(
    poster: TradePoster, store: TradeStore, ledger: Ledger, received: Factory
) -> None:
    """He may have died; MongoDB keeps his transaction for a minute."""
    await store.receive([received("t1")], at=NOW)
    async with ledger.database.client.start_session() as other:
        await other.start_transaction()
        await ledger.database[USER_TRADES].update_one({"_id": "t1"}, {"$set": {"mine": True}}, session=other)
        with pytest.raises(TradeBusyError):
            await asyncio.wait_for(poster.book(["t1"]), 40)
        await other.abort_transaction()
    assert await poster.book(["t1"]) == 1


async def test_rejected_trade_frees_its_payments_and_can_be_cancelled(
    *,
    poster: TradePoster,
    store: TradeStore,
    ledger: Ledger,
    received: Factory,
    revert: Revert,
    rows_of: Rows,
) -> None:
    """It is set aside with its reason, once."""
    await store.receive([received("t1", btc="b1")], at=NOW)
    for _ in range(2):
        await mongo_transaction(
            ledger.database.client,
            lambda session: store.reject("t1", "too large", at=NOW, session=session),
        )
    [row] = await rows_of("stablesats_quarantine")
    assert (row["trade_id"], row["reason"], row["source"]) == ("t1", "too large", "booking")
    assert (await store.receive([received("t2", btc="b1")], at=NOW)).stored == 1
    await store.request_reverts([revert("t1")], at=NOW)
    assert await poster.settle_revert("t1") is RevertOutcome.CANCELLED

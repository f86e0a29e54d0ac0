"""Trades get into the books once each, whoever brings them, how often, and whatever fails."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import DuplicateKeyError

from medici_py import TransactionError, mongo_transaction
from medici_py.embedded import EmbeddedMongo
from stablesats.ledger import Ledger
from stablesats.trades import (
    BookedTrade,
    Place,
    ReceivedTrade,
    RevertRequest,
    TradeConflictError,
    TradeNotLiveError,
    TradeReferenceError,
    Trades,
    Unit,
    UserTrade,
    accounting,
)
from stablesats.trades.accounting import USER_TRADES
from stablesats.trades.booking import LOOK_FOR_TRADES_EVERY_SECS, TradeBooking
from stablesats.trades.counts import TradeCounts
from stablesats.trades.trade_collections import bind_documents
from stablesats.trades.trade_poster import TradePoster
from stablesats.trades.trade_store import TradeStore

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)

PURCHASE = UserTrade(
    id="t1",
    timestamp=NOON,
    buy_unit=Unit.USD_CENT,
    buy_amount=500,
    sell_unit=Unit.SATOSHI,
    sell_amount=1_000_000,
    btc_tx_id="btc-1",
)
SALE = UserTrade(
    id="t2",
    timestamp=NOON,
    buy_unit=Unit.SATOSHI,
    buy_amount=400_000,
    sell_unit=Unit.USD_CENT,
    sell_amount=200,
)


@pytest.fixture
async def trades(ledger: Ledger) -> Trades:
    trades = Trades(ledger, now=lambda: NOON + timedelta(hours=1))
    await trades.prepare()
    return trades


def purchase(trade_id: str) -> UserTrade:
    """A purchase like any other, paid with bitcoin of its own."""
    return replace(PURCHASE, id=trade_id, btc_tx_id=f"btc-{trade_id}")


async def journals(ledger: Ledger) -> int:
    count: int = await ledger.database["medici_journals"].count_documents({})
    return count


class TestBooking:
    async def test_purchase_and_sale_move_the_books(self, trades: Trades, ledger: Ledger) -> None:
        """500 cents owed, 200 of them given back."""
        await trades.book(PURCHASE)
        await trades.book(SALE)
        found = await ledger.balances()
        assert (found.users_liability_cents, found.btc_wallet_sats) == (300, 600_000)
        assert await trades.count() == 2

    async def test_row_and_journal_name_each_other(self, trades: Trades, ledger: Ledger) -> None:
        """From the trade to its journal and back."""
        booked = await trades.book(PURCHASE)
        assert booked == BookedTrade(PURCHASE, booked.journal_id, replayed=False)
        row = await ledger.database[USER_TRADES].find_one({"_id": "t1"})
        assert row is not None
        assert row["ledger_journal_id"] == booked.journal_id
        assert row["booked_at"].replace(tzinfo=UTC) == NOON + timedelta(hours=1)
        journal = await ledger.database["medici_journals"].find_one({"_id": booked.journal_id})
        assert journal is not None
        assert journal["metadata"] == {"trade_id": "t1", "btc_tx_id": "btc-1"}

    async def test_repeat_posts_nothing_and_gives_the_first_journal(
        self, trades: Trades, ledger: Ledger
    ) -> None:
        """Also when it comes from another process, with a clock of another precision."""
        exact = replace(PURCHASE, timestamp=NOON + timedelta(microseconds=1234))
        first = await trades.book(exact)
        for again in (trades, Trades(Ledger(ledger.database))):
            repeated = await again.book(exact)
            assert (repeated.replayed, repeated.journal_id) == (True, first.journal_id)
        assert (await journals(ledger), await trades.count()) == (1, 1)

    async def test_repeat_without_its_row_posts_nothing_either(self, trades: Trades, ledger: Ledger) -> None:
        """The journal has the trade's id; what became of it since is said, too."""
        first = await trades.book(PURCHASE)
        await ledger.database[USER_TRADES].delete_many({})
        assert await trades.book(PURCHASE) == replace(first, replayed=True)
        assert (await ledger.balances()).users_liability_cents == 500
        await ledger.stablesats.void(first.journal_id)
        await ledger.database[USER_TRADES].delete_many({})
        assert await trades.book(PURCHASE) == replace(first, replayed=True, taken_back=True)

    @pytest.mark.parametrize("tz_aware", [True, False])
    async def test_repeat_is_recognised_by_a_client_of_either_kind(
        self, trades: Trades, ledger: Ledger, mongodb: EmbeddedMongo, tz_aware: bool
    ) -> None:
        """Whether it hands out times with or without their zone."""
        await trades.book(PURCHASE)
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri, tz_aware=tz_aware) as client:
            other = Trades(Ledger(client[ledger.database.name]))
            assert (await other.book(PURCHASE)).replayed

    async def test_same_trade_from_many_tasks_is_booked_once(self, trades: Trades, ledger: Ledger) -> None:
        """One books it; all get its journal."""
        for number in range(5):
            trade = purchase(f"race-{number}")
            booked = await asyncio.gather(*(trades.book(trade) for _ in range(8)))
            assert sum(not each.replayed for each in booked) == 1
            assert len({each.journal_id for each in booked}) == 1
        assert await journals(ledger) == 5
        assert (await ledger.balances()).users_liability_cents == 5 * 500

    async def test_different_trades_at_once_are_all_booked(self, trades: Trades, ledger: Ledger) -> None:
        """None waits for another for ever, none is lost."""
        many = [purchase(f"m{n}") for n in range(40)]
        booked = await asyncio.gather(*(trades.book(each) for each in many))
        assert len({each.journal_id for each in booked}) == 40
        assert (await ledger.balances()).users_liability_cents == 40 * 500

    async def test_preparing_again_is_harmless(self, trades: Trades) -> None:
        """Every process does it at its start."""
        await asyncio.gather(trades.prepare(), trades.prepare())


class TestConflict:
    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"buy_amount": 501}, {"buy_amount": (500, 501)}),
            ({"sell_amount": 1}, {"sell_amount": (1_000_000, 1)}),
            ({"btc_tx_id": None}, {"btc_tx_id": ("btc-1", None)}),
            ({"usd_tx_id": "usd-1"}, {"usd_tx_id": (None, "usd-1")}),
        ],
    )
    async def test_other_content_under_a_booked_id_is_refused(
        self, trades: Trades, ledger: Ledger, change: dict[str, Any], named: dict[str, Any]
    ) -> None:
        """The error names each field with what was booked and what was given; nothing is written."""
        await trades.book(PURCHASE)
        with pytest.raises(TradeConflictError) as raised:
            await trades.book(replace(PURCHASE, **change))
        assert (raised.value.trade_id, raised.value.differences) == ("t1", named)
        [(field, (old, new))] = named.items()
        assert f"{field}: stored {old!r}, given {new!r}" in str(raised.value)
        assert (await journals(ledger), await trades.count()) == (1, 1)

    async def test_other_time_is_a_conflict_too(self, trades: Trades) -> None:
        """To the millisecond that is stored."""
        await trades.book(PURCHASE)
        with pytest.raises(TradeConflictError, match="timestamp"):
            await trades.book(replace(PURCHASE, timestamp=NOON + timedelta(milliseconds=1)))

    async def test_purchase_booked_as_a_sale_names_every_side(self, trades: Trades) -> None:
        """All four fields differ."""
        await trades.book(PURCHASE)
        with pytest.raises(TradeConflictError) as raised:
            await trades.book(replace(SALE, id="t1", btc_tx_id="btc-1"))
        assert set(raised.value.differences) == {"buy_unit", "buy_amount", "sell_unit", "sell_amount"}


class TestFailure:
    async def test_failure_between_journal_and_row_leaves_neither(
        self, trades: Trades, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The two stand or fall together; booking again then works."""

        def fails() -> datetime:
            raise RuntimeError("no clock")

        monkeypatch.setattr(trades, "_now", fails)
        with pytest.raises(RuntimeError, match="no clock"):
            await trades.book(PURCHASE)
        assert (await journals(ledger), await trades.count()) == (0, 0)
        monkeypatch.undo()
        assert not (await trades.book(PURCHASE)).replayed

    async def test_duplicate_of_another_kind_is_not_taken_for_a_repeat(
        self, trades: Trades, ledger: Ledger
    ) -> None:
        """Only the trade's own id makes it the same trade."""
        await ledger.database[USER_TRADES].create_index("sell_amount", unique=True)
        await trades.book(PURCHASE)
        with pytest.raises(DuplicateKeyError):
            await trades.book(purchase("other"))
        assert await journals(ledger) == 1

    async def test_booking_cancelled_anywhere_can_be_repeated(self, trades: Trades, ledger: Ledger) -> None:
        """A task that is cancelled in the middle leaves a trade that is booked or not, never half."""
        for steps in range(40):
            trade = purchase(f"cancelled-{steps}")
            task = asyncio.create_task(trades.book(trade))
            for _ in range(steps):
                await asyncio.sleep(0.0005)
            task.cancel()
            await asyncio.wait([task])
            await trades.book(trade)
        assert (await journals(ledger), await trades.count()) == (40, 40)

    async def test_refused_entry_is_passed_on(self, strict_ledger: Ledger) -> None:
        """What the ledger says stays what it says; nothing is kept of the trade."""
        trades = Trades(strict_ledger)
        await trades.prepare()
        with pytest.raises(TransactionError, match="a million or more"):
            await trades.book(PURCHASE)
        assert await strict_ledger.database[USER_TRADES].count_documents({}) == 0
        assert await journals(strict_ledger) == 0


class TestOtherBookings:
    """What else may have happened to a trade before: a source gave it, too, or took it back."""

    @pytest.fixture
    async def store(self, trades: Trades, ledger: Ledger) -> TradeStore:
        return TradeStore(await bind_documents(ledger.database))

    async def test_trade_that_was_received_is_booked_here(
        self, trades: Trades, ledger: Ledger, store: TradeStore
    ) -> None:
        """And by nobody else after that."""
        await store.receive([ReceivedTrade(PURCHASE, Place("elsewhere"))], at=NOON)
        assert not (await trades.book(PURCHASE)).replayed
        assert await store.unbooked(10) == []
        assert (await trades.book(PURCHASE)).replayed
        assert await journals(ledger) == 1

    async def test_other_content_than_was_received_is_a_conflict(
        self, trades: Trades, store: TradeStore
    ) -> None:
        """Booked or not yet: an id stands for one trade."""
        await store.receive([ReceivedTrade(PURCHASE, Place("elsewhere"))], at=NOON)
        with pytest.raises(TradeConflictError):
            await trades.book(replace(PURCHASE, buy_amount=7))

    async def test_u4_payments_of_another_trade_are_refused_while_it_is_live(
        self, trades: Trades, ledger: Ledger, store: TradeStore
    ) -> None:
        """Once it has been taken back, they are free again."""
        await trades.book(PURCHASE)
        other = replace(PURCHASE, id="other", buy_amount=7)
        with pytest.raises(TradeReferenceError, match=r"'other' has a payment .* of trade 't1'"):
            await trades.book(other)
        await store.request_reverts([RevertRequest("t1", Place("elsewhere"))], at=NOON)
        assert not (await trades.book(other)).replayed
        again = await trades.book(PURCHASE)
        assert (again.replayed, again.taken_back) == (True, True)
        assert (await ledger.balances()).users_liability_cents == 7

    async def test_correction_of_a_trade_that_cannot_be_taken_back_is_refused(
        self, trades: Trades, store: TradeStore, strict_ledger: Ledger
    ) -> None:
        """Whatever keeps it from being taken back; the payments are not booked twice."""
        await trades.book(PURCHASE)
        await store.request_reverts([RevertRequest("t1", Place("elsewhere"))], at=NOON)
        with pytest.raises(TransactionError, match="a million or more"):
            await Trades(strict_ledger).book(replace(PURCHASE, id="other", sell_amount=7))
        assert await journals(strict_ledger) == 1

    async def test_booked_trade_that_is_to_be_taken_back_is_so_first(
        self, trades: Trades, ledger: Ledger, store: TradeStore
    ) -> None:
        """A repeat does not say that it is in the books."""
        first = await trades.book(PURCHASE)
        assert not first.taken_back
        await store.request_reverts([RevertRequest("t1", Place("elsewhere"))], at=NOON)
        assert await trades.book(PURCHASE) == replace(first, replayed=True, taken_back=True)
        assert (await ledger.balances()).users_liability_cents == 0

    async def test_rejected_trade_is_tried_again(
        self, trades: Trades, ledger: Ledger, store: TradeStore
    ) -> None:
        """Whoever gives it again has mended the cause; its payments are its own again."""
        await store.receive([ReceivedTrade(PURCHASE, Place("elsewhere"))], at=NOON)
        await mongo_transaction(
            ledger.database.client, lambda session: store.reject("t1", "refused", at=NOON, session=session)
        )
        assert not (await trades.book(PURCHASE)).replayed
        with pytest.raises(TradeReferenceError):
            await trades.book(replace(PURCHASE, id="other"))
        assert await journals(ledger) == 1

    async def test_request_that_came_while_the_trade_was_booked_finds_it(
        self, trades: Trades, store: TradeStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was stored after the look for it, and looked for the trade before that was there."""
        book_rows = TradePoster.book_rows

        async def book_and_request(self: TradePoster, *arguments: Any) -> Any:
            booked = await book_rows(self, *arguments)
            await store.request_reverts([RevertRequest("t1", Place("elsewhere"))], at=NOON)
            return booked

        monkeypatch.setattr(TradePoster, "book_rows", book_and_request)
        assert not (await trades.book(PURCHASE)).taken_back
        assert await store.settleable_reverts(10) == ["t1"]

    async def test_request_that_came_while_the_trade_was_booked_is_found_after_a_crash(
        self, trades: Trades, ledger: Ledger, store: TradeStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The process died when the trade was booked, and did not tell the request: a running service does."""
        book_rows, passed_secs, counts = TradePoster.book_rows, 0.0, TradeCounts()

        async def book_and_request(self: TradePoster, *arguments: Any) -> Any:
            booked = await book_rows(self, *arguments)
            await store.request_reverts([RevertRequest("t1", Place("elsewhere"))], at=NOON)
            return booked

        async def dies(*_: Any, **__: Any) -> None:
            raise ConnectionError("killed")

        documents = await bind_documents(ledger.database)
        booking = TradeBooking(ledger, documents, counts=counts, now=lambda: NOON, clock=lambda: passed_secs)
        with monkeypatch.context() as crash:
            crash.setattr(TradePoster, "book_rows", book_and_request)
            crash.setattr(accounting, "mark_trades_known", dies)
            with pytest.raises(ConnectionError):
                await trades.book(PURCHASE)
        assert (await ledger.balances()).users_liability_cents == 500
        assert await store.waiting_reverts() == 1
        passed_secs = LOOK_FOR_TRADES_EVERY_SECS
        await booking.round()
        assert counts == TradeCounts(reverted=1)
        assert (await ledger.balances()).users_liability_cents == 0

    async def test_same_payments_at_once_are_booked_once(self, trades: Trades, ledger: Ledger) -> None:
        """The others are refused, not lost in a loop."""
        rivals = [replace(PURCHASE, id=f"rival-{number}") for number in range(6)]
        outcomes = await asyncio.gather(*(trades.book(each) for each in rivals), return_exceptions=True)
        assert sum(isinstance(each, BookedTrade) for each in outcomes) == 1
        assert sum(isinstance(each, TradeReferenceError) for each in outcomes) == 5
        assert await journals(ledger) == 1

    async def test_u5_trade_that_is_to_be_taken_back_is_not_booked(
        self, trades: Trades, ledger: Ledger, store: TradeStore
    ) -> None:
        """The request came first: with the trade it is done. Nor one that was taken back before it was booked."""
        await store.request_reverts([RevertRequest("t1", Place("elsewhere"))], at=NOON)
        for _ in range(2):
            with pytest.raises(TradeNotLiveError, match="cancelled"):
                await trades.book(PURCHASE)
        assert await store.waiting_reverts() == 0
        assert await journals(ledger) == 0

"""Trades get into the books once each, whoever brings them, how often, and whatever fails."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import DuplicateKeyError

from medici_py import TransactionError
from medici_py.embedded import EmbeddedMongo
from stablesats.ledger import Ledger
from stablesats.trades import BookedTrade, TradeConflictError, Trades, Unit, UserTrade
from stablesats.trades.accounting import USER_TRADES

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
        leg = await ledger.database["medici_transactions"].find_one({"_journal": booked.journal_id})
        assert leg is not None
        assert (leg["meta"]["trade_id"], leg["meta"]["btc_tx_id"]) == ("t1", "btc-1")
        assert "usd_tx_id" not in leg["meta"]

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
            trade = replace(PURCHASE, id=f"race-{number}")
            booked = await asyncio.gather(*(trades.book(trade) for _ in range(8)))
            assert sum(not each.replayed for each in booked) == 1
            assert len({each.journal_id for each in booked}) == 1
        assert await journals(ledger) == 5
        assert (await ledger.balances()).users_liability_cents == 5 * 500

    async def test_different_trades_at_once_are_all_booked(self, trades: Trades, ledger: Ledger) -> None:
        """None waits for another for ever, none is lost."""
        many = [replace(PURCHASE, id=f"m{n}") for n in range(40)]
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
        assert f"{field}: booked {old!r}, given {new!r}" in str(raised.value)
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
            await trades.book(replace(PURCHASE, id="other"))
        assert await journals(ledger) == 1

    async def test_booking_cancelled_anywhere_can_be_repeated(self, trades: Trades, ledger: Ledger) -> None:
        """A task that is cancelled in the middle leaves a trade that is booked or not, never half."""
        for steps in range(40):
            trade = replace(PURCHASE, id=f"cancelled-{steps}")
            task = asyncio.create_task(trades.book(trade))
            for _ in range(steps):
                await asyncio.sleep(0.0005)
            task.cancel()
            await asyncio.wait([task])
            await trades.book(trade)
        assert (await journals(ledger), await trades.count()) == (40, 40)

    async def test_refused_entry_is_passed_on(self, trades: Trades, ledger: Ledger) -> None:
        """What the ledger says stays what it says."""

        async def refuses(**_: object) -> None:
            raise TransactionError("no")

        ledger.user_buys_usd = refuses  # type: ignore[method-assign,assignment]
        with pytest.raises(TransactionError, match="no"):
            await trades.book(PURCHASE)
        assert await trades.count() == 0

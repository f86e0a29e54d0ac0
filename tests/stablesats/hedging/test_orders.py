"""The order slot in the database: one open order an account, and no step taken twice."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from medici_py.embedded import EmbeddedMongo
from stablesats.hedging.order_lifecycle import HedgeOrder, OrderIntent, SlotState
from stablesats.hedging.orders import OrderSlots, SlotLostError, SlotTakenError, new_client_order_id
from stablesats.ledger import Ledger
from stablesats.okx import Order, OrderSide, OrderState

SELL_FIVE = OrderIntent(
    side=OrderSide.SELL,
    size_contracts=Decimal(5),
    reduce_only=False,
    action="sell",
    target_cents=100_000,
    exposure_before_cents=-50_000,
    position_before_contracts=Decimal("-5.0"),
)


def seen(at: datetime, *, filled: str, state: OrderState = OrderState.FILLED) -> Order:
    return Order(
        inst_id="BTC-USD-SWAP",
        order_id="1400000000000000001",
        client_order_id="a1",
        side=OrderSide.SELL,
        state=state,
        size_contracts=Decimal(5),
        filled_contracts=Decimal(filled),
        average_price_usd=Decimal("50000.1") if filled != "0" else None,
        fee_btc=Decimal("-0.000005"),
        created_at=at,
        updated_at=at,
    )


async def settle(slots: OrderSlots, at: datetime, *, filled: str = "5") -> HedgeOrder:
    """One order from reservation to settlement."""
    sent = await slots.mark_sent(await slots.reserve(), SELL_FIVE, expires_at=at)
    accepted = await slots.mark_accepted(sent, "1400000000000000001")
    return await slots.mark_seen(accepted, seen(at, filled=filled), SlotState.FILLED)


class TestSlot:
    async def test_taken_slot_refuses_another_order(self, slots: OrderSlots) -> None:
        """One open order an account."""
        order = await slots.reserve()
        with pytest.raises(SlotTakenError, match="okx-test has an open order already"):
            await slots.reserve()
        assert await slots.open_order() == order

    async def test_twenty_at_once_give_the_slot_to_one(self, slots: OrderSlots) -> None:
        """Whoever comes first, the others are told."""
        results = await asyncio.gather(*(slots.reserve() for _ in range(20)), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["HedgeOrder"] + ["SlotTakenError"] * 19

    async def test_released_slot_can_be_taken_again(self, slots: OrderSlots) -> None:
        """Under a new id and the next number; the abandoned one stays on record."""
        first = await slots.release(await slots.reserve())
        second = await slots.reserve()
        assert (first.state, first.sequence, second.sequence) == (SlotState.ABANDONED, 1, 2)
        assert first.client_order_id != second.client_order_id

    async def test_slot_cannot_be_taken_after_a_look_that_is_out_of_date(
        self, slots: OrderSlots, clock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An order came and went between the look for the last number and the reservation: no number twice."""
        before = await settle(slots, clock.now())
        await settle(slots, clock.now())

        async def outdated(_matching: object) -> HedgeOrder:
            return before

        with monkeypatch.context() as patched:
            patched.setattr(slots, "_newest", outdated)
            with pytest.raises(SlotTakenError):
                await slots.reserve()
        assert (await slots.reserve()).sequence == 3

    async def test_accounts_do_not_block_each_other(self, slots: OrderSlots, ledger: Ledger) -> None:
        """Each exchange account has a slot and numbers of its own."""
        other = OrderSlots(ledger.database, account="other", instrument="BTC-USD-SWAP")
        await slots.reserve()
        assert (await other.reserve()).sequence == 1

    async def test_preparing_again_changes_nothing(self, slots: OrderSlots) -> None:
        """Every process prepares at its start."""
        await slots.reserve()
        await asyncio.gather(slots.prepare(), slots.prepare())
        with pytest.raises(SlotTakenError):
            await slots.reserve()

    async def test_slot_holds_for_a_client_that_prefers_secondaries_and_naive_times(
        self, slots: OrderSlots, ledger: Ledger, mongodb: EmbeddedMongo
    ) -> None:
        """How a process is connected does not matter: it sees the order at once, times in UTC."""
        order = await slots.mark_sent(await slots.reserve(), SELL_FIVE, expires_at=slots._now())
        for tz_aware in (True, False):
            async with AsyncMongoClient[dict[str, Any]](
                mongodb.uri, readPreference="secondaryPreferred", tz_aware=tz_aware
            ) as client:
                other = OrderSlots(
                    client[ledger.database.name], account="okx-test", instrument="BTC-USD-SWAP"
                )
                assert await other.open_order() == order


class TestSteps:
    async def test_life_of_an_order_is_kept_exactly(self, slots: OrderSlots, clock: Any) -> None:
        """What was intended and what became of it reads back as it was written."""
        expires_at = clock.now() + timedelta(seconds=10)
        reserved = await slots.reserve()
        sent = await slots.mark_sent(reserved, SELL_FIVE, expires_at=expires_at)
        assert (sent.state, sent.intent, sent.expires_at) == (SlotState.SENT, SELL_FIVE, expires_at)
        clock.advance(1)
        accepted = await slots.mark_accepted(sent, "1400000000000000001")
        partly = await slots.mark_seen(accepted, seen(clock.now(), filled="2"), SlotState.ACCEPTED)
        assert partly.state.is_open
        assert partly.filled_contracts == 2
        clock.advance(1)
        filled = await slots.mark_seen(partly, seen(clock.now(), filled="5"), SlotState.FILLED)
        assert filled.filled_contracts == 5
        assert filled.settled_at == clock.now()
        assert filled.position_after_contracts == -10
        assert await slots.open_order() is None
        assert await slots.last_executed() == filled

    @pytest.mark.parametrize("state", [SlotState.NEVER_ARRIVED, SlotState.CANCELED])
    async def test_missing_order_frees_the_slot(
        self, slots: OrderSlots, clock: Any, state: SlotState
    ) -> None:
        """And stays on record; nothing of it was executed."""
        sent = await slots.mark_sent(await slots.reserve(), SELL_FIVE, expires_at=clock.now())
        assert (await slots.mark_missing(sent, state)).state is state
        assert await slots.open_order() is None
        assert await slots.last_executed() is None

    async def test_step_from_a_state_that_is_over_is_refused(self, slots: OrderSlots, clock: Any) -> None:
        """Of two processes that take the same step one does; the other learns that it did not."""
        reserved = await slots.reserve()
        await slots.release(reserved)
        with pytest.raises(SlotLostError, match="no longer reserved"):
            await slots.mark_sent(reserved, SELL_FIVE, expires_at=clock.now())
        with pytest.raises(SlotLostError):
            await slots.release(reserved)

    async def test_step_raced_by_many_is_taken_once(self, slots: OrderSlots, clock: Any) -> None:
        """Sending what is reserved against taking the reservation away: exactly one of them happens."""
        for _ in range(10):
            reserved = await slots.reserve()
            results = await asyncio.gather(
                slots.mark_sent(reserved, SELL_FIVE, expires_at=clock.now()),
                slots.release(reserved),
                slots.release(reserved),
                return_exceptions=True,
            )
            [order] = [result for result in results if isinstance(result, HedgeOrder)]
            assert sum(isinstance(result, SlotLostError) for result in results) == 2
            if order.state is SlotState.SENT:
                await slots.mark_refused(order, code="51008", message="Insufficient margin")

    async def test_refusal_is_recorded(self, slots: OrderSlots, clock: Any, ledger: Ledger) -> None:
        """With the exchange's code and words."""
        sent = await slots.mark_sent(await slots.reserve(), SELL_FIVE, expires_at=clock.now())
        await slots.mark_refused(sent, code="51008", message="Insufficient margin")
        row = await ledger.database["stablesats_hedge_orders"].find_one({"_id": sent.client_order_id})
        assert row is not None
        assert row["refusal"] == {"code": "51008", "message": "Insufficient margin"}
        assert row["state"] == "refused"


class TestLastExecuted:
    async def test_last_executed_order_does_not_depend_on_clocks(self, slots: OrderSlots, clock: Any) -> None:
        """The newest by number, also when a process with a slow clock settled it."""
        await settle(slots, clock.now())
        clock.advance(-3600)
        second = await settle(slots, clock.now())
        assert await slots.last_executed() == second

    async def test_orders_without_a_fill_do_not_count(self, slots: OrderSlots, clock: Any) -> None:
        """Only what was executed moves the position."""
        executed = await settle(slots, clock.now(), filled="0.1")
        await settle(slots, clock.now(), filled="0")
        await slots.release(await slots.reserve())
        assert await slots.last_executed() == executed


def test_client_order_ids_are_accepted_by_okx_and_never_repeat() -> None:
    """32 letters and digits, at random."""
    made = {new_client_order_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(each) == 32 and each.isascii() and each.isalnum() for each in made)

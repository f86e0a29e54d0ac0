"""The weak points L1 to L10 of the ledger of stablesats-rs, each with what holds here instead.

"There" is stablesats-rs on sqlx-ledger.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from medici_py import (
    DuplicateEntryError,
    JournalPosted,
    TemplateChangedError,
    TemplateError,
    TransactionError,
    open_changes,
    post,
    read_templates,
)
from stablesats.ledger import (
    Account,
    AllocationReconciler,
    ChartChangedError,
    CollateralAccount,
    CollateralLedger,
    Ledger,
    LiabilityAlarm,
    LiabilityBalances,
    NormalSide,
    collateral_difference,
)
from stablesats.ledger import allocation_reconciler as module
from stablesats.ledger.chart_registry import CHART
from stablesats.ledger.collateral_templates import COLLATERAL_TEMPLATES
from stablesats.ledger.templates import (
    REVERT_USER_BUYS_USD,
    TEMPLATES,
    USER_BUYS_USD,
    PositionChange,
    TradeAmounts,
)

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


def allocated(cents: int) -> LiabilityBalances:
    return LiabilityBalances(
        unallocated_cents=0, okex_allocation_cents=cents, bitfinex_allocation_cents=0, total_cents=cents
    )


async def journals(ledger: Ledger) -> int:
    count: int = await ledger.database["medici_journals"].count_documents({})
    return count


class TestL1Reverts:
    """There both revert templates failed, and with them all booking, hedging and funding."""

    async def test_l1_every_template_posts(self, ledger: Ledger) -> None:
        """Each of its samples, on a real database, and the auditor finds nothing."""
        for template in TEMPLATES:
            book = ledger.exchange_position if template.params is PositionChange else ledger.stablesats
            for sample in template.samples:
                await post(book, template, sample, effective=NOON)
        assert await journals(ledger) == sum(len(template.samples) for template in TEMPLATES)
        for book in ledger.books:
            assert (await book.verify()).clean

    async def test_l1_revert_that_is_refused_stops_nothing_else(self, ledger: Ledger) -> None:
        """It writes nothing, and the next trade is booked."""
        trade = await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
        with pytest.raises(TemplateError, match="above zero"):
            await post(ledger.stablesats, REVERT_USER_BUYS_USD, TradeAmounts(sats=-10, cents=-500))
        await ledger.user_buys_usd(sats=10, cents=100, at=NOON)
        await ledger.revert_user_buys_usd(sats=10, cents=500, at=NOON, reverted=trade.id)
        assert await ledger.hedge_target_cents() == 100


async def test_l2_trades_booked_while_nobody_listened_are_allocated_at_the_start(
    ledger: Ledger, elsewhere: Ledger, eventually: Eventually
) -> None:
    """There what happened while the process was down waited for the next trade."""
    await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
    await ledger.user_sells_usd(sats=10, cents=200, at=NOON)
    reconciler, stop = AllocationReconciler(elsewhere, period_secs=60.0), asyncio.Event()
    running = asyncio.create_task(reconciler.run(stop))

    async def is_allocated() -> bool:
        return reconciler.health.stream_up and await ledger.liability_balances() == allocated(300)

    await eventually(is_allocated)
    stop.set()
    await running


async def test_l3_journal_that_commits_late_is_seen_late_and_not_skipped(
    ledger: Ledger, elsewhere: Ledger
) -> None:
    """There an id was drawn before the commit, and a smaller one that came later was lost for good."""
    async with open_changes(ledger.database, {"Stablesats"}) as changes:
        async with elsewhere.database.client.start_session() as session:
            await session.start_transaction()
            late = await elsewhere.user_buys_usd(sats=1, cents=100, at=NOON, session=session)
            early = await ledger.user_buys_usd(sats=1, cents=200, at=NOON)
            first = await asyncio.wait_for(anext(changes), 30)
            await session.commit_transaction()
        assert isinstance(first, JournalPosted)
        second = await asyncio.wait_for(anext(changes), 30)
        assert isinstance(second, JournalPosted)
        assert late.id < early.id
        assert [first.journal.id, second.journal.id] == [early.id, late.id]
    async with open_changes(ledger.database, {"Stablesats"}, after=first.position) as resumed:
        again = await asyncio.wait_for(anext(resumed), 30)
        assert isinstance(again, JournalPosted)
        assert again.journal.id == late.id


class TestL4Allocation:
    """There it only reacted to new trades, outside a transaction, and a failure was dropped."""

    async def test_l4_two_instances_do_not_allocate_the_same_amount(
        self, ledger: Ledger, elsewhere: Ledger
    ) -> None:
        """Reading and posting are one transaction, of which only one can be the first."""
        reconcilers = [AllocationReconciler(each) for each in (ledger, elsewhere)]
        for owed in range(100, 900, 100):
            await ledger.user_buys_usd(sats=10, cents=100, at=NOON)
            posted = await asyncio.gather(*(each.reconcile() for each in reconcilers))
            assert sum(journal is not None for journal in posted) == 1
            assert await ledger.liability_balances() == allocated(owed)

    async def test_l4_failed_allocation_is_done_all_the_same(
        self, ledger: Ledger, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By itself: no trade has to come."""
        monkeypatch.setattr(module, "_FIRST_PAUSE_SECS", 0.01)
        adjust, tries = ledger.adjust_exchange_allocation, 0

        async def fails_at_first(**amounts: Any) -> Any:
            nonlocal tries
            tries += 1
            if tries < 3:
                msg = "away"
                raise AutoReconnect(msg)
            return await adjust(**amounts)

        monkeypatch.setattr(ledger, "adjust_exchange_allocation", fails_at_first)
        await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
        reconciler, stop = AllocationReconciler(ledger, period_secs=60.0), asyncio.Event()
        running = asyncio.create_task(reconciler.run(stop))

        async def is_allocated() -> bool:
            return reconciler.health.stream_up and await ledger.liability_balances() == allocated(500)

        await eventually(is_allocated)
        stop.set()
        await running
        assert tries == 3


async def test_l5_negative_liability_is_an_alarm_and_allocation_goes_on(ledger: Ledger) -> None:
    """There a negative allocation ended the listener for good."""
    reconciler = AllocationReconciler(ledger)
    await ledger.user_sells_usd(sats=10, cents=200, at=NOON)
    await reconciler.reconcile()
    assert await ledger.liability_balances() == allocated(-200)
    assert reconciler.health.alarms == (
        LiabilityAlarm.NEGATIVE_TOTAL,
        LiabilityAlarm.NEGATIVE_OKEX_ALLOCATION,
    )
    await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
    await reconciler.reconcile()
    assert await ledger.liability_balances() == allocated(300)
    assert not reconciler.health.alarms


class TestL6PositionMirror:
    """There a journal of zero was posted at every poll, and the balance read without a lock."""

    async def test_l6_position_that_did_not_change_posts_nothing(self, ledger: Ledger) -> None:
        """However often it is reported."""
        await ledger.mirror_okx_position(-10_000, at=NOON)
        for _ in range(5):
            assert await ledger.mirror_okx_position(-10_000, at=NOON) is None
        assert await journals(ledger) == 1

    async def test_l6_two_instances_do_not_post_the_same_change(
        self, ledger: Ledger, elsewhere: Ledger
    ) -> None:
        """Of two that see the same position one posts."""
        for exposure in (-10_000, -30_000, 20_000, 0):
            posted = await asyncio.gather(
                *(each.mirror_okx_position(exposure, at=NOON) for each in (ledger, elsewhere))
            )
            assert sum(journal is not None for journal in posted) == 1
            assert (await ledger.balances()).signed_exposure_cents == exposure


class TestL7DuplicateKeys:
    """There "the same transaction id" and "two first balances at once" were the same error."""

    async def test_l7_first_postings_to_an_account_race_without_an_error(
        self, ledger: Ledger, elsewhere: Ledger
    ) -> None:
        """From two processes, each alone in its transaction: all of them are posted."""
        for each in (ledger, elsewhere):
            assert await each.hedge_target_cents() == 0  # both are connected, and know nothing
        await asyncio.gather(
            *(each.user_buys_usd(sats=1, cents=1, at=NOON) for each in (ledger, elsewhere) for _ in range(8))
        )
        assert await ledger.hedge_target_cents() == 16
        assert (await ledger.stablesats.verify()).clean

    async def test_l7_same_external_id_is_an_error_of_its_own(self, ledger: Ledger) -> None:
        """It names the id and what differs; the same content is no error at all."""
        first = await ledger.user_buys_usd(sats=1, cents=1, at=NOON, key="trade:1")
        assert (await ledger.user_buys_usd(sats=1, cents=1, at=NOON, key="trade:1")).id == first.id
        with pytest.raises(DuplicateEntryError, match="trade:1"):
            await ledger.user_buys_usd(sats=2, cents=1, at=NOON, key="trade:1")


class TestL8AmountsAndLayers:
    """There amounts of zero and below were accepted, and one layer could be out of balance."""

    @pytest.mark.parametrize("amounts", [{"sats": 0, "cents": 1}, {"sats": 1, "cents": -1}])
    async def test_l8_amounts_are_above_zero(self, ledger: Ledger, amounts: dict[str, int]) -> None:
        """Also for whoever goes past the facade."""
        with pytest.raises(TemplateError, match="above zero"):
            await post(ledger.stablesats, USER_BUYS_USD, amounts)
        assert await journals(ledger) == 0

    async def test_l8_every_layer_balances_on_its_own(self, ledger: Ledger) -> None:
        """A credit that is settled against a debit that is pending is refused."""
        entry = ledger.stablesats.entry("mixed")
        entry.credit("STABLESATS_LIABILITY", 500, {"currency": "USD", "layer": "SETTLED"})
        entry.debit("STABLESATS_OMNIBUS", 500, {"currency": "USD", "layer": "PENDING"})
        with pytest.raises(TransactionError, match="does not balance in currency USD, layer SETTLED"):
            await entry.commit()
        assert await journals(ledger) == 0


class TestL9Collateral:
    """There collateral, transfers, fees, funding payments and profit were never booked."""

    async def test_l9_collateral_has_a_book_of_its_own(self, ledger: Ledger) -> None:
        """Every account in it is moved; what is at the exchange, in transit, given and gained are answers."""
        moved = {
            leg.account
            for template in COLLATERAL_TEMPLATES
            for sample in template.samples
            for leg in template.legs(sample)
        }
        assert moved == {account.code for account in CollateralAccount}
        collateral = CollateralLedger(ledger.database)
        await collateral.deposit_sent(payment_id="p1", sats=1_000_000, fee_sats=500, at=NOON)
        await collateral.deposit_credited(deposit_id="d1", sats=900_000, at=NOON)
        await collateral.transferred(transfer_id="t1", change_sats=800_000, at=NOON)
        await collateral.trading_fee(bill_id="b1", change_sats=-40, at=NOON)
        await collateral.funding_payment(bill_id="b2", change_sats=20, at=NOON)
        await collateral.realised_profit(bill_id="b3", change_sats=7_000, at=NOON)
        found = await collateral.balances()
        assert (found.funding_account_sats, found.trading_account_sats) == (100_000, 806_980)
        assert (found.in_transit_to_okex_sats, found.given_sats) == (100_000, 1_000_500)
        assert found.profit.total_sats == -500 - 40 + 20 + 7_000
        assert found.assets_sats == found.equity_sats
        assert (await collateral.book.verify()).clean

    async def test_l9_assets_stand_on_the_side_of_the_banks_assets(self, ledger: Ledger) -> None:
        """Debit-normal, unlike the wallet of stablesats-rs, which stays on the credit side."""
        collateral = CollateralLedger(ledger.database)
        await collateral.deposit_credited(deposit_id="d1", sats=1_000, at=NOON)
        assert (await collateral.account_balances())[CollateralAccount.OKEX_FUNDING] == -1_000
        assert CollateralAccount.OKEX_FUNDING.normal_side is NormalSide.DEBIT
        assert Account.STABLESATS_BTC_WALLET.normal_side is NormalSide.CREDIT

    async def test_l9_difference_from_the_exchange_is_named_and_not_booked_away(self, ledger: Ledger) -> None:
        """A funding payment that the exchange made and nobody booked."""
        collateral = CollateralLedger(ledger.database)
        await collateral.transferred(transfer_id="t1", change_sats=1_000, at=NOON)
        before = await journals(ledger)
        found = collateral_difference(
            await collateral.balances(), reported_funding_sats=-1_000, reported_trading_cash_sats=1_020
        )
        assert str(found) == "OKEX_TRADING: booked 1000 sats, reported 1020 sats, difference 20 sats"
        assert await journals(ledger) == before


class TestL10Definitions:
    """There accounts and templates were written once, and a changed definition never took effect."""

    async def test_l10_start_registers_what_the_process_posts_with(self, ledger: Ledger) -> None:
        """The ledger describes itself: nine templates, two books, eleven accounts, and the collateral's."""
        posted_with = (*TEMPLATES, *COLLATERAL_TEMPLATES)
        registered = {stored.code: stored for stored in await read_templates(ledger.database)}
        assert registered.keys() == {template.code for template in posted_with}
        assert all(registered[each.code].fingerprint == each.fingerprint() for each in posted_with)
        assert all(registered[each.code].id == each.id for each in posted_with)
        assert await ledger.database[CHART].count_documents({}) == 13 + 10

    async def test_l10_changed_template_stops_the_start(self, ledger: Ledger) -> None:
        """The message shows the difference; under the next version the change takes effect."""
        await ledger.database["medici_py_templates"].update_one(
            {"_id.code": "USER_BUYS_USD"},
            {"$set": {"fingerprint": "other", "definition.samples.0.legs.0.account": "ELSEWHERE"}},
        )
        with pytest.raises(TemplateChangedError, match="USER_BUYS_USD") as raised:
            await Ledger(ledger.database).prepare()
        assert '-samples[0].legs[0].account: "ELSEWHERE"' in raised.value.differences
        assert '+samples[0].legs[0].account: "STABLESATS_BTC_WALLET"' in raised.value.differences

    async def test_l10_changed_account_stops_the_start(self, ledger: Ledger) -> None:
        """As a template does."""
        await ledger.database[CHART].update_one(
            {"_id.code": "OKEX_POSITION"}, {"$set": {"definition.normal_side": "credit"}}
        )
        with pytest.raises(ChartChangedError, match="OKEX_POSITION") as raised:
            await Ledger(ledger.database).prepare()
        assert raised.value.differences == ('-normal_side: "credit"', '+normal_side: "debit"')

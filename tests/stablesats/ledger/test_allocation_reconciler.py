"""The allocation: when it looks, that no amount is allocated twice, and that nothing ends it but its stop."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from structlog.testing import capture_logs

from medici_py import Journal, JournalPosted, open_changes
from stablesats.ledger import (
    Account,
    AllocationHealth,
    AllocationReconciler,
    Ledger,
    LiabilityAlarm,
    LiabilityBalances,
)
from stablesats.ledger import allocation_reconciler as module

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
Start = Callable[..., tuple[AllocationReconciler, asyncio.Event, asyncio.Task[None]]]


def reconciler_of(ledger: Ledger, **settings: Any) -> AllocationReconciler:
    return AllocationReconciler(ledger, **{"now": lambda: NOON, "jitter": lambda: 0.0, **settings})


async def buy(ledger: Ledger, cents: int) -> None:
    await ledger.user_buys_usd(sats=10, cents=cents, at=NOON)


async def sell(ledger: Ledger, cents: int) -> None:
    await ledger.user_sells_usd(sats=10, cents=cents, at=NOON)


def allocated(cents: int) -> LiabilityBalances:
    """All of *cents* is allocated to OKX."""
    return LiabilityBalances(
        unallocated_cents=0, okex_allocation_cents=cents, bitfinex_allocation_cents=0, total_cents=cents
    )


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts reconcilers whose timer is a minute away, and stops them."""
    running: list[tuple[AllocationReconciler, asyncio.Event, asyncio.Task[None]]] = []

    def run(
        ledger: Ledger, **settings: Any
    ) -> tuple[AllocationReconciler, asyncio.Event, asyncio.Task[None]]:
        reconciler = reconciler_of(ledger, **{"period_secs": 60.0, "min_interval_secs": 0.0, **settings})
        stop = asyncio.Event()
        task = asyncio.create_task(reconciler.run(stop))
        running.append((reconciler, stop, task))
        return reconciler, stop, task

    yield run
    async with asyncio.timeout(30):
        for reconciler, stop, task in running:
            # The driver forgets the socket of a connection that is cancelled while it is being made.
            while not (task.done() or reconciler.health.stream_up or reconciler.health.stream_failures):
                await asyncio.sleep(0.02)
            stop.set()
        await asyncio.gather(*(task for _, _, task in running))


class TestReconcile:
    async def test_what_is_unallocated_is_posted_to_okx(self, ledger: Ledger) -> None:
        """A purchase of 5 USD and a sale of 2 USD: 500 up, 200 down."""
        reconciler = reconciler_of(ledger)
        await buy(ledger, 500)
        up = await reconciler.reconcile()
        assert up is not None
        assert (up.memo, up.datetime) == ("ADJUST_EXCHANGE_ALLOCATION", NOON)
        assert await ledger.liability_balances() == reconciler.health.liability == allocated(500)
        await sell(ledger, 200)
        assert await reconciler.reconcile() is not None
        assert await ledger.liability_balances() == reconciler.health.liability == allocated(300)

    async def test_nothing_unallocated_writes_nothing(self, ledger: Ledger) -> None:
        """Neither a journal nor a lock."""
        reconciler = reconciler_of(ledger)
        assert await reconciler.reconcile() is None
        for name in ("medici_journals", "medici_locks"):
            assert await ledger.database[name].count_documents({}) == 0
        assert (reconciler.health.looks, reconciler.health.adjustments) == (1, 0)

    async def test_trades_of_several_purchases_are_allocated_together(self, ledger: Ledger) -> None:
        """One journal, whatever has come in since."""
        await asyncio.gather(*(buy(ledger, cents) for cents in (100, 200, 300)))
        await sell(ledger, 50)
        reconciler = reconciler_of(ledger)
        journal = await reconciler.reconcile()
        assert await ledger.liability_balances() == allocated(550)
        assert journal is not None
        found = ledger.database["medici_journals"].find({"template.code": "ADJUST_EXCHANGE_ALLOCATION"})
        assert [row["_id"] async for row in found] == [journal.id]

    async def test_amount_is_allocated_once_by_many_at_once(self, ledger: Ledger, elsewhere: Ledger) -> None:
        """Of eight that look at the same moment, in two processes, exactly one posts; in every round."""
        reconcilers = [reconciler_of(each) for each in (ledger, elsewhere) for _ in range(4)]
        chance, owed = random.Random(5), 0
        for _ in range(12):
            change = chance.choice([1, -1]) * chance.randrange(1, 1_000)
            await (buy if change > 0 else sell)(ledger, abs(change))
            owed += change
            journals = await asyncio.gather(*(each.reconcile() for each in reconcilers))
            assert sum(journal is not None for journal in journals) == 1
            assert await ledger.liability_balances() == allocated(owed)

    async def test_no_more_is_ever_allocated_than_has_been_bought(
        self, ledger: Ledger, elsewhere: Ledger
    ) -> None:
        """While purchases are booked and many allocate at once, in the order in which all was committed."""

        async def allocate_on(each: Ledger, finished: asyncio.Event) -> None:
            reconciler = reconciler_of(each)
            while not finished.is_set():
                await reconciler.reconcile()

        async with open_changes(ledger.database, {"Stablesats"}) as changes:
            finished = asyncio.Event()
            allocating = [
                asyncio.create_task(allocate_on(each, finished))
                for each in (ledger, elsewhere)
                for _ in range(3)
            ]
            for _ in range(5):
                await asyncio.gather(*(buy(each, 100) for each in (ledger, elsewhere) for _ in range(4)))
            finished.set()
            await asyncio.gather(*allocating)
            await reconciler_of(ledger).reconcile()
            unallocated = owed = allocations = 0
            async with asyncio.timeout(30):
                while owed < 4_000 or unallocated != 0:
                    change = await anext(changes)
                    assert isinstance(change, JournalPosted)
                    for leg in change.transactions:
                        if leg.accounts == Account.STABLESATS_LIABILITY.code:
                            unallocated += int(leg.credit - leg.debit)
                    is_trade = change.journal.memo == "USER_BUYS_USD"
                    owed += 100 if is_trade else 0
                    allocations += not is_trade
                    assert unallocated >= 0
        assert allocations >= 1
        assert await ledger.liability_balances() == allocated(4_000)
        assert (await ledger.stablesats.verify()).clean


class TestRun:
    async def test_what_was_booked_before_the_start_is_allocated(
        self, ledger: Ledger, start: Start, eventually: Eventually
    ) -> None:
        """Nothing has to happen for the first look."""
        await buy(ledger, 500)
        start(ledger)
        await eventually(lambda: has(ledger, allocated(500)))

    async def test_change_of_the_liability_is_allocated_without_waiting_for_the_timer(
        self, ledger: Ledger, start: Start, eventually: Eventually
    ) -> None:
        """The change stream wakes it; the timer is a minute away."""
        reconciler, _, _ = start(ledger)
        await eventually(lambda: health(reconciler, lambda found: found.stream_up and found.looks > 0))
        await buy(ledger, 500)
        await eventually(lambda: has(ledger, allocated(500)))
        await sell(ledger, 200)
        await eventually(lambda: has(ledger, allocated(300)))

    async def test_own_allocation_is_no_trigger(
        self, ledger: Ledger, start: Start, eventually: Eventually
    ) -> None:
        """Nor is anything else that leaves what users are owed as it is."""
        reconciler, _, _ = start(ledger)
        await eventually(
            lambda: health(reconciler, lambda found: found.stream_up and found.due_since is None)
        )
        for _ in range(3):
            await ledger.adjust_exchange_allocation(okex_cents=-100, bitfinex_cents=100, at=NOON)
        looks = reconciler.health.looks
        await buy(ledger, 500)
        await eventually(lambda: health(reconciler, lambda found: found.adjustments == 1))
        assert reconciler.health.looks == looks + 1

    async def test_timer_allocates_when_there_is_no_change_stream(
        self, ledger: Ledger, start: Start, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A trigger that is missed costs the period."""

        def refuses(*_: object, **__: object) -> Any:
            msg = "no stream today"
            raise AutoReconnect(msg)

        monkeypatch.setattr(ledger.stablesats, "changes", refuses)
        reconciler, _, _ = start(ledger, period_secs=0.05)
        await eventually(lambda: health(reconciler, lambda found: found.looks > 0))
        await buy(ledger, 500)
        await eventually(lambda: has(ledger, allocated(500)))
        assert not reconciler.health.stream_up
        assert reconciler.health.stream_failures > 0

    async def test_lost_stream_is_opened_again_and_what_it_missed_is_allocated(
        self, ledger: Ledger, start: Start, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Opening it is a trigger: a trade may have been booked in between."""
        opened: list[Any] = []
        changes = ledger.stablesats.changes

        class Breaks:
            """A stream that ends with an error once something was booked."""

            def __init__(self, subscription: Any) -> None:
                self._subscription = subscription

            async def __aenter__(self) -> "Breaks":
                await self._subscription.__aenter__()
                return self

            async def __aexit__(self, *_: object) -> None:
                await self._subscription.aclose()

            def __aiter__(self) -> "Breaks":
                return self

            async def __anext__(self) -> Any:
                await anext(self._subscription)
                msg = "the stream is gone"
                raise AutoReconnect(msg)

        def breaks_at_first(*account: Any, **options: Any) -> Any:
            opened.append(changes(*account, **options))
            return opened[-1] if len(opened) > 1 else Breaks(opened[-1])

        monkeypatch.setattr(ledger.stablesats, "changes", breaks_at_first)
        reconciler, _, _ = start(ledger)
        await eventually(lambda: health(reconciler, lambda found: found.stream_up and found.looks > 0))
        await buy(ledger, 500)
        await eventually(lambda: has(ledger, allocated(500)))
        await buy(ledger, 100)
        await eventually(lambda: has(ledger, allocated(600)))
        assert (len(opened), reconciler.health.stream_failures) == (2, 1)

    @pytest.mark.parametrize("error", [AutoReconnect("away"), RuntimeError("a fault of our own")])
    async def test_failure_is_counted_and_the_look_repeated(
        self,
        ledger: Ledger,
        start: Start,
        eventually: Eventually,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
    ) -> None:
        """It is never dropped, whatever it was, and says what happened until a look succeeds."""
        monkeypatch.setattr(module, "_FIRST_PAUSE_SECS", 0.01)
        real, failing = ledger.liability_balances, True

        async def fails(session: Any = None) -> LiabilityBalances:
            if failing:
                raise error
            return await real(session)

        monkeypatch.setattr(ledger, "liability_balances", fails)
        with capture_logs() as logs:
            reconciler, _, _ = start(ledger)
            await buy(ledger, 500)
            await eventually(lambda: health(reconciler, lambda found: found.failures_in_a_row >= 3))
            assert reconciler.health.last_error == str(error)
            assert reconciler.health.last_look_at is None
            failing = False
            await eventually(lambda: health(reconciler, lambda found: found.adjustments == 1))
        found = reconciler.health
        assert (found.failures_in_a_row, found.last_error) == (0, None)
        assert found.failures == sum(log.get("action") == "allocation-failed" for log in logs)
        monkeypatch.undo()
        assert await ledger.liability_balances() == allocated(500)

    async def test_stop_cuts_off_a_look_that_hangs(
        self, ledger: Ledger, start: Start, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A database that does not answer keeps no process alive."""
        hanging = asyncio.Event()

        async def hangs(session: Any = None) -> LiabilityBalances:
            hanging.set()
            await asyncio.Event().wait()
            raise AssertionError

        monkeypatch.setattr(ledger, "liability_balances", hangs)
        reconciler, stop, task = start(ledger)
        await eventually(lambda: health(reconciler, lambda found: found.stream_up and hanging.is_set()))
        stop.set()
        async with asyncio.timeout(30):
            await task
        assert not reconciler.health.stream_up


async def has(ledger: Ledger, expected: LiabilityBalances) -> bool:
    return await ledger.liability_balances() == expected


async def health(reconciler: AllocationReconciler, holds: Callable[[AllocationHealth], bool]) -> bool:
    return holds(reconciler.health)


class TestHealth:
    def test_lag_is_the_age_of_the_oldest_unanswered_trigger(self) -> None:
        """Nothing waits: no lag. A clock that was set back makes it no negative number."""
        assert AllocationHealth().lag_secs(NOON) == 0.0
        waiting = AllocationHealth(due_since=NOON)
        assert waiting.lag_secs(NOON + timedelta(seconds=2.5)) == 2.5
        assert waiting.lag_secs(NOON - timedelta(seconds=2.5)) == 0.0

    async def test_trigger_waits_from_when_it_came_until_a_look_succeeds(
        self, ledger: Ledger, start: Start, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Through failures, too."""
        monkeypatch.setattr(module, "_FIRST_PAUSE_SECS", 0.01)
        now = NOON
        reconciler, _, _ = start(ledger, now=lambda: now)
        await eventually(
            lambda: health(
                reconciler, lambda found: found.stream_up and found.looks > 0 and found.due_since is None
            )
        )
        real, failing = ledger.liability_balances, True

        async def fails(session: Any = None) -> LiabilityBalances:
            if failing:
                msg = "away"
                raise AutoReconnect(msg)
            return await real(session)

        monkeypatch.setattr(ledger, "liability_balances", fails)
        triggered, now = now + timedelta(seconds=1), now + timedelta(seconds=1)
        await buy(ledger, 500)
        await eventually(lambda: health(reconciler, lambda found: found.failures_in_a_row >= 1))
        now += timedelta(seconds=5)
        await eventually(lambda: health(reconciler, lambda found: found.failures_in_a_row >= 2))
        assert reconciler.health.due_since == triggered
        assert reconciler.health.lag_secs(now) == 5.0
        failing = False
        await eventually(lambda: health(reconciler, lambda found: found.due_since is None))
        assert reconciler.health.last_look_at == now

    async def test_alarm_is_told_once_and_when_it_is_over(self, ledger: Ledger) -> None:
        """Not with every look; the figures stay what they are, signed."""
        reconciler = reconciler_of(ledger)
        with capture_logs() as logs:
            await sell(ledger, 200)
            for _ in range(3):
                await reconciler.reconcile()
            assert reconciler.health.alarms == (
                LiabilityAlarm.NEGATIVE_TOTAL,
                LiabilityAlarm.NEGATIVE_OKEX_ALLOCATION,
            )
            assert reconciler.health.liability == allocated(-200)
            await buy(ledger, 500)
            for _ in range(2):
                await reconciler.reconcile()
        told = [(log["log_level"], log["alarms"]) for log in logs if log.get("action") == "liability-alarms"]
        assert told == [("error", ["negative-total", "negative-okex-allocation"]), ("info", [])]
        assert not reconciler.health.alarms

    async def test_allocation_is_logged_with_its_figures(self, ledger: Ledger) -> None:
        """A line each time something was posted, none otherwise."""
        reconciler = reconciler_of(ledger)
        await buy(ledger, 500)
        with capture_logs() as logs:
            journals: list[Journal | None] = [await reconciler.reconcile() for _ in range(2)]
        [line] = logs
        assert journals[0] is not None
        assert ObjectId(line["journal"]) == journals[0].id
        assert (line["action"], line["okex_allocation_cents"], line["total_cents"]) == ("allocated", 500, 500)

"""Keeps the liability allocated to exchanges, in any number of processes at once.

Level-triggered: a change of what users are owed, or the timer, only says that it is time to look. A look
reads the balances and posts what `allocation_for` decides in one MongoDB transaction, which write-locks the
unallocated account. Of two transactions that read the same figures only one can take the lock; the
other one starts again and reads what the first has left, so that no amount is ever allocated twice.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import structlog
from pymongo.errors import PyMongoError

from medici_py import (
    ChangeSubscription,
    Journal,
    JournalPosted,
    MediciError,
    Overflow,
    mongo_transaction,
)
from medici_py.backoff import backoff_secs
from medici_py.task_end import end_task
from stablesats.errors import StablesatsError
from stablesats.ledger.allocation import allocation_for
from stablesats.ledger.balances import LiabilityAlarm, LiabilityBalances
from stablesats.ledger.chart import Account
from stablesats.ledger.facade import Ledger
from stablesats.lifecycle import unless_stopped, wait_or_stop

_log = structlog.get_logger(__name__)

PERIOD_SECS: Final = 10.0
"""Longest time between two looks while nothing fails."""

MIN_INTERVAL_SECS: Final = 0.05
"""Shortest time between two looks: however many trades arrive in it, they are allocated together."""

_FIRST_PAUSE_SECS: Final = 0.25
_LONGEST_PAUSE_SECS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationHealth:
    """How the allocation fares in this process.

    Attributes:
        looks: Looks that succeeded.
        adjustments: Looks that posted something.
        failures: Looks that failed.
        failures_in_a_row: Looks that failed since the last one that succeeded.
        last_look_at: When a look succeeded last; None before the first.
        due_since: When the oldest trigger came that no successful look has answered; None when all are.
        last_error: What the last failed look or the stream said, for people; None after a success.
        stream_up: Whether the change stream is open. Without it only the timer triggers.
        stream_failures: How often the change stream was lost.
        liability: The figures that the last successful look left; None before the first.
    """

    looks: int = 0
    adjustments: int = 0
    failures: int = 0
    failures_in_a_row: int = 0
    last_look_at: datetime | None = None
    due_since: datetime | None = None
    last_error: str | None = None
    stream_up: bool = False
    stream_failures: int = 0
    liability: LiabilityBalances | None = None

    @property
    def alarms(self) -> tuple[LiabilityAlarm, ...]:
        """What the last look found that cannot be right."""
        return () if self.liability is None else self.liability.alarms

    def lag_secs(self, now: datetime) -> float:
        """How long the oldest unanswered trigger has been waiting; 0 when there is none."""
        return 0.0 if self.due_since is None else max((now - self.due_since).total_seconds(), 0.0)


class AllocationReconciler:
    """Allocates what is unallocated: when asked, or whenever it is time, until it is stopped.

    Any number may work on one database, in any number of processes.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        period_secs: float = PERIOD_SECS,
        min_interval_secs: float = MIN_INTERVAL_SECS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Allocate the liability in *ledger*.

        Args:
            ledger: The dealer's books, prepared.
            period_secs: Longest time between two looks of `run` while nothing fails.
            min_interval_secs: Shortest time between two looks of `run`.
            now: The clock of what is written down.
            jitter: Numbers from 0 to 1 that spread the pauses after failures.
        """
        self._ledger = ledger
        self._period_secs = period_secs
        self._min_interval_secs = min_interval_secs
        self._now = now
        self._jitter = jitter
        self._health = AllocationHealth()
        self._due = asyncio.Event()
        self._due_since: datetime | None = None
        self._answering_since: datetime | None = None

    @property
    def health(self) -> AllocationHealth:
        """How the allocation fares, now."""
        return replace(self._health, due_since=self._answering_since or self._due_since)

    async def reconcile(self) -> Journal | None:
        """Allocate what is unallocated now, in one transaction.

        Safe in any number of tasks and processes at once: no amount is allocated twice.

        Returns:
            The journal that was posted, or None when there was nothing to allocate (nothing is written).

        Raises:
            LedgerDamagedError: If a balance is not a whole number of cents.
            MediciError: If the ledger could not be written; `UnknownOutcomeError` if it may have been.
        """
        left, journal = await mongo_transaction(self._ledger.database.client, self._allocate)
        self._record(left, journal)
        return journal

    async def run(self, stop: asyncio.Event) -> None:
        """Look at once, at every change of what users are owed, and periodically, until *stop* is set.

        No failure ends it: a look that fails is logged, counted and repeated after a pause that grows to
        ten seconds; a change stream that is lost is opened again, and the timer works without it. A look
        under way when *stop* is set is cut off, which posts all of it or nothing.
        """
        watcher = asyncio.create_task(self._watch())
        try:
            while not stop.is_set():
                if await self._look(stop):
                    await wait_or_stop(stop, self._min_interval_secs)
                    await self._wait_for_trigger(stop)
                else:
                    await wait_or_stop(stop, self._pause_secs(self._health.failures_in_a_row))
        finally:
            await end_task(watcher)
            self._health = replace(self._health, stream_up=False)

    async def _allocate(self, session: Any) -> tuple[LiabilityBalances, Journal | None]:
        found = await self._ledger.liability_balances(session)
        adjustment = allocation_for(found)
        if adjustment is None:
            return found, None
        book = self._ledger.stablesats
        # Refused by the server if anybody took it since the balances were read: they are from one snapshot.
        await book.writelock_accounts([Account.STABLESATS_LIABILITY.code], session=session)
        journal = await self._ledger.adjust_exchange_allocation(
            okex_cents=adjustment.okex_cents,
            bitfinex_cents=adjustment.bitfinex_cents,
            at=self._now(),
            session=session,
        )
        return adjustment.applied_to(found), journal

    def _record(self, left: LiabilityBalances, journal: Journal | None) -> None:
        before = self._health
        self._health = replace(
            before,
            looks=before.looks + 1,
            adjustments=before.adjustments + (journal is not None),
            failures_in_a_row=0,
            last_look_at=self._now(),
            last_error=None,
            liability=left,
        )
        figures = {
            "okex_allocation_cents": left.okex_allocation_cents,
            "bitfinex_allocation_cents": left.bitfinex_allocation_cents,
            "total_cents": left.total_cents,
        }
        if journal is not None:
            _log.info("liability allocated", action="allocated", journal=str(journal.id), **figures)
        if left.alarms != before.alarms:
            report = _log.error if left.alarms else _log.info
            report(
                "liability alarms",
                action="liability-alarms",
                alarms=[alarm.value for alarm in left.alarms],
                **figures,
            )

    async def _look(self, stop: asyncio.Event) -> bool:
        """One look; False if it failed. Nothing that goes wrong in a look ends the loop."""
        self._answering_since = self._answering_since or self._due_since
        self._due_since = None
        self._due.clear()
        try:
            await unless_stopped(self.reconcile(), stop)
        except (StablesatsError, MediciError, PyMongoError) as error:
            _log.warning(
                "allocation failed", action="allocation-failed", error=str(error), kind=type(error).__name__
            )
            self._count_failure(error)
            return False
        except Exception as error:  # noqa: BLE001 - the supervised edge: logged with its traceback, and counted
            _log.exception("allocation failed unexpectedly", action="allocation-failed")
            self._count_failure(error)
            return False
        self._answering_since = None
        return True

    def _count_failure(self, error: Exception) -> None:
        self._health = replace(
            self._health,
            failures=self._health.failures + 1,
            failures_in_a_row=self._health.failures_in_a_row + 1,
            last_error=str(error),
        )

    async def _wait_for_trigger(self, stop: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._period_secs):
                await unless_stopped(self._due.wait(), stop)

    def _trigger(self) -> None:
        self._due_since = self._due_since or self._now()
        self._due.set()

    async def _watch(self) -> NoReturn:
        """Trigger at every change of what users are owed, and whenever the stream may have missed one."""
        failures = 0
        while True:
            opened = False
            try:
                async with self._follow() as changes:
                    opened = True
                    self._health = replace(self._health, stream_up=True)
                    self._trigger()
                    async for _ in changes:
                        self._trigger()
            except Exception as error:  # noqa: BLE001 - the supervised edge: logged, counted, opened again
                _log.warning("the ledger cannot be followed", action="trigger-lost", error=str(error))
            failures = 1 if opened else failures + 1
            self._health = replace(
                self._health, stream_up=False, stream_failures=self._health.stream_failures + 1
            )
            await asyncio.sleep(self._pause_secs(failures))

    def _follow(self) -> ChangeSubscription:
        # One event is as good as many; those that were dropped are told of, which is one more.
        return self._ledger.stablesats.changes(
            Account.STABLESATS_OMNIBUS.code, kinds={JournalPosted}, buffer=1, on_overflow=Overflow.DROP
        )

    def _pause_secs(self, failures: int) -> float:
        return backoff_secs(
            failures, first_secs=_FIRST_PAUSE_SECS, max_secs=_LONGEST_PAUSE_SECS, jitter=self._jitter()
        )

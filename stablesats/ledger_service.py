"""``stablesats run ledger``: trades into the books, out of them, and their liability to the exchanges.

Intake, booking and allocation are loops that know nothing of each other: what one leaves in the database is
what the next one finds. So any number of these processes may run at once, on one source or on several.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from pymongo.errors import PyMongoError

from medici_py import MediciError
from medici_py.backoff import backoff_secs
from medici_py.retry import was_away
from medici_py.task_end import end_task
from stablesats.errors import StablesatsError
from stablesats.ledger import AllocationReconciler, Ledger
from stablesats.lifecycle import unless_stopped, wait_or_stop
from stablesats.trades.booking import TradeBooking
from stablesats.trades.counts import TradeCounts
from stablesats.trades.intake import TradeIntake
from stablesats.trades.lag import TradeLag, trade_lag
from stablesats.trades.trade_collections import bind_documents
from stablesats.trades.trade_source import TradeSource
from stablesats.trades.trade_store import TradeStore

_log = structlog.get_logger(__name__)

LOOK_EVERY_SECS: Final = 0.5
"""Longest time between two rounds of booking: for trades that another process stored and did not book."""

LAG_EVERY_SECS: Final = 10.0
"""Time between two log records of the lag."""

PATIENCE_SECS: Final = 60.0
"""How long a run that is to end (``--once``) puts up with one failure after another."""

_OTHERS_NEED_SECS: Final = 0.1
"""Time between two rounds while others are at what is left."""

_FIRST_PAUSE_SECS: Final = 0.1
_LONGEST_PAUSE_SECS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePace:
    """How often the service does what it does; the defaults are for production."""

    look_every_secs: float = LOOK_EVERY_SECS
    lag_every_secs: float = LAG_EVERY_SECS
    patience_secs: float = PATIENCE_SECS


def _is_passing(error: Exception) -> bool:
    """Whether MongoDB was the one that failed; what the ledger itself says stays what it says."""
    return isinstance(error, PyMongoError) or isinstance(error.__cause__, PyMongoError)


def _was_away(error: Exception) -> bool:
    """Whether MongoDB could not answer; what it refuses at the start, it would refuse for ever."""
    cause = error if isinstance(error, PyMongoError) else error.__cause__
    return isinstance(cause, PyMongoError) and was_away(cause)


class LedgerService:
    """Takes in the trades of one source, books them, takes them back, and allocates the liability.

    Attributes:
        counts: What this process has done so far.
        lag: What is still to be done by all processes, as it was found last; None before the first look.
    """

    def __init__(
        self,
        ledger: Ledger,
        source: TradeSource,
        *,
        pace: ServicePace | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Bring the trades of *source* into *ledger*; *now* is the clock of what is written down."""
        self.counts = TradeCounts()
        self.lag: TradeLag | None = None
        self._ledger = ledger
        self._source = source
        self._pace = pace or ServicePace()
        self._now = now
        self._reconciler = AllocationReconciler(ledger, now=now)
        self._due = asyncio.Event()

    async def reverts_waiting(self) -> int:
        """How many requests to take a trade back wait for their trade, by whichever process they came."""
        return (await trade_lag(self._ledger.database, now=self._now())).reverts_waiting

    async def run_once(self, stop: asyncio.Event) -> None:
        """Take in all there is, book it, allocate it, and return; sooner if *stop* is set.

        The source has to end by itself. What other processes left is booked as well.

        Raises:
            StablesatsError, MediciError, PyMongoError: If it failed for longer than it is patient.
        """
        prepared = await self._prepared(stop)
        if prepared is None:
            return
        intake, booking = prepared
        taken_in = asyncio.create_task(self._persist("intake", lambda: intake.run(stop), stop))
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                ended = taken_in.done()
                if ended:
                    taken_in.result()
                round_ = await self._persist("booking", booking.round, stop)
                if ended and round_ is not None and round_.is_last:
                    await self._persist("allocation", self._reconciler.reconcile, stop)
                    return
                if round_ is not None and not round_.done:
                    await self._wait_for_due(stopping if ended else taken_in, others_at_work=round_.left > 0)
        finally:
            stopping.cancel()
            if stop.is_set():
                # A delivery under way is stored to its end; it looks at *stop* by itself.
                await asyncio.gather(taken_in, return_exceptions=True)
            else:
                await end_task(taken_in)

    async def run(self, stop: asyncio.Event, *, on_ready: Callable[[], None] = lambda: None) -> None:
        """Do all of it until *stop* is set; what is under way then is finished.

        A loop that fails is logged, counted and goes on after a pause; none of them stops another one.

        Raises:
            StablesatsError, MediciError, PyMongoError: If the books cannot be made ready. That MongoDB is
                away is borne for as long as it is patient.
        """
        prepared = await self._prepared(stop)
        if prepared is None:
            return
        intake, booking = prepared
        on_ready()

        async def take_in() -> None:
            await intake.run(stop)
            # A source that ends: the loops around it go on.
            await stop.wait()

        async def book() -> None:
            round_ = await booking.round()
            if not round_.done:
                await self._wait_for_due(stopping, others_at_work=round_.left > 0)

        async def look_at_lag() -> None:
            self.lag = await trade_lag(self._ledger.database, now=self._now())
            _log.info("trade lag", action="trade-lag", **_lag_fields(self.lag))
            await wait_or_stop(stop, self._pace.lag_every_secs)

        stopping = asyncio.create_task(stop.wait())
        try:
            async with asyncio.TaskGroup() as loops:
                loops.create_task(self._supervise("intake", take_in, stop))
                loops.create_task(self._supervise("booking", book, stop))
                loops.create_task(self._supervise("lag", look_at_lag, stop))
                loops.create_task(self._reconciler.run(stop))
        finally:
            stopping.cancel()

    async def _prepared(self, stop: asyncio.Event) -> tuple[TradeIntake, TradeBooking] | None:
        """Make everything ready; None if *stop* was set before that was done, which is begun anew then."""
        prepared: tuple[TradeIntake, TradeBooking] | None = await self._persist(
            "preparation", lambda: unless_stopped(self._prepare(), stop), stop, is_passing=_was_away
        )
        return prepared

    async def _prepare(self) -> tuple[TradeIntake, TradeBooking]:
        await self._ledger.prepare()
        documents = await bind_documents(self._ledger.database, make_indexes=True)
        await TradeStore(documents).mark_all_trades_known()
        intake = TradeIntake(
            self._source, documents, counts=self.counts, now=self._now, on_stored=self._due.set
        )
        return intake, TradeBooking(self._ledger, documents, counts=self.counts, now=self._now)

    async def _wait_for_due(self, other: asyncio.Future[Any], *, others_at_work: bool) -> None:
        """Wait until something was stored, *other* is done, or it is time to look for what others left."""
        pause_secs = min(self._pace.look_every_secs, _OTHERS_NEED_SECS if others_at_work else math.inf)
        due = asyncio.create_task(self._due.wait())
        try:
            await asyncio.wait({due, other}, timeout=pause_secs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            due.cancel()
            self._due.clear()

    async def _supervise(self, name: str, work: Callable[[], Awaitable[Any]], stop: asyncio.Event) -> None:
        """Do *work* again and again until *stop* is set, whatever goes wrong."""
        failures = 0
        while not stop.is_set():
            try:
                await work()
                failures = 0
            except (StablesatsError, MediciError, PyMongoError) as error:
                failures += 1
                self._count_failure(name, error)
            except Exception:  # noqa: BLE001 - the supervised edge: logged with its traceback, and counted
                failures += 1
                self.counts.failures += 1
                _log.exception(f"{name} failed unexpectedly", action=f"{name}-failed")
            if failures:
                await wait_or_stop(stop, _pause_secs(failures))

    async def _persist(
        self,
        name: str,
        work: Callable[[], Awaitable[Any]],
        stop: asyncio.Event,
        *,
        is_passing: Callable[[Exception], bool] = _is_passing,
    ) -> Any:
        """Do *work* once; again after failures in passing, but not for ever without any progress."""
        clock = asyncio.get_running_loop().time
        failures, failing_since, done = 0, 0.0, replace(self.counts)
        while True:
            try:
                return await work()
            except (MediciError, PyMongoError) as error:
                if replace(self.counts, failures=done.failures) != done:
                    failures = 0
                failures += 1
                if failures == 1:
                    failing_since = clock()
                if not is_passing(error) or clock() - failing_since > self._pace.patience_secs:
                    raise
                self._count_failure(name, error)
                done = replace(self.counts)
            if await wait_or_stop(stop, _pause_secs(failures)):
                return None

    def _count_failure(self, name: str, error: Exception) -> None:
        self.counts.failures += 1
        _log.warning(f"{name} failed", action=f"{name}-failed", error=str(error), kind=type(error).__name__)


def _lag_fields(lag: TradeLag) -> dict[str, int | float]:
    return {
        "unbooked": lag.unbooked,
        "reverts_pending": lag.reverts_pending,
        "reverts_waiting": lag.reverts_waiting,
        "oldest_secs": round(lag.oldest_secs, 3),
    }


def _pause_secs(failures: int) -> float:
    jitter = random.random()  # noqa: S311 - spreads retries, no secret
    return backoff_secs(failures, first_secs=_FIRST_PAUSE_SECS, max_secs=_LONGEST_PAUSE_SECS, jitter=jitter)

"""The hedging engine: keeps the OKX position inside its bounds around what users are owed.

Level-triggered. A change of the liability (from the ledger's change stream) or the timer only says that it
is time to look; what is done is decided from what is owed and what the exchange reports at that moment
(`stablesats.hedging.reconcile`). A missed trigger therefore costs at most one timer interval, and any number
of triggers costs one look.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog
from pymongo.errors import PyMongoError

from medici_py import LiveBalances, MediciError
from stablesats.errors import ConfigurationError, StablesatsError
from stablesats.hedging.hedge_adjustment import CONTRACT_CENTS, NegativeLiabilityError
from stablesats.hedging.orders import OrderSlots
from stablesats.hedging.reconcile import Outcome, Reconciler
from stablesats.hedging.settings import EngineSettings
from stablesats.ledger.balances import LedgerDamagedError
from stablesats.ledger.facade import Ledger
from stablesats.lifecycle import unless_stopped, wait_or_stop
from stablesats.okx import AccountConfig, Instrument, OkxAuthenticationError, OkxClient, OkxError
from stablesats.okx.retry import is_worth_retrying

__all__ = ["INSTRUMENT", "EngineSettings", "HedgingEngine", "pause_after"]

_log = structlog.get_logger(__name__)

INSTRUMENT: Final = "BTC-USD-SWAP"

_FIRST_PAUSE_SECS: Final = 0.5
_LONGEST_PAUSE_SECS: Final = 60.0
_LONGEST_WAIT_SECS: Final = 2.0
"""Longest time between two looks while an order is open or a position report is stale."""

_NEEDS_A_PERSON: Final = (OkxAuthenticationError, NegativeLiabilityError, LedgerDamagedError)
"""Failures that another look will not mend by itself: logged as errors."""


class HedgingEngine:
    """Takes a look whenever the liability changed or the timer says so, until it is stopped.

    Attributes:
        outcomes: How many looks ended in each outcome.
        failed_looks: How many looks failed; the engine goes on after each.
    """

    def __init__(
        self,
        *,
        client: OkxClient,
        ledger: Ledger,
        settings: EngineSettings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Hedge what *ledger* owes through *client*; *now* is the clock of what is written down."""
        self._client = client
        self._ledger = ledger
        self._settings = settings
        self._now = now
        self.outcomes: Counter[Outcome] = Counter()
        self.failed_looks = 0

    async def run(self, stop: asyncio.Event, *, on_ready: Callable[[], None] = lambda: None) -> None:
        """Hedge until *stop* is set; what is being read then is cut off, an order being sent is finished.

        Raises:
            ConfigurationError: If the exchange account or the instrument is not what the hedge needs.
            OkxError: If the exchange refuses to be asked at the start, for example by
                `OkxAuthenticationError`; one that is away or busy is waited for.
            MediciError: If the ledger cannot be prepared or followed at the start.
        """
        slots = OrderSlots(
            self._ledger.database, account=self._settings.account, instrument=INSTRUMENT, now=self._now
        )
        await self._ledger.prepare()
        await slots.prepare()
        instrument = await self._prepare_exchange(stop)
        if instrument is None:
            return
        reconciler = Reconciler(
            client=self._client,
            ledger=self._ledger,
            slots=slots,
            instrument=instrument,
            settings=self._settings,
            now=self._now,
        )
        async with LiveBalances(self._ledger.stablesats) as liability:
            on_ready()
            _log.info("engine is watching", action="engine-ready", instrument=instrument.inst_id)
            try:
                await self._loop(reconciler, liability, stop)
            finally:
                self._log_summary()

    async def _loop(self, reconciler: Reconciler, liability: LiveBalances, stop: asyncio.Event) -> None:
        setbacks = waits = 0
        while not stop.is_set():
            seen = liability.version
            outcome = await self._look(reconciler, stop)
            waits = waits + 1 if outcome is Outcome.WAITING else 0
            if outcome in {None, Outcome.REFUSED}:
                setbacks += 1
                await wait_or_stop(stop, pause_after(setbacks))
                continue
            await wait_or_stop(stop, self._pause_between_looks(waits))
            if outcome is Outcome.HEDGED:
                setbacks = 0
                await self._wait_for_trigger(liability, seen, stop)

    def _log_summary(self) -> None:
        looks = {outcome.value: self.outcomes[outcome] for outcome in Outcome}
        _log.info("engine has stopped", action="engine-summary", failed_looks=self.failed_looks, **looks)

    async def _look(self, reconciler: Reconciler, stop: asyncio.Event) -> Outcome | None:
        """One look; None if it failed or was cut off. Nothing that goes wrong in a look ends the engine."""
        try:
            outcome = await unless_stopped(reconciler.reconcile(), stop)
        except _NEEDS_A_PERSON as error:
            _log.error("look failed", action="look-failed", error=str(error), kind=type(error).__name__)
        except (StablesatsError, MediciError, PyMongoError) as error:
            _log.warning("look failed", action="look-failed", error=str(error), kind=type(error).__name__)
        except Exception:  # noqa: BLE001 - the supervised edge: logged with its traceback, and counted
            _log.exception("look failed unexpectedly", action="look-failed")
        else:
            if outcome is not None:
                self.outcomes[outcome] += 1
            return outcome
        self.failed_looks += 1
        return None

    def _pause_between_looks(self, waits: int) -> float:
        """The shortest interval, doubled for each look in a row that had to wait, up to two seconds."""
        shortest = self._settings.min_interval_secs
        return max(shortest, min(shortest * 2.0 ** min(max(waits - 1, 0), 10), _LONGEST_WAIT_SECS))

    async def _wait_for_trigger(self, liability: LiveBalances, seen: int, stop: asyncio.Event) -> None:
        """Wait for a change of the liability since *seen*, the timer, or *stop*.

        The timer needs no change stream: while that is away, the engine looks at every interval.
        """
        triggers = {
            asyncio.ensure_future(self._changed(liability, seen)),
            asyncio.ensure_future(stop.wait()),
        }
        try:
            await asyncio.wait(
                triggers, timeout=self._settings.poll_interval_secs, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for trigger in triggers:
                trigger.cancel()
            await asyncio.gather(*triggers, return_exceptions=True)

    async def _changed(self, liability: LiveBalances, seen: int) -> None:
        try:
            await liability.changed(seen)
        except Exception as error:  # noqa: BLE001 - logged; the timer goes on without the stream
            _log.warning("the ledger cannot be followed", action="trigger-lost", error=str(error))
            await asyncio.sleep(self._settings.poll_interval_secs)

    async def _prepare_exchange(self, stop: asyncio.Event) -> Instrument | None:
        """Check the account and read the instrument; waits for an exchange that is away. None if stopped."""
        setbacks = 0
        while not stop.is_set():
            try:
                return await unless_stopped(self._checked_instrument(), stop)
            except OkxError as error:
                if not is_worth_retrying(error):
                    raise
                setbacks += 1
                _log.warning("exchange is away", action="exchange-away", error=str(error))
                await wait_or_stop(stop, pause_after(setbacks))
        return None

    async def _checked_instrument(self) -> Instrument:
        config = await self._client.account_config()
        instrument = await self._client.instrument(INSTRUMENT)
        _require_account(config)
        _require_instrument(instrument)
        return instrument


def pause_after(setbacks: int) -> float:
    """Seconds to wait after *setbacks* (one or more) failures in a row: 0.5, 1, 2 ... up to a minute."""
    return min(_FIRST_PAUSE_SECS * 2.0 ** min(setbacks - 1, 10), _LONGEST_PAUSE_SECS)


def _require_account(config: AccountConfig) -> None:
    if not (config.is_net_mode and config.is_futures_mode):
        msg = (
            "the OKX account must be in net position mode and futures mode (acctLv 2), found posMode"
            f" {config.position_mode!r} and acctLv {config.account_level!r}; change it in OKX's settings"
        )
        raise ConfigurationError(msg)


def _require_instrument(instrument: Instrument) -> None:
    if instrument.contract_value_usd * 100 != CONTRACT_CENTS:
        msg = (
            f"one contract of {instrument.inst_id} is {instrument.contract_value_usd} USD,"
            " the hedge counts on 100"
        )
        raise ConfigurationError(msg)
    largest = instrument.max_market_contracts
    one_is_tradable = instrument.min_contracts <= 1 and (largest is None or largest >= 1)
    if 1 % instrument.lot_contracts != 0 or not one_is_tradable:
        msg = (
            f"the hedge trades whole contracts of {instrument.inst_id}, found lots of"
            f" {instrument.lot_contracts}, at least {instrument.min_contracts} and at most {largest} an order"
        )
        raise ConfigurationError(msg)

"""One look at what is owed and what is held, and at most one order to bring them together.

A look settles the order that is still open, observes, decides, reserves the slot, observes and decides again
under it, writes the order down, and sends it. Two engines on one account are safe: only the holder of the
slot sends, and it decides on what it observed while holding it. Every step is on disk before the next one
begins, so that a reconciler may die anywhere and another one goes on from what is written.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar

import structlog
from pymongo.errors import PyMongoError

from medici_py.task_end import end_task
from stablesats.hedging.hedge_adjustment import (
    Buy,
    ClosePosition,
    DoNothing,
    HedgeBounds,
    HedgeDecision,
    Sell,
    decide_hedge,
)
from stablesats.hedging.order_lifecycle import (
    HedgeOrder,
    OrderIntent,
    SlotState,
    intent_for,
    position_is_stale,
    reservation_is_abandoned,
    state_of,
    state_of_missing,
)
from stablesats.hedging.orders import OrderSlots, SlotLostError, SlotTakenError
from stablesats.hedging.settings import EngineSettings
from stablesats.ledger.facade import Ledger
from stablesats.okx import (
    DuplicateClientOrderIdError,
    Instrument,
    OkxClosedError,
    OkxInvalidRequestError,
    OkxOutcomeUnknownError,
    OkxRefusedError,
    OkxUnreachableError,
    Order,
    OrderAck,
    OrderNotFoundError,
    OrderSide,
    Position,
)

_log = structlog.get_logger(__name__)

T = TypeVar("T")

SEND_FINISHED_WITHIN_SECS: Final = 5.0
"""How long a cancelled look goes on with an order that is being sent, until its answer is written down."""

_NOT_SENT: Final = "not-sent"
"""Stands in a refused order's record instead of OKX's code when nothing has left this process."""


class HedgeExchange(Protocol):
    """The part of the exchange client that a look needs; every call means what it means in `OkxClient`."""

    async def position(self, inst_id: str) -> Position:
        """The net position."""
        ...

    async def order(self, inst_id: str, client_order_id: str) -> Order:
        """The order under a client order id, or `OrderNotFoundError`."""
        ...

    async def place_market_order(
        self,
        inst_id: str,
        side: OrderSide,
        size_contracts: Decimal,
        client_order_id: str,
        *,
        expires_at: datetime,
        reduce_only: bool = False,
    ) -> OrderAck:
        """Send an order, once."""
        ...

    async def server_time(self) -> datetime:
        """The exchange's clock, asked now."""
        ...

    def exchange_now(self) -> datetime:
        """The exchange's clock, as far as it is known without asking."""
        ...


class Outcome(StrEnum):
    """What one look ended in."""

    HEDGED = "hedged"
    """Nothing to do."""
    ORDERED = "ordered"
    """An order was sent; look again to see what became of it."""
    WAITING = "waiting"
    """An open order, another engine, or a position report that trails a fill is in the way."""
    REFUSED = "refused"
    """The exchange refused the order, or it could not be sent."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the hedge is decided on: both sides as observed at one moment."""

    target_cents: int
    exposure_cents: int
    position_contracts: Decimal

    def decide(self, bounds: HedgeBounds) -> HedgeDecision:
        """The decision for this situation."""
        return decide_hedge(
            liability_cents=self.target_cents, signed_exposure_cents=self.exposure_cents, bounds=bounds
        )


class Reconciler:
    """Takes one look and acts at most once. Holds no state that a restart would lose."""

    def __init__(
        self,
        *,
        client: HedgeExchange,
        ledger: Ledger,
        slots: OrderSlots,
        instrument: Instrument,
        settings: EngineSettings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Hedge what *ledger* owes on *instrument* through *client*, one order at a time in *slots*."""
        self._client = client
        self._ledger = ledger
        self._slots = slots
        self._instrument = instrument
        self._settings = settings
        self._now = now
        self._max_order_contracts = settings.max_order_contracts
        if instrument.max_market_contracts is not None:
            self._max_order_contracts = min(self._max_order_contracts, int(instrument.max_market_contracts))

    async def reconcile(self) -> Outcome:
        """Look once, act at most once.

        Safe to cancel anywhere: whatever was written down is settled by the next look, of whichever engine.
        A cancellation that meets an order on its way takes up to `SEND_FINISHED_WITHIN_SECS`.

        Raises:
            OkxError: If the exchange could not be asked; nothing is assumed about what was not answered.
            StablesatsError: If the books are damaged (`NegativeLiabilityError`, `LedgerDamagedError`).
            MediciError: If the ledger could not be read or written.
        """
        try:
            return await self._look()
        except SlotLostError as error:
            _log.info("another engine has moved the order on", action="slot-lost", error=str(error))
            return Outcome.WAITING

    async def _look(self) -> Outcome:
        open_order = await self._slots.open_order()
        if open_order is not None and (await self._settle(open_order)).state.is_open:
            return Outcome.WAITING
        situation = await self._observe()
        if situation is None:
            return Outcome.WAITING
        if isinstance(situation.decide(self._settings.bounds), DoNothing):
            return Outcome.HEDGED
        try:
            order = await self._slots.reserve()
        except SlotTakenError:
            return Outcome.WAITING
        return await self._act(order)

    async def _act(self, order: HedgeOrder) -> Outcome:
        """Decide again while holding the slot, when no other engine's order can be in between; then send."""
        try:
            situation = await self._observe()
            decision = None if situation is None else situation.decide(self._settings.bounds)
        except Exception:
            # If it cannot be given back either, the reservation lapses by itself.
            with contextlib.suppress(SlotLostError, PyMongoError):
                await self._slots.release(order)
            raise
        if situation is None or decision is None:
            await self._slots.release(order)
            return Outcome.WAITING
        if isinstance(decision, DoNothing):
            await self._slots.release(order)
            return Outcome.HEDGED
        return await self._send(order, self._intent(situation, decision))

    async def _observe(self) -> Situation | None:
        """Read what is owed and what is held, and mirror the latter; None if the answer trails a fill."""
        position = await self._client.position(self._instrument.inst_id)
        exposure_cents = position.signed_exposure_cents(self._instrument.contract_value_usd)
        stale = position_is_stale(
            position_contracts=position.size_contracts,
            last_executed=await self._slots.last_executed(),
            now=self._now(),
            patience=self._settings.stale_position_patience,
        )
        if stale:
            _log.info(
                "position report trails the last fill",
                action="position-stale",
                position_contracts=str(position.size_contracts),
            )
            return None
        await self._ledger.mirror_okx_position(
            exposure_cents, at=self._now(), reference={"instrument": self._instrument.inst_id}
        )
        return Situation(
            target_cents=await self._ledger.hedge_target_cents(),
            exposure_cents=exposure_cents,
            position_contracts=position.size_contracts,
        )

    def _intent(self, situation: Situation, decision: Sell | Buy | ClosePosition) -> OrderIntent:
        return intent_for(
            decision,
            target_cents=situation.target_cents,
            exposure_cents=situation.exposure_cents,
            position_contracts=situation.position_contracts,
            max_order_contracts=self._max_order_contracts,
        )

    async def _send(self, reserved: HedgeOrder, intent: OrderIntent) -> Outcome:
        expires_at = self._client.exchange_now() + self._settings.order_time_to_live
        order = await self._slots.mark_sent(reserved, intent, expires_at=expires_at)
        outcome, order = await _finished_if_cancelled(
            self._place(order, intent, expires_at), within_secs=SEND_FINISHED_WITHIN_SECS
        )
        if order.state is SlotState.ACCEPTED:
            await self._settle(order)
        return outcome

    async def _place(
        self, order: HedgeOrder, intent: OrderIntent, expires_at: datetime
    ) -> tuple[Outcome, HedgeOrder]:
        """Send *order* and write down what the exchange answers."""
        log = _log.bind(
            client_order_id=order.client_order_id,
            side=intent.side.value,
            size_contracts=str(intent.size_contracts),
            reduce_only=intent.reduce_only,
            decision=intent.action,
            target_cents=intent.target_cents,
            exposure_cents=intent.exposure_before_cents,
        )
        try:
            acknowledged = await self._client.place_market_order(
                self._instrument.inst_id,
                intent.side,
                intent.size_contracts,
                order.client_order_id,
                expires_at=expires_at,
                reduce_only=intent.reduce_only,
            )
        except (OkxOutcomeUnknownError, DuplicateClientOrderIdError) as error:
            # Sent, or not: the next look asks the exchange. The slot stays taken until it knows.
            log.warning("order outcome unknown", action="order-unknown", error=str(error))
            return Outcome.ORDERED, order
        except OkxRefusedError as error:
            log.error("order refused", action="order-refused", code=error.code, reason=error.message)
            return Outcome.REFUSED, await self._slots.mark_refused(
                order, code=error.code, message=error.message
            )
        except (OkxUnreachableError, OkxInvalidRequestError, OkxClosedError) as error:
            log.error("order not sent", action="order-not-sent", error=str(error))
            return Outcome.REFUSED, await self._slots.mark_refused(order, code=_NOT_SENT, message=str(error))
        log.info("order sent", action="order-sent", exchange_order_id=acknowledged.order_id)
        return Outcome.ORDERED, await self._slots.mark_accepted(order, acknowledged.order_id)

    async def _settle(self, order: HedgeOrder) -> HedgeOrder:
        """Ask the exchange what became of *order* and write it down."""
        if order.state is SlotState.RESERVED:
            if reservation_is_abandoned(order, now=self._now()):
                return await self._slots.release(order)
            return order
        try:
            seen = await self._client.order(order.instrument, order.client_order_id)
        except OrderNotFoundError:
            return await self._settle_missing(order)
        state = state_of(seen)
        if state is order.state and seen.filled_contracts == order.filled_contracts:
            return order
        settled = await self._slots.mark_seen(order, seen, state)
        _log.info(
            "order settled" if not state.is_open else "order is under way",
            action="order-settled" if not state.is_open else "order-under-way",
            client_order_id=order.client_order_id,
            state=state.value,
            filled_contracts=str(seen.filled_contracts),
        )
        return settled

    async def _settle_missing(self, order: HedgeOrder) -> HedgeOrder:
        # The clock first, then the question again: only "unknown" after the expiry proves anything.
        exchange_now = await self._client.server_time()
        try:
            await self._client.order(order.instrument, order.client_order_id)
        except OrderNotFoundError:
            state = state_of_missing(order, exchange_now=exchange_now)
        else:
            return order  # it has turned up; the next look settles it
        _log.warning(
            "order is not at the exchange",
            action="order-missing",
            client_order_id=order.client_order_id,
            was=order.state.value,
            state=state.value,
        )
        return order if state is order.state else await self._slots.mark_missing(order, state)


async def _finished_if_cancelled(work: Coroutine[Any, Any, T], *, within_secs: float) -> T:
    """Await *work*; a cancellation takes effect once it has ended, or after *within_secs*."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        try:
            await asyncio.wait({task}, timeout=within_secs)
        finally:
            # An error in it is left to the next look, which settles what was written down.
            await end_task(task)
        raise

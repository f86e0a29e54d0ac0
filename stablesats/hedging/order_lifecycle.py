"""The life of a hedge order, from reservation to settlement, as values and pure rules.

An order is written down before the exchange is asked: reserved, then marked as sent, then sent. Whatever
happens after that is settled by asking the exchange for the client order id. OKX keeps such an id unique
among pending orders only, so an order is never sent a second time; it carries an expiry instead, and only
when the exchange's own clock is past that expiry and it still does not know the order, the order has
provably never arrived and never will.

Source: OKX v5, ``POST /api/v5/trade/order`` (``clOrdId``, header ``expTime``).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, assert_never

from stablesats.hedging.hedge_adjustment import Buy, ClosePosition, Sell
from stablesats.okx import Order, OrderSide, OrderState

EXPIRY_GRACE: Final = timedelta(seconds=2)
"""How far past the expiry the exchange's clock must be before "unknown order" proves anything."""

RESERVATION_HELD_FOR: Final = timedelta(seconds=5)
"""How long a slot may be reserved without being used before another engine may take it over."""

CANCELLED_UNFILLED_KEPT_FOR: Final = timedelta(hours=2)
"""OKX forgets orders that were cancelled without a fill after this time; filled ones stay for months."""


class SlotState(StrEnum):
    """Where a hedge order stands. The first three hold the account's order slot."""

    RESERVED = "reserved"
    """Written down; certainly not sent while in this state."""
    SENT = "sent"
    """About to be sent or sent; the outcome is not known."""
    ACCEPTED = "accepted"
    """The exchange has acknowledged it or knows it, and it is not finished."""
    FILLED = "filled"
    CANCELED = "canceled"
    """Ended early, possibly after partial fills."""
    REFUSED = "refused"
    """The exchange said no; nothing was executed."""
    NEVER_ARRIVED = "never_arrived"
    """Proven never to have reached the exchange, and too old to be accepted any more."""
    ABANDONED = "abandoned"
    """Reserved but never sent: the engine stopped or found that it was not needed."""

    @property
    def is_open(self) -> bool:
        """Whether an order in this state holds the slot."""
        return self in {SlotState.RESERVED, SlotState.SENT, SlotState.ACCEPTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderIntent:
    """What is to be sent, complete: nothing about the order is decided after it is written down.

    Attributes:
        side: Buy or sell.
        size_contracts: Contracts, above zero.
        reduce_only: True when it may only shrink the position (closing).
        action: The decision behind it: ``sell``, ``buy`` or ``close-position``.
        target_cents: Dollars that were to be hedged when it was decided.
        exposure_before_cents: Signed dollar value of the position when it was decided.
        position_before_contracts: Signed contracts when it was decided.
    """

    side: OrderSide
    size_contracts: Decimal
    reduce_only: bool
    action: str
    target_cents: int
    exposure_before_cents: int
    position_before_contracts: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeOrder:
    """An order as it is written down.

    Attributes:
        client_order_id: Our id, known to the exchange as ``clOrdId``.
        account: The exchange account whose slot it takes.
        sequence: Its place among the orders of the account, from 1: no clock is needed to order them.
        instrument: The instrument.
        state: Where it stands.
        reserved_at: When the slot was taken.
        intent: What was to be sent; None while the slot is only reserved.
        expires_at: The exchange must not accept it after this instant of its own clock; None while only
            reserved.
        filled_contracts: Contracts executed, as far as known.
        settled_at: When it reached a final state.
    """

    client_order_id: str
    account: str
    sequence: int
    instrument: str
    state: SlotState
    reserved_at: datetime
    intent: OrderIntent | None = None
    expires_at: datetime | None = None
    filled_contracts: Decimal = Decimal(0)
    settled_at: datetime | None = None

    @property
    def position_after_contracts(self) -> Decimal | None:
        """The signed position that its fills lead to; None while the slot is only reserved."""
        if self.intent is None:
            return None
        sign = 1 if self.intent.side is OrderSide.BUY else -1
        return self.intent.position_before_contracts + sign * self.filled_contracts


def intent_for(
    decision: Sell | Buy | ClosePosition,
    *,
    target_cents: int,
    exposure_cents: int,
    position_contracts: Decimal,
    max_order_contracts: int,
) -> OrderIntent:
    """The order that carries out *decision*, not larger than *max_order_contracts*.

    A close is sent as a reduce-only market order of the whole position and not through OKX's
    ``close-position``: that call takes no expiry, so a delayed one could close a later hedge.
    What a capped order leaves is decided again once it is settled.
    """
    match decision:
        case Sell(contracts):
            side, size, action = OrderSide.SELL, Decimal(contracts), "sell"
        case Buy(contracts):
            side, size, action = OrderSide.BUY, Decimal(contracts), "buy"
        case ClosePosition():
            side = OrderSide.BUY if position_contracts < 0 else OrderSide.SELL
            size, action = abs(position_contracts), "close-position"
        case _:
            assert_never(decision)
    return OrderIntent(
        side=side,
        size_contracts=min(size, Decimal(max_order_contracts)),
        reduce_only=isinstance(decision, ClosePosition),
        action=action,
        target_cents=target_cents,
        exposure_before_cents=exposure_cents,
        position_before_contracts=position_contracts,
    )


def state_of(order: Order) -> SlotState:
    """Where an order stands that the exchange knows. A state unknown to us is not final."""
    match order.state:
        case OrderState.FILLED:
            return SlotState.FILLED
        case OrderState.CANCELED | OrderState.MMP_CANCELED:
            return SlotState.CANCELED
        case OrderState.LIVE | OrderState.PARTIALLY_FILLED | OrderState.UNKNOWN:
            return SlotState.ACCEPTED
        case _:
            assert_never(order.state)


def state_of_missing(order: HedgeOrder, *, exchange_now: datetime) -> SlotState:
    """Where *order*, once sent, stands when the exchange says that it does not know it.

    Args:
        order: As written down, with its expiry.
        exchange_now: The exchange's own clock, read **before** it was asked for the order.

    Returns:
        The state it has from now on. An order that may still arrive keeps its state, and with it the slot.
    """
    if order.expires_at is None:
        return order.state
    if order.state is SlotState.SENT and exchange_now > order.expires_at + EXPIRY_GRACE:
        return SlotState.NEVER_ARRIVED
    if order.state is SlotState.ACCEPTED and exchange_now > order.expires_at + CANCELLED_UNFILLED_KEPT_FOR:
        # It was there once. Had any of it been filled, the exchange would still know it.
        return SlotState.CANCELED
    return order.state


def reservation_is_abandoned(order: HedgeOrder, *, now: datetime) -> bool:
    """Whether *order* was reserved so long ago that its owner must be gone.

    It was certainly not sent, and taking it away is safe even if the owner lives: marking it as sent
    then fails, and an order that is not marked is not sent. A time as far in the future says the same: the
    clock that wrote it down was not this one, or has been stepped since.
    """
    return order.state is SlotState.RESERVED and abs(now - order.reserved_at) > RESERVATION_HELD_FOR


def position_is_stale(
    *, position_contracts: Decimal, last_executed: HedgeOrder | None, now: datetime, patience: timedelta
) -> bool:
    """Whether a reported position may not show the last fills yet.

    Exchanges answer position queries from copies that can trail a fill, also by a part of it. Acting on such
    an answer would send the same hedge again. So, for *patience* after an order was settled, only the
    position that its fills lead to is believed. A position that something else moved (a liquidation, a
    trade by hand) is believed after that time, and if the order was settled as far in the future, by a clock
    that is not this one or has been stepped since.
    """
    if last_executed is None or last_executed.settled_at is None:
        return False
    has_caught_up = position_contracts == last_executed.position_after_contracts
    return not has_caught_up and abs(now - last_executed.settled_at) < patience

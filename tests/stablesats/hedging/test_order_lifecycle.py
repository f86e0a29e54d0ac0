"""The life of a hedge order: which order carries out a decision, and what an answer, or none, proves."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.hedging.hedge_adjustment import Buy, ClosePosition, Sell
from stablesats.hedging.order_lifecycle import (
    CANCELLED_UNFILLED_KEPT_FOR,
    EXPIRY_GRACE,
    RESERVATION_HELD_FOR,
    HedgeOrder,
    OrderIntent,
    SlotState,
    intent_for,
    position_is_stale,
    reservation_is_abandoned,
    state_of,
    state_of_missing,
)
from stablesats.okx import Order, OrderSide

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)


def intent(decision: Sell | Buy | ClosePosition, position: str = "0", cap: int = 1_000) -> OrderIntent:
    contracts = Decimal(position)
    return intent_for(
        decision,
        target_cents=1_000_000,
        exposure_cents=int(contracts * 10_000),
        position_contracts=contracts,
        max_order_contracts=cap,
    )


def order(state: SlotState = SlotState.SENT, **facts: Any) -> HedgeOrder:
    return HedgeOrder(
        **{
            "client_order_id": "a1",
            "account": "okx",
            "sequence": 1,
            "instrument": "BTC-USD-SWAP",
            "state": state,
            "reserved_at": NOON,
            "expires_at": None if state is SlotState.RESERVED else NOON,
            **facts,
        }
    )


class TestIntent:
    @pytest.mark.parametrize(
        ("decision", "position", "side", "size", "reduce_only", "action"),
        [
            (Sell(5), "-10", OrderSide.SELL, "5", False, "sell"),
            (Buy(5), "-10", OrderSide.BUY, "5", False, "buy"),
            (ClosePosition(), "-10", OrderSide.BUY, "10", True, "close-position"),
            (ClosePosition(), "10", OrderSide.SELL, "10", True, "close-position"),
            (ClosePosition(), "-0.3", OrderSide.BUY, "0.3", True, "close-position"),
        ],
    )
    def test_decision_becomes_one_order(
        self, *, decision: Any, position: str, side: OrderSide, size: str, reduce_only: bool, action: str
    ) -> None:
        """Side, size and reduce-only follow from the decision; a close trades against the position."""
        made = intent(decision, position)
        assert (made.side, made.size_contracts, made.reduce_only, made.action) == (
            side,
            Decimal(size),
            reduce_only,
            action,
        )
        assert made.position_before_contracts == Decimal(position)

    @pytest.mark.parametrize(("contracts", "cap", "size"), [(9, 10, 9), (10, 10, 10), (11, 10, 10)])
    @pytest.mark.parametrize("kind", [Sell, Buy, "close"])
    def test_size_is_capped(self, kind: Any, contracts: int, cap: int, size: int) -> None:
        """Below, at and above the cap."""
        made = (
            intent(ClosePosition(), f"-{contracts}", cap)
            if kind == "close"
            else intent(kind(contracts), cap=cap)
        )
        assert made.size_contracts == size


class TestState:
    @pytest.mark.parametrize(
        ("reported", "state"),
        [
            ("live", SlotState.ACCEPTED),
            ("partially_filled", SlotState.ACCEPTED),
            ("filled", SlotState.FILLED),
            ("canceled", SlotState.CANCELED),
            ("mmp_canceled", SlotState.CANCELED),
            ("something new", SlotState.ACCEPTED),
        ],
    )
    def test_reported_state(self, reported: str, state: SlotState) -> None:
        """A state that nobody knows is not final."""
        seen = Order.model_validate(
            {
                "instId": "BTC-USD-SWAP",
                "ordId": "1",
                "clOrdId": "a1",
                "side": "sell",
                "state": reported,
                "sz": "1",
                "accFillSz": "0",
                "avgPx": "",
                "fee": "",
                "cTime": "1",
                "uTime": "1",
            }
        )
        assert state_of(seen) is state

    def test_three_states_hold_the_slot(self) -> None:
        """Reserved, sent and accepted; every other state frees it."""
        held = {state for state in SlotState if state.is_open}
        assert held == {SlotState.RESERVED, SlotState.SENT, SlotState.ACCEPTED}


class TestMissing:
    @pytest.mark.parametrize(
        ("state", "past_expiry", "becomes"),
        [
            (SlotState.SENT, EXPIRY_GRACE - MOMENT, SlotState.SENT),
            (SlotState.SENT, EXPIRY_GRACE, SlotState.SENT),
            (SlotState.SENT, EXPIRY_GRACE + MOMENT, SlotState.NEVER_ARRIVED),
            (SlotState.ACCEPTED, EXPIRY_GRACE + MOMENT, SlotState.ACCEPTED),
            (SlotState.ACCEPTED, CANCELLED_UNFILLED_KEPT_FOR, SlotState.ACCEPTED),
            (SlotState.ACCEPTED, CANCELLED_UNFILLED_KEPT_FOR + MOMENT, SlotState.CANCELED),
        ],
    )
    def test_unknown_order_is_given_up_only_when_that_is_proven(
        self, state: SlotState, past_expiry: timedelta, becomes: SlotState
    ) -> None:
        """Before, at and after the bound, for an order that was sent and for one that was acknowledged."""
        assert state_of_missing(order(state), exchange_now=NOON + past_expiry) is becomes

    @given(st.timedeltas())
    def test_reserved_order_is_never_missing(self, since: timedelta) -> None:
        """It was not sent, so that the exchange does not know it says nothing."""
        try:
            exchange_now = NOON + since
        except OverflowError:
            return
        assert state_of_missing(order(SlotState.RESERVED), exchange_now=exchange_now) is SlotState.RESERVED


class TestReservation:
    @pytest.mark.parametrize(
        ("age", "abandoned"),
        [
            (RESERVATION_HELD_FOR - MOMENT, False),
            (RESERVATION_HELD_FOR, False),
            (RESERVATION_HELD_FOR + MOMENT, True),
            (-RESERVATION_HELD_FOR, False),
            (-RESERVATION_HELD_FOR - MOMENT, True),
            (-timedelta(days=365), True),
        ],
    )
    def test_reservation_is_held_for_a_while(self, age: timedelta, abandoned: bool) -> None:
        """Before, at and after the bound; also when a clock that was ahead has written it down."""
        assert reservation_is_abandoned(order(SlotState.RESERVED), now=NOON + age) is abandoned

    @pytest.mark.parametrize("state", [state for state in SlotState if state is not SlotState.RESERVED])
    def test_what_was_sent_is_never_abandoned(self, state: SlotState) -> None:
        """However old it is."""
        assert not reservation_is_abandoned(order(state), now=NOON + timedelta(days=365))


class TestStalePosition:
    PATIENCE = timedelta(seconds=10)

    def is_stale(self, position: str, last: HedgeOrder | None, after: timedelta = timedelta(0)) -> bool:
        return position_is_stale(
            position_contracts=Decimal(position),
            last_executed=last,
            now=NOON + after,
            patience=self.PATIENCE,
        )

    def executed(self, decision: Sell | Buy, before: str, filled: str) -> HedgeOrder:
        return order(
            SlotState.FILLED,
            intent=intent(decision, before),
            filled_contracts=Decimal(filled),
            settled_at=NOON,
        )

    @pytest.mark.parametrize(
        ("decision", "before", "filled", "position", "stale"),
        [
            (Sell(5), "-10", "5", "-15", False),  # -10 - 5
            (Sell(5), "-10", "5", "-10", True),  # nothing of it shows
            (Sell(5), "-10", "5", "-12", True),  # a part shows
            (Sell(5), "-10", "2", "-12", False),  # ended early after two
            (Buy(5), "-10", "5", "-5", False),  # -10 + 5
            (Buy(5), "-10", "5", "-10", True),
            (Buy(5), "-10", "5", "-15", True),  # the wrong way: somebody else's doing, or an older copy
        ],
    )
    def test_only_the_position_that_the_fills_lead_to_is_believed(
        self, decision: Any, before: str, filled: str, position: str, stale: bool
    ) -> None:
        """Right after an order was settled."""
        assert self.is_stale(position, self.executed(decision, before, filled)) is stale

    @pytest.mark.parametrize(
        ("after", "stale"),
        [
            (PATIENCE - MOMENT, True),
            (PATIENCE, False),
            (PATIENCE + MOMENT, False),
            (MOMENT - PATIENCE, True),
            (-PATIENCE, False),
            (-timedelta(days=365), False),
        ],
    )
    def test_any_position_is_believed_after_the_patience(self, after: timedelta, stale: bool) -> None:
        """Before, at and after the bound; also when a clock that was ahead has settled the order."""
        assert self.is_stale("-10", self.executed(Sell(5), "-10", "5"), after) is stale

    def test_first_position_ever_is_believed(self) -> None:
        """Without an executed order there is nothing that it could trail."""
        assert not self.is_stale("-10", None)

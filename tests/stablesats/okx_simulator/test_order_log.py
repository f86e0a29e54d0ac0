"""Orders by each of their ids, and each change of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from stablesats.okx_simulator.market import Side
from stablesats.okx_simulator.order_log import OrderLog, is_forgotten
from stablesats.okx_simulator.orders import CancelSource, Order, OrderState, OrderTicket, canceled
from stablesats.okx_simulator.refusals import RefusalError

AT = datetime(2026, 9, 1, tzinfo=UTC)


def order(order_id: str, client_order_id: str = "") -> Order:
    ticket = OrderTicket(
        inst_id="BTC-USD-SWAP",
        side=Side.BUY,
        contracts=Decimal(1),
        client_order_id=client_order_id,
        tag="",
        reduce_only=False,
    )
    return Order(
        order_id=order_id,
        ticket=ticket,
        state=OrderState.LIVE,
        lever=Decimal(1),
        created_at=AT,
        updated_at=AT,
    )


def test_order_is_found_by_either_id_and_the_exchanges_wins() -> None:
    """Of several with one client id the newest; none given is a refusal."""
    log = OrderLog()
    for order_id in ("1", "2"):
        log.put(order(order_id, "a"))
    found = [log.find(*ids) for ids in (("", "a"), ("1", "a"), ("1", ""), ("3", "a"), ("", "b"))]
    assert [each and each.order_id for each in found] == ["2", "1", "1", None, None]
    with pytest.raises(RefusalError, match="51003"):
        log.find("", "")


def test_only_orders_that_may_trade_are_pending() -> None:
    """A final one is remembered, and not pending."""
    log = OrderLog()
    first, second = log.put(order("1", "a")), log.put(order("2"))
    log.put(canceled(first, CancelSource.USER, AT))
    assert ([each.order_id for each in log.pending], len(log)) == (["2"], 2)
    assert log["1"].state is OrderState.CANCELED
    assert log["2"] == second


@pytest.mark.parametrize(
    ("ended", "never_again", "refused"), [(False, False, True), (True, False, False), (True, True, True)]
)
def test_client_id_is_taken_while_pending_or_forever(ended: bool, never_again: bool, refused: bool) -> None:
    """OKX checks pending orders only; a strict exchange checks all."""
    log = OrderLog()
    placed = log.put(order("1", "a"))
    if ended:
        log.put(canceled(placed, CancelSource.USER, AT))
    log.check_client_id("", never_again=True)
    if refused:
        with pytest.raises(RefusalError, match="51016"):
            log.check_client_id("a", never_again=never_again)
    else:
        log.check_client_id("a", never_again=never_again)


def test_each_reader_sees_the_changes_after_what_it_has_seen() -> None:
    """Counted from when the log was made; what is restored is no change."""
    log = OrderLog()
    log.restore([order("1")])
    seen = log.change_count
    placed = log.put(order("2"))
    log.put(canceled(placed, CancelSource.USER, AT))
    assert seen == 0
    assert [change.order.state for change in log.changes_since(seen)] == [
        OrderState.LIVE,
        OrderState.CANCELED,
    ]
    assert log.changes_since(2) == []


@pytest.mark.parametrize(
    ("state", "filled", "hours", "forgotten"),
    [
        (OrderState.CANCELED, 0, 2, False),
        (OrderState.CANCELED, 0, 2.01, True),
        (OrderState.CANCELED, 1, 99, False),
        (OrderState.FILLED, 1, 99, False),
        (OrderState.LIVE, 0, 99, False),
    ],
)
def test_what_was_cancelled_unfilled_is_forgotten_after_two_hours(
    state: OrderState, filled: int, hours: float, forgotten: bool
) -> None:
    """Anything that has traded is remembered."""
    done = replace(order("1"), state=state, filled_contracts=Decimal(filled))
    assert is_forgotten(done, AT + timedelta(hours=hours)) is forgotten

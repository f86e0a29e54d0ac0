"""An order state that we do not know: it counts as pending, and the log says so, quoting OKX's word."""

from collections.abc import Mapping, Sequence

import structlog

from stablesats.okx.messages import Order, OrderState

_log = structlog.get_logger(__name__)


def alarm_unknown_states(orders: Sequence[Order], rows: Sequence[Mapping[str, object]]) -> None:
    """Log a warning for each order in a state that we do not know.

    Args:
        orders: As they were read from *rows*, one by one.
        rows: As OKX sent them.
    """
    for order, row in zip(orders, rows, strict=True):
        if order.state is OrderState.UNKNOWN:
            _log.warning(
                "OKX reports an order state that we do not know; it counts as pending",
                action="okx-order-state-unknown",
                client_order_id=order.client_order_id,
                order_id=order.order_id,
                states=[row.get("state")],
            )

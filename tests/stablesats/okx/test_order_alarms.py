"""An order state that we do not know."""

from structlog.testing import capture_logs

from stablesats.okx import Order
from stablesats.okx.order_alarms import alarm_unknown_states


def test_only_an_unknown_state_is_worth_a_warning(order_row) -> None:
    """It names the order by both ids and quotes OKX's word, so that it can be added."""
    rows = [order_row(), order_row(state="live"), order_row(clOrdId="", ordId="7", state="frozen")]
    with capture_logs() as logs:
        alarm_unknown_states([Order.model_validate(row) for row in rows], rows)
    (alarm,) = logs
    assert (alarm["log_level"], alarm["action"]) == ("warning", "okx-order-state-unknown")
    assert (alarm["client_order_id"], alarm["order_id"], alarm["states"]) == ("", "7", ["frozen"])

"""Endpoints that place, cancel and show orders.

Source: OKX API v5, "Trade".
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from stablesats.okx_simulator.endpoints import (
    ARCHIVE_KEPT,
    Answer,
    Call,
    Charges,
    Endpoint,
    Handler,
    flat,
    page,
)
from stablesats.okx_simulator.orders import (
    check_cross_margin,
    check_net_side,
    checked_client_id,
    checked_tag,
    field_flag,
    field_text,
    instrument_named,
    parse_ticket,
)
from stablesats.okx_simulator.rate_limits import Charge, Limit
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.rows import fill_row, millis, order_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from stablesats.okx_simulator.orders import Order
    from stablesats.okx_simulator.rows import Row

_MAX_BATCH: Final = 20
_ORDERS_KEPT: Final = timedelta(days=7)
_FILLS_KEPT: Final = timedelta(days=3)
_PLACE: Final = Limit("POST trade/order", 60, keyed_by="instId")
_BATCH: Final = Limit("trade/batch-orders", 300, keyed_by="instId")
_ALL_ORDERS: Final = Limit("all new orders of an account", 1000, code="50061")


def place_order(call: Call) -> Answer:
    """Accept one order; the answer says accepted, not filled."""
    call.check_not_expired()
    return _items([_placed(call, call.fields)])


def place_orders(call: Call) -> Answer:
    """Accept up to twenty orders, each on its own."""
    call.check_not_expired()
    if not isinstance(call.body, list):
        raise RefusalError("50002")
    if not 1 <= len(call.body) <= _MAX_BATCH:
        raise RefusalError("51000", "batchOrders")
    return _items([_placed(call, raw) for raw in call.body])


def order_details(call: Call) -> Answer:
    """Answer one order; of several with one client order id, the newest."""
    call.instrument_only(call.required("instId"))
    order = call.exchange.order(
        order_id=call.query.get("ordId", ""), client_order_id=call.query.get("clOrdId", "")
    )
    return Answer([order_row(order, call.exchange.instrument)])


def cancel_order(call: Call) -> Answer:
    """Cancel a pending order; one that is done or unknown is refused with 51400."""
    order_id, client_order_id = field_text(call.fields, "ordId"), field_text(call.fields, "clOrdId")
    item = {"clOrdId": client_order_id, "ordId": order_id, "ts": millis(call.started_at)}
    try:
        instrument_named(call.fields, call.exchange.instrument)
        order = call.exchange.cancel(order_id=order_id, client_order_id=client_order_id)
    except RefusalError as refusal:
        return _items([item | _refused(refusal)])
    return _items([item | {"clOrdId": order.ticket.client_order_id, "ordId": order.order_id} | _accepted()])


def close_position(call: Call) -> Answer:
    """Close the whole position at market; the answer has no order id, only the client's own."""
    call.instrument_only(field_text(call.fields, "instId"))
    check_cross_margin(field_text(call.fields, "mgnMode"), "mgnMode")
    check_net_side(field_text(call.fields, "posSide"))
    order = call.exchange.close_position(
        client_order_id=checked_client_id(field_text(call.fields, "clOrdId")),
        tag=checked_tag(field_text(call.fields, "tag")),
        cancel_pending=field_flag(call.fields, "autoCxl"),
    )
    ticket = order.ticket
    row = {
        "clOrdId": ticket.client_order_id,
        "instId": ticket.inst_id,
        "posSide": field_text(call.fields, "posSide"),
        "tag": ticket.tag,
    }
    return Answer([row])


def pending_orders(call: Call) -> Answer:
    """Answer the orders that may still trade, newest first."""
    call.exchange.advance()
    return _orders(call, call.exchange.pending_orders[::-1])


def order_history(call: Call, *, kept: timedelta) -> Answer:
    """Answer the orders that are done since *kept* ago at most, newest first."""
    call.required("instType")
    orders = call.exchange.order_history()
    since = call.now - kept
    return _orders(call, [order for order in orders if order.updated_at >= since])


def fills(call: Call, *, kept: timedelta) -> Answer:
    """Answer the executions since *kept* ago, newest first."""
    exchange = call.exchange
    exchange.advance()
    since = call.now - kept
    recent = takewhile(lambda fill: fill.at >= since, reversed(exchange.fills))
    rows = (fill_row(fill, exchange.order_of(fill), exchange.instrument) for fill in recent)
    return Answer(page(rows, call.query, key="billId", time_key="ts"))


def refused_items(body: object, refusal: RefusalError, at: datetime) -> Answer:
    """Refuse every order of a request for the same reason."""
    orders = body if isinstance(body, list) else [body]
    return _items([_item(raw, at) | _refused(refusal) for raw in orders])


def _item(raw: object, at: datetime) -> Row:
    named: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
    return {
        "clOrdId": _echo(named.get("clOrdId")),
        "ordId": _echo(named.get("ordId")),
        "tag": _echo(named.get("tag")),
        "ts": millis(at),
    }


def _placed(call: Call, raw: object) -> Row:
    item = _item(raw, call.started_at) | {"ordId": ""}
    try:
        order = call.exchange.place(parse_ticket(raw, call.exchange.instrument))
    except RefusalError as refusal:
        return item | _refused(refusal)
    return item | {"ordId": order.order_id} | _accepted()


def _items(items: Sequence[Row]) -> Answer:
    """Sum up items in the envelope: 0 all went well, 1 none did, 2 some did."""
    refused = sum(item["sCode"] != "0" for item in items)
    match refused:
        case 0:
            return Answer(items, is_trade=True)
        case _ if refused == len(items):
            return Answer(items, code="1", message="All operations failed", is_trade=True)
        case _:
            return Answer(items, code="2", message="Bulk operation partially succeeded.", is_trade=True)


def _accepted() -> Row:
    return {"sCode": "0", "sMsg": "", "subCode": ""}


def _refused(refusal: RefusalError) -> Row:
    return {"sCode": refusal.code, "sMsg": refusal.message, "subCode": refusal.sub_code}


def _echo(value: object) -> str:
    return value if isinstance(value, str) else ""


def _orders(call: Call, orders: Sequence[Order]) -> Answer:
    rows = (order_row(order, call.exchange.instrument) for order in orders)
    return Answer(page(rows, call.query, key="ordId", time_key="cTime"))


def _batch(body: object) -> Sequence[Charge]:
    """A batch of one counts as a single order."""
    orders = len(body) if isinstance(body, list) else 1
    own = Charge(_PLACE) if orders == 1 else Charge(_BATCH, orders)
    return (own, Charge(_ALL_ORDERS, orders))


def _trade(
    method: str, path: str, handler: Handler, charges: Charges, *, is_itemised: bool = False
) -> Endpoint:
    return Endpoint(
        method=method,
        path=f"/api/v5/trade/{path}",
        handler=handler,
        charges=charges,
        is_private=True,
        is_itemised=is_itemised,
    )


TRADE_ENDPOINTS: Final = (
    _trade("POST", "order", place_order, flat(_PLACE, _ALL_ORDERS), is_itemised=True),
    _trade("POST", "batch-orders", place_orders, _batch, is_itemised=True),
    _trade("GET", "order", order_details, flat(Limit("GET trade/order", 60, keyed_by="instId"))),
    _trade(
        "POST",
        "cancel-order",
        cancel_order,
        flat(Limit("trade/cancel-order", 60, keyed_by="instId")),
        is_itemised=True,
    ),
    _trade(
        "POST", "close-position", close_position, flat(Limit("trade/close-position", 20, keyed_by="instId"))
    ),
    _trade("GET", "orders-pending", pending_orders, flat(Limit("trade/orders-pending", 60))),
    _trade(
        "GET",
        "orders-history",
        partial(order_history, kept=_ORDERS_KEPT),
        flat(Limit("trade/orders-history", 40)),
    ),
    _trade(
        "GET",
        "orders-history-archive",
        partial(order_history, kept=ARCHIVE_KEPT),
        flat(Limit("trade/orders-history-archive", 20)),
    ),
    _trade("GET", "fills", partial(fills, kept=_FILLS_KEPT), flat(Limit("trade/fills", 60))),
    _trade("GET", "fills-history", partial(fills, kept=ARCHIVE_KEPT), flat(Limit("trade/fills-history", 10))),
)

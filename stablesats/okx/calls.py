"""The requests about market, account and orders, as they are signed and sent; pure.

Every rule that OKX documents for what we send is checked here, so that a request that can never succeed is
an error in our own words and not an answer to interpret. Those about the funding account are in
`stablesats.okx.funding_calls`.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from stablesats.okx import endpoints
from stablesats.okx.amounts import positive_text
from stablesats.okx.call import (
    Call,
    Fields,
    body_text,
    checked_client_order_id,
    checked_instrument_id,
    request_target,
)
from stablesats.okx.endpoints import Endpoint
from stablesats.okx.errors import OkxInvalidRequestError
from stablesats.okx.messages import OrderSide
from stablesats.okx.new_order import NewOrder
from stablesats.okx.page import NEWEST, Page

CROSS_MARGIN: Final = "cross"
SWAP: Final = "SWAP"
MAX_BOOK_LEVELS: Final = 400
MAX_BATCH_ORDERS: Final = 20

_INSTRUMENT_FAMILY = re.compile(r"[A-Z0-9]+-[A-Z0-9]+", re.ASCII)


# Public


def server_time() -> Call:
    """Ask for OKX's clock."""
    return _get(endpoints.SERVER_TIME)


def instrument(inst_id: str) -> Call:
    """Ask for the trading rules of a perpetual swap."""
    return _get(endpoints.INSTRUMENTS, {"instType": SWAP}, inst_id=inst_id)


def ticker(inst_id: str) -> Call:
    """Ask for the last, bid and ask price."""
    return _get(endpoints.TICKER, inst_id=inst_id)


def tickers() -> Call:
    """Ask for the tickers of all perpetual swaps."""
    return _get(endpoints.TICKERS, {"instType": SWAP})


def order_book(inst_id: str, levels: int) -> Call:
    """Ask for the best *levels* of both sides of the book, 1 to 400."""
    if isinstance(levels, bool) or not 1 <= levels <= MAX_BOOK_LEVELS:
        raise OkxInvalidRequestError(f"a book has 1 to {MAX_BOOK_LEVELS} levels a side, asked for {levels}")
    return _get(endpoints.BOOKS, {"sz": str(levels)}, inst_id=inst_id)


def mark_price(inst_id: str) -> Call:
    """Ask for the mark price."""
    return _get(endpoints.MARK_PRICE, {"instType": SWAP}, inst_id=inst_id)


def funding_rate(inst_id: str) -> Call:
    """Ask for the next funding rate."""
    return _get(endpoints.FUNDING_RATE, inst_id=inst_id)


def system_status() -> Call:
    """Ask for maintenance, announced and under way."""
    return _get(endpoints.SYSTEM_STATUS)


# Account


def account_config() -> Call:
    """Ask for account level and position mode."""
    return _get(endpoints.ACCOUNT_CONFIG)


def leverage(inst_id: str) -> Call:
    """Ask for the cross-margin leverage."""
    return _get(endpoints.LEVERAGE_INFO, {"mgnMode": CROSS_MARGIN}, inst_id=inst_id)


def balance(currency: str) -> Call:
    """Ask for one currency of the trading account."""
    return _get(endpoints.BALANCE, {"ccy": currency})


def positions(inst_id: str) -> Call:
    """Ask for the position on one instrument."""
    return _get(endpoints.POSITIONS, inst_id=inst_id)


def max_size(inst_id: str) -> Call:
    """Ask for the largest orders in cross margin."""
    return _get(endpoints.MAX_SIZE, {"tdMode": CROSS_MARGIN}, inst_id=inst_id)


def max_withdrawal(currency: str) -> Call:
    """Ask how much of a currency can leave the trading account."""
    return _get(endpoints.MAX_WITHDRAWAL, {"ccy": currency})


def trade_fees(family: str) -> Call:
    """Ask for the fee rates of the swaps of a family, such as ``BTC-USD``."""
    if not _INSTRUMENT_FAMILY.fullmatch(family):
        raise OkxInvalidRequestError(f"instrument family {family[:64]!r} is not of the form BTC-USD")
    return _get(endpoints.TRADE_FEE, {"instType": SWAP, "instFamily": family})


def bills(currency: str, kind: str, page: Page = NEWEST, *, archive: bool = False) -> Call:
    """Ask for bills of 7 days, or of 3 months from the archive; *kind* is OKX's type, ``""`` for all."""
    if kind and not (kind.isascii() and kind.isdecimal()):
        raise OkxInvalidRequestError(f"a type of bill is a number in OKX's table, found {kind[:64]!r}")
    query = {"ccy": currency, **({"type": kind} if kind else {}), **page.query()}
    return _get(endpoints.BILLS_ARCHIVE if archive else endpoints.BILLS, query)


def set_leverage(inst_id: str, leverage: Decimal | int) -> Call:
    """Ask to set the cross-margin leverage."""
    fields: dict[str, str | bool] = {
        "instId": checked_instrument_id(inst_id),
        "lever": positive_text(leverage, "a leverage"),
        "mgnMode": CROSS_MARGIN,
    }
    return _post(endpoints.SET_LEVERAGE, fields, inst_id=inst_id)


def set_net_mode() -> Call:
    """Ask to keep one signed position an instrument."""
    return _post(endpoints.SET_POSITION_MODE, {"posMode": "net_mode"})


# Trade


def order_details(inst_id: str, client_order_id: str) -> Call:
    """Ask for the newest order under our id."""
    query = {"clOrdId": checked_client_order_id(client_order_id)}
    return _get(endpoints.ORDER_DETAILS, query, inst_id=inst_id, client_order_id=client_order_id)


def order_by_id(inst_id: str, order_id: str) -> Call:
    """Ask for the order under OKX's id."""
    return _get(endpoints.ORDER_DETAILS, {"ordId": _checked_order_id(order_id)}, inst_id=inst_id)


def pending_orders(inst_id: str, page: Page = NEWEST) -> Call:
    """Ask for the orders that are not final."""
    return _get(endpoints.ORDERS_PENDING, {"instType": SWAP, **page.query()}, inst_id=inst_id)


def order_history(inst_id: str, page: Page = NEWEST, *, archive: bool = False) -> Call:
    """Ask for final orders of 7 days, or of 3 months from the archive."""
    endpoint = endpoints.ORDERS_ARCHIVE if archive else endpoints.ORDERS_HISTORY
    return _get(endpoint, {"instType": SWAP, **page.query()}, inst_id=inst_id)


def fills(inst_id: str, page: Page = NEWEST, *, order_id: str = "", archive: bool = False) -> Call:
    """Ask for trades of 3 days, or of 3 months from the archive; of one order where *order_id* is given."""
    of_order = {"ordId": _checked_order_id(order_id)} if order_id else {}
    query = {"instType": SWAP, **of_order, **page.query()}
    return _get(endpoints.FILLS_ARCHIVE if archive else endpoints.FILLS, query, inst_id=inst_id)


def market_order(
    inst_id: str,
    side: OrderSide,
    size_contracts: Decimal | int,
    client_order_id: str,
    *,
    expires_at: datetime,
    reduce_only: bool = False,
) -> Call:
    """Ask for a market order in cross margin; raises as `new_order` does."""
    order = NewOrder(
        side=side, size_contracts=size_contracts, client_order_id=client_order_id, reduce_only=reduce_only
    )
    return new_order(inst_id, order, expires_at=expires_at)


def new_order(inst_id: str, order: NewOrder, *, expires_at: datetime) -> Call:
    """Ask for an order in cross margin.

    Raises:
        OkxInvalidRequestError: If the size is not above zero, the id is not 1 to 32 letters and digits, the
            price does not fit the type, the instrument id is malformed, or *expires_at* has no zone.
    """
    return _post(
        endpoints.PLACE_ORDER,
        _order_fields(inst_id, order),
        inst_id=inst_id,
        client_order_id=order.client_order_id,
        expires_at=_checked_expiry(expires_at),
    )


def batch_orders(inst_id: str, orders: Sequence[NewOrder], *, expires_at: datetime) -> Call:
    """Ask for 1 to 20 orders on one instrument at once; each stands or falls by itself.

    Raises:
        OkxInvalidRequestError: As `new_order`; also if they are none or too many, or two share an id.
    """
    if not 1 <= len(orders) <= MAX_BATCH_ORDERS:
        raise OkxInvalidRequestError(f"a batch has 1 to {MAX_BATCH_ORDERS} orders, found {len(orders)}")
    client_order_ids = [order.client_order_id for order in orders]
    if len(set(client_order_ids)) < len(client_order_ids):
        raise OkxInvalidRequestError("two orders of a batch have the same client order id")
    return Call(
        endpoints.BATCH_OF_ONE if len(orders) == 1 else endpoints.BATCH_ORDERS,
        endpoints.BATCH_ORDERS.path,
        body=body_text([_order_fields(inst_id, order) for order in orders]),
        inst_id=inst_id,
        client_order_id=",".join(client_order_ids),
        expires_at=_checked_expiry(expires_at),
        cost=len(orders),
    )


def cancel_order(inst_id: str, client_order_id: str) -> Call:
    """Ask to cancel the pending order under our id."""
    return _post_by_id(endpoints.CANCEL_ORDER, inst_id, {}, client_order_id)


def close_position(inst_id: str, client_order_id: str) -> Call:
    """Ask to close the whole cross-margin position at the market."""
    return _post_by_id(endpoints.CLOSE_POSITION, inst_id, {"mgnMode": CROSS_MARGIN}, client_order_id)


def _order_fields(inst_id: str, order: NewOrder) -> Fields:
    return {
        "instId": checked_instrument_id(inst_id),
        "tdMode": CROSS_MARGIN,
        **order.fields(),
        "clOrdId": checked_client_order_id(order.client_order_id),
    }


def _checked_order_id(order_id: str) -> str:
    if not (order_id.isascii() and order_id.isdecimal() and len(order_id) <= 32):
        raise OkxInvalidRequestError(f"an order id of OKX is digits, found {order_id[:64]!r}")
    return order_id


def _checked_expiry(expires_at: datetime) -> datetime:
    if expires_at.tzinfo is None:
        raise OkxInvalidRequestError(
            f"an order expires at an aware time, found {expires_at.isoformat()} without a zone"
        )
    return expires_at


def _get(
    endpoint: Endpoint,
    query: Mapping[str, str] | None = None,
    *,
    inst_id: str | None = None,
    client_order_id: str = "",
) -> Call:
    asked = {} if inst_id is None else {"instId": checked_instrument_id(inst_id)}
    asked.update(query or {})
    return Call(
        endpoint, request_target(endpoint, asked), inst_id=inst_id or "", client_order_id=client_order_id
    )


def _post_by_id(endpoint: Endpoint, inst_id: str, fields: Fields, client_order_id: str) -> Call:
    document = {
        "instId": checked_instrument_id(inst_id),
        **fields,
        "clOrdId": checked_client_order_id(client_order_id),
    }
    return _post(endpoint, document, inst_id=inst_id, client_order_id=client_order_id)


def _post(
    endpoint: Endpoint,
    document: Fields,
    *,
    inst_id: str = "",
    client_order_id: str = "",
    expires_at: datetime | None = None,
) -> Call:
    return Call(
        endpoint,
        endpoint.path,
        body=body_text(document),
        inst_id=inst_id,
        client_order_id=client_order_id,
        expires_at=expires_at,
    )

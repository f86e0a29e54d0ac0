"""Which row of an answer is the one that was asked for; pure.

A row is looked up by what it is about (instrument, currency, order id) and never by its place: the first
row of an answer may be another one. Several rows where there can be one are an error, as is none, except
where OKX documents that it leaves the row out (no bitcoin, no position).
"""

from decimal import Decimal

from stablesats.okx.calls import CROSS_MARGIN, Call
from stablesats.okx.envelope import Row, not_understood, read_row
from stablesats.okx.messages import (
    AccountConfig,
    CloseAck,
    Instrument,
    Leverage,
    Order,
    OrderAck,
    Position,
    ServerTime,
    Ticker,
    TradingBalance,
)

NET = "net"


def server_time_of(rows: list[Row], call: Call) -> ServerTime:
    """Return OKX's clock."""
    return read_row(ServerTime, _only(rows, call, "row"), call)


def instrument_of(rows: list[Row], call: Call) -> Instrument:
    """Return the instrument that was asked for."""
    return read_row(Instrument, _about_instrument(rows, call), call)


def ticker_of(rows: list[Row], call: Call) -> Ticker:
    """Return the ticker of the instrument that was asked for."""
    return read_row(Ticker, _about_instrument(rows, call), call)


def account_config_of(rows: list[Row], call: Call) -> AccountConfig:
    """Return the account's set-up."""
    return read_row(AccountConfig, _only(rows, call, "row"), call)


def leverage_of(rows: list[Row], call: Call) -> Decimal:
    """Return the leverage in net mode; in long-short mode there are two, which is an error."""
    row = _about_instrument(rows, call)
    leverage = read_row(Leverage, row, call)
    if leverage.position_side not in (NET, ""):
        not_understood(
            call, f"the leverage is that of the {leverage.position_side} side; set the account to net mode"
        )
    return leverage.leverage


def trading_balance_of(rows: list[Row], call: Call, currency: str) -> TradingBalance:
    """Return the balance in *currency*; zeros if the account is there and the currency's row is not."""
    account = _only(rows, call, "account row")
    details = account.get("details")
    if not isinstance(details, list) or not all(isinstance(detail, dict) for detail in details):
        not_understood(call, "the account row has no list of details")
    matching = [detail for detail in details if detail.get("ccy") == currency]
    if not matching:
        return TradingBalance.empty()
    return read_row(TradingBalance, _only(matching, call, f"row for {currency}"), call)


def net_position_of(rows: list[Row], call: Call) -> Position:
    """Return the cross-margin net position on the instrument that was asked for.

    Flat in both of its shapes: no row at all, or a row with a size of zero and every other number empty. A
    position in isolated margin, or in long-short mode, is an error: it would be exposure left out.
    """
    if not rows:
        return Position.flat(call.inst_id)
    open_positions: list[Position] = []
    for row in rows:
        position = read_row(Position, row, call)
        if position.inst_id != call.inst_id:
            not_understood(call, f"expected positions on {call.inst_id}, found {position.inst_id}")
        if position.is_flat:
            continue
        mode = (row.get("posSide"), row.get("mgnMode"))
        if mode != (NET, CROSS_MARGIN):
            not_understood(call, f"expected a net position in cross margin, found posSide and mgnMode {mode}")
        open_positions.append(position)
    if len(open_positions) > 1:
        not_understood(call, f"expected one position on {call.inst_id}, found {len(open_positions)}")
    return open_positions[0] if open_positions else Position.flat(call.inst_id)


def order_of(rows: list[Row], call: Call) -> Order:
    """Return the order under the client order id that was asked for."""
    order = read_row(Order, _about_instrument(rows, call), call)
    if order.client_order_id != call.client_order_id:
        not_understood(call, f"asked for order {call.client_order_id}, found {order.client_order_id!r}")
    return order


def order_ack_of(rows: list[Row], call: Call) -> OrderAck:
    """Return OKX's acceptance of the order, or of its cancellation."""
    ack = read_row(OrderAck, _only(rows, call, "item"), call)
    if ack.client_order_id != call.client_order_id:
        not_understood(call, f"sent order {call.client_order_id}, but {ack.client_order_id} was accepted")
    return ack


def close_accepted(rows: list[Row], call: Call) -> None:
    """Check that the acceptance is about the position that was to be closed."""
    read_row(CloseAck, _about_instrument(rows, call), call)


def _about_instrument(rows: list[Row], call: Call) -> Row:
    matching = [row for row in rows if row.get("instId") == call.inst_id]
    return _only(matching, call, f"row for {call.inst_id}")


def _only(rows: list[Row], call: Call, what: str) -> Row:
    if len(rows) != 1:
        not_understood(call, f"expected one {what}, found {len(rows)}")
    return rows[0]

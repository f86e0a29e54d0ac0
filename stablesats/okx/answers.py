"""Which row of an answer is the one that was asked for; pure.

A row is looked up by what it is about (instrument, currency, order id) and never by its place: the first
row of an answer may be another one. Several rows where there can be one are an error, as is none, except
where OKX documents that it leaves the row out (no bitcoin, no position).
"""

from decimal import Decimal
from typing import TypeAlias, TypeVar

from stablesats.okx.account_messages import MaxOrderSize, MaxWithdrawal, TradeFees
from stablesats.okx.call import Call
from stablesats.okx.calls import CROSS_MARGIN
from stablesats.okx.envelope import Row, not_understood, read_row
from stablesats.okx.errors import (
    OkxOutcomeUnknownError,
    OkxRefusedError,
    may_have_been_executed,
    refusal,
)
from stablesats.okx.fields import Message, parse_instant
from stablesats.okx.market_messages import FundingRate, MarkPrice, OrderBook, read_levels
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

BatchOutcome: TypeAlias = OrderAck | OkxRefusedError | OkxOutcomeUnknownError
"""What became of one order of a batch: accepted, certainly not executed, or unknown."""

M = TypeVar("M", bound=Message)


def every_row(model: type[M], rows: list[Row], call: Call) -> list[M]:
    """Return all rows as values, in OKX's order; one that is malformed is an error, never left out."""
    return [read_row(model, row, call) for row in rows]


def server_time_of(rows: list[Row], call: Call) -> ServerTime:
    """Return OKX's clock."""
    return read_row(ServerTime, _only(rows, call, "row"), call)


def instrument_of(rows: list[Row], call: Call) -> Instrument:
    """Return the instrument that was asked for."""
    return read_row(Instrument, _about_instrument(rows, call), call)


def ticker_of(rows: list[Row], call: Call) -> Ticker:
    """Return the ticker of the instrument that was asked for."""
    return read_row(Ticker, _about_instrument(rows, call), call)


def order_book_of(rows: list[Row], call: Call) -> OrderBook:
    """Return the book; OKX does not repeat the instrument in it."""
    row = _only(rows, call, "book")
    sequence = row.get("seqId")
    try:
        return OrderBook(
            inst_id=call.inst_id,
            bids=read_levels(row.get("bids")),
            asks=read_levels(row.get("asks")),
            at=parse_instant(row.get("ts")),
            sequence=sequence if isinstance(sequence, int) else None,
        )
    except ValueError as exc:
        not_understood(call, f"malformed book: {exc}", cause=exc)


def mark_price_of(rows: list[Row], call: Call) -> MarkPrice:
    """Return the mark price of the instrument that was asked for."""
    return read_row(MarkPrice, _about_instrument(rows, call), call)


def funding_rate_of(rows: list[Row], call: Call) -> FundingRate:
    """Return the funding rate of the instrument that was asked for."""
    return read_row(FundingRate, _about_instrument(rows, call), call)


def trade_fees_of(rows: list[Row], call: Call) -> TradeFees:
    """Return the account's fee rates."""
    return read_row(TradeFees, _only(rows, call, "row"), call)


def max_order_size_of(rows: list[Row], call: Call) -> MaxOrderSize:
    """Return the largest orders on the instrument that was asked for."""
    return read_row(MaxOrderSize, _about_instrument(rows, call), call)


def max_withdrawal_of(rows: list[Row], call: Call, currency: str) -> MaxWithdrawal:
    """Return how much of *currency* can leave the trading account."""
    matching = [row for row in rows if row.get("ccy") == currency]
    return read_row(MaxWithdrawal, _only(matching, call, f"row for {currency}"), call)


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


def order_by_id_of(rows: list[Row], call: Call, order_id: str) -> Order:
    """Return the order under OKX's id that was asked for."""
    order = read_row(Order, _about_instrument(rows, call), call)
    if order.order_id != order_id:
        not_understood(call, f"asked for order {order_id}, found {order.order_id}")
    return order


def order_ack_of(rows: list[Row], call: Call) -> OrderAck:
    """Return OKX's acceptance of the order, or of its cancellation."""
    ack = read_row(OrderAck, _only(rows, call, "item"), call)
    if ack.client_order_id != call.client_order_id:
        not_understood(call, f"sent order {call.client_order_id}, but {ack.client_order_id} was accepted")
    return ack


def batch_outcomes_of(rows: list[Row], call: Call) -> dict[str, BatchOutcome]:
    """Return what became of each order of a batch, by client order id, in the order sent.

    Raises:
        OkxOutcomeUnknownError: The items do not match the orders: nothing is known of any of them.
    """
    items = {str(row.get("clOrdId", "")): row for row in rows}
    sent = call.client_order_id.split(",")
    if len(rows) != len(sent) or items.keys() != set(sent):
        not_understood(call, f"sent orders {call.client_order_id}, but {','.join(items)} were answered")
    return {client_order_id: _batch_outcome(items[client_order_id], call) for client_order_id in sent}


def _batch_outcome(row: Row, call: Call) -> BatchOutcome:
    code, message = str(row.get("sCode", "")), str(row.get("sMsg", ""))
    request, client_order_id = str(call.endpoint), str(row["clOrdId"])
    if code == "0" and row.get("ordId"):
        return read_row(OrderAck, row, call)
    if code == "0" or may_have_been_executed(code):
        reason = f"code {code}: {message or 'accepted without an order id'}"
        return OkxOutcomeUnknownError(reason, request=request, client_order_id=client_order_id, code=code)
    return refusal(code=code, message=message, http_status=200, request=request)


def setting_accepted(rows: list[Row], call: Call) -> None:
    """Check that OKX says what it has set."""
    _only(rows, call, "row")


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

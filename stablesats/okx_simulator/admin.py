"""The operator's side: state, price, replay, faults and deposits, under ``/admin`` and unsigned.

A client of the exchange never sees these; they answer to the machine itself only. Answers are plain
JSON objects; a request that makes no sense is answered with 400 and ``{"error": ...}``.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from stablesats.okx_simulator.amounts import plain_text
from stablesats.okx_simulator.errors import AdminRequestError
from stablesats.okx_simulator.faults import (
    AnswerStatus,
    DelayAnswer,
    DelayRequest,
    DropAfter,
    DropBefore,
    HideOrder,
    NotJson,
    ScriptedFault,
)
from stablesats.okx_simulator.rows import order_row

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from stablesats.okx_simulator.exchange import Exchange
    from stablesats.okx_simulator.faults import Fault, FaultScript

AdminAction: TypeAlias = Callable[["AdminDesk", "Mapping[str, Any]"], dict[str, Any]]

_MAX_DELAY_MS: Final = 600_000
_ORDER_FIELDS: Final = (
    "ordId",
    "clOrdId",
    "side",
    "sz",
    "accFillSz",
    "avgPx",
    "state",
    "reduceOnly",
    "cTime",
    "fee",
    "pnl",
)


class AdminDesk:
    """What the admin API does, without HTTP.

    Args:
        exchange: The exchange to look at and to change.
        faults: The script that faults are added to.
        requests: How often each path was called.
        refusals: How often each OKX code was answered.
    """

    def __init__(
        self,
        exchange: Exchange,
        faults: FaultScript,
        *,
        requests: Counter[str],
        refusals: Counter[str],
    ) -> None:
        self.exchange = exchange
        self.faults = faults
        self._requests = requests
        self._refusals = refusals

    def state(self, _fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return prices, replay, account totals and counters; amounts are texts."""
        exchange = self.exchange
        exchange.advance()
        account, price = exchange.account, exchange.price
        return {
            "replay": self._replay_state(),
            "price": {
                "bid": plain_text(price.bid_usd),
                "ask": plain_text(price.ask_usd),
                "last": plain_text(price.last_usd),
                "mark": plain_text(price.mark_usd),
            },
            "position_contracts": plain_text(account.contracts),
            "cash_btc": plain_text(account.cash_btc),
            "funding_btc": plain_text(exchange.funding_btc),
            "deposited_btc": plain_text(account.deposited_btc),
            "orders": exchange.order_count,
            "fills": len(exchange.fills),
            "fees_btc": plain_text(account.fees_btc),
            "realized_pnl_btc": plain_text(account.realized_pnl_btc),
            "requests": dict(self._requests),
            "refusals": dict(self._refusals),
        }

    def orders(self, _fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return every order ever accepted, oldest first."""
        self.exchange.advance()
        rows = (order_row(order, self.exchange.instrument) for order in self.exchange.orders)
        return {"orders": [{name: row[name] for name in _ORDER_FIELDS} for row in rows]}

    def set_price(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Hold the market at ``price``, or at ``bid`` and ``ask``, until it is released."""
        bid = _amount(fields, "price" if "price" in fields else "bid")
        ask = bid if "price" in fields else _amount(fields, "ask")
        if not 0 < bid <= ask:
            raise AdminRequestError(f"bid {bid} and ask {ask} must satisfy 0 < bid <= ask")
        self.exchange.advance()
        self.exchange.feed.set_by_hand(bid, ask)
        return self.state({})

    def release_price(self, _fields: Mapping[str, Any]) -> dict[str, Any]:
        """Give the market back to the replay or the configured price."""
        self.exchange.advance()
        self.exchange.feed.follow()
        return self.state({})

    def control_replay(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Start or pause the replay."""
        clock = self.exchange.feed.replay_clock
        if clock is None:
            raise AdminRequestError("there is no replay to control; start the simulator with one")
        self.exchange.advance()
        match fields.get("action"):
            case "start":
                clock.start()
            case "pause":
                clock.pause()
            case action:
                raise AdminRequestError(f"action is {action!r}, and must be 'start' or 'pause'")
        return self.state({})

    def deposit(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Add ``trading_btc`` and ``funding_btc`` (negative: take out) to the balances."""
        unknown = fields.keys() - {"trading_btc", "funding_btc"}
        if unknown or not fields:
            raise AdminRequestError("a deposit has trading_btc, funding_btc or both, and nothing else")
        self.exchange.deposit(**{name: _amount(fields, name) for name in fields})
        return self.state({})

    def list_faults(self, _fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the faults that are still to come."""
        return {"faults": [_fault_row(scripted) for scripted in self.faults.pending]}

    def add_fault(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Add a fault: ``endpoint kind method count``, and per kind ``ms`` or ``status`` and ``code``."""
        endpoint, method = fields.get("endpoint"), fields.get("method")
        if not isinstance(endpoint, str) or not endpoint:
            raise AdminRequestError("endpoint must be a path such as trade/order")
        if method not in {None, "GET", "POST"}:
            raise AdminRequestError(f"method is {method!r}, and must be GET, POST or absent")
        self.faults.add(
            endpoint, _fault(fields), method=method, count=_whole(fields, "count", default=1, most=1_000_000)
        )
        return self.list_faults({})

    def clear_faults(self, _fields: Mapping[str, Any]) -> dict[str, Any]:
        """Forget the faults that are still to come."""
        self.faults.clear()
        return self.list_faults({})

    def _replay_state(self) -> dict[str, Any] | None:
        clock = self.exchange.feed.replay_clock
        if clock is None:
            return None
        return {
            "at": clock.at().isoformat(),
            "speed": plain_text(clock.replay.speed),
            "finished": clock.finished,
            "started": clock.started,
            "starts_at": clock.replay.starts_at.isoformat(),
            "ends_at": clock.replay.ends_at.isoformat(),
        }


ADMIN_ACTIONS: Final[Mapping[tuple[str, str], AdminAction]] = {
    ("GET", "/admin/state"): AdminDesk.state,
    ("GET", "/admin/orders"): AdminDesk.orders,
    ("POST", "/admin/price"): AdminDesk.set_price,
    ("DELETE", "/admin/price"): AdminDesk.release_price,
    ("POST", "/admin/replay"): AdminDesk.control_replay,
    ("POST", "/admin/deposit"): AdminDesk.deposit,
    ("GET", "/admin/faults"): AdminDesk.list_faults,
    ("POST", "/admin/faults"): AdminDesk.add_fault,
    ("DELETE", "/admin/faults"): AdminDesk.clear_faults,
}


def _fault(fields: Mapping[str, Any]) -> Fault:
    match fields.get("kind"):
        case "drop_before":
            return DropBefore()
        case "drop_after":
            return DropAfter()
        case "delay":
            return DelayRequest(_whole(fields, "ms", most=_MAX_DELAY_MS))
        case "delay_answer":
            return DelayAnswer(_whole(fields, "ms", most=_MAX_DELAY_MS))
        case "status":
            code = fields.get("code")
            return AnswerStatus(_status(fields, 503), code if isinstance(code, str) else "50001")
        case "not_json":
            return NotJson(_status(fields, 502))
        case "hide_order":
            return HideOrder(_whole(fields, "ms", most=_MAX_DELAY_MS))
        case kind:
            raise AdminRequestError(
                f"kind is {kind!r}, and must be drop_before, drop_after, delay, delay_answer, status,"
                " not_json or hide_order"
            )


def _fault_row(scripted: ScriptedFault) -> dict[str, Any]:
    return {
        "endpoint": scripted.path,
        "method": scripted.method,
        "fault": repr(scripted.fault),
        "count": scripted.count,
    }


def _status(fields: Mapping[str, Any], default: int) -> int:
    status = _whole(fields, "status", default=default, most=599)
    if status < 200:
        raise AdminRequestError(f"status is {status}, and must be between 200 and 599")
    return status


def _whole(fields: Mapping[str, Any], name: str, *, most: int, default: int | None = None) -> int:
    value = fields.get(name, default)
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or int(text) > most:
        raise AdminRequestError(f"{name} is {value!r}, and must be a whole number up to {most}")
    return int(text)


def _amount(fields: Mapping[str, Any], name: str) -> Decimal:
    value = fields.get(name)
    try:
        amount = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite():
        raise AdminRequestError(f"{name} is {value!r}, and must be a number")
    return amount

"""The operator's side: state, price, replay, faults and deposits, under ``/admin`` and unsigned.

A client of the exchange never sees these; they answer to the machine itself only. Answers are plain
JSON objects; a request that makes no sense is answered with 400 and ``{"error": ...}``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from stablesats.okx_simulator.admin_fields import amount, flag, only, text, whole
from stablesats.okx_simulator.amounts import plain_text
from stablesats.okx_simulator.asset_rows import deposit_row
from stablesats.okx_simulator.book_requests import read_book
from stablesats.okx_simulator.conditions import Conditions
from stablesats.okx_simulator.errors import AdminRequestError
from stablesats.okx_simulator.fault_requests import add_fault, fault_rows
from stablesats.okx_simulator.replay import MAX_PRICE_USD
from stablesats.okx_simulator.rows import order_row

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from stablesats.okx_simulator.exchange import Exchange
    from stablesats.okx_simulator.fault_script import FaultScript

AdminAction: TypeAlias = Callable[["AdminDesk", "Mapping[str, Any]"], dict[str, Any]]

_MAX_BLOCKS: Final = 1_000
_MAX_SKEW_MS: Final = 10**10
_MAX_SPEED: Final = 1_000_000
_MAX_SKIP_SECS: Final = 366 * 86_400
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
        conditions: Clock skew and maintenance.
        save: Writes the state to its file; returns whether there is one.
    """

    def __init__(
        self,
        exchange: Exchange,
        faults: FaultScript,
        *,
        requests: Counter[str],
        refusals: Counter[str],
        conditions: Conditions | None = None,
        save: Callable[[], bool] = lambda: False,
    ) -> None:
        self.exchange = exchange
        self.faults = faults
        self._requests = requests
        self._refusals = refusals
        self._conditions = conditions or Conditions()
        self._save = save

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
        """Hold the market at ``price``, or ``bid`` and ``ask``, until it is released; ``index`` if given."""
        only(fields, *(("price", "index") if "price" in fields else ("bid", "ask", "index")))
        bid = amount(fields, "price" if "price" in fields else "bid")
        ask = bid if "price" in fields else amount(fields, "ask")
        least = self.exchange.instrument.tick_usd
        if not least <= bid <= ask <= MAX_PRICE_USD:
            raise AdminRequestError(
                f"bid {bid} and ask {ask} must satisfy {least} <= bid <= ask <= {MAX_PRICE_USD}"
            )
        index = amount(fields, "index") if "index" in fields else None
        if index is not None and not least <= index <= MAX_PRICE_USD:
            raise AdminRequestError(f"index is {index}, and must be between {least} and {MAX_PRICE_USD}")
        self.exchange.advance()
        self.exchange.feed.set_by_hand(bid, ask, index_usd=index)
        self.exchange.advance()
        return self.state({})

    def set_book(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Hold the market at a book: ``asks`` and ``bids``, pairs of price and contracts, best first."""
        book = read_book(fields, self.exchange.instrument)
        self.exchange.advance()
        self.exchange.feed.set_by_hand(book.bids[0].price_usd, book.asks[0].price_usd, book=book)
        self.exchange.advance()
        return self.state({})

    def release_price(self, _fields: Mapping[str, Any]) -> dict[str, Any]:
        """Give the market back to the replay or the configured price."""
        self.exchange.advance()
        self.exchange.feed.follow()
        self.exchange.advance()
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
        self.exchange.deposit(**{name: amount(fields, name) for name in fields})
        return self.state({})

    def list_faults(self, _fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the faults that are still to come."""
        return {"faults": fault_rows(self.faults)}

    def add_fault(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Add a fault, as `fault_requests` describes it."""
        add_fault(self.faults, fields)
        return self.list_faults({})

    def clear_faults(self, _fields: Mapping[str, Any]) -> dict[str, Any]:
        """Forget the faults that are still to come."""
        self.faults.clear()
        return self.list_faults({})

    def custody(self, _fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return who holds the bitcoin that was paid in, and the discrepancy, which is always ``0``."""
        self.exchange.advance()
        custody = self.exchange.custody
        return {
            "trading_btc": plain_text(custody.trading_btc),
            "funding_btc": plain_text(custody.funding_btc),
            "in_transit_btc": plain_text(custody.in_transit_btc),
            "exchange_btc": plain_text(custody.exchange_btc),
            "counterparties_btc": plain_text(custody.counterparties_btc),
            "paid_in_btc": plain_text(custody.paid_in_btc),
            "discrepancy_btc": plain_text(custody.discrepancy_btc),
        }

    def conditions(self, _fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return clock skew, maintenance, how fast time passes, and how often the margin was low."""
        since = self._conditions.maintenance_since
        clock = self.exchange.clock
        return {
            "clock_skew_ms": self._conditions.clock_skew // timedelta(milliseconds=1),
            "maintenance_since": None if since is None else since.isoformat(),
            "now": clock.now().isoformat(),
            "speed": clock.speed,
            "margin_alerts": self.exchange.trading.margin_alerts,
        }

    def set_conditions(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Set ``clock_skew_ms``, by which the server's clock is ahead, and ``maintenance``, true or false."""
        only(fields, "clock_skew_ms", "maintenance")
        if "clock_skew_ms" in fields:
            skew_ms = amount(fields, "clock_skew_ms")
            if abs(skew_ms) > _MAX_SKEW_MS:
                raise AdminRequestError(f"clock_skew_ms is {skew_ms}, and must be within {_MAX_SKEW_MS}")
            self._conditions.clock_skew = timedelta(milliseconds=int(skew_ms))
        if "maintenance" in fields:
            begins = self._conditions.maintenance_since or self.exchange.clock.now()
            self._conditions.maintenance_since = begins if flag(fields, "maintenance") else None
        return self.conditions({})

    def set_time(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Let the exchange's time pass at ``speed``, and skip ``skip_secs`` ahead."""
        only(fields, "speed", "skip_secs")
        speed = whole(fields, "speed", most=_MAX_SPEED, default=int(self.exchange.clock.speed))
        skip_secs = whole(fields, "skip_secs", most=_MAX_SKIP_SECS, default=0)
        if speed < 1:
            raise AdminRequestError("speed is 0, and must be at least 1")
        self.exchange.advance()
        self.exchange.clock.run(float(speed))
        self.exchange.clock.skip(float(skip_secs))
        self.exchange.advance()
        return self.conditions({})

    def set_funding(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Set the funding ``rate`` of the settlements to come; ``settle`` settles now, once, as well."""
        only(fields, "rate", "settle")
        if "rate" in fields:
            rate = amount(fields, "rate")
            if abs(rate) > 1:
                raise AdminRequestError(f"rate is {rate}, and must be within -1 and 1")
            self.exchange.timeline.funding_rate = rate
        if flag(fields, "settle"):
            self.exchange.timeline.settle_funding(self.exchange.timeline.funding_rate)
        return self.state({})

    def chain_deposit(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Let a payment of ``amt`` BTC appear, to ``addr`` or else the selected address, as ``txId``."""
        only(fields, "amt", "addr", "txId")
        exchange = self.exchange
        exchange.advance()
        deposit = exchange.wallet.receive(
            amount(fields, "amt"),
            at=exchange.clock.now(),
            now_secs=exchange.clock.monotonic(),
            address=text(fields, "addr", default=""),
            tx_id=text(fields, "txId", default=""),
        )
        exchange.advance()
        return {"deposit": deposit_row(exchange.wallet.deposits[deposit.deposit_id])}

    def mine(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Add ``count`` blocks, one by default."""
        only(fields, "count")
        self.exchange.advance()
        for _ in range(whole(fields, "count", most=_MAX_BLOCKS, default=1)):
            self.exchange.wallet.mine()
        return self.state({})

    def new_address(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Hand out another deposit address, which is selected from now on."""
        only(fields)
        return {"addr": self.exchange.wallet.new_address()}

    def set_money_state(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Put the deposit or withdrawal ``id`` into the ``state`` that OKX calls by that number.

        A number that OKX does not have is taken, too: a client must know what to do with it.
        """
        only(fields, "id", "state")
        money_id, state = text(fields, "id"), text(fields, "state")
        if not re.fullmatch("-?[0-9]{1,3}", state):
            raise AdminRequestError(
                f"state is {state!r}, and must be a number as OKX's states are, such as 2"
            )
        self.exchange.advance()
        if money_id in self.exchange.wallet.deposits:
            self.exchange.wallet.set_deposit_state(money_id, state)
        else:
            self.exchange.wallet.set_withdrawal_state(money_id, state)
        return self.state({})

    def fail_transfers(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Let the next ``count`` transfers to finish fail; their amount goes back."""
        only(fields, "count")
        self.exchange.advance()
        self.exchange.wallet.failing_transfers = whole(fields, "count", most=1_000_000, default=1)
        return {"failing_transfers": self.exchange.wallet.failing_transfers}

    def save(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Write the state to the file it was started with."""
        only(fields)
        if not self._save():
            raise AdminRequestError("there is no state file; start the simulator with one")
        return {"saved": True}

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
    ("POST", "/admin/book"): AdminDesk.set_book,
    ("POST", "/admin/replay"): AdminDesk.control_replay,
    ("POST", "/admin/deposit"): AdminDesk.deposit,
    ("GET", "/admin/faults"): AdminDesk.list_faults,
    ("POST", "/admin/faults"): AdminDesk.add_fault,
    ("DELETE", "/admin/faults"): AdminDesk.clear_faults,
    ("GET", "/admin/custody"): AdminDesk.custody,
    ("GET", "/admin/conditions"): AdminDesk.conditions,
    ("POST", "/admin/conditions"): AdminDesk.set_conditions,
    ("POST", "/admin/time"): AdminDesk.set_time,
    ("POST", "/admin/funding"): AdminDesk.set_funding,
    ("POST", "/admin/chain-deposit"): AdminDesk.chain_deposit,
    ("POST", "/admin/blocks"): AdminDesk.mine,
    ("POST", "/admin/address"): AdminDesk.new_address,
    ("POST", "/admin/money-state"): AdminDesk.set_money_state,
    ("POST", "/admin/fail-transfers"): AdminDesk.fail_transfers,
    ("POST", "/admin/save"): AdminDesk.save,
}

"""The calls of OKX that the dealer makes: method, path, who may make them, and how often.

Source: OKX API v5; limits as documented for one user (or one IP, for public calls).
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Literal


class Priority(IntEnum):
    """Who goes first where requests share an allowance; the lowest number does."""

    ORDER = 0
    POLL = 1
    PRICE = 2


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many requests OKX takes in any window of *window_secs*, for the calls that share the allowance.

    Attributes:
        name: Names the allowance; calls with the same one share it.
        requests: Requests in a window; one at least.
        window_secs: Length of the window, in seconds.
        per_instrument: Whether each instrument has an allowance of its own.
    """

    name: str
    requests: int
    window_secs: float = 2.0
    per_instrument: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One call: a read may be repeated, a write is sent at most once.

    Attributes:
        method: Of HTTP; ``PUSH`` for what OKX sends by itself over a WebSocket.
        private: Whether it is signed.
        write: Whether it changes something on the exchange.
        itemised: Whether each row of ``data`` carries a verdict of its own, ``sCode`` and ``sMsg``.
        batched: Whether there are several such rows, which may differ.
    """

    method: Literal["GET", "POST", "PUSH"]
    path: str
    allowance: Allowance
    priority: Priority
    private: bool = True
    write: bool = False
    itemised: bool = False
    batched: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


# Calls of one row of OKX's table share an allowance here even where OKX may count them apart: that is never
# too fast, and it is what makes an order go before the polls that wait at the same door.
_TIME = Allowance("public-time", 10)
_MARKET = Allowance("market", 20)
_BOOKS = Allowance("books", 40)
_MARK_PRICE = Allowance("mark-price", 10, per_instrument=True)
_FUNDING_RATE = Allowance("funding-rate", 10, per_instrument=True)
_SYSTEM_STATUS = Allowance("system-status", 1, window_secs=5.0)
_ACCOUNT_STATE = Allowance("account-state", 10)
_ACCOUNT_CONFIG = Allowance("account-config", 5)
_LEVERAGE = Allowance("leverage", 20)
_BOUNDS = Allowance("account-bounds", 20)
_BILLS = Allowance("bills", 5)
_ORDERS = Allowance("orders", 60, per_instrument=True)
_ORDER_BATCHES = Allowance("order-batches", 300, per_instrument=True)
_CLOSE_POSITION = Allowance("close-position", 20, per_instrument=True)
_ORDER_LISTS = Allowance("order-lists", 40)
_FILLS_ARCHIVE = Allowance("fills-archive", 10)
_TRANSFER = Allowance("transfer", 2, window_secs=1.0)
_TRANSFER_STATE = Allowance("transfer-state", 10, window_secs=1.0)
_WITHDRAWAL = Allowance("withdrawal", 6, window_secs=1.0)
_FUNDING_POLLS = Allowance("funding-polls", 6, window_secs=1.0)

# The time is asked for on behalf of whoever has to sign next, so it never waits behind a price.
SERVER_TIME = Endpoint("GET", "/api/v5/public/time", _TIME, Priority.ORDER, private=False)
INSTRUMENTS = Endpoint("GET", "/api/v5/public/instruments", _MARKET, Priority.POLL, private=False)
TICKER = Endpoint("GET", "/api/v5/market/ticker", _MARKET, Priority.PRICE, private=False)
TICKERS = Endpoint("GET", "/api/v5/market/tickers", _MARKET, Priority.PRICE, private=False)
BOOKS = Endpoint("GET", "/api/v5/market/books", _BOOKS, Priority.PRICE, private=False)
MARK_PRICE = Endpoint("GET", "/api/v5/public/mark-price", _MARK_PRICE, Priority.PRICE, private=False)
FUNDING_RATE = Endpoint("GET", "/api/v5/public/funding-rate", _FUNDING_RATE, Priority.PRICE, private=False)
SYSTEM_STATUS = Endpoint("GET", "/api/v5/system/status", _SYSTEM_STATUS, Priority.POLL, private=False)

ACCOUNT_CONFIG = Endpoint("GET", "/api/v5/account/config", _ACCOUNT_CONFIG, Priority.POLL)
LEVERAGE_INFO = Endpoint("GET", "/api/v5/account/leverage-info", _LEVERAGE, Priority.POLL)
BALANCE = Endpoint("GET", "/api/v5/account/balance", _ACCOUNT_STATE, Priority.POLL)
POSITIONS = Endpoint("GET", "/api/v5/account/positions", _ACCOUNT_STATE, Priority.POLL)
MAX_SIZE = Endpoint("GET", "/api/v5/account/max-size", _BOUNDS, Priority.POLL)
MAX_WITHDRAWAL = Endpoint("GET", "/api/v5/account/max-withdrawal", _BOUNDS, Priority.POLL)
TRADE_FEE = Endpoint("GET", "/api/v5/account/trade-fee", _ACCOUNT_CONFIG, Priority.POLL)
BILLS = Endpoint("GET", "/api/v5/account/bills", _BILLS, Priority.POLL)
BILLS_ARCHIVE = Endpoint("GET", "/api/v5/account/bills-archive", _BILLS, Priority.POLL)
SET_LEVERAGE = Endpoint("POST", "/api/v5/account/set-leverage", _LEVERAGE, Priority.ORDER, write=True)
SET_POSITION_MODE = Endpoint(
    "POST", "/api/v5/account/set-position-mode", _ACCOUNT_CONFIG, Priority.ORDER, write=True
)

PLACE_ORDER = Endpoint("POST", "/api/v5/trade/order", _ORDERS, Priority.ORDER, write=True, itemised=True)
CANCEL_ORDER = Endpoint(
    "POST", "/api/v5/trade/cancel-order", _ORDERS, Priority.ORDER, write=True, itemised=True
)
BATCH_ORDERS = Endpoint(
    "POST",
    "/api/v5/trade/batch-orders",
    _ORDER_BATCHES,
    Priority.ORDER,
    write=True,
    itemised=True,
    batched=True,
)
# OKX counts a batch of one as a single order.
BATCH_OF_ONE = replace(BATCH_ORDERS, allowance=_ORDERS)
ORDER_DETAILS = Endpoint("GET", "/api/v5/trade/order", _ORDERS, Priority.POLL)
CLOSE_POSITION = Endpoint("POST", "/api/v5/trade/close-position", _CLOSE_POSITION, Priority.ORDER, write=True)
ORDERS_PENDING = Endpoint("GET", "/api/v5/trade/orders-pending", _ORDER_LISTS, Priority.POLL)
ORDERS_HISTORY = Endpoint("GET", "/api/v5/trade/orders-history", _ORDER_LISTS, Priority.POLL)
ORDERS_ARCHIVE = Endpoint("GET", "/api/v5/trade/orders-history-archive", _ORDER_LISTS, Priority.POLL)
FILLS = Endpoint("GET", "/api/v5/trade/fills", _ORDER_LISTS, Priority.POLL)
FILLS_ARCHIVE = Endpoint("GET", "/api/v5/trade/fills-history", _FILLS_ARCHIVE, Priority.POLL)

FUNDING_BALANCES = Endpoint("GET", "/api/v5/asset/balances", _FUNDING_POLLS, Priority.POLL)
CURRENCIES = Endpoint("GET", "/api/v5/asset/currencies", _FUNDING_POLLS, Priority.POLL)
DEPOSIT_ADDRESS = Endpoint("GET", "/api/v5/asset/deposit-address", _FUNDING_POLLS, Priority.POLL)
DEPOSIT_HISTORY = Endpoint("GET", "/api/v5/asset/deposit-history", _FUNDING_POLLS, Priority.POLL)
WITHDRAWAL_HISTORY = Endpoint("GET", "/api/v5/asset/withdrawal-history", _FUNDING_POLLS, Priority.POLL)
TRANSFER_STATE = Endpoint("GET", "/api/v5/asset/transfer-state", _TRANSFER_STATE, Priority.POLL)
TRANSFER = Endpoint("POST", "/api/v5/asset/transfer", _TRANSFER, Priority.ORDER, write=True)
WITHDRAWAL = Endpoint("POST", "/api/v5/asset/withdrawal", _WITHDRAWAL, Priority.ORDER, write=True)

"""The calls of OKX that the dealer makes: method, path, who may make them, and how often.

Source: OKX API v5; limits as documented for one user (or one IP, for public calls).
"""

from dataclasses import dataclass
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
        requests: Requests in a window; two at least.
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
        private: Whether it is signed.
        write: Whether it changes something on the exchange.
        itemised: Whether each row of ``data`` carries a verdict of its own, ``sCode`` and ``sMsg``.
    """

    method: Literal["GET", "POST"]
    path: str
    allowance: Allowance
    priority: Priority
    private: bool = True
    write: bool = False
    itemised: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


# Calls of one row of OKX's table share an allowance here even where OKX may count them apart: that is never
# too fast, and it is what makes an order go before the polls that wait at the same door.
_TIME = Allowance("public-time", 10)
_MARKET = Allowance("market", 20)
_ACCOUNT_STATE = Allowance("account-state", 10)
_ACCOUNT_CONFIG = Allowance("account-config", 5)
_LEVERAGE = Allowance("leverage", 20)
_ORDERS = Allowance("orders", 60, per_instrument=True)
_CLOSE_POSITION = Allowance("close-position", 20, per_instrument=True)

# The time is asked for on behalf of whoever has to sign next, so it never waits behind a price.
SERVER_TIME = Endpoint("GET", "/api/v5/public/time", _TIME, Priority.ORDER, private=False)
INSTRUMENTS = Endpoint("GET", "/api/v5/public/instruments", _MARKET, Priority.POLL, private=False)
TICKER = Endpoint("GET", "/api/v5/market/ticker", _MARKET, Priority.PRICE, private=False)

ACCOUNT_CONFIG = Endpoint("GET", "/api/v5/account/config", _ACCOUNT_CONFIG, Priority.POLL)
LEVERAGE_INFO = Endpoint("GET", "/api/v5/account/leverage-info", _LEVERAGE, Priority.POLL)
BALANCE = Endpoint("GET", "/api/v5/account/balance", _ACCOUNT_STATE, Priority.POLL)
POSITIONS = Endpoint("GET", "/api/v5/account/positions", _ACCOUNT_STATE, Priority.POLL)

PLACE_ORDER = Endpoint("POST", "/api/v5/trade/order", _ORDERS, Priority.ORDER, write=True, itemised=True)
CANCEL_ORDER = Endpoint(
    "POST", "/api/v5/trade/cancel-order", _ORDERS, Priority.ORDER, write=True, itemised=True
)
ORDER_DETAILS = Endpoint("GET", "/api/v5/trade/order", _ORDERS, Priority.POLL)
CLOSE_POSITION = Endpoint("POST", "/api/v5/trade/close-position", _CLOSE_POSITION, Priority.ORDER, write=True)

"""How the exchange says no: OKX's codes with their HTTP status and documented text.

Source: OKX API v5, "Error codes". Clients must key on the code; texts have changed over the years.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator.errors import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TABLE: Final[dict[str, tuple[int, str]]] = {
    "404": (404, "Not Found: {0}"),
    "413": (413, "Request body above {0} bytes"),
    "50001": (503, "Service temporarily unavailable. Please try again later."),
    "50002": (400, "JSON syntax error"),
    "50004": (400, "API endpoint request timeout."),
    "50006": (400, 'Invalid Content-Type. Please use "application/JSON".'),
    "50011": (429, "Too Many Requests"),
    "50013": (429, "Systems are busy. Please try again later."),
    "50014": (400, "Parameter {0} can not be empty."),
    "50026": (500, "System error. Try again later"),
    "50036": (
        200,
        "The expTime can't be earlier than the current system time. Please adjust the expTime and try again.",
    ),
    "50037": (200, "Order expired."),
    "50038": (200, "This feature is unavailable in demo trading"),
    "50061": (200, "You've reached the maximum order rate limit for this account."),
    "50101": (401, "APIKey does not match current environment."),
    "50102": (401, "Timestamp request expired."),
    "50103": (401, 'Request header "OK-ACCESS-KEY" cannot be empty.'),
    "50104": (401, 'Request header "OK-ACCESS-PASSPHRASE" cannot be empty.'),
    "50105": (401, 'Request header "OK-ACCESS-PASSPHRASE" incorrect.'),
    "50106": (401, 'Request header "OK-ACCESS-SIGN" cannot be empty.'),
    "50107": (401, 'Request header "OK-ACCESS-TIMESTAMP" cannot be empty.'),
    "50110": (401, "Your IP {0} is not included in your API key's IP whitelist."),
    "50111": (401, "Invalid OK-ACCESS-KEY."),
    "50112": (401, "Invalid OK-ACCESS-TIMESTAMP."),
    "50113": (401, "Invalid signature."),
    "50114": (401, "Invalid authorization."),
    "50115": (405, "Invalid request method."),
    "50119": (200, "API key doesn't exist"),
    "51000": (400, "Parameter {0} error"),
    "51001": (200, "Instrument ID, Instrument ID code, or Spread ID doesn't exist."),
    "51003": (200, "Either client order ID or order ID is required."),
    "51006": (
        200,
        "Order price is not within the price limit (max buy price: {0} , min sell price: {1} )",
    ),
    "51008": (200, "Order failed. Insufficient {0} margin in account"),
    "51010": (200, "Request unsupported under current account mode"),
    "51016": (200, "Client order ID already exists."),
    "51020": (200, "Your order should meet or exceed the minimum order amount."),
    "51023": (200, "Position doesn't exist."),
    "51030": (200, "Funding fee is being settled."),
    "51101": (200, "Order failed, the sz of the current order can't be more than {0} (contracts)."),
    "51109": (200, "No available offers."),
    "51115": (429, "Cancel all pending close-orders before liquidation."),
    "51121": (200, "Order quantity must be a multiple of the lot size."),
    "51169": (
        200,
        (
            "Order failed because you don't have any positions in this direction for this contract"
            " to reduce or close."
        ),
    ),
    "51202": (200, "Market order amount exceeds the maximum amount."),
    "51204": (200, "The price for the limit order cannot be empty."),
    "51400": (200, "Order cancellation failed as the order has been filled, canceled or does not exist."),
    "51603": (200, "Order does not exist."),
    "58102": (
        429,
        "Rate limit reached. Please refer to API docs and throttle requests accordingly.",
    ),
    "58111": (
        200,
        (
            "Fund transfers are unavailable while perpetual contracts are charging funding fees."
            " Try again later."
        ),
    ),
    "58112": (200, "Transfer failed. Contact customer support for assistance"),
    "58114": (400, "Transfer amount must be greater than 0"),
    "58116": (200, "Transfer exceeds the available amount."),
    "58123": (200, "The From parameter cannot be the same as the To parameter."),
    "58124": (
        200,
        (
            "Your transfer is being processed, transfer id:{0}. Please check the latest state of your"
            " transfer from the endpoint (GET /api/v5/asset/transfer-state)"
        ),
    ),
    "58129": (200, "{0} is incorrect or {0} does not match with 'type'"),
    "58205": (200, "Withdrawal amount exceeds the upper limit."),
    "58206": (200, "Withdrawal amount is less than the lower limit."),
    "58207": (200, "Withdrawal address isn't on the verified address list."),
    "58215": (200, "Withdrawal ID does not exist."),
    "58222": (200, "Invalid withdrawal address"),
    "58350": (200, "Insufficient balance."),
    "58404": (200, "ClientId already exists"),
    "59000": (
        200,
        "Settings failed. Close any open positions or orders before modifying settings.",
    ),
    "59102": (200, "Leverage exceeds the maximum limit. Please lower the leverage."),
    "59105": (400, "Leverage can't be less than {0}. Please increase the leverage."),
    "59109": (
        200,
        "Account equity less than the required margin amount after adjustment. Please adjust the leverage.",
    ),
    "60004": (200, "Invalid timestamp"),
    "60005": (200, "Invalid apiKey"),
    "60006": (200, "Timestamp request expired"),
    "60007": (200, "Invalid sign"),
    "60009": (200, "Login failure"),
    "60011": (200, "Please log in"),
    "60012": (200, "Invalid request: {0}"),
    "60013": (200, "Invalid args"),
    "60014": (200, "Requests too frequent"),
    "60018": (
        200,
        (
            "Wrong URL or {0} doesn't exist. Please use the correct URL, channel and parameters referring"
            " to API document."
        ),
    ),
    "60019": (200, "Invalid op: {0}"),
    "60024": (200, "Wrong passphrase"),
    "60027": (200, "Parameter {0} can not be empty."),
    "60028": (200, "The current operation is not supported by this URL."),
    "60031": (200, "The WebSocket endpoint does not allow multiple or repeated logins."),
    "60032": (200, "API key doesn't exist."),
    "64008": (
        200,
        "The connection will soon be closed for a service upgrade. Please reconnect.",
    ),
}

# What stands in a text when nobody says what the refusal is about, as in a fault that was asked for.
_EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "404": ("/",),
    "413": ("131072",),
    "50014": ("sz",),
    "50110": ("127.0.0.1",),
    "51000": ("sz",),
    "51006": ("50250", "49750"),
    "51008": ("BTC",),
    "51101": ("100000000",),
    "58124": ("700000000",),
    "58129": ("clientId",),
    "59105": ("0.01",),
    "60012": ("{}",),
    "60018": ("channel:books,instId:BTC-USD-SWAP",),
    "60019": ("op",),
    "60027": ("op",),
}
_SUB_CODES: Final[Mapping[str, str]] = {"51008": "1001"}
CODES: Final = frozenset(_TABLE)
"""Every code that this exchange has a text for."""


class RefusalError(SimulatorError):
    """A client's request is refused with an OKX code; no state was changed.

    Args:
        code: OKX's code.
        parameters: What OKX's text names; an example stands for it where none is given.

    Attributes:
        code: OKX's code, ``sCode`` when it concerns one item of a trade request.
        message: OKX's text.
        http_status: The status when the code stands at the top level of the answer.
        sub_code: ``subCode`` of an item, ``""`` for most.
        has_data: Whether the answer has a ``data`` key: authentication and rate limits leave it out.
    """

    def __init__(self, code: str, *parameters: str) -> None:
        self.http_status = _TABLE[code][0] if code in _TABLE else 200
        self.code = code
        self.message = refusal_text(code, *parameters)
        self.sub_code = _SUB_CODES.get(code, "")
        self.has_data = has_data(code)
        super().__init__(f"{code}: {self.message}")


def has_data(code: str) -> bool:
    """Tell whether an answer with *code* has a ``data`` key."""
    status = _TABLE[code][0] if code in _TABLE else 200
    return not (code.startswith("501") and status == 401) and code != "50011"


def refusal_text(code: str, *parameters: str) -> str:
    """Return the documented text of *code*, or a plain sentence for a code that is not OKX's here.

    *parameters* take the places that the text leaves open; without any, examples do.
    """
    if code not in _TABLE:
        return f"Error {code}"
    return _TABLE[code][1].format(*(parameters or _EXAMPLES.get(code, ())))

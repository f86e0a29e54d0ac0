"""How the exchange says no: OKX's codes with their HTTP status and documented text.

Source: OKX API v5, "Error codes". Clients must key on the code; texts have changed over the years.
"""

from __future__ import annotations

from typing import Final

from stablesats.okx_simulator.errors import SimulatorError

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
    "50061": (200, "You've reached the maximum order rate limit for this account."),
    "50101": (401, "APIKey does not match current environment."),
    "50102": (401, "Timestamp request expired."),
    "50103": (401, 'Request header "OK-ACCESS-KEY" cannot be empty.'),
    "50104": (401, 'Request header "OK-ACCESS-PASSPHRASE" cannot be empty.'),
    "50105": (401, 'Request header "OK-ACCESS-PASSPHRASE" incorrect.'),
    "50106": (401, 'Request header "OK-ACCESS-SIGN" cannot be empty.'),
    "50107": (401, 'Request header "OK-ACCESS-TIMESTAMP" cannot be empty.'),
    "50111": (401, "Invalid OK-ACCESS-KEY."),
    "50112": (401, "Invalid OK-ACCESS-TIMESTAMP."),
    "50113": (401, "Invalid signature."),
    "50115": (405, "Invalid request method."),
    "51000": (400, "Parameter {0} error"),
    "51001": (200, "Instrument ID, Instrument ID code, or Spread ID doesn't exist."),
    "51003": (200, "Either client order ID or order ID is required."),
    "51008": (200, "Order failed. Insufficient {0} margin in account"),
    "51010": (200, "Request unsupported under current account mode"),
    "51016": (200, "Client order ID already exists."),
    "51020": (200, "Your order should meet or exceed the minimum order amount."),
    "51023": (200, "Position doesn't exist."),
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
    "51400": (200, "Order cancellation failed as the order has been filled, canceled or does not exist."),
    "51603": (200, "Order does not exist."),
    "59102": (200, "Leverage exceeds the maximum limit. Please lower the leverage."),
    "59105": (400, "Leverage can't be less than {0}. Please increase the leverage."),
    "59109": (
        200,
        "Account equity less than the required margin amount after adjustment. Please adjust the leverage.",
    ),
}


class RefusalError(SimulatorError):
    """A client's request is refused with an OKX code; no state was changed.

    Attributes:
        code: OKX's code, ``sCode`` when it concerns one item of a trade request.
        message: OKX's text.
        http_status: The status when the code stands at the top level of the answer.
        sub_code: ``subCode`` of an item, ``""`` for most.
        has_data: Whether the answer has a ``data`` key: authentication and rate limits leave it out.
    """

    def __init__(self, code: str, *parameters: str, sub_code: str = "") -> None:
        self.http_status, text = _TABLE[code]
        self.code = code
        self.message = text.format(*parameters)
        self.sub_code = sub_code
        self.has_data = not (code.startswith("501") and self.http_status == 401) and code != "50011"
        super().__init__(f"{code}: {self.message}")


def refusal_text(code: str) -> str:
    """Return the documented text of *code*, or a plain sentence for a code this exchange never says."""
    return _TABLE[code][1] if code in _TABLE else f"Error {code}"

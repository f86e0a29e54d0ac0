"""The requests themselves, byte by byte, as they are signed and sent; pure.

Every rule that OKX documents for what we send is checked here, so that a request that can never succeed is
an error in our own words and not an answer to interpret.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlencode

from stablesats.okx import endpoints
from stablesats.okx.amounts import order_size_text
from stablesats.okx.endpoints import Endpoint
from stablesats.okx.errors import OkxInvalidRequestError
from stablesats.okx.messages import OrderSide

CROSS_MARGIN = "cross"

_CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)
_INSTRUMENT_ID = re.compile(r"[A-Z0-9]+(-[A-Z0-9]+){1,5}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        endpoint: Method, path and limits.
        request_target: Path with query, exactly as sent.
        body: JSON text, exactly as sent; empty for GET.
        inst_id: The instrument it is about, for limits that count by instrument.
        client_order_id: Our id, if it is about an order.
        expires_at: OKX drops the request once its own clock is past this instant.
    """

    endpoint: Endpoint
    request_target: str
    body: str = ""
    inst_id: str = ""
    client_order_id: str = ""
    expires_at: datetime | None = None

    @property
    def expires_at_ms(self) -> int | None:
        """The expiry in milliseconds since 1970, rounded down: never later than asked for."""
        return None if self.expires_at is None else (self.expires_at - _EPOCH) // timedelta(milliseconds=1)


def server_time() -> Call:
    """Ask for OKX's clock."""
    return _get(endpoints.SERVER_TIME)


def instrument(inst_id: str) -> Call:
    """Ask for the trading rules of a perpetual swap."""
    return _get(endpoints.INSTRUMENTS, {"instType": "SWAP"}, inst_id=inst_id)


def ticker(inst_id: str) -> Call:
    """Ask for the last, bid and ask price."""
    return _get(endpoints.TICKER, inst_id=inst_id)


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


def order_details(inst_id: str, client_order_id: str) -> Call:
    """Ask for the newest order under our id."""
    query = {"clOrdId": _checked_client_order_id(client_order_id)}
    return _get(endpoints.ORDER_DETAILS, query, inst_id=inst_id, client_order_id=client_order_id)


def market_order(
    inst_id: str,
    side: OrderSide,
    size_contracts: Decimal | int,
    client_order_id: str,
    *,
    expires_at: datetime,
    reduce_only: bool = False,
) -> Call:
    """Ask for a market order in cross margin.

    Raises:
        OkxInvalidRequestError: If the size is not above zero, the id is not 1 to 32 letters and digits, the
            instrument id is malformed, or *expires_at* has no zone.
    """
    if expires_at.tzinfo is None:
        raise OkxInvalidRequestError(
            f"an order expires at an aware time, found {expires_at.isoformat()} without a zone"
        )
    return _post(
        endpoints.PLACE_ORDER,
        {
            "tdMode": CROSS_MARGIN,
            "side": side.value,
            "ordType": "market",
            "sz": order_size_text(size_contracts),
            **({"reduceOnly": True} if reduce_only else {}),
        },
        inst_id=inst_id,
        client_order_id=client_order_id,
        expires_at=expires_at,
    )


def cancel_order(inst_id: str, client_order_id: str) -> Call:
    """Ask to cancel the pending order under our id."""
    return _post(endpoints.CANCEL_ORDER, {}, inst_id=inst_id, client_order_id=client_order_id)


def close_position(inst_id: str, client_order_id: str) -> Call:
    """Ask to close the whole cross-margin position at the market."""
    return _post(
        endpoints.CLOSE_POSITION, {"mgnMode": CROSS_MARGIN}, inst_id=inst_id, client_order_id=client_order_id
    )


def _get(
    endpoint: Endpoint,
    query: Mapping[str, str] | None = None,
    *,
    inst_id: str | None = None,
    client_order_id: str = "",
) -> Call:
    asked = {} if inst_id is None else {"instId": _checked_instrument_id(inst_id)}
    asked.update(query or {})
    target = f"{endpoint.path}?{urlencode(asked)}" if asked else endpoint.path
    return Call(endpoint, target, inst_id=inst_id or "", client_order_id=client_order_id)


def _post(
    endpoint: Endpoint,
    fields: Mapping[str, str | bool],
    *,
    inst_id: str,
    client_order_id: str,
    expires_at: datetime | None = None,
) -> Call:
    document = {
        "instId": _checked_instrument_id(inst_id),
        **fields,
        "clOrdId": _checked_client_order_id(client_order_id),
    }
    return Call(
        endpoint,
        endpoint.path,
        body=json.dumps(document, separators=(",", ":")),
        inst_id=inst_id,
        client_order_id=client_order_id,
        expires_at=expires_at,
    )


def _checked_client_order_id(client_order_id: str) -> str:
    if not _CLIENT_ORDER_ID.fullmatch(client_order_id):
        raise OkxInvalidRequestError(
            f"client order id {client_order_id[:64]!r} is not 1 to 32 letters and digits; "
            "a UUID fits without its hyphens"
        )
    return client_order_id


def _checked_instrument_id(inst_id: str) -> str:
    if not _INSTRUMENT_ID.fullmatch(inst_id):
        raise OkxInvalidRequestError(f"instrument id {inst_id[:64]!r} is not of the form BTC-USD-SWAP")
    return inst_id

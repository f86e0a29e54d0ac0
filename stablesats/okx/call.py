"""One request, byte by byte, as it is signed and sent; pure."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from urllib.parse import urlencode

from stablesats.okx.endpoints import Endpoint
from stablesats.okx.errors import OkxInvalidRequestError

Fields: TypeAlias = Mapping[str, str | bool]

_CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)
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
        client_order_id: Our id, if it is about an order; the ids of a batch with commas between.
        expires_at: OKX drops the request once its own clock is past this instant.
        client_transfer_id: Our id, if it is about a transfer or a withdrawal.
        cost: How many requests it counts as.
    """

    endpoint: Endpoint
    request_target: str
    body: str = ""
    inst_id: str = ""
    client_order_id: str = ""
    expires_at: datetime | None = None
    client_transfer_id: str = ""
    cost: int = 1

    @property
    def expires_at_ms(self) -> int | None:
        """The expiry in milliseconds since 1970, rounded down: never later than asked for."""
        return None if self.expires_at is None else (self.expires_at - _EPOCH) // timedelta(milliseconds=1)


def request_target(endpoint: Endpoint, query: Mapping[str, str]) -> str:
    """Return path and query as they are signed and sent."""
    return f"{endpoint.path}?{urlencode(query)}" if query else endpoint.path


def body_text(document: Fields | Sequence[Fields]) -> str:
    """Return the JSON text that is signed and sent."""
    return json.dumps(document, separators=(",", ":"))


def checked_client_order_id(client_order_id: str) -> str:
    """Return the id.

    Raises:
        OkxInvalidRequestError: If it is not 1 to 32 letters and digits.
    """
    return _checked_client_id("order", client_order_id)


def checked_client_transfer_id(client_transfer_id: str) -> str:
    """Return the id.

    Raises:
        OkxInvalidRequestError: If it is not 1 to 32 letters and digits.
    """
    return _checked_client_id("transfer", client_transfer_id)


def checked_instrument_id(inst_id: str) -> str:
    """Return the id.

    Raises:
        OkxInvalidRequestError: If it is malformed: it could change the query.
    """
    if not _INSTRUMENT_ID.fullmatch(inst_id):
        raise OkxInvalidRequestError(f"instrument id {inst_id[:64]!r} is not of the form BTC-USD-SWAP")
    return inst_id


def _checked_client_id(kind: str, client_id: str) -> str:
    if not _CLIENT_ID.fullmatch(client_id):
        raise OkxInvalidRequestError(
            f"client {kind} id {client_id[:64]!r} is not 1 to 32 letters and digits; "
            "a UUID fits without its hyphens"
        )
    return client_id

"""Who is calling: OKX's four access headers, checked in the order of this exchange.

Source: OKX API v5, "REST authentication". The signature covers the *raw* request target: clients
differ in what they percent-encode, and each signs what it sends.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator.refusals import RefusalError

if TYPE_CHECKING:
    from collections.abc import Mapping

CLOCK_TOLERANCE: Final = timedelta(seconds=30)
_LOGIN_TARGET: Final = "/users/self/verify"
_SECONDS: Final = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)
_HEADERS: Final = (
    ("OK-ACCESS-KEY", "50103"),
    ("OK-ACCESS-PASSPHRASE", "50104"),
    ("OK-ACCESS-SIGN", "50106"),
    ("OK-ACCESS-TIMESTAMP", "50107"),
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The one key of the account."""

    key: str
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What the signature covers, as received: *target* is path and query exactly as sent."""

    method: str
    target: str
    body: bytes


def authenticate(
    request: SignedRequest, headers: Mapping[str, str], api_key: ApiKey, *, now: datetime
) -> None:
    """Accept a request signed with *api_key* no more than 30 s before or after *now*.

    Raises:
        RefusalError: 50103, 50104, 50106 or 50107 for a missing header; 50112 for an unreadable time,
            50102 for one too far away; 50111, 50105 or 50113 for a wrong key, passphrase or signature.
    """
    for name, code in _HEADERS:
        if not headers.get(name):
            raise RefusalError(code)
    timestamp = headers["OK-ACCESS-TIMESTAMP"]
    if abs(_parse_timestamp(timestamp) - now) > CLOCK_TOLERANCE:
        raise RefusalError("50102")
    if not _same(headers["OK-ACCESS-KEY"], api_key.key):
        raise RefusalError("50111")
    if not _same(headers["OK-ACCESS-PASSPHRASE"], api_key.passphrase):
        raise RefusalError("50105")
    if not _same(headers["OK-ACCESS-SIGN"], _signature(request, timestamp, api_key.secret)):
        raise RefusalError("50113")


def authenticate_login(fields: Mapping[str, object], api_key: ApiKey, *, now: datetime) -> None:
    """Accept a WebSocket login signed with *api_key* no more than 30 s before or after *now*.

    Source: OKX API v5, "WebSocket login": the timestamp is in seconds, a text or a number.

    Raises:
        RefusalError: 60027 for a missing field; 60004 for an unreadable time, 60006 for one too far away;
            60005, 60024 or 60007 for a wrong key, passphrase or signature.
    """
    given: dict[str, str] = {}
    for name in ("apiKey", "passphrase", "timestamp", "sign"):
        value = fields.get(name)
        if not isinstance(value, str) or not value:
            raise RefusalError("60027", name)
        given[name] = value
    timestamp = given["timestamp"]
    if not _SECONDS.fullmatch(timestamp):
        raise RefusalError("60004")
    if abs(float(timestamp) - now.timestamp()) > CLOCK_TOLERANCE.total_seconds():
        raise RefusalError("60006")
    if not _same(given["apiKey"], api_key.key):
        raise RefusalError("60005")
    if not _same(given["passphrase"], api_key.passphrase):
        raise RefusalError("60024")
    login = SignedRequest("GET", _LOGIN_TARGET, b"")
    if not _same(given["sign"], _signature(login, timestamp, api_key.secret)):
        raise RefusalError("60007")


def _parse_timestamp(text: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise RefusalError("50112") from None
    if parsed.tzinfo is None:
        raise RefusalError("50112")
    return parsed


def _signature(request: SignedRequest, timestamp: str, secret: str) -> str:
    prehash = _octets(f"{timestamp}{request.method}{request.target}") + request.body
    digest = hmac.new(secret.encode(), prehash, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(_octets(given), _octets(expected))


def _octets(text: str) -> bytes:
    # A header or a target may hold any byte; aiohttp keeps those outside UTF-8 as surrogates.
    return text.encode(errors="surrogateescape")

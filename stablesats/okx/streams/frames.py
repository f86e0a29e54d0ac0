"""The texts that go over the WebSocket: what we send, and what OKX's frames mean; pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NoReturn, TypeAlias

from stablesats.okx.credentials import OkxCredentials
from stablesats.okx.errors import MAX_QUOTED_CHARACTERS
from stablesats.okx.signing import stream_login
from stablesats.okx.streams.channel import Channel

PING = "ping"
_PONG = "pong"

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Pong:
    """OKX is there."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Private channels may be subscribed to."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A subscription stands; pushes follow.

    Attributes:
        request_id: The id of our request, if OKX repeats it.
    """

    argument: Row
    request_id: str


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """A subscription has ended."""

    argument: Row


@dataclass(frozen=True, slots=True)
class Refused:
    """OKX says no to a request of ours."""

    code: str
    message: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Notice:
    """OKX announces something, mostly that it will close the connection (64008)."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Other:
    """Something that concerns nobody here, such as the number of connections."""

    event: str


@dataclass(frozen=True, slots=True)
class Push:
    """News of a channel.

    Attributes:
        argument: The subscription, as OKX repeats it.
        action: ``snapshot`` or ``update`` of a book, else ``""``.
        is_snapshot: Whether it holds all there is (``eventType`` of account and positions).
        rows: The news.
    """

    argument: Row
    action: str
    is_snapshot: bool
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """No frame that OKX documents; whatever it said is lost."""

    why: str


Frame: TypeAlias = Pong | LoggedIn | Subscribed | Unsubscribed | Refused | Notice | Other | Push | Unreadable


def login_text(credentials: OkxCredentials, at: datetime) -> str:
    """Return the login for the server time *at*. It holds the key and the passphrase: never log it."""
    return json.dumps({"op": "login", "args": [stream_login(credentials, at=at)]})


def subscribe_text(channel: Channel, request_id: str) -> str:
    """Return a subscription; OKX repeats *request_id* in its answer."""
    return json.dumps({"id": request_id, "op": "subscribe", "args": [channel.argument()]})


def unsubscribe_text(channel: Channel, request_id: str) -> str:
    """Return the end of a subscription; OKX repeats *request_id* in its answer."""
    return json.dumps({"id": request_id, "op": "unsubscribe", "args": [channel.argument()]})


def read_frame(text: str) -> Frame:
    """Return what a text frame says. Never raises: what cannot be understood is `Unreadable`."""
    if text == _PONG:
        return Pong()
    try:
        document = json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return _unreadable("no JSON", text)
    if not isinstance(document, dict):
        return _unreadable("no JSON object", text)
    event = document.get("event")
    if event is None and "arg" in document:
        return _push(document, text)
    return _event(str(event), document, text)


def _event(event: str, document: Row, text: str) -> Frame:
    code, message = _text(document, "code"), _text(document, "msg")
    request_id, argument = _text(document, "id"), document.get("arg")
    match event:
        case "login" if code in ("", "0"):
            return LoggedIn()
        case "error" | "login":
            return Refused(code, message[:MAX_QUOTED_CHARACTERS], request_id)
        case "subscribe" if isinstance(argument, dict):
            return Subscribed(argument, request_id)
        case "unsubscribe" if isinstance(argument, dict):
            return Unsubscribed(argument)
        case "notice":
            return Notice(code, message[:MAX_QUOTED_CHARACTERS])
        case "channel-conn-count" | "channel-conn-count-error":
            return Other(event)
        case _:
            return _unreadable("no event that we know", text)


def _push(document: Row, text: str) -> Frame:
    argument, rows = document["arg"], document.get("data")
    if not isinstance(argument, dict) or not isinstance(rows, list):
        return _unreadable("a push without a channel or without data", text)
    if not all(isinstance(row, dict) for row in rows):
        return _unreadable("a push whose data are no rows", text)
    event_type = document.get("eventType")
    return Push(
        argument,
        action=_text(document, "action"),
        is_snapshot=event_type == "snapshot" and document.get("lastPage") is not False,
        rows=tuple(rows),
    )


def _text(document: Row, name: str) -> str:
    value = document.get(name)
    return "" if value is None else str(value)


def _unreadable(why: str, text: str) -> Unreadable:
    return Unreadable(f"{why}: {text[:MAX_QUOTED_CHARACTERS]!r}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")

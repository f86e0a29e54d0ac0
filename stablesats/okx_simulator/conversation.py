"""One WebSocket connection without its socket: frames come in, frames go out, nothing waits.

`Conversation.receive` answers what the client says; `Conversation.due` says what its subscriptions have
to push. Both only return texts, and `close_code` when the connection has to end.

Source: OKX API v5, "WebSocket": connect, login, subscribe, notification, error codes.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from stablesats.okx_simulator.errors import ConnectionCutError
from stablesats.okx_simulator.faults import (
    CloseStream,
    DropPush,
    DuplicatePush,
    GarbagePush,
    ReorderPush,
    StreamFault,
)
from stablesats.okx_simulator.json_texts import JsonTextError, load_json
from stablesats.okx_simulator.orders import field_text
from stablesats.okx_simulator.publications import publication_of
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.rows import ACCOUNT_UID, micros
from stablesats.okx_simulator.signatures import authenticate_login
from stablesats.okx_simulator.subscriptions import StreamKind, parse_subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from stablesats.okx_simulator.endpoints import Answer
    from stablesats.okx_simulator.exchange import Exchange
    from stablesats.okx_simulator.publications import Publication, Push
    from stablesats.okx_simulator.signatures import ApiKey
    from stablesats.okx_simulator.subscriptions import Channel, Subscription

LOGIN_FAILED: Final = 4001
NO_DATA: Final = 4004
SLOW_READER: Final = 4005
ABNORMAL: Final = 4006

_MAX_REQUESTS: Final = 480
_REQUEST_PERIOD_SECS: Final = 3600.0
_MAX_CONNECTIONS: Final = 30
_MAX_ECHO: Final = 200
_ORDER_OPS: Final = frozenset({"order", "batch-orders", "cancel-order"})
_OTHER_OPS: Final = frozenset({"login", "subscribe", "unsubscribe"})
OPERATIONS: Final = _ORDER_OPS | _OTHER_OPS
"""Everything that a client may ask for."""

_GARBAGE: Final = '{"arg":{"channel":'


class Conversation:
    """What one connection has said so far.

    Args:
        kind: The address it was opened at.
        exchange: What its subscriptions look at.
        api_key: Who may log in.
        connection_id: Repeated in every event.
        execute: Runs an order operation (``order``, ``batch-orders``, ``cancel-order``) with its arguments
            and its ``expTime``, ``""`` for none; a `ConnectionCutError` ends the connection without answer.
        take_fault: Returns the fault that a push of a channel meets.
        count_connections: Returns how many connections of the account are subscribed to a private channel,
            this one among them.
        rate_limits: Whether more than 480 requests an hour are refused.
    """

    def __init__(
        self,
        kind: StreamKind,
        exchange: Exchange,
        api_key: ApiKey,
        *,
        connection_id: str,
        execute: Callable[[str, object, str], Answer],
        take_fault: Callable[[str], StreamFault | None],
        count_connections: Callable[[Channel], int] = lambda _channel: 1,
        rate_limits: bool = True,
    ) -> None:
        self.close_code: int | None = None
        self._kind = kind
        self._exchange = exchange
        self._api_key = api_key
        self._connection_id = connection_id
        self._execute = execute
        self._take_fault = take_fault
        self._count_connections = count_connections
        self._rate_limits = rate_limits
        self._requests: deque[float] = deque()
        self._is_logged_in = False
        self._publications: dict[Subscription, Publication] = {}
        self._held_back: dict[Subscription, str] = {}

    def __repr__(self) -> str:
        channels = [subscription.key for subscription in self._publications]
        return f"<Conversation {self._connection_id} {self._kind} logged_in={self._is_logged_in} {channels}>"

    @property
    def subscriptions(self) -> Collection[Subscription]:
        """What is subscribed to, in the order in which it was."""
        return self._publications.keys()

    def receive(self, text: str, *, now: datetime, now_secs: float) -> list[str]:
        """Answer one frame.

        Args:
            text: The frame.
            now: The server's wall clock, by which a login is judged.
            now_secs: Reading of a monotonic clock.
        """
        if text == "ping":
            return ["pong"]
        try:
            request = load_json(text)
        except JsonTextError:
            request = None
        if not isinstance(request, dict):
            return [self._error(RefusalError("60012", text[:_MAX_ECHO]), "")]
        request_id = request.get("id")
        echo = request_id if isinstance(request_id, str) else ""
        try:
            return self._answer(request, echo, now=now, now_secs=now_secs)
        except RefusalError as refusal:
            return [self._error(refusal, echo)]

    def due(self, now_secs: float) -> list[str]:
        """Return what is to be pushed now, with the faults of the channels applied."""
        texts: list[str] = []
        for subscription, publication in self._publications.items():
            for push in publication.due(self._exchange, now_secs):
                texts += self._pushed(subscription, push)
        return texts

    def _answer(self, request: Mapping[str, Any], echo: str, *, now: datetime, now_secs: float) -> list[str]:
        operation = request.get("op")
        if not isinstance(operation, str) or not operation:
            raise RefusalError("60012", json.dumps(request)[:_MAX_ECHO])
        if operation in _ORDER_OPS:
            try:
                return [self._order_operation(operation, request, echo, now)]
            except ConnectionCutError:
                self.close_code = ABNORMAL
                return []
        if operation not in _OTHER_OPS:
            raise RefusalError("60019", operation)
        self._count_request(now_secs)
        arguments = request.get("args")
        if not isinstance(arguments, list) or not arguments:
            raise RefusalError("60013")
        if operation == "login":
            return [self._login(arguments[0], now)]
        return self._change_subscriptions(operation, arguments, echo)

    def _login(self, fields: object, now: datetime) -> str:
        if self._kind is StreamKind.PUBLIC:
            raise RefusalError("60028")
        if self._is_logged_in:
            raise RefusalError("60031")
        if not isinstance(fields, dict):
            raise RefusalError("60013")
        try:
            authenticate_login(fields, self._api_key, now=now)
        except RefusalError:
            self.close_code = LOGIN_FAILED
            raise
        self._is_logged_in = True
        return json.dumps({"event": "login", "code": "0", "msg": "", "connId": self._connection_id})

    def _change_subscriptions(self, operation: str, arguments: list[object], echo: str) -> list[str]:
        answers: list[str] = []
        for argument in arguments:
            try:
                answers += self._change_subscription(operation, argument, echo)
            except RefusalError as refusal:
                answers.append(self._error(refusal, echo))
        return answers

    def _change_subscription(self, operation: str, argument: object, echo: str) -> list[str]:
        subscription = parse_subscription(argument, self._kind, self._exchange.instrument)
        if subscription.channel.is_private and not self._is_logged_in:
            raise RefusalError("60011")
        if operation == "subscribe":
            self._publications[subscription] = publication_of(subscription, self._exchange)
        else:
            self._publications.pop(subscription, None)
        self._held_back.pop(subscription, None)
        named = {"id": echo} if echo else {}
        event = {"event": operation, "arg": subscription.arg, "connId": self._connection_id}
        answers = [json.dumps(named | event)]
        if operation == "subscribe" and subscription.channel.is_counted:
            answers.append(self._connection_count(subscription))
        return answers

    def _connection_count(self, subscription: Subscription) -> str:
        """Say how many connections have the channel; one too many loses its subscription again."""
        connections = self._count_connections(subscription.channel)
        is_too_many = connections > _MAX_CONNECTIONS
        if is_too_many:
            del self._publications[subscription]
        event = {
            "event": "channel-conn-count-error" if is_too_many else "channel-conn-count",
            "channel": subscription.channel.value,
            "connCount": str(connections),
            "connId": self._connection_id,
        }
        return json.dumps(event)

    def _order_operation(self, operation: str, request: Mapping[str, Any], echo: str, now: datetime) -> str:
        if self._kind is not StreamKind.PRIVATE:
            raise RefusalError("60028")
        if not self._is_logged_in:
            raise RefusalError("60011")
        arguments = request.get("args")
        if not isinstance(arguments, list) or not arguments:
            raise RefusalError("60013")
        wanted = arguments if operation == "batch-orders" else arguments[0]
        try:
            answer = self._execute(operation, wanted, field_text(request, "expTime"))
        except RefusalError as refusal:
            content: dict[str, Any] = {"code": refusal.code, "msg": refusal.message, "data": []}
        else:
            content = {"code": answer.code, "msg": answer.message, "data": answer.data}
        times = {"inTime": micros(now), "outTime": micros(now)}
        return json.dumps({"id": echo, "op": operation, **content, **times})

    def _count_request(self, now_secs: float) -> None:
        while self._requests and self._requests[0] <= now_secs - _REQUEST_PERIOD_SECS:
            self._requests.popleft()
        if self._rate_limits and len(self._requests) >= _MAX_REQUESTS:
            raise RefusalError("60014")
        self._requests.append(now_secs)

    def _pushed(self, subscription: Subscription, push: Push) -> list[str]:
        owner = {"uid": ACCOUNT_UID} if subscription.channel.is_private else {}
        text = json.dumps({"arg": subscription.arg | owner, **push})
        held_back = self._held_back.pop(subscription, None)
        late = [] if held_back is None else [held_back]
        match self._take_fault(subscription.channel.value):
            case None:
                return [text, *late]
            case DropPush():
                return late
            case DuplicatePush():
                return [text, text, *late]
            case GarbagePush():
                return [_GARBAGE, *late]
            case ReorderPush():
                self._held_back[subscription] = text
                return late
            case CloseStream(code, notice):
                self.close_code = code
                return [text, *late, self._notice()] if notice else [text, *late]

    def _notice(self) -> str:
        refusal = RefusalError("64008")
        return json.dumps(
            {
                "event": "notice",
                "code": refusal.code,
                "msg": refusal.message,
                "connId": self._connection_id,
            }
        )

    def _error(self, refusal: RefusalError, echo: str) -> str:
        named = {"id": echo} if echo else {}
        event = {
            "event": "error",
            "code": refusal.code,
            "msg": refusal.message,
            "connId": self._connection_id,
        }
        return json.dumps(named | event)

"""The HTTP shell: receives, authenticates, limits, lets faults happen, and wraps answers in an envelope."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Self, assert_never

import structlog
from aiohttp import web

from stablesats.okx_simulator.account_endpoints import ACCOUNT_ENDPOINTS
from stablesats.okx_simulator.admin import ADMIN_ACTIONS, AdminDesk
from stablesats.okx_simulator.endpoints import Answer, Call, Endpoint
from stablesats.okx_simulator.errors import AdminRequestError, SimulatorStartError
from stablesats.okx_simulator.exchange import Exchange
from stablesats.okx_simulator.faults import (
    AnswerStatus,
    DelayAnswer,
    DelayRequest,
    DropAfter,
    DropBefore,
    Fault,
    FaultScript,
    HideOrder,
    NotJson,
)
from stablesats.okx_simulator.public_endpoints import PUBLIC_ENDPOINTS
from stablesats.okx_simulator.rate_limits import RateLimiter
from stablesats.okx_simulator.refusals import RefusalError, refusal_text
from stablesats.okx_simulator.signatures import ApiKey, SignedRequest, authenticate
from stablesats.okx_simulator.trade_endpoints import TRADE_ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from stablesats.okx_simulator.config import SimulatorConfig

_log: Final = structlog.get_logger(__name__)
_ENDPOINTS: Final[Mapping[tuple[str, str], Endpoint]] = {
    (endpoint.method, endpoint.path): endpoint
    for endpoint in (*PUBLIC_ENDPOINTS, *ACCOUNT_ENDPOINTS, *TRADE_ENDPOINTS)
}
_KNOWN_PATHS: Final = frozenset(path for _, path in (*_ENDPOINTS, *ADMIN_ACTIONS))
_MAX_BODY_BYTES: Final = 128 * 1024
_SHUTDOWN_SECS: Final = 0.5
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_GATEWAY_PAGE: Final = "<html><body><h1>502 Bad Gateway</h1></body></html>"


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Received:
    """A request with its body read."""

    request: web.Request
    body: bytes
    at: datetime


class OkxSimulator:
    """A server that OKX REST clients can talk to, with one account, `BTC-USD-SWAP` and a price to replay.

    Use it as ``async with OkxSimulator(config) as simulator`` and point a client at `base_url`. `stop` and
    `start` take the exchange off the network and back on the same port; orders, balances and the replay
    live on meanwhile. All state belongs to one event loop; requests are executed one at a time.

    Args:
        config: Key, balances, prices and behaviour.
        now: Wall clock, aware UTC: judges signatures and stamps orders.
        monotonic: Seconds of a clock that never goes back: drives replay, rate limits and delays.
    """

    def __init__(
        self,
        config: SimulatorConfig,
        *,
        now: Callable[[], datetime] = _utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.exchange = Exchange(config, now=now, monotonic=monotonic)
        self.faults = FaultScript()
        self.requests: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self._now = now
        self._api_key = ApiKey(config.api_key, config.secret, config.passphrase)
        self._limiter = RateLimiter(enabled=config.rate_limits, monotonic=monotonic)
        self._admin = AdminDesk(self.exchange, self.faults, requests=self.requests, refusals=self.refusals)
        self._runner: web.AppRunner | None = None
        self._port = config.port

    def __repr__(self) -> str:
        return f"<OkxSimulator {self.config.host}:{self._port} {self.exchange!r}>"

    @property
    def base_url(self) -> str:
        """Where clients reach the exchange; with port 0 known once started."""
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Listen; a second start does nothing. The first one also starts an autostarted replay.

        Raises:
            SimulatorStartError: If the address cannot be listened on.
        """
        if self._runner is not None:
            return
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECS)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.config.host, self._port).start()
        except (OSError, UnicodeError) as exc:  # the latter for a host that is no name at all, such as a..b
            await runner.cleanup()
            reason = getattr(exc, "strerror", None) or str(exc)
            raise SimulatorStartError(self.config.host, self._port, reason) from exc
        self._runner = runner
        self._port = runner.addresses[0][1]
        clock = self.exchange.feed.replay_clock
        if clock is not None and self.config.replay_autostart and not clock.started:
            clock.start()

    async def stop(self) -> None:
        """Leave the network; a second stop does nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.requests[path if path in _KNOWN_PATHS else "other"] += 1
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._refused(RefusalError("413", str(_MAX_BODY_BYTES)))
        received = _Received(request, body, self._now())
        if path.startswith("/admin/"):
            return self._serve_admin(received)
        return await self._serve_with_faults(received)

    async def _serve_with_faults(self, received: _Received) -> web.StreamResponse:
        request = received.request
        fault: Fault | None = self.faults.take(request.method, request.path)
        match fault:
            case None:
                return self._serve_okx(received)
            case DropBefore():
                return _dropped(request)
            case DropAfter():
                self._serve_okx(received)
                return _dropped(request)
            case DelayRequest(milliseconds):
                await asyncio.sleep(milliseconds / 1000)
                return self._serve_okx(received)
            case DelayAnswer(milliseconds):
                answer = self._serve_okx(received)
                await asyncio.sleep(milliseconds / 1000)
                return answer
            case AnswerStatus(status, code):
                self.refusals[code] += 1
                return _json({"code": code, "data": [], "msg": refusal_text(code)}, status)
            case NotJson(status):
                return web.Response(text=_GATEWAY_PAGE, status=status, content_type="text/html")
            case HideOrder(milliseconds):
                orders_before = self.exchange.order_count
                answer = self._serve_okx(received)
                self.exchange.hide_orders_since(orders_before, milliseconds)
                return answer
            case unreachable:
                assert_never(unreachable)

    def _serve_okx(self, received: _Received) -> web.Response:
        started_at = self._now()
        try:
            answer = self._execute(received, started_at)
        except RefusalError as refusal:
            return self._refused(refusal)
        except Exception:  # noqa: BLE001 - logged and answered: see below
            # The edge of the server: a defect is answered as OKX would answer it, counted and logged.
            _log.exception("okx_simulator_request_failed", path=received.request.path)
            return self._refused(RefusalError("50026"))
        self._count_refusals(answer)
        envelope = {"code": answer.code, "data": answer.data, "msg": answer.message}
        if answer.is_trade:
            envelope |= {"inTime": _micros(received.at), "outTime": _micros(self._now())}
        return _json(envelope)

    def _execute(self, received: _Received, started_at: datetime) -> Answer:
        request = received.request
        endpoint = _endpoint(request)
        caller = request.remote or ""
        if endpoint.is_private:
            signed = SignedRequest(request.method, request.raw_path, received.body)
            authenticate(signed, request.headers, self._api_key, now=received.at)
            caller = self.config.api_key
        body = _parse_body(received) if request.method == "POST" else None
        query = dict(request.query)
        charges = [
            (charge, _parameter(query, body, charge.limit.keyed_by)) for charge in endpoint.charges(body)
        ]
        self._limiter.spend(caller, charges)
        call = Call(
            exchange=self.exchange,
            config=self.config,
            query=query,
            body=body,
            received_at=received.at,
            started_at=started_at,
            expires_at=_parse_expiry(request.headers.get("expTime", "")),
        )
        return endpoint.handler(call)

    def _refused(self, refusal: RefusalError) -> web.Response:
        self.refusals[refusal.code] += 1
        envelope: dict[str, Any] = {"code": refusal.code, "msg": refusal.message}
        if refusal.has_data:
            envelope["data"] = []
        return _json(envelope, refusal.http_status)

    def _count_refusals(self, answer: Answer) -> None:
        if answer.code != "0":
            self.refusals.update(item["sCode"] for item in answer.data if item["sCode"] != "0")

    def _serve_admin(self, received: _Received) -> web.Response:
        request = received.request
        if not _is_loopback(request.remote):
            return _json({"error": "the admin API answers on loopback only"}, 403)
        action = ADMIN_ACTIONS.get((request.method, request.path))
        if action is None:
            return _json({"error": f"there is no {request.method} {request.path}"}, 404)
        try:
            return _json(action(self._admin, _admin_fields(received.body)))
        except AdminRequestError as exc:
            return _json({"error": str(exc)}, 400)


async def serve(config: SimulatorConfig, *, stop: asyncio.Event, on_ready: Callable[[str], None]) -> None:
    """Run a simulator until *stop* is set.

    Args:
        config: What to simulate.
        stop: Ends the server; requests under way get half a second.
        on_ready: Called once with the base URL, when the server answers.

    Raises:
        SimulatorStartError: If the address cannot be listened on.
    """
    async with OkxSimulator(config) as simulator:
        on_ready(simulator.base_url)
        await stop.wait()


def _endpoint(request: web.Request) -> Endpoint:
    endpoint = _ENDPOINTS.get((request.method, request.path))
    if endpoint is not None:
        return endpoint
    if request.path in _KNOWN_PATHS:
        raise RefusalError("50115")
    raise RefusalError("404", request.path)


def _parse_body(received: _Received) -> Any:
    if received.request.content_type != "application/json":
        raise RefusalError("50006")
    return _load_json(received.body)


def _load_json(body: bytes) -> Any:
    """Parse JSON, keeping every number as the text it was sent as: no amount passes through a float."""
    try:
        return json.loads(body, parse_float=str, parse_int=str, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise RefusalError("50002") from None


def _admin_fields(body: bytes) -> dict[str, Any]:
    try:
        fields = _load_json(body or b"{}")
    except RefusalError:
        fields = None
    if not isinstance(fields, dict):
        raise AdminRequestError("the body must be a JSON object")
    return fields


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _parse_expiry(text: str) -> datetime | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 14):
        raise RefusalError("51000", "expTime")
    return _EPOCH + timedelta(milliseconds=int(text))


def _parameter(query: Mapping[str, str], body: Any, name: str) -> str:
    first = body[0] if isinstance(body, list) and body else body
    value = query.get(name) or (first.get(name) if isinstance(first, dict) else None)
    return value if isinstance(value, str) else ""


def _is_loopback(remote: str | None) -> bool:
    try:
        return remote is not None and ip_address(remote).is_loopback
    except ValueError:
        return False


def _micros(at: datetime) -> str:
    return str((at - _EPOCH) // timedelta(microseconds=1))


def _json(value: Any, status: int = 200) -> web.Response:
    return web.json_response(value, status=status)


def _dropped(request: web.Request) -> web.Response:
    """Cut the connection; the response returned is never written."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()

"""The REST side: authenticates, limits, lets faults happen, and wraps answers in OKX's envelope."""

from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, assert_never

import structlog
from aiohttp import web

from stablesats.okx_simulator.endpoint_table import ENDPOINTS, is_known_path
from stablesats.okx_simulator.endpoints import INSTRUMENT_TYPES, Answer, Call, Endpoint
from stablesats.okx_simulator.errors import ConnectionCutError
from stablesats.okx_simulator.faults import (
    AnswerStatus,
    DelayAnswer,
    DelayRequest,
    DropAfter,
    DropBefore,
    EmptyFields,
    HideOrder,
    MalformedJson,
    NotJson,
    PartialFill,
    Refuse,
    RequestFault,
    StaleAnswer,
)
from stablesats.okx_simulator.json_texts import JsonTextError, load_json
from stablesats.okx_simulator.refusals import RefusalError, has_data, refusal_text
from stablesats.okx_simulator.rows import micros
from stablesats.okx_simulator.signatures import ApiKey, SignedRequest, authenticate
from stablesats.okx_simulator.trade_endpoints import refused_items

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping

    from stablesats.okx_simulator.conditions import Conditions
    from stablesats.okx_simulator.config import SimulatorConfig
    from stablesats.okx_simulator.exchange import Exchange
    from stablesats.okx_simulator.instrument import Instrument
    from stablesats.okx_simulator.rate_limits import RateLimiter

_log: Final = structlog.get_logger(__name__)
_OPEN_IN_MAINTENANCE: Final = frozenset({"/api/v5/public/time", "/api/v5/system/status"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_GATEWAY_PAGE: Final = "<html><body><h1>502 Bad Gateway</h1></body></html>"
_MAX_REMEMBERED: Final = 1000


@dataclass(frozen=True, slots=True)
class Received:
    """A request with its body read, and when that was by the server's clock."""

    request: web.Request
    body: bytes
    at: datetime


class RestService:
    """Answers every path of the REST API.

    Args:
        exchange: What requests act on.
        config: The key, and how strict to be.
        conditions: Clock skew and maintenance.
        limiter: The rate limits.
        now: The server's wall clock, skew included.
        refusals: Counts each OKX code that is answered.
    """

    def __init__(
        self,
        exchange: Exchange,
        config: SimulatorConfig,
        *,
        conditions: Conditions,
        limiter: RateLimiter,
        now: Callable[[], datetime],
        refusals: Counter[str],
    ) -> None:
        self.refusals = refusals
        self._exchange = exchange
        self._config = config
        self._conditions = conditions
        self._limiter = limiter
        self._now = now
        self._api_key = ApiKey(config.api_key, config.secret, config.passphrase)
        self._last_answers: dict[str, dict[str, Any]] = {}

    def has_answered(self, request: web.Request) -> bool:
        """Tell whether the same question was answered before, and how is still remembered."""
        return request.method == "GET" and request.raw_path in self._last_answers

    async def serve(self, received: Received, fault: RequestFault | None) -> web.Response:
        """Answer one request, running into *fault*."""
        match fault:
            case (
                None
                | StaleAnswer()
                | EmptyFields()
                | MalformedJson()
                | HideOrder()
                | PartialFill()
                | Refuse()
            ):
                return self._answer(received, fault)
            case DropBefore():
                return _dropped(received.request)
            case DropAfter():
                self._answer(received)
                return _dropped(received.request)
            case DelayRequest(milliseconds):
                await asyncio.sleep(milliseconds / 1000)
                return self._answer(received)
            case DelayAnswer(milliseconds):
                answer = self._answer(received)
                await asyncio.sleep(milliseconds / 1000)
                return answer
            case AnswerStatus(status, code):
                return self._told(code, refusal_text(code), status, has_data=has_data(code))
            case NotJson(status):
                return web.Response(text=_GATEWAY_PAGE, status=status, content_type="text/html")
            case unreachable:
                assert_never(unreachable)

    def execute(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        at: datetime,
        expiry: str = "",
        fault: RequestFault | None = None,
    ) -> Answer:
        """Run an endpoint for the account's owner without a signature, its rate limits counted.

        Args:
            method: Of the endpoint, as is *path*.
            path: What to run.
            body: Its parameters.
            at: When the request was received.
            expiry: Its ``expTime``, Unix milliseconds; ``""`` for none.
            fault: What it runs into, one that `FaultScript.take_operation` returns.

        Raises:
            RefusalError: 50001 during a maintenance, 51000 for an unreadable *expiry*, what *fault* says;
                else as the endpoint says.
            ConnectionCutError: If *fault* drops the connection, before or after the execution.
        """
        match fault:
            case DropBefore():
                raise ConnectionCutError("before the operation")
            case AnswerStatus(_, code):
                raise RefusalError(code)
        if self._conditions.maintenance_since is not None:
            raise RefusalError("50001")
        endpoint = ENDPOINTS[method, path]
        self._spend(endpoint, self._config.api_key, {}, body)
        expires_at = _parse_expiry(expiry)

        def run() -> Answer:
            if isinstance(fault, Refuse):
                return refused_items(body, RefusalError(fault.code), self._now())
            return self._run(endpoint, {}, body, received_at=at, expires_at=expires_at)

        answer = self._ran_into(fault, run)
        if isinstance(fault, DropAfter):
            raise ConnectionCutError("after the operation")
        return answer

    def refused(self, refusal: RefusalError) -> web.Response:
        """Answer a refusal that stands at the top level."""
        return self._told(refusal.code, refusal.message, refusal.http_status, has_data=refusal.has_data)

    def _told(self, code: str, message: str, status: int, *, has_data: bool) -> web.Response:
        self.refusals[code] += 1
        envelope: dict[str, Any] = {"code": code, "msg": message}
        return json_response(envelope | {"data": []} if has_data else envelope, status)

    def _answer(self, received: Received, fault: RequestFault | None = None) -> web.Response:
        try:
            answer = self._ran_into(fault, lambda: self._execute(received, fault))
        except RefusalError as refusal:
            return self.refused(refusal)
        except Exception:  # noqa: BLE001 - logged and answered: see below
            # The edge of the server: a defect is answered as OKX would answer it, counted and logged.
            _log.exception("okx_simulator_request_failed", path=received.request.path)
            return self.refused(RefusalError("50026"))
        envelope = {"code": answer.code, "data": answer.data, "msg": answer.message}
        if answer.is_trade:
            envelope |= {"inTime": micros(received.at), "outTime": micros(self._now())}
        match fault:
            case MalformedJson():
                text = json.dumps(envelope)
                return web.Response(text=text[: len(text) // 2], content_type="application/json")
            case StaleAnswer():
                envelope = self._last_answers.get(received.request.raw_path, envelope)
        if received.request.method == "GET":
            self._remember(received.request.raw_path, envelope)
        return json_response(envelope)

    def _ran_into(self, fault: RequestFault | None, run: Callable[[], Answer]) -> Answer:
        """Return what *run* answers, with what *fault* does to its orders and rows."""
        orders_before = self._exchange.order_count
        filling = (
            self._exchange.filling_only(fault.ratio) if isinstance(fault, PartialFill) else nullcontext()
        )
        with filling:
            answer = run()
        self._count_refusals(answer)
        match fault:
            case HideOrder(milliseconds):
                self._exchange.hide_orders_since(orders_before, milliseconds)
            case EmptyFields():
                return replace(answer, data=[_emptied(row) for row in answer.data])
        return answer

    def _remember(self, target: str, envelope: dict[str, Any]) -> None:
        self._last_answers.pop(target, None)
        self._last_answers[target] = envelope
        if len(self._last_answers) > _MAX_REMEMBERED:
            del self._last_answers[next(iter(self._last_answers))]

    def _execute(self, received: Received, fault: RequestFault | None) -> Answer:
        request = received.request
        endpoint = _endpoint(request)
        if self._conditions.maintenance_since is not None and request.path not in _OPEN_IN_MAINTENANCE:
            raise RefusalError("50001")
        caller = request.remote or ""
        if endpoint.is_private:
            signed = SignedRequest(request.method, request.raw_path, received.body)
            authenticate(signed, request.headers, self._api_key, now=received.at)
            self._check_environment(request)
            caller = self._config.api_key
        body, unreadable = _parse_body(received) if request.method == "POST" else (None, None)
        self._spend(endpoint, caller, request.query, body)
        if unreadable is not None:
            raise unreadable
        if isinstance(fault, Refuse):
            refusal = RefusalError(fault.code)
            if not endpoint.is_itemised:
                raise refusal
            return refused_items(body, refusal, self._now())
        expires_at = _parse_expiry(request.headers.get("expTime", ""))
        return self._run(endpoint, dict(request.query), body, received_at=received.at, expires_at=expires_at)

    def _spend(self, endpoint: Endpoint, caller: str, query: Mapping[str, str], body: Any) -> None:
        """Count a request against the limits, whatever is wrong with it."""
        self._limiter.spend(
            caller,
            [
                (charge, _bucket(charge.limit.keyed_by, query, body, self._config.instrument))
                for charge in endpoint.charges(body)
            ],
        )

    def _run(
        self,
        endpoint: Endpoint,
        query: Mapping[str, str],
        body: Any,
        *,
        received_at: datetime,
        expires_at: datetime | None,
    ) -> Answer:
        call = Call(
            exchange=self._exchange,
            config=self._config,
            query=query,
            body=body,
            received_at=received_at,
            started_at=self._now(),
            expires_at=expires_at,
            maintenance_since=self._conditions.maintenance_since,
        )
        return endpoint.handler(call)

    def _check_environment(self, request: web.Request) -> None:
        """Refuse what is marked as demo trading, if that matters: money does not move in that mode at all."""
        if not self._config.strict_environment or request.headers.get("x-simulated-trading") != "1":
            return
        moves_money = request.method == "POST" and request.path.startswith("/api/v5/asset/")
        raise RefusalError("50038" if moves_money else "50101")

    def _count_refusals(self, answer: Answer) -> None:
        if answer.code != "0":
            self.refusals.update(item["sCode"] for item in answer.data if item["sCode"] != "0")


def json_response(value: Any, status: int = 200) -> web.Response:
    """Return *value* as a JSON answer."""
    return web.json_response(value, status=status)


def _endpoint(request: web.Request) -> Endpoint:
    endpoint = ENDPOINTS.get((request.method, request.path))
    if endpoint is not None:
        return endpoint
    if is_known_path(request.path):
        raise RefusalError("50115")
    raise RefusalError("404", request.path)


def _parse_body(received: Received) -> tuple[Any, RefusalError | None]:
    """Return the body, or None and why it cannot be read."""
    if received.request.content_type != "application/json":
        return None, RefusalError("50006")
    try:
        return load_json(received.body), None
    except JsonTextError:
        return None, RefusalError("50002")


def _parse_expiry(text: str) -> datetime | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 14):
        raise RefusalError("51000", "expTime")
    return _EPOCH + timedelta(milliseconds=int(text))


def _bucket(keyed_by: str, query: Mapping[str, str], body: Any, instrument: Instrument) -> str:
    """Return which bucket of a limit a request is counted in.

    The values that this exchange knows have one each; everything else shares one, so that names made up
    buy no more requests.
    """
    first = body[0] if isinstance(body, list) and body else body
    fields: Mapping[str, object] = first if isinstance(first, dict) else {}
    value = query.get(keyed_by) or fields.get(keyed_by)
    if keyed_by == "instId" and not value and fields.get("instIdCode") == str(instrument.inst_id_code):
        return instrument.inst_id
    known = {instrument.inst_id, instrument.settle_currency, *INSTRUMENT_TYPES}
    return value if isinstance(value, str) and value in known else ""


def _emptied(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: "" if isinstance(value, str) else value for name, value in row.items()}


def _dropped(request: web.Request) -> web.Response:
    """Cut the connection; the response returned is never written."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()

"""The server: one exchange on the network, its REST API, its WebSockets and its admin API on one port."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import web

from stablesats.okx_simulator.admin import ADMIN_ACTIONS, AdminDesk
from stablesats.okx_simulator.conditions import Conditions
from stablesats.okx_simulator.endpoint_table import is_known_path
from stablesats.okx_simulator.errors import AdminRequestError, SimulatorStartError
from stablesats.okx_simulator.exchange import Exchange
from stablesats.okx_simulator.fault_script import FaultScript
from stablesats.okx_simulator.json_texts import JsonTextError, load_json
from stablesats.okx_simulator.rate_limits import RateLimiter
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.rest import Received, RestService, json_response
from stablesats.okx_simulator.saved_state import StateFile, write_file
from stablesats.okx_simulator.signatures import ApiKey
from stablesats.okx_simulator.streams import StreamService, stream_kind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from stablesats.okx_simulator.certificates import Certificate
    from stablesats.okx_simulator.config import SimulatorConfig
    from stablesats.okx_simulator.endpoints import Answer
    from stablesats.okx_simulator.subscriptions import StreamKind

_MAX_BODY_BYTES: Final = 128 * 1024
_SHUTDOWN_SECS: Final = 0.5
_ADMIN_PATHS: Final = frozenset(path for _, path in ADMIN_ACTIONS)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class OkxSimulator:
    """A server that OKX clients can talk to, with one account, `BTC-USD-SWAP` and a price to replay.

    Use it as ``async with OkxSimulator(config) as simulator`` and point a client at `base_url`. `stop` and
    `start` take the exchange off the network and back on the same port; orders, balances and the replay
    live on meanwhile. All state belongs to one event loop; requests are executed one at a time.

    Args:
        config: Key, balances, prices and behaviour.
        now: Wall clock, aware UTC: judges signatures and stamps orders.
        monotonic: Seconds of a clock that never goes back: drives replay, rate limits and delays.
        state_path: Where the exchange is kept: loaded from at the first start if the file exists, written
            then and whenever it stops. One simulator at a time has the file.
    """

    def __init__(
        self,
        config: SimulatorConfig,
        *,
        now: Callable[[], datetime] = _utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        state_path: Path | None = None,
    ) -> None:
        self.config = config
        self.exchange = Exchange(config, now=now, monotonic=monotonic)
        self.faults = FaultScript(config.seed)
        self.conditions = Conditions()
        self.requests: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.certificate: Certificate | None = None
        self._now = now
        self._state_file = None if state_path is None else StateFile(state_path)
        limiter = RateLimiter(enabled=config.rate_limits, monotonic=monotonic)
        self._rest = RestService(
            self.exchange,
            config,
            conditions=self.conditions,
            limiter=limiter,
            now=self._server_now,
            refusals=self.refusals,
        )
        self.streams = StreamService(
            self.exchange,
            ApiKey(config.api_key, config.secret, config.passphrase),
            faults=self.faults,
            limiter=limiter,
            execute=self._execute_operation,
            now=self._server_now,
            monotonic=monotonic,
            rate_limits=config.rate_limits,
        )
        self._admin = AdminDesk(
            self.exchange,
            self.faults,
            requests=self.requests,
            refusals=self.refusals,
            conditions=self.conditions,
            save=self.save,
        )
        self._runner: web.AppRunner | None = None
        self._port = config.port
        self._tls_port = config.tls_port
        self._is_state_loaded = False

    def __repr__(self) -> str:
        return f"<OkxSimulator {self.config.host}:{self._port} {self.exchange!r}>"

    @property
    def base_url(self) -> str:
        """Where clients reach the exchange; with port 0 known once started."""
        return f"http://{self._host_in_url}:{self._port}"

    @property
    def ws_url(self) -> str:
        """Where clients reach its WebSockets: this with ``/public`` or ``/private`` behind it."""
        return f"ws://{self._host_in_url}:{self._port}/ws/v5"

    @property
    def tls_url(self) -> str | None:
        """Where clients that insist on TLS reach it; None without a TLS port."""
        return None if self._tls_port is None else f"https://{self._host_in_url}:{self._tls_port}"

    async def start(self) -> None:
        """Listen; a second start does nothing. The first one also loads the state and starts the replay.

        Raises:
            SavedStateError: If the file is no state of this exchange, cannot be written, or another simulator
                has it.
            SimulatorStartError: If an address cannot be listened on, or TLS is wanted and the package
                ``cryptography`` is not installed.
        """
        if self._runner is not None:
            return
        with ExitStack() as undo:
            undo.callback(self._release)
            if self._state_file is not None:
                self._claim(self._state_file)
            self._runner = await self._serving()
            undo.pop_all()
        clock = self.exchange.feed.replay_clock
        if clock is not None and self.config.replay_autostart and not clock.started:
            clock.start()

    def _claim(self, state_file: StateFile) -> None:
        """Take the state as it is, and see now rather than at the end whether it can be written."""
        state_file.claim()
        if not self._is_state_loaded and state_file.exists():
            state_file.load(self.exchange)
        self._is_state_loaded = True
        self.save()

    def _release(self) -> None:
        if self._state_file is not None:
            self._state_file.release()

    async def _serving(self) -> web.AppRunner:
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._serve)
        app.on_shutdown.append(self._close_streams)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECS)
        await runner.setup()
        try:
            self._port = await self._listen(runner, self._port, tls=False)
            if self._tls_port is not None:
                self._tls_port = await self._listen(runner, self._tls_port, tls=True)
        except SimulatorStartError:
            await runner.cleanup()
            raise
        return runner

    async def stop(self) -> None:
        """Leave the network and save the state if it has a file; a second stop does nothing."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        with ExitStack() as ending:
            # Last in, first out; and also where the wait for open connections is cut short.
            ending.callback(self._release)
            ending.callback(self.save)
            await runner.cleanup()

    def save(self) -> bool:
        """Write the state to its file; returns whether there is one.

        Raises:
            SavedStateError: If it cannot be written.
        """
        if self._state_file is None:
            return False
        self._state_file.save(self.exchange)
        return True

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

    @property
    def _host_in_url(self) -> str:
        return f"[{self.config.host}]" if ":" in self.config.host else self.config.host

    def _server_now(self) -> datetime:
        return self._now() + self.conditions.clock_skew

    async def _listen(self, runner: web.AppRunner, port: int, *, tls: bool) -> int:
        context = self._certificate().server_context() if tls else None
        try:
            await web.TCPSite(runner, self.config.host, port, ssl_context=context).start()
        except (OSError, UnicodeError) as exc:  # the latter for a host that is no name at all, such as a..b
            reason = getattr(exc, "strerror", None) or str(exc)
            raise SimulatorStartError(self.config.host, port, reason) from exc
        bound: int = runner.addresses[-1][1]
        return bound

    def _certificate(self) -> Certificate:
        if self.certificate is None:
            try:
                from stablesats.okx_simulator.certificates import make_certificate  # noqa: PLC0415 - optional
            except ImportError as exc:
                raise SimulatorStartError(
                    self.config.host, self.config.tls_port or 0, "TLS needs the package cryptography"
                ) from exc
            self.certificate = make_certificate(self.config.host, _utc_now())
        return self.certificate

    async def _close_streams(self, _app: web.Application) -> None:
        await self.streams.close()

    def _execute_operation(self, operation: str, arguments: object, expiry: str) -> Answer:
        path = f"/api/v5/trade/{operation}"
        fault = self.faults.take_operation(path)
        return self._rest.execute("POST", path, arguments, at=self._server_now(), expiry=expiry, fault=fault)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        kind = stream_kind(path)
        is_known = kind is not None or is_known_path(path) or path in _ADMIN_PATHS
        self.requests[path if is_known else "other"] += 1
        try:
            if kind is not None:
                return await self._serve_stream(request, kind)
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._rest.refused(RefusalError("413", str(_MAX_BODY_BYTES)))
        received = Received(request, body, self._server_now())
        if path.startswith("/admin/"):
            answer = self._serve_admin(received)
        else:
            is_repeated = self._rest.has_answered(request)
            fault = self.faults.take(request.method, path, is_repeated=is_repeated)
            answer = await self._rest.serve(received, fault)
        self.streams.wake()
        return answer

    async def _serve_stream(self, request: web.Request, kind: StreamKind) -> web.StreamResponse:
        if self.conditions.maintenance_since is not None:
            return self._rest.refused(RefusalError("50001"))
        try:
            return await self.streams.serve(request, kind)
        except RefusalError as refusal:
            return self._rest.refused(refusal)
        except web.HTTPBadRequest:  # no WebSocket handshake
            return self._rest.refused(RefusalError("404", request.path))

    def _serve_admin(self, received: Received) -> web.Response:
        request = received.request
        if not _is_loopback(request.remote):
            return json_response({"error": "the admin API answers on loopback only"}, 403)
        action = ADMIN_ACTIONS.get((request.method, request.path))
        if action is None:
            return json_response({"error": f"there is no {request.method} {request.path}"}, 404)
        try:
            return json_response(action(self._admin, _admin_fields(received.body)))
        except AdminRequestError as exc:
            return json_response({"error": str(exc)}, 400)


async def serve(
    config: SimulatorConfig,
    *,
    stop: asyncio.Event,
    on_ready: Callable[[str], None],
    state_path: Path | None = None,
    certificate_path: Path | None = None,
) -> None:
    """Run a simulator until *stop* is set.

    Args:
        config: What to simulate.
        stop: Ends the server; requests under way get half a second.
        on_ready: Called once with the base URL, when the server answers, and then with the TLS one if any.
        state_path: Where the state is kept from one run to the next.
        certificate_path: Where to write the certificate that clients of the TLS port have to trust.

    Raises:
        SimulatorStartError: If an address cannot be listened on.
        SavedStateError: If the state cannot be read or written, or the certificate cannot be written.
    """
    async with OkxSimulator(config, state_path=state_path) as simulator:
        if certificate_path is not None and simulator.certificate is not None:
            write_file(certificate_path, simulator.certificate.certificate_pem)
        on_ready(simulator.base_url)
        if simulator.tls_url is not None:
            on_ready(simulator.tls_url)
        await stop.wait()


def _admin_fields(body: bytes) -> dict[str, Any]:
    try:
        fields = load_json(body or b"{}")
    except JsonTextError:
        fields = None
    if not isinstance(fields, dict):
        raise AdminRequestError("the body must be a JSON object")
    return fields


def _is_loopback(remote: str | None) -> bool:
    try:
        return remote is not None and ip_address(remote).is_loopback
    except ValueError:
        return False

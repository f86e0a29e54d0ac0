"""The HTTP face: ``/metrics``, ``/healthz``, ``/readyz`` and a page for people, on aiohttp.

No handler awaits anything but the client: what they serve is a snapshot from memory, so the database
can be slow or gone without a scrape noticing.
"""

import ipaddress
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from types import TracebackType
from typing import Final, Self, assert_never

import structlog
from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from exporters.errors import AddressUnavailableError
from exporters.page import render_page
from exporters.readiness import NotReady, Ready, readiness
from exporters.snapshot import LedgerSnapshot
from stablesats.errors import StablesatsError

LOOPBACK_HOST: Final = "127.0.0.1"
SHUTDOWN_TIMEOUT_SECS: Final = 2.0
"""How long answers under way may take once the server is told to stop."""

_MALFORMED_VERSION: Final = re.compile(r";\s*version=(?![0-9]+(\.[0-9]+)*\s*([;,]|$))")
_PAGE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"

_log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class MetricsServer:
    """Serves a registry and a snapshot over HTTP while its ``async with`` block runs.

    Args:
        registry: What ``/metrics`` exposes; never the global one.
        read_snapshot: Gives the current snapshot; synchronous, from memory.
        now: The current time, timezone-aware.
        host: Address to listen on. Loopback by default: nothing here asks who is calling.
        port: TCP port; 0 takes any free one, see `url`.
    """

    def __init__(
        self,
        *,
        registry: CollectorRegistry,
        read_snapshot: Callable[[], LedgerSnapshot],
        now: Callable[[], datetime],
        host: str = LOOPBACK_HOST,
        port: int = 0,
    ) -> None:
        self._host = host
        self._port = port
        application = metrics_application(registry=registry, read_snapshot=read_snapshot, now=now)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_SECS)

    async def __aenter__(self) -> Self:
        """Start to listen.

        Raises:
            AddressUnavailableError: If the address is taken, forbidden or not of this machine.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except (OSError, UnicodeError) as error:  # the latter for a host that is no name at all, such as a..b
            await self._runner.cleanup()
            reason = getattr(error, "strerror", None) or str(error)
            raise AddressUnavailableError(host=self._host, port=self._port, reason=reason) from error
        if not _is_loopback(self._host):
            _log.warning(
                "exporter.exposed", host=self._host, url=self.url, hint="anyone who can reach it can read it"
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop to listen; answers under way get `SHUTDOWN_TIMEOUT_SECS` to finish."""
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where the server listens, with the real port; valid inside the ``async with`` block."""
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def metrics_application(
    *, registry: CollectorRegistry, read_snapshot: Callable[[], LedgerSnapshot], now: Callable[[], datetime]
) -> web.Application:
    """Build the aiohttp application; HEAD is answered wherever GET is."""

    async def page(_: web.Request) -> web.Response:
        html = render_page(read_snapshot(), now=now())
        headers = {"Content-Security-Policy": _PAGE_POLICY, hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(text=html, content_type="text/html", headers=headers)

    async def alive(_: web.Request) -> web.Response:
        return _status(200, {"status": "alive"})

    async def ready(_: web.Request) -> web.Response:
        match readiness(read_snapshot()):
            case Ready():
                return _status(200, {"status": "ready"})
            case NotReady(reason):
                return _status(503, {"status": "not ready", "reason": reason})
            case unexpected:
                assert_never(unexpected)

    application = web.Application(middlewares=[_refusal])
    application.router.add_get("/", page)
    application.router.add_get("/metrics", _negotiable(make_aiohttp_handler(registry)))
    application.router.add_get("/healthz", alive)
    application.router.add_get("/readyz", ready)
    return application


@web.middleware
async def _refusal(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 500 with the reason when the figures cannot be told, for instance of a damaged ledger."""
    try:
        return await handler(request)
    except StablesatsError as error:
        _log.error("exporter.refused", path=request.path, reason=str(error))
        return web.Response(status=500, text=f"{error}\n")


def _status(status: int, body: dict[str, str]) -> web.Response:
    return web.json_response(body, status=status, headers={hdrs.CACHE_CONTROL: "no-store"})


def _negotiable(handler: Handler) -> Handler:
    """Answer 406 to an Accept header whose version is no number, on which prometheus-client would fail."""

    async def negotiate(request: web.Request) -> web.StreamResponse:
        accept = ",".join(request.headers.getall(hdrs.ACCEPT, []))
        if _MALFORMED_VERSION.search(accept):
            raise web.HTTPNotAcceptable(text="the version in the Accept header is not a number\n")
        return await handler(request)

    return negotiate


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

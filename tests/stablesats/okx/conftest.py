"""A scripted exchange, sample rows and clients for the tests of the OKX client."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from stablesats.okx import OkxClient, OkxCredentials, ReadRetry

SECRETS = ("key-5f2a9c", "22582BD0CFF14C41EDBF1AB98506286D", "phrase-81d3e7")


@dataclass
class Received:
    """A request as it arrived, the target byte by byte."""

    method: str
    target: str
    headers: dict[str, str]
    body: str

    @property
    def endpoint(self) -> str:
        return f"{self.method} {self.target.partition('?')[0]}"


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class ScriptedExchange:
    """Answers each endpoint with what the test queued, the last answer again and again; records everything."""

    url: str = ""
    clock_ahead: timedelta = timedelta(0)
    received: list[Received] = field(default_factory=list)
    _scripts: dict[str, list[Handler]] = field(default_factory=dict)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def rows(
        self, endpoint: str, *rows: dict[str, Any], code: str = "0", msg: str = "", status: int = 200
    ) -> None:
        """Queue an envelope."""
        self.text(endpoint, json.dumps({"code": code, "msg": msg, "data": list(rows)}), status=status)

    def text(
        self, endpoint: str, text: str, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """Queue an answer of any bytes."""

        async def answer(_request: web.Request) -> web.Response:
            return web.Response(text=text, status=status, headers=headers)

        self.handler(endpoint, answer)

    def drop(self, endpoint: str) -> None:
        """Queue a connection that breaks after the request has been read."""

        async def drop(request: web.Request) -> web.Response:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        self.handler(endpoint, drop)

    def hang(self, endpoint: str) -> None:
        """Queue an answer that does not come while the test runs."""

        async def hang(_request: web.Request) -> web.Response:
            await self._released.wait()
            return web.Response()

        self.handler(endpoint, hang)

    def handler(self, endpoint: str, handler: Handler) -> None:
        self._scripts.setdefault(endpoint, []).append(handler)

    def release(self) -> None:
        self._released.set()

    def times_asked(self, endpoint: str) -> int:
        return sum(request.endpoint == endpoint for request in self.received)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        received = Received(request.method, request.raw_path, dict(request.headers), await request.text())
        self.received.append(received)
        script = self._scripts.get(received.endpoint)
        if script:
            return await (script.pop(0) if len(script) > 1 else script[0])(request)
        if received.endpoint == "GET /api/v5/public/time":
            at = datetime.now(UTC) + self.clock_ahead
            return web.json_response(
                {"code": "0", "msg": "", "data": [{"ts": str(int(at.timestamp() * 1000))}]}
            )
        return web.json_response({"code": "404", "msg": f"not scripted: {received.endpoint}"}, status=404)


@pytest.fixture
async def exchange() -> AsyncIterator[ScriptedExchange]:
    scripted = ScriptedExchange()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", scripted.handle)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    scripted.url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield scripted
    scripted.release()
    await runner.cleanup()


@pytest.fixture
def credentials() -> OkxCredentials:
    api_key, secret_key, passphrase = SECRETS
    return OkxCredentials(api_key=api_key, secret_key=secret_key, passphrase=passphrase)


@pytest.fixture
def secrets() -> tuple[str, ...]:
    """The clear texts that must not appear anywhere."""
    return SECRETS


@pytest.fixture
def fast_retry() -> ReadRetry:
    """Three attempts without noticeable pauses."""
    return ReadRetry(attempts=3, wait_initial_secs=0.01, wait_max_secs=0.02, wait_jitter_secs=0.01)


@pytest.fixture
async def client(
    exchange: ScriptedExchange, credentials: OkxCredentials, fast_retry: ReadRetry
) -> AsyncIterator[OkxClient]:
    """A client of the scripted exchange."""
    async with OkxClient(base_url=exchange.url, credentials=credentials, read_retry=fast_retry) as okx:
        yield okx


@pytest.fixture
def soon() -> datetime:
    """An expiry that no test reaches."""
    return datetime.now(UTC) + timedelta(minutes=10)


Row = dict[str, Any]
RowFactory = Callable[..., Row]


@pytest.fixture
def instrument_row() -> RowFactory:
    def make(**changes: object) -> Row:
        return {
            "instId": "BTC-USD-SWAP",
            "instType": "SWAP",
            "ctType": "inverse",
            "settleCcy": "BTC",
            "ctVal": "100",
            "ctMult": "1",
            "ctValCcy": "USD",
            "lotSz": "0.1",
            "minSz": "0.1",
            "tickSz": "0.1",
            "maxMktSz": "49000",
            "maxMktAmt": "",
            "state": "live",
            "instIdCode": 10458,
            "upcChg": [],
            **changes,
        }

    return make


@pytest.fixture
def position_row() -> RowFactory:
    """Short 100 contracts from 50,000 USD, marked at 40,000."""

    def make(**changes: object) -> Row:
        return {
            "instId": "BTC-USD-SWAP",
            "instType": "SWAP",
            "posSide": "net",
            "mgnMode": "cross",
            "pos": "-100",
            "avgPx": "50000",
            "markPx": "40000",
            "last": "40001.5",
            "notionalUsd": "9998.7",
            "upl": "0.05",
            "mgnRatio": "222.13",
            "liqPx": "",
            **changes,
        }

    return make


@pytest.fixture
def order_row() -> RowFactory:
    """A filled sale of 10 contracts under the id ``a1``."""

    def make(**changes: object) -> Row:
        return {
            "instId": "BTC-USD-SWAP",
            "ordId": "1928374655647382910",
            "clOrdId": "a1",
            "side": "sell",
            "state": "filled",
            "sz": "10",
            "accFillSz": "10",
            "avgPx": "50000.1",
            "fee": "-0.00001",
            "feeCcy": "BTC",
            "cTime": "1704876947123",
            "uTime": "1704876947456",
            "reduceOnly": "false",
            **changes,
        }

    return make


@pytest.fixture
def balance_row() -> RowFactory:
    def make(**changes: object) -> Row:
        return {
            "ccy": "BTC",
            "cashBal": "0.1999",
            "eq": "0.2499",
            "availEq": "0.1249",
            "upl": "0.05",
            "mgnRatio": "222.13",
            **changes,
        }

    return make

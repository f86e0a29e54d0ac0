"""A simulator, hands on its clocks, and a client that signs by itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from yarl import URL

from stablesats.okx_simulator import OkxSimulator, SimulatorConfig
from stablesats.okx_simulator.exchange import Exchange


@dataclass
class Clock:
    """A wall clock and a monotonic clock that move only when told."""

    wall: datetime = datetime(2026, 9, 1, 12, tzinfo=UTC)
    seconds: float = 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass
class Reply:
    status: int
    json: Any
    text: str


@dataclass
class Client:
    """Talks to a simulator as the owner of a key does, with a signer of its own."""

    session: aiohttp.ClientSession
    simulator: OkxSimulator
    now: Callable[[], datetime]
    key: str = "sim-key"
    secret: str = "sim-secret"
    passphrase: str = "sim-pass"
    extra_headers: dict[str, str] = field(default_factory=dict)

    def headers(self, method: str, target: str, body: str = "") -> dict[str, str]:
        timestamp = self.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "OK-ACCESS-KEY": self.key,
            "OK-ACCESS-SIGN": self.sign(timestamp + method + target + body),
            "OK-ACCESS-TIMESTAMP": timestamp,
            "OK-ACCESS-PASSPHRASE": self.passphrase,
            "Content-Type": "application/json",
            **self.extra_headers,
        }

    def sign(self, prehash: str) -> str:
        mac = hmac.new(self.secret.encode(), prehash.encode(), hashlib.sha256)
        return base64.b64encode(mac.digest()).decode()

    async def send(
        self, method: str, target: str, *, body: str = "", headers: dict[str, str] | None = None
    ) -> Reply:
        url = URL(self.simulator.base_url + target, encoded=True)
        async with self.session.request(method, url, data=body or None, headers=headers) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return Reply(response.status, json.loads(text) if is_json else None, text)

    async def public(self, path: str) -> Reply:
        return await self.send("GET", f"/api/v5/{path}")

    async def get(self, path: str) -> Reply:
        target = f"/api/v5/{path}"
        return await self.send("GET", target, headers=self.headers("GET", target))

    async def post(self, path: str, fields: Any) -> Reply:
        target, body = f"/api/v5/{path}", json.dumps(fields)
        return await self.send("POST", target, body=body, headers=self.headers("POST", target, body))

    async def market_order(
        self, side: str, contracts: str, client_order_id: str = "", **fields: Any
    ) -> Reply:
        order = {
            "instId": "BTC-USD-SWAP",
            "tdMode": "cross",
            "side": side,
            "ordType": "market",
            "sz": contracts,
            "clOrdId": client_order_id,
        }
        return await self.post("trade/order", order | fields)

    async def admin(self, method: str, path: str, fields: Any = None) -> Reply:
        body = "" if fields is None else json.dumps(fields)
        return await self.send(method, f"/admin/{path}", body=body)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exchange_factory(clock: Clock) -> Callable[..., Exchange]:
    """An exchange whose time stands still until ``clock.advance``."""

    def make(**settings: Any) -> Exchange:
        return Exchange(SimulatorConfig(**settings), now=clock.now, monotonic=clock.monotonic)

    return make


@pytest.fixture
async def client_factory(clock: Clock) -> AsyncIterator[Callable[..., Any]]:
    """A running simulator with the settings given, and a client of it; both on the held clock."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        )

        async def make(**settings: Any) -> Client:
            simulator = OkxSimulator(SimulatorConfig(**settings), now=clock.now, monotonic=clock.monotonic)
            await stack.enter_async_context(simulator)
            return Client(session, simulator, clock.now)

        yield make


@pytest.fixture
async def client(client_factory: Callable[..., Any]) -> Client:
    """A client of a simulator with 10 BTC, leverage 5 and the market at 50,000 USD."""
    made: Client = await client_factory()
    return made

"""A scripted stream of OKX, clocks that stand still, and recorded messages."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from stablesats.okx.streams.slot import Clocks
from stablesats.okx.streams.timing import StreamTiming

CAPTURES = Path(__file__).parent.parent / "captures"


@dataclass
class HeldClock:
    """Both clocks of a stream; they move when told."""

    secs: float = 1_000.0
    at: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def advance(self, secs: float) -> None:
        self.secs += secs
        self.at += timedelta(seconds=secs)

    @property
    def clocks(self) -> Clocks:
        return Clocks(monotonic=lambda: self.secs, now=lambda: self.at)


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def recorded() -> Callable[[str], list[str]]:
    """The texts that OKX sent, in their order."""

    def read(name: str) -> list[str]:
        with gzip.open(CAPTURES / f"{name}.jsonl.gz", "rt") as lines:
            records = [json.loads(line) for line in lines]
        return [record["raw"] for record in records if record["dir"] == "recv"]

    return read


Talk = Callable[["Talker"], Awaitable[None]]


@dataclass
class Talker:
    """The exchange's end of one connection."""

    socket: web.WebSocketResponse
    path: str
    heard: list[Any] = field(default_factory=list)

    async def hear(self) -> Any:
        """Return the next message of the client, JSON or text."""
        async with asyncio.timeout(60):
            message = await self.socket.receive()
        if message.type is not WSMsgType.TEXT:
            raise ConnectionResetError(f"the client left: {message}")
        self.heard.append(message.data if message.data in ("ping", "pong") else json.loads(message.data))
        return self.heard[-1]

    async def say(self, message: object) -> None:
        await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def accept_login(self) -> Any:
        request = await self.hear()
        await self.say({"event": "login", "code": "0", "msg": "", "connId": "a4d3ae55"})
        return request

    async def accept(self, subscriptions: int = 1) -> list[Any]:
        """Acknowledge so many subscriptions as OKX does; unsubscriptions between them, too."""
        accepted: list[Any] = []
        while len(accepted) < subscriptions:
            request = await self.hear()
            (argument,) = request["args"]
            answer = {"event": request["op"], "arg": argument, "connId": "a4d3ae55"}
            await self.say(answer | ({"id": request["id"]} if "id" in request else {}))
            if request["op"] == "subscribe":
                accepted.append(argument)
        return accepted

    async def push(self, argument: dict[str, Any], *rows: dict[str, Any], **others: object) -> None:
        await self.say({"arg": argument, **others, "data": list(rows)})

    async def until_left(self) -> None:
        """Answer pings until the client leaves."""
        while True:
            message = await self.socket.receive()
            if message.type is not WSMsgType.TEXT:
                return
            if message.data == "ping":
                await self.socket.send_str("pong")


@dataclass
class ScriptedStreams:
    """Holds each connection's conversation as the test scripted it, the last one again and again."""

    url: str = ""
    talkers: list[Talker] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    _scripts: list[Talk] = field(default_factory=list)

    def talk(self, script: Talk) -> Talk:
        """Queue a conversation."""
        self._scripts.append(script)
        return script

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        talker = Talker(socket, request.path)
        self.talkers.append(talker)
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        try:
            await script(talker)
        except (ConnectionResetError, TimeoutError) as exc:
            self.failures.append(exc)
        return socket


@pytest.fixture
async def streams() -> AsyncIterator[ScriptedStreams]:
    scripted = ScriptedStreams()
    app = web.Application()
    app.router.add_get("/{path:.*}", scripted.handle)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    scripted.url = "ws://{}:{}".format(*runner.addresses[0][:2])
    yield scripted
    await runner.cleanup()


@pytest.fixture
def quick() -> StreamTiming:
    """Short pauses; bounds that a loaded machine does not meet by accident."""
    return StreamTiming(pause_first_secs=0.02, pause_max_secs=0.05)

"""The WebSocket side: sockets for `Conversation`, one reading and one writing task each.

Only the writing task sends, so an answer to a subscription always comes before its first push.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from stablesats.okx_simulator.conversation import NO_DATA, SLOW_READER, Conversation
from stablesats.okx_simulator.rate_limits import Charge, Limit
from stablesats.okx_simulator.subscriptions import Channel, StreamKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from stablesats.okx_simulator.endpoints import Answer
    from stablesats.okx_simulator.exchange import Exchange
    from stablesats.okx_simulator.fault_script import FaultScript
    from stablesats.okx_simulator.rate_limits import RateLimiter
    from stablesats.okx_simulator.signatures import ApiKey

_log: Final = structlog.get_logger(__name__)
MAX_FRAME_BYTES: Final = 64 * 1024
_PATHS: Final = {f"/ws/v5/{kind}": kind for kind in StreamKind}
_CONNECT: Final = Limit("WebSocket connections", 3, period_secs=1.0)
_TICK_SECS: Final = 0.05
_SEND_WITHIN_SECS: Final = 10.0
_CLOSE_WITHIN_SECS: Final = 0.5


class StreamService:
    """Every WebSocket connection of the exchange.

    Args:
        exchange: What subscriptions look at.
        api_key: Who may log in.
        faults: What pushes meet.
        limiter: Limits connections.
        execute: Runs an order operation with its arguments and its ``expTime``.
        now: The server's wall clock, skew included.
        monotonic: Seconds of a clock that never goes back.
        rate_limits: Whether requests on a connection are limited.
        idle_secs: A connection on which nothing was said for so long is closed.
    """

    def __init__(
        self,
        exchange: Exchange,
        api_key: ApiKey,
        *,
        faults: FaultScript,
        limiter: RateLimiter,
        execute: Callable[[str, object, str], Answer],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        rate_limits: bool,
        idle_secs: float = 30.0,
    ) -> None:
        self.idle_secs = idle_secs
        self.failures = 0
        self._exchange = exchange
        self._api_key = api_key
        self._faults = faults
        self._limiter = limiter
        self._execute = execute
        self._now = now
        self._monotonic = monotonic
        self._rate_limits = rate_limits
        self._numbers = count(1)
        self._connections: set[_Connection] = set()

    def __repr__(self) -> str:
        return f"<StreamService connections={len(self._connections)}>"

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def channels(self) -> list[str]:
        """The channels subscribed to, once for each subscription."""
        return [
            subscription.channel.value
            for connection in self._connections
            for subscription in connection.conversation.subscriptions
        ]

    def wake(self) -> None:
        """Something may have changed: look at every subscription now."""
        for connection in self._connections:
            connection.wake.set()

    async def close(self, code: int = WSCloseCode.GOING_AWAY) -> None:
        """End every connection with *code*."""
        await asyncio.gather(*(connection.socket.close(code=code) for connection in tuple(self._connections)))

    async def serve(self, request: web.Request, kind: StreamKind) -> web.WebSocketResponse:
        """Keep up one connection until either side ends it.

        Raises:
            RefusalError: 50011 for the fourth connection within a second.
        """
        self._limiter.spend(request.remote or "", [(Charge(_CONNECT), "")])
        socket = web.WebSocketResponse(
            max_msg_size=MAX_FRAME_BYTES, compress=False, timeout=_CLOSE_WITHIN_SECS, autoping=False
        )
        await socket.prepare(request)
        conversation = Conversation(
            kind,
            self._exchange,
            self._api_key,
            connection_id=f"{next(self._numbers):08x}",
            execute=self._execute,
            take_fault=self._faults.take_push,
            count_connections=self._count_connections,
            rate_limits=self._rate_limits,
        )
        connection = _Connection(socket, conversation, self._monotonic())
        self._connections.add(connection)
        writer = asyncio.create_task(self._write(connection))
        try:
            await self._read(connection)
        except Exception:  # noqa: BLE001 - logged and counted: see below
            await self._fail(connection)
        finally:
            self._connections.discard(connection)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    def _count_connections(self, channel: Channel) -> int:
        """Return how many connections are subscribed to *channel*; a private one has one account only."""
        return sum(
            any(each.channel is channel for each in connection.conversation.subscriptions)
            for connection in self._connections
        )

    async def _read(self, connection: _Connection) -> None:
        async for message in connection.socket:
            connection.heard_secs = self._monotonic()
            # Pings of the protocol keep a connection alive as well: some clients send no others.
            if message.type is WSMsgType.PING:
                await connection.socket.pong(message.data)
                continue
            if message.type is WSMsgType.PONG:
                continue
            # A binary frame holds nothing readable; a frame too large has closed the connection already.
            text = message.data if message.type is WSMsgType.TEXT else ""
            connection.outbox += connection.conversation.receive(
                text, now=self._now(), now_secs=self._monotonic()
            )
            connection.wake.set()

    async def _write(self, connection: _Connection) -> None:
        socket, conversation = connection.socket, connection.conversation
        try:
            while not socket.closed:
                texts, connection.outbox = connection.outbox, []
                self._exchange.advance()
                now_secs = self._monotonic()
                if conversation.close_code is None:
                    texts += conversation.due(now_secs)
                for text in texts:
                    await asyncio.wait_for(socket.send_str(text), _SEND_WITHIN_SECS)
                    connection.heard_secs = now_secs
                if conversation.close_code is not None:
                    await socket.close(code=conversation.close_code)
                elif now_secs - connection.heard_secs >= self.idle_secs:
                    await socket.close(code=NO_DATA)
                else:
                    await connection.sleep(_TICK_SECS)
        except TimeoutError:
            await socket.close(code=SLOW_READER)
        except ConnectionError:
            _log.debug("okx_simulator_stream_lost", conversation=repr(conversation))
        except Exception:  # noqa: BLE001 - logged and counted: see below
            await self._fail(connection)

    async def _fail(self, connection: _Connection) -> None:
        """End a connection on which there was a defect; the edge of the server, so it goes no further."""
        self.failures += 1
        _log.exception("okx_simulator_stream_failed", conversation=repr(connection.conversation))
        await connection.socket.close(code=WSCloseCode.INTERNAL_ERROR)


class _Connection:
    """A socket, its conversation, and what waits to be sent."""

    def __init__(self, socket: web.WebSocketResponse, conversation: Conversation, now_secs: float) -> None:
        self.socket = socket
        self.conversation = conversation
        self.heard_secs = now_secs
        self.outbox: list[str] = []
        self.wake = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Wait for `wake`, at most *seconds*."""
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            return
        finally:
            self.wake.clear()


def stream_kind(path: str) -> StreamKind | None:
    """Return which WebSocket address *path* is, None for any other path."""
    return _PATHS.get(path)

"""A stream that is kept up: connects, talks, and connects again after a pause."""

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, TypeVar, cast

import aiohttp
import structlog
from yarl import URL

from medici_py.backoff import backoff_secs
from stablesats.errors import ConfigurationError
from stablesats.okx.errors import OkxClosedError, OkxError, OkxInvalidRequestError
from stablesats.okx.streams.channel import Channel
from stablesats.okx.streams.connection import MAX_MESSAGE_BYTES, End, converse
from stablesats.okx.streams.frames import Push
from stablesats.okx.streams.session import Drop, GiveUp, StreamSession
from stablesats.okx.streams.sinks import Sink, ValueSink
from stablesats.okx.streams.slot import Clocks, Freshness, Slot
from stablesats.okx.streams.timing import StreamTiming

OKX_STREAM_URL: Final = "wss://ws.okx.com:8443"
OKX_DEMO_STREAM_URL: Final = "wss://wspap.okx.com:8443"

_CLOSE_WITHIN_SECS: Final = 1.0

_log = structlog.get_logger(__name__)

S = TypeVar("S", bound=Sink)
T = TypeVar("T")


def utc_now() -> datetime:
    """Return the time on this machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """How a stream is doing.

    Attributes:
        is_ready: Whether it is connected and every subscription stands.
        connections: How many connections were made.
        messages: How many frames came.
        unreadable: How many of them could not be understood.
        resubscriptions: How often a subscription had to be made anew, after a gap or a lost first push.
        last_drop: Why a connection last ended, or could not be made; ``""`` if none did.
    """

    is_ready: bool = False
    connections: int = 0
    messages: int = 0
    unreadable: int = 0
    resubscriptions: int = 0
    last_drop: str = ""


class Stream:
    """What public and private streams have in common.

    For one event loop. Ask for what you want to read, then `run` the stream, or use it as a context manager,
    which runs it in a task of its own. An exchange that is away is waited for; only a refused login ends it.
    A channel that is refused is asked for again on the next connection.
    """

    def __init__(
        self,
        url: URL,
        *,
        timing: StreamTiming,
        tls: ssl.SSLContext | None,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._url = url
        self._timing = timing
        self._tls = tls
        self._clocks = Clocks(monotonic=monotonic, now=now)
        self._jitter = jitter
        self._sinks: dict[Channel, Sink] = {}
        self._has_begun = False
        self._session: StreamSession | None = None
        self._past = StreamHealth()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} host={self._url.authority} {self.health}>"

    @property
    def health(self) -> StreamHealth:
        """How the stream is doing, at this moment."""
        past, session = self._past, self._session
        if session is None:
            return past
        return StreamHealth(
            is_ready=session.is_ready,
            connections=past.connections + 1,
            messages=past.messages + session.messages,
            unreadable=past.unreadable + session.unreadable,
            resubscriptions=past.resubscriptions + session.resubscriptions,
            last_drop=past.last_drop,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the stream up until *stop*; readers then get an `OkxClosedError`. A stream runs once.

        Raises:
            OkxLoginRefusedError: OKX does not accept the credentials; the readers get it too.
        """
        if self._has_begun:
            raise OkxInvalidRequestError("a stream runs once; make a new one")
        self._has_begun = True
        keeping_up = asyncio.ensure_future(self._keep_up())
        stopping = asyncio.ensure_future(stop.wait())
        failure: OkxError = OkxClosedError("the stream has ended; make a new one")
        try:
            await asyncio.wait({keeping_up, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if keeping_up.done():
                failure = keeping_up.result().error
                raise failure
        finally:
            for task in (keeping_up, stopping):
                task.cancel()
            await asyncio.wait({keeping_up, stopping})
            for sink in self._sinks.values():
                sink.fail(failure)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.run(self._stop))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._task is None:
            return
        try:
            await asyncio.wait({self._task})
        finally:
            self._task.cancel()
        failure = self._task.exception()
        if failure is not None and exc is None:
            raise failure

    async def _prepare(self) -> None:
        """Do what has to be done before each connection."""

    def _login_text(self) -> Callable[[], str] | None:
        """Return what makes the login; None for a stream that needs none."""
        return None

    def _add(self, sink: S) -> S:
        """Subscribe to one more channel."""
        if self._has_begun:
            raise OkxInvalidRequestError(f"ask for {sink.channel} before the stream runs")
        self._sinks[sink.channel] = sink
        return sink

    def _value_slot(
        self,
        wanted: Channel,
        freshness: Freshness,
        read: Callable[[Push, Channel], T | None],
        *,
        outlives_connection: bool,
    ) -> Slot[T]:
        found = self._sinks.get(wanted)
        if isinstance(found, ValueSink):
            return cast("Slot[T]", found.slot)
        slot: Slot[T] = Slot(str(wanted), freshness, self._clocks)
        return self._add(ValueSink(wanted, slot, read, outlives_connection=outlives_connection)).slot

    async def _keep_up(self) -> GiveUp:
        failures = 0
        while True:
            began_at_secs = self._clocks.monotonic()
            end = await self._connect_and_converse()
            if isinstance(end, GiveUp):
                return end
            held = self._clocks.monotonic() - began_at_secs >= self._timing.stable_after_secs
            failures = 1 if held or end.planned else failures + 1
            pause_secs = backoff_secs(
                failures,
                first_secs=self._timing.pause_first_secs,
                max_secs=self._timing.pause_max_secs,
                jitter=self._jitter(),
            )
            _log.warning(
                "a stream from OKX ended; it will be made anew",
                action="okx-stream-dropped",
                host=self._url.authority,
                path=self._url.path,
                reason=end.reason,
                failures=failures,
                pause_secs=round(pause_secs, 3),
            )
            await asyncio.sleep(pause_secs)

    async def _connect_and_converse(self) -> End:
        session = StreamSession(
            list(self._sinks.values()),
            timing=self._timing,
            login_text=self._login_text(),
            jitter=self._jitter,
        )
        end: End = Drop("it was stopped")
        try:
            end = await self._converse(session)
        finally:
            self._remember(end)
        return end

    async def _converse(self, session: StreamSession) -> End:
        try:
            await self._prepare()
        except OkxError as exc:
            return Drop(f"it could not be prepared: {exc}")
        close = aiohttp.ClientWSTimeout(ws_close=_CLOSE_WITHIN_SECS)
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            try:
                async with asyncio.timeout(self._timing.connect_within_secs):
                    socket = await http.ws_connect(
                        self._url, max_msg_size=MAX_MESSAGE_BYTES, timeout=close, ssl=self._tls or True
                    )
            except (aiohttp.ClientError, OSError, TimeoutError) as exc:
                return Drop(f"no connection: {str(exc) or type(exc).__name__}")
            self._session = session
            async with socket:
                if self._past.connections:
                    self._log_return()
                return await converse(socket, session, self._clocks.monotonic)

    def _log_return(self) -> None:
        _log.info(
            "a stream from OKX is back",
            action="okx-stream-back",
            host=self._url.authority,
            path=self._url.path,
            connections=self.health.connections,
        )

    def _remember(self, end: End) -> None:
        counted = self.health
        reason = end.reason if isinstance(end, Drop) else str(end.error)
        self._session = None
        self._past = StreamHealth(
            is_ready=False,
            connections=counted.connections,
            messages=counted.messages,
            unreadable=counted.unreadable,
            resubscriptions=counted.resubscriptions,
            last_drop=reason,
        )
        for sink in self._sinks.values():
            sink.interrupt(reason)


def stream_url(base_url: str, path: str) -> URL:
    """Return the address of one of OKX's streams.

    Raises:
        ConfigurationError: If *base_url* is not ``wss://host:port`` or ``ws://host:port`` without a path.
    """
    try:
        url = URL(base_url)
    except ValueError:
        url = URL()
    if url.scheme not in ("ws", "wss") or not url.host or url.path_qs not in ("", "/"):
        raise ConfigurationError(
            f"the OKX stream URL {base_url!r} is not wss://host:port or ws://host:port, without a path"
        )
    if url.user is not None or url.password is not None:
        raise ConfigurationError(
            "the OKX stream URL must not hold a user or a password; a login is signed instead"
        )
    return url.with_path(path)

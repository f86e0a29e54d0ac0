"""One HTTP exchange with OKX: send once, read a bounded answer, and say what a silence means.

Nothing is repeated here and no redirect is followed: for a write, either could execute it twice. (aiohttp
resends a request on a connection that turns out to be closed, but only for methods such as GET.)
"""

import math
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace

import aiohttp
from yarl import URL

from stablesats.errors import ConfigurationError
from stablesats.okx.call import Call
from stablesats.okx.envelope import Answer
from stablesats.okx.errors import OkxClosedError, OkxError, OkxOutcomeUnknownError, OkxUnreachableError
from stablesats.okx.tracebacks import forget_frames

# The largest answer that we ask for is a few kilobytes.
MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_CONNECT_SECS = 5.0

# Raised before a byte of the request has left.
_NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@dataclass(slots=True)
class _Departure:
    """When, on our clock, the head of a request was written."""

    at: datetime


class Transport:
    """The connections to one OKX host.

    Opens its session with the first request, so it can be made outside an event loop.
    """

    def __init__(
        self,
        *,
        base_url: str,
        timeout_secs: float,
        now: Callable[[], datetime],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        # aiohttp reads zero as "wait for ever".
        if not 0 < timeout_secs < math.inf:
            raise ConfigurationError(
                f"the OKX request timeout is {timeout_secs} s; it must be above 0 and finite"
            )
        self._origin = _origin(base_url)
        self._timeout_secs = timeout_secs
        self._now = now
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    @property
    def host(self) -> str:
        """The host and port, for messages."""
        return self._origin.authority

    async def close(self) -> None:
        """Close every connection; further requests raise `OkxClosedError`. Safe to call twice."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def exchange(self, call: Call, make_headers: Callable[[], Mapping[str, str]]) -> Answer:
        """Send one request and return its answer, whatever its status.

        Args:
            call: What to send, byte by byte: it is what gets signed.
            make_headers: Called at the moment of sending. A function and not the headers themselves, so that
                the secrets in them are no local variable of a frame that an error passes through.

        Raises:
            OkxUnreachableError: No answer, and certainly not executed: not connected, or a read.
            OkxOutcomeUnknownError: No whole answer to a write that may have reached OKX.
            OkxClosedError: The client has been closed.
        """
        departure = _Departure(self._now())
        try:
            async with self._open_session().request(
                call.endpoint.method,
                URL(f"{self._origin}{call.request_target}", encoded=True),
                data=call.body.encode() if call.body else None,
                headers=make_headers(),
                allow_redirects=False,
                ssl=self._tls or True,
                trace_request_ctx=departure,
            ) as response:
                received = await _read_bounded(response)
                return Answer(
                    status=response.status, body=received, sent_at=departure.at, received_at=self._now()
                )
        except _NOT_CONNECTED as exc:
            forget_frames(exc)
            reason = str(exc) or type(exc).__name__
            raise OkxUnreachableError(f"{call.endpoint} was not sent to {self.host}: {reason}") from exc
        except (aiohttp.ClientError, TimeoutError, OSError, _AnswerTooLongError) as exc:
            forget_frames(exc)
            raise self._no_answer(call, exc) from exc
        except BaseException as exc:
            # A cancellation above all: it passes through frames that hold the headers.
            forget_frames(exc)
            raise

    def _no_answer(self, call: Call, failure: Exception) -> OkxError:
        reason = str(failure) or type(failure).__name__
        if isinstance(failure, TimeoutError):
            reason = f"no answer within {self._timeout_secs:g} s"
        if call.endpoint.write:
            return OkxOutcomeUnknownError(
                reason,
                request=str(call.endpoint),
                client_order_id=call.client_order_id,
                client_transfer_id=call.client_transfer_id,
            )
        return OkxUnreachableError(f"{self.host} did not answer {call.endpoint}: {reason}")

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise OkxClosedError("the OKX client has been closed; make a new one")
        if self._session is None:
            timeout = aiohttp.ClientTimeout(
                total=self._timeout_secs, connect=min(self._timeout_secs, MAX_CONNECT_SECS)
            )
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(self._note_departure)
            self._session = aiohttp.ClientSession(
                timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[trace]
            )
        return self._session

    async def _note_departure(
        self,
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        _params: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        # Making the connection takes time, and would shift the clock of OKX that is measured by this.
        context.trace_request_ctx.at = self._now()


class _AnswerTooLongError(Exception):
    def __init__(self) -> None:
        super().__init__(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    received = bytearray()
    async for chunk in response.content.iter_any():
        received += chunk
        if len(received) > MAX_ANSWER_BYTES:
            raise _AnswerTooLongError
    return bytes(received)


def _origin(base_url: str) -> URL:
    url: URL | None = None
    with suppress(ValueError):
        url = URL(base_url)
    if url is None or url.scheme not in ("http", "https") or not url.host or url.path_qs not in ("", "/"):
        raise ConfigurationError(
            f"the OKX base URL {base_url!r} is not https://host or http://host:port, without a path"
        )
    if url.user is not None or url.password is not None:
        raise ConfigurationError(
            "the OKX base URL must not hold a user or a password; OKX signs requests instead"
        )
    return url.origin()

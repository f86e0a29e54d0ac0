"""One HTTP exchange: what a silence means, and what must not leave with an error."""

import asyncio
import socket
import traceback
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from structlog.tracebacks import ExceptionDictTransformer

from stablesats.errors import ConfigurationError
from stablesats.okx import (
    OkxClosedError,
    OkxError,
    OkxOutcomeUnknownError,
    OkxUnreachableError,
    OrderSide,
    calls,
)
from stablesats.okx.call import Call
from stablesats.okx.transport import MAX_ANSWER_BYTES, Transport

READ = calls.positions("BTC-USD-SWAP")
WRITE = calls.market_order(
    "BTC-USD-SWAP", OrderSide.SELL, 10, "a1", expires_at=datetime(2026, 1, 1, tzinfo=UTC)
)
POSITIONS = "GET /api/v5/account/positions"
PLACE = "POST /api/v5/trade/order"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def transport(exchange) -> AsyncIterator[Transport]:
    opened = Transport(base_url=exchange.url, timeout_secs=20, now=now)
    yield opened
    await opened.close()


@pytest.fixture
async def impatient(exchange) -> AsyncIterator[Transport]:
    opened = Transport(base_url=exchange.url, timeout_secs=0.5, now=now)
    yield opened
    await opened.close()


@pytest.fixture
def closed_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_answer_is_passed_on_whatever_its_status(exchange, transport: Transport) -> None:
    """Status and bytes as they came, with the times on our clock around them."""
    exchange.text(POSITIONS, "<html>", status=502)
    answer = await transport.exchange(READ, dict)
    assert (answer.status, answer.body) == (502, b"<html>")
    assert answer.sent_at <= answer.received_at


async def test_a_request_is_sent_when_it_leaves_not_when_its_connection_is_begun(
    exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OKX's clock is measured by that time: half a slow handshake would be taken for a difference of clocks."""
    began = datetime(2026, 1, 1, 12, tzinfo=UTC)
    times = [began]
    connect = aiohttp.TCPConnector.connect

    async def connect_slowly(*args: Any, **options: Any) -> Any:
        times.append(times[-1] + timedelta(seconds=4))
        return await connect(*args, **options)

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", connect_slowly)
    exchange.rows(POSITIONS)
    transport = Transport(base_url=exchange.url, timeout_secs=20, now=lambda: times[-1])
    answer = await transport.exchange(READ, dict)
    await transport.close()
    assert (answer.sent_at, answer.received_at) == (began + timedelta(seconds=4),) * 2


async def test_target_body_and_headers_arrive_as_they_were_signed(exchange, transport: Transport) -> None:
    """Byte by byte: a re-ordered query or body would not match its signature."""
    exchange.rows(POSITIONS)
    exchange.rows(PLACE)
    await transport.exchange(READ, lambda: {"OK-ACCESS-SIGN": "s1"})
    await transport.exchange(WRITE, lambda: {"Content-Type": "application/json"})
    read, write = exchange.received
    assert (read.target, read.body, read.headers["OK-ACCESS-SIGN"]) == (READ.request_target, "", "s1")
    assert (write.target, write.body) == (WRITE.request_target, WRITE.body)
    assert write.headers["Content-Type"] == "application/json"
    assert "Content-Type" not in read.headers


async def test_a_redirect_is_not_followed(exchange, transport: Transport) -> None:
    """Status 307 would send an order a second time."""
    exchange.text(PLACE, "", status=307, headers={"Location": "/api/v5/trade/order"})
    assert (await transport.exchange(WRITE, dict)).status == 307
    assert exchange.times_asked(PLACE) == 1


@pytest.mark.parametrize("call", [READ, WRITE], ids=["read", "write"])
async def test_without_a_connection_nothing_was_sent(closed_port: int, call: Call) -> None:
    """Certain for a write too."""
    transport = Transport(base_url=f"http://127.0.0.1:{closed_port}", timeout_secs=20, now=now)
    with pytest.raises(OkxUnreachableError, match=f"was not sent to 127.0.0.1:{closed_port}"):
        await transport.exchange(call, dict)
    await transport.close()


async def test_a_lost_connection_leaves_a_write_unknown(exchange, transport: Transport) -> None:
    """It had arrived when the connection broke; it is not sent again."""
    exchange.drop(PLACE)
    with pytest.raises(OkxOutcomeUnknownError) as unknown:
        await transport.exchange(WRITE, dict)
    assert unknown.value.client_order_id == "a1"
    assert exchange.times_asked(PLACE) == 1


async def test_a_connection_lost_on_reuse_leaves_a_write_unknown(exchange, transport: Transport) -> None:
    """A kept connection that breaks under a POST is no licence to repeat it."""
    exchange.rows(POSITIONS)
    exchange.drop(PLACE)
    await transport.exchange(READ, dict)
    with pytest.raises(OkxOutcomeUnknownError):
        await transport.exchange(WRITE, dict)
    assert exchange.times_asked(PLACE) == 1


async def test_a_lost_connection_under_a_read_is_no_answer(exchange, transport: Transport) -> None:
    """Nothing can have been executed."""
    exchange.drop(POSITIONS)
    with pytest.raises(OkxUnreachableError, match="did not answer GET"):
        await transport.exchange(READ, dict)


async def test_silence_is_unknown_for_a_write_and_no_answer_for_a_read(
    exchange, impatient: Transport
) -> None:
    """Both end by the timeout."""
    exchange.hang(PLACE)
    exchange.hang(POSITIONS)
    with pytest.raises(OkxOutcomeUnknownError, match=r"no answer within 0\.5 s"):
        await impatient.exchange(WRITE, dict)
    with pytest.raises(OkxUnreachableError, match=r"no answer within 0\.5 s"):
        await impatient.exchange(READ, dict)


async def test_an_endless_answer_is_cut_off(exchange, transport: Transport) -> None:
    """Memory is bounded, whatever the other side sends."""
    exchange.text(POSITIONS, "x" * (MAX_ANSWER_BYTES + 1))
    with pytest.raises(OkxUnreachableError, match="longer than"):
        await transport.exchange(READ, dict)


async def test_an_answer_cut_short_is_no_answer(exchange, transport: Transport) -> None:
    """Half a list of positions would be read as the whole."""

    async def cut_short(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"x")
        assert request.transport is not None
        request.transport.close()
        return response

    exchange.handler(POSITIONS, cut_short)
    with pytest.raises(OkxUnreachableError):
        await transport.exchange(READ, dict)


async def test_after_closing_nothing_is_sent(exchange, transport: Transport) -> None:
    """Closing twice is fine."""
    await transport.close()
    await transport.close()
    with pytest.raises(OkxClosedError):
        await transport.exchange(READ, dict)
    assert exchange.received == []


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "www.okx.com",
        "ftp://www.okx.com",
        "https://",
        "https://okx.com/api",
        "https://okx.com?a=1",
        "http://[::1",
    ],
)
def test_a_malformed_base_url_is_refused(base_url: str) -> None:
    """Before the first request, by a setting's error."""
    with pytest.raises(ConfigurationError, match="OKX base URL"):
        Transport(base_url=base_url, timeout_secs=1, now=now)


def test_a_base_url_with_credentials_is_refused_without_showing_them() -> None:
    """They would be sent as basic authentication, which OKX does not use."""
    with pytest.raises(ConfigurationError) as refused:
        Transport(base_url="https://user:hunter2@okx.com", timeout_secs=1, now=now)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("timeout_secs", [0, -1, float("inf"), float("nan")])
def test_a_request_without_a_bound_on_its_time_is_refused(timeout_secs: float) -> None:
    """Zero would mean for ever to the HTTP library."""
    with pytest.raises(ConfigurationError, match="request timeout"):
        Transport(base_url="https://www.okx.com", timeout_secs=timeout_secs, now=now)


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_base_url_may_end_in_a_slash(slash: str) -> None:
    """The host is what counts."""
    assert (
        Transport(base_url=f"http://127.0.0.1:8080{slash}", timeout_secs=1, now=now).host == "127.0.0.1:8080"
    )


def assert_shows_no_secret(error: BaseException, secrets: tuple[str, ...]) -> str:
    """Return *error* as printed below the test that caught it, with the local variables of every frame."""
    assert error.__traceback__ is not None
    below_the_test = error.__traceback__.tb_next
    printed = traceback.TracebackException(type(error), error, below_the_test, capture_locals=True)
    structured = ExceptionDictTransformer(show_locals=True, locals_max_string=10_000)(
        (type(error), error, below_the_test)
    )
    shown = "".join(printed.format())
    for text in (shown, str(structured), repr(error)):
        assert not any(secret in text for secret in secrets)
    return shown


def headers_of(*values: str) -> dict[str, str]:
    return dict(zip(("a", "b", "c"), values, strict=True))


@pytest.mark.parametrize("fault", ["drop", "hang", "refuse"])
@pytest.mark.parametrize("call", [READ, WRITE], ids=["read", "write"])
async def test_no_traceback_of_an_error_holds_a_header(
    exchange, closed_port: int, secrets: tuple[str, ...], *, fault: str, call: Call
) -> None:
    """Some log formats print the local variables of every frame; the secrets must not be among them."""
    if fault != "refuse":
        getattr(exchange, fault)(str(call.endpoint))
    url = f"http://127.0.0.1:{closed_port}" if fault == "refuse" else exchange.url
    transport = Transport(base_url=url, timeout_secs=0.5, now=now)
    with pytest.raises(OkxError) as raised:
        await transport.exchange(call, lambda: headers_of(*secrets))
    await transport.close()
    assert raised.value.__cause__ is not None
    assert "call = " in assert_shows_no_secret(raised.value, secrets)


async def test_no_traceback_of_a_cancellation_holds_a_header(
    exchange, transport: Transport, secrets: tuple[str, ...]
) -> None:
    """A request that is waiting for its answer is cancelled whenever a service stops."""
    cancellations: list[BaseException] = []

    async def ask() -> None:
        try:
            await transport.exchange(WRITE, lambda: headers_of(*secrets))
        except asyncio.CancelledError as exc:
            cancellations.append(exc)
            raise

    exchange.hang(PLACE)
    asking = asyncio.create_task(ask())
    async with asyncio.timeout(60):
        while not exchange.received:
            await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    (cancellation,) = cancellations
    assert_shows_no_secret(cancellation, secrets)


async def test_no_traceback_of_a_defect_holds_a_header(
    transport: Transport, secrets: tuple[str, ...]
) -> None:
    """Whatever it is: here a header that cannot be sent, which the HTTP library refuses."""
    with pytest.raises(ValueError, match="header") as raised:
        await transport.exchange(READ, lambda: {**headers_of(*secrets), "d": "1\n2"})
    assert_shows_no_secret(raised.value, secrets)

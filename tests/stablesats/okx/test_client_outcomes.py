"""The client against an exchange that misbehaves on purpose: accepted, refused or unknown, and nothing else."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from stablesats.okx import (
    DuplicateClientOrderIdError,
    InsufficientMarginError,
    OkxAuthenticationError,
    OkxClient,
    OkxClockSkewError,
    OkxClosedError,
    OkxCredentials,
    OkxError,
    OkxInvalidRequestError,
    OkxOutcomeUnknownError,
    OkxProtocolError,
    OkxRateLimitedError,
    OkxRefusedError,
    OkxUnavailableError,
    OkxUnreachableError,
    OrderExpiredError,
    OrderNotFoundError,
    OrderNotPendingError,
    OrderSide,
    OrderState,
    ReadRetry,
)
from stablesats.okx.clock import MEASURED_FOR

SWAP = "BTC-USD-SWAP"
TIME = "GET /api/v5/public/time"
PLACE = "POST /api/v5/trade/order"
CANCEL = "POST /api/v5/trade/cancel-order"
CLOSE = "POST /api/v5/trade/close-position"
DETAILS = "GET /api/v5/trade/order"
POSITIONS = "GET /api/v5/account/positions"
TICKER = "GET /api/v5/market/ticker"

ACCEPTED = {"ordId": "312269865356374016", "clOrdId": "a1", "tag": "", "ts": "1", "sCode": "0", "sMsg": ""}


def refused_item(code: str) -> dict[str, str]:
    return {"ordId": "", "clOrdId": "a1", "sCode": code, "sMsg": f"refused with {code}"}


async def place(client: OkxClient, soon: datetime) -> object:
    return await client.place_market_order(SWAP, OrderSide.SELL, 10, "a1", expires_at=soon)


async def cancel(client: OkxClient, _soon: datetime) -> object:
    return await client.cancel_order(SWAP, "a1")


async def close(client: OkxClient, _soon: datetime) -> object:
    return await client.close_position(SWAP, "a1")


Write = Callable[[OkxClient, datetime], Awaitable[object]]
WRITES = [pytest.param(PLACE, place, id="place"), pytest.param(CANCEL, cancel, id="cancel")]
WRITES.append(pytest.param(CLOSE, close, id="close"))


# Writes


async def test_an_accepted_order(exchange, client: OkxClient, soon: datetime) -> None:
    """Acknowledged with OKX's id; sent with its expiry in milliseconds, as JSON, in production mode."""
    exchange.rows(PLACE, ACCEPTED)
    ack = await client.place_market_order(SWAP, OrderSide.SELL, 10, "a1", expires_at=soon)
    assert (ack.order_id, ack.client_order_id) == ("312269865356374016", "a1")
    headers = exchange.received[-1].headers
    assert headers["expTime"] == str(int(soon.timestamp() * 1000))
    assert headers["Content-Type"] == "application/json"
    assert headers["x-simulated-trading"] == "0"


async def test_demo_trading_is_said_in_every_request(exchange, credentials, fast_retry) -> None:
    """OKX tells demo from production by a header."""
    exchange.rows(POSITIONS)
    async with OkxClient(
        base_url=exchange.url, credentials=credentials, simulated=True, read_retry=fast_retry
    ) as client:
        await client.position(SWAP)
    assert {request.headers["x-simulated-trading"] for request in exchange.received} == {"1"}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("51008", InsufficientMarginError),
        ("51016", DuplicateClientOrderIdError),
        ("50037", OrderExpiredError),
        ("51000", OkxRefusedError),
    ],
)
async def test_a_refused_order(exchange, client: OkxClient, soon: datetime, code: str, error: type) -> None:
    """The item's code becomes the error, and the order is not sent again."""
    exchange.rows(PLACE, refused_item(code), code="1", msg="All operations failed")
    with pytest.raises(error) as refused:
        await place(client, soon)
    assert (refused.value.code, refused.value.message) == (code, f"refused with {code}")
    assert exchange.times_asked(PLACE) == 1


@pytest.mark.parametrize(("endpoint", "write"), WRITES)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "<html>maintenance</html>"),
        (200, '{"code":"0","msg":""}'),
        (200, '{"code":"0","msg":"","data":[]}'),
        (200, '{"code":"50004","msg":"API endpoint request timeout.","data":[]}'),
        (500, '{"code":"50026","msg":"System error. Try again later","data":[]}'),
        (502, "<html>502 Bad Gateway</html>"),
        (503, '{"code":"50001","msg":"Service temporarily unavailable.","data":[]}'),
    ],
)
async def test_a_write_without_a_clear_answer_is_unknown_and_never_sent_again(
    exchange, client: OkxClient, soon: datetime, *, endpoint: str, write: Write, status: int, body: str
) -> None:
    """It may have been executed: sending it again could trade twice."""
    exchange.text(endpoint, body, status=status)
    with pytest.raises(OkxOutcomeUnknownError) as unknown:
        await write(client, soon)
    assert unknown.value.client_order_id == "a1"
    assert unknown.value.request == endpoint
    assert exchange.times_asked(endpoint) == 1


@pytest.mark.parametrize(("endpoint", "write"), WRITES)
async def test_a_write_whose_connection_breaks_is_unknown_and_never_sent_again(
    exchange, client: OkxClient, soon: datetime, endpoint: str, write: Write
) -> None:
    """The request had been read when the connection broke."""
    exchange.drop(endpoint)
    with pytest.raises(OkxOutcomeUnknownError):
        await write(client, soon)
    assert exchange.times_asked(endpoint) == 1


@pytest.mark.parametrize(("endpoint", "write"), WRITES)
async def test_a_rate_limited_write_is_refused_and_never_sent_again(
    exchange, client: OkxClient, soon: datetime, endpoint: str, write: Write
) -> None:
    """Certainly not executed, so it is the caller's to decide anew."""
    exchange.text(endpoint, '{"msg":"Too Many Requests","code":"50011"}', status=429)
    with pytest.raises(OkxRateLimitedError):
        await write(client, soon)
    assert exchange.times_asked(endpoint) == 1


async def test_an_order_past_its_expiry_is_not_sent(exchange, client: OkxClient) -> None:
    """The wait before sending may have used up its life; the error is certain and says both times."""
    with pytest.raises(OrderExpiredError, match="was not sent: it expired at") as expired:
        await place(client, datetime.now(UTC) - timedelta(seconds=1))
    assert (expired.value.code, expired.value.http_status) == ("", None)
    assert exchange.times_asked(PLACE) == 0


async def test_expiry_is_judged_by_the_clock_of_the_exchange(exchange, client: OkxClient) -> None:
    """Ours may be far off: here OKX is a minute ahead, so an order of the next 30 s is too late."""
    exchange.clock_ahead = timedelta(minutes=1)
    with pytest.raises(OrderExpiredError):
        await place(client, datetime.now(UTC) + timedelta(seconds=30))
    assert exchange.times_asked(PLACE) == 0
    assert client.exchange_now() - datetime.now(UTC) > timedelta(seconds=50)


async def test_a_malformed_order_is_not_sent(exchange, client: OkxClient, soon: datetime) -> None:
    """Not even the clock is asked."""
    with pytest.raises(OkxInvalidRequestError):
        await client.place_market_order(SWAP, OrderSide.SELL, 0, "a1", expires_at=soon)
    with pytest.raises(OkxInvalidRequestError):
        await client.place_market_order(SWAP, OrderSide.SELL, 1, "a-1", expires_at=soon)
    assert exchange.received == []


async def test_closing_a_position(exchange, client: OkxClient) -> None:
    """True if OKX accepted it, False if there was none."""
    exchange.rows(CLOSE, {"instId": SWAP, "posSide": "net", "clOrdId": "a1", "tag": ""})
    exchange.rows(CLOSE, code="51023", msg="Position doesn't exist.")
    assert await client.close_position(SWAP, "a1") is True
    assert await client.close_position(SWAP, "a2") is False


async def test_cancelling_an_order_that_is_done(exchange, client: OkxClient) -> None:
    """Filled, cancelled or unknown: only a query tells."""
    exchange.rows(CANCEL, refused_item("51400"), code="1")
    with pytest.raises(OrderNotPendingError):
        await client.cancel_order(SWAP, "a1")


# Reads


@pytest.mark.parametrize("fault", ["drop", "502", "50011", "50013", "50001", "429 page"])
async def test_a_read_is_repeated_until_it_is_answered(
    exchange, client: OkxClient, position_row, fault: str
) -> None:
    """Two faults, then the answer: one call of ours."""
    for _ in range(2):
        match fault:
            case "drop":
                exchange.drop(POSITIONS)
            case "502":
                exchange.text(POSITIONS, "<html>502 Bad Gateway</html>", status=502)
            case "50011":
                exchange.text(POSITIONS, '{"msg":"Too Many Requests","code":"50011"}', status=429)
            case "50013":
                exchange.rows(POSITIONS, code="50013", status=429)
            case "50001":
                exchange.rows(POSITIONS, code="50001", status=503)
            case _:
                exchange.text(POSITIONS, "slow down", status=429)
    exchange.rows(POSITIONS, position_row())
    assert (await client.position(SWAP)).size_contracts == -100


@pytest.mark.parametrize(("status", "error"), [(502, OkxUnavailableError), (429, OkxRateLimitedError)])
async def test_a_read_gives_up_after_its_attempts(
    exchange, client: OkxClient, status: int, error: type
) -> None:
    """With the last error; nothing was executed."""
    exchange.text(POSITIONS, "trouble", status=status)
    with pytest.raises(error) as refused:
        await client.position(SWAP)
    assert refused.value.http_status == status
    assert exchange.times_asked(POSITIONS) == 3


async def test_a_read_that_is_refused_is_not_repeated(exchange, client: OkxClient) -> None:
    """The answer would be the same."""
    exchange.rows(DETAILS, code="51603", msg="Order does not exist.")
    with pytest.raises(OrderNotFoundError):
        await client.order(SWAP, "a1")
    assert exchange.times_asked(DETAILS) == 1


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_an_error_with_an_empty_list_is_never_no_position(
    exchange, client: OkxClient, status: int
) -> None:
    """Code and status come before data."""
    exchange.rows(POSITIONS, code="50044", msg="trouble", status=status)
    with pytest.raises(OkxError):
        await client.position(SWAP)


async def test_a_malformed_price_is_an_error(exchange, client: OkxClient) -> None:
    """Never a number made up from it."""
    exchange.rows(TICKER, {"instId": SWAP, "last": "n/a", "bidPx": "", "askPx": "", "ts": "1704876947123"})
    with pytest.raises(OkxProtocolError, match="malformed Ticker: last"):
        await client.ticker(SWAP)


async def test_a_state_that_we_do_not_know_is_pending_with_an_alarm(
    exchange, client: OkxClient, order_row
) -> None:
    """The log line quotes it, so that it can be added."""
    exchange.rows(DETAILS, order_row(state="half_baked"))
    with capture_logs() as logs:
        order = await client.order(SWAP, "a1")
    assert order.state is OrderState.UNKNOWN
    assert not order.state.is_final
    [alarm] = [entry for entry in logs if entry.get("action") == "okx-order-state-unknown"]
    assert alarm["log_level"] == "warning"
    assert (alarm["client_order_id"], alarm["states"]) == ("a1", ["half_baked"])


async def test_public_reads_are_not_signed(exchange, client: OkxClient) -> None:
    """No key leaves without need, and no clock has to be asked first."""
    exchange.rows(TICKER, {"instId": SWAP, "last": "50000", "bidPx": "", "askPx": "", "ts": "1704876947123"})
    await client.ticker(SWAP)
    [request] = exchange.received
    assert not any(name.startswith("OK-ACCESS") for name in request.headers)


# Clock


async def test_the_clock_is_measured_once_before_the_first_private_request(
    exchange, client: OkxClient
) -> None:
    """However many start at the same moment."""
    exchange.rows(POSITIONS)
    await asyncio.gather(*(client.position(SWAP) for _ in range(3)))
    assert [request.endpoint for request in exchange.received][:2] == [TIME, POSITIONS]
    assert exchange.times_asked(TIME) == 1


async def test_requests_are_signed_with_the_clock_of_the_exchange(exchange, client: OkxClient) -> None:
    """Ours is two minutes behind here; OKX would refuse at 30 s."""
    exchange.clock_ahead = timedelta(minutes=2)
    exchange.rows(POSITIONS)
    with capture_logs() as logs:
        await client.position(SWAP)
    signed_at = datetime.fromisoformat(exchange.received[-1].headers["OK-ACCESS-TIMESTAMP"])
    assert timedelta(seconds=100) < signed_at - datetime.now(UTC) < timedelta(seconds=130)
    assert [entry["action"] for entry in logs] == ["okx-clock-skewed"]


async def test_a_read_refused_for_its_timestamp_is_signed_again_with_a_new_measurement(
    exchange, client: OkxClient
) -> None:
    """The clock was moved after the first measurement."""
    exchange.rows(POSITIONS, code="50102", msg="Timestamp request expired.", status=401)
    exchange.rows(POSITIONS)
    assert (await client.position(SWAP)).is_flat
    assert [request.endpoint for request in exchange.received] == [TIME, POSITIONS, TIME, POSITIONS]


async def test_a_read_refused_twice_for_its_timestamp_is_an_error(exchange, client: OkxClient) -> None:
    """Measuring once more would not help."""
    exchange.rows(POSITIONS, code="50102", status=401)
    with pytest.raises(OkxClockSkewError):
        await client.position(SWAP)
    assert exchange.times_asked(POSITIONS) == 2


@pytest.mark.parametrize("measurable", [True, False])
async def test_a_write_refused_for_its_timestamp_is_not_sent_again(
    exchange, client: OkxClient, soon: datetime, measurable: bool
) -> None:
    """It stays refused, also if the new measurement fails; the next request has the new clock."""
    exchange.rows(PLACE, code="50102", status=401)
    await client.server_time()
    if not measurable:
        exchange.text(TIME, "trouble", status=502)
    with pytest.raises(OkxClockSkewError):
        await place(client, soon)
    assert exchange.times_asked(PLACE) == 1
    assert exchange.times_asked(TIME) == 2


@pytest.mark.parametrize("code", ["50036", "50037"])
async def test_an_order_expired_at_the_exchange_has_the_clock_measured_for_the_next_one(
    exchange, client: OkxClient, code: str
) -> None:
    """Ours was stepped after the first measurement: without a new one, every order would expire."""
    exchange.rows(PLACE, code=code, msg="Your request has expired", status=400)
    exchange.rows(PLACE, ACCEPTED)
    await client.server_time()
    exchange.clock_ahead = timedelta(seconds=20)
    with pytest.raises(OrderExpiredError):
        await place(client, client.exchange_now() + timedelta(seconds=10))
    assert (exchange.times_asked(PLACE), exchange.times_asked(TIME)) == (1, 2)
    await place(client, client.exchange_now() + timedelta(seconds=10))
    assert client.exchange_now() - datetime.now(UTC) > timedelta(seconds=15)


async def test_an_order_expired_before_it_was_sent_has_the_clock_measured(
    exchange, client: OkxClient
) -> None:
    """It was our clock that said so."""
    await client.server_time()
    with pytest.raises(OrderExpiredError):
        await place(client, client.exchange_now() - timedelta(seconds=1))
    assert (exchange.times_asked(PLACE), exchange.times_asked(TIME)) == (0, 2)


@pytest.mark.parametrize("measurable", [True, False])
async def test_the_clock_is_measured_again_after_a_while(
    exchange, credentials: OkxCredentials, fast_retry: ReadRetry, measurable: bool
) -> None:
    """Clocks drift. Where it cannot be measured, the known offset stays in use."""
    ours = [datetime.now(UTC)]
    exchange.rows(POSITIONS)
    async with OkxClient(
        base_url=exchange.url, credentials=credentials, read_retry=fast_retry, now=lambda: ours[-1]
    ) as okx:
        await okx.position(SWAP)
        await okx.position(SWAP)
        assert exchange.times_asked(TIME) == 1
        ours.append(ours[0] + MEASURED_FOR)
        if not measurable:
            exchange.text(TIME, "trouble", status=502)
        assert (await okx.position(SWAP)).is_flat
        assert exchange.times_asked(TIME) == 2
        is_close = abs(okx.exchange_now() - datetime.now(UTC)) < MEASURED_FOR / 2
        assert is_close is measurable


async def test_an_order_is_not_sent_before_the_clock_is_known(
    exchange, client: OkxClient, soon: datetime
) -> None:
    """Signed and expiring by a clock that may be wrong, it could live longer than it should."""
    exchange.text(TIME, "trouble", status=502)
    with pytest.raises(OkxUnavailableError):
        await place(client, soon)
    assert exchange.times_asked(PLACE) == 0


async def test_signature_is_made_after_the_wait_for_the_rate_limit(exchange, client: OkxClient) -> None:
    """Five at once, a burst of two: the timestamp of the last one shows when it was sent."""
    exchange.rows(POSITIONS)
    await asyncio.gather(*(client.position(SWAP) for _ in range(5)))
    stamps = [
        datetime.fromisoformat(request.headers["OK-ACCESS-TIMESTAMP"])
        for request in exchange.received
        if request.endpoint == POSITIONS
    ]
    assert max(stamps) - min(stamps) > timedelta(milliseconds=300)


# Bounds


async def test_a_request_that_our_own_limit_holds_back_too_long_is_refused_unsent(
    exchange, credentials, fast_retry
) -> None:
    """A queue at the door must not grow without end: the wait is bounded by the request timeout."""
    exchange.rows(POSITIONS)
    async with OkxClient(
        base_url=exchange.url, credentials=credentials, request_timeout_secs=0.4, read_retry=fast_retry
    ) as client:
        outcomes = await asyncio.gather(*(client.position(SWAP) for _ in range(60)), return_exceptions=True)
    held_back = [outcome for outcome in outcomes if isinstance(outcome, OkxRateLimitedError)]
    assert held_back
    assert all("our own rate limit" in str(outcome) for outcome in held_back)


async def test_a_silent_exchange_does_not_hold_an_order_for_ever(
    exchange, credentials, fast_retry, soon: datetime
) -> None:
    """The request timeout bounds every exchange."""
    exchange.hang(PLACE)
    async with OkxClient(
        base_url=exchange.url, credentials=credentials, request_timeout_secs=0.5, read_retry=fast_retry
    ) as client:
        with pytest.raises(OkxOutcomeUnknownError, match=r"no answer within 0\.5 s"):
            await place(client, soon)
    assert exchange.times_asked(PLACE) == 1


async def test_a_cancelled_caller_leaves_the_client_usable(exchange, client: OkxClient, position_row) -> None:
    """Cancellation passes through; neither the door nor a connection stays taken."""
    arrived = asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        arrived.set()
        await asyncio.Event().wait()
        return web.Response()

    exchange.handler(POSITIONS, slow)
    exchange.rows(POSITIONS, position_row())
    asking = asyncio.create_task(client.position(SWAP))
    await arrived.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await client.position(SWAP)).size_contracts == -100


async def test_a_closed_client_says_so(exchange, client: OkxClient, soon: datetime) -> None:
    """At once, and without a request."""
    await client.close()
    with pytest.raises(OkxClosedError):
        await client.ticker(SWAP)
    with pytest.raises(OkxClosedError):
        await place(client, soon)
    assert exchange.received == []


async def test_an_exchange_that_is_not_there(credentials, fast_retry, soon: datetime) -> None:
    """Certain not to have been sent, for a read and for an order."""
    async with OkxClient(
        base_url="http://127.0.0.1:9", credentials=credentials, read_retry=fast_retry
    ) as client:
        for attempt in (client.position(SWAP), place(client, soon)):
            with pytest.raises(OkxUnreachableError):
                await attempt


# Secrets


@pytest.mark.parametrize("fault", ["refused", "unknown", "protocol", "dropped"])
async def test_no_secret_leaves_with_an_error_a_log_line_or_a_repr(
    exchange, client: OkxClient, soon: datetime, secrets, caplog, *, fault: str
) -> None:
    """Key, secret and passphrase; through retries, structured logs, and tracebacks with local variables."""
    caplog.set_level(logging.DEBUG)
    match fault:
        case "refused":
            exchange.rows(POSITIONS, code="50113", msg="Invalid Sign", status=401)
            failing = client.position(SWAP)
        case "unknown":
            exchange.text(PLACE, "<html>", status=502)
            failing = place(client, soon)
        case "protocol":
            exchange.rows(POSITIONS, {"pos": "?"})
            failing = client.position(SWAP)
        case _:
            exchange.drop(POSITIONS)
            failing = client.position(SWAP)
    with capture_logs() as logs, pytest.raises(OkxError) as raised:
        await failing
    error = raised.value
    assert error.__traceback__ is not None
    below_this_test = error.__traceback__.tb_next
    printed = traceback.TracebackException(type(error), error, below_this_test, capture_locals=True)
    shown = [
        *printed.format(),
        repr(error),
        repr(client),
        str(vars(error)),
        str(logs),
        caplog.text,
    ]
    assert not [text for text in shown for secret in secrets if secret in text]


async def test_wrong_credentials_are_named_as_such(exchange, client: OkxClient) -> None:
    """The way out is in the message."""
    exchange.rows(POSITIONS, code="50111", msg="Invalid OK-ACCESS-KEY.", status=401)
    with pytest.raises(OkxAuthenticationError, match="check api key, secret, passphrase"):
        await client.position(SWAP)

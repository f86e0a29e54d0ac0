"""The WebSockets as a client meets them: real sockets, real frames."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from stablesats.okx_simulator import (
    AnswerStatus,
    DropAfter,
    DropBefore,
    EmptyFields,
    HideOrder,
    NotJson,
    PartialFill,
    Refuse,
)
from stablesats.okx_simulator.streams import MAX_FRAME_BYTES

SWAP = "BTC-USD-SWAP"
TICKERS = {"channel": "tickers", "instId": SWAP}


class Stream:
    """A connection that reads JSON with a deadline."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, client: Any) -> None:
        self.socket = socket
        self.client = client

    async def say(self, frame: Any) -> None:
        await self.socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    async def hear(self) -> Any:
        message = await self.socket.receive(timeout=60)
        assert message.type is WSMsgType.TEXT, message
        return message.data if message.data == "pong" else json.loads(message.data)

    async def closed_with(self) -> int:
        """Read on to the end; the code that the server closed with."""
        message = await self.socket.receive(timeout=60)
        while message.type is WSMsgType.TEXT:
            message = await self.socket.receive(timeout=60)
        assert message.type is WSMsgType.CLOSE, message
        return int(message.data)

    async def login(self) -> None:
        timestamp = str(int(self.client.now().timestamp()))
        sign = self.client.sign(f"{timestamp}GET/users/self/verify")
        fields = {"apiKey": "sim-key", "passphrase": "sim-pass", "timestamp": timestamp, "sign": sign}
        await self.say({"op": "login", "args": [fields]})
        assert (await self.hear())["code"] == "0"


@pytest.fixture
async def connect(client: Any) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def open_stream(kind: str = "public") -> Stream:
            url = f"{client.simulator.ws_url}/{kind}"
            socket = await stack.enter_async_context(
                client.session.ws_connect(url, autoclose=False, autoping=False)
            )
            return Stream(socket, client)

        yield open_stream


async def test_subscriber_follows_the_price(client: Any, connect: Callable[..., Any], clock: Any) -> None:
    """Acknowledged, then the ticker, then its change."""
    stream = await connect()
    await stream.say({"op": "subscribe", "args": [TICKERS]})
    assert (await stream.hear())["event"] == "subscribe"
    assert (await stream.hear())["data"][0]["last"] == "50000"
    clock.advance(1)
    await client.admin("POST", "price", {"price": "51000"})
    assert (await stream.hear())["data"][0]["last"] == "51000"
    await stream.say("ping")
    assert await stream.hear() == "pong"


async def test_orders_are_pushed_to_their_owner(client: Any, connect: Callable[..., Any]) -> None:
    """An order placed over REST appears on the private stream, one placed there is answered there."""
    stream = await connect("private")
    await stream.login()
    await stream.say({"op": "subscribe", "args": [{"channel": "orders", "instType": "ANY"}]})
    assert [(await stream.hear())["event"] for _ in range(2)] == ["subscribe", "channel-conn-count"]
    await client.market_order("sell", "10", "rest")
    assert [(await stream.hear())["data"][0]["state"] for _ in range(2)] == ["live", "filled"]
    order = {"instIdCode": 10458, "tdMode": "cross", "side": "buy", "ordType": "market", "sz": "10"}
    await stream.say({"id": "9", "op": "order", "args": [order | {"clOrdId": "ws"}]})
    answers = [await stream.hear() for _ in range(3)]
    assert answers[0]["id"] == "9"
    assert answers[0]["data"][0]["clOrdId"] == "ws"
    assert [answer["data"][0]["clOrdId"] for answer in answers[1:]] == ["ws", "ws"]
    assert client.simulator.exchange.account.contracts == 0


OPERATION = {"instId": "BTC-USD-SWAP", "tdMode": "cross", "side": "sell", "ordType": "market", "sz": "10"}


@pytest.mark.parametrize(("fault", "executed"), [(DropBefore(), 0), (DropAfter(), 1)])
async def test_order_operation_can_be_dropped(
    client: Any, connect: Callable[..., Any], fault: Any, executed: int
) -> None:
    """Before or after it is executed: the connection ends without an answer."""
    stream = await connect("private")
    await stream.login()
    client.simulator.faults.add("trade/order", fault, method="POST")
    await stream.say({"id": "1", "op": "order", "args": [OPERATION]})
    assert await stream.closed_with() == 4006
    assert client.simulator.exchange.order_count == executed


async def test_order_operation_meets_the_faults_of_its_endpoint(
    client: Any, connect: Callable[..., Any]
) -> None:
    """Refused in its item, told a code, filled in part, hidden; what takes HTTP waits for a request over it."""
    stream = await connect("private")
    await stream.login()
    faults: tuple[Any, ...] = (
        NotJson(), Refuse("51030"), AnswerStatus(503, "50001"), EmptyFields(), PartialFill(Decimal("0.5")), HideOrder(9)
    )  # fmt: skip
    for fault in faults:
        client.simulator.faults.add("trade/order", fault, method="POST")
    said = []
    for number in range(6):
        order = OPERATION | {"clOrdId": f"a{number}"}
        await stream.say({"id": str(number), "op": "order", "args": [order]})
        answer = await stream.hear()
        said.append((answer["code"], [item["sCode"] for item in answer["data"]]))
    assert said == [("1", ["51030"]), ("50001", []), ("0", [""]), ("0", ["0"]), ("0", ["0"]), ("0", ["0"])]
    rows = [
        (await client.get(f"trade/order?instId=BTC-USD-SWAP&clOrdId=a{number}")).json for number in (3, 4, 5)
    ]
    assert (rows[0]["data"][0]["accFillSz"], rows[1]["code"], rows[2]["code"]) == ("5", "51603", "0")
    assert [each.fault for each in client.simulator.faults.pending] == [NotJson()]


async def test_connections_of_a_channel_are_counted(connect: Callable[..., Any]) -> None:
    """Each subscriber is told how many there are now; another channel counts for itself."""
    counts = []
    for channel in ("account", "account", "positions"):
        stream = await connect("private")
        await stream.login()
        await stream.say({"op": "subscribe", "args": [{"channel": channel, "instType": "ANY"}]})
        counts.append([await stream.hear() for _ in range(2)][1]["connCount"])
    assert counts == ["1", "2", "1"]


async def test_wrong_login_is_refused_and_closed(connect: Callable[..., Any]) -> None:
    """The error, then 4001."""
    stream = await connect("private")
    fields = {"apiKey": "x", "passphrase": "x", "timestamp": "1", "sign": "x"}
    await stream.say({"op": "login", "args": [fields]})
    assert (await stream.hear())["code"] == "60006"
    assert await stream.closed_with() == 4001


async def test_garbage_is_answered_and_survived(client: Any, connect: Callable[..., Any]) -> None:
    """Text that is no JSON, and a binary frame; no state is changed."""
    stream = await connect()
    await stream.say("}{")
    assert (await stream.hear())["code"] == "60012"
    await stream.socket.send_bytes(b"\x00\xff")
    assert (await stream.hear())["code"] == "60012"
    await stream.say("ping")
    assert await stream.hear() == "pong"
    assert client.simulator.exchange.order_count == 0


async def test_oversized_frame_ends_the_connection(connect: Callable[..., Any]) -> None:
    """Close 1009; the others live on."""
    stream, other = await connect(), await connect()
    await stream.say("x" * (MAX_FRAME_BYTES + 1))
    assert await stream.closed_with() == 1009
    await other.say("ping")
    assert await other.hear() == "pong"


async def test_silent_connection_is_closed(client: Any, connect: Callable[..., Any], clock: Any) -> None:
    """4004 after 30 s in which nothing was said."""
    stream = await connect()
    clock.advance(30)
    client.simulator.streams.wake()
    assert await stream.closed_with() == 4004


async def test_protocol_pings_keep_a_connection_alive(
    client: Any, connect: Callable[..., Any], clock: Any
) -> None:
    """Answered with pongs; one client sends no other pings."""
    stream = await connect()
    for _ in range(3):
        clock.advance(20)
        await stream.socket.ping(b"still here")
        answer = await stream.socket.receive(timeout=60)
        assert (answer.type, bytes(answer.data)) == (WSMsgType.PONG, b"still here")
    assert client.simulator.streams.connection_count == 1


async def test_stopping_the_exchange_closes_its_streams(client: Any, connect: Callable[..., Any]) -> None:
    """Clients see the end, and can come back to the same address."""
    stream = await connect()
    await client.simulator.stop()
    assert await stream.closed_with() == 1001
    await client.simulator.start()
    again = await connect()
    await again.say("ping")
    assert await again.hear() == "pong"


async def test_fourth_connection_within_a_second_is_refused(connect: Callable[..., Any], clock: Any) -> None:
    """Three a second for each address."""
    for _ in range(3):
        await connect()
    with pytest.raises(WSServerHandshakeError) as refused:
        await connect()
    assert refused.value.status == 429
    clock.advance(1)
    await connect()


@pytest.mark.parametrize(
    ("expires_in_ms", "code"), [(-1, "50036"), (0, "0"), (10_000, "0"), (None, "0"), ("soon", "51000")]
)
async def test_order_operation_past_its_expiry_is_dropped(
    client: Any, clock: Any, connect: Callable[..., Any], expires_in_ms: Any, code: str
) -> None:
    """`expTime` stands beside the operation, and means what the header means to REST."""
    stream = await connect("private")
    await stream.login()
    fields = {"instId": SWAP, "tdMode": "cross", "side": "sell", "ordType": "market", "sz": "1"}
    frame = {"id": "1", "op": "order", "args": [fields]}
    if isinstance(expires_in_ms, int):
        frame["expTime"] = str(int(clock.now().timestamp() * 1000) + expires_in_ms)
    elif expires_in_ms is not None:
        frame["expTime"] = expires_in_ms
    await stream.say(frame)
    assert (await stream.hear())["code"] == code
    assert client.simulator.exchange.order_count == (1 if code == "0" else 0)


async def test_order_operation_during_a_maintenance_is_refused(
    client: Any, connect: Callable[..., Any]
) -> None:
    """On a connection that was there before: 50001, and nothing is executed."""
    stream = await connect("private")
    await stream.login()
    await client.admin("POST", "conditions", {"maintenance": True})
    fields = {"instId": SWAP, "tdMode": "cross", "side": "sell", "ordType": "market", "sz": "1"}
    await stream.say({"id": "1", "op": "order", "args": [fields]})
    assert (await stream.hear())["code"] == "50001"
    assert client.simulator.exchange.order_count == 0


async def test_business_address_exists_and_has_no_channels(connect: Callable[..., Any]) -> None:
    """Connected, but every channel is another address's."""
    stream = await connect("business")
    await stream.say({"op": "subscribe", "args": [TICKERS]})
    assert (await stream.hear())["code"] == "60018"


async def test_plain_request_to_a_stream_is_answered_in_json(client: Any) -> None:
    """No handshake, no stream."""
    answer = await client.send("GET", "/ws/v5/public")
    assert (answer.status, answer.json["code"]) == (404, "404")


async def test_maintenance_refuses_streams(client: Any, connect: Callable[..., Any]) -> None:
    """503 with 50001, as on the REST side."""
    await client.admin("POST", "conditions", {"maintenance": True})
    with pytest.raises(WSServerHandshakeError) as refused:
        await connect()
    assert refused.value.status == 503


async def test_fault_closes_a_stream_and_the_next_one_works(client: Any, connect: Callable[..., Any]) -> None:
    """Scripted through the admin API."""
    await client.admin("POST", "faults", {"endpoint": "ws/tickers", "kind": "close_stream", "code": 4008})
    first, second = await connect(), await connect()
    await first.say({"op": "subscribe", "args": [TICKERS]})
    assert await first.closed_with() == 4008
    await second.say({"op": "subscribe", "args": [TICKERS]})
    await second.hear()
    assert Decimal((await second.hear())["data"][0]["last"]) == 50_000


@pytest.mark.parametrize("method", ["receive", "due"])
async def test_defect_ends_its_connection_is_counted_and_spares_the_others(
    client: Any, connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Close 1011; the traceback goes to the log."""

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    other, stream = await connect(), await connect()
    [connection] = [
        each
        for each in client.simulator.streams._connections
        if each.conversation._connection_id == "00000002"
    ]
    monkeypatch.setattr(connection.conversation, method, broken)
    await stream.say("ping")
    assert await stream.closed_with() == 1011
    assert client.simulator.streams.failures == 1
    await other.say("ping")
    assert await other.hear() == "pong"


async def test_connections_are_forgotten_when_they_end(client: Any, connect: Callable[..., Any]) -> None:
    """Nothing is kept for a client that is gone, with or without a farewell, and that is no failure."""
    stream, abrupt = await connect(), await connect()
    assert client.simulator.streams.connection_count == 2
    await stream.socket.close()
    await abrupt.say({"op": "subscribe", "args": [TICKERS]})
    abrupt.socket._response.connection.transport.abort()
    async with asyncio.timeout(60):
        while client.simulator.streams.connection_count:
            await asyncio.sleep(0.01)
    assert client.simulator.streams.channels == []
    assert client.simulator.streams.failures == 0

"""Streams over real WebSockets, against an exchange that misbehaves on purpose."""

import asyncio
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from stablesats.errors import ConfigurationError
from stablesats.okx import OkxClosedError, OkxInvalidRequestError, OkxUnreachableError
from stablesats.okx.streams import (
    OkxLoginRefusedError,
    OkxStaleError,
    OkxSubscriptionRefusedError,
    OrderUpdate,
    PrivateStream,
    PublicStream,
    Reconcile,
)

SWAP = "BTC-USD-SWAP"
TICKERS = {"channel": "tickers", "instId": SWAP}
BOOKS = {"channel": "books", "instId": SWAP}
ORDERS = {"channel": "orders", "instType": "SWAP", "instId": SWAP}


def ticker(last: int) -> dict[str, Any]:
    at_ms = int(datetime.now(UTC).timestamp() * 1000)
    return {"instId": SWAP, "last": str(last), "bidPx": "", "askPx": "", "ts": str(at_ms)}


def book(previous: int, sequence: int, *bids: int) -> dict[str, Any]:
    numbers = {"prevSeqId": previous, "seqId": sequence, "checksum": 0}
    levels = [[str(price), "1", "0", "1"] for price in bids]
    return {"bids": levels, "asks": [], "ts": str(1767268800000 + sequence), **numbers}


async def until(holds: Callable[[], bool]) -> None:
    """Poll with a deadline that a loaded machine meets."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


class Clock:
    """The clock of an exchange that agrees with ours."""

    measured = 0

    async def server_time(self) -> datetime:
        self.measured += 1
        return datetime.now(UTC)

    def exchange_now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
def public(streams, quick) -> PublicStream:
    return PublicStream(base_url=streams.url, timing=quick)


@pytest.fixture
def private(streams, quick, credentials) -> PrivateStream:
    return PrivateStream(base_url=streams.url, timing=quick, credentials=credentials, clock=Clock())


async def test_a_price_arrives_as_it_is_pushed(streams, public: PublicStream) -> None:
    """On the public path, in the slot that was asked for; the same slot when asked for twice."""

    @streams.talk
    async def exchange(talker) -> None:
        assert await talker.accept() == [TICKERS]
        await talker.push(TICKERS, ticker(50_000))
        await talker.push(TICKERS, ticker(50_001))
        await talker.until_left()

    slot = public.ticker(SWAP)
    assert public.ticker(SWAP) is slot
    async with public:
        await until(lambda: slot.received == 2)
        assert slot.latest().last_usd == 50_001
        assert public.health.is_ready
    assert streams.talkers[0].path == "/ws/v5/public"
    with pytest.raises(OkxClosedError, match="the stream has ended"):
        slot.latest()
    assert not public.health.is_ready


async def test_after_a_cut_it_connects_and_subscribes_again(streams, public: PublicStream) -> None:
    """The value that is held ages meanwhile; the new one replaces it, whatever its time."""

    @streams.talk
    async def cut(talker) -> None:
        await talker.accept()
        await talker.push(TICKERS, ticker(50_000))
        await talker.socket.close(code=4004)

    @streams.talk
    async def again(talker) -> None:
        await talker.accept()
        await talker.push(TICKERS, {**ticker(49_000), "ts": "1767268800000"})
        await talker.until_left()

    slot = public.ticker(SWAP)
    with capture_logs() as logs:
        async with public:
            await until(lambda: slot.received == 2)
            assert public.health.connections == 2
            assert public.health.last_drop == "OKX closed the connection (code 4004)"
    assert [line["reason"] for line in logs if line["action"] == "okx-stream-dropped"] == [
        "OKX closed the connection (code 4004)"
    ]


@pytest.mark.parametrize("script", ["refuse", "silent", "nothing"])
async def test_an_exchange_that_is_away_is_waited_for(streams, quick, script: str) -> None:
    """Unreachable, mute after connecting, or hanging up at once: every time it tries again."""
    timing = replace(quick, answer_within_secs=0.1)

    @streams.talk
    async def trouble(talker) -> None:
        if script == "silent":
            await talker.until_left()

    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}" if script == "refuse" else streams.url
        public = PublicStream(base_url=url, timing=timing)
        slot = public.ticker(SWAP)
        with capture_logs() as logs:
            async with public:
                await until(lambda: sum(line["action"] == "okx-stream-dropped" for line in logs) >= 3)
                with pytest.raises(OkxStaleError):
                    slot.latest()
    failures = [line["failures"] for line in logs if line["action"] == "okx-stream-dropped"]
    assert failures[:3] == [1, 2, 3]


async def test_a_gap_in_the_book_is_mended_on_the_same_connection(streams, public: PublicStream) -> None:
    """Unsubscribed, subscribed, a new snapshot; other channels are not disturbed."""

    @streams.talk
    async def exchange(talker) -> None:
        await talker.accept(2)
        await talker.push(TICKERS, ticker(50_000))
        await talker.push(BOOKS, book(-1, 1, 100), action="snapshot")
        await talker.push(BOOKS, book(5, 6, 101), action="update")
        assert await talker.accept(1) == [BOOKS]
        await talker.push(BOOKS, book(-1, 7, 102), action="snapshot")
        await talker.until_left()

    slot, prices = public.order_book(SWAP), public.ticker(SWAP)
    assert public.order_book(SWAP) is slot
    async with public:
        await until(lambda: slot.received == 2)
        assert slot.latest().sequence == 7
        assert prices.received == 1
        assert public.health.resubscriptions == 1
    assert [request["op"] for request in streams.talkers[0].heard] == ["subscribe"] * 2 + [
        "unsubscribe",
        "subscribe",
    ]
    assert len(streams.talkers) == 1


async def test_a_quiet_connection_is_kept_by_pings_and_a_dead_one_is_left(streams, quick) -> None:
    """The first ping is answered, the second is not."""

    @streams.talk
    async def exchange(talker) -> None:
        await talker.accept()
        await talker.push(TICKERS, ticker(50_000))
        assert await talker.hear() == "ping"
        await talker.say("pong")
        assert await talker.hear() == "ping"
        await talker.socket.receive()

    public = PublicStream(
        base_url=streams.url, timing=replace(quick, heartbeat_secs=0.1, pong_within_secs=0.3)
    )
    public.ticker(SWAP)
    async with public:
        await until(lambda: len(streams.talkers) == 2)
        assert "silent" in public.health.last_drop
    assert streams.talkers[0].heard.count("ping") == 2


async def test_an_answer_that_has_arrived_is_not_overdue(streams, quick) -> None:
    """This process was held up: the answer lay in the socket while its time ran out."""

    @streams.talk
    async def exchange(talker) -> None:
        await talker.accept()
        await talker.push(TICKERS, ticker(50_000))
        time.sleep(1.7)  # the whole process, the client with it
        await talker.until_left()

    public = PublicStream(
        base_url=streams.url, timing=replace(quick, answer_within_secs=1.5, heartbeat_secs=1.5)
    )
    slot = public.ticker(SWAP)
    async with public:
        await asyncio.wait_for(slot.first(), 60)
        await until(lambda: public.health.is_ready)
        assert (public.health.connections, public.health.last_drop) == (1, "")


async def test_what_okx_does_not_document_is_counted_and_passed_over(streams, public: PublicStream) -> None:
    """Garbage, a binary frame, and a frame that is far too large, after which the connection is made anew."""

    @streams.talk
    async def garbage(talker) -> None:
        await talker.accept()
        await talker.say("{not json")
        await talker.socket.send_bytes(b"\x00\x01")
        await talker.push(TICKERS, ticker(50_000))
        await talker.say("x" * 5_000_000)
        await talker.until_left()

    @streams.talk
    async def sound(talker) -> None:
        await talker.accept()
        await talker.push(TICKERS, ticker(50_001))
        await talker.until_left()

    slot = public.ticker(SWAP)
    async with public:
        await until(lambda: slot.received == 2)
        assert public.health.unreadable == 2
        assert public.health.connections == 2


async def test_a_refused_channel_is_told_to_its_reader(streams, public: PublicStream) -> None:
    """With OKX's code; the stream itself goes on."""

    @streams.talk
    async def exchange(talker) -> None:
        request = await talker.hear()
        await talker.say({"event": "error", "code": "60018", "msg": "doesn't exist", "id": request["id"]})
        await talker.until_left()

    slot = public.ticker("DOGE-USD-SWAP")
    async with public:
        with pytest.raises(
            OkxSubscriptionRefusedError, match="tickers DOGE-USD-SWAP: doesn't exist"
        ) as refused:
            await asyncio.wait_for(slot.first(), 60)
    assert refused.value.code == "60018"


async def test_a_private_stream_logs_in_first(streams, private: PrivateStream, credentials) -> None:
    """Signed with OKX's clock, measured before each login; then orders, position and balance."""

    @streams.talk
    async def exchange(talker) -> None:
        login = await talker.accept_login()
        assert set(login["args"][0]) == {"apiKey", "passphrase", "timestamp", "sign"}
        for argument in await talker.accept(3):
            await talker.push({**argument, "uid": "7"}, eventType="snapshot", curPage=1, lastPage=True)
        await talker.until_left()

    position, balance = private.position(SWAP), private.trading_balance()
    private.orders(SWAP)
    async with private:
        assert (await asyncio.wait_for(position.first(), 60)).is_flat
        assert (await asyncio.wait_for(balance.first(), 60)).cash_btc == 0
    assert streams.talkers[0].path == "/ws/v5/private"
    assert not streams.failures


async def test_orders_come_in_their_order_and_a_reconnection_says_reconcile(
    streams, private: PrivateStream, order_row
) -> None:
    """What happened while the connection was away is never pushed."""

    @streams.talk
    async def first(talker) -> None:
        await talker.accept_login()
        await talker.accept()
        live = order_row(state="live", accFillSz="0", avgPx="", fee="")
        await talker.push(ORDERS, live)
        await talker.push(ORDERS, order_row(tradeId="5", fillSz="10", fillPx="50000.1", fillFee="-0.00001"))
        await talker.socket.close()

    @streams.talk
    async def second(talker) -> None:
        await talker.accept_login()
        await talker.accept()
        await talker.until_left()

    feed = private.orders(SWAP)
    assert private.orders(SWAP) is feed
    async with private, asyncio.timeout(60):
        events = feed.events()
        seen = [await anext(events) for _ in range(4)]
    assert [type(event) for event in seen] == [Reconcile, OrderUpdate, OrderUpdate, Reconcile]
    live, filled = seen[1], seen[2]
    assert isinstance(live, OrderUpdate)
    assert isinstance(filled, OrderUpdate)
    assert filled.order.supersedes(live.order)
    assert filled.fill is not None


async def test_a_refused_login_ends_the_stream_and_everybody_is_told(
    streams, private: PrivateStream, secrets
) -> None:
    """Trying again would only lock us out; no secret is in what is told or logged."""

    @streams.talk
    async def exchange(talker) -> None:
        await talker.hear()
        await talker.say({"event": "error", "code": "60005", "msg": "Invalid apiKey"})
        await talker.socket.close(code=4001)

    feed, position = private.orders(SWAP), private.position(SWAP)
    with capture_logs() as logs, pytest.raises(OkxLoginRefusedError, match="Invalid apiKey") as refused:
        await asyncio.wait_for(private.run(asyncio.Event()), 60)
    with pytest.raises(OkxLoginRefusedError):
        position.latest()
    with pytest.raises(OkxLoginRefusedError):
        await anext(feed.events())
    assert len(streams.talkers) == 1
    assert refused.value.__traceback__ is not None
    beyond_this_test = refused.value.__traceback__.tb_next
    shown = traceback.TracebackException(
        type(refused.value), refused.value, beyond_this_test, capture_locals=True
    )
    told = f"{refused.value!r} {''.join(shown.format())} {logs} {private!r}"
    assert not [secret for secret in secrets if secret in told]


async def test_a_clock_that_cannot_be_measured_is_waited_for(streams, quick, credentials) -> None:
    """A login by a wrong clock would be refused; the exchange is away, so this passes."""

    class Away(Clock):
        async def server_time(self) -> datetime:
            self.measured += 1
            if self.measured < 3:
                raise OkxUnreachableError("away")
            return datetime.now(UTC)

    @streams.talk
    async def exchange(talker) -> None:
        await talker.accept_login()
        await talker.accept()
        await talker.until_left()

    private = PrivateStream(base_url=streams.url, timing=quick, credentials=credentials, clock=Away())
    private.orders(SWAP)
    async with private:
        await until(lambda: private.health.is_ready)
    assert len(streams.talkers) == 1


async def test_a_slow_reader_sees_the_present(streams, public: PublicStream) -> None:
    """Hundreds of pushes are held in one slot: the next look is at the newest."""

    @streams.talk
    async def exchange(talker) -> None:
        await talker.accept()
        for last in range(1, 501):
            await talker.push(TICKERS, ticker(last))
        await talker.until_left()

    slot = public.ticker(SWAP)
    async with public:
        changes = slot.changes()
        await anext(changes)
        await until(lambda: slot.received == 500)
        assert (await anext(changes)).last_usd == 500


async def test_an_error_in_the_block_is_not_hidden_by_the_stream(streams, private: PrivateStream) -> None:
    """Nor by a login that was refused meanwhile."""

    @streams.talk
    async def exchange(talker) -> None:
        await talker.hear()
        await talker.say({"event": "error", "code": "60005", "msg": "Invalid apiKey"})

    slot = private.position(SWAP)

    async def fail_while_it_runs() -> None:
        async with private:
            await until(lambda: "Invalid apiKey" in private.health.last_drop)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_while_it_runs()
    with pytest.raises(OkxLoginRefusedError):
        slot.latest()


async def test_channels_are_asked_for_before_the_stream_runs(streams, public: PublicStream) -> None:
    """And it runs once."""

    @streams.talk
    async def exchange(talker) -> None:
        await talker.accept()
        await talker.until_left()

    slot = public.ticker(SWAP)
    async with public:
        await until(lambda: len(streams.talkers) == 1)
        assert public.ticker(SWAP) is slot
        with pytest.raises(OkxInvalidRequestError, match="before the stream runs"):
            public.mark_price(SWAP)
    with pytest.raises(OkxInvalidRequestError, match="runs once"):
        await public.run(asyncio.Event())


@pytest.mark.parametrize(
    "url",
    ["", "http://localhost", "ws://", "localhost:8443", "ws://localhost/ws/v5/public", "ws://[", "ws://a?b"],
)
def test_a_malformed_address_is_refused(url: str) -> None:
    """Before anything is connected."""
    with pytest.raises(ConfigurationError, match="is not wss://host:port"):
        PublicStream(base_url=url)


def test_an_address_with_credentials_is_refused_without_showing_them() -> None:
    """OKX's login is signed; a password in an address ends up in logs."""
    with pytest.raises(ConfigurationError) as refused:
        PublicStream(base_url="wss://me:hunter2@localhost")
    assert "hunter2" not in str(refused.value)

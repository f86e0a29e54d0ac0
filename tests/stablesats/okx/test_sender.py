"""OKX's clock on the way of a request: it is needed once, and must never hold anybody up for long."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from stablesats.okx import OkxClient, OkxProtocolError, OkxUnreachableError, OrderSide, sender
from stablesats.okx.clock import MEASURE_AGAIN_AFTER_SECS, MEASURED_FOR, REMEASURE_WITHIN_SECS

SWAP = "BTC-USD-SWAP"
TIME = "GET /api/v5/public/time"
POSITIONS = "GET /api/v5/account/positions"
PLACE = "POST /api/v5/trade/order"


class HeldClock:
    """Both of our clocks; they move when told."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)
        self.secs = 1_000.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.secs


@pytest.fixture
def held() -> HeldClock:
    return HeldClock()


@pytest.fixture
async def patient(exchange, credentials, held: HeldClock):
    """A client that would wait for a minute, on clocks that are held."""
    async with OkxClient(
        base_url=exchange.url,
        credentials=credentials,
        request_timeout_secs=60,
        now=held.now,
        monotonic=held.monotonic,
    ) as okx:
        yield okx


def place(okx: OkxClient, number: int, expires_at: datetime):
    return okx.place_market_order(SWAP, OrderSide.SELL, 1, f"a{number}", expires_at=expires_at)


@pytest.mark.parametrize("answer", ['{"code":"0","msg":"","data":[{"ts":""}]}', "<html>", ""])
async def test_an_order_is_not_sent_after_a_malformed_first_answer_of_the_clock(
    exchange, client: OkxClient, soon: datetime, answer: str
) -> None:
    """Certain, and said so: it was not about the order that OKX spoke in an undocumented way."""
    exchange.text(TIME, answer)
    with pytest.raises(OkxUnreachableError, match=f"{PLACE} was not sent: OKX's clock") as raised:
        await place(client, 1, soon)
    assert isinstance(raised.value.__cause__, OkxProtocolError)
    assert exchange.times_asked(PLACE) == 0
    with pytest.raises(OkxProtocolError):
        await client.server_time()


async def test_those_who_need_the_clock_first_share_one_measurement(
    exchange, credentials, soon: datetime
) -> None:
    """Where OKX is silent they all give up after one timeout, not each after that of the one before."""
    exchange.hang(TIME)
    async with OkxClient(base_url=exchange.url, credentials=credentials, request_timeout_secs=0.5) as okx:
        outcomes = await asyncio.gather(
            *(place(okx, number, soon) for number in range(5)), return_exceptions=True
        )
    assert all(isinstance(outcome, OkxUnreachableError) for outcome in outcomes)
    assert all("was not sent: OKX's clock" in str(outcome) for outcome in outcomes)
    assert (exchange.times_asked(TIME), exchange.times_asked(PLACE)) == (1, 0)


async def test_measuring_again_is_bounded_and_then_left_alone_for_a_while(
    exchange, patient: OkxClient, held: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request waits for it, those of the pause do not; below, at and above the end of the pause."""
    assert (REMEASURE_WITHIN_SECS, MEASURE_AGAIN_AFTER_SECS) == (2.0, 30.0)
    monkeypatch.setattr(sender, "REMEASURE_WITHIN_SECS", 0.1)
    exchange.rows(POSITIONS)
    await patient.position(SWAP)
    held.at += MEASURED_FOR
    exchange.hang(TIME)
    asked = []
    with capture_logs() as logs:
        async with asyncio.timeout(60):
            for pause_secs in (0.0, MEASURE_AGAIN_AFTER_SECS - 0.1, 0.1, 1.0):
                held.secs += pause_secs
                assert (await patient.position(SWAP)).is_flat
                asked.append(exchange.times_asked(TIME))
    assert asked == [2, 2, 3, 3]
    assert [line["action"] for line in logs] == ["okx-clock-not-measured"] * 2


async def test_while_one_measures_again_the_others_go_on(
    exchange, patient: OkxClient, held: HeldClock
) -> None:
    """With the offset that is known."""
    arrived, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        arrived.set()
        await may_answer.wait()
        ts = str(int((held.at + timedelta(seconds=20)).timestamp() * 1000))
        return web.json_response({"code": "0", "msg": "", "data": [{"ts": ts}]})

    exchange.rows(POSITIONS)
    await patient.position(SWAP)
    held.at += MEASURED_FOR
    exchange.handler(TIME, slow)
    measuring = asyncio.create_task(patient.position(SWAP))
    async with asyncio.timeout(60):
        await arrived.wait()
        assert (await patient.position(SWAP)).is_flat
        assert not measuring.done()
        may_answer.set()
        assert (await measuring).is_flat
    assert exchange.times_asked(TIME) == 2
    assert round(patient.clock_offset.total_seconds()) == 20

"""Is everything at OKX as the hedge needs it?"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stablesats.okx import OkxClient, OkxCredentials, ReadRetry
from stablesats.okx.health import check_health

SWAP = "BTC-USD-SWAP"
POINTS = ("clock", "maintenance", "account", "key", "instrument", "price")
TIME = "GET /api/v5/public/time"
CONFIG = "GET /api/v5/account/config"
STATUS = "GET /api/v5/system/status"
INSTRUMENTS = "GET /api/v5/public/instruments"
TICKER = "GET /api/v5/market/ticker"
SOUND_CONFIG = {"acctLv": "2", "posMode": "net_mode", "uid": "1", "perm": "read_only,trade"}


def ticker(**changes: Any) -> dict[str, Any]:
    at_ms = int(datetime.now(UTC).timestamp() * 1000)
    return {"instId": SWAP, "last": "50000", "bidPx": "", "askPx": "", "ts": str(at_ms), **changes}


@pytest.fixture
def sound(exchange, instrument_row):
    """Answers as they should be, except those that a test has queued before."""

    def fill_in() -> None:
        exchange.rows(CONFIG, SOUND_CONFIG)
        exchange.rows(STATUS)
        exchange.rows(INSTRUMENTS, instrument_row())
        exchange.rows(TICKER, ticker())

    return fill_in


async def test_everything_is_as_it_should_be(sound, client: OkxClient) -> None:
    """Six points, in the order in which one would look."""
    sound()
    checks = await check_health(client, SWAP)
    assert [(check.name, check.is_good) for check in checks] == [(name, True) for name in POINTS]


@pytest.mark.parametrize(
    ("endpoint", "row", "point", "found"),
    [
        (STATUS, {"title": "Upgrade", "state": "ongoing"}, "maintenance", "under way: Upgrade"),
        (CONFIG, {**SOUND_CONFIG, "acctLv": "3"}, "account", "account level 3"),
        (CONFIG, {**SOUND_CONFIG, "posMode": "long_short_mode"}, "account", "long_short_mode"),
        (TICKER, ticker(last=""), "price", "last price none"),
        (TICKER, ticker(ts="1767268800000"), "price", "s old"),
    ],
)
async def test_a_point_that_is_not_good(  # noqa: PLR0917
    exchange, sound, client: OkxClient, endpoint: str, row: dict[str, Any], point: str, found: str
) -> None:
    """Named, with what was found; the others are good all the same."""
    exchange.rows(endpoint, row)
    exchange.rows(endpoint, row)
    sound()
    bad = [check for check in await check_health(client, SWAP) if not check.is_good]
    assert [check.name for check in bad] == [point]
    assert found in bad[0].found


async def test_a_key_that_may_not_trade(exchange, sound, client: OkxClient) -> None:
    """The engine would find out with its first order."""
    for _ in range(2):
        exchange.rows(CONFIG, {**SOUND_CONFIG, "perm": "read_only"})
    sound()
    bad = [check for check in await check_health(client, SWAP) if not check.is_good]
    assert [(check.name, check.found) for check in bad] == [("key", "permissions: read_only (trade needed)")]


async def test_a_clock_that_is_off(exchange, sound, client: OkxClient) -> None:
    """The client corrects it, but the machine's certificates and logs go by it."""
    exchange.clock_ahead = timedelta(minutes=2)
    exchange.rows(TICKER, ticker(ts=str(int((datetime.now(UTC) + timedelta(minutes=2)).timestamp() * 1000))))
    sound()
    bad = [check for check in await check_health(client, SWAP) if not check.is_good]
    assert [check.name for check in bad] == ["clock"]
    assert "+1" in bad[0].found


async def test_an_exchange_that_is_away_is_asked_no_further(exchange, client: OkxClient) -> None:
    """Every point would wait as long as the first, and say the same."""
    exchange.drop(TIME)
    checks = await check_health(client, SWAP)
    assert [check.name for check in checks] == list(POINTS)
    assert not any(check.is_good for check in checks)
    assert "did not answer" in checks[0].found
    assert {check.found for check in checks[1:]} == {"not looked at: OKX did not answer, see above"}
    assert {request.endpoint for request in exchange.received} == {TIME}


async def test_a_point_that_cannot_be_looked_at_says_why(
    exchange, sound, credentials: OkxCredentials
) -> None:
    """And not that our own limit of one request in 5 s kept its repetition back."""
    for _ in range(2):  # aiohttp itself asks again once
        exchange.drop(STATUS)
    sound()
    async with OkxClient(
        base_url=exchange.url,
        credentials=credentials,
        request_timeout_secs=2.0,
        read_retry=ReadRetry(attempts=2, wait_initial_secs=0.01, wait_jitter_secs=0.01),
    ) as client:
        bad = [check for check in await check_health(client, SWAP) if not check.is_good]
    assert [check.name for check in bad] == ["maintenance"]
    assert "did not answer GET /api/v5/system/status" in bad[0].found


async def test_an_exchange_that_refuses_is_told_point_by_point(exchange, sound, client: OkxClient) -> None:
    """Never an exception: a point that cannot be looked at is not good, in one line."""
    exchange.rows(CONFIG, code="50111", msg="Invalid\nOK-ACCESS-KEY", status=401)
    sound()
    bad = [check for check in await check_health(client, SWAP) if not check.is_good]
    assert "account" in [check.name for check in bad]
    assert all("\n" not in check.found for check in bad)

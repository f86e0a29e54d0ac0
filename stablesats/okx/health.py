"""Is everything at OKX as the hedge needs it? One look, one verdict a point."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from stablesats.okx.client import OkxClient
from stablesats.okx.errors import OkxError

MAX_CLOCK_SKEW: Final = timedelta(seconds=5)
"""OKX refuses at 30 s; the client corrects what it knows of, so this is about the machine."""

MAX_PRICE_AGE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One point: whether it is as it should be, and what was found."""

    name: str
    is_good: bool
    found: str


async def check_health(okx: OkxClient, inst_id: str) -> list[HealthCheck]:
    """Look at clock, maintenance, account, key, instrument and price, one after the other.

    Never raises an `OkxError`: a point that cannot be looked at is not good, and says why.
    """
    points: list[tuple[str, Callable[[], Awaitable[tuple[bool, str]]]]] = [
        ("clock", lambda: _clock(okx)),
        ("maintenance", lambda: _maintenance(okx)),
        ("account", lambda: _account(okx)),
        ("key", lambda: _key(okx)),
        ("instrument", lambda: _instrument(okx, inst_id)),
        ("price", lambda: _price(okx, inst_id)),
    ]
    return [await _looked_at(name, look) for name, look in points]


async def _looked_at(name: str, look: Callable[[], Awaitable[tuple[bool, str]]]) -> HealthCheck:
    try:
        is_good, found = await look()
    except OkxError as exc:
        return HealthCheck(name, is_good=False, found=" ".join(str(exc).split()))
    return HealthCheck(name, is_good=is_good, found=found)


async def _clock(okx: OkxClient) -> tuple[bool, str]:
    await okx.server_time()
    skew_secs = okx.clock_offset.total_seconds()
    return abs(okx.clock_offset) <= MAX_CLOCK_SKEW, f"OKX's clock is {skew_secs:+.3f} s from ours"


async def _maintenance(okx: OkxClient) -> tuple[bool, str]:
    planned = await okx.maintenance()
    ongoing = [maintenance.title or "untitled" for maintenance in planned if maintenance.is_ongoing]
    return not ongoing, f"under way: {', '.join(ongoing)}" if ongoing else f"none, {len(planned)} announced"


async def _account(okx: OkxClient) -> tuple[bool, str]:
    config = await okx.account_config()
    is_good = config.is_futures_mode and config.is_net_mode
    return (
        is_good,
        f"account level {config.account_level} (2 needed), {config.position_mode} (net_mode needed)",
    )


async def _key(okx: OkxClient) -> tuple[bool, str]:
    permissions = (await okx.account_config()).permissions
    return "trade" in permissions.split(","), f"permissions: {permissions or 'not stated'} (trade needed)"


async def _instrument(okx: OkxClient, inst_id: str) -> tuple[bool, str]:
    instrument = await okx.instrument(inst_id)
    return instrument.is_live, f"{inst_id} is {instrument.state or 'in no stated state'}"


async def _price(okx: OkxClient, inst_id: str) -> tuple[bool, str]:
    ticker = await okx.ticker(inst_id)
    age = okx.exchange_now() - ticker.at
    price = "none" if ticker.last_usd is None else f"{ticker.last_usd:f} USD"
    is_good = ticker.last_usd is not None and abs(age) <= MAX_PRICE_AGE
    return is_good, f"last price {price}, {age.total_seconds():.1f} s old"

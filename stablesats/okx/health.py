"""Is everything at OKX as the hedge needs it? One look, one verdict a point."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeAlias

from stablesats.okx.client import OkxClient
from stablesats.okx.errors import OkxError, OkxUnreachableError

MAX_CLOCK_SKEW: Final = timedelta(seconds=5)
"""OKX refuses at 30 s; the client corrects what it knows of, so this is about the machine."""

MAX_PRICE_AGE: Final = timedelta(seconds=60)

_NOT_ASKED: Final = "not looked at: OKX did not answer, see above"

# Whether a point is good, and what was found.
_Finding: TypeAlias = tuple[bool, str]


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One point: whether it is as it should be, and what was found."""

    name: str
    is_good: bool
    found: str


async def check_health(okx: OkxClient, inst_id: str) -> list[HealthCheck]:
    """Look at clock, maintenance, account, key, instrument and price, one after the other.

    Never raises an `OkxError`: a point that cannot be looked at is not good, and says why. Where OKX does not
    answer the first question, the others are not put: each would wait as long as that.
    """
    points: list[tuple[str, Callable[[], Awaitable[_Finding]]]] = [
        ("maintenance", lambda: _maintenance(okx)),
        ("account", lambda: _account(okx)),
        ("key", lambda: _key(okx)),
        ("instrument", lambda: _instrument(okx, inst_id)),
        ("price", lambda: _price(okx, inst_id)),
    ]
    try:
        clock = await _clock(okx)
    except OkxUnreachableError as exc:
        not_asked = [HealthCheck(name, is_good=False, found=_NOT_ASKED) for name, _ in points]
        return [_failed("clock", exc), *not_asked]
    except OkxError as exc:
        clock = _failed("clock", exc)
    return [clock, *[await _looked_at(name, look) for name, look in points]]


async def _looked_at(name: str, look: Callable[[], Awaitable[_Finding]]) -> HealthCheck:
    try:
        is_good, found = await look()
    except OkxError as exc:
        return _failed(name, exc)
    return HealthCheck(name, is_good=is_good, found=found)


def _failed(name: str, error: OkxError) -> HealthCheck:
    return HealthCheck(name, is_good=False, found=" ".join(str(error).split()))


async def _clock(okx: OkxClient) -> HealthCheck:
    await okx.server_time()
    skew_secs = okx.clock_offset.total_seconds()
    is_good = abs(okx.clock_offset) <= MAX_CLOCK_SKEW
    return HealthCheck("clock", is_good=is_good, found=f"OKX's clock is {skew_secs:+.3f} s from ours")


async def _maintenance(okx: OkxClient) -> _Finding:
    planned = await okx.maintenance()
    ongoing = [maintenance.title or "untitled" for maintenance in planned if maintenance.is_ongoing]
    return not ongoing, f"under way: {', '.join(ongoing)}" if ongoing else f"none, {len(planned)} announced"


async def _account(okx: OkxClient) -> _Finding:
    config = await okx.account_config()
    is_good = config.is_futures_mode and config.is_net_mode
    return (
        is_good,
        f"account level {config.account_level} (2 needed), {config.position_mode} (net_mode needed)",
    )


async def _key(okx: OkxClient) -> _Finding:
    permissions = (await okx.account_config()).permissions
    return "trade" in permissions.split(","), f"permissions: {permissions or 'not stated'} (trade needed)"


async def _instrument(okx: OkxClient, inst_id: str) -> _Finding:
    instrument = await okx.instrument(inst_id)
    return instrument.is_live, f"{inst_id} is {instrument.state or 'in no stated state'}"


async def _price(okx: OkxClient, inst_id: str) -> _Finding:
    ticker = await okx.ticker(inst_id)
    age = okx.exchange_now() - ticker.at
    price = "none" if ticker.last_usd is None else f"{ticker.last_usd:f} USD"
    is_good = ticker.last_usd is not None and abs(age) <= MAX_PRICE_AGE
    return is_good, f"last price {price}, {age.total_seconds():.1f} s old"

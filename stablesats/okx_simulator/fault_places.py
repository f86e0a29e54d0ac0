"""Where a fault can happen: to which requests, and on which channels."""

from __future__ import annotations

from typing import Final

from stablesats.okx_simulator.endpoint_table import ENDPOINTS
from stablesats.okx_simulator.errors import AdminRequestError
from stablesats.okx_simulator.faults import Fault, HideOrder, PartialFill, StaleAnswer, StreamFault
from stablesats.okx_simulator.subscriptions import Channel

ANY_PATH: Final = "*"
"""Stands for every path of the REST API in a random fault."""

PUSH: Final = "PUSH"
"""Stands for the method where something is pushed to a channel."""

_PLACES_ORDERS: Final = frozenset(
    f"/api/v5/trade/{name}" for name in ("order", "batch-orders", "close-position")
)
_CHANNELS: Final = tuple(f"/ws/{channel}" for channel in Channel)


def fits(fault: Fault, method: str, path: str) -> bool:
    """Tell whether *fault* can happen to a request, or with `PUSH` as its method to a push."""
    if isinstance(fault, HideOrder | PartialFill):
        return method == "POST" and path in _PLACES_ORDERS
    if isinstance(fault, StaleAnswer):
        return method == "GET"
    return isinstance(fault, StreamFault) is (method == PUSH)


def checked_path(path: str, fault: Fault, method: str | None) -> str:
    """Return *path* in full, ``/api/v5/trade/order`` for ``trade/order``; `ANY_PATH` as it is.

    Raises:
        AdminRequestError: If there is no such endpoint or channel, or *fault* cannot happen there.
    """
    kind = type(fault).__name__
    is_channel = path.removeprefix("/").startswith("ws/")
    if is_channel is not isinstance(fault, StreamFault):
        where = "requests, such as trade/order" if is_channel else "channels, such as ws/books"
        raise AdminRequestError(f"{kind} is a fault of {where}, not of {path}")
    full_path = _full_path(path, is_channel=is_channel)
    places = [each for each in _places(full_path) if method in {None, each[0]}]
    if not places:
        known = f"; there are {', '.join(_CHANNELS)}" if is_channel else ""
        raise AdminRequestError(f"there is no {f'{method} ' if method else ''}{path}{known}")
    if not any(fits(fault, *place) for place in places):
        raise AdminRequestError(f"{kind} cannot happen to {f'{method} ' if method else ''}{path}")
    return full_path


def _places(full_path: str) -> list[tuple[str, str]]:
    if full_path == ANY_PATH:
        return list(ENDPOINTS)
    every = [*ENDPOINTS, *((PUSH, channel) for channel in _CHANNELS)]
    return [place for place in every if place[1] == full_path]


def _full_path(path: str, *, is_channel: bool) -> str:
    if path == ANY_PATH or path.startswith("/"):
        return path
    return f"/{path}" if is_channel else f"/api/v5/{path}"

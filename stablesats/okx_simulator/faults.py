"""Faults: what a test wants the exchange to do wrong, where, and how often.

A fault is scripted (the next so many requests to a path meet it) or random (each request meets it with a
probability; which ones is decided by the seed). Faults of requests name a path such as ``trade/order``,
faults of the streams a channel such as ``ws/books``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Final, TypeAlias

from stablesats.okx_simulator.errors import AdminRequestError

if TYPE_CHECKING:
    from decimal import Decimal

ANY_PATH: Final = "*"
"""Stands for every path of the REST API in a random fault."""


@dataclass(frozen=True, slots=True)
class DropBefore:
    """Close the connection without executing the request."""


@dataclass(frozen=True, slots=True)
class DropAfter:
    """Execute the request, then close the connection without an answer."""


@dataclass(frozen=True, slots=True)
class DelayRequest:
    """Execute the request *milliseconds* late, as if it had been long on its way inside the exchange."""

    milliseconds: int


@dataclass(frozen=True, slots=True)
class DelayAnswer:
    """Execute the request at once and answer *milliseconds* late."""

    milliseconds: int


@dataclass(frozen=True, slots=True)
class AnswerStatus:
    """Answer with an HTTP status and an OKX code without executing the request."""

    status: int
    code: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse the request with an OKX code as the exchange itself would, an order in its own item."""

    code: str


@dataclass(frozen=True, slots=True)
class NotJson:
    """Answer with the HTML page of a gateway, without executing the request."""

    status: int = 502


@dataclass(frozen=True, slots=True)
class MalformedJson:
    """Execute the request and cut the answer in the middle."""


@dataclass(frozen=True, slots=True)
class EmptyFields:
    """Execute the request and answer with every text of the rows empty."""


@dataclass(frozen=True, slots=True)
class StaleAnswer:
    """Answer what the same question was answered last time; the first time, the truth."""


@dataclass(frozen=True, slots=True)
class HideOrder:
    """Execute the request, but let GET order say 51603 about its orders for *milliseconds*."""

    milliseconds: int


@dataclass(frozen=True, slots=True)
class PartialFill:
    """Execute the request, but let its orders find only *ratio* of their size on offer."""

    ratio: Decimal


@dataclass(frozen=True, slots=True)
class DropPush:
    """Lose a push of the channel."""


@dataclass(frozen=True, slots=True)
class DuplicatePush:
    """Send a push of the channel twice."""


@dataclass(frozen=True, slots=True)
class ReorderPush:
    """Hold a push of the channel back until after the next one."""


@dataclass(frozen=True, slots=True)
class GarbagePush:
    """Send something unreadable in place of a push of the channel."""


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Announce the end of the connection with a notice, if *notice*, and close it with *code*."""

    code: int = 4006
    notice: bool = False


RequestFault: TypeAlias = (
    DropBefore
    | DropAfter
    | DelayRequest
    | DelayAnswer
    | AnswerStatus
    | Refuse
    | NotJson
    | MalformedJson
    | EmptyFields
    | StaleAnswer
    | HideOrder
    | PartialFill
)
StreamFault: TypeAlias = DropPush | DuplicatePush | ReorderPush | GarbagePush | CloseStream
Fault: TypeAlias = RequestFault | StreamFault


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedFault:
    """A fault that the next *count* requests to *path* run into; *method* None means any method."""

    path: str
    fault: Fault
    method: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomFault:
    """A fault that each request to *path* runs into with a *probability*."""

    path: str
    fault: Fault
    method: str | None = None
    probability: Decimal


class FaultScript:
    """The faults still to come; each request meets at most one, a scripted one before a random one.

    Args:
        seed: Decides which requests meet a random fault.
    """

    def __init__(self, seed: int = 0) -> None:
        self._pending: list[ScriptedFault] = []
        self._random: list[RandomFault] = []
        self._dice = Random(seed)  # noqa: S311 - repeatable on purpose

    def __repr__(self) -> str:
        return f"<FaultScript {self._pending} {self._random}>"

    @property
    def pending(self) -> tuple[ScriptedFault, ...]:
        """What has not happened yet, first added first met."""
        return tuple(self._pending)

    @property
    def random(self) -> tuple[RandomFault, ...]:
        """What may happen to any request."""
        return tuple(self._random)

    def add(self, path: str, fault: Fault, *, method: str | None = None, count: int = 1) -> None:
        """Let the next *count* requests to *path* run into *fault*.

        Args:
            path: The path, ``/api/v5/trade/order`` or for short ``trade/order``; ``ws/books`` for a channel.
            fault: What goes wrong.
            method: ``GET`` or ``POST`` where both share the path; None for any.
            count: How many requests are hit; at least 1.

        Raises:
            AdminRequestError: If *count* is below 1, or the fault is not one of requests or of channels.
        """
        if count < 1:
            raise AdminRequestError(f"fault on {path}: count is {count}, and must be at least 1")
        self._pending.append(
            ScriptedFault(path=_full_path(path, fault), fault=fault, method=_upper(method), count=count)
        )

    def add_random(self, path: str, fault: Fault, *, probability: Decimal, method: str | None = None) -> None:
        """Let each request to *path*, or with ``*`` to any path, run into *fault* with a *probability*.

        Raises:
            AdminRequestError: If *probability* is not above 0 and at most 1, or the fault does not fit.
        """
        if not 0 < probability <= 1:
            raise AdminRequestError(
                f"fault on {path}: probability is {probability}, and must be above 0 and at most 1"
            )
        full_path = ANY_PATH if path == ANY_PATH else _full_path(path, fault)
        if full_path == ANY_PATH and not isinstance(fault, RequestFault):
            raise AdminRequestError(f"{type(fault).__name__} is a fault of channels: name one, as ws/books")
        self._random.append(
            RandomFault(path=full_path, fault=fault, method=_upper(method), probability=probability)
        )

    def clear(self) -> None:
        """Forget every fault that has not happened yet, and the random ones."""
        self._pending.clear()
        self._random.clear()

    def take(self, method: str, path: str) -> RequestFault | None:
        """Return the fault that a request runs into, counting it, or None."""
        fault = self._take(method, path)
        return fault if isinstance(fault, RequestFault) else None

    def take_push(self, channel: str) -> StreamFault | None:
        """Return the fault that a push of *channel* runs into, counting it, or None."""
        fault = self._take("PUSH", f"/ws/{channel}")
        return fault if isinstance(fault, StreamFault) else None

    def _take(self, method: str, path: str) -> Fault | None:
        for position, scripted in enumerate(self._pending):
            if scripted.path == path and scripted.method in (None, method):
                if scripted.count == 1:
                    del self._pending[position]
                else:
                    self._pending[position] = replace(scripted, count=scripted.count - 1)
                return scripted.fault
        for rule in self._random:
            covers = path.startswith("/api/") if rule.path == ANY_PATH else rule.path == path
            if covers and rule.method in (None, method) and self._dice.random() < rule.probability:
                return rule.fault
        return None


def _full_path(path: str, fault: Fault) -> str:
    is_channel = path.removeprefix("/").startswith("ws/")
    if is_channel is not isinstance(fault, StreamFault):
        kind = (
            "channels, such as ws/books"
            if isinstance(fault, StreamFault)
            else "requests, such as trade/order"
        )
        raise AdminRequestError(f"{type(fault).__name__} is a fault of {kind}, not of {path}")
    if path.startswith("/"):
        return path
    return f"/{path}" if is_channel else f"/api/v5/{path}"


def _upper(method: str | None) -> str | None:
    return method.upper() if method else None

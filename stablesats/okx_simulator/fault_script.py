"""Where and how often faults happen.

A fault is scripted (the next so many requests to a path meet it) or random (each request meets it with a
probability; which ones is decided by the seed). Faults of requests name a path such as ``trade/order``,
faults of the streams a channel such as ``ws/books``. A request that a fault cannot happen to passes it by.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator.errors import AdminRequestError
from stablesats.okx_simulator.fault_places import ANY_PATH, PUSH, checked_path, fits
from stablesats.okx_simulator.faults import (
    DelayAnswer,
    DelayRequest,
    MalformedJson,
    NotJson,
    RequestFault,
    StaleAnswer,
    StreamFault,
)

if TYPE_CHECKING:
    from decimal import Decimal

    from stablesats.okx_simulator.faults import Fault

_HTTP_ONLY: Final = (DelayRequest, DelayAnswer, MalformedJson, NotJson)


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
            AdminRequestError: If *count* is below 1, there is no such endpoint or channel, or the fault
                cannot happen there.
        """
        if count < 1:
            raise AdminRequestError(f"fault on {path}: count is {count}, and must be at least 1")
        if path == ANY_PATH:
            raise AdminRequestError("a fault on * needs a probability: every request may meet it")
        full_path = checked_path(path, fault, _upper(method))
        self._pending.append(ScriptedFault(path=full_path, fault=fault, method=_upper(method), count=count))

    def add_random(self, path: str, fault: Fault, *, probability: Decimal, method: str | None = None) -> None:
        """Let each request to *path*, or with ``*`` to any path, run into *fault* with a *probability*.

        Raises:
            AdminRequestError: If *probability* is not above 0 and at most 1; else as `add` says.
        """
        if not 0 < probability <= 1:
            raise AdminRequestError(
                f"fault on {path}: probability is {probability}, and must be above 0 and at most 1"
            )
        full_path = checked_path(path, fault, _upper(method))
        self._random.append(
            RandomFault(path=full_path, fault=fault, method=_upper(method), probability=probability)
        )

    def clear(self) -> None:
        """Forget every fault that has not happened yet, and the random ones."""
        self._pending.clear()
        self._random.clear()

    def take(self, method: str, path: str, *, is_repeated: bool = True) -> RequestFault | None:
        """Return the fault that a request runs into, counting it, or None.

        *is_repeated* says whether the same question was answered before, as a stale answer demands.
        """
        fault = self._take(method, path, impossible=() if is_repeated else (StaleAnswer,))
        return fault if isinstance(fault, RequestFault) else None

    def take_operation(self, path: str) -> RequestFault | None:
        """Return the fault that an endpoint's operation over a WebSocket runs into, counting it, or None.

        Delays and unreadable answers are for requests over HTTP.
        """
        fault = self._take("POST", path, impossible=_HTTP_ONLY)
        return fault if isinstance(fault, RequestFault) else None

    def take_push(self, channel: str) -> StreamFault | None:
        """Return the fault that a push of *channel* runs into, counting it, or None."""
        fault = self._take(PUSH, f"/ws/{channel}")
        return fault if isinstance(fault, StreamFault) else None

    def _take(self, method: str, path: str, *, impossible: tuple[type, ...] = ()) -> Fault | None:
        def meets(rule: ScriptedFault | RandomFault) -> bool:
            is_possible = fits(rule.fault, method, path) and not isinstance(rule.fault, impossible)
            return is_possible and rule.method in (None, method)

        for position, scripted in enumerate(self._pending):
            if scripted.path == path and meets(scripted):
                if scripted.count == 1:
                    del self._pending[position]
                else:
                    self._pending[position] = replace(scripted, count=scripted.count - 1)
                return scripted.fault
        for rule in self._random:
            covers = path.startswith("/api/") if rule.path == ANY_PATH else rule.path == path
            if covers and meets(rule) and self._dice.random() < rule.probability:
                return rule.fault
        return None


def _upper(method: str | None) -> str | None:
    return method.upper() if method else None

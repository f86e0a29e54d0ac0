"""Scripted faults: what a test wants the exchange to do wrong, on which endpoint, how many times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from stablesats.okx_simulator.errors import AdminRequestError


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
class NotJson:
    """Answer with the HTML page of a gateway, without executing the request."""

    status: int = 502


@dataclass(frozen=True, slots=True)
class HideOrder:
    """Execute the request, but let GET order say 51603 about its orders for *milliseconds*."""

    milliseconds: int


Fault: TypeAlias = DropBefore | DropAfter | DelayRequest | DelayAnswer | AnswerStatus | NotJson | HideOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedFault:
    """A fault that the next *count* requests to *path* run into; *method* None means any method."""

    path: str
    fault: Fault
    method: str | None = None
    count: int = 1


class FaultScript:
    """The faults still to come, first added first met; each request meets at most one."""

    def __init__(self) -> None:
        self._pending: list[ScriptedFault] = []

    def __repr__(self) -> str:
        return f"<FaultScript {self._pending}>"

    @property
    def pending(self) -> tuple[ScriptedFault, ...]:
        """What has not happened yet."""
        return tuple(self._pending)

    def add(self, path: str, fault: Fault, *, method: str | None = None, count: int = 1) -> None:
        """Let the next *count* requests to *path* run into *fault*.

        Args:
            path: The path, ``/api/v5/trade/order`` or for short ``trade/order``.
            fault: What goes wrong.
            method: ``GET`` or ``POST`` where both share the path; None for any.
            count: How many requests are hit; at least 1.

        Raises:
            AdminRequestError: If *count* is below 1.
        """
        if count < 1:
            raise AdminRequestError(f"fault on {path}: count is {count}, and must be at least 1")
        full_path = path if path.startswith("/") else f"/api/v5/{path}"
        self._pending.append(
            ScriptedFault(path=full_path, fault=fault, method=method.upper() if method else None, count=count)
        )

    def clear(self) -> None:
        """Forget every fault that has not happened yet."""
        self._pending.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault this request runs into, counting it, or None."""
        for position, scripted in enumerate(self._pending):
            if scripted.path == path and scripted.method in (None, method):
                if scripted.count == 1:
                    del self._pending[position]
                else:
                    self._pending[position] = replace(scripted, count=scripted.count - 1)
                return scripted.fault
        return None

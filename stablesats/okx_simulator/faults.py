"""Faults: what a test wants the exchange to do wrong. Where and how often is said by a `FaultScript`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from decimal import Decimal


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
    """Answer what the same question was answered last time; a GET that is new does not meet it."""


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

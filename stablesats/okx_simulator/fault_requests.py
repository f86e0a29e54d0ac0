"""Faults as the admin API reads and shows them.

A request has ``endpoint`` and ``kind``; ``method`` and either ``count`` or ``probability``; and what the kind
needs besides: ``ms``, ``status``, ``code``, ``ratio``, ``notice``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stablesats.okx_simulator.admin_fields import amount, flag, only, text, whole
from stablesats.okx_simulator.amounts import plain_text
from stablesats.okx_simulator.errors import AdminRequestError
from stablesats.okx_simulator.faults import (
    AnswerStatus,
    CloseStream,
    DelayAnswer,
    DelayRequest,
    DropAfter,
    DropBefore,
    DropPush,
    DuplicatePush,
    EmptyFields,
    GarbagePush,
    HideOrder,
    MalformedJson,
    NotJson,
    PartialFill,
    Refuse,
    ReorderPush,
    StaleAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stablesats.okx_simulator.fault_script import FaultScript
    from stablesats.okx_simulator.faults import Fault

_MAX_DELAY_MS: Final = 600_000
_MAX_COUNT: Final = 1_000_000
_DETAILS: Final = ("ms", "status", "code", "ratio", "notice")
_MAX_CODE_DIGITS: Final = 6
# Codes that an endpoint may send in a close frame: RFC 6455, section 7.4.
_CLOSE_CODES: Final = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})


def add_fault(faults: FaultScript, fields: Mapping[str, Any]) -> None:
    """Add a scripted fault, or with ``probability`` a random one.

    Raises:
        AdminRequestError: If the request makes no sense.
    """
    only(fields, "endpoint", "kind", "method", "count", "probability", *_DETAILS)
    endpoint, method = fields.get("endpoint"), fields.get("method")
    if not isinstance(endpoint, str) or not endpoint:
        raise AdminRequestError("endpoint must be a path such as trade/order")
    if method not in {None, "GET", "POST"}:
        raise AdminRequestError(f"method is {method!r}, and must be GET, POST or absent")
    fault = _fault(fields)
    if "probability" in fields and "count" in fields:
        raise AdminRequestError("a fault has a count or a probability, not both")
    if "probability" in fields:
        faults.add_random(endpoint, fault, method=method, probability=amount(fields, "probability"))
    else:
        faults.add(endpoint, fault, method=method, count=whole(fields, "count", default=1, most=_MAX_COUNT))


def fault_rows(faults: FaultScript) -> list[dict[str, Any]]:
    """Return the faults to come: the scripted ones with a count, the random ones with a probability."""
    scripted = [
        {"endpoint": each.path, "method": each.method, "fault": repr(each.fault), "count": each.count}
        for each in faults.pending
    ]
    random = [
        {
            "endpoint": each.path,
            "method": each.method,
            "fault": repr(each.fault),
            "probability": plain_text(each.probability),
        }
        for each in faults.random
    ]
    return [*scripted, *random]


def _milliseconds(fields: Mapping[str, Any]) -> int:
    return whole(fields, "ms", most=_MAX_DELAY_MS)


def _status(fields: Mapping[str, Any], default: int) -> int:
    status = whole(fields, "status", default=default, most=599)
    if status < 200:
        raise AdminRequestError(f"status is {status}, and must be between 200 and 599")
    return status


def _code(fields: Mapping[str, Any], default: str | None = None) -> str:
    code = text(fields, "code", default=default)
    if not (code.isascii() and code.isdigit() and len(code) <= _MAX_CODE_DIGITS):
        raise AdminRequestError(f"code is {code!r}, and must be a number as OKX's codes are, such as 51008")
    return code


def _answer_status(fields: Mapping[str, Any]) -> Fault:
    return AnswerStatus(_status(fields, 503), _code(fields, "50001"))


def _refuse(fields: Mapping[str, Any]) -> Fault:
    code = _code(fields)
    if not int(code):
        raise AdminRequestError("code is 0, which refuses nothing")
    return Refuse(code)


def _close_stream(fields: Mapping[str, Any]) -> Fault:
    code = whole(fields, "code", default=4006, most=max(_CLOSE_CODES))
    if code not in _CLOSE_CODES:
        raise AdminRequestError(f"code is {code}, and must be one that a close frame may have, such as 4006")
    return CloseStream(code, flag(fields, "notice"))


def _partial_fill(fields: Mapping[str, Any]) -> Fault:
    ratio = amount(fields, "ratio")
    if not 0 <= ratio < 1:
        raise AdminRequestError(f"ratio is {ratio}, and must be at least 0 and below 1")
    return PartialFill(ratio)


_KINDS: Final[Mapping[str, Callable[[Mapping[str, Any]], Fault]]] = {
    "drop_before": lambda _: DropBefore(),
    "drop_after": lambda _: DropAfter(),
    "delay": lambda fields: DelayRequest(_milliseconds(fields)),
    "delay_answer": lambda fields: DelayAnswer(_milliseconds(fields)),
    "status": _answer_status,
    "refuse": _refuse,
    "rate_limit": lambda _: AnswerStatus(429, "50011"),
    "not_json": lambda fields: NotJson(_status(fields, 502)),
    "malformed_json": lambda _: MalformedJson(),
    "empty_fields": lambda _: EmptyFields(),
    "stale": lambda _: StaleAnswer(),
    "hide_order": lambda fields: HideOrder(_milliseconds(fields)),
    "partial_fill": _partial_fill,
    "drop_push": lambda _: DropPush(),
    "duplicate_push": lambda _: DuplicatePush(),
    "reorder_push": lambda _: ReorderPush(),
    "garbage_push": lambda _: GarbagePush(),
    "close_stream": _close_stream,
}


def _fault(fields: Mapping[str, Any]) -> Fault:
    kind = fields.get("kind")
    make = _KINDS.get(kind) if isinstance(kind, str) else None
    if make is None:
        raise AdminRequestError(f"kind is {kind!r}, and must be one of {', '.join(_KINDS)}")
    return make(fields)

"""From the bytes of an answer to rows or a typed error; pure.

Three outcomes: rows (OKX did it), `OkxRefusedError` (it certainly did not), and neither. The last is an
`OkxOutcomeUnknownError` for a write and, for a read, an error that says whether asking again may help.
HTTP status and ``code`` are looked at before ``data``; an error with an empty list is never "no rows".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from stablesats.okx.call import Call
from stablesats.okx.endpoints import Endpoint
from stablesats.okx.errors import (
    AMBIGUOUS_CODES,
    MAX_QUOTED_CHARACTERS,
    OkxError,
    OkxOutcomeUnknownError,
    OkxProtocolError,
    OkxUnavailableError,
    may_have_been_executed,
    refusal,
)

Row = Mapping[str, object]
M = TypeVar("M", bound=BaseModel)

# "1": every item failed; "2": some did. The verdict on our single item is its own `sCode`.
_SEE_THE_ITEMS = frozenset({"1", "2"})


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer and when, on our clock, the request left and the answer was complete."""

    status: int
    body: bytes
    sent_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class _Envelope:
    code: str
    message: str
    data: object


def rows_of(answer: Answer, call: Call) -> list[Row]:
    """Return the rows of an accepted request; of a batch, every item with its own verdict.

    Raises:
        OkxRefusedError: Or the leaf for its code: refused, certainly not executed. For a read this includes
            `OkxUnavailableError`, for every answer with status 5xx or an ambiguous code.
        OkxOutcomeUnknownError: A write met a status 5xx, a code after which it `may_have_been_executed`, or
            an answer that cannot be understood.
        OkxProtocolError: A read met an answer that cannot be understood.
    """
    envelope = _open(answer.body)
    if envelope is None:
        _reject_unreadable(answer, call)
    code, message = _verdict(envelope, call.endpoint)
    if answer.status >= 500 or _is_ambiguous(code, call.endpoint):
        _reject_ambiguous(answer, call, code=code, message=message)
    if call.endpoint.batched and answer.status == 200 and _has_verdicts(envelope):
        return _items(envelope.data)
    if code in _SEE_THE_ITEMS and call.endpoint.write:
        not_understood(
            call, f"code {code} came without a verdict on the item", code=code, http_status=answer.status
        )
    if code != "0":
        raise refusal(code=code, message=message, http_status=answer.status, request=str(call.endpoint))
    if answer.status != 200:
        not_understood(call, f"code 0 came with HTTP {answer.status}", http_status=answer.status)
    return _rows(envelope.data, call)


def read_row(model: type[M], row: Row, call: Call) -> M:
    """Return *row* as a value.

    Raises:
        OkxOutcomeUnknownError, OkxProtocolError: For a write and a read, if a field is missing or malformed;
            the message names each one.
    """
    try:
        return model.model_validate(row)
    except ValidationError as exc:
        faults = (f"{'.'.join(map(str, fault['loc'])) or 'row'}: {fault['msg']}" for fault in exc.errors())
        not_understood(call, f"malformed {model.__name__}: {'; '.join(faults)}", cause=exc)


def not_understood(
    call: Call, what: str, *, code: str = "", http_status: int | None = None, cause: Exception | None = None
) -> NoReturn:
    """Raise for an answer that OKX does not document: unknown for a write, a protocol error for a read."""
    if call.endpoint.write:
        raise _outcome_unknown(call, what, code=code, http_status=http_status) from cause
    raise OkxProtocolError(f"OKX answered {call.endpoint} in an undocumented way: {what[:500]}") from cause


def _open(body: bytes) -> _Envelope | None:
    try:
        document = json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    code = document.get("code")
    if isinstance(code, bool) or not isinstance(code, (str, int)) or str(code) == "":
        return None
    message = document.get("msg")
    return _Envelope(
        code=str(code), message=message if isinstance(message, str) else "", data=document.get("data")
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _verdict(envelope: _Envelope, endpoint: Endpoint) -> tuple[str, str]:
    """Return code and message, of the item where the endpoint judges item by item."""
    judged_by_item = endpoint.itemised and (envelope.code == "0" or envelope.code in _SEE_THE_ITEMS)
    if (
        judged_by_item
        and not endpoint.batched
        and isinstance(envelope.data, list)
        and len(envelope.data) == 1
    ):
        item = envelope.data[0]
        code = _item_code(item)
        if code not in ("", "0"):
            return code, str(item.get("sMsg") or envelope.message)
    return envelope.code, envelope.message


def _is_ambiguous(code: str, endpoint: Endpoint) -> bool:
    return may_have_been_executed(code) if endpoint.write else code in AMBIGUOUS_CODES


def _has_verdicts(envelope: _Envelope) -> bool:
    judged_by_item = envelope.code == "0" or envelope.code in _SEE_THE_ITEMS
    return judged_by_item and bool(_items(envelope.data)) and all(map(_item_code, _items(envelope.data)))


def _items(data: object) -> list[Row]:
    return data if isinstance(data, list) and all(isinstance(item, dict) for item in data) else []


def _item_code(item: object) -> str:
    return str(item.get("sCode", "")) if isinstance(item, dict) else ""


def _rows(data: object, call: Call) -> list[Row]:
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        not_understood(call, "code 0 came without a list of rows", code="0")
    if call.endpoint.itemised and any(_item_code(row) != "0" for row in data):
        not_understood(call, "code 0 came with an item that is not marked as accepted", code="0")
    return data


def _reject_unreadable(answer: Answer, call: Call) -> NoReturn:
    quoted = answer.body[:MAX_QUOTED_CHARACTERS].decode("utf-8", errors="replace")
    what = f"HTTP {answer.status} without OKX's envelope: {quoted!r}"
    if answer.status >= 500:
        _reject_ambiguous(answer, call, code="", message=what)
    if answer.status == 429:
        raise refusal(code="", message="Too Many Requests", http_status=429, request=str(call.endpoint))
    not_understood(call, what, http_status=answer.status)


def _reject_ambiguous(answer: Answer, call: Call, *, code: str, message: str) -> NoReturn:
    if call.endpoint.write:
        described = f"HTTP {answer.status}, code {code}: {message}" if code else message
        raise _outcome_unknown(call, described, code=code, http_status=answer.status)
    raise OkxUnavailableError(message, code=code, http_status=answer.status, request=str(call.endpoint))


def _outcome_unknown(call: Call, reason: str, *, code: str, http_status: int | None) -> OkxError:
    return OkxOutcomeUnknownError(
        reason,
        request=str(call.endpoint),
        client_order_id=call.client_order_id,
        client_transfer_id=call.client_transfer_id,
        code=code,
        http_status=http_status,
    )

"""Where a subscription to changes begins. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.timestamp import Timestamp

from medici_py.change_events import ChangePosition
from medici_py.errors import InvalidQueryError
from medici_py.instants import parse_instant

_CLOCKS_DIFFER = timedelta(seconds=10)
_EPOCH = datetime.fromtimestamp(0, tz=UTC)
_LATEST_SECOND = 2**32 - 1
_TOKEN = re.compile(r"82[0-9A-F]{16}(?:[0-9A-F]{2})*", re.IGNORECASE)


def position_fault(position: ChangePosition) -> str | None:
    """Say why there can be no such place; None if there may be one.

    Source: MongoDB's resume tokens hold a hexadecimal text that begins with a type and the cluster time.
    """
    token: object = position.token
    time: object = position.cluster_time
    if token is not None:
        data = token.get("_data") if isinstance(token, Mapping) else None
        if not isinstance(data, str) or not _TOKEN.fullmatch(data):
            return f"{token!r} is no resume token of MongoDB, or a damaged one"
    if not isinstance(time, Timestamp | None):
        return f"cluster time {time!r} is no Timestamp"
    return None


@dataclass(frozen=True, slots=True)
class Start:
    """Where a subscription begins.

    Attributes:
        position: The place; None for the moment of opening.
    """

    position: ChangePosition | None = None


def parse_start(after: ChangePosition | Mapping[str, Any] | datetime | None) -> Start:
    """Read where a subscription is to begin: a position, a stored one, a resume token, a time, or now.

    Raises:
        InvalidQueryError: If it is none of these, or a damaged one.
    """
    match after:
        case None | ChangePosition(token=None, cluster_time=None):
            return Start()
        case ChangePosition():
            return _start_after(after)
        case Mapping() if "_data" in after:
            return _start_after(ChangePosition(after, None))
        case Mapping() if "token" in after and "cluster_time" in after:
            return parse_start(ChangePosition.from_document(after))
        case datetime():
            return _start_at(after)
        case _:
            raise InvalidQueryError(
                f"after={after!r} refused: give a position, a document that one was stored as, a resume "
                "token, a datetime with a time zone, or None for now.",
                field="after",
                value=after,
            )


def _start_after(position: ChangePosition) -> Start:
    if fault := position_fault(position):
        raise InvalidQueryError(
            f"after refused: {fault}; give a place as it was stored.",
            field="after",
            value=position,
        )
    return Start(position)


def _start_at(instant: datetime) -> Start:
    try:
        since = parse_instant(instant)
    except ValueError as exc:
        raise InvalidQueryError(f"after={instant!r} refused: {exc}", field="after", value=instant) from exc
    # Commit times are whole seconds of a clock that is not quite the wall clock.
    earlier = max(since, _EPOCH + _CLOCKS_DIFFER) - _CLOCKS_DIFFER
    seconds = min(int(earlier.timestamp()), _LATEST_SECOND)
    return Start(ChangePosition(None, Timestamp(seconds, 0), since=since))

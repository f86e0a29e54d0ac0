"""What a line of a trade file says. Pure.

A line is one JSON object: a trade ``{"id", "timestamp", "buy_unit", "buy_amount", "sell_unit",
"sell_amount", "btc_tx_id", "usd_tx_id"}`` or ``{"revert": "<trade id>"}``. Keys that are not ours are left
alone: the backend that writes the file may have its own. A ``traceparent`` (W3C) is taken along.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from medici_py.instants import parse_instant
from stablesats.errors import StablesatsError
from stablesats.trades.trade_source import MalformedItem, Place, ReceivedTrade, RevertRequest, SourceItem
from stablesats.trades.user_trade import Unit, UserTrade, UserTradeError, require_text

LARGEST_LINE_BYTES: Final = 65_536
"""Longer lines are not read: a trade is some 200 bytes."""

KEPT_TEXT_CHARACTERS: Final = 2_000
"""How much of a malformed line is kept to look at."""

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_TRADE_KEYS: Final = frozenset(
    {
        "id",
        "timestamp",
        "buy_unit",
        "buy_amount",
        "sell_unit",
        "sell_amount",
        "btc_tx_id",
        "usd_tx_id",
    }
)
FIRST_TIMESTAMP: Final = datetime(2009, 1, 3, tzinfo=UTC)
"""No trade is older: it is a slip, or a number in seconds. Source: the date of bitcoin's first block."""

_OPTIONAL_KEYS: Final = frozenset({"btc_tx_id", "usd_tx_id"})


class _LineError(StablesatsError, ValueError):
    """A line is not what it should be; the message says why."""


def read_line(raw: bytes, place: Place) -> SourceItem | None:
    """Read one line, without its line break.

    Returns:
        What it says, a `MalformedItem` that says what is wrong, or None for a blank line.
    """
    if len(raw) > LARGEST_LINE_BYTES:
        return malformed(raw, place, f"longer than {LARGEST_LINE_BYTES} bytes")
    if not raw.strip():
        return None
    fields: dict[str, Any] = {}
    try:
        fields = _object(raw)
        return _item(fields, place)
    except (_LineError, UserTradeError) as error:
        return malformed(raw, place, str(error), fields)


def malformed(
    raw: bytes, place: Place, reason: str, fields: Mapping[str, Any] | None = None
) -> MalformedItem:
    """Say that *raw* is unusable; keep the beginning of it, and what its *fields* tell of the trade."""
    fields = fields or {}
    # UTF-8 takes up to four bytes a character; no use in decoding more than can be kept.
    text = raw[: 4 * KEPT_TEXT_CHARACTERS].decode("utf-8", errors="replace")
    return MalformedItem(place, text[:KEPT_TEXT_CHARACTERS], reason, _trade_id(fields), _traceparent(fields))


def _trade_id(fields: Mapping[str, Any]) -> str | None:
    """The trade that a line is about which says something impossible of it."""
    trade_id = fields.get("id", fields.get("revert"))
    try:
        require_text("id", trade_id)
    except UserTradeError:
        return None
    return str(trade_id)


def _traceparent(fields: Mapping[str, Any]) -> str | None:
    """The trace context of a line; an unusable one is as none, as W3C wants it."""
    traceparent = fields.get("traceparent")
    is_usable = isinstance(traceparent, str) and _TRACEPARENT.fullmatch(traceparent)
    return traceparent if is_usable else None


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(
            raw.decode("utf-8-sig"),
            object_pairs_hook=_no_key_twice,
            parse_constant=_no_constant,
        )
    except _LineError:
        raise
    except RecursionError as error:
        raise _LineError("JSON nested too deeply") from error
    except UnicodeDecodeError as error:
        raise _LineError(f"not UTF-8 (byte {error.start})") from error
    except ValueError as error:  # also a number of more digits than Python reads
        raise _LineError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise _LineError(f"not a JSON object but {type(value).__name__}")
    return value


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _LineError(f"key {key!r} stands there twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise _LineError(f"not JSON: {name} is no number")


def _item(fields: dict[str, Any], place: Place) -> SourceItem:
    traceparent = _traceparent(fields)
    if "revert" not in fields:
        return ReceivedTrade(_trade(fields), place, traceparent)
    if beside := sorted(_TRADE_KEYS & fields.keys()):
        raise _LineError(f"both a revert and a trade: {', '.join(beside)} beside revert")
    trade_id = fields["revert"]
    require_text("revert", trade_id)
    return RevertRequest(trade_id, place, traceparent)


def _trade(fields: dict[str, Any]) -> UserTrade:
    if missing := sorted(_TRADE_KEYS - _OPTIONAL_KEYS - fields.keys()):
        raise _LineError(f"a trade without {', '.join(missing)}")
    trade = UserTrade(
        id=fields["id"],
        timestamp=_timestamp(fields["timestamp"]),
        buy_unit=_unit("buy_unit", fields["buy_unit"]),
        buy_amount=fields["buy_amount"],
        sell_unit=_unit("sell_unit", fields["sell_unit"]),
        sell_amount=fields["sell_amount"],
        btc_tx_id=fields.get("btc_tx_id"),
        usd_tx_id=fields.get("usd_tx_id"),
    )
    if (trade.btc_tx_id is None) is not (trade.usd_tx_id is None):
        missing_leg = "btc_tx_id" if trade.btc_tx_id is None else "usd_tx_id"
        raise _LineError(f"a trade with one leg missing: no {missing_leg}; give both payments, or neither")
    return trade


def _timestamp(value: Any) -> datetime:
    try:
        timestamp = parse_instant(value)
    except ValueError as error:
        raise _LineError(f"timestamp: {error}") from error
    if timestamp >= FIRST_TIMESTAMP:
        return timestamp
    if isinstance(value, int) or value.isdecimal():
        raise _LineError(
            f"timestamp: {value} is {timestamp:%Y-%m-%d} in milliseconds since 1970, which is what a number"
            " must be; are these seconds?"
        )
    raise _LineError(
        f"timestamp: {value} is before {FIRST_TIMESTAMP:%Y-%m-%d}, the day of bitcoin's first block"
    )


def _unit(name: str, value: object) -> Unit:
    try:
        return Unit(value)  # type: ignore[arg-type]
    except ValueError as error:
        known = " or ".join(unit.value for unit in Unit)
        raise _LineError(f"{name} must be {known}, got {value!r}") from error

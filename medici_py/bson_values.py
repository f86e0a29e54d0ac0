"""Values of callers made into what BSON holds: copied, checked, nothing lost on the way."""

import datetime as dt
from collections.abc import Hashable, Mapping
from decimal import Decimal, DecimalException
from enum import Enum
from typing import Any

import bson
from bson import Decimal128
from bson.codec_options import CodecOptions
from bson.errors import BSONError

MAX_DEPTH = 90
"""Levels of nesting we accept; the server refuses documents deeper than 100."""


def stored_copy(value: object, *, operators: bool = False, depth: int = 0) -> Any:
    """Copy *value* deeply into plain BSON types.

    A Decimal becomes a Decimal128, an enum member its value, a tuple a list, a mapping a dictionary with
    its keys in order. The copy no longer follows changes the caller makes to the original.

    Args:
        value: Any value.
        operators: Whether keys that begin with ``$`` or hold a ``.`` may stand in nested mappings, as they
            do in queries. In stored documents they may not: queries could never reach them.
        depth: Levels already above *value*.

    Raises:
        ValueError: If a key cannot be used, a datetime has no zone, a Decimal does not fit into a
            Decimal128, or the nesting is too deep; the text names it.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    match value:
        case Enum():
            return stored_copy(value.value, operators=operators, depth=depth)
        case dt.datetime() if value.utcoffset() is None:
            raise ValueError(f"{value.isoformat()} has no time zone; give an aware datetime")
        case Decimal():
            return _decimal128(value)
        case Mapping():
            return {
                check_key(key, operators=operators): stored_copy(item, operators=operators, depth=depth + 1)
                for key, item in value.items()
            }
        case list() | tuple():
            return [stored_copy(item, operators=operators, depth=depth + 1) for item in value]
        case _:
            return value


def check_key(key: object, *, operators: bool = False) -> str:
    """Return *key* if a document can hold it and a query can reach it.

    Raises:
        ValueError: If it is not text, empty, or holds NUL; unless *operators*, also if it begins with
            ``$`` or holds a ``.``.
    """
    if not isinstance(key, str) or not key or "\0" in key:
        raise ValueError(f"key {key!r} is not text, is empty or holds NUL")
    if not operators and (key.startswith("$") or "." in key):
        raise ValueError(f"key {key!r} begins with '$' or holds '.', so that no query could reach it")
    return key


def is_utf8(text: str) -> bool:
    """Whether UTF-8, and so BSON, can hold *text*: it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_encodable(document: Mapping[str, Any], codec_options: CodecOptions[Any]) -> None:
    """Check that BSON can hold *document*.

    Raises:
        ValueError: If it cannot; the text says which type or value.
    """
    try:
        bson.encode(document, codec_options=codec_options)
    except (BSONError, OverflowError, TypeError, ValueError) as exc:
        raise ValueError(f"BSON cannot hold it: {exc}") from exc


def _decimal128(value: Decimal) -> Decimal128:
    try:
        return Decimal128(value)
    except DecimalException as exc:
        raise ValueError(f"{value} does not fit into a Decimal128") from exc


def hashable(value: Any) -> Hashable:
    """Return a stored *value* so that it can be a key: equal values have equal keys, whatever they are."""
    match value:
        case list():
            return tuple(hashable(item) for item in value)
        case Mapping():
            return tuple((key, hashable(item)) for key, item in value.items())
        case Hashable():
            return value
        case _:
            return repr(value)

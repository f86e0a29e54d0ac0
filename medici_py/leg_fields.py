"""What a caller attaches to a leg: fields of the model at the top level, everything else in meta."""

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from bson import ObjectId

from medici_py.bson_values import check_encodable, check_key, is_utf8, stored_copy
from medici_py.documents import object_id_names, stored_names
from medici_py.entry_rules import PROTECTED_KEYS, EntryRules
from medici_py.errors import InvalidQueryError, TransactionError
from medici_py.instants import parse_instant
from medici_py.query import parse_object_id

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def split_extra(
    extra: Mapping[str, Any] | None, rules: EntryRules
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Divide a caller's mapping into top-level fields and meta, both checked and copied.

    A dimension that has a default and is not given gets it.

    Raises:
        TransactionError: If a key or value is refused; the error names it.
    """
    if extra is None and not rules.dimensions:
        return _NOTHING, _NOTHING
    if extra is not None and not isinstance(extra, Mapping):
        raise TransactionError(f"Extra keys {extra!r} refused: give a mapping.", field="extra", value=extra)
    top_level = stored_names(rules.transaction_model)
    fields: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    for key, value in (extra or {}).items():
        if key in PROTECTED_KEYS:
            raise TransactionError(f"Key {key!r} cannot be set on a leg.", field=key, value=value)
        if key == "meta":
            _merge_meta(meta, value)
        elif key == "_original_journal" and value is None:
            continue  # A leg that follows from no journal has no such field.
        elif key in top_level:
            fields[key] = _top_level_value(key, value, rules)
        else:
            _merge_meta(meta, {key: value})
    for name, default in rules.dimensions.items():
        target = fields if name in top_level else meta
        target[name] = _dimension_value(name, target.get(name, default))
    if fields or meta:
        with _refusing("extra", extra):
            check_encodable({**fields, "meta": meta}, rules.codec_options)
    return fields, meta


def _merge_meta(meta: dict[str, Any], given: object) -> None:
    if not isinstance(given, Mapping):
        raise TransactionError(f"meta {given!r} refused: give a mapping.", field="meta", value=given)
    for key, value in given.items():
        with _refusing(key, value):
            name, copied = check_key(key), stored_copy(value)
        if name in meta:
            raise TransactionError(f"meta key {name!r} is given twice.", field=name, value=value)
        meta[name] = copied


def _top_level_value(key: str, value: object, rules: EntryRules) -> Any:
    match key:
        case "datetime":
            return entry_instant(key, value)
        case "memo":
            return entry_text(key, value)
        case _ if key in object_id_names(rules.transaction_model) and value is not None:
            return entry_object_id(key, value)
        case _:
            with _refusing(key, value):
                return stored_copy(value)


def _dimension_value(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TransactionError(
            f"Dimension {name!r} refused: the book needs text there on every leg, found {value!r}.",
            field=name,
            value=value,
        )
    return value


@contextmanager
def _refusing(name: object, value: object) -> Iterator[None]:
    try:
        yield
    except ValueError as exc:
        raise TransactionError(f"{name!r} refused: {exc}.", field=str(name), value=value) from exc


def entry_text(name: str, value: object) -> str:
    """Return a text that an entry or a void is given.

    Raises:
        TransactionError: If it is no text, or none that UTF-8 can hold.
    """
    if not isinstance(value, str):
        raise TransactionError(f"{name} {value!r} refused: give text.", field=name, value=value)
    if not is_utf8(value):
        raise TransactionError(
            f"{name} {value!r} refused: half of a surrogate pair is no text.", field=name, value=value
        )
    return value


def entry_instant(name: str, value: Any) -> dt.datetime:
    """Read the date of an entry or a leg.

    Raises:
        TransactionError: If it is no instant; the error names it.
    """
    with _refusing(name, value):
        return parse_instant(value)


def entry_object_id(name: str, value: object) -> ObjectId:
    """Read an id that an entry or a leg refers to.

    Raises:
        TransactionError: If it is no ObjectId; the error names it.
    """
    try:
        return parse_object_id(name, value)
    except InvalidQueryError as exc:
        raise TransactionError(str(exc), field=name, value=value) from exc

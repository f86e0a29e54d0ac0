"""What a template does, as plain values: the form that is compared, stored and shown as a difference. Pure.

Two definitions are the same exactly if their canonical forms are: mappings are ordered by key, numbers that
are equal are written alike, and no text of pydantic's or Python's making goes in, so that an upgrade of
either changes no fingerprint.
"""

import datetime as dt
import difflib
import hashlib
import json
import types
from collections.abc import Iterator, Mapping, Set
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

from bson import ObjectId
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from medici_py.money import MAX_INT64, plain

MAX_SHOWN_DIFFERENCES = 20
"""Lines of a difference that a message shows."""


def canonical(value: object) -> Any:
    """Return *value* as plain values in a canonical order.

    What is no text, whole number, truth value, list or mapping is tagged with its kind, so that
    ``Decimal("1.5")`` becomes ``{"decimal": "1.5"}`` and differs from the text.

    Raises:
        ValueError: If it has no canonical form; the text names its type.
    """
    match value:
        case Enum():
            return canonical(value.value)
        case None | bool() | str():
            return value
        case BaseModel():
            return {name: canonical(getattr(value, name)) for name in sorted(type(value).model_fields)}
        case Mapping():
            keyed = {_key_text(key): canonical(item) for key, item in value.items()}
            return {key: keyed[key] for key in sorted(keyed)}
        case list() | tuple():
            return [canonical(item) for item in value]
        case Set():
            return sorted((canonical(item) for item in value), key=_json)
        case int() if abs(value) <= MAX_INT64:
            return int(value)
        case _:
            return _tagged(value)


def _key_text(key: object) -> str:
    return key if isinstance(key, str) else _json(canonical(key))


def _tagged(value: object) -> dict[str, str]:
    match value:
        case int():
            return {"int": str(value)}
        case Decimal():
            return {"decimal": f"{plain(value) if value.is_finite() else value:f}"}
        case float():
            return {"float": repr(value)}
        case dt.datetime() | dt.date() | dt.time():
            return {type(value).__name__: value.isoformat()}
        case dt.timedelta():
            return {"timedelta": str(value)}
        case UUID() | ObjectId():
            return {type(value).__name__.lower(): str(value)}
        case bytes():
            return {"bytes": value.hex()}
        case _:
            raise ValueError(f"a {type(value).__qualname__} has no canonical form")


def params_schema(params: type[BaseModel]) -> dict[str, Any]:
    """Return name, type, whether it is required, and default of each param, by name.

    Raises:
        ValueError: If a default has no canonical form.
    """
    return {name: _param(params.model_fields[name]) for name in sorted(params.model_fields)}


def _param(field: FieldInfo) -> dict[str, Any]:
    described: dict[str, Any] = {"type": type_text(field.annotation), "required": field.is_required()}
    if field.default_factory is not None:
        # What it makes may differ from one call to the next.
        described["default"] = f"made by {getattr(field.default_factory, '__qualname__', 'a factory')}"
    elif not field.is_required():
        described["default"] = canonical(field.default)
    return described


def type_text(annotation: object, inside: tuple[object, ...] = ()) -> str:
    """Return *annotation* as text that does not depend on the version of Python or on how it is spelled.

    ``Optional[int]``, ``Union[None, int]`` and ``int | None`` are ``None | int``; constraints are left out.

    Args:
        annotation: A type.
        inside: The models around it; one of these is not described again.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0], inside)
    if origin in (Union, types.UnionType):
        return " | ".join(sorted(type_text(argument, inside) for argument in arguments))
    if origin is Literal:
        return f"Literal[{', '.join(sorted(_json(canonical(argument)) for argument in arguments))}]"
    if origin is not None:
        return f"{_name(origin)}[{', '.join(type_text(argument, inside) for argument in arguments)}]"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"{_name(annotation)}({', '.join(sorted(_json(canonical(member)) for member in annotation))})"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in inside:
        fields = annotation.model_fields
        inside = (*inside, annotation)
        parts = (f"{name}: {type_text(fields[name].annotation, inside)}" for name in sorted(fields))
        return f"{_name(annotation)}({', '.join(parts)})"
    return _name(annotation)


def _name(kind: object) -> str:
    match kind:
        case None | types.NoneType:
            return "None"
        case types.EllipsisType() | str():
            return "..." if kind is ... else str(kind)
        case TypeVar():
            return kind.__name__
        case _:
            return str(getattr(kind, "__qualname__", kind))


def fingerprint_of(definition: Mapping[str, Any]) -> str:
    """Return SHA-256 of canonical plain values, in hexadecimal."""
    return hashlib.sha256(_json(definition).encode()).hexdigest()


def definition_differences(registered: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what differs between two definitions, a line each.

    Returns:
        ``-samples[0].legs[1].amount: "5"`` as registered, ``+...`` as given, in the order of the definition.
    """
    lines = difflib.unified_diff(list(_lines(registered)), list(_lines(given)), n=0, lineterm="")
    return tuple(line for line in lines if not line.startswith(("---", "+++", "@@")))


def _lines(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key in sorted(value):
            yield from _lines(value[key], f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _lines(item, f"{path}[{number}]")
    else:
        yield f"{path}: {_json(value)}"


def shown_differences(differences: tuple[str, ...]) -> str:
    """Return *differences* for a message, the first `MAX_SHOWN_DIFFERENCES` of them."""
    hidden = len(differences) - MAX_SHOWN_DIFFERENCES
    more = [f"... and {hidden} more lines"] if hidden > 0 else []
    return "\n".join([*differences[:MAX_SHOWN_DIFFERENCES], *more])


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

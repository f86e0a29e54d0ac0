"""The fields of an admin request: read strictly, named in every complaint."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from stablesats.okx_simulator.errors import AdminRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping


def whole(fields: Mapping[str, Any], name: str, *, most: int, default: int | None = None) -> int:
    """Return a whole number of 0 to *most*.

    Raises:
        AdminRequestError: If it is missing without a *default*, or is none.
    """
    value = fields.get(name, default)
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or int(text) > most:
        raise AdminRequestError(f"{name} is {value!r}, and must be a whole number up to {most}")
    return int(text)


def amount(fields: Mapping[str, Any], name: str) -> Decimal:
    """Return a finite number.

    Raises:
        AdminRequestError: If it is missing, or is none.
    """
    return as_number(name, fields.get(name))


def as_number(name: str, value: object) -> Decimal:
    """Return a finite number out of the text that a JSON number or string was.

    Raises:
        AdminRequestError: If it is none.
    """
    try:
        number = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite():
        raise AdminRequestError(f"{name} is {value!r}, and must be a number")
    return number


def text(fields: Mapping[str, Any], name: str, *, default: str | None = None) -> str:
    """Return a text; empty only by *default*.

    Raises:
        AdminRequestError: If it is missing without a *default*, or is none.
    """
    value = fields.get(name, default)
    if not isinstance(value, str) or (not value and default is None):
        raise AdminRequestError(f"{name} is {value!r}, and must be a text")
    return value


def flag(fields: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    """Return a boolean.

    Raises:
        AdminRequestError: If it is none.
    """
    value = fields.get(name, default)
    if not isinstance(value, bool):
        raise AdminRequestError(f"{name} is {value!r}, and must be true or false")
    return value


def only(fields: Mapping[str, Any], *names: str) -> None:
    """Refuse fields that are not among *names*: a misspelt one would change nothing, silently.

    Raises:
        AdminRequestError: Naming the fields.
    """
    unknown = sorted(fields.keys() - set(names))
    if unknown:
        raise AdminRequestError(f"there is no field {', '.join(unknown)}; there are {', '.join(names)}")

"""What a person types on the command line, read into what `Book` takes."""

import datetime as dt
import json
import re
from collections.abc import Iterable
from typing import Any

from medici_py.instants import parse_instant
from medici_py.query import exactly

_DATE_ONLY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TO_END_OF_DAY = dt.timedelta(days=1) - dt.timedelta(milliseconds=1)


def parse_from(text: str) -> dt.datetime:
    """Read the beginning of a range: a date is its midnight UTC.

    Raises:
        ValueError: If it is no instant; the text says what is.
    """
    return parse_instant(text)


def parse_to(text: str) -> dt.datetime:
    """Read the end of a range: a date is the whole of that day, UTC.

    Raises:
        ValueError: If it is no instant; the text says what is.
    """
    instant = parse_instant(text)
    return instant + _TO_END_OF_DAY if _DATE_ONLY.fullmatch(text) else instant


def parse_where(conditions: Iterable[str]) -> dict[str, Any]:
    """Read filters: ``currency=USD`` is text, ``n:=5`` and ``voided:=true`` are JSON; all mean equality.

    Raises:
        ValueError: If one is neither, or a key is given twice.
    """
    where: dict[str, Any] = {}
    for condition in conditions:
        key, value = _parse_condition(condition)
        if key in where:
            raise ValueError(f"{key!r} is given twice")
        where[key] = exactly(value)
    return where


def _parse_condition(condition: str) -> tuple[str, Any]:
    key, separator, text = condition.partition("=")
    is_json = key.endswith(":")
    key = key.removesuffix(":")
    if not separator or not key:
        raise ValueError(f"{condition!r} is no filter; write KEY=TEXT or KEY:=JSON")
    if not is_json:
        return key, text
    try:
        return key, json.loads(text, parse_constant=_refuse_constant)
    except ValueError as exc:
        raise ValueError(f"{condition!r}: what follows ':=' is no JSON: {exc}") from exc


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")

"""Instants as callers give them: one rule for the dates of entries and of queries."""

import datetime as dt
import re

_DIGITS = re.compile(r"\d{1,15}", re.ASCII)
_DATE_ONLY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

InstantLike = dt.datetime | dt.date | int | str


def utc_now() -> dt.datetime:
    """Return the wall clock, to the millisecond."""
    return to_millisecond(dt.datetime.now(dt.UTC))


def to_millisecond(instant: dt.datetime) -> dt.datetime:
    """Cut *instant*, which is aware, to what BSON holds: UTC and whole milliseconds."""
    instant = instant.astimezone(dt.UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def no_earlier(instant: dt.datetime, bound: dt.datetime | None) -> dt.datetime:
    """Return *instant*, or *bound* if there is one and it is later."""
    return instant if bound is None or instant >= bound else bound


def parse_instant(value: InstantLike) -> dt.datetime:
    """Read an instant: an aware datetime, milliseconds since 1970, digits, or ISO 8601 text.

    A date alone is midnight UTC; 0 is 1970-01-01. Microseconds are cut.

    Raises:
        ValueError: If it is none of these, or has a time but no zone; the text names it.

    Source: medici 7.4, except that a time without zone is refused where Node takes its local zone.
    """
    match value:
        case bool():
            pass
        case dt.datetime():
            return _zoned(value)
        case dt.date():
            return dt.datetime.combine(value, dt.time(), tzinfo=dt.UTC)
        case int():
            return _from_milliseconds(value)
        case str() if _DIGITS.fullmatch(value):
            return _from_milliseconds(int(value))
        case str():
            return _from_text(value)
        case _:
            pass
    raise ValueError(f"{value!r} is no instant; give an aware datetime, milliseconds or ISO 8601 text")


def _zoned(value: dt.datetime) -> dt.datetime:
    if value.utcoffset() is None:
        raise ValueError(f"{value.isoformat()} has no time zone; give an aware datetime")
    try:
        return to_millisecond(value)
    except OverflowError as exc:
        raise ValueError(f"{value.isoformat()} lies outside the years 1 to 9999 in UTC") from exc


def _from_milliseconds(milliseconds: int) -> dt.datetime:
    try:
        return _EPOCH + dt.timedelta(milliseconds=milliseconds)
    except OverflowError as exc:
        raise ValueError(f"{milliseconds} ms lies outside the years 1 to 9999") from exc


def _from_text(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as exc:
        raise ValueError(f"{text!r} is not ISO 8601") from exc
    if _DATE_ONLY.fullmatch(text):
        return moment.replace(tzinfo=dt.UTC)
    return _zoned(moment)

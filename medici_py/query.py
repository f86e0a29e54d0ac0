"""Questions about legs: which accounts, which keys, which time, as one frozen value.

`LegQuery` is what a caller asked; ``to_filter()`` is the same for MongoDB. Nothing given is dropped: a
key, date or account that cannot mean anything is refused with `InvalidQueryError`.

Which arguments take operators: the values in the mapping of extra keys do (``{"amount": {"$gt": 5}}``).
A value that comes from an untrusted user must therefore be wrapped: ``{"client": exactly(user_input)}``
can only mean equality. Accounts, dates and ids never take operators.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId
from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions
from bson.errors import InvalidId

from medici_py.accounts import AccountLike, Path, parse_query_paths
from medici_py.bson_values import check_encodable, check_key, stored_copy
from medici_py.documents import Transaction, custom_stored_names, object_id_names, stored_names
from medici_py.errors import InvalidQueryError
from medici_py.instants import InstantLike, parse_instant

SORT_KEYS = ("datetime", "timestamp", "_id")
"""The total order of legs: effective date, recorded date, then the id, which no two share."""

NEWEST_FIRST = -1
OLDEST_FIRST = 1


def exactly(value: object) -> dict[str, Any]:
    """Return a condition that means equality with *value*, whatever *value* looks like."""
    return {"$eq": value}


@dataclass(frozen=True, slots=True)
class LegQuery:
    """Which legs a question is about.

    Attributes:
        book: Name of the book.
        paths: Accounts, each with everything below it; None for the whole book.
        conditions: Stored field names and what they must match.
        start: Earliest effective date, inclusive.
        end: Latest effective date, inclusive.
        after_leg: Only legs with a greater ``_id``.
        until_leg: Only legs with this ``_id`` or a smaller one.
        at: Only legs recorded at this time or before.
    """

    book: str
    paths: tuple[Path, ...] | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)
    start: dt.datetime | None = None
    end: dt.datetime | None = None
    after_leg: ObjectId | None = None
    until_leg: ObjectId | None = None
    at: dt.datetime | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether it asks for legs of some time or id, and not for all that an account has."""
        bounds = (self.start, self.end, self.at, self.after_leg, self.until_leg)
        return any(bound is not None for bound in bounds)

    def to_filter(self) -> dict[str, Any]:
        """Return the MongoDB filter that matches exactly these legs."""
        computed: dict[str, Any] = {"book": self.book}
        if self.paths is not None:
            computed |= accounts_filter(self.paths)
        if dates := _range(("$gte", self.start), ("$lte", self.end)):
            computed["datetime"] = dates
        ids = _range(("$gt", self.after_leg), ("$lte", self.until_leg))
        # A condition on the same field replaces the computed one, as in medici; on ids and the recorded time
        # both hold.
        merged = computed | dict(self.conditions)
        recorded = _range(("$lte", self.at))
        further = [{name: bounds} for name, bounds in (("_id", ids), ("timestamp", recorded)) if bounds]
        return {"$and": [merged, *further]} if further else merged


def filter_refused(query: LegQuery, answer: Exception) -> InvalidQueryError:
    """Return the error for a server that could not read what *query* asks for, and said so in *answer*."""
    return InvalidQueryError(
        f"Filter {dict(query.conditions)!r} refused by MongoDB: {answer}",
        field="extra",
        value=dict(query.conditions),
    )


def _range(*bounds: tuple[str, object]) -> dict[str, object]:
    return {operator: bound for operator, bound in bounds if bound is not None}


def accounts_filter(paths: Sequence[Path]) -> dict[str, Any]:
    """Return the filter for the legs on *paths* and below, compared part by part (``A`` is not ``AB``).

    A leg of Node's whose path has a part with ``:`` in it (``["A:B", "C"]``, which cannot be posted here) is
    below no account, as in medici; it counts in the whole book.
    """
    filters = [{f"account_path.{level}": part for level, part in enumerate(path)} for path in paths]
    return filters[0] if len(filters) == 1 else {"$or": filters}


def parse_leg_query(
    book: str,
    account: AccountLike | None = None,
    extra: Mapping[str, Any] | None = None,
    *,
    start_date: InstantLike | None = None,
    end_date: InstantLike | None = None,
    start_tx_id: ObjectId | str | None = None,
    end_tx_id: ObjectId | str | None = None,
    at: InstantLike | None = None,
    model: type[Transaction] = Transaction,
    codec_options: CodecOptions[Any] = DEFAULT_CODEC_OPTIONS,
) -> LegQuery:
    """Read a caller's question.

    Raises:
        InvalidQueryError: If an argument cannot mean anything; the error names it.
    """
    return LegQuery(
        book=book,
        paths=parse_query_paths(account),
        conditions=_parse_conditions(extra, model, codec_options),
        start=_parse_date("start_date", start_date),
        end=_parse_date("end_date", end_date),
        after_leg=None if start_tx_id is None else parse_object_id("start_tx_id", start_tx_id),
        until_leg=None if end_tx_id is None else parse_object_id("end_tx_id", end_tx_id),
        at=_parse_date("at", at),
    )


def _parse_date(name: str, value: InstantLike | None) -> dt.datetime | None:
    if value is None:
        return None
    try:
        return parse_instant(value)
    except ValueError as exc:
        raise InvalidQueryError(f"{name} refused: {exc}.", field=name, value=value) from exc


def parse_object_id(name: str, value: object) -> ObjectId:
    """Read an ObjectId or its 24 hexadecimal digits.

    Raises:
        InvalidQueryError: If it is neither.
    """
    try:
        return value if isinstance(value, ObjectId) else ObjectId(_hex_text(value))
    except (InvalidId, TypeError) as exc:
        raise InvalidQueryError(
            f"{name} {value!r} refused: give an ObjectId or its 24 hexadecimal digits.",
            field=name,
            value=value,
        ) from exc


def _hex_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("an ObjectId is written as text")
    return value


def _parse_conditions(
    extra: Mapping[str, Any] | None, model: type[Transaction], codec_options: CodecOptions[Any]
) -> dict[str, Any]:
    if extra is None:
        return {}
    if not isinstance(extra, Mapping):
        raise InvalidQueryError(f"Filter {extra!r} refused: give a mapping.", field="extra", value=extra)
    conditions: dict[str, Any] = {}
    for key, value in extra.items():
        stored_name = _condition_name(key, model)
        try:
            conditions[stored_name] = stored_copy(value, operators=True)
            check_encodable({"value": conditions[stored_name]}, codec_options)
        except ValueError as exc:
            raise InvalidQueryError(f"Filter on {key!r} refused: {exc}.", field=key, value=value) from exc
        if stored_name in object_id_names(model):
            conditions[stored_name] = _with_object_ids(stored_name, conditions[stored_name])
    return conditions


def _condition_name(key: object, model: type[Transaction]) -> str:
    try:
        name = check_key(key, operators=True)
    except ValueError as exc:
        raise InvalidQueryError(f"Filter refused: {exc}.", field=str(key), value=key) from exc
    if name.startswith("$"):
        raise InvalidQueryError(
            f"Filter {name!r} refused: operators belong in the value of a key.", field=name, value=name
        )
    if name in stored_names(model) or name.partition(".")[0] in custom_stored_names(model):
        return name
    return f"meta.{name}"


def _with_object_ids(name: str, value: Any) -> Any:
    match value:
        case str():
            return parse_object_id(name, value)
        case list():
            return [_with_object_ids(name, item) for item in value]
        case dict():
            return {
                key: _with_object_ids(name, item) if key in _COMPARISONS else item
                for key, item in value.items()
            }
        case _:
            return value


_COMPARISONS = frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$not", "$all"})


def sort_order(*, oldest_first: bool) -> list[tuple[str, int]]:
    """Return the total order of legs as MongoDB's sort."""
    direction = OLDEST_FIRST if oldest_first else NEWEST_FIRST
    return [(key, direction) for key in SORT_KEYS]


def beyond(last: Mapping[str, Any], *, oldest_first: bool) -> dict[str, Any]:
    """Return the filter for the legs that come after the leg *last* in the total order."""
    comparison = "$gt" if oldest_first else "$lt"
    return {
        "$or": [
            {name: last[name] for name in SORT_KEYS[:level]} | {key: {comparison: last[key]}}
            for level, key in enumerate(SORT_KEYS)
        ]
    }

"""Roll-ups: the turnover of accounts by day, month and year, so that the past need not be added up again.

A row is the turnover of an account with everything below it, in one combination of the book's dimension
values, over one span of time::

    {_id: {book: "Bank", generation: int64, path: ["Assets", "Cash"], kind: "recorded", grain: "month",
           span: "2026-11", dims: ["BTC"]},
     debit: Decimal128, credit: Decimal128, notes: int64}

``kind`` says which of a leg's two times puts it into the span: when it was recorded (``timestamp``) or when
it takes effect (``datetime``). Rows of either kind hold the legs recorded before one midnight UTC, which
`RolledUp` keeps in the book's state. A **generation** is dropped as a whole; rows of another one than the
state's do not count.

Sums that 34 digits do not hold are stored as text, so nothing ever rounds.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum
from typing import Any, Self, TypeAlias

from bson import Decimal128, Int64, MaxKey

from medici_py.accounts import Path
from medici_py.calendar_spans import Grain, SpanRange, spans_of
from medici_py.money import EXACT, MAX_DIGITS, decimal_from_stored, plain
from medici_py.running_rows import Turnover
from medici_py.sums import Sums

ROLLUPS = "medici_py_rollups"

Document: TypeAlias = dict[str, Any]

_NOTHING = Decimal128("0")

Dims: TypeAlias = tuple[str | None, ...]
"""Values of the book's dimensions; None where a leg has none, or one that is no text."""


class Kind(StrEnum):
    """Which time of a leg puts it into a span."""

    RECORDED = "recorded"
    EFFECTIVE = "effective"


@dataclass(frozen=True, slots=True)
class RolledUp:
    """How far a book is rolled up; ``rolled_up`` of its `BookState`.

    Attributes:
        step: Grows with every change, so that of two who move it on one notices.
        generation: Which rows count.
        fields: Where the legs stored the dimensions of the rows.
        before: The rows hold the legs recorded before this midnight UTC; None if there are none yet.
        to: Where a roll-up under way will take them; None if there is none.
        done: It takes the accounts in descending order and has reached this one.
    """

    step: int = 0
    generation: int = 0
    fields: tuple[str, ...] = ()
    before: dt.datetime | None = None
    to: dt.datetime | None = None
    done: Path | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> Self:
        """Read what a state holds, which is nothing before the first roll-up."""
        if document is None:
            return cls()
        done = document["done"]
        return cls(
            step=int(document["step"]),
            generation=int(document["generation"]),
            fields=tuple(document["fields"]),
            before=document["before"],
            to=document["to"],
            done=None if done is None else tuple(done),
        )

    def to_document(self) -> Document:
        """Return what is stored."""
        return {
            "step": Int64(self.step),
            "generation": Int64(self.generation),
            "fields": list(self.fields),
            "before": self.before,
            "to": self.to,
            "done": None if self.done is None else list(self.done),
        }

    def covered(self, path: Path) -> dt.datetime | None:
        """Return the midnight before which the legs of *path* are rolled up; None if none are."""
        # Tuples of text compare as the server's arrays do: part by part, by code point.
        return self.to if self.done is not None and path >= self.done else self.before


@dataclass(frozen=True, slots=True)
class Bucket:
    """What tells the rows of one account apart."""

    kind: Kind
    grain: Grain
    span: str
    dims: Dims


def row_id(book: str, generation: int, path: Path, bucket: Bucket) -> Document:
    """Return the ``_id`` of a row."""
    return {
        "book": book,
        "generation": Int64(generation),
        "path": list(path),
        "kind": bucket.kind.value,
        "grain": bucket.grain.value,
        "span": bucket.span,
        "dims": list(bucket.dims),
    }


def path_of(row: Mapping[str, Any]) -> Path:
    """Return the account of a stored row."""
    return tuple(row["_id"]["path"])


def bucket_of(row: Mapping[str, Any]) -> Bucket:
    """Return what tells a stored row from the others of its account."""
    key = row["_id"]
    return Bucket(Kind(key["kind"]), Grain(key["grain"]), key["span"], tuple(key["dims"]))


def row_sums(row: Mapping[str, Any]) -> Sums:
    """Return the turnover that a stored row holds."""
    return Sums(_amount(row["debit"]), _amount(row["credit"]), int(row["notes"]))


def stored_sums(sums: Sums) -> Document:
    """Return the fields of a row that hold *sums*."""
    return {
        "debit": _stored(sums.debit),
        "credit": _stored(sums.credit),
        "notes": Int64(sums.notes),
    }


def _stored(amount: Decimal) -> Decimal128 | str:
    if not amount:
        return _NOTHING
    return Decimal128(amount) if len(amount.as_tuple().digits) <= MAX_DIGITS else f"{amount:f}"


def _amount(stored: object) -> Decimal:
    return plain(Decimal(stored)) if isinstance(stored, str) else decimal_from_stored(stored)


def rows_of_generation(book: str, generation: int) -> Document:
    """Return the filter for the rows that count."""
    first = {"book": book, "generation": Int64(generation)}
    return {"_id": {"$gte": first, "$lt": {"book": book, "generation": Int64(generation + 1)}}}


def rows_before_generation(book: str, generation: int) -> Document:
    """Return the filter for the rows that were dropped."""
    return {"_id": {"$gte": {"book": book}, "$lt": {"book": book, "generation": Int64(generation)}}}


def rows_in(
    book: str, generation: int, paths: Iterable[Path], kind: Kind, spans: Iterable[SpanRange]
) -> list[Document]:
    """Return the filters for the rows of exactly these accounts in these spans; their union is wanted."""
    ranges = list(spans)
    return [_rows_of_range(book, generation, path, kind, spans) for path in paths for spans in ranges]


def _rows_of_range(book: str, generation: int, path: Path, kind: Kind, spans: SpanRange) -> Document:
    run = {
        "book": book,
        "generation": Int64(generation),
        "path": list(path),
        "kind": kind.value,
        "grain": spans.grain.value,
    }
    # Documents compare field by field, so that a run of spans is a range, and one without dims comes first.
    first = run if spans.first is None else {**run, "span": spans.first}
    return {
        "_id": {"$gte": first, "$lt": {**run, "span": MaxKey() if spans.beyond is None else spans.beyond}}
    }


@dataclass(frozen=True, slots=True)
class DayTurnover:
    """What the legs of one account and combination of dimension values turned over, of one pair of days.

    Attributes:
        recorded: The day on which they were recorded, as text; None where that is no time.
        effective: The day on which they take effect.
        dims: Values of the dimensions.
        turnover: What they add up to.
    """

    recorded: str | None
    effective: str | None
    dims: Dims
    turnover: Turnover


def buckets(days: Iterable[DayTurnover]) -> dict[Bucket, Sums]:
    """Return the rows of one account: what it turned over by day, month and year, by either time."""
    found: dict[Bucket, Turnover] = {}
    with localcontext(EXACT):
        for one in days:
            for kind, day in ((Kind.RECORDED, one.recorded), (Kind.EFFECTIVE, one.effective)):
                for grain, span in () if day is None else spans_of(day):
                    total = found.setdefault(Bucket(kind, grain, span, one.dims), Turnover())
                    total.debit += one.turnover.debit
                    total.credit += one.turnover.credit
                    total.notes += one.turnover.notes
    return {
        bucket: Sums(plain(total.debit), plain(total.credit), total.notes) for bucket, total in found.items()
    }


def count_legs(of_account: Mapping[Bucket, Sums]) -> int:
    """Return the number of legs behind the rows of one account."""
    return sum(
        sums.notes
        for bucket, sums in of_account.items()
        if bucket.kind is Kind.RECORDED and bucket.grain is Grain.YEAR
    )

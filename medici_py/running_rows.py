"""Rows of running balances: what they are called, what a posting adds to them, what they add up to.

A row is the turnover of an account with everything below it, in one combination of the book's dimension
values, as far as one writer has posted it::

    {_id: {book: "Bank", path: ["Assets", "Cash"], dims: ["BTC"], stripe: 2},
     debit: Decimal128, credit: Decimal128, notes: int64, journal: ObjectId, recorded_at: date}

``path: []`` is the whole book. A **stripe** belongs to one transaction at a time, so that writers of one hot
account never meet; the turnover is the sum over the stripes. Stripe 0 holds what a rebuild corrected.

Nothing rounds: the server adds Decimal128 values, which is exact while the sizes of all amounts of a
book's stripe add up to less than ``10**(34 - precision)``. The row of the whole book keeps that sum as
``size``; its update does not match once the limit is passed, and the entry is refused.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeAlias

from bson import Decimal128, Int64, MaxKey, ObjectId

from medici_py.accounts import Path
from medici_py.money import MAX_DIGITS, ZERO, decimal_from_stored, exact_sum, to_decimal128
from medici_py.sums import Sums, SumTooLargeError, leg_sums
from medici_py.turnover_table import DimensionValues

ROWS = "medici_py_balances"

CORRECTIONS = 0
"""The stripe that a rebuild writes to."""

RowKey: TypeAlias = tuple[Path, DimensionValues]
"""An account and the values of the book's dimensions."""

Document: TypeAlias = dict[str, Any]

ROOT: Path = ()

_NOTHING = Decimal128("0")


@dataclass(slots=True)
class Turnover:
    """What legs add to a row; mutable while it is being summed, under an exact decimal context.

    Attributes:
        debit: Sum of the debits.
        credit: Sum of the credits.
        size: Sum of the amounts without their signs.
        notes: Number of legs.
    """

    debit: Decimal = ZERO
    credit: Decimal = ZERO
    size: Decimal = ZERO
    notes: int = 0

    def add(self, debit: Decimal, credit: Decimal) -> None:
        """Add one leg."""
        # As a rule one side of it is nothing.
        if debit:
            self.debit += debit
            self.size += abs(debit)
        if credit:
            self.credit += credit
            self.size += abs(credit)
        self.notes += 1

    def add_all(self, other: "Turnover") -> None:
        """Add what the legs of *other* add."""
        self.debit += other.debit
        self.credit += other.credit
        self.size += other.size
        self.notes += other.notes


def dimension_values(leg: Mapping[str, Any], fields: Iterable[str]) -> DimensionValues:
    """Return the dimension values of a leg; None where it has none, or something that is no text."""
    return tuple(_text(leg, field) for field in fields)


def _text(leg: Mapping[str, Any], field: str) -> str | None:
    holder, _, name = field.rpartition(".")
    source = (leg.get(holder) or {}) if holder else leg
    value = source.get(name) if isinstance(source, Mapping) else None
    return value if isinstance(value, str) else None


def dimension_expression(field: str) -> Document:
    """Return the server's expression for what `dimension_values` says about one field of a leg."""
    return {"$cond": [{"$eq": [{"$type": f"${field}"}, "string"]}, f"${field}", None]}


def with_rows_above(own: Mapping[tuple[str, RowKey], Turnover]) -> dict[tuple[str, RowKey], Turnover]:
    """Return what is added to the rows of accounts, of every account above them, and of their books.

    Args:
        own: What legs on each account itself add up to.
    """
    added = dict(own)
    by_depth: defaultdict[int, list[tuple[str, RowKey]]] = defaultdict(list)
    for row in own:
        by_depth[len(row[1][0])].append(row)
    # From below: each row is added once, to the one above it.
    for depth in range(max(by_depth, default=0), 0, -1):
        for row in by_depth[depth]:
            book, (path, dims) = row
            above = book, (path[:-1], dims)
            sums = added.get(above)
            if sums is None:
                sums = added[above] = Turnover()
                by_depth[depth - 1].append(above)
            elif sums is own.get(above):
                sums = added[above] = replace(sums)  # What was given stays as it is.
            sums.add_all(added[row])
    return added


def turnover_of_legs(
    book: str, legs: Iterable[Mapping[str, Any]], fields: Sequence[str]
) -> dict[tuple[str, RowKey], Turnover]:
    """Return what stored legs add to each row; under an exact decimal context."""
    own: defaultdict[tuple[str, RowKey], Turnover] = defaultdict(Turnover)
    for leg in legs:
        key = tuple(leg["account_path"]), dimension_values(leg, fields)
        once = leg_sums(leg)
        own[book, key].add(once.debit, once.credit)
    return with_rows_above(own)


def row_id(book: str, key: RowKey, stripe: int) -> Document:
    """Return the ``_id`` of a row."""
    path, dims = key
    return {"book": book, "path": path, "dims": dims, "stripe": stripe}


def key_of(row: Mapping[str, Any]) -> RowKey:
    """Return the account and dimension values of a stored row."""
    return tuple(row["_id"]["path"]), tuple(row["_id"]["dims"])


def rows_of(book: str, path: Path) -> Document:
    """Return the filter for the rows of exactly this account."""
    return _between({"book": book, "path": list(path)}, {"book": book, "path": list(path), "dims": MaxKey()})


def rows_of_key(book: str, key: RowKey) -> Document:
    """Return the filter for the rows of exactly this account in these dimension values, of every stripe."""
    path, dims = key
    of_key = {"book": book, "path": list(path), "dims": list(dims)}
    return _between(of_key, {**of_key, "stripe": MaxKey()})


def rows_below(book: str, path: Path) -> Document:
    """Return the filter for the rows of this account and of every account below it."""
    return _between({"book": book, "path": list(path)}, {"book": book, "path": [*path, MaxKey()]})


def _between(first: Document, beyond: Document) -> Document:
    # Documents compare field by field and arrays part by part, so a prefix is a range.
    return {"_id": {"$gte": first, "$lt": beyond}}


def row_sums(row: Mapping[str, Any]) -> Sums:
    """Return the turnover that a stored row holds."""
    return Sums(decimal_from_stored(row["debit"]), decimal_from_stored(row["credit"]), int(row["notes"]))


def fold_rows_by_key(rows: Iterable[Mapping[str, Any]]) -> dict[RowKey, Sums]:
    """Return the turnover of each account and combination of dimension values, over all stripes."""
    found: dict[RowKey, Sums] = {}
    for row in rows:
        key = key_of(row)
        found[key] = found.get(key, Sums()) + row_sums(row)
    return found


def matching(rows: Iterable[Mapping[str, Any]], wanted: Mapping[int, Hashable]) -> Sums:
    """Add up rows whose dimension values are *wanted*.

    Args:
        rows: Stored rows.
        wanted: Values by the place of the dimension in the book's order.
    """
    found = [
        row_sums(row)
        for row in rows
        if all(row["_id"]["dims"][place] == value for place, value in wanted.items())
    ]
    return Sums(
        exact_sum(sums.debit for sums in found),
        exact_sum(sums.credit for sums in found),
        sum(sums.notes for sums in found),
    )


def size_limit(precision: int) -> Decimal:
    """Return the size below which Decimal128 holds every sum of a book with this precision exactly."""
    return Decimal(10) ** (MAX_DIGITS - precision)


@dataclass(frozen=True, slots=True)
class RowWrites:
    """The updates of rows that one transaction makes.

    Attributes:
        added: What is added to each row of the transaction's stripe.
        touched: Rows of any stripe that are written without being changed, so that whoever else moves
            their account in the meantime conflicts.
    """

    added: Mapping[tuple[str, RowKey], Turnover]
    touched: Sequence[tuple[str, RowKey]] = ()


def row_updates(
    writes: RowWrites,
    *,
    stripe: int,
    stripes: Iterable[int] = (),
    journal: ObjectId,
    recorded_at: dt.datetime,
    precisions: Mapping[str, int],
) -> list[Document]:
    """Return the statements of the server's ``update`` command.

    Args:
        writes: What is written.
        stripe: The transaction's own stripe.
        stripes: The stripes in which the touched rows are written.
        journal: The last journal.
        recorded_at: Its recorded time.
        precisions: Decimal places of each book.

    Raises:
        SumTooLargeError: If a turnover by itself is more than a row can hold.
    """
    last = {"journal": journal, "recorded_at": recorded_at}
    rooms = {
        row: _room(turnover, precisions[row[0]])
        for row, turnover in writes.added.items()
        if row[1][0] == ROOT
    }
    stored = _StoredAmounts()
    statements = [
        _touch(row_id(book, key, each))
        for book, key in writes.touched
        for each in stripes
        if each != stripe or (book, key) not in writes.added
    ]
    for (book, key), turnover in writes.added.items():
        query: Document = {"_id": row_id(book, key, stripe)}
        added: Document = {
            "debit": stored[turnover.debit],
            "credit": stored[turnover.credit],
            "notes": Int64(turnover.notes),
        }
        if key[0] == ROOT:
            query["size"] = {"$not": {"$gte": rooms[book, key]}}
            added["size"] = stored[turnover.size]
        statements.append({"q": query, "u": {"$inc": added, "$set": last}, "upsert": True})
    return statements


class _StoredAmounts(dict[Decimal, Decimal128]):
    """Amounts as they are stored, each made once: an account and one above it are often moved alike."""

    def __missing__(self, amount: Decimal) -> Decimal128:
        stored = self[amount] = to_decimal128(amount) if amount else _NOTHING
        return stored


def _room(turnover: Turnover, precision: int) -> Decimal128:
    """Return the size below which a row must be for *turnover* to be added exactly."""
    limit = size_limit(_places(turnover, precision))
    if turnover.size >= limit:
        raise SumTooLargeError(f"{turnover.size:f} is more than a row holds exactly")
    return to_decimal128(limit - turnover.size)


def _places(turnover: Turnover, precision: int) -> int:
    """Return the decimal places that the sums need: stored legs of other writers may have more."""
    exponents = (turnover.debit.as_tuple().exponent, turnover.credit.as_tuple().exponent)
    return max(precision, *(-exponent for exponent in exponents if isinstance(exponent, int)))


def _touch(identity: Document) -> Document:
    # Adding nothing would be no write at all, and would conflict with nobody.
    nothing: Document = {"debit": _NOTHING, "credit": _NOTHING, "notes": Int64(0)}
    return {"q": {"_id": identity}, "u": {"$inc": {**nothing, "touches": Int64(1)}}, "upsert": True}

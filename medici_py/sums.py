"""Exact sums of debits and credits, computed by MongoDB over whatever number types are stored.

A shared book mixes int32, int64, double and Decimal128, and MongoDB rounds silently where they meet: a
sum that meets a double becomes one, ``$toDecimal`` keeps 15 digits of one, a Decimal128 sum keeps 34. So
every amount is first turned into a Decimal128 that is certainly its exact value. Legs for which the
server cannot be certain (a double that needs 16 or 17 digits, more decimal places than the book's
precision, something that is no number) leave the sum and come back one row for each distinct pair of
stored amounts, with their count; `fold_rows` reads those on the client, doubles at their shortest text.

Decimal128 sums of multiples of 10^-precision are exact while their sizes add up to less than
10^(34 - precision). Past that `SumTooLargeError` sends the caller to `fold_legs`.

`sum_stages` is also what other readers of whole books use: *by* names the groups.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bson import Decimal128

from medici_py.errors import MediciError, UnreadableDocumentError
from medici_py.money import MAX_DIGITS, ZERO, decimal_from_stored, exact_product, exact_sum

_DECIMAL_ZERO = Decimal128("0")
_TOO_LARGE = Decimal128("1E34")
_WHOLE_DOUBLES = 2.0**53

Group = tuple[Hashable, ...]


class SumTooLargeError(MediciError):
    """The server's Decimal128 sum may have been rounded; the legs must be folded one by one."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Turnover of some legs.

    Attributes:
        debit: Sum of the debits.
        credit: Sum of the credits.
        notes: Number of legs.
    """

    debit: Decimal = ZERO
    credit: Decimal = ZERO
    notes: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            exact_sum((self.debit, other.debit)),
            exact_sum((self.credit, other.credit)),
            self.notes + other.notes,
        )


def sum_stages(by: Mapping[str, Any] | None = None, *, precision: int) -> list[dict[str, Any]]:
    """Return the aggregation stages that add up the legs passing through, exactly.

    Args:
        by: Names of the groups and the expressions they are made of (``{"account": "$accounts"}``);
            one group of everything if left out.
        precision: Decimal places of the book.

    Returns:
        Stages whose rows `fold_rows` reads.
    """
    exact = {"$and": [{"$ne": ["$credit_exact", None]}, {"$ne": ["$debit_exact", None]}]}
    as_stored = {
        "credit": "$credit",
        "credit_type": {"$type": "$credit"},
        "debit": "$debit",
        "debit_type": {"$type": "$debit"},
    }
    return [
        {
            "$project": {
                "credit": 1,
                "debit": 1,
                "by": dict(by or {}) or {"$literal": {}},
                "credit_exact": _exact_decimal("$credit", precision),
                "debit_exact": _exact_decimal("$debit", precision),
            }
        },
        {
            "$group": {
                # The types are part of the key because 0.1 as a double and its binary expansion as a
                # Decimal128 compare equal, yet stand for different amounts.
                "_id": {"by": "$by", "as_stored": {"$cond": [exact, None, as_stored]}},
                "credit": {"$sum": "$credit_exact"},
                "debit": {"$sum": "$debit_exact"},
                "size": {"$sum": {"$add": [{"$abs": "$credit_exact"}, {"$abs": "$debit_exact"}]}},
                "notes": {"$sum": 1},
                "leg": {"$first": "$_id"},
            }
        },
    ]


def _exact_decimal(field: str, precision: int) -> dict[str, Any]:
    """Return an expression for the exact Decimal128 value of *field*, or null where that is not certain."""
    decimal = {"$toDecimal": field}
    whole = {"$and": [{"$eq": [field, {"$trunc": field}]}, _within(field, _WHOLE_DOUBLES, inclusive=True)]}
    # Fifteen digits that give the same double back are its shortest text.
    back = {"$convert": {"input": decimal, "to": "double", "onError": None}}
    fifteen_digits = {"$eq": [field, back]}
    of_double = {
        "$cond": [
            whole,
            {"$add": [field, _DECIMAL_ZERO]},
            {"$cond": [{"$and": [_within(field, 1e34), fifteen_digits]}, decimal, None]},
        ]
    }
    of_type = [
        (["int", "long"], decimal),
        (["decimal"], {"$cond": [_within(field, _TOO_LARGE), field, None]}),
        (["double"], of_double),
        (["missing", "null", "undefined"], _DECIMAL_ZERO),
    ]
    branches = [{"case": {"$in": [{"$type": field}, types]}, "then": then} for types, then in of_type]
    return {
        "$let": {
            "vars": {"number": {"$switch": {"branches": branches, "default": None}}},
            "in": {"$cond": [{"$eq": ["$$number", {"$round": ["$$number", precision]}]}, "$$number", None]},
        }
    }


def _within(field: str, bound: float | Decimal128, *, inclusive: bool = False) -> dict[str, Any]:
    # Written with the bound on both sides because NaN compares below every number.
    negative = -bound if isinstance(bound, float) else Decimal128(-bound.to_decimal())
    above, below = ("$gte", "$lte") if inclusive else ("$gt", "$lt")
    return {"$and": [{above: [field, negative]}, {below: [field, bound]}]}


def fold_rows(
    rows: Iterable[Mapping[str, Any]], *, names: Iterable[str] = (), precision: int
) -> dict[Group, Sums]:
    """Read the rows of `sum_stages`.

    Args:
        rows: All rows of the aggregation.
        names: The keys of *by*, in the order in which the groups are wanted.
        precision: Decimal places of the book.

    Returns:
        The sums by group: a tuple of the values under *names*, None where a leg has no such value.

    Raises:
        SumTooLargeError: If a sum on the server may have been rounded.
        UnreadableDocumentError: If a leg's amount is no number.
    """
    order = tuple(names)
    totals: dict[Group, Sums] = {}
    for row in rows:
        key = row["_id"]
        group = tuple(key["by"].get(name) for name in order)
        stored = key["as_stored"]
        sums = _exact_row(row, precision) if stored is None else _stored_row(row, stored)
        totals[group] = totals.get(group, Sums()) + sums
    return totals


def _exact_row(row: Mapping[str, Any], precision: int) -> Sums:
    if row["size"].to_decimal() >= Decimal(10) ** (MAX_DIGITS - precision):
        raise SumTooLargeError(f"Amounts add up to {row['size']}, more than a Decimal128 sum holds exactly.")
    return Sums(decimal_from_stored(row["debit"]), decimal_from_stored(row["credit"]), row["notes"])


def _stored_row(row: Mapping[str, Any], stored: Mapping[str, Any]) -> Sums:
    once = leg_sums({"_id": row["leg"], **stored})
    notes = row["notes"]
    return Sums(exact_product(once.debit, notes), exact_product(once.credit, notes), notes)


def leg_sums(leg: Mapping[str, Any]) -> Sums:
    """Return the turnover of one stored leg.

    Raises:
        UnreadableDocumentError: If an amount is no number.
    """
    return Sums(_amount(leg, "debit"), _amount(leg, "credit"), 1)


def _amount(leg: Mapping[str, Any], field: str) -> Decimal:
    value = leg.get(field)
    if value is None:
        return ZERO
    try:
        return decimal_from_stored(value)
    except ValueError as exc:
        raise UnreadableDocumentError(
            f"Leg {leg['_id']}: {field} {exc}. Correct the stored document; no balance over it can be right.",
            document_id=leg["_id"],
            field=field,
            value=value,
        ) from exc

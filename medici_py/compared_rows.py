"""The rows of one account's running balance beside what its legs give, and the correction between. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, DecimalException, localcontext
from typing import Any

from bson import Decimal128, Int64

from medici_py.accounts import join
from medici_py.differences import Difference, WrongRunningBalance, WrongSize
from medici_py.errors import MediciError, UnreadableDocumentError
from medici_py.money import EXACT, ZERO, decimal_from_stored, plain
from medici_py.running_rows import CORRECTIONS, ROOT, RowKey, Turnover, row_id
from medici_py.sums import Sums

Document = dict[str, Any]


class CorrectionTooLargeError(MediciError):
    """The correction of a running balance has more digits than are held exactly; it was not written."""


@dataclass(slots=True)
class RowTotal:
    """What the rows of one account and its values add up to, over all stripes; mutable while it is summed.

    Attributes:
        total: Of all stripes.
        corrected: Of the stripe that a rebuild writes to.
    """

    total: Turnover = field(default_factory=Turnover)
    corrected: Turnover = field(default_factory=Turnover)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a stored row.

        Raises:
            UnreadableDocumentError: If it holds something that is no amount or number.
        """
        debit, credit, size = (_amount(row, name) for name in ("debit", "credit", "size"))
        notes = _count(row)
        with localcontext(EXACT):
            for turnover in (self.total, self.corrected)[: 1 + (row["_id"]["stripe"] == CORRECTIONS)]:
                turnover.debit += debit
                turnover.credit += credit
                turnover.size += size
                turnover.notes += notes


def stored_key(row: Mapping[str, Any]) -> RowKey:
    """Return the account and values of a stored row.

    Raises:
        UnreadableDocumentError: If its id is not that of a row.
    """
    match row["_id"]:
        case {"path": list() as path, "dims": list() as dims, "stripe": int()} if all(
            isinstance(part, str) for part in path
        ) and all(value is None or isinstance(value, str) for value in dims):
            return tuple(path), tuple(dims)
        case _:
            raise _unreadable(row, "_id", row["_id"], "names no account")


def _amount(row: Mapping[str, Any], name: str) -> Decimal:
    try:
        return decimal_from_stored(row.get(name, 0))
    except ValueError as exc:
        raise _unreadable(row, name, row.get(name), "is no amount") from exc


def _count(row: Mapping[str, Any]) -> int:
    notes = row.get("notes", 0)
    if isinstance(notes, bool) or not isinstance(notes, int):
        raise _unreadable(row, "notes", notes, "is no number of legs")
    return int(notes)


def _unreadable(row: Mapping[str, Any], name: str, value: object, why: str) -> UnreadableDocumentError:
    return UnreadableDocumentError(
        f"Row {row['_id']!r} of the running balances: {name} {value!r} {why}. Delete the row and run "
        "rebuild_balances() (medici rebuild).",
        document_id=row["_id"],
        field=name,
        value=value,
    )


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """What the legs of an account give beside what is stored for it, at one moment.

    Attributes:
        key: The account and its values.
        legs: What its legs and those below it add up to.
        rows: What is stored.
    """

    key: RowKey
    legs: Turnover
    rows: RowTotal

    @property
    def is_right(self) -> bool:
        """Whether the stored balance is that of the legs, and bounded as it should be."""
        return self._adds_up and not self._missing_size

    @property
    def _adds_up(self) -> bool:
        mine, stored = self.legs, self.rows.total
        return (mine.debit, mine.credit, mine.notes) == (stored.debit, stored.credit, stored.notes)

    @property
    def _missing_size(self) -> Decimal:
        """What the size of the whole book's amounts lacks; the rows of accounts store none."""
        if self.key[0] != ROOT:
            return ZERO
        return max(ZERO, EXACT.subtract(self.legs.size, self.rows.total.size))

    def differences(self, book: str) -> list[Difference]:
        """Return what is wrong with the row, for an auditor."""
        (account, values), stored = self.key, self.rows.total
        found: list[Difference] = []
        if not self._adds_up:
            found.append(WrongRunningBalance(book, account, values, _sums(self.legs), _sums(stored)))
        if self._missing_size:
            found.append(WrongSize(book, values, plain(self.legs.size), plain(stored.size)))
        return found

    def correction(self, book: str) -> Document:
        """Return the statement of the server's ``update`` command that makes the row right.

        It states what the corrections' stripe has to hold, so that sending it twice changes nothing; it holds
        as long as nobody else has written to that stripe since the comparison.

        Raises:
            CorrectionTooLargeError: If an amount has more digits than a Decimal128.
        """
        mine, stored, corrected = self.legs, self.rows.total, self.rows.corrected
        with localcontext(EXACT):
            wanted: Document = {
                "debit": self._stored(corrected.debit + mine.debit - stored.debit, book),
                "credit": self._stored(corrected.credit + mine.credit - stored.credit, book),
                "notes": Int64(corrected.notes + mine.notes - stored.notes),
            }
            if self.key[0] == ROOT:
                wanted["size"] = self._stored(corrected.size + self._missing_size, book)
        return {"q": {"_id": row_id(book, self.key, CORRECTIONS)}, "u": {"$set": wanted}, "upsert": True}

    def _stored(self, amount: Decimal, book: str) -> Decimal128:
        try:
            return Decimal128(plain(amount))
        except DecimalException as exc:
            account = join(self.key[0]) or "the whole book"
            raise CorrectionTooLargeError(
                f"The running balance of {account!r} in book {book!r} needs a correction of {amount:f}, "
                "which has more digits than the 34 of a Decimal128. Keep this book without running balances: "
                "rebuild_balances() of a Book(running_balances=False)."
            ) from exc


def _sums(turnover: Turnover) -> Sums:
    return Sums(plain(turnover.debit), plain(turnover.credit), turnover.notes)

"""What is known of a book beyond its journals: how its balances are kept, and how far they are rolled up.

Stored in ``medici_py_books``, one document a book::

    {_id: "Bank", running_balances: true, fields: ["meta.currency"], corrections: int64,
     usable_from: date, rolled_up: {...} or null}

Whoever posts reads it first and keeps to it. As long as nothing is stored an entry assumes one, and the first
that is not refused stores it right before it is written: no dry run and no refused entry decides anything.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from bson import Int64

from medici_py.documents import Transaction, custom_stored_names

BOOKS = "medici_py_books"

Document: TypeAlias = dict[str, Any]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class BookState:
    """How one book is kept.

    Attributes:
        book: Its name.
        running_balances: Whether every posting adds to the rows of `medici_py.running_rows`.
        fields: Where legs store what tells the rows of an account apart, the book's dimensions:
            ``("meta.currency",)``. Fixed when the running balances are established.
        corrections: How often a rebuild has written; whoever corrects checks that nobody else has.
        usable_from: Reads of an older moment than this must not rely on the rows.
        rolled_up: What `medici_py.rollups` keeps here.
        is_assumed: Whether nothing is stored yet.
    """

    book: str
    running_balances: bool
    fields: tuple[str, ...] = ()
    corrections: int = 0
    usable_from: dt.datetime = _EPOCH
    rolled_up: Mapping[str, Any] | None = None
    is_assumed: bool = False

    @property
    def recorded_from(self) -> dt.datetime | None:
        """What was recorded before this midnight is rolled up, or is just being; None if nothing is."""
        rolled = self.rolled_up
        return None if rolled is None else rolled["to"] or rolled["before"]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a stored state."""
        return cls(
            book=document["_id"],
            running_balances=document["running_balances"],
            fields=tuple(document["fields"]),
            corrections=int(document["corrections"]),
            usable_from=document["usable_from"],
            rolled_up=document.get("rolled_up"),
        )

    def to_document(self) -> Document:
        """Return what is stored."""
        return {
            "_id": self.book,
            "running_balances": self.running_balances,
            "fields": list(self.fields),
            "corrections": Int64(self.corrections),
            "usable_from": self.usable_from,
            "rolled_up": None if self.rolled_up is None else dict(self.rolled_up),
        }


def kept_alike(one: BookState, other: BookState) -> bool:
    """Whether two states of a book ask the same of whoever posts."""
    return one.running_balances == other.running_balances and one.fields == other.fields


def dimension_fields(dimensions: Sequence[str], model: type[Transaction]) -> tuple[str, ...]:
    """Return where legs of *model* store these dimensions: a field of their own, or under meta."""
    own = custom_stored_names(model)
    return tuple(name if name in own else f"meta.{name}" for name in dimensions)

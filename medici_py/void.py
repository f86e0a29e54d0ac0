"""Voiding: what the text becomes and what the reversing legs are.

Source: medici 7.4, ``src/Book.ts`` (void) and ``src/helper/``; meta is copied whole here, where medici
drops some names, so that a reversal restores every balance however it is asked for.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import Int64, ObjectId

from medici_py.documents import Transaction, custom_stored_names, journal_defaults, stored_names
from medici_py.driver import Document
from medici_py.entry_rules import EntryRules
from medici_py.errors import TransactionError
from medici_py.money import MAX_DOUBLE_WHOLE, decimal_from_stored
from medici_py.object_ids import new_object_id

VOID = "[VOID]"
UNVOID = "[UNVOID]"
REVOID = "[REVOID]"

_NEXT_TAG = ((VOID, UNVOID), (UNVOID, REVOID), (REVOID, UNVOID))


def void_text(reason: str | None, memo: str | None) -> str:
    """Return the text that becomes ``void_reason`` of a voided journal and memo of its reversal.

    A reason that is not empty is the text. Without one it comes from the memo: ``Rent`` gives
    ``[VOID] Rent``, that gives ``[UNVOID] Rent``, then ``[REVOID] Rent``, then ``[UNVOID] Rent`` again.
    """
    if reason:
        return reason
    if not memo:
        return VOID
    for tag, following in _NEXT_TAG:
        if memo.startswith(tag):
            return following + memo.removeprefix(tag)
    return f"{VOID} {memo}"


@dataclass(frozen=True, slots=True)
class Reversal:
    """The journal that reverses another one.

    Attributes:
        id: Its journal id.
        text: Its memo, and the reason stored on the voided journal.
        date: Effective date.
        recorded_at: Recorded time.
        correlation_id: What the voided journal shares with those that belong with it, if anything.
    """

    id: ObjectId
    text: str
    date: dt.datetime
    recorded_at: dt.datetime
    correlation_id: str | None = None

    def journal_document(self, leg_ids: Iterable[ObjectId], rules: EntryRules) -> Document:
        """Return the journal as it is stored."""
        document = {
            "_id": self.id,
            "memo": self.text,
            "_transactions": list(leg_ids),
            "datetime": self.date,
            "book": rules.book,
            **journal_defaults(rules.journal_model),
        }
        if self.correlation_id is not None:
            document["correlation_id"] = self.correlation_id
        return document


def reversal_documents(
    reversal: Reversal, journal: Mapping[str, Any], legs: Sequence[Mapping[str, Any]], rules: EntryRules
) -> list[Document]:
    """Return the legs of *reversal* as they are stored: those of *journal*, sides swapped.

    Amounts keep their sign and their stored digits; a leg with both sides becomes two, one of zero is
    left out. Fields that are neither ours nor the book's model's move into meta.

    Raises:
        TransactionError: If every leg is zero, so that there is nothing to reverse.
        UnreadableDocumentError: If a leg cannot be read as one.
    """
    for leg in legs:
        Transaction.from_document(leg)
    documents = [
        _reversing_leg(reversal, journal, leg, rules, **{side: amount})
        for leg in legs
        for side, amount in (("debit", _stored_side(leg, "credit")), ("credit", _stored_side(leg, "debit")))
        if amount
    ]
    if not documents:
        raise TransactionError(
            f"Failure to save journal: journal {journal['_id']} in book {rules.book!r} has only legs of "
            "zero, so there is nothing to reverse. It is left as it was."
        )
    return documents


def _reversing_leg(
    reversal: Reversal,
    journal: Mapping[str, Any],
    leg: Mapping[str, Any],
    rules: EntryRules,
    *,
    debit: Any = Int64(0),  # noqa: B008 - immutable
    credit: Any = Int64(0),  # noqa: B008 - immutable
) -> Document:
    document: Document = {} if rules.server_ids else {"_id": new_object_id()}
    document |= {
        "_journal": reversal.id,
        "account_path": leg["account_path"],
        "accounts": leg["accounts"],
        "book": rules.book,
        "credit": credit,
        "datetime": reversal.date,
        "debit": debit,
        "memo": reversal.text,
        "timestamp": reversal.recorded_at,
        "_original_journal": journal["_id"],
    }
    document |= {name: leg[name] for name in leg if name in custom_stored_names(rules.transaction_model)}
    meta = dict(leg.get("meta") or {}) | {
        name: leg[name] for name in leg if name not in stored_names(rules.transaction_model)
    }
    if meta:
        document["meta"] = meta
    return document


def _stored_side(leg: Mapping[str, Any], side: str) -> Any:
    """Return one side of a stored leg so that its reversal cancels it to the last digit; None for zero."""
    value = leg.get(side)
    if value is None:
        return None
    amount = decimal_from_stored(value)
    if not amount:
        return None
    if isinstance(value, int) or (isinstance(value, float) and _is_safe_whole(value)):
        return Int64(int(value))
    return value


def _is_safe_whole(value: float) -> bool:
    return value.is_integer() and abs(value) <= MAX_DOUBLE_WHOLE

"""Idempotency keys: what makes two entries under one key the same entry.

Stored in ``medici_py_keys`` as ``{_id: {book, key}, journal: ObjectId, digest: binary, date: date|null}``
in the transaction of the journal: its ``_id`` makes a key unique, whatever Node's ``syncIndexes()`` drops.
"""

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import bson
from bson import Int64, ObjectId
from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions

from medici_py.documents import Transaction
from medici_py.money import decimal_from_stored

KEYS = "medici_py_keys"

Document: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EntryKey:
    """The key of an entry that is being posted.

    Attributes:
        text: The key.
        digest: Of everything a repeat must have in common with the first entry but the date.
        date: The effective date, if the caller gave one.
    """

    text: str
    digest: bytes
    date: dt.datetime | None

    def document(self, book: str, journal: ObjectId) -> Document:
        """Return what is stored for it."""
        return {
            "_id": key_id(book, self.text),
            "journal": journal,
            "digest": self.digest,
            "date": self.date,
        }


@dataclass(frozen=True, slots=True)
class UsedKey:
    """A key under which a journal stands."""

    journal: ObjectId
    digest: bytes
    date: dt.datetime | None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "UsedKey":
        """Read a stored key."""
        date = document["date"]
        # mongomock gives dates without their zone.
        date = date.replace(tzinfo=dt.UTC) if date is not None and date.tzinfo is None else date
        return cls(document["journal"], bytes(document["digest"]), date)

    def is_repeated_by(self, key: EntryKey) -> bool:
        """Whether an entry under *key* is the one that stands."""
        return self.digest == key.digest and self.date == key.date


def key_id(book: str, text: str) -> Document:
    """Return the ``_id`` under which a key is stored."""
    return {"book": book, "key": text}


@dataclass(frozen=True, slots=True)
class LegContent:
    """What a caller decides about a leg.

    Attributes:
        account: Parts joined with ``:``.
        debit: Amount on the debit side.
        credit: Amount on the credit side.
        extra: Everything else, top-level fields and meta.
    """

    account: str
    debit: Decimal
    credit: Decimal
    extra: Mapping[str, Any]

    def __str__(self) -> str:
        side = f"credit {self.credit:f}" if self.credit else f"debit {self.debit:f}"
        return f"{side} on {self.account}" + (f" with {dict(self.extra)!r}" if self.extra else "")


def content_digest(
    memo: str,
    original_journal: ObjectId | None,
    legs: Iterable[LegContent],
    codec_options: CodecOptions[Any] = DEFAULT_CODEC_OPTIONS,
    *,
    header: Mapping[str, Any] | None = None,
) -> bytes:
    """Return a digest that entries share if memo, accounts, sides, amounts and extra keys are the same.

    The order of legs and of keys does not matter, nor does the width in which MongoDB stores an integer.

    Args:
        memo: The entry's.
        original_journal: The journal that it follows from.
        legs: What was decided about each leg.
        codec_options: How values become BSON.
        header: `JournalHeader.content`, where the entry has a header; the digest of others is what it was
            before there were any.
    """
    encoded = sorted(_encoded(leg, codec_options) for leg in legs)
    content: Document = {"version": 1, "memo": memo, "original": original_journal, "legs": encoded}
    if header:
        content["header"] = bson.encode(_ordered(header), codec_options=codec_options)
    return hashlib.sha256(bson.encode(content)).digest()


def _encoded(leg: LegContent, codec_options: CodecOptions[Any]) -> bytes:
    return bson.encode(
        {
            "account": leg.account,
            "debit": f"{leg.debit:f}",
            "credit": f"{leg.credit:f}",
            "extra": _ordered(leg.extra),
        },
        codec_options=codec_options,
    )


def _ordered(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _ordered(value[key]) for key in sorted(value)}
        case list():
            return [_ordered(item) for item in value]
        case Int64():
            return int(value)  # MongoDB's own width of a number that is the same
        case _:
            return value


_NOT_EXTRA = Transaction.default_stored_names


def stored_content(leg: Mapping[str, Any], journal_memo: str) -> LegContent:
    """Return what was decided about a stored leg, as far as it shows."""
    extra: Document = {name: value for name, value in leg.items() if name not in _NOT_EXTRA}
    if leg.get("memo", "") != journal_memo:
        extra["memo"] = leg.get("memo")
    meta = dict(leg.get("meta") or {})
    if meta:
        extra["meta"] = meta
    return LegContent(
        account=leg["accounts"],
        debit=decimal_from_stored(leg.get("debit") or 0),
        credit=decimal_from_stored(leg.get("credit") or 0),
        extra=extra,
    )


def difference_text(
    *,
    memo: str,
    legs: Sequence[LegContent],
    date: dt.datetime | None,
    used: UsedKey,
    first_memo: str,
    first_legs: Sequence[LegContent],
    header: Mapping[str, Any] | None = None,
    first_header: Mapping[str, Any] | None = None,
) -> str:
    """Say how an entry differs from the one that stands under its key."""
    found: list[str] = []
    if memo != first_memo:
        found.append(f"memo {memo!r} instead of {first_memo!r}")
    mine, theirs = (Counter(str(leg) for leg in side) for side in (legs, first_legs))
    if more := list((mine - theirs).elements()):
        found.append(f"has {', '.join(more)}")
    if less := list((theirs - mine).elements()):
        found.append(f"lacks {', '.join(less)}")
    found += _header_differences(header or {}, first_header or {})
    if date != used.date:
        found.append(f"date {_shown(date)} instead of {_shown(used.date)}")
    return "; ".join(found) or "a value of another type, or another original journal"


def _header_differences(header: Mapping[str, Any], first: Mapping[str, Any]) -> list[str]:
    names = dict.fromkeys((*header, *first))
    pairs = ((name, header.get(name, "none"), first.get(name, "none")) for name in names)
    return [f"{name} {mine} instead of {theirs}" for name, mine, theirs in pairs if mine != theirs]


def _shown(date: dt.datetime | None) -> str:
    return "none" if date is None else date.isoformat()

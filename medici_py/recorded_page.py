"""Pages of journals in the order of their recorded time, found by their legs. Pure.

The index gives legs by recorded time only, and within one millisecond in no order that another server shares.
So a page ends with a whole millisecond and is sorted here; only a millisecond that is more than a page by
itself is read in the order of journals.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medici_py.durable_position import JournalKey, Recovery

Document = Mapping[str, Any]

# Legs whose writer died before it wrote a journal may name none, and pages of them would lead nowhere. The
# usual "$type" would let through lists, too.
_IN_ORDER = {
    "$and": [{"$eq": [{"$type": "$_journal"}, "objectId"]}, {"$eq": [{"$type": "$timestamp"}, "date"]}]
}

_FIRST_INSTANT = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class RecordedPage:
    """Journals in order; ``last`` if none follow."""

    keys: tuple[JournalKey, ...]
    last: bool


def legs_after(
    books: Collection[str], recovery: Recovery, after: JournalKey | None, *, until: dt.datetime | None
) -> dict[str, Any]:
    """Return a filter for the legs that a recovery has still to look at; each names a journal and a time.

    Args:
        books: Names of the books.
        recovery: Where it begins.
        after: The last journal looked at.
        until: The greatest recorded time; None for no bound.
    """
    recorded: dict[str, Any] = {"$gte": recovery.since or _FIRST_INSTANT}
    beyond: dict[str, Any] = {}
    if after is not None:
        recorded["$gte"] = after.recorded_at
        later = {"timestamp": {"$gt": after.recorded_at}}
        beyond["$or"] = [later, {"_journal": {"$gt": after.journal_id}}]
    if until is not None:
        recorded["$lte"] = until
    return {"book": {"$in": sorted(books)}, "timestamp": recorded, **beyond, "$expr": _IN_ORDER}


def page_of(legs: Sequence[Document], limit: int) -> RecordedPage | None:
    """Return the journals of *legs*, which are the first *limit* by recorded time.

    None if they are of one millisecond, which may have more.
    """
    if len(legs) < limit:
        return RecordedPage(_keys(legs), last=True)
    newest = legs[-1]["timestamp"]
    whole = [leg for leg in legs if leg["timestamp"] != newest]
    return RecordedPage(_keys(whole), last=False) if whole else None


def crowded_page(legs: Sequence[Document]) -> RecordedPage:
    """Return the journals of *legs*, which are the first of one millisecond by journal."""
    return RecordedPage(_keys(legs), last=False)


def begins_at(legs: Iterable[Document], recovery: Recovery) -> dt.datetime | None:
    """Return the recorded time at which a recovery meets the journal of *legs* first.

    All legs of a journal have one recorded time, unless another writer gave them several.
    """
    since = recovery.since or _FIRST_INSTANT
    times = [leg["timestamp"] for leg in legs if isinstance(leg.get("timestamp"), dt.datetime)]
    return min((time for time in times if time >= since), default=None)


def _keys(legs: Iterable[Document]) -> tuple[JournalKey, ...]:
    return tuple(JournalKey(*key) for key in sorted({(leg["timestamp"], leg["_journal"]) for leg in legs}))

"""What can never be booked as it is, set aside with its reason, so that everything else goes on."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from pymongo import UpdateOne

from medici_py.instants import to_millisecond
from stablesats.trades.trade_collections import TradeDocuments
from stablesats.trades.trade_documents import QuarantineFields
from stablesats.trades.trade_source import MalformedItem

_ONE_REASON_CHARACTERS: Final = 1_000


async def set_aside(
    documents: TradeDocuments,
    items: Iterable[MalformedItem],
    *,
    at: datetime,
    session: Any = None,
) -> int:
    """Keep *items* in the quarantine, each once a source, line and text.

    Args:
        documents: Of the database.
        items: What is wrong.
        at: Now; a thing that is there already keeps the time it was first seen.
        session: Joins this session's transaction.

    Returns:
        How many were not there before.
    """
    writes = [_insert_once(_row(item, at)) for item in items]
    if not writes:
        return 0
    collection = documents.quarantine.get_pymongo_collection()
    answer = await collection.bulk_write(writes, ordered=False, session=session)
    return answer.upserted_count


def _insert_once(row: QuarantineFields) -> UpdateOne:
    fields = row.model_dump(by_alias=True, exclude_none=True)
    return UpdateOne({"_id": fields.pop("_id")}, {"$setOnInsert": fields}, upsert=True)


def _row(item: MalformedItem, at: datetime) -> QuarantineFields:
    what = "\0".join((item.place.source, str(item.place.line), item.text))
    return QuarantineFields(
        _id=hashlib.sha256(what.encode("utf-8", errors="replace")).hexdigest(),
        source=item.place.source,
        line=item.place.line,
        text=item.text,
        reason=item.reason[:_ONE_REASON_CHARACTERS],
        trade_id=item.trade_id,
        traceparent=item.traceparent,
        first_seen=to_millisecond(at),
    )

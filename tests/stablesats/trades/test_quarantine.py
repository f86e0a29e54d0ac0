"""What is set aside is there once, with its place, its text and its reason."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from stablesats.trades import MalformedItem, Place
from stablesats.trades.quarantine import set_aside
from stablesats.trades.trade_collections import TradeDocuments
from stablesats.trades.trade_documents import QUARANTINE

NOW = datetime(2026, 9, 2, tzinfo=UTC)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NONSENSE = MalformedItem(Place("/trades.jsonl", 7), "nonsense", "not JSON")


async def test_item_is_kept_with_all_that_is_known(
    documents: TradeDocuments, rows_of: Callable[[str], Any]
) -> None:
    """For whoever has to mend it."""
    assert await set_aside(documents, [NONSENSE], at=NOW) == 1
    [row] = await rows_of(QUARANTINE)
    del row["_id"]
    row["first_seen"] = row["first_seen"].replace(tzinfo=UTC)
    assert row == {
        "source": "/trades.jsonl",
        "line": 7,
        "text": "nonsense",
        "reason": "not JSON",
        "first_seen": NOW,
    }


async def test_item_is_kept_with_its_trade_and_trace(
    documents: TradeDocuments, rows_of: Callable[[str], Any]
) -> None:
    """Where they could be told."""
    await set_aside(documents, [replace(NONSENSE, trade_id="t1", traceparent=PARENT)], at=NOW)
    [row] = await rows_of(QUARANTINE)
    assert (row["trade_id"], row["traceparent"]) == ("t1", PARENT)


async def test_repeat_keeps_the_first(documents: TradeDocuments, rows_of: Callable[[str], Any]) -> None:
    """Also from several processes at once; other text on the same line is another item."""
    other = MalformedItem(NONSENSE.place, "other nonsense", "not JSON")
    later = NOW + timedelta(hours=1)
    await set_aside(documents, [NONSENSE], at=NOW)
    new = await asyncio.gather(*(set_aside(documents, [NONSENSE, other], at=later) for _ in range(4)))
    assert sum(new) == 1
    rows = await rows_of(QUARANTINE)
    assert sorted(row["text"] for row in rows) == ["nonsense", "other nonsense"]
    assert min(row["first_seen"] for row in rows).replace(tzinfo=UTC) == NOW


async def test_nothing_is_nothing(documents: TradeDocuments) -> None:
    """No write at all."""
    assert await set_aside(documents, [], at=NOW) == 0

"""Stores what a source delivers: trades, requests to take some back, and what is neither."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Final, assert_never

import structlog

from stablesats.lifecycle import unless_stopped, wait_or_stop
from stablesats.tracing import continued
from stablesats.trades.counts import TradeCounts
from stablesats.trades.quarantine import set_aside
from stablesats.trades.receiving import Conflict
from stablesats.trades.trade_collections import TradeDocuments
from stablesats.trades.trade_source import (
    Delivery,
    MalformedItem,
    ReceivedTrade,
    RevertRequest,
    SourceItem,
    TradeSource,
)
from stablesats.trades.trade_store import TradeStore, trade_text

_log = structlog.get_logger(__name__)

_PAYMENTS_PAUSE_SECS: Final = 0.05
"""Time between two looks at whether payments have become free."""


class TradeIntake:
    """Takes in what one source delivers. Several processes may take in the same source at once."""

    def __init__(
        self,
        source: TradeSource,
        documents: TradeDocuments,
        *,
        counts: TradeCounts,
        now: Callable[[], datetime],
        on_stored: Callable[[], None] = lambda: None,
    ) -> None:
        """Take in *source*.

        Args:
            source: Where the trades come from.
            documents: Of the database.
            counts: Counted up here.
            now: The clock of what is written down.
            on_stored: Called after each delivery: there may be something to book.
        """
        self._source = source
        self._documents = documents
        self._store = TradeStore(documents)
        self._counts = counts
        self._now = now
        self._on_stored = on_stored

    async def run(self, stop: asyncio.Event) -> None:
        """Take in deliveries until the source ends or *stop* is set.

        A delivery under way when *stop* is set is stored to its end, unless it waits for payments to become
        free: then it is delivered again at the next start. After an error it may be run again: it goes on
        after the last delivery that was stored.
        """
        positions = await self._store.positions(self._source.name)
        async with aclosing(self._source.deliveries(positions)) as deliveries:
            while not stop.is_set():
                delivery = await unless_stopped(_next(deliveries), stop)
                if delivery is None:
                    return
                await self.take_in(delivery, stop)

    async def take_in(self, delivery: Delivery, stop: asyncio.Event | None = None) -> None:
        """Store *delivery*, then its position. Safe to repeat.

        A trade whose payments belong to one that is to be taken back waits here until that is done, by
        whichever process; if *stop* is set meanwhile, the position is left as it was.
        """
        trades, reverts, malformed = _sorted(delivery.items)
        at = self._now()
        # Reverts first: the payments of a trade that is to be taken back will be free for its correction.
        new_reverts = await self._store.request_reverts(reverts, at=at)
        stored = replayed = 0
        while trades:
            received = await self._store.receive(trades, at=at)
            stored, replayed = stored + received.stored, replayed + received.replayed
            malformed += [_conflicting(trade, conflict) for trade, conflict in received.conflicts]
            trades = list(received.waiting)
            if trades:
                self._on_stored()
                if await wait_or_stop(stop or asyncio.Event(), _PAYMENTS_PAUSE_SECS):
                    return
        await self._set_aside(malformed, at)
        if delivery.position is not None:
            await self._store.save_position(self._source.name, delivery.stream, delivery.position)
        self._counts.received += stored
        self._counts.replayed += replayed
        self._counts.quarantined += len(malformed)
        if stored or new_reverts:
            self._on_stored()

    async def _set_aside(self, malformed: list[MalformedItem], at: datetime) -> None:
        await set_aside(self._documents, malformed, at=at)
        for item in malformed:
            with continued(item.traceparent):
                _log.warning(
                    "set aside",
                    action="trade-quarantined",
                    source=item.place.source,
                    line=item.place.line,
                    trade=item.trade_id,
                    reason=item.reason,
                )


def _conflicting(received: ReceivedTrade, conflict: Conflict) -> MalformedItem:
    trade = received.trade
    return MalformedItem(received.place, trade_text(trade), str(conflict), trade.id, received.traceparent)


async def _next(deliveries: AsyncGenerator[Delivery, None]) -> Delivery | None:
    return await anext(deliveries, None)


def _sorted(
    items: tuple[SourceItem, ...],
) -> tuple[list[ReceivedTrade], list[RevertRequest], list[MalformedItem]]:
    trades: list[ReceivedTrade] = []
    reverts: list[RevertRequest] = []
    malformed: list[MalformedItem] = []
    for item in items:
        match item:
            case ReceivedTrade():
                trades.append(item)
            case RevertRequest():
                reverts.append(item)
            case MalformedItem():
                malformed.append(item)
            case _:
                assert_never(item)
    return trades, reverts, malformed

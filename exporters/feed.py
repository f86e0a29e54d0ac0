"""Keeps the dealer's books in memory and hands out snapshots of them."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Final, Protocol, Self

from exporters.snapshot import LedgerSnapshot, LiveLedger, StreamStatus, read_figures, read_stream

CONFIRM_INTERVAL_SECS: Final = 1.0
"""How often a live stream is noted as such, so how exact ``confirmed_at`` is."""


class LedgerConnection(LiveLedger, Protocol):
    """Live balances that still have to be loaded: entering loads them and opens the change stream."""

    async def __aenter__(self) -> Self:
        """Load the balances and open the stream."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the stream."""


class LedgerFeed:
    """Loads the ledger once, follows its changes, and answers with a snapshot at any time.

    A snapshot is taken from memory, in one go on the event loop: it never waits and never mixes two
    states of the ledger. One feed serves any number of readers; `run` belongs to one task.

    Args:
        ledger: The live balances, not yet entered.
        now: The current time, timezone-aware.
    """

    def __init__(self, ledger: LedgerConnection, *, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._now = now
        self._loaded = False
        self._confirmed_at: datetime | None = None

    async def run(self) -> None:
        """Load the ledger, then follow it until cancelled.

        Raises:
            MediciError: If the ledger cannot be loaded or its change stream cannot be opened.
        """
        async with self._ledger:
            self._loaded = True
            while True:
                self._confirm()
                await asyncio.sleep(CONFIRM_INTERVAL_SECS)

    def snapshot(self) -> LedgerSnapshot:
        """Answer what is known now; without figures until the ledger was loaded.

        Raises:
            LedgerDamagedError: If a balance is not a whole number of minor units.
        """
        if not self._loaded:
            return LedgerSnapshot(stream=StreamStatus(), figures=None)
        self._confirm()
        stream = read_stream(self._ledger, confirmed_at=self._confirmed_at)
        return LedgerSnapshot(stream=stream, figures=read_figures(self._ledger))

    def _confirm(self) -> None:
        if self._ledger.is_live:
            self._confirmed_at = self._now()

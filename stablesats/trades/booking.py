"""The loop that books what was received and takes back what has to be, reverts first.

Level-triggered: a round looks at what is stored, not at what woke it. Any number of processes may run it on
one database; they share the work as it comes. Nothing blocks anything else: what the ledger refuses for good
is set aside, what fails in passing is tried again.
"""

import asyncio
import random
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from pymongo.errors import PyMongoError

from medici_py import TemplateError, TransactionError, mongo_transaction
from stablesats.ledger.facade import Ledger
from stablesats.ledger.reverted_journal import RevertedJournalError
from stablesats.ledger.templates import AmountError
from stablesats.tracing import continued
from stablesats.trades.counts import TradeCounts
from stablesats.trades.errors import TradeBusyError, TradeReferenceError
from stablesats.trades.postponed import PostponedTrades, batches_of
from stablesats.trades.trade_collections import TradeDocuments
from stablesats.trades.trade_poster import RevertOutcome, TradePoster
from stablesats.trades.trade_store import TradeStore

_log = structlog.get_logger(__name__)

TRADES_A_TRANSACTION: Final = 32
TRANSACTIONS_AT_ONCE: Final = 4
_SHARES: Final = 8

LOOK_FOR_TRADES_EVERY_SECS: Final = 60.0
"""Time between two looks for the trades of requests that wait for them.

Whoever stores a trade tells its request. This is for the trades of those who died in between.
"""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of booking came to.

    Attributes:
        done: Trades booked and requests done, by this round.
        left: Trades and requests that were found besides; somebody else may be at them.
    """

    done: int
    left: int

    @property
    def is_last(self) -> bool:
        """Whether there was nothing to do."""
        return not self.done and not self.left


class TradeBooking:
    """Books trades and takes them back, a round at a time."""

    def __init__(
        self,
        ledger: Ledger,
        documents: TradeDocuments,
        *,
        counts: TradeCounts,
        now: Callable[[], datetime],
        choose: Callable[[int], int] = random.randrange,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Book into *ledger*.

        Args:
            ledger: The dealer's books, prepared.
            documents: Of the same database.
            counts: Counted up here.
            now: The clock of what is written down.
            choose: A number from 0 to below its argument: the share that this process takes of what all book.
            clock: Seconds of a clock that only goes forward.
        """
        self._client = ledger.database.client
        self._store = TradeStore(documents)
        self._poster = TradePoster(ledger, documents, now=now)
        self._counts = counts
        self._now = now
        self._choose = choose
        self._clock = clock
        self._looked_for_trades_at = clock()
        self._others_book = False
        self._busy_trades = PostponedTrades()
        self._busy_reverts = PostponedTrades()
        self._turns = asyncio.Semaphore(TRANSACTIONS_AT_ONCE)

    async def round(self) -> Round:
        """Take back and book some of what is there.

        Some rounds begin with a look for trades whose requests were not told that they came.

        Raises:
            MediciError, PyMongoError: If it failed in passing. What was done stays done.
        """
        await self._look_for_trades()
        reverts = await self._store.settleable_reverts(TRADES_A_TRANSACTION + len(self._busy_reverts))
        self._busy_reverts.keep_only(reverts)
        due = self._busy_reverts.ready(reverts, self._clock())
        settled = await asyncio.gather(*(self._settle(trade_id) for trade_id in due), return_exceptions=True)
        oldest, trades = await self._pick()
        batches = batches_of(trades, self._busy_trades, largest=TRADES_A_TRANSACTION)
        booked = await asyncio.gather(
            *(self._book_or_postpone(batch) for batch in batches), return_exceptions=True
        )
        # Only now: one that fails must not keep the others from being tried.
        done = _sum_or_raise([*settled, *booked])
        self._others_book = _sum_or_raise(booked) < len(trades)
        return Round(done=done, left=len(reverts) + oldest - done)

    async def _look_for_trades(self) -> None:
        if self._clock() - self._looked_for_trades_at >= LOOK_FOR_TRADES_EVERY_SECS:
            await self._store.mark_all_trades_known()
            self._looked_for_trades_at = self._clock()

    async def _pick(self) -> tuple[int, list[str]]:
        """How many trades were found, and the oldest; a share of more of them while others book, too."""
        share = TRADES_A_TRANSACTION * TRANSACTIONS_AT_ONCE
        shares = _SHARES if self._others_book else 1
        oldest = await self._store.unbooked(share * shares + len(self._busy_trades))
        self._busy_trades.keep_only(oldest)
        ready = self._busy_trades.ready(oldest, self._clock())
        return len(oldest), share_of(ready, self._choose(shares), shares)[:share]

    async def _book_or_postpone(self, trade_ids: Sequence[str]) -> int:
        async with self._turns:
            try:
                return await self._book(trade_ids)
            except TradeBusyError:
                self._busy_trades.postpone(trade_ids, self._clock())
                return 0

    async def _book(self, trade_ids: Sequence[str]) -> int:
        """Book *trade_ids*; one that is refused does not keep its neighbours from it."""
        try:
            booked = await self._poster.book(trade_ids)
        except (AmountError, TemplateError, TransactionError, TradeReferenceError) as error:
            if _is_passing(error):
                raise
            if len(trade_ids) == 1:
                await self._reject(trade_ids[0], error)
                return 1
            half = len(trade_ids) // 2
            return await self._book(trade_ids[:half]) + await self._book(trade_ids[half:])
        self._counts.booked += booked
        return booked

    async def _settle(self, trade_id: str) -> int:
        """Do what the request about *trade_id* asks for; answer 0 if somebody else is at it."""
        async with self._turns:
            try:
                outcome = await self._poster.settle_revert(trade_id)
            except TradeBusyError:
                self._busy_reverts.postpone([trade_id], self._clock())
                return 0
            except (AmountError, TemplateError, TransactionError, RevertedJournalError) as error:
                if _is_passing(error):
                    raise
                await self._reject_revert(trade_id, error)
                return 1
        self._counts.reverted += outcome is RevertOutcome.REVERTED
        self._counts.cancelled += outcome is RevertOutcome.CANCELLED
        return 1

    async def _reject(self, trade_id: str, error: Exception) -> None:
        traceparent = await mongo_transaction(
            self._client,
            lambda session: self._store.reject(trade_id, str(error), at=self._now(), session=session),
        )
        self._counts.quarantined += 1
        with continued(traceparent):
            _log.error("trade refused", action="trade-quarantined", trade=trade_id, reason=str(error))

    async def _reject_revert(self, trade_id: str, error: Exception) -> None:
        traceparent = await mongo_transaction(
            self._client,
            lambda session: self._store.reject_revert(trade_id, str(error), at=self._now(), session=session),
        )
        self._counts.quarantined += 1
        with continued(traceparent):
            _log.error("revert refused", action="revert-quarantined", trade=trade_id, reason=str(error))


def share_of(trade_ids: Sequence[str], number: int, shares: int) -> list[str]:
    """Those of *trade_ids* that fall into share *number* of *shares*: the same ones in every process.

    So two processes that pick different shares never meet, and two that pick the same one meet once.
    """
    return [each for each in trade_ids if zlib.crc32(each.encode()) % shares == number]


def _sum_or_raise(outcomes: Sequence[int | BaseException]) -> int:
    total = 0
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        total += outcome
    return total


def _is_passing(error: Exception) -> bool:
    """Whether the ledger only says that MongoDB failed it, rather than that the trade cannot be booked."""
    return isinstance(error.__cause__, PyMongoError)

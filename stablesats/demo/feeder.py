"""Feeds the recorded payments into the books as user trades, in step with the replayed prices."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final

from stablesats.trades import Trades, UserTrade
from stablesats.trades.payment_flow import DealerQuote, ScheduledPayment, trade_for

CONCURRENT_BOOKINGS: Final = 16
MOST_AT_ONCE: Final = 200
"""Payments fed in one go: on a slow machine the feeder falls behind, and its caller still gets to look."""


class TradeFeeder:
    """Books every payment that is due at the prices of the moment.

    Attributes:
        booked: Trades handed to the books and acknowledged.
        skipped: Payments that made no trade: worth less than a cent, or beyond what users hold.
        users_cents: Dollars that users hold by the feeder's own count, to know what they can spend.
    """

    def __init__(self, trades: Trades, payments: Iterator[ScheduledPayment], *, end: datetime) -> None:
        """Feed *payments*, which come in the order of their time and all before *end*, into *trades*."""
        self._trades = trades
        self._end = end
        self._payments = payments
        self._next = next(payments, None)
        self.booked = 0
        self.skipped = 0
        self.users_cents = 0

    @property
    def finished(self) -> bool:
        """Whether every payment has been fed."""
        return self._next is None

    async def feed(self, at: datetime, quote: DealerQuote, *, everything: bool = False) -> None:
        """Book the payments that are due by *at*, at *quote*, but not more than `MOST_AT_ONCE`.

        Returns when they are in the books. With *everything* what is left is due too: the recorded prices
        have come to their end.
        """
        slots = asyncio.Semaphore(CONCURRENT_BOOKINGS)

        async def book(trade: UserTrade) -> None:
            async with slots:
                await self._trades.book(trade)
                self.booked += 1

        due = islice(self._due(self._end if everything else at, quote), MOST_AT_ONCE)
        outcomes = await asyncio.gather(*(book(trade) for trade in due), return_exceptions=True)
        for failure in outcomes:
            if failure is not None:
                raise failure

    def _due(self, at: datetime, quote: DealerQuote) -> Iterator[UserTrade]:
        while self._next is not None and self._next.at <= at:
            due = self._next
            self._next = next(self._payments, None)
            trade = trade_for(due.payment, at=due.at, quote=quote, users_cents=self.users_cents)
            if trade is None:
                self.skipped += 1
                continue
            self.users_cents += trade.cents if trade.user_buys_usd else -trade.cents
            yield trade

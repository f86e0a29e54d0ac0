"""The dealer's books against a model of a few numbers, whatever is done to them in whatever order."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from pymongo import AsyncMongoClient

from medici_py import Journal, JournalAlreadyVoidedError, JournalTakenBackError
from medici_py.embedded import EmbeddedMongo
from stablesats.ledger import (
    Account,
    AllocationReconciler,
    AmountError,
    Currency,
    DealerBalances,
    Ledger,
    LiabilityBalances,
    VoidedJournalError,
    VoidedReversalError,
)

T = TypeVar("T")

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
amounts = st.integers(1, 10**12)
signed = st.integers(-(10**9), 10**9)


@dataclass(frozen=True)
class Trade:
    """A trade as it was booked."""

    buys: bool
    sats: int
    cents: int
    journal: Journal

    @property
    def signed_cents(self) -> int:
        return self.cents if self.buys else -self.cents

    @property
    def signed_sats(self) -> int:
        return self.sats if self.buys else -self.sats


class LedgerMachine(RuleBasedStateMachine):
    """Does to the books what the dealer may do, and keeps count."""

    trades: Bundle[Trade] = Bundle("trades")

    def __init__(self, uri: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.client = self.run(self._connect(uri))
        self.ledger = Ledger(self.client[f"machine_{secrets.token_hex(8)}"])
        self.run(self.ledger.prepare())
        self.reconciler = AllocationReconciler(self.ledger, now=lambda: NOON)
        self.unallocated = self.okex = self.bitfinex = self.wallet = self.exposure = 0
        self.quoted_cents = self.quoted_sats = self.quotes = 0
        self.reversals: dict[Any, Journal] = {}
        self.voided: set[Any] = set()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def _connect(self, uri: str) -> AsyncMongoClient[dict[str, Any]]:
        return AsyncMongoClient(uri)

    async def _book(self, buys: bool, sats: int, cents: int) -> Trade:
        book = self.ledger.user_buys_usd if buys else self.ledger.user_sells_usd
        return Trade(buys, sats, cents, await book(sats=sats, cents=cents, at=NOON))

    def _count(self, trade: Trade, times: int = 1) -> None:
        self.unallocated += times * trade.signed_cents
        self.wallet += times * trade.signed_sats

    @rule(target=trades, buys=st.booleans(), sats=amounts, cents=amounts)
    def book(self, buys: bool, sats: int, cents: int) -> Trade:
        trade = self.run(self._book(buys, sats, cents))
        self._count(trade)
        return trade

    @rule(burst=st.lists(st.tuples(st.booleans(), amounts, amounts), min_size=2, max_size=5))
    def book_and_allocate_at_once(self, burst: list[tuple[bool, int, int]]) -> None:
        async def all_at_once() -> list[Any]:
            return await asyncio.gather(
                *(self._book(*trade) for trade in burst), *(self.reconciler.reconcile() for _ in range(2))
            )

        for done in self.run(all_at_once()):
            if isinstance(done, Trade):
                self._count(done)
        self.reconcile()

    @rule(trade=trades)
    def revert(self, trade: Trade) -> None:
        """Also one that was taken back before: nothing happens then."""
        take_back = self.ledger.revert_user_buys_usd if trade.buys else self.ledger.revert_user_sells_usd
        work = take_back(sats=trade.sats, cents=trade.cents, at=NOON, reverted=trade.journal.id)
        reversal = self.reversals.get(trade.journal.id)
        if trade.journal.id in self.voided or (reversal is not None and reversal.id in self.voided):
            with pytest.raises((VoidedJournalError, VoidedReversalError)):
                self.run(work)
            return
        journal = self.run(work)
        assert journal.replayed is (reversal is not None)
        if reversal is None:
            self._count(trade, -1)
            self.reversals[trade.journal.id] = journal
        else:
            assert journal.id == reversal.id

    @rule(trade=trades, the_reversal=st.booleans())
    def void(self, trade: Trade, the_reversal: bool) -> None:
        """By hand: the trade, or the reversal that took it back."""
        reversal = self.reversals.get(trade.journal.id)
        if the_reversal and reversal is None:
            return
        voided, times = (reversal, 1) if the_reversal and reversal is not None else (trade.journal, -1)
        work = self.ledger.stablesats.void(voided.id)
        if voided.id in self.voided or (reversal is not None and voided is trade.journal):
            with pytest.raises((JournalAlreadyVoidedError, JournalTakenBackError)):
                self.run(work)
            return
        self.run(work)
        self._count(trade, times)
        self.voided.add(voided.id)

    @rule(okex=signed, bitfinex=signed)
    def allocate(self, okex: int, bitfinex: int) -> None:
        adjust = self.ledger.adjust_exchange_allocation(okex_cents=okex, bitfinex_cents=bitfinex, at=NOON)
        if okex == bitfinex == 0:
            with pytest.raises(AmountError):
                self.run(adjust)
            return
        self.run(adjust)
        self.okex += okex
        self.bitfinex += bitfinex
        self.unallocated -= okex + bitfinex

    @rule()
    def reconcile(self) -> None:
        self.run(self.reconciler.reconcile())
        self.okex += self.unallocated
        self.unallocated = 0

    @rule(exposure=signed)
    def mirror(self, exposure: int) -> None:
        journal = self.run(self.ledger.mirror_okx_position(exposure, at=NOON))
        assert (journal is None) is (exposure == self.exposure)
        self.exposure = exposure

    @rule(buys=st.booleans(), sats=amounts, cents=amounts)
    def accept_quote(self, buys: bool, sats: int, cents: int) -> None:
        self.quotes += 1
        accept = self.ledger.buy_usd_quote_accepted if buys else self.ledger.sell_usd_quote_accepted
        for _ in range(2):
            self.run(accept(sats=sats, cents=cents, at=NOON, quote_id=str(self.quotes)))
        self.quoted_cents += cents if buys else -cents
        self.quoted_sats += sats if buys else -sats

    @rule(sats=st.integers(-5, 0), cents=amounts)
    def refuse(self, sats: int, cents: int) -> None:
        with pytest.raises(AmountError):
            self.run(self.ledger.user_buys_usd(sats=sats, cents=cents, at=NOON))

    @invariant()
    def liability_is_what_was_traded_however_it_is_allocated(self) -> None:
        found = self.run(self.ledger.liability_balances())
        assert found == LiabilityBalances(
            unallocated_cents=self.unallocated,
            okex_allocation_cents=self.okex,
            bitfinex_allocation_cents=self.bitfinex,
            total_cents=self.unallocated + self.okex + self.bitfinex,
        )
        assert self.run(self.ledger.balances()) == DealerBalances(
            users_liability_cents=found.total_cents,
            unallocated_cents=self.unallocated,
            okex_allocation_cents=self.okex,
            btc_wallet_sats=self.wallet,
            signed_exposure_cents=self.exposure,
        )
        assert self.run(self.ledger.hedge_target_cents()) == self.unallocated + self.okex

    def teardown(self) -> None:
        self.run(self._audit())
        self.run(self.client.drop_database(self.ledger.database.name))
        self.run(self.client.close())
        self.runner.close()

    async def _audit(self) -> None:
        """Quotes are where they belong, every currency of a book adds up to zero, no journal is at fault."""
        rows = await self.ledger.account_balances()
        by_account = {(account, currency): balance for account, currency, balance in rows}
        assert by_account[Account.QUOTES_LIABILITIES, Currency.USD] == self.quoted_cents
        assert by_account[Account.QUOTES_ASSETS, Currency.BTC] == -self.quoted_sats
        sums: Counter[tuple[str, str]] = Counter()
        for account, currency, balance in rows:
            sums[account.book, currency] += balance
        assert set(sums.values()) == {0}
        for book in self.ledger.books:
            assert (await book.verify()).clean


def test_books_agree_with_the_model(mongodb: EmbeddedMongo) -> None:
    """After every step, and the auditor finds nothing at the end."""
    run_state_machine_as_test(
        lambda: LedgerMachine(mongodb.uri),  # type: ignore[arg-type]  # any factory will do
        settings=settings(
            max_examples=settings.default.max_examples // 8,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

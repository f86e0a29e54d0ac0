"""A trade's journal is taken back once: by its reversal, or by a void, never by both."""

import asyncio
from datetime import UTC, datetime

import pytest

from medici_py import (
    Journal,
    JournalAlreadyVoidedError,
    JournalTakenBackError,
    take_back,
    template_entry,
)
from stablesats.ledger import Ledger, RevertedJournalError, VoidedJournalError, VoidedReversalError
from stablesats.ledger.templates import REVERT_USER_BUYS_USD, TradeAmounts

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["buys", "sells"])
async def test_reverted_journal_is_not_voided(ledger: Ledger, kind: str) -> None:
    """The error names the reversal, which may be voided: then the trade counts again."""
    book, revert = getattr(ledger, f"user_{kind}_usd"), getattr(ledger, f"revert_user_{kind}_usd")
    trade = await book(sats=10, cents=500, at=NOON)
    owed = (await ledger.balances()).users_liability_cents
    reversal = await revert(sats=10, cents=500, at=NOON, reverted=trade.id)
    with pytest.raises(JournalTakenBackError, match="not taken back twice") as raised:
        await ledger.stablesats.void(trade.id, "by hand")
    assert raised.value.taken_back_by == reversal.id
    assert (await ledger.balances()).users_liability_cents == 0
    await ledger.stablesats.void(reversal.id, "not that one")
    assert (await ledger.balances()).users_liability_cents == owed
    assert (await ledger.stablesats.verify()).clean


async def test_journal_whose_reversal_was_voided_is_not_reverted_again(ledger: Ledger) -> None:
    """A late repeat must not undo what somebody did by hand; what reverses the reversal may be voided."""
    trade = await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
    reversal = await ledger.revert_user_buys_usd(sats=10, cents=500, at=NOON, reverted=trade.id)
    again = await ledger.stablesats.void(reversal.id, "by hand")
    with pytest.raises(VoidedReversalError, match=f"void what reverses {reversal.id}") as raised:
        await ledger.revert_user_buys_usd(sats=10, cents=500, at=NOON, reverted=trade.id)
    assert (raised.value.journal_id, raised.value.reversal_id) == (trade.id, reversal.id)
    with pytest.raises(JournalTakenBackError):
        await ledger.stablesats.void(trade.id)
    assert await ledger.hedge_target_cents() == 500
    await ledger.stablesats.void(again.id)
    assert await ledger.hedge_target_cents() == 0
    assert (await ledger.stablesats.verify()).clean


async def test_journal_that_an_entry_took_back_is_not_reverted(ledger: Ledger) -> None:
    """Whoever did it did not do it as the dealer does."""
    trade = await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
    amounts = TradeAmounts(sats=10, cents=500)
    by_hand = template_entry(ledger.stablesats, REVERT_USER_BUYS_USD, amounts, key="by hand")
    taker = await take_back(ledger.stablesats, trade.id, by_hand)
    with pytest.raises(RevertedJournalError, match=f"journal {taker.id} has taken it back already"):
        await ledger.revert_user_buys_usd(sats=10, cents=500, at=NOON, reverted=trade.id)
    assert await ledger.hedge_target_cents() == 0


async def test_reverts_and_voids_at_once_take_back_once(ledger: Ledger, elsewhere: Ledger) -> None:
    """From two clients that share nothing: either one void, or one reversal that every revert gets."""
    for _ in range(4):
        trade = await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
        outcomes = await asyncio.gather(
            *(one.stablesats.void(trade.id) for one in (ledger, elsewhere) for _ in range(2)),
            *(
                one.revert_user_buys_usd(sats=10, cents=500, at=NOON, reverted=trade.id)
                for one in (ledger, elsewhere)
                for _ in range(2)
            ),
            return_exceptions=True,
        )
        posted = {one.id for one in outcomes if isinstance(one, Journal)}
        refused = {type(one) for one in outcomes if not isinstance(one, Journal)}
        assert len(posted) == 1
        assert refused in ({JournalTakenBackError}, {JournalAlreadyVoidedError, VoidedJournalError})
        assert await ledger.hedge_target_cents() == 0
    assert (await ledger.stablesats.verify()).clean

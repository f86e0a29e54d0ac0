"""Reading a snapshot out of live balances."""

from decimal import Decimal

import pytest

from exporters.snapshot import AccountBalance, BookImbalance, read_figures, read_stream
from stablesats.ledger.balances import DealerBalances, LedgerDamagedError
from stablesats.ledger.chart import Account, Currency, NormalSide


def test_trades_and_position_read_as_the_dealers_figures(books) -> None:
    """A user who is owed 500.00 USD and a short of four contracts are what the figures say."""
    books.user_buys_usd(sats=2_500_000, cents=50_000)
    books.mirror_okx_position(-40_000)
    assert read_figures(books).dealer == DealerBalances(
        users_liability_cents=50_000,
        unallocated_cents=50_000,
        okex_allocation_cents=0,
        btc_wallet_sats=2_500_000,
        signed_exposure_cents=-40_000,
    )


def test_every_account_is_read_in_each_of_its_currencies(books) -> None:
    """Eleven accounts, one of them in two currencies: twelve balances, zero where nothing was posted."""
    books.user_buys_usd(sats=7, cents=3)
    accounts = read_figures(books).accounts
    assert len(accounts) == 12
    assert AccountBalance(Account.EXTERNAL_OMNIBUS, Currency.BTC, -7) in accounts
    assert AccountBalance(Account.QUOTES_OMNIBUS, Currency.BTC, 0) in accounts
    assert AccountBalance(Account.QUOTES_OMNIBUS, Currency.USD, 0) in accounts


def test_balanced_books_have_an_imbalance_of_zero_in_every_currency(books) -> None:
    """Zero is served for each currency of each book, also for those without a leg."""
    books.user_buys_usd(sats=7, cents=3)
    assert read_figures(books).imbalances == (
        BookImbalance("Stablesats", Currency.BTC, Decimal(0)),
        BookImbalance("Stablesats", Currency.USD, Decimal(0)),
        BookImbalance("Exchange Position", Currency.USD, Decimal(0)),
    )


def test_differences_of_two_layers_do_not_cancel_out(books) -> None:
    """3 cents too much in one layer and 3 too little in another are 6 cents wrong, not none."""
    books.post(Account.STABLESATS_LIABILITY, NormalSide.CREDIT, 3, Currency.USD, layer="SETTLED")
    books.post(Account.STABLESATS_LIABILITY, NormalSide.DEBIT, 3, Currency.USD, layer="PENDING")
    assert BookImbalance("Stablesats", Currency.USD, Decimal(6)) in read_figures(books).imbalances


def test_pending_legs_are_no_part_of_a_settled_balance(books) -> None:
    """The figures are the settled ones."""
    books.post(Account.STABLESATS_OMNIBUS, NormalSide.DEBIT, 3, Currency.USD, layer="PENDING")
    assert read_figures(books).dealer.users_liability_cents == 0


def test_balance_with_a_fraction_of_a_cent_is_refused(books) -> None:
    """The dealer posts whole minor units only; a fraction is reported, never cut off."""
    books.post(Account.STABLESATS_OMNIBUS, NormalSide.DEBIT, Decimal("0.5"), Currency.USD)
    with pytest.raises(
        LedgerDamagedError, match=r"STABLESATS_OMNIBUS holds -0\.5 cent, which is not a whole"
    ):
        read_figures(books)


def test_stream_status_is_what_the_live_balances_say(books, noon) -> None:
    """Counters and failure pass through unchanged."""
    books.is_live, books.failure, books.restarts = False, "connection closed", 2
    status = read_stream(books, confirmed_at=noon)
    assert (status.is_live, status.failure, status.restarts, status.confirmed_at) == (
        False,
        "connection closed",
        2,
        noon,
    )

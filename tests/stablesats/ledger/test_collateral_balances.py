"""What the balances of the collateral mean, and how they are compared with the exchange."""

from typing import Any

import pytest

from stablesats.ledger import (
    AmountError,
    CollateralAccount,
    CollateralBalances,
    CollateralProfit,
    collateral_difference,
)


def balances(**known: int) -> CollateralBalances:
    """Balances (credit minus debit) of accounts by code; all others are zero."""
    return CollateralBalances.of(lambda account: known.get(account.code, 0))


BOOKED = balances(
    OKEX_FUNDING=-100,
    OKEX_TRADING=-900,
    IN_TRANSIT_TO_OKEX=-30,
    IN_TRANSIT_FROM_OKEX=-70,
    HOT_WALLET_COLLATERAL=1_000,
    ONCHAIN_FEES=-5,
    TRADING_FEES=-15,
    FUNDING_PAYMENTS=20,
    REALISED_PROFIT=100,
)


def test_figures_have_the_signs_of_what_they_mean() -> None:
    """Bitcoin that is there and profit are above zero, costs below."""
    expected = CollateralBalances(
        funding_account_sats=100,
        trading_account_sats=900,
        in_transit_to_okex_sats=30,
        in_transit_from_okex_sats=70,
        given_sats=1_000,
        profit=CollateralProfit(
            trading_fees_sats=-15, funding_payments_sats=20, onchain_fees_sats=-5, realised_profit_sats=100
        ),
    )
    assert expected == BOOKED


def test_assets_are_what_was_given_and_what_it_gained() -> None:
    """100 + 900 + 30 + 70 on one side; 1,000 and -15 + 20 - 5 + 100 on the other."""
    assert (BOOKED.profit.total_sats, BOOKED.assets_sats, BOOKED.equity_sats) == (100, 1_100, 1_100)


def test_every_account_counts_in_exactly_one_figure() -> None:
    """One satoshi on any account moves assets or equity, by one."""
    for account in CollateralAccount:
        found = balances(**{account.code: 1})
        assert sorted((found.assets_sats, found.equity_sats)) in ([-1, 0], [0, 1])


def test_empty_book_holds_nothing() -> None:
    """Where nothing was ever posted every figure is zero."""
    assert (balances().assets_sats, balances().equity_sats, balances().profit.total_sats) == (0, 0, 0)


@pytest.mark.parametrize(
    ("funding_sats", "trading_cash_sats", "message"),
    [
        (100, 900, "reconciled"),
        (90, 900, "OKEX_FUNDING: booked 100 sats, reported 90 sats, difference -10 sats"),
        (100, 901, "OKEX_TRADING: booked 900 sats, reported 901 sats, difference 1 sats"),
        (
            101,  # what one account has too much does not excuse what the other lacks
            899,
            (
                "OKEX_FUNDING: booked 100 sats, reported 101 sats, difference 1 sats; "
                "OKEX_TRADING: booked 900 sats, reported 899 sats, difference -1 sats"
            ),
        ),
    ],
)
def test_difference_names_each_account(funding_sats: int, trading_cash_sats: int, message: str) -> None:
    """Booked, reported and what is between them, to the satoshi."""
    found = collateral_difference(
        BOOKED, reported_funding_sats=funding_sats, reported_trading_cash_sats=trading_cash_sats
    )
    assert str(found) == message
    assert found.is_reconciled is (message == "reconciled")
    assert found.funding_account.difference_sats == funding_sats - 100
    assert found.trading_account.difference_sats == trading_cash_sats - 900
    assert len(found.unreconciled) == message.count("booked")


@pytest.mark.parametrize("unknown", [None, 1.5, True, "100"])
def test_report_that_is_no_whole_number_is_refused(unknown: Any) -> None:
    """What is not known is not zero, and no satoshi is rounded away here."""
    with pytest.raises(AmountError, match="reported_funding_sats must be a whole number of satoshi"):
        collateral_difference(BOOKED, reported_funding_sats=unknown, reported_trading_cash_sats=900)
    with pytest.raises(AmountError, match="reported_trading_cash_sats must be a whole number of satoshi"):
        collateral_difference(BOOKED, reported_funding_sats=100, reported_trading_cash_sats=unknown)

"""The accounts as a table for people: exact, in minor units and in whole ones."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from stablesats.ledger import Account, Currency, StrayAccount
from stablesats.ledger.report import amount_text, print_balances


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (150, Currency.USD, "1.50"),
        (-5, Currency.USD, "-0.05"),
        (123_456_789, Currency.USD, "1,234,567.89"),
        (0, Currency.USD, "0.00"),
        (1, Currency.BTC, "0.00000001"),
        (2_100_000_000_000_000, Currency.BTC, "21,000,000.00000000"),
    ],
)
def test_amount_is_shown_in_whole_units(minor: int, currency: Currency, text: str) -> None:
    """Cents with two places, satoshi with eight."""
    assert amount_text(minor, currency) == text


@given(st.integers(-(2**63), 2**63), st.sampled_from(Currency))
def test_amount_loses_no_digit(minor: int, currency: Currency) -> None:
    """Without its separators the text is the number of minor units."""
    assert int(amount_text(minor, currency).replace(",", "").replace(".", "")) == minor


def test_every_account_has_a_line() -> None:
    """With its book, both amounts and the currency."""
    written = io.StringIO()
    rows = [(Account.STABLESATS_OMNIBUS, Currency.USD, -123_456), (Account.QUOTES_ASSETS, Currency.BTC, 7)]
    print_balances(rows, Console(file=written, width=120))
    _, first, second = written.getvalue().splitlines()
    assert first.split() == ["STABLESATS_OMNIBUS", "Stablesats", "-123,456", "-1,234.56", "USD"]
    assert second.split() == ["QUOTES_ASSETS", "Stablesats", "7", "0.00000007", "BTC"]


@pytest.mark.parametrize("sats", [10**11, 10**12, 10**14, 21 * 10**14])
@pytest.mark.parametrize("width", [40, 80])
def test_narrow_terminal_or_pipe_costs_no_digit(sats: int, width: int) -> None:
    """Lines become longer than the terminal instead; a cut number would be read as another one."""
    written = io.StringIO()
    rows = [(account, currency, -sats) for account in Account for currency in account.currencies]
    print_balances(rows, Console(file=written, width=width))
    lines = [line.split() for line in written.getvalue().splitlines()[1:]]
    assert [(account, minor, whole, currency) for account, *_, minor, whole, currency in lines] == [
        (account.code, f"{-sats:,}", amount_text(-sats, currency), currency.value)
        for account, currency, _ in rows
    ]


def test_account_outside_the_chart_is_shown_as_it_is_called() -> None:
    """Its text is no markup, and a foreign currency has no whole units that we know."""
    written = io.StringIO()
    print_balances([(StrayAccount("[bold]X", "Stablesats"), "EUR", 1_234)], Console(file=written, width=40))
    assert written.getvalue().splitlines()[1].split() == ["[bold]X", "Stablesats", "1,234", "EUR"]

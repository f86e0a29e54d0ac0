"""The dealer's accounts as a table for people."""

from collections.abc import Iterable
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from stablesats.ledger.chart import Account, Currency


def print_balances(rows: Iterable[tuple[Account, Currency, int]], console: Console | None = None) -> None:
    """Print accounts with their balances (credit minus debit), minor units beside whole ones."""
    table = Table(box=None, pad_edge=False)
    table.add_column("account")
    table.add_column("book")
    table.add_column("minor units", justify="right")
    table.add_column("amount", justify="right")
    table.add_column("", justify="left")
    for account, currency, balance in rows:
        table.add_row(
            account.code, account.book, f"{balance:,}", amount_text(balance, currency), currency.value
        )
    (console or Console()).print(table)


def amount_text(minor: int, currency: Currency) -> str:
    """Minor units in whole ones: 150 cents are ``1.50``, 1 satoshi is ``0.00000001``."""
    places = 8 if currency is Currency.BTC else 2
    return f"{Decimal(minor).scaleb(-places):,.{places}f}"

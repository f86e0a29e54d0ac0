"""The dealer's accounts as a table for people."""

from collections.abc import Iterable
from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stablesats.ledger.chart import Account, Currency, StrayAccount
from stablesats.tables import print_whole


def print_balances(
    rows: Iterable[tuple[Account | StrayAccount, Currency | str, int]], console: Console | None = None
) -> None:
    """Print accounts with their balances (credit minus debit), minor units beside whole ones."""
    table = Table(box=None, pad_edge=False)
    table.add_column("account")
    table.add_column("book")
    table.add_column("minor units", justify="right")
    table.add_column("amount", justify="right")
    table.add_column("", justify="left")
    for account, currency, balance in rows:
        table.add_row(
            Text(account.code), account.book, f"{balance:,}", amount_text(balance, currency), Text(currency)
        )
    print_whole(table, console or Console())


def amount_text(minor: int, currency: Currency | str) -> str:
    """Minor units in whole ones: 150 cents are ``1.50``, 1 satoshi is ``0.00000001``.

    Empty for a currency that is not the dealer's: how many make a whole one is not known.
    """
    if not isinstance(currency, Currency):
        return ""
    places = 8 if currency is Currency.BTC else 2
    return f"{Decimal(minor).scaleb(-places):,.{places}f}"

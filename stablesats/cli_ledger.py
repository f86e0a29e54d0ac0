"""What ``stablesats run ledger`` and ``stablesats balances`` do, apart from their options."""

import asyncio
import json

import typer

from stablesats.config import Settings
from stablesats.database import open_database
from stablesats.ledger import Ledger
from stablesats.ledger.chart import is_in_chart
from stablesats.ledger.chart_registry import is_chart_registered
from stablesats.ledger.report import print_balances
from stablesats.ledger_service import LedgerService
from stablesats.trades import TradeSource
from stablesats.trades.trade_documents import QUARANTINE


async def keep_books(settings: Settings, source: TradeSource, stop: asyncio.Event, *, once: bool) -> int:
    """Book what *source* has until *stop* is set, or with *once* until all of it is booked.

    Returns:
        The exit code: 1 if *once* was stopped before the end.
    """
    async with open_database(settings.mongodb_uri.get_secret_value(), settings.database) as database:
        service = LedgerService(Ledger(database), source)
        if not once:
            await service.run(stop, on_ready=lambda: typer.echo("ledger: ready"))
            return 0
        await service.run_once(stop)
        waiting = 0 if stop.is_set() else await service.reverts_waiting()
    counts = service.counts
    typer.echo(
        f"ledger: booked {counts.booked}, replayed {counts.replayed}, reverted {counts.reverted},"
        f" cancelled {counts.cancelled}, quarantined {counts.quarantined}"
    )
    if counts.quarantined:
        typer.echo(f"{counts.quarantined} quarantined: see the collection {QUARANTINE}", err=True)
    if waiting:
        typer.echo(f"{waiting} to be taken back: their trades have not come yet", err=True)
    if stop.is_set():
        typer.echo("error: stopped before all was booked; run it again", err=True)
        return 1
    return 0


async def show_balances(settings: Settings, *, as_json: bool) -> None:
    """Print every account's balance; on standard error what is odd about the database or the accounts."""
    async with open_database(settings.mongodb_uri.get_secret_value(), settings.database) as found:
        rows = await Ledger(found).account_balances()
        if not await is_chart_registered(found):
            typer.echo(f"nobody has prepared the database {found.name!r} yet: is that its name?", err=True)
    if as_json:
        listed = [
            {"account": account.code, "currency": str(currency), "balance_minor": balance}
            for account, currency, balance in rows
        ]
        typer.echo(json.dumps(listed, indent=2))
    else:
        print_balances(rows)
    strays = [
        f"{account.code} in {currency}" for account, currency, _ in rows if not is_in_chart(account, currency)
    ]
    if strays:
        typer.echo(
            f"not in the chart of accounts, so posted by something else: {', '.join(strays)}", err=True
        )

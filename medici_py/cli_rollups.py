"""``medici roll-up``: adding up a book's past, so that questions about it are quick."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from medici_py import cli_output
from medici_py.book import Book
from medici_py.cli_connection import Address, AsJson, BookName, DatabaseName, Uri, ask_book
from medici_py.instants import utc_now
from medici_py.rollups import (
    SETTLE_SECS,
    RollUpProgress,
    RollUpReport,
    drop_rollups,
    read_state,
)
from medici_py.rollups import roll_up as roll_up_book
from medici_py.store import Store


def roll_up(
    uri: Uri,
    book: BookName,
    *,
    database: DatabaseName = None,
    anew: Annotated[
        bool,
        typer.Option(
            "--anew", help="Drop what is rolled up first; the past is slower until it is done again."
        ),
    ] = False,
    settle_secs: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How long ago midnight must be: longer than a transaction and the error of clocks.",
        ),
    ] = SETTLE_SECS,
    as_json: AsJson = False,
) -> None:
    """Add up what was recorded up to the last midnight UTC. Run it daily; others may go on posting."""

    async def ask(book: Book) -> RollUpReport:
        store = Store(book.database)
        state = await read_state(store, book.name)
        if anew:
            await drop_rollups(store, book.name)
        with _shown_progress() as tell:
            return await roll_up_book(
                store,
                state,
                precision=book.settings.precision,
                now=utc_now(),
                settle_secs=settle_secs,
                progress=tell,
            )

    report = ask_book(Address(uri, database, book, shared_with_node=False), ask)
    if as_json:
        typer.echo(cli_output.json_text(asdict(report)))
    else:
        typer.echo(
            cli_output.printable(
                f"Book {book!r} is rolled up to {cli_output.shown_instant(report.before)} UTC: "
                f"{report.legs} legs were added, {report.rows} rows written."
            )
        )


@contextmanager
def _shown_progress() -> Iterator[Callable[[RollUpProgress], None]]:
    """Show on standard error how far the roll-up is, if that is a terminal."""
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("roll-up")

        def tell(now: RollUpProgress) -> None:
            days = f"to {now.before:%Y-%m-%d} of {now.target:%Y-%m-%d}"
            progress.update(task, description=f"roll-up {days}: {now.accounts} accounts")

        yield tell

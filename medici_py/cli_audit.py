"""``medici verify`` and ``medici rebuild``: holding a book against its journals, and mending its balances."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from medici_py import cli_output
from medici_py.book import Book
from medici_py.book_state import BookState, dimension_fields
from medici_py.cli_connection import (
    Address,
    AsJson,
    BookName,
    DatabaseName,
    Uri,
    ask_book,
    fail,
)
from medici_py.differences import Difference
from medici_py.documents import Transaction
from medici_py.rebuild import RebuildProgress, RebuildReport, rebuild_balances
from medici_py.store import Store
from medici_py.verify import VerifyProgress, VerifyReport, verify_book

DIFFERENT = 1
COULD_NOT = 2

MAX_NAMED = 20
"""So many books of a database are named to who has asked for another one."""

Told = Callable[[str, int, int | None], None]
"""Takes what is being done, how much of it is, and of how much."""

Dimensions = Annotated[
    list[str] | None,
    typer.Option(
        "--dimension",
        metavar="NAME",
        help="A dimension of the book, as in Book(dimensions=); those of its running balances if left out. "
        "May be repeated.",
    ),
]


def verify(
    uri: Uri,
    book: BookName,
    *,
    database: DatabaseName = None,
    dimensions: Dimensions = None,
    as_json: AsJson = False,
) -> None:
    """Recompute everything from the journals and name every difference, one a line.

    Ends with status 0 if there is none, 1 if there are some, 2 if it could not be found out: there is no such
    book, for example.
    """

    async def ask(book: Book) -> VerifyReport:
        store = Store(book.database)
        fields = _fields(dimensions, await _known_state(store, book.name))
        with _progress_bar() as tell:

            def told(progress: VerifyProgress) -> None:
                tell(progress.stage.value, progress.done, progress.total)

            return await verify_book(
                store, book.name, precision=book.settings.precision, fields=fields, progress=told
            )

    report = ask_book(Address(uri, database, book, shared_with_node=False), ask, error_status=COULD_NOT)
    if as_json:
        typer.echo(cli_output.json_text(_report_json(report)))
    else:
        for difference in report.differences:
            typer.echo(cli_output.printable(difference.text))
        typer.echo(cli_output.printable(_summary(report)))
    if not report.clean:
        raise typer.Exit(DIFFERENT)


def rebuild(
    uri: Uri,
    book: BookName,
    *,
    running_balances: Annotated[
        bool,
        typer.Option(
            "--running-balances/--no-running-balances",
            help="Whether the book keeps running balances from now on. To begin or to stop, stop all its "
            "writers first.",
        ),
    ] = True,
    database: DatabaseName = None,
    dimensions: Dimensions = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make running balances what the legs give; begin to keep them, or stop. Asks first, unless --yes.

    Ends with status 2 if there is no such book.
    """
    address = Address(uri, database, book, shared_with_node=not running_balances)

    async def look(book: Book) -> BookState | None:
        return await _known_state(Store(book.database), book.name)

    async def ask(book: Book) -> RebuildReport:
        with _progress_bar() as tell:

            def told(progress: RebuildProgress) -> None:
                tell("balances", progress.accounts + progress.dropped, None)

            return await rebuild_balances(
                Store(book.database),
                book.name,
                running_balances=running_balances,
                fields=_fields(dimensions, state),
                precision=book.settings.precision,
                progress=told,
            )

    state = ask_book(address, look)
    if not yes and not _confirmed(_question(book, state, running_balances=running_balances)):
        fail(f"The balances of book {book!r} are as they were.")
    report = ask_book(address, ask)
    if as_json:
        answer = {"accounts": report.accounts, "corrected": report.corrected, "dropped": report.dropped}
        typer.echo(cli_output.json_text({"book": book, **_state_json(report.state), **answer}))
    else:
        typer.echo(cli_output.printable(_done(report)))


async def _known_state(store: Store, book: str) -> BookState | None:
    """Return how *book* is kept, if that is stored; end the command if there is no such book."""
    stored = await store.books.find_one({"_id": book})
    if stored is None and not await _has_entries(store, book):
        books = {*await store.transactions.distinct("book"), *await store.books.distinct("_id")}
        fail(f"there is no book {book!r} in database {store.database.name!r}; {_named(books)}.", COULD_NOT)
    return None if stored is None else BookState.from_document(stored)


async def _has_entries(store: Store, book: str) -> bool:
    of_book = {"book": book}
    # The legs first, which have an index for it.
    return bool(await store.transactions.find_one(of_book) or await store.journals.find_one(of_book))


def _named(books: Iterable[Any]) -> str:
    names = sorted(repr(book) for book in books)
    shown = ", ".join(names[:MAX_NAMED])
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"its books are {shown}{more}" if names else "it has none"


def _fields(dimensions: list[str] | None, state: BookState | None) -> tuple[str, ...]:
    if dimensions:
        return dimension_fields(dimensions, Transaction)
    return state.fields if state is not None else ()


@contextmanager
def _progress_bar() -> Iterator[Told]:
    """Show on standard error how far something is, if that is a terminal; a line for what is being done."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    lines: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def tell(what: str, done: int, total: int | None) -> None:
            if what not in lines:
                lines[what] = progress.add_task(what)
            progress.update(lines[what], completed=done, total=total)

        yield tell


def _summary(report: VerifyReport) -> str:
    checked = (
        f"{report.journals} journals, {report.legs} legs and {report.accounts} running balances of book "
        f"{report.book!r}"
    )
    if report.clean:
        return f"No difference in {checked}."
    unnamed = report.differences_found - len(report.differences)
    more = f", {unnamed} of them not shown" if unnamed else ""
    return f"{report.differences_found} differences in {checked}{more}."


def _report_json(report: VerifyReport) -> dict[str, Any]:
    return {
        "book": report.book,
        "clean": report.clean,
        "journals": report.journals,
        "legs": report.legs,
        "accounts": report.accounts,
        "differences_found": report.differences_found,
        "differences": [_difference_json(difference) for difference in report.differences],
    }


def _difference_json(difference: Difference) -> dict[str, Any]:
    facts = asdict(difference, dict_factory=_without_enums)
    del facts["book"]
    return {"kind": difference.kind, **facts, "text": difference.text}


def _without_enums(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value.value if isinstance(value, Enum) else value for name, value in items}


def _state_json(state: BookState) -> dict[str, Any]:
    return {"running_balances": state.running_balances, "fields": list(state.fields)}


def _question(book: str, state: BookState | None, *, running_balances: bool) -> str:
    keeps = state is not None and state.running_balances
    if keeps and running_balances:
        return f"Rebuild the running balances of book {book!r}? Others may go on posting."
    verb = "Begin to keep" if running_balances else "Drop"
    return f"{verb} the running balances of book {book!r}? All who write to it have to be stopped now."


def _confirmed(question: str) -> bool:
    """Ask on standard error, so that standard output has nothing but the answer."""
    typer.echo(f"{cli_output.printable(question)} [y/N] ", nl=False, err=True)
    return typer.get_text_stream("stdin").readline().strip().lower() in ("y", "yes")


def _done(report: RebuildReport) -> str:
    state = report.state
    if not state.running_balances:
        return f"Book {state.book!r} keeps no running balances; {report.dropped} rows were dropped."
    kept = f" by {', '.join(state.fields)}" if state.fields else ""
    return (
        f"Book {state.book!r} keeps running balances{kept}: {report.corrected} of {report.accounts} were "
        "corrected."
    )

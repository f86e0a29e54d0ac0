"""The commands of ``medici``: each reads its arguments, asks a book, and shows the answer."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from medici_py import cli_output
from medici_py.accounts import covers, split
from medici_py.balances import Balance
from medici_py.book import Book
from medici_py.cli_arguments import parse_from, parse_to, parse_where
from medici_py.cli_audit import rebuild, verify
from medici_py.cli_connection import (
    Address,
    AsJson,
    BookName,
    DatabaseName,
    SharedWithNode,
    Uri,
    ask_book,
    fail,
)
from medici_py.cli_rollups import roll_up
from medici_py.cli_templates import templates
from medici_py.documents import Journal, Transaction
from medici_py.driver import snapshot_session
from medici_py.errors import (
    InvalidQueryError,
    JournalAlreadyVoidedError,
    JournalNotFoundError,
    TransactionError,
)
from medici_py.reports import read_statement

T = TypeVar("T")

# Without decorated tracebacks: they print local variables, the URI's password among them.
app = typer.Typer(
    name="medici",
    help="Look into the books of a medici database, audit them, and void journals.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="KEY=TEXT",
        help="Only legs with this field or meta key; KEY:=JSON for numbers and true. May be repeated.",
    ),
]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="DATE", help="Earliest effective date: 2024-01-31 or ISO 8601 with zone."),
]
To = Annotated[
    str | None,
    typer.Option("--to", metavar="DATE", help="Latest effective date, inclusive; a date means all that day."),
]
Accounts = Annotated[
    list[str] | None,
    typer.Argument(metavar="ACCOUNT", help="Accounts, each with all below it.", show_default=False),
]


@app.command()
def balance(
    uri: Uri,
    book: BookName,
    *,
    accounts: Accounts = None,
    database: DatabaseName = None,
    where: Where = None,
    from_: From = None,
    to: To = None,
    shared_with_node: SharedWithNode = False,
    as_json: AsJson = False,
) -> None:
    """Show balances, credits minus debits: of each account, or of the whole book."""
    dates, conditions = _dates(from_, to), _conditions(where)

    async def ask(book: Book) -> list[tuple[str | None, Balance]]:
        wanted: Sequence[str | None] = accounts or [None]
        async with snapshot_session(book.database.client) as session:
            return [
                (account, await book.balance(account, conditions, **dates, session=session))
                for account in wanted
            ]

    balances = ask_book(Address(uri, database, book, shared_with_node), ask)
    if as_json:
        typer.echo(cli_output.json_text(cli_output.balances_json(balances)))
    else:
        cli_output.print_table(cli_output.balance_table(balances))


@app.command()
def ledger(
    uri: Uri,
    book: BookName,
    *,
    accounts: Accounts = None,
    database: DatabaseName = None,
    where: Where = None,
    from_: From = None,
    to: To = None,
    per_page: Annotated[int, typer.Option(min=1, help="Legs on a page.")] = 50,
    page: Annotated[int, typer.Option(min=1, help="Number of the page.")] = 1,
    reverse: Annotated[bool, typer.Option("--reverse", help="Oldest first.")] = False,
    shared_with_node: SharedWithNode = False,
    as_json: AsJson = False,
) -> None:
    """Show a page of legs, newest first: of these accounts, or of the whole book."""
    dates, conditions = _dates(from_, to), _conditions(where)
    answer = ask_book(
        Address(uri, database, book, shared_with_node),
        lambda book: book.ledger(
            accounts or None, conditions, **dates, per_page=per_page, page=page, reverse=reverse
        ),
    )
    if as_json:
        typer.echo(cli_output.json_text(cli_output.page_json(answer, page=page, per_page=per_page)))
        return
    cli_output.print_table(cli_output.legs_table(answer.results))
    pages = -(-answer.total // per_page)
    typer.echo(f"Page {page} of {pages}: {len(answer.results)} of {answer.total} legs.")


@app.command()
def accounts(
    uri: Uri,
    book: BookName,
    *,
    accounts: Accounts = None,
    database: DatabaseName = None,
    shared_with_node: SharedWithNode = False,
    as_json: AsJson = False,
) -> None:
    """List the accounts that have legs, and those above them, one a line."""
    found = ask_book(
        Address(uri, database, book, shared_with_node),
        lambda book: book.list_accounts(),
    )
    tops = [split(account) for account in accounts or ()]
    names = [name for name in found if not tops or any(covers(top, split(name)) for top in tops)]
    if as_json:
        typer.echo(cli_output.json_text(names))
    else:
        for name in names:
            typer.echo(cli_output.printable(name))


@app.command()
def statement(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Account, with all below it.")],
    uri: Uri,
    book: BookName,
    *,
    database: DatabaseName = None,
    where: Where = None,
    from_: From = None,
    to: To = None,
    shared_with_node: SharedWithNode = False,
    as_json: AsJson = False,
) -> None:
    """Show an account's opening balance, its legs with the balance after each, and its closing balance."""
    dates, conditions = _dates(from_, to), _conditions(where)
    answer = ask_book(
        Address(uri, database, book, shared_with_node),
        lambda book: read_statement(book, account, conditions, **dates),
    )
    if as_json:
        typer.echo(cli_output.json_text(cli_output.statement_json(account, answer)))
    else:
        cli_output.print_table(cli_output.statement_table(answer))


@app.command()
def void(
    journal_id: Annotated[
        str, typer.Argument(metavar="JOURNAL_ID", help="Id of the journal, 24 hexadecimal digits.")
    ],
    uri: Uri,
    book: BookName,
    *,
    database: DatabaseName = None,
    reason: Annotated[str | None, typer.Option(help="Why; made from the memo if left out.")] = None,
    original_date: Annotated[
        bool, typer.Option("--original-date", help="Date the reversal as the journal, not now.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    shared_with_node: SharedWithNode = False,
    as_json: AsJson = False,
) -> None:
    """Void a journal: mark it, and post the journal that reverses it. Asks first, unless --yes."""
    address = Address(uri, database, book, shared_with_node)
    legs = ask_book(address, lambda book: _voidable_legs(book, journal_id))
    if not yes and not _confirmed(journal_id, legs):
        fail(f"Journal {journal_id} is as it was.")

    async def reverse(book: Book) -> Journal:
        return await book.void(journal_id, reason, use_original_date=original_date)

    reversal = ask_book(address, reverse)
    if as_json:
        typer.echo(cli_output.json_text(cli_output.reversal_json(journal_id, reversal)))
    else:
        memo = cli_output.printable(reversal.memo)
        typer.echo(f"Voided {journal_id}. Reversed by {reversal.id}: {memo}")


async def _voidable_legs(book: Book, journal_id: str) -> list[Transaction]:
    """Return the legs of a journal that may be voided from here."""
    try:
        legs = (await book.ledger(extra={"_journal": journal_id}, reverse=True)).results
    except InvalidQueryError as exc:
        raise JournalNotFoundError(journal_id=journal_id, book=book.name) from exc
    if not legs:
        raise JournalNotFoundError(journal_id=journal_id, book=book.name)
    if any(leg.voided for leg in legs):
        raise JournalAlreadyVoidedError(journal_id=journal_id, book=book.name)
    own_fields = sorted({name for leg in legs for name in leg.model_extra or ()})
    if own_fields:
        raise TransactionError(
            f"Journal {journal_id} has legs with fields of a custom schema ({', '.join(own_fields)}). Void "
            "it from the application that declares them; from here its reversal would have them in meta.",
            field=own_fields[0],
        )
    return legs


def _confirmed(journal_id: str, legs: Sequence[Transaction]) -> bool:
    """Ask on standard error, so that standard output has nothing but the answer."""
    cli_output.print_table(cli_output.legs_table(legs), to_stderr=True)
    typer.echo(f"Void journal {journal_id}? [y/N] ", nl=False, err=True)
    return typer.get_text_stream("stdin").readline().strip().lower() in ("y", "yes")


def _dates(from_: str | None, to: str | None) -> dict[str, Any]:
    return {
        "start_date": None if from_ is None else _read("--from", parse_from, from_),
        "end_date": None if to is None else _read("--to", parse_to, to),
    }


def _conditions(where: list[str] | None) -> dict[str, Any]:
    return _read("--where", parse_where, where or [])


def _read(option: str, parse: Callable[[Any], T], text: object) -> T:
    try:
        return parse(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint=option) from exc


app.command()(verify)
app.command()(rebuild)
app.command("roll-up")(roll_up)
app.command()(templates)

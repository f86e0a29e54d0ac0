"""``medici templates``: what kinds of postings a ledger knows, as it describes itself."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.table import Table

from medici_py import cli_output
from medici_py.cli_connection import Address, AsJson, DatabaseName, Uri, ask_book
from medici_py.cli_output import ACCOUNT, CREDIT, DEBIT, Column
from medici_py.template_registry import StoredTemplate, read_templates

CODE = Column("Template")
VERSION = Column("Version", right=True)


def templates(
    uri: Uri,
    *,
    code: Annotated[
        str | None,
        typer.Argument(metavar="CODE", help="Only this template, with its legs.", show_default=False),
    ] = None,
    database: DatabaseName = None,
    as_json: AsJson = False,
) -> None:
    """List the transaction templates that are registered in the database; with CODE, what one posts."""
    # Templates belong to the database. A book is how the other commands get there; this one is never asked.
    address = Address(uri, database, "templates", shared_with_node=False)
    found = ask_book(address, lambda book: read_templates(book.database, code))
    if as_json:
        typer.echo(cli_output.json_text([_template_json(template) for template in found]))
        return
    cli_output.print_table(_templates_table(found))
    if code is not None:
        cli_output.print_table(_legs_table(found))


def _template_json(template: StoredTemplate) -> dict[str, Any]:
    return {
        "code": template.code,
        "version": template.version,
        "description": template.description,
        "id": template.id,
        "fingerprint": template.fingerprint,
        "registered_at": template.registered_at,
        "params": template.definition["params"],
        "samples": template.definition["samples"],
    }


def _templates_table(found: Iterable[StoredTemplate]) -> Table:
    columns = (
        CODE,
        VERSION,
        Column("Params", wraps=True),
        Column("Description", wraps=True),
        Column("Registered (UTC)"),
    )
    rows = (
        (
            template.code,
            str(template.version),
            ", ".join(_shown_param(*param) for param in template.definition["params"].items()),
            template.description,
            cli_output.shown_instant(template.registered_at),
        )
        for template in found
    )
    return cli_output.table_of(columns, rows)


def _shown_param(name: str, param: Mapping[str, Any]) -> str:
    return f"{name}: {param['type']}" + ("" if param["required"] else "?")


def _legs_table(found: Iterable[StoredTemplate]) -> Table:
    columns = (
        VERSION,
        Column("Sample", right=True),
        ACCOUNT,
        DEBIT,
        CREDIT,
        Column("Currency"),
        Column("Layer"),
        Column("Entry type"),
    )
    return cli_output.table_of(columns, (row for template in found for row in _leg_rows(template)))


def _leg_rows(template: StoredTemplate) -> Iterator[Sequence[str]]:
    for number, sample in enumerate(template.definition["samples"], 1):
        for leg in sample["legs"]:
            yield (
                str(template.version),
                str(number),
                leg["account"],
                leg["amount"] if leg["side"] == "debit" else "",
                leg["amount"] if leg["side"] == "credit" else "",
                leg["currency"],
                leg["layer"],
                leg["entry_type"],
            )

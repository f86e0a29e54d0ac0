"""What every command of ``medici`` that asks a book has in common: where that is, and what errors become."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from pydantic import ConfigDict
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError

from medici_py import cli_output
from medici_py.book import Book
from medici_py.documents import Transaction
from medici_py.errors import BookConstructorError, InvalidQueryError, MediciError
from medici_py.mongo_uri import check_deployment

T = TypeVar("T")

ERROR = 1

Uri = Annotated[
    str,
    typer.Option(
        envvar="MONGODB_URI",
        metavar="URI",
        help="MongoDB replica set or sharded cluster; put a password into the variable, not the option.",
    ),
]
DatabaseName = Annotated[
    str | None, typer.Option("--database", metavar="NAME", help="Database; if left out, the one in the URI.")
]
BookName = Annotated[str, typer.Option("--book", metavar="NAME", help="Book.")]
SharedWithNode = Annotated[
    bool, typer.Option("--shared-with-node", help="Node's medici writes this book, too.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table; amounts are exact strings.")]


class _WholeTransaction(Transaction):
    """A leg with whatever else is stored at its top level, in ``model_extra``."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a book is and how it is opened.

    Attributes:
        uri: The server.
        database: The database; the one in the URI if None.
        book: Name of the book.
        shared_with_node: Whether Node's medici writes it, too.
    """

    uri: str
    database: str | None
    book: str
    shared_with_node: bool

    def open(self, client: AsyncMongoClient[dict[str, Any]]) -> Book:
        """Return the book."""
        return Book(
            self.book,
            self._database(client),
            running_balances=not self.shared_with_node,
            transaction_model=_WholeTransaction,
        )

    def _database(self, client: AsyncMongoClient[dict[str, Any]]) -> AsyncDatabase[dict[str, Any]]:
        if self.database is not None:
            return client[self.database]
        try:
            return client.get_default_database()
        except ConfigurationError as exc:
            raise typer.BadParameter(
                "needed, because the URI names no database", param_hint="--database"
            ) from exc


def ask_book(address: Address, ask: Callable[[Book], Awaitable[T]], *, error_status: int = ERROR) -> T:
    """Ask a book; whatever is wrong becomes one line on standard error and the exit status."""
    try:
        check_deployment(address.uri)
        return asyncio.run(_ask(address, ask))
    except (InvalidQueryError, BookConstructorError) as exc:
        raise typer.BadParameter(str(exc)) from exc
    except MediciError as exc:
        fail(str(exc), error_status)
    except OperationFailure as exc:
        fail(str((exc.details or {}).get("errmsg", exc)), error_status)
    except PyMongoError as exc:
        fail(str(exc), error_status)


async def _ask(address: Address, ask: Callable[[Book], Awaitable[T]]) -> T:
    async with AsyncMongoClient[dict[str, Any]](address.uri) as client:
        return await ask(address.open(client))


def fail(message: str, status: int = ERROR) -> NoReturn:
    """Say *message* in one line on standard error, and end the command."""
    typer.echo(f"medici: {cli_output.printable(' '.join(message.split()))}", err=True)
    raise typer.Exit(status)

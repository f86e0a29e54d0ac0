"""``medici roll-up``, as a person or a script meets it."""

import asyncio
import datetime as dt
import json
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer
from pymongo import AsyncMongoClient, MongoClient
from typer.testing import CliRunner, Result

from medici_py import Book, init_models
from medici_py.cli_rollups import roll_up
from medici_py.embedded import EmbeddedMongo
from medici_py.rollup_rows import ROLLUPS

OK, ERROR, USAGE = 0, 1, 2
LONG_AGO = dt.datetime(2024, 3, 5, 12, tzinfo=dt.UTC)

Command = Callable[..., Result]


@pytest.fixture
def database(mongodb: EmbeddedMongo) -> Iterator[str]:
    """A database with a payment of long ago in ``MainBook``, and a book without running balances."""
    name = f"medici_cli_rollups_{secrets.token_hex(6)}"

    async def post() -> None:
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            await init_models(client[name])
            for book in (
                Book("MainBook", client[name], clock=lambda: LONG_AGO),
                Book("Shared", client[name], running_balances=False),
            ):
                await book.entry("Rent").debit("Assets:Cash", 5).credit("Income", 5).commit()

    asyncio.run(post())
    yield name
    with MongoClient[dict[str, Any]](mongodb.uri) as client:
        client.drop_database(name)


@pytest.fixture
def medici(mongodb: EmbeddedMongo, database: str) -> Command:
    """Run the command on that database."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("roll-up")(roll_up)

    def run(*arguments: str, book: str = "MainBook") -> Result:
        address = ["--uri", mongodb.uri, "--database", database, "--book", book]
        return CliRunner().invoke(app, [*address, *arguments])

    return run


@pytest.fixture
def rows(mongodb: EmbeddedMongo, database: str) -> Iterator[Any]:
    """The rows of roll-ups there."""
    with MongoClient[dict[str, Any]](mongodb.uri) as client:
        yield client[database][ROLLUPS]


def test_book_is_rolled_up_once(medici: Command, rows: Any) -> None:
    """The second run finds nothing to do, unless it is told to begin anew."""
    first = medici()
    assert (first.exit_code, first.stderr) == (OK, "")
    said = r"Book 'MainBook' is rolled up to \d{4}-\d\d-\d\d 00:00:00 UTC: 2 legs were added, 24 rows written\.\n"
    assert re.fullmatch(said, first.stdout)
    assert "0 legs were added, 0 rows" in medici().stdout
    rows.update_many({}, {"$set": {"notes": 99}})
    assert "2 legs were added, 24 rows" in medici("--anew").stdout
    assert rows.count_documents({}) == 24
    assert rows.count_documents({"notes": 99}) == 0


def test_json_is_for_programs(medici: Command) -> None:
    """Instants are ISO 8601 in UTC."""
    answer = json.loads(medici("--json", "--settle-secs", "0").stdout)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00\.000Z", answer.pop("before"))
    assert answer == {"book": "MainBook", "legs": 2, "rows": 24}


@pytest.mark.parametrize("book", ["Shared", "Unknown"])
def test_book_without_running_balances_is_refused(medici: Command, book: str) -> None:
    """One line says why and what to do."""
    refused = medici(book=book)
    assert refused.exit_code == ERROR
    assert refused.stderr.startswith(f"medici: Book '{book}' keeps no running balances")
    assert refused.stderr.count("\n") == 1


def test_negative_settling_is_refused(medici: Command) -> None:
    """Nothing may be rolled up before it is recorded."""
    assert medici("--settle-secs", "-1").exit_code == USAGE

"""``medici templates``, as a person or a script meets it."""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from pymongo import AsyncMongoClient, MongoClient
from typer.testing import CliRunner, Result

from medici_py import (
    Layer,
    Side,
    TemplateLeg,
    TemplateParams,
    TransactionTemplate,
    init_models,
    register_templates,
)
from medici_py.cli_commands import app
from medici_py.embedded import EmbeddedMongo

OK, ERROR, USAGE = 0, 1, 2

Command = Callable[..., Result]


class Deposit(TemplateParams):
    wallet: str
    sats: int
    note: str | None = None


def deposit_legs(params: Deposit) -> list[TemplateLeg]:
    return [
        TemplateLeg(
            account=account,
            side=side,
            amount=params.sats,
            currency="BTC",
            layer=Layer.PENDING,
            entry_type=f"DEPOSIT_{kind}",
        )
        for account, side, kind in (
            ("Outside", Side.DEBIT, "DR"),
            (f"Wallets:{params.wallet}", Side.CREDIT, "CR"),
        )
    ]


DEPOSIT = TransactionTemplate(
    code="DEPOSIT",
    version=1,
    description="A \x1b[31mdeposit.",
    params=Deposit,
    legs=deposit_legs,
    samples=[Deposit(wallet="w1", sats=1000)],
    id=UUID(int=7),
)


@pytest.fixture(scope="module")
def database(mongodb: EmbeddedMongo) -> Iterator[str]:
    """A database with one template."""
    name = f"medici_cli_templates_{secrets.token_hex(6)}"

    async def register() -> None:
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            await init_models(client[name])
            await register_templates(client[name], [DEPOSIT])

    asyncio.run(register())
    yield name
    with MongoClient[dict[str, Any]](mongodb.uri) as client:
        client.drop_database(name)


@pytest.fixture
def medici(mongodb: EmbeddedMongo, database: str) -> Command:
    """Run ``medici templates`` on that database."""

    def run(*arguments: str, database: str | None = database) -> Result:
        where = [] if database is None else ["--database", database]
        return CliRunner().invoke(
            app, ["templates", "--uri", mongodb.uri, *where, *arguments], env={"COLUMNS": "200"}
        )

    return run


def rows(result: Result) -> list[list[str]]:
    """Return the cells of what is printed, without rules and empty lines."""
    lines = (line for line in result.stdout.splitlines() if line.strip(" ─"))
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_table_lists_every_version(medici: Command) -> None:
    """Params with their types, a question mark after those that may be left out; escapes are shown as such."""
    result = medici()
    assert (result.exit_code, result.stderr) == (OK, "")
    heading, row = rows(result)
    assert heading == ["Template", "Version", "Params", "Description", "Registered (UTC)"]
    assert row[:-1] == ["DEPOSIT", "1", "note: None | str?, sats: int, wallet: str", "A \\x1b[31mdeposit."]


def test_code_shows_the_legs_on_the_samples(medici: Command) -> None:
    """What one posting of it looks like."""
    _, _, heading, *legs = rows(medici("DEPOSIT"))
    assert heading == [
        "Version",
        "Sample",
        "Account",
        "Debit",
        "Credit",
        "Currency",
        "Layer",
        "Entry type",
    ]
    assert legs == [
        ["1", "1", "Outside", "1000", "BTC", "PENDING", "DEPOSIT_DR"],
        ["1", "1", "Wallets:w1", "1000", "BTC", "PENDING", "DEPOSIT_CR"],
    ]


def test_json_has_the_whole_definition(medici: Command) -> None:
    """For programs, and to compare two databases."""
    (template,) = json.loads(medici("--json").stdout)
    assert template.pop("registered_at").endswith("Z")
    described = DEPOSIT.describe()
    assert template == {
        "code": "DEPOSIT",
        "version": 1,
        "description": "A \x1b[31mdeposit.",
        "id": "00000000-0000-0000-0000-000000000007",
        "fingerprint": DEPOSIT.fingerprint(),
        "params": described["params"],
        "samples": described["samples"],
    }
    assert json.loads(medici("DEPOSIT", "--json").stdout)[0]["code"] == "DEPOSIT"


def test_unknown_code_is_one_line_on_standard_error(medici: Command) -> None:
    """It names the known ones."""
    result = medici("deposit")
    assert (result.exit_code, result.stdout) == (ERROR, "")
    assert result.stderr.startswith("medici: No template 'deposit' is registered in database ")
    assert result.stderr.endswith("known: DEPOSIT.\n")
    assert result.stderr.count("\n") == 1


def test_empty_database_has_no_templates(medici: Command) -> None:
    """A heading, or an empty list."""
    absent = f"medici_absent_{secrets.token_hex(6)}"
    assert rows(medici(database=absent)) == [
        ["Template", "Version", "Params", "Description", "Registered (UTC)"]
    ]
    assert json.loads(medici("--json", database=absent).stdout) == []


def test_database_is_needed_where_the_uri_names_none(medici: Command) -> None:
    """As with every command."""
    result = medici(database=None)
    assert result.exit_code == USAGE
    assert "--database" in result.stderr

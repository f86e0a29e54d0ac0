"""``medici verify`` and ``medici rebuild``, as a person or a script meets them."""

import asyncio
import json
import os
import pty
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.database import Database
from typer.testing import CliRunner, Result

from medici_py import Book, init_models
from medici_py.book_state import BookState
from medici_py.cli_audit import COULD_NOT, DIFFERENT, MAX_NAMED
from medici_py.cli_commands import app
from medici_py.embedded import EmbeddedMongo

OK, ERROR, USAGE = 0, 1, 2


@pytest.fixture
def bank(mongodb: EmbeddedMongo) -> Iterator[Database[dict[str, Any]]]:
    """A database with two books by currency, two journals in each; of one the balances are not running."""
    name = f"medici_cli_audit_{secrets.token_hex(6)}"

    async def post() -> None:
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            await init_models(client[name])
            for title, running_balances in (("Main", True), ("Shared", False)):
                async with Book(
                    title, client[name], dimensions={"currency": "USD"}, running_balances=running_balances
                ) as book:
                    for amount in (5, "2.5"):
                        await (
                            book.entry("Rent")
                            .debit("Assets:\tCash", amount)
                            .credit("Income", amount)
                            .commit()
                        )

    asyncio.run(post())
    with MongoClient[dict[str, Any]](mongodb.uri) as client:
        yield client[name]
        client.drop_database(name)


Medici = Callable[..., Result]


@pytest.fixture
def medici(mongodb: EmbeddedMongo, bank: Database[dict[str, Any]]) -> Medici:
    """Run a command on the book ``Main``, unless another one is given."""

    def run(*arguments: str, stdin: str | None = None) -> Result:
        options = [] if "--book" in arguments else ["--book", "Main"]
        return CliRunner().invoke(
            app,
            [*arguments, *options, "--database", bank.name],
            env={"MONGODB_URI": mongodb.uri, "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "300"},
            input=stdin,
        )

    return run


def change_a_balance(bank: Database[dict[str, Any]]) -> None:
    changed = bank["medici_py_balances"].update_one({"_id.path": ["Income"]}, {"$inc": {"debit": 1}})
    assert changed.modified_count == 1


class TestVerify:
    def test_clean_book_is_status_0(self, medici: Medici) -> None:
        """One line on standard output, and no progress where there is no terminal."""
        result = medici("verify")
        assert (result.exit_code, result.stderr) == (OK, "")
        assert result.stdout == "No difference in 2 journals, 4 legs and 4 running balances of book 'Main'.\n"

    def test_differences_are_status_1_and_a_line_each(
        self, medici: Medici, bank: Database[dict[str, Any]]
    ) -> None:
        """With what is to be done about each."""
        change_a_balance(bank)
        result = medici("verify")
        assert (result.exit_code, result.stderr) == (DIFFERENT, "")
        wrong, summary = result.stdout.splitlines()
        assert wrong == (
            "Book 'Main', running balance of 'Income' ['USD']: its legs give debit 0, credit 7.5, 2 legs, stored "
            "is debit 1, credit 7.5, 2 legs. Run rebuild_balances() (medici rebuild)."
        )
        assert summary == "1 differences in 2 journals, 4 legs and 4 running balances of book 'Main'."

    def test_json_has_the_facts(self, medici: Medici, bank: Database[dict[str, Any]]) -> None:
        """Amounts are strings with all their digits."""
        change_a_balance(bank)
        result = medici("verify", "--json")
        assert result.exit_code == DIFFERENT
        report = json.loads(result.stdout)
        (difference,) = report.pop("differences")
        assert report == {
            "book": "Main",
            "clean": False,
            "journals": 2,
            "legs": 4,
            "accounts": 4,
            "differences_found": 1,
        }
        assert (difference["kind"], difference["account"], difference["values"]) == (
            "WrongRunningBalance",
            ["Income"],
            ["USD"],
        )
        assert difference["expected"] == {"debit": "0", "credit": "7.5", "notes": 2}

    def test_journals_must_balance_in_the_dimensions_that_are_named(
        self, medici: Medici, bank: Database[dict[str, Any]]
    ) -> None:
        """Without them they must all the same, over all."""
        legs = bank["medici_transactions"]
        legs.update_one({"book": "Shared", "credit": 5}, {"$set": {"meta.currency": "EUR"}})
        bank["medici_py_books"].update_one({"_id": "Shared"}, {"$set": {"fields": []}})
        assert medici("verify", "--book", "Shared").exit_code == OK
        result = medici("verify", "--book", "Shared", "--dimension", "currency")
        assert result.exit_code == DIFFERENT
        assert result.stdout.count("in meta.currency 'EUR'") == 1

    @pytest.mark.parametrize("arguments", [["--database", "x.y"], ["--uri", "postgres://127.0.0.1/bank"]])
    def test_what_could_not_be_found_out_is_status_2(
        self, arguments: list[str], mongodb: EmbeddedMongo
    ) -> None:
        """A script must not take it for a difference."""
        result = CliRunner().invoke(
            app, ["verify", "--book", "Main", *arguments], env={"MONGODB_URI": mongodb.uri}
        )
        assert (result.exit_code, result.stdout) == (COULD_NOT, "")
        assert len(result.stderr.splitlines()) == 1

    def test_progress_is_shown_on_a_terminal(
        self, mongodb: EmbeddedMongo, bank: Database[dict[str, Any]]
    ) -> None:
        """On standard error: the answer stays clean."""
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "medici_py", "verify", "--book", "Main", "--database", bank.name]
        process = subprocess.run(
            command,
            env={**os.environ, "MONGODB_URI": mongodb.uri, "TERM": "xterm", "COLUMNS": "120"},
            stdout=subprocess.PIPE,
            stderr=theirs,
            timeout=60,
            check=False,
        )
        os.close(theirs)
        shown = os.read(ours, 100_000).decode(errors="replace")  # it may end within a character
        os.close(ours)
        assert process.returncode == OK
        assert process.stdout.startswith(b"No difference in 2 journals")
        assert "journals and legs" in shown


class TestRebuild:
    def test_asks_first_and_no_means_no(self, medici: Medici, bank: Database[dict[str, Any]]) -> None:
        """Nobody there to answer means no, too."""
        change_a_balance(bank)
        for stdin in ("n\n", ""):
            result = medici("rebuild", stdin=stdin)
            assert (result.exit_code, result.stdout) == (ERROR, "")
            assert (
                "Rebuild the running balances of book 'Main'? Others may go on posting. [y/N]"
                in result.stderr
            )
            assert result.stderr.endswith("medici: The balances of book 'Main' are as they were.\n")
        assert medici("verify").exit_code == DIFFERENT

    def test_yes_mends(self, medici: Medici, bank: Database[dict[str, Any]]) -> None:
        """By the dimensions that the book has."""
        change_a_balance(bank)
        result = medici("rebuild", stdin="y\n")
        assert result.exit_code == OK
        assert (
            result.stdout == "Book 'Main' keeps running balances by meta.currency: 1 of 4 were corrected.\n"
        )
        assert medici("verify").exit_code == OK

    def test_book_begins_to_keep_them(self, medici: Medici) -> None:
        """The question says what that takes."""
        refused = medici("rebuild", "--book", "Shared")
        assert (
            "Begin to keep the running balances of book 'Shared'? All who write to it have" in refused.stderr
        )
        arguments = ("rebuild", "--book", "Shared", "--dimension", "currency", "--yes", "--json")
        result = medici(*arguments)
        assert (result.exit_code, result.stderr) == (OK, "")
        assert json.loads(result.stdout) == {
            "book": "Shared",
            "running_balances": True,
            "fields": ["meta.currency"],
            "accounts": 4,
            "corrected": 4,
            "dropped": 0,
        }
        assert "4 running balances" in medici("verify", "--book", "Shared").stdout

    def test_book_stops_to_keep_them(self, medici: Medici) -> None:
        """Its rows are dropped."""
        refused = medici("rebuild", "--no-running-balances")
        assert "Drop the running balances of book 'Main'? All who write to it have" in refused.stderr
        result = medici("rebuild", "--no-running-balances", "--yes")
        assert result.exit_code == OK
        assert result.stdout == "Book 'Main' keeps no running balances; 4 rows were dropped.\n"
        assert "0 running balances" in medici("verify").stdout

    def test_other_dimensions_are_an_error_in_one_line(self, medici: Medici) -> None:
        """That says how to change them."""
        result = medici("rebuild", "--dimension", "layer", "--yes")
        assert (result.exit_code, result.stdout) == (ERROR, "")
        assert result.stderr.startswith(
            "medici: The running balances of book 'Main' are kept by meta.currency"
        )
        assert len(result.stderr.splitlines()) == 1


def test_wrong_legs_are_named_in_a_book_without_running_balances(
    medici: Medici, bank: Database[dict[str, Any]]
) -> None:
    """Journals are checked in every book; what stands in one cannot steer the terminal."""
    legs = bank["medici_transactions"]
    legs.update_one({"book": "Shared", "credit": 5}, {"$set": {"credit": 6}})
    legs.update_one({"book": "Shared", "debit": 5}, {"$set": {"accounts": "\x1b[31mX"}})
    result = medici("verify", "--book", "Shared")
    assert result.exit_code == DIFFERENT
    assert "debits 5 should equal credits 6 in meta.currency 'USD'" in result.stdout
    assert "\x1b" not in result.stdout
    assert "\\x1b[31mX" in result.stdout


@pytest.mark.parametrize("command", [("verify",), ("verify", "--json"), ("rebuild", "--yes")], ids=" ".join)
def test_book_that_is_not_there_is_status_2(
    command: tuple[str, ...], medici: Medici, bank: Database[dict[str, Any]]
) -> None:
    """A slip is no clean book, and makes none; the books there are are named, in a database without any, too."""
    bank["medici_py_books"].insert_one(BookState("Empty", running_balances=True).to_document())
    before = list(bank["medici_py_books"].find())
    result = medici(*command, "--book", "main")
    assert (result.exit_code, result.stdout) == (COULD_NOT, "")
    assert result.stderr == (
        f"medici: there is no book 'main' in database {bank.name!r}; its books are 'Empty', 'Main', 'Shared'.\n"
    )
    assert list(bank["medici_py_books"].find()) == before
    for name in bank.list_collection_names():
        bank.drop_collection(name)
    assert medici(*command).stderr.endswith("; it has none.\n")


def test_book_of_which_anything_is_stored_is_there(medici: Medici, bank: Database[dict[str, Any]]) -> None:
    """One without entries is clean; journals without legs are its difference."""
    bank["medici_py_books"].insert_one(BookState("Empty", running_balances=True).to_document())
    assert medici("verify", "--book", "Empty").exit_code == OK
    bank["medici_journals"].update_one({"book": "Shared"}, {"$set": {"book": "Torn"}})
    assert medici("verify", "--book", "Torn").exit_code == DIFFERENT


def test_many_books_are_not_all_named(medici: Medici, bank: Database[dict[str, Any]]) -> None:
    """The line stays readable."""
    states = (BookState(f"A{number:03}", running_balances=True) for number in range(MAX_NAMED))
    bank["medici_py_books"].insert_many([state.to_document() for state in states])
    stderr = medici("verify", "--book", "main").stderr
    assert stderr.endswith(f"'A{MAX_NAMED - 1:03}' and 2 more.\n")


@pytest.mark.parametrize("command", ["verify", "rebuild"])
def test_book_has_to_be_named(command: str, mongodb: EmbeddedMongo) -> None:
    """As everywhere."""
    result = CliRunner().invoke(app, [command, "--uri", mongodb.uri])
    assert (result.exit_code, result.stdout) == (USAGE, "")
    assert "--book" in result.stderr

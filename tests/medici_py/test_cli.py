"""The ``medici`` command, as a person or a script meets it."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient, MongoClient
from typer.testing import CliRunner, Result

from medici_py import Book, Transaction, init_models
from medici_py.cli_commands import app
from medici_py.embedded import EmbeddedMongo

OK, ERROR, USAGE = 0, 1, 2
ABSENT_ID = "65f000000000000000000001"

# Never the same twice: MONGODB_URI may name a server that others use.
READ = f"medici_cli_{secrets.token_hex(6)}"
VOIDED = f"medici_cli_void_{secrets.token_hex(6)}"


class WalletTransaction(Transaction):
    wallet_id: str | None = None


async def post_history(uri: str, database: str, *, shared: bool = False) -> dict[str, str]:
    """Post three journals and return their ids by memo."""
    ids: dict[str, str] = {}
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        await init_models(client[database])
        book = Book("MainBook", client[database], running_balances=not shared)
        for memo, date, amount, currency in (
            ("Rent", "2024-01-15", "1000.5", "USD"),
            ("Fee", "2024-02-20T18:00Z", "0.00000001", "BTC"),
            ("\x1b[31mFake", "2024-03-01", "9007199254740993", "USD"),
        ):
            entry = book.entry(memo, date=date).debit("Assets:Cash", amount, {"n": len(memo)})
            journal = await entry.credit("Income:Sales", amount, {"currency": currency}).commit()
            ids[memo] = str(journal.id)
        wallets = Book("Wallets", client[database], transaction_model=WalletTransaction)
        leg_of_wallet = wallets.entry("Custom").debit("A", 1, {"wallet_id": "w1"})
        ids["Custom"] = str((await leg_of_wallet.credit("B", 1).commit()).id)
    return ids


@pytest.fixture(scope="module")
def history(mongodb: EmbeddedMongo) -> Iterator[dict[str, str]]:
    """A database that is only read: journal ids by memo."""
    yield asyncio.run(post_history(mongodb.uri, READ))
    drop(mongodb, READ)


@pytest.fixture
def own_history(mongodb: EmbeddedMongo) -> Iterator[dict[str, str]]:
    """A database to void in."""
    yield asyncio.run(post_history(mongodb.uri, VOIDED))
    drop(mongodb, VOIDED)


@pytest.fixture
def shared_history(mongodb: EmbeddedMongo) -> Iterator[dict[str, str]]:
    """A database to void in, whose book Node's medici writes, too."""
    yield asyncio.run(post_history(mongodb.uri, VOIDED, shared=True))
    drop(mongodb, VOIDED)


def drop(mongodb: EmbeddedMongo, name: str) -> None:
    with MongoClient[dict[str, Any]](mongodb.uri) as client:
        client.drop_database(name)


Medici = Callable[..., Result]


@pytest.fixture
def medici(mongodb: EmbeddedMongo) -> Medici:
    """Run a command on the book ``MainBook``, unless other options are given."""

    def run(*arguments: str, database: str = READ, stdin: str | None = None) -> Result:
        options = [] if "--book" in arguments else ["--book", "MainBook"]
        return CliRunner().invoke(
            app,
            [*arguments, *options, "--database", database],
            env={"MONGODB_URI": mongodb.uri, "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "200"},
            input=stdin,
        )

    return run


def answer(result: Result) -> Any:
    """The JSON on standard output of a command that succeeded, and said nothing else."""
    assert (result.exit_code, result.stderr) == (OK, ""), result.output
    return json.loads(result.stdout)


class TestBalance:
    def test_each_account_has_a_line(self, medici: Medici, history: dict[str, str]) -> None:
        """Descendants included; without account it is the whole book."""
        assert answer(medici("balance", "Assets", "Nothing", "--json")) == [
            {"account": "Assets", "balance": "-9007199254741993.50000001", "notes": 3},
            {"account": "Nothing", "balance": "0", "notes": 0},
        ]
        assert answer(medici("balance", "--json")) == [{"account": None, "balance": "0", "notes": 6}]

    def test_table(self, medici: Medici, history: dict[str, str]) -> None:
        """For people, with the digits in threes."""
        result = medici("balance", "Income")
        assert result.exit_code == OK
        assert result.stdout.splitlines()[-1].split() == ["Income", "9,007,199,254,741,993.50000001", "3"]

    @pytest.mark.parametrize(
        ("options", "balance"),
        [
            (["--where", "currency=BTC"], "0.00000001"),
            (["--where", "currency=EUR"], "0"),
            (["--where", "memo=Rent"], "1000.5"),
            (["--where", "currency=USD", "--where", "memo=Rent"], "1000.5"),
            (["--where", 'currency:={"$ne": "USD"}'], "0"),
            (["--from", "2024-02-01", "--to", "2024-02-29"], "0.00000001"),
            (["--to", "2024-02-19"], "1000.5"),
            (["--to", "2024-02-20"], "1000.50000001"),
            (["--to", "2024-02-20T17:59Z"], "1000.5"),
        ],
    )
    def test_filters_and_dates(
        self, options: list[str], balance: str, medici: Medici, history: dict[str, str]
    ) -> None:
        """A filter only ever means equality; the last day counts until midnight."""
        (found,) = answer(medici("balance", "Income", "--json", *options))
        assert balance == found["balance"]

    def test_number_in_meta_is_asked_for_as_json(self, medici: Medici, history: dict[str, str]) -> None:
        """Text is no number."""
        as_text, as_number = (
            answer(medici("balance", "--json", "--where", where))[0]["notes"] for where in ("n=4", "n:=4")
        )
        assert (as_text, as_number) == (0, 1)


class TestLedger:
    def test_pages_are_newest_first(self, medici: Medici, history: dict[str, str]) -> None:
        """With the number of all legs beside them."""
        page = answer(medici("ledger", "Income", "--per-page", "2", "--page", "2", "--json"))
        assert (page["page"], page["per_page"], page["total"]) == (2, 2, 3)
        (leg,) = page["results"]
        assert {
            "journal": history["Rent"],
            "account": "Income:Sales",
            "debit": "0",
            "credit": "1000.5",
            "datetime": "2024-01-15T00:00:00.000Z",
            "memo": "Rent",
            "meta": {"currency": "USD"},
            "original_journal": None,
            "voided": False,
            "void_reason": None,
        } == {key: value for key, value in leg.items() if key not in ("id", "timestamp")}

    def test_reverse_is_oldest_first(self, medici: Medici, history: dict[str, str]) -> None:
        """And accounts may be several."""
        page = answer(medici("ledger", "Income", "Assets", "--reverse", "--json"))
        assert [leg["memo"] for leg in page["results"]] == ["Rent"] * 2 + ["Fee"] * 2 + ["\x1b[31mFake"] * 2

    def test_table_escapes_what_would_steer_the_terminal(
        self, medici: Medici, history: dict[str, str]
    ) -> None:
        """A memo is text, whatever somebody put into it."""
        result = medici("ledger", "Income", "--per-page", "2")
        assert "\x1b" not in result.stdout
        assert "\\x1b[31mFake" in result.stdout
        assert "2024-02-20 18:00:00" in result.stdout
        assert result.stdout.splitlines()[-1] == "Page 1 of 2: 2 of 3 legs."

    def test_empty_answer(self, medici: Medici, history: dict[str, str]) -> None:
        """Is an answer."""
        assert "Page 1 of 0: 0 of 0 legs." in medici("ledger", "Nothing").stdout


class TestAccounts:
    def test_accounts_with_those_above(self, medici: Medici, history: dict[str, str]) -> None:
        """One a line."""
        result = medici("accounts")
        assert result.stdout.splitlines() == ["Assets", "Assets:Cash", "Income", "Income:Sales"]

    def test_only_those_below_one(self, medici: Medici, history: dict[str, str]) -> None:
        """Part by part: Inc is nothing above Income."""
        assert answer(medici("accounts", "Income", "Inc", "--json")) == ["Income", "Income:Sales"]


class TestStatement:
    def test_opening_lines_and_closing(self, medici: Medici, history: dict[str, str]) -> None:
        """The balance runs from one to the other."""
        statement = answer(
            medici("statement", "Income", "--from", "2024-02-01", "--to", "2024-02-29", "--json")
        )
        assert (
            statement["account"],
            statement["opening_balance"],
            statement["closing_balance"],
        ) == ("Income", "1000.5", "1000.50000001")
        (line,) = statement["lines"]
        assert (line["memo"], line["credit"], line["balance"]) == ("Fee", "0.00000001", "1000.50000001")

    def test_table(self, medici: Medici, history: dict[str, str]) -> None:
        """For people."""
        lines = medici("statement", "Assets:Cash", "--to", "2024-01-31").stdout.splitlines()
        assert lines[-3].split() == ["Opening", "balance", "0"]
        assert [
            "2024-01-15",
            "00:00:00",
            "Assets:Cash",
            "Rent",
            "1,000.5",
            "-1,000.5",
            history["Rent"],
        ] == lines[-2].split()
        assert lines[-1].split() == ["Closing", "balance", "-1,000.5"]


class TestVoid:
    def test_asks_first_and_no_means_no(self, medici: Medici, own_history: dict[str, str]) -> None:
        """The legs are shown with the question, on standard error."""
        result = medici("void", own_history["Rent"], database=VOIDED, stdin="n\n")
        assert (result.exit_code, result.stdout) == (ERROR, "")
        assert "1,000.5" in result.stderr
        assert f"Void journal {own_history['Rent']}? [y/N]" in result.stderr
        assert answer(medici("ledger", "--where", "voided:=true", "--json", database=VOIDED))["total"] == 0

    def test_nobody_to_answer_means_no(self, medici: Medici, own_history: dict[str, str]) -> None:
        """A script has to say --yes."""
        result = medici("void", own_history["Rent"], database=VOIDED)
        assert result.exit_code == ERROR
        assert result.stderr.endswith(f"medici: Journal {own_history['Rent']} is as it was.\n")
        assert answer(medici("ledger", "--json", database=VOIDED))["total"] == 6

    def test_yes_voids(self, medici: Medici, own_history: dict[str, str]) -> None:
        """And says which journal reverses it."""
        voided = medici("void", own_history["Rent"], "--reason", "twice", database=VOIDED, stdin="y\n")
        assert voided.exit_code == OK
        assert f"Voided {own_history['Rent']}. Reversed by " in voided.stdout
        assert voided.stdout.rstrip().endswith(": twice")
        (cash,) = answer(
            medici("balance", "Assets", "--json", "--where", "n:=4", database=VOIDED),
        )
        assert (cash["balance"], cash["notes"]) == ("0", 2)

    def test_option_yes_does_not_ask(self, medici: Medici, own_history: dict[str, str]) -> None:
        """JSON for scripts; the original date on request."""
        arguments = ("void", own_history["Fee"], "--yes", "--original-date", "--json")
        reversal = answer(medici(*arguments, database=VOIDED))
        assert (own_history["Fee"], "[VOID] Fee", "2024-02-20T18:00:00.000Z") == (
            reversal["voided"],
            reversal["memo"],
            reversal["datetime"],
        )

    def test_book_shared_with_node_gets_leg_ids_of_the_server(
        self, medici: Medici, shared_history: dict[str, str], mongodb: EmbeddedMongo
    ) -> None:
        """Node's cached balances count only legs with ids greater than those they have seen."""
        arguments = ("void", shared_history["Rent"], "--yes", "--shared-with-node", "--json")
        reversal = answer(medici(*arguments, database=VOIDED))
        with MongoClient[dict[str, Any]](mongodb.uri) as client:
            legs = client[VOIDED]["medici_transactions"]
            made = {leg["_id"] for leg in legs.find({"memo": reversal["memo"]})}
            assert len(made) == 2
            # The part of an ObjectId that names the process which made it.
            ours = ObjectId().binary[4:9]
        assert ours not in {leg_id.binary[4:9] for leg_id in made}

    @pytest.mark.parametrize("journal_id", [ABSENT_ID, "nonsense"])
    def test_unknown_journal(self, journal_id: str, medici: Medici, history: dict[str, str]) -> None:
        """One line, no question."""
        result = medici("void", journal_id)
        assert (result.exit_code, result.stdout) == (ERROR, "")
        assert (
            f"medici: Journal could not be found. No journal {journal_id} in book 'MainBook'.\n"
            == result.stderr
        )

    def test_journal_voided_before(self, medici: Medici, own_history: dict[str, str]) -> None:
        """Is not voided again."""
        arguments = ("void", own_history["Rent"], "--yes")
        assert medici(*arguments, database=VOIDED).exit_code == OK
        result = medici(*arguments, database=VOIDED)
        assert result.exit_code == ERROR
        assert result.stderr.startswith("medici: Journal already voided.")

    def test_journal_with_a_custom_schema_is_left_to_its_application(
        self, medici: Medici, history: dict[str, str]
    ) -> None:
        """Its reversal would lack the fields that only the application's model knows."""
        result = medici("void", history["Custom"], "--yes", "--book", "Wallets")
        assert result.exit_code == ERROR
        assert "fields of a custom schema (wallet_id)" in result.stderr


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["balance", "--from", "soon"], "--from"),
            (["balance", "--from", "2024-01-01T12:00"], "no time zone"),
            (["balance", "--where", "currency"], "KEY=TEXT"),
            (["balance", "--where", "$or=1"], "operators belong in the value"),
            (["ledger", "--page", "0"], "--page"),
            (["statement"], "ACCOUNT"),
            (["balance", "--book", " "], "Invalid value for name"),
            (["nonsense"], "nonsense"),
        ],
    )
    def test_wrong_usage_is_status_2_and_names_the_mistake(
        self, arguments: list[str], message: str, medici: Medici, history: dict[str, str]
    ) -> None:
        """Nothing on standard output."""
        result = medici(*arguments)
        assert (result.exit_code, result.stdout) == (USAGE, "")
        assert message in " ".join(result.stderr.split())

    def test_database_may_stand_in_the_uri(self, mongodb: EmbeddedMongo, history: dict[str, str]) -> None:
        """Or has to be named."""
        uri = urlsplit(mongodb.uri)
        named, unnamed_uri = uri._replace(path=f"/{READ}").geturl(), uri._replace(path="/").geturl()
        found = CliRunner().invoke(app, ["accounts", "--book", "MainBook", "--uri", named])
        assert "Income:Sales" in found.stdout.splitlines()
        unnamed = CliRunner().invoke(app, ["accounts", "--book", "MainBook", "--uri", unnamed_uri])
        assert (unnamed.exit_code, unnamed.stdout) == (USAGE, "")
        assert "--database" in unnamed.stderr


def run_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own."""
    kept = {name: value for name, value in os.environ.items() if name != "MONGODB_URI"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "medici_py", *arguments],
        env={**kept, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestProcess:
    def test_module_is_the_command(self, mongodb: EmbeddedMongo, history: dict[str, str]) -> None:
        """``python -m medici_py`` reads MONGODB_URI and warns of nothing."""
        outcome = run_process(
            "balance", "Income", "--book", "MainBook", "--database", READ, MONGODB_URI=mongodb.uri
        )
        assert (outcome.returncode, outcome.stderr) == (OK, "")
        assert "9,007,199,254,741,993.50000001" in outcome.stdout

    @pytest.mark.parametrize(
        ("uri", "message"),
        [
            ("mongodb://ann:s3cret@127.0.0.1:1/bank", "cannot use MongoDB at mongodb://***@127.0.0.1:1/bank"),
            ("mongodb://ann:s3cret:x@127.0.0.1:1/bank", "not a MongoDB URI: mongodb://***@127.0.0.1:1/bank"),
            ("postgres://ann:s3cret@127.0.0.1/bank", "not a MongoDB URI: postgres://***@127.0.0.1/bank"),
        ],
    )
    def test_server_that_cannot_be_used_is_one_line_without_the_password(
        self, uri: str, message: str
    ) -> None:
        """Status 1, no traceback."""
        outcome = run_process("balance", "--book", "MainBook", "--uri", uri)
        assert (outcome.returncode, outcome.stdout) == (ERROR, "")
        assert outcome.stderr.startswith(f"medici: {message}")
        assert len(outcome.stderr.splitlines()) == 1
        assert "s3cret" not in outcome.stderr

    def test_letter_that_the_terminal_lacks_is_shown_as_its_escape(
        self, mongodb: EmbeddedMongo, history: dict[str, str]
    ) -> None:
        """Rather than no answer at all."""
        arguments = ("balance", "Käse", "--book", "MainBook", "--database", READ)
        outcome = run_process(*arguments, MONGODB_URI=mongodb.uri, PYTHONIOENCODING="ascii")
        assert (outcome.returncode, outcome.stderr) == (OK, "")
        assert "K\\xe4se" in outcome.stdout

    def test_password_in_the_variable_is_shown_by_no_help(self) -> None:
        """Not as a default either."""
        outcome = run_process("balance", "--help", MONGODB_URI="mongodb://ann:s3cret@127.0.0.1/bank")
        assert outcome.returncode == OK
        assert "s3cret" not in outcome.stdout + outcome.stderr

    @pytest.mark.parametrize("missing", ["typer", "rich"])
    def test_missing_extra_is_one_line(self, missing: str) -> None:
        """The library itself does without."""
        program = f"import sys; sys.modules['{missing}'] = None; from medici_py.cli import main; main()"
        outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert outcome.returncode == ERROR
        assert outcome.stderr == "medici: this command needs the extra 'cli': pip install 'medici-py[cli]'\n"

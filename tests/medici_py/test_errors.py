"""The page of errors lists them all, and messages carry their facts."""

import importlib
import pkgutil
import re
from decimal import Decimal
from pathlib import Path

import pytest
from bson import ObjectId

import medici_py
from medici_py.errors import (
    IncompleteJournalError,
    InsufficientBalanceError,
    JournalAlreadyVoidedError,
    JournalNotFoundError,
    MediciError,
    UnsupportedDeploymentError,
)
from medici_py.sums import SumTooLargeError

PAGE = Path(__file__).parents[2] / "docs" / "medici_py" / "errors.md"
NEVER_LEAVES_THE_LIBRARY = {SumTooLargeError}
PROGRAMS = {"__main__", "mongod_guardian"}


def errors_of_the_package() -> dict[str, type[MediciError]]:
    found: set[type[MediciError]] = {MediciError}
    for module in pkgutil.iter_modules(medici_py.__path__):
        if module.name not in PROGRAMS:
            importlib.import_module(f"medici_py.{module.name}")
    pending = [MediciError]
    while pending:
        leaves = set(pending.pop().__subclasses__())
        pending.extend(leaves)
        found |= leaves
    return {
        error.__name__: error
        for error in sorted(found - NEVER_LEAVES_THE_LIBRARY, key=lambda error: error.__name__)
        if error.__module__.startswith("medici_py.") and not error.__name__.startswith("_")
    }


def test_page_lists_every_error_with_its_code() -> None:
    """No error is missing there, none is there that cannot be raised."""
    listed = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE.read_text(), re.MULTILINE))
    assert listed == {name: str(error.code) for name, error in errors_of_the_package().items()}


def test_page_names_only_attributes_that_exist() -> None:
    """What a row says of attributes holds for the class of that row."""
    for name, row in re.findall(r"^\| `(\w+)` (.*)$", PAGE.read_text(), re.MULTILINE):
        documented = errors_of_the_package()[name].__doc__ or ""
        inherited = "".join(base.__doc__ or "" for base in errors_of_the_package()[name].__mro__)
        for attribute in re.findall(r"`\.(\w+)`", row):
            assert f"{attribute}:" in documented + inherited, f"{name}.{attribute}"


@pytest.mark.parametrize("error", errors_of_the_package().values(), ids=lambda error: error.__name__)
def test_every_error_is_explained(error: type[MediciError]) -> None:
    """Its docstring says when it is raised."""
    assert error.__dict__["__doc__"].strip().partition("\n")[0].endswith((".", ":"))


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (JournalNotFoundError(journal_id="x", book="B"), {"journal_id": "x", "book": "B"}),
        (JournalAlreadyVoidedError(journal_id="x", book="B"), {"journal_id": "x", "book": "B"}),
        (
            IncompleteJournalError(journal_id="x", book="B", expected=2, found=1),
            {"journal_id": "x", "expected": 2, "found": 1},
        ),
        (
            InsufficientBalanceError("x", account="A", balance=Decimal(1), required=Decimal(2)),
            {"account": "A", "balance": Decimal(1), "required": Decimal(2), "field": "account"},
        ),
    ],
)
def test_facts_are_attributes(error: MediciError, facts: dict[str, object]) -> None:
    """A program need not read the text."""
    assert facts == {name: getattr(error, name) for name in facts}


def test_messages_name_journal_and_book() -> None:
    """Medici's own words come first."""
    journal_id = ObjectId("65f000000000000000000001")
    assert (
        str(JournalNotFoundError(journal_id=journal_id, book="B"))
        == "Journal could not be found. No journal 65f000000000000000000001 in book 'B'."
    )
    assert "rs.initiate()" in str(UnsupportedDeploymentError())

"""What an application may rely on is in `medici_py.__all__`, and errors keep medici's codes."""

import types

import pytest

import medici_py
from medici_py import errors

CODES = {
    "MediciError": 500,
    "BookConstructorError": 400,
    "InvalidAccountPathError": 400,
    "InvalidAccountPathLengthError": 400,
    "TransactionError": 400,
    "DuplicateEntryError": 400,
    "InsufficientBalanceError": 400,
    "BalanceLimitError": 400,
    "UnknownOutcomeError": 500,
    "RunningBalancesError": 400,
    "BookClosedError": 400,
    "InvalidQueryError": 400,
    "JournalNotFoundError": 403,
    "JournalAlreadyVoidedError": 400,
    "JournalTakenBackError": 400,
    "ConsistencyError": 400,
    "IncompleteJournalError": 500,
    "UnreadableDocumentError": 500,
    "IndexConflictError": 500,
    "TemplateError": 400,
    "TemplateParamsError": 400,
    "TemplateChangedError": 400,
    "UnknownTemplateError": 400,
    "UnsupportedDeploymentError": 500,
}


def test_the_door_is_what_all_says() -> None:
    """Every public name of the package is exported, and nothing else."""
    public = {
        name
        for name, value in vars(medici_py).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public == set(medici_py.__all__)
    assert len(medici_py.__all__) == len(set(medici_py.__all__))


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_error_has_its_code_under_the_one_root(name: str, code: int) -> None:
    """Medici's codes, 403 for a missing journal included."""
    error = getattr(medici_py, name)
    assert issubclass(error, medici_py.MediciError)
    assert code == error.code


def test_every_error_is_listed() -> None:
    """A new error needs a code here."""
    public = {
        name for name, value in vars(errors).items() if isinstance(value, type) and not name.startswith("_")
    }
    assert public - {"Decimal"} == set(CODES)


def test_every_error_that_a_book_can_raise_is_at_the_door() -> None:
    """Whatever the library raises is caught by a name imported from its root."""
    elsewhere = {
        "odm",
        "mongo_uri",
        "mongod_binary",
        "private_mongod",
    }  # optional parts have doors of their own
    internal = {"SumTooLargeError"}
    pending, missing = [medici_py.MediciError], set()
    while pending:
        leaves = pending.pop().__subclasses__()
        pending.extend(leaves)
        missing |= {
            leaf.__name__
            for leaf in leaves
            if leaf.__module__.startswith("medici_py.")
            and leaf.__module__.removeprefix("medici_py.") not in elsewhere
            and not leaf.__name__.startswith("_")
            and leaf.__name__ not in medici_py.__all__
        }
    assert missing == internal

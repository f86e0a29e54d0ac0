"""What a book may be configured with, checked once when it is made."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast, get_args

from medici_py.allowed_accounts import AllowedAccounts, AllowedAccountsLike
from medici_py.bson_values import check_key, is_utf8
from medici_py.documents import Journal, Transaction
from medici_py.errors import BookConstructorError
from medici_py.money import DecimalStorage, shown

MAX_PRECISION = 100
"""Decimal places a book may have, medici's limit too (``Number.prototype.toFixed``)."""

_STORED_ON_EVERY_JOURNAL = frozenset({"_id", "memo", "_transactions", "datetime", "book"})

DEFAULT_PRECISION = 8
DEFAULT_MAX_ACCOUNT_PATH = 3
DEFAULT_SNAPSHOT_SEC = 86_400

DimensionsLike: TypeAlias = Sequence[str] | Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class BookSettings:
    """The parameters of a `Book`, valid by construction.

    Attributes:
        name: Any text that is not blank, kept as given.
        precision: Decimal places an amount may have, 0 to 100.
        max_account_path: Parts an account may have; 0 forbids every entry.
        balance_snapshot_sec: medici's cache interval, in seconds, 0 for no cache.
        expire_balance_snapshot_sec: Lifetime of a cached balance, in seconds.
        dimensions: Name and default of each dimension.
        decimal_storage: How fractions are stored.
        running_balances: Whether this library alone writes the book.
        group_commit: Whether concurrent commits may share a MongoDB transaction.
        transaction_model: The model of legs.
        journal_model: The model of journals.
        allowed_accounts: What was given for `allowed`.
        allowed: The accounts that legs may be on; None for any.

    Raises:
        BookConstructorError: If one is outside what it accepts; checked in this order.
    """

    name: str
    precision: int
    max_account_path: int
    balance_snapshot_sec: float
    expire_balance_snapshot_sec: float
    dimensions: Mapping[str, str | None]
    decimal_storage: DecimalStorage
    running_balances: bool
    group_commit: bool
    transaction_model: type[Transaction]
    journal_model: type[Journal]
    allowed_accounts: AllowedAccountsLike | None = None
    allowed: AllowedAccounts | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if not _is_name(self.name):
            raise _refused("name", self.name, "text that is not blank")
        if not _is_count(self.precision) or self.precision > MAX_PRECISION:
            raise _refused("precision", self.precision, f"a whole number from 0 to {MAX_PRECISION}")
        if not _is_count(self.max_account_path):
            raise _refused("max_account_path", self.max_account_path, "a whole number of 0 or more")
        for parameter in ("balance_snapshot_sec", "expire_balance_snapshot_sec"):
            if not _is_duration(getattr(self, parameter)):
                raise _refused(parameter, getattr(self, parameter), "a finite number of seconds, 0 or more")
        if not isinstance(self.dimensions, Mapping):
            raise _refused(
                "dimensions", self.dimensions, "a tuple of different names, or a mapping of names to defaults"
            )
        for name, default in self.dimensions.items():
            _check_dimension(name, default)
        if self.decimal_storage not in get_args(DecimalStorage):
            raise _refused("decimal_storage", self.decimal_storage, "'decimal128' or 'double'")
        for parameter in ("running_balances", "group_commit"):
            if not isinstance(getattr(self, parameter), bool):
                raise _refused(parameter, getattr(self, parameter), "True or False")
        _check_model("transaction_model", self.transaction_model, Transaction)
        _check_model("journal_model", self.journal_model, Journal)
        _check_journal_fields(self.journal_model)
        if self.allowed_accounts is not None:
            allowed = AllowedAccounts.of(
                self.allowed_accounts, dimensions=self.dimensions, max_account_path=self.max_account_path
            )
            object.__setattr__(self, "allowed", allowed)


def parse_dimensions(dimensions: DimensionsLike) -> Mapping[str, str | None]:
    """Return a list of names as a mapping to no default, anything else as it is: `BookSettings` judges it."""
    match dimensions:
        case Mapping():
            return dict(dimensions)
        case list() | tuple() if _are_different_texts(dimensions):
            return dict.fromkeys(dimensions)
        case _:
            return cast("Mapping[str, str | None]", dimensions)


def expiry_secs(snapshot_secs: float) -> float:
    """Return how long medici keeps a cached balance: twice the interval, if it is one at all."""
    return snapshot_secs * 2 if _is_duration(snapshot_secs) else snapshot_secs


def _are_different_texts(names: Sequence[object]) -> bool:
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value and is_utf8(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_duration(value: object) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max
    )


def _check_dimension(name: object, default: object) -> None:
    try:
        key = check_key(name)
    except ValueError as exc:
        raise _refused("dimensions", name, "names that a query can reach") from exc
    if key in Transaction.default_stored_names:
        raise _refused("dimensions", name, "names other than a leg's own fields")
    if default is not None and (not isinstance(default, str) or not default):
        raise _refused("dimensions", default, "text or None as the default")


def _check_model(parameter: str, model: Any, root: type) -> None:
    if not (isinstance(model, type) and issubclass(model, root)):
        raise _refused(parameter, model, f"a subclass of medici_py.{root.__name__}")


def _check_journal_fields(model: type[Journal]) -> None:
    for name, info in model.model_fields.items():
        if info.is_required() and (info.alias or name) not in _STORED_ON_EVERY_JOURNAL:
            raise _refused("journal_model", model, f"one whose field {name!r} has a default: none is posted")


def _refused(parameter: str, value: object, accepted: str) -> BookConstructorError:
    return BookConstructorError(
        f"Invalid value for {parameter} provided. Found {shown(value)}, give {accepted}."
    )

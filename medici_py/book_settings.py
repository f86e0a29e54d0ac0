"""What a book may be configured with, checked once when it is made."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

from medici_py.bson_values import check_key
from medici_py.documents import Journal, Transaction
from medici_py.entry_rules import PROTECTED_KEYS
from medici_py.errors import BookConstructorError
from medici_py.money import DecimalStorage, shown

MAX_PRECISION = 100
"""Decimal places a book may have, medici's limit too (``Number.prototype.toFixed``)."""

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
        for name, default in self.dimensions.items():
            _check_dimension(name, default)
        if self.decimal_storage not in get_args(DecimalStorage):
            raise _refused("decimal_storage", self.decimal_storage, "'decimal128' or 'double'")
        for parameter in ("running_balances", "group_commit"):
            if not isinstance(getattr(self, parameter), bool):
                raise _refused(parameter, getattr(self, parameter), "True or False")
        _check_model("transaction_model", self.transaction_model, Transaction)
        _check_model("journal_model", self.journal_model, Journal)


def parse_dimensions(dimensions: DimensionsLike) -> dict[str, str | None]:
    """Read the dimensions of a book: names, or a mapping of names to defaults.

    Raises:
        BookConstructorError: If it is neither.
    """
    match dimensions:
        case Mapping():
            return dict(dimensions)
        case list() | tuple() if len(set(dimensions)) == len(dimensions):
            return dict.fromkeys(dimensions)
        case _:
            raise _refused(
                "dimensions", dimensions, "a tuple of different names, or a mapping of names to defaults"
            )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_duration(value: object) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )


def _check_dimension(name: object, default: object) -> None:
    try:
        key = check_key(name)
    except ValueError as exc:
        raise _refused("dimensions", name, "names that a query can reach") from exc
    if key in PROTECTED_KEYS or key == "meta":
        raise _refused("dimensions", name, "names other than a leg's own fields")
    if default is not None and (not isinstance(default, str) or not default):
        raise _refused("dimensions", default, "text or None as the default")


def _check_model(parameter: str, model: Any, root: type) -> None:
    if not (isinstance(model, type) and issubclass(model, root)):
        raise _refused(parameter, model, f"a subclass of medici_py.{root.__name__}")


def _refused(parameter: str, value: object, accepted: str) -> BookConstructorError:
    return BookConstructorError(
        f"Invalid value for {parameter} provided. Found {shown(value)}, give {accepted}."
    )

"""The accounts of a book that has a chart: which legs may be on them, by the values of its dimensions."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from medici_py.accounts import Path, join, parse_posting_path
from medici_py.errors import BookConstructorError, InvalidAccountPathError, TransactionError
from medici_py.money import shown

AllowedAccountsLike: TypeAlias = Collection[str] | Mapping[str, Mapping[str, Collection[str]]]
"""Accounts, or accounts with the values of dimensions that their legs may have."""

_MOST_NAMED = 20


class AccountNotAllowedError(TransactionError):
    """A leg is on an account that its book does not have, or in a value that it does not take there.

    Nothing was written.

    Attributes:
        account: The account, parts joined with ``:``.
        dimension: The dimension whose value is at fault; None if it is the account.
        dimensions: The leg's value in each of the book's dimensions.
        allowed: What would be accepted, sorted: values of the dimension, or accounts.
    """

    def __init__(
        self,
        *,
        book: str,
        account: str,
        dimension: str | None,
        dimensions: Mapping[str, str],
        allowed: Collection[str],
    ) -> None:
        self.account = account
        self.dimension = dimension
        self.dimensions = dict(dimensions)
        self.allowed = tuple(sorted(allowed))
        named = ", ".join(f"{name} {value!r}" for name, value in dimensions.items())
        leg = f"account {account!r} ({named})" if named else f"account {account!r}"
        wanted = "no such account, only" if dimension is None else f"there only {dimension}"
        super().__init__(
            f"A leg on {leg} refused: book {book!r} allows {wanted} {_listed(self.allowed)}.",
            field="account" if dimension is None else dimension,
            value=account if dimension is None else dimensions[dimension],
        )


@dataclass(frozen=True, slots=True)
class AllowedAccounts:
    """The accounts that legs of a book may be on.

    Attributes:
        accounts: By account, the values that its legs may have in a dimension; any in one that is not named.
    """

    accounts: Mapping[Path, Mapping[str, frozenset[str]]]

    @classmethod
    def of(cls, given: object, *, dimensions: Collection[str], max_account_path: int) -> Self:
        """Read what a book was given as `AllowedAccountsLike`.

        Raises:
            BookConstructorError: If it is something else, or names an account or a dimension that no leg of
                the book can have.
        """
        match given:
            case Mapping():
                pairs = list(given.items())
            case list() | tuple() | set() | frozenset():
                pairs = [(account, {}) for account in given]
            case _:
                raise _refused(given, "accounts, or a mapping of accounts to values of dimensions")
        return cls(
            {_path(account, max_account_path): _values(values, dimensions) for account, values in pairs}
        )

    def check(self, book: str, path: Path, dimensions: Mapping[str, str]) -> None:
        """Check that a leg may be on *path* with these values in the dimensions of *book*.

        Raises:
            AccountNotAllowedError: If it may not.
        """
        allowed = self.accounts.get(path)
        if allowed is None:
            raise AccountNotAllowedError(
                book=book,
                account=join(path),
                dimension=None,
                dimensions=dimensions,
                allowed=[join(known) for known in self.accounts],
            )
        for name, values in allowed.items():
            if dimensions[name] not in values:
                raise AccountNotAllowedError(
                    book=book, account=join(path), dimension=name, dimensions=dimensions, allowed=values
                )


def _path(account: object, max_account_path: int) -> Path:
    try:
        return parse_posting_path(account, max_account_path=max_account_path)  # type: ignore[arg-type]
    except InvalidAccountPathError as exc:
        raise _refused(account, "accounts that can be posted to") from exc


def _values(given: object, dimensions: Collection[str]) -> Mapping[str, frozenset[str]]:
    if not isinstance(given, Mapping):
        raise _refused(given, "a mapping of dimensions to the values allowed there")
    for name, values in given.items():
        if name not in dimensions:
            raise _refused(name, f"dimensions of the book: {_listed(dimensions) or 'it has none'}")
        if not _are_texts(values):
            raise _refused(values, f"a list of texts for {name!r}")
    return {name: frozenset(values) for name, values in given.items()}


def _are_texts(values: Any) -> bool:
    return isinstance(values, (list, tuple, set, frozenset)) and all(
        isinstance(value, str) and value for value in values
    )


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    more = len(known) - _MOST_NAMED
    return ", ".join(repr(name) for name in known[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _refused(value: object, accepted: str) -> BookConstructorError:
    return BookConstructorError(
        f"Invalid value for allowed_accounts provided. Found {shown(value)}, give {accepted}."
    )

"""Account paths: ``Assets:Cash`` is the path ``("Assets", "Cash")`` and lies below ``Assets``."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

from medici_py.bson_values import is_utf8
from medici_py.errors import InvalidAccountPathError, InvalidAccountPathLengthError, InvalidQueryError

SEPARATOR = ":"

Path: TypeAlias = tuple[str, ...]

AccountLike: TypeAlias = str | Sequence[str]


def split(account: str) -> Path:
    """Return the parts of *account* as they are, empty ones included."""
    return tuple(account.split(SEPARATOR))


def join(path: Iterable[str]) -> str:
    """Return the account's one-line name."""
    return SEPARATOR.join(path)


def parse_posting_path(account: AccountLike, *, max_account_path: int) -> Path:
    """Read the account of a leg, text or a sequence of parts.

    Raises:
        InvalidAccountPathError: If it is neither, has no part, or a part is empty, no text, holds ``:``,
            NUL or half a surrogate pair.
        InvalidAccountPathLengthError: If it has more than *max_account_path* parts.
    """
    match account:
        case str():
            return _parse_posting_text(account, max_account_path)
        case list() | tuple():
            return _posting_path(tuple(account), account, max_account_path)
        case _:
            raise InvalidAccountPathError(
                f"Account {account!r} refused: give text or a list of parts.", account=account
            )


@lru_cache(maxsize=4_096)
def _parse_posting_text(account: str, max_account_path: int) -> Path:
    # Most entries are on accounts that others were on before.
    return _posting_path(split(account), account, max_account_path)


def _posting_path(parts: tuple[object, ...], account: object, max_account_path: int) -> Path:
    if not parts:
        raise InvalidAccountPathError("Account [] refused: it has no part.", account=account)
    path = tuple(_checked_part(part, account) for part in parts)
    if len(path) > max_account_path:
        raise InvalidAccountPathLengthError(
            f"Account path is too deep (maximum {max_account_path}): {join(path)!r} has {len(path)} parts.",
            account=account,
        )
    return path


def _checked_part(part: object, account: object) -> str:
    if not isinstance(part, str) or not part or SEPARATOR in part or "\0" in part or not is_utf8(part):
        raise InvalidAccountPathError(
            f"Account {account!r} refused: part {part!r} must be text that is not empty and holds no "
            f"{SEPARATOR!r}, NUL or half a surrogate pair.",
            account=account,
        )
    return part


def parse_query_paths(account: AccountLike | None) -> tuple[Path, ...] | None:
    """Read the accounts of a question: a path, a list of paths (their union), or None for the whole book.

    Returns:
        The paths, without those another one covers: ``["A", "A:B"]`` gives ``A`` alone.

    Raises:
        InvalidQueryError: If it is none of these, or an empty list.
    """
    match account:
        case None:
            return None
        case str() if is_utf8(account):
            return (split(account),)
        case list() | tuple() if account and all(isinstance(item, str) and is_utf8(item) for item in account):
            return outermost(split(item) for item in account)
        case _:
            raise InvalidQueryError(
                f"Account {account!r} refused: give a path, a list of paths that is not empty, or None "
                "for the whole book.",
                field="account",
                value=account,
            )


def outermost(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return *paths* in their order, without repeats and without those that lie below another one."""
    unique = tuple(dict.fromkeys(paths))
    return tuple(path for path in unique if not any(covers(other, path) for other in unique if other != path))


def covers(path: Path, other: Path) -> bool:
    """Whether *other* is *path* or lies below it."""
    return other[: len(path)] == path


def with_ancestors(accounts: Iterable[str]) -> list[str]:
    """Return *accounts* and everything above them, each once, sorted by code point."""
    paths = {split(account) for account in accounts}
    return sorted({join(path[:depth]) for path in paths for depth in range(1, len(path) + 1)})

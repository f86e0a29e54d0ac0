"""What a book demands of its entries."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions

from medici_py.accounts import Path
from medici_py.allowed_accounts import AllowedAccounts
from medici_py.book_settings import BookSettings
from medici_py.book_state import dimension_fields
from medici_py.documents import Journal, Transaction, custom_stored_names
from medici_py.money import DecimalStorage

PROTECTED_KEYS = frozenset(
    {
        "_id",
        "_journal",
        "book",
        "accounts",
        "account_path",
        "credit",
        "debit",
        "voided",
        "void_reason",
        "timestamp",
    }
)
"""Fields that identify or value a leg; they follow from the call and cannot be set by hand."""


@dataclass(frozen=True, slots=True)
class EntryRules:
    """What a book demands of its entries.

    Attributes:
        book: Name of the book.
        precision: Decimal places an amount may have.
        max_account_path: Parts an account may have.
        storage: How fractions are stored.
        dimensions: Names in which debits must equal credits separately, with the value a leg gets that
            names none; None refuses such a leg.
        server_ids: Whether the server makes the ids of legs.
        transaction_model: The model whose fields are top-level in a leg.
        journal_model: The model of the journal.
        codec_options: How values become BSON.
        allowed_accounts: The accounts that legs may be on; None for any.
    """

    book: str
    precision: int = 8
    max_account_path: int = 3
    storage: DecimalStorage = "decimal128"
    dimensions: Mapping[str, str | None] = field(default_factory=dict)
    server_ids: bool = False
    transaction_model: type[Transaction] = Transaction
    journal_model: type[Journal] = Journal
    codec_options: CodecOptions[Any] = DEFAULT_CODEC_OPTIONS
    allowed_accounts: AllowedAccounts | None = None
    dimension_fields: tuple[str, ...] = field(init=False)
    """Where a leg stores each dimension: ``meta.currency``, or a field of its own."""
    checks_legs: bool = field(init=False)
    """Whether legs must be tried on the transaction model, because it has fields of its own."""

    def __post_init__(self) -> None:
        fields = dimension_fields(tuple(self.dimensions), self.transaction_model)
        object.__setattr__(self, "dimension_fields", fields)
        object.__setattr__(self, "checks_legs", bool(custom_stored_names(self.transaction_model)))

    @classmethod
    def of(cls, settings: BookSettings, codec_options: CodecOptions[Any]) -> Self:
        """Return the rules of the book of *settings*, in a database with *codec_options*."""
        return cls(
            book=settings.name,
            precision=settings.precision,
            max_account_path=settings.max_account_path,
            storage=settings.decimal_storage,
            dimensions=settings.dimensions,
            server_ids=not settings.running_balances,
            transaction_model=settings.transaction_model,
            journal_model=settings.journal_model,
            codec_options=codec_options,
            allowed_accounts=settings.allowed,
        )

    def check_account(self, path: Path, fields: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Check that a leg may be on *path*, with its values in the dimensions.

        Raises:
            AccountNotAllowedError: If the book has no such account, or one without such values.
        """
        if self.allowed_accounts is not None:
            dimensions = {name: fields.get(name, meta.get(name)) for name in self.dimensions}
            self.allowed_accounts.check(self.book, path, dimensions)

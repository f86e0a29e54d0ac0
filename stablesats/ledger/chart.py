"""The chart of accounts of the dealer.

Two books live in one database. *Stablesats* holds what users traded and what the dealer therefore
owes; *Exchange Position* mirrors the swap position that the exchange reports. A leg is in one
currency and one layer, and debits equal credits in each of them.

Amounts are whole minor units: satoshi for BTC, cents for USD.

Source: stablesats-rs, ``ledger/src/constants.rs`` (codes, ids and normal sides).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final
from uuid import UUID

from medici_py import Layer

__all__ = [
    "BOOK_IDS",
    "EXCHANGE_POSITION_BOOK",
    "STABLESATS_BOOK",
    "Account",
    "AccountSpec",
    "ChartAccount",
    "Currency",
    "Layer",
    "NormalSide",
    "StrayAccount",
    "allowed_accounts",
    "is_in_chart",
]

STABLESATS_BOOK: Final = "Stablesats"
EXCHANGE_POSITION_BOOK: Final = "Exchange Position"

BOOK_IDS: Final[Mapping[str, UUID]] = {
    STABLESATS_BOOK: UUID("00000000-0000-0000-0000-000000000001"),
    EXCHANGE_POSITION_BOOK: UUID("00000000-0000-0000-0000-000000000002"),
}
"""The fixed id that stablesats-rs gave each book."""


class Currency(StrEnum):
    """A currency of the dealer's books; the value is what stands in a leg's ``meta.currency``."""

    BTC = "BTC"
    USD = "USD"

    @property
    def minor_unit(self) -> str:
        """The unit in which amounts of this currency are booked: ``satoshi`` or ``cent``."""
        return "satoshi" if self is Currency.BTC else "cent"


class NormalSide(StrEnum):
    """The side on which an account's balance is expected to stand."""

    DEBIT = "debit"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class AccountSpec:
    """What is fixed about one account.

    Attributes:
        id: Its fixed id.
        book: Name of the book that it belongs to.
        normal_side: The side on which its balance is expected to stand.
        currencies: The currencies that a leg on it may have.
        meaning: One sentence on what its balance says.
        version: To be raised whenever anything but the meaning changes.
    """

    id: UUID
    book: str
    normal_side: NormalSide
    currencies: tuple[Currency, ...]
    meaning: str
    version: int = 1


class ChartAccount(Enum):
    """An account of the dealer's books; the member's name is the account path in the ledger."""

    _value_: AccountSpec

    @property
    def code(self) -> str:
        """The account path in the ledger."""
        return self.name

    @property
    def id(self) -> UUID:
        """The fixed id of this account."""
        return self.value.id

    @property
    def book(self) -> str:
        """Name of the book that this account belongs to."""
        return self.value.book

    @property
    def normal_side(self) -> NormalSide:
        """The side on which the balance is expected to stand."""
        return self.value.normal_side

    @property
    def currencies(self) -> tuple[Currency, ...]:
        """The currencies that a leg on this account may have."""
        return self.value.currencies

    @property
    def meaning(self) -> str:
        """One sentence on what a balance of this account says."""
        return self.value.meaning

    @property
    def version(self) -> int:
        """Which definition of the account this is, from 1."""
        return self.value.version


@dataclass(frozen=True, slots=True)
class StrayAccount:
    """An account that stands in one of the dealer's books and not in the chart: somebody else posted there.

    Attributes:
        code: The account path in the ledger.
        book: Name of the book.
    """

    code: str
    book: str


def is_in_chart(account: ChartAccount | StrayAccount, currency: Currency | str) -> bool:
    """Whether the chart has *account*, and with *currency*."""
    return isinstance(account, ChartAccount) and currency in account.currencies


def allowed_accounts(
    accounts: Iterable[ChartAccount], *, book: str
) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """What a `medici_py.Book` named *book* takes, of a chart: its *accounts* in their currencies."""
    return {
        account.code: {
            "currency": tuple(currency.value for currency in account.currencies),
            "layer": tuple(layer.value for layer in Layer),
        }
        for account in accounts
        if account.book == book
    }


def _spec(
    id_: str, book: str, side: NormalSide, currencies: tuple[Currency, ...], meaning: str
) -> AccountSpec:
    return AccountSpec(UUID(id_), book, side, currencies, meaning)


_BTC = (Currency.BTC,)
_USD = (Currency.USD,)
_DEBIT = NormalSide.DEBIT
_CREDIT = NormalSide.CREDIT


class Account(ChartAccount):
    """The dealer's eleven accounts of trades and position, with the codes and ids of stablesats-rs."""

    EXTERNAL_OMNIBUS = _spec(
        "10000000-1000-0000-0000-000000000000",
        STABLESATS_BOOK,
        _DEBIT,
        _BTC,
        "Counter account for bitcoin that comes from and goes to users.",
    )
    STABLESATS_BTC_WALLET = _spec(
        "20000000-2000-0000-0000-000000000000",
        STABLESATS_BOOK,
        _CREDIT,
        _BTC,
        "Bitcoin that the dealer holds against trades: an asset kept on the credit side.",
    )
    STABLESATS_OMNIBUS = _spec(
        "20000000-1000-0000-0000-000000000000",
        STABLESATS_BOOK,
        _DEBIT,
        _USD,
        "All dollars owed to users.",
    )
    STABLESATS_LIABILITY = _spec(
        "20000000-2100-0000-0000-000000000000",
        STABLESATS_BOOK,
        _CREDIT,
        _USD,
        "Dollars owed to users that no exchange has been told to hedge yet.",
    )
    OKEX_ALLOCATION = _spec(
        "10000000-1000-0000-0000-000000000003",
        STABLESATS_BOOK,
        _CREDIT,
        _USD,
        "Dollars owed to users that OKX has to hedge.",
    )
    BITFINEX_ALLOCATION = _spec(
        "10000000-1000-0000-0000-000000000004",
        STABLESATS_BOOK,
        _CREDIT,
        _USD,
        "Dollars owed to users that a second exchange has to hedge; always 0 today.",
    )
    EXCHANGE_POSITION_OMNIBUS = _spec(
        "10000000-1000-0000-0000-000000000001",
        EXCHANGE_POSITION_BOOK,
        _CREDIT,
        _USD,
        "Counter account of the position book.",
    )
    OKEX_POSITION = _spec(
        "10000000-1000-0000-0000-000000000002",
        EXCHANGE_POSITION_BOOK,
        _DEBIT,
        _USD,
        "Mirror of the OKX position; a short of 100 USD is a debit of 10,000 cents.",
    )
    QUOTES_OMNIBUS = _spec(
        "30000000-1000-8000-0000-000000000000",
        STABLESATS_BOOK,
        _CREDIT,
        (Currency.BTC, Currency.USD),
        "Counter account of accepted quotes.",
    )
    QUOTES_LIABILITIES = _spec(
        "10000000-2200-0000-0000-000000000000",
        STABLESATS_BOOK,
        _CREDIT,
        _USD,
        "Dollar side of accepted quotes.",
    )
    QUOTES_ASSETS = _spec(
        "20000000-1200-0000-0000-000000000000",
        STABLESATS_BOOK,
        _DEBIT,
        _BTC,
        "Bitcoin side of accepted quotes.",
    )

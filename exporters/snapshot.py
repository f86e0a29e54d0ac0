"""What the exporter knows at one instant, as frozen values, and how they are read from live balances.

Everything downstream (metrics, readiness, the page) is a function of a `LedgerSnapshot`. Reading one is
synchronous and touches memory only, so it can neither wait for a database nor mix two states of the books.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from medici_py import Balance
from stablesats.ledger.balances import DealerBalances, live_lookup
from stablesats.ledger.chart import EXCHANGE_POSITION_BOOK, STABLESATS_BOOK, Account, Currency, Layer


class LiveLedger(Protocol):
    """The part of `medici_py.LiveBalances` that the exporter reads."""

    @property
    def is_live(self) -> bool:
        """Whether the change stream is open."""

    @property
    def failure(self) -> str | None:
        """Why it is not, as far as known."""

    @property
    def restarts(self) -> int:
        """How often the change stream failed."""

    @property
    def journals_applied(self) -> int:
        """Journals that came through the change stream since start."""

    @property
    def last_event_at(self) -> datetime | None:
        """Commit time of the newest journal that came through; None before the first."""

    def balance(self, book: str, account: str | None, **dimensions: str) -> Balance:
        """Credit minus debit of an account and what is below it; None stands for the whole book."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """How the figures come to be up to date.

    Attributes:
        is_live: Whether the change stream is open now.
        failure: Why it is not, when known.
        restarts: How often it failed since start and had to be set up anew.
        journals_applied: Journals that came through it since start.
        last_event_at: Commit time of the newest of them.
        confirmed_at: The latest time at which the stream was seen live: the figures' age counts from there.
    """

    is_live: bool = False
    failure: str | None = None
    restarts: int = 0
    journals_applied: int = 0
    last_event_at: datetime | None = None
    confirmed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """The settled balance of one account in one currency: credit minus debit, in sats or cents."""

    account: Account
    currency: Currency
    balance_minor: int


@dataclass(frozen=True, slots=True)
class BookImbalance:
    """How far debits and credits of a book are apart in a currency, in sats or cents.

    The law holds in each layer on its own, so the layers' differences are added without their signs:
    two errors cannot cancel out.
    """

    book: str
    currency: Currency
    imbalance_minor: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFigures:
    """The dealer's books, all read at the same instant."""

    dealer: DealerBalances
    accounts: tuple[AccountBalance, ...]
    imbalances: tuple[BookImbalance, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSnapshot:
    """Figures and how trustworthy they are; *figures* is None until the ledger was loaded once."""

    stream: StreamStatus
    figures: LedgerFigures | None


def read_stream(ledger: LiveLedger, *, confirmed_at: datetime | None) -> StreamStatus:
    """Read how the change stream is doing."""
    return StreamStatus(
        is_live=ledger.is_live,
        failure=ledger.failure,
        restarts=ledger.restarts,
        journals_applied=ledger.journals_applied,
        last_event_at=ledger.last_event_at,
        confirmed_at=confirmed_at,
    )


def read_figures(ledger: LiveLedger) -> LedgerFigures:
    """Read the figures of the dealer's books.

    Raises:
        LedgerDamagedError: If a balance is not a whole number of minor units.
    """
    balance_of = live_lookup(ledger)
    return LedgerFigures(
        dealer=DealerBalances.of(balance_of),
        accounts=tuple(
            AccountBalance(account, currency, balance_of(account, currency))
            for account in Account
            for currency in account.currencies
        ),
        imbalances=tuple(_imbalances(ledger)),
    )


def _imbalances(ledger: LiveLedger) -> Iterator[BookImbalance]:
    for book in (STABLESATS_BOOK, EXCHANGE_POSITION_BOOK):
        for currency in Currency:
            if any(account.book == book and currency in account.currencies for account in Account):
                differences = (
                    ledger.balance(book, None, currency=currency, layer=layer).balance for layer in Layer
                )
                yield BookImbalance(book, currency, sum(map(abs, differences), Decimal(0)))

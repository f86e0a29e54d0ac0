"""What the balances of the dealer's books mean: liability, hedge target, exposure. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from medici_py import Balance
from stablesats.errors import StablesatsError
from stablesats.ledger.chart import Account, ChartAccount, Currency, Layer, StrayAccount

BalanceLookup = Callable[[Account, Currency], int]
"""Settled credit minus debit of an account in a currency, in minor units."""


class LedgerDamagedError(StablesatsError):
    """A balance is not a whole number of minor units: something else wrote to the dealer's books."""


class LiveAccounts(Protocol):
    """The part of `medici_py.LiveBalances` that `live_lookup` reads."""

    def balance(self, book: str, account: str, **dimensions: str) -> Balance:
        """Credit minus debit of an account and what is below it."""
        ...


def whole_minor(balance: Decimal, currency: Currency | str, *accounts: ChartAccount | StrayAccount) -> int:
    """*balance* of *accounts* as the whole number of minor units that it must be.

    Raises:
        LedgerDamagedError: If it has a fraction.
    """
    whole = int(balance)
    if whole != balance:
        names = ", ".join(account.code for account in accounts)
        unit = currency.minor_unit if isinstance(currency, Currency) else currency
        msg = f"{names} holds {balance} {unit}, which is not a whole number"
        raise LedgerDamagedError(msg)
    return whole


def live_lookup(live: LiveAccounts) -> BalanceLookup:
    """Look settled balances up in *live*, from memory; one with a fraction is a `LedgerDamagedError`."""

    def lookup(account: Account, currency: Currency) -> int:
        found = live.balance(account.book, account.code, currency=currency.value, layer=Layer.SETTLED.value)
        return whole_minor(found.balance, currency, account)

    return lookup


@dataclass(frozen=True, slots=True, kw_only=True)
class DealerBalances:
    """The figures that the hedge is decided on and that operators watch.

    Attributes:
        users_liability_cents: All dollars owed to users. Never negative in a healthy book.
        unallocated_cents: The part that no exchange has been told to hedge yet.
        okex_allocation_cents: The part that has been allocated to OKX.
        btc_wallet_sats: Bitcoin received for those dollars and not yet paid back.
        signed_exposure_cents: Dollar value of the mirrored OKX position, negative when short.
    """

    users_liability_cents: int
    unallocated_cents: int
    okex_allocation_cents: int
    btc_wallet_sats: int
    signed_exposure_cents: int

    @classmethod
    def of(cls, balance_of: BalanceLookup) -> "DealerBalances":
        """Read every figure through *balance_of*, whatever stands behind it."""
        return cls(
            # Debit-normal: a debit there is a dollar owed, and balances are credit minus debit.
            users_liability_cents=-balance_of(Account.STABLESATS_OMNIBUS, Currency.USD),
            unallocated_cents=balance_of(Account.STABLESATS_LIABILITY, Currency.USD),
            okex_allocation_cents=balance_of(Account.OKEX_ALLOCATION, Currency.USD),
            btc_wallet_sats=balance_of(Account.STABLESATS_BTC_WALLET, Currency.BTC),
            # Debit-normal as well: short 100 USD is a debit of 10,000, that is a balance of -10,000.
            signed_exposure_cents=balance_of(Account.OKEX_POSITION, Currency.USD),
        )

    @property
    def hedge_target_cents(self) -> int:
        """Dollars that the OKX position has to match: what is allocated to it and what nobody hedges yet."""
        return self.okex_allocation_cents + self.unallocated_cents

    @property
    def exposure_ratio(self) -> Decimal | None:
        """Short over hedge target, 1 when fully hedged; None when there is nothing to hedge.

        Negative when the position is long.
        """
        if self.hedge_target_cents == 0:
            return None
        return Decimal(-self.signed_exposure_cents) / Decimal(self.hedge_target_cents)


class LiabilityAlarm(StrEnum):
    """What cannot be right about the liability; the figures stay what they are, signed."""

    NEGATIVE_TOTAL = "negative-total"
    NEGATIVE_OKEX_ALLOCATION = "negative-okex-allocation"
    NEGATIVE_BITFINEX_ALLOCATION = "negative-bitfinex-allocation"
    PARTS_DIFFER_FROM_TOTAL = "parts-differ-from-total"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiabilityBalances:
    """What users are owed, and who hedges it. All signed; the parts add up to the total.

    Attributes:
        unallocated_cents: The part that no exchange has been told to hedge yet; below zero after a sale that
            has not been allocated yet.
        okex_allocation_cents: The part that OKX has to hedge.
        bitfinex_allocation_cents: The part that a second exchange has to hedge.
        total_cents: All dollars owed to users.
    """

    unallocated_cents: int
    okex_allocation_cents: int
    bitfinex_allocation_cents: int
    total_cents: int

    @classmethod
    def of(cls, balance_of: BalanceLookup) -> "LiabilityBalances":
        """Read every figure through *balance_of*, whatever stands behind it."""
        return cls(
            unallocated_cents=balance_of(Account.STABLESATS_LIABILITY, Currency.USD),
            okex_allocation_cents=balance_of(Account.OKEX_ALLOCATION, Currency.USD),
            bitfinex_allocation_cents=balance_of(Account.BITFINEX_ALLOCATION, Currency.USD),
            # Debit-normal: a debit there is a dollar owed, and balances are credit minus debit.
            total_cents=-balance_of(Account.STABLESATS_OMNIBUS, Currency.USD),
        )

    @property
    def alarms(self) -> tuple[LiabilityAlarm, ...]:
        """What an operator must look at; empty in healthy books. Never a reason to stop."""
        parts = self.unallocated_cents + self.okex_allocation_cents + self.bitfinex_allocation_cents
        raised = {
            LiabilityAlarm.NEGATIVE_TOTAL: self.total_cents < 0,
            LiabilityAlarm.NEGATIVE_OKEX_ALLOCATION: self.okex_allocation_cents < 0,
            LiabilityAlarm.NEGATIVE_BITFINEX_ALLOCATION: self.bitfinex_allocation_cents < 0,
            LiabilityAlarm.PARTS_DIFFER_FROM_TOTAL: parts != self.total_cents,
        }
        return tuple(alarm for alarm, holds in raised.items() if holds)

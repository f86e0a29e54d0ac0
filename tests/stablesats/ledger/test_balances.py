"""What the balances mean: who is owed what, and how much of it is hedged."""

from dataclasses import dataclass
from decimal import Decimal

import pytest

from medici_py import Balance
from stablesats.ledger import Account, Currency, DealerBalances, LiabilityAlarm, LiabilityBalances
from stablesats.ledger.balances import LedgerDamagedError, live_lookup


def balances(**known: int) -> DealerBalances:
    """Balances (credit minus debit) of accounts by code; all others are zero."""
    return DealerBalances.of(lambda account, _currency: known.get(account.code, 0))


def test_figures_have_the_signs_of_what_they_mean() -> None:
    """Owed dollars and bitcoin held are positive, a short is negative."""
    figures = balances(
        STABLESATS_OMNIBUS=-700,
        STABLESATS_LIABILITY=200,
        OKEX_ALLOCATION=500,
        STABLESATS_BTC_WALLET=123,
        OKEX_POSITION=-10_000,
    )
    assert figures == DealerBalances(
        users_liability_cents=700,
        unallocated_cents=200,
        okex_allocation_cents=500,
        btc_wallet_sats=123,
        signed_exposure_cents=-10_000,
    )
    assert figures.hedge_target_cents == 700


def test_every_figure_is_asked_for_in_its_own_currency() -> None:
    """Bitcoin in satoshi, everything else in cents."""
    asked: dict[Account, Currency] = {}

    def remember(account: Account, currency: Currency) -> int:
        asked[account] = currency
        return 0

    DealerBalances.of(remember)
    assert asked.pop(Account.STABLESATS_BTC_WALLET) is Currency.BTC
    assert set(asked.values()) == {Currency.USD}


@pytest.mark.parametrize(
    ("target", "position", "ratio"),
    [
        (0, 0, None),  # nothing to hedge: no ratio, not zero
        (0, -10_000, None),
        (10_000, 0, Decimal(0)),
        (20_000, -10_000, Decimal("0.5")),
        (10_000, -10_000, Decimal(1)),
        (10_000, 10_000, Decimal(-1)),  # long
        (-10_000, -10_000, Decimal(-1)),  # damaged books do not raise here; the hedge decision does
    ],
)
def test_exposure_ratio(target: int, position: int, ratio: Decimal | None) -> None:
    """Short over hedge target."""
    assert balances(STABLESATS_LIABILITY=target, OKEX_POSITION=position).exposure_ratio == ratio


@dataclass
class Live:
    """Live balances of which one slice is known; everything else is zero."""

    known: tuple[str, str, dict[str, str]]
    amount: Decimal

    def balance(self, book: str, account: str, **dimensions: str) -> Balance:
        amount = self.amount if (book, account, dimensions) == self.known else Decimal(0)
        return Balance(amount, 0)


SETTLED_USD = {"currency": "USD", "layer": "SETTLED"}
PENDING_USD = {"currency": "USD", "layer": "PENDING"}


def live(dimensions: dict[str, str], amount: str) -> Live:
    return Live((Account.OKEX_POSITION.book, Account.OKEX_POSITION.code, dimensions), Decimal(amount))


@pytest.mark.parametrize(
    ("dimensions", "amount", "looked_up"),
    [(SETTLED_USD, "-500", -500), (SETTLED_USD, "2e3", 2_000), (PENDING_USD, "-500", 0)],
)
def test_live_balance_is_the_settled_layer_of_one_currency(
    dimensions: dict[str, str], amount: str, looked_up: int
) -> None:
    """What is pending has not happened yet."""
    lookup = live_lookup(live(dimensions, amount))
    assert lookup(Account.OKEX_POSITION, Currency.USD) == looked_up
    assert lookup(Account.STABLESATS_BTC_WALLET, Currency.BTC) == 0


def test_live_balance_with_a_fraction_is_refused() -> None:
    """Cutting it off would hide that something else wrote to the books."""
    with pytest.raises(
        LedgerDamagedError, match=r"OKEX_POSITION holds -0\.5 cent, which is not a whole number"
    ):
        live_lookup(live(SETTLED_USD, "-0.5"))(Account.OKEX_POSITION, Currency.USD)


def liability(**known: int) -> LiabilityBalances:
    """Balances (credit minus debit) of accounts by code; all others are zero."""
    return LiabilityBalances.of(lambda account, _currency: known.get(account.code, 0))


def test_parts_of_the_liability_have_the_signs_of_what_they_mean() -> None:
    """Dollars owed are positive, whoever hedges them."""
    found = liability(
        STABLESATS_OMNIBUS=-700, STABLESATS_LIABILITY=-100, OKEX_ALLOCATION=500, BITFINEX_ALLOCATION=300
    )
    assert found == LiabilityBalances(
        unallocated_cents=-100,
        okex_allocation_cents=500,
        bitfinex_allocation_cents=300,
        total_cents=700,
    )
    assert found.alarms == ()


@pytest.mark.parametrize(
    ("unallocated", "okex", "bitfinex", "total", "alarms"),
    [
        (0, 0, 0, 0, []),
        (-500, 500, 0, 0, []),  # everything was sold, not allocated yet
        (0, -1, 1, 0, [LiabilityAlarm.NEGATIVE_OKEX_ALLOCATION]),
        (0, 1, -1, 0, [LiabilityAlarm.NEGATIVE_BITFINEX_ALLOCATION]),
        (-1, 0, 0, -1, [LiabilityAlarm.NEGATIVE_TOTAL]),
        (0, -1, 0, -1, [LiabilityAlarm.NEGATIVE_TOTAL, LiabilityAlarm.NEGATIVE_OKEX_ALLOCATION]),
        (1, 0, 0, 0, [LiabilityAlarm.PARTS_DIFFER_FROM_TOTAL]),  # somebody else wrote to the books
    ],
)
def test_alarms_name_what_cannot_be_right(
    unallocated: int, okex: int, bitfinex: int, total: int, alarms: list[LiabilityAlarm]
) -> None:
    """A figure is never cut off at zero, and never an error."""
    found = liability(
        STABLESATS_OMNIBUS=-total,
        STABLESATS_LIABILITY=unallocated,
        OKEX_ALLOCATION=okex,
        BITFINEX_ALLOCATION=bitfinex,
    )
    assert list(found.alarms) == alarms

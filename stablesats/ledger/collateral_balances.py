"""What the balances of the collateral mean: assets, equity, profit, difference from the exchange. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from stablesats.ledger.collateral_chart import CollateralAccount
from stablesats.ledger.collateral_templates import require_whole_sats

CollateralLookup = Callable[[CollateralAccount], int]
"""Settled credit minus debit of an account, in satoshi."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollateralProfit:
    """What the collateral gained since the first posting; each below zero where it cost.

    Attributes:
        trading_fees_sats: Fees of trades, less rebates: usually below zero.
        funding_payments_sats: Funding payments received, less those paid.
        onchain_fees_sats: Fees of moving bitcoin to and from the exchange: zero or below.
        realised_profit_sats: Profit of closed positions, less losses. What an open position would bring is
            not booked.
    """

    trading_fees_sats: int
    funding_payments_sats: int
    onchain_fees_sats: int
    realised_profit_sats: int

    @classmethod
    def of(cls, balance_of: CollateralLookup) -> "CollateralProfit":
        """Read every figure through *balance_of*, whatever stands behind it."""
        # Credit minus debit is the sign of a gain, on expenses as well.
        return cls(
            trading_fees_sats=balance_of(CollateralAccount.TRADING_FEES),
            funding_payments_sats=balance_of(CollateralAccount.FUNDING_PAYMENTS),
            onchain_fees_sats=balance_of(CollateralAccount.ONCHAIN_FEES),
            realised_profit_sats=balance_of(CollateralAccount.REALISED_PROFIT),
        )

    @property
    def total_sats(self) -> int:
        """All of it; below zero is a loss."""
        return (
            self.trading_fees_sats
            + self.funding_payments_sats
            + self.onchain_fees_sats
            + self.realised_profit_sats
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CollateralBalances:
    """Where the collateral is and where it came from. Bitcoin that is there is above zero.

    Attributes:
        funding_account_sats: On the funding account at OKX.
        trading_account_sats: Cash on the trading account at OKX, without what is not realised.
        in_transit_to_okex_sats: Sent to OKX and not credited yet. Below zero if OKX credited what nobody
            has booked as sent.
        in_transit_from_okex_sats: On the way from OKX and not arrived yet.
        given_sats: What the bank's treasury gave, fees of sending it included, less what it got back.
        profit: What the collateral gained.
    """

    funding_account_sats: int
    trading_account_sats: int
    in_transit_to_okex_sats: int
    in_transit_from_okex_sats: int
    given_sats: int
    profit: CollateralProfit

    @classmethod
    def of(cls, balance_of: CollateralLookup) -> "CollateralBalances":
        """Read every figure through *balance_of*, whatever stands behind it."""
        # Assets are debit-normal, and balances are credit minus debit.
        return cls(
            funding_account_sats=-balance_of(CollateralAccount.OKEX_FUNDING),
            trading_account_sats=-balance_of(CollateralAccount.OKEX_TRADING),
            in_transit_to_okex_sats=-balance_of(CollateralAccount.IN_TRANSIT_TO_OKEX),
            in_transit_from_okex_sats=-balance_of(CollateralAccount.IN_TRANSIT_FROM_OKEX),
            given_sats=balance_of(CollateralAccount.HOT_WALLET_COLLATERAL),
            profit=CollateralProfit.of(balance_of),
        )

    @property
    def assets_sats(self) -> int:
        """All bitcoin of the collateral, wherever it is."""
        return (
            self.funding_account_sats
            + self.trading_account_sats
            + self.in_transit_to_okex_sats
            + self.in_transit_from_okex_sats
        )

    @property
    def equity_sats(self) -> int:
        """What was given and what it gained; in an undamaged book the same as the assets."""
        return self.given_sats + self.profit.total_sats


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDifference:
    """One account at the exchange, as it is booked and as the exchange reports it.

    Attributes:
        account: The account.
        booked_sats: What the book says is there.
        reported_sats: What the exchange says is there.
    """

    account: CollateralAccount
    booked_sats: int
    reported_sats: int

    @property
    def difference_sats(self) -> int:
        """Reported less booked: above zero, the exchange has what is not booked."""
        return self.reported_sats - self.booked_sats

    def __str__(self) -> str:
        return (
            f"{self.account.code}: booked {self.booked_sats} sats, reported {self.reported_sats} sats, "
            f"difference {self.difference_sats} sats"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CollateralDifference:
    """How far the book and the exchange are apart, account by account.

    Attributes:
        funding_account: The funding account.
        trading_account: The cash of the trading account.
    """

    funding_account: AccountDifference
    trading_account: AccountDifference

    @property
    def unreconciled(self) -> tuple[AccountDifference, ...]:
        """The accounts that differ."""
        return tuple(each for each in (self.funding_account, self.trading_account) if each.difference_sats)

    @property
    def is_reconciled(self) -> bool:
        """Whether both accounts are booked as they are reported, to the satoshi."""
        return not self.unreconciled

    def __str__(self) -> str:
        return "; ".join(str(each) for each in self.unreconciled) or "reconciled"


def collateral_difference(
    balances: CollateralBalances, *, reported_funding_sats: int, reported_trading_cash_sats: int
) -> CollateralDifference:
    """Compare the book with what the exchange reports; nothing is booked to make them agree.

    Booked 100 sats on the funding account and reported 90, the difference is -10.

    Args:
        balances: The book.
        reported_funding_sats: The whole balance of the funding account, frozen parts included.
        reported_trading_cash_sats: The cash of the trading account, without unrealised profit.

    Raises:
        AmountError: If a reported figure is not a whole number of satoshi. A figure that is not known is not
            zero: compare again when it is.
    """
    require_whole_sats("reported_funding_sats", reported_funding_sats)
    require_whole_sats("reported_trading_cash_sats", reported_trading_cash_sats)
    return CollateralDifference(
        funding_account=AccountDifference(
            account=CollateralAccount.OKEX_FUNDING,
            booked_sats=balances.funding_account_sats,
            reported_sats=reported_funding_sats,
        ),
        trading_account=AccountDifference(
            account=CollateralAccount.OKEX_TRADING,
            booked_sats=balances.trading_account_sats,
            reported_sats=reported_trading_cash_sats,
        ),
    )

"""Who has the bitcoin: every satoshi ever paid in is the user's, the exchange's or a counterparty's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stablesats.okx_simulator.amounts import ZERO, exact

if TYPE_CHECKING:
    from decimal import Decimal

    from stablesats.okx_simulator.accounts import Account
    from stablesats.okx_simulator.funding_account import FundingAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class Custody:
    """Realised holdings, BTC.

    Attributes:
        trading_btc: Cash of the trading account.
        funding_btc: Balance of the funding account, frozen amounts included.
        in_transit_btc: On its way between the two.
        exchange_btc: Fees and penalties earned, less what the insurance paid; negative if that was more.
        counterparties_btc: What those on the other side of the trades have won; negative if they lost.
        paid_in_btc: What has come from outside, less what went back there.
    """

    trading_btc: Decimal
    funding_btc: Decimal
    in_transit_btc: Decimal
    exchange_btc: Decimal
    counterparties_btc: Decimal
    paid_in_btc: Decimal

    @property
    @exact
    def discrepancy_btc(self) -> Decimal:
        """What is held less what was paid in: zero, to the last digit, or the exchange has a defect."""
        return (
            self.trading_btc
            + self.funding_btc
            + self.in_transit_btc
            + self.exchange_btc
            + self.counterparties_btc
            - self.paid_in_btc
        )


@exact
def custody_of(account: Account, wallet: FundingAccount, *, adjustments_btc: Decimal) -> Custody:
    """Say who holds what; *adjustments_btc* is what was put in by hand, the opening balances included."""
    deposits_btc = sum((each.amount_btc for each in wallet.deposits.values() if each.is_credited), ZERO)
    paid = [each.request for each in wallet.withdrawals.values() if each.is_paid]
    withdrawal_fees_btc = sum((request.fee_btc for request in paid), ZERO)
    withdrawn_btc = sum((request.amount_btc for request in paid), ZERO)
    return Custody(
        trading_btc=account.cash_btc,
        funding_btc=wallet.balance_btc,
        in_transit_btc=wallet.in_transit_btc,
        exchange_btc=withdrawal_fees_btc
        - account.fees_btc
        - account.liquidation_penalties_btc
        - account.insured_btc,
        counterparties_btc=-account.realized_pnl_btc - account.funding_fees_btc,
        paid_in_btc=adjustments_btc + deposits_btc - withdrawn_btc,
    )

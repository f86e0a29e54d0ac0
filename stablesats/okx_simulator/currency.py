"""The one currency that is held here: bitcoin on its main chain, with the venue's fee and limits.

Source: OKX API v5, "Get currencies", the documented values for BTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stablesats.okx_simulator.amounts import plain_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Currency:
    """Terms of deposits and withdrawals; amounts in BTC, confirmations in blocks."""

    code: str = "BTC"
    chain: str = "BTC-Bitcoin"
    withdrawal_fee_btc: Decimal = Decimal("0.00005")
    min_withdrawal_btc: Decimal = Decimal("0.0005")
    max_withdrawal_btc: Decimal = Decimal(500)
    min_deposit_btc: Decimal = Decimal("0.0005")
    confirmations_to_credit: int = 1
    confirmations_to_withdraw: int = 2

    @property
    def row(self) -> dict[str, Any]:
        """The currency as ``GET /api/v5/asset/currencies`` lists it."""
        fee = plain_text(self.withdrawal_fee_btc)
        return {
            "canDep": True,
            "canInternal": True,
            "canWd": True,
            "ccy": self.code,
            "chain": self.chain,
            "ctAddr": "",
            "depEstOpenTime": "",
            "depQuotaFixed": "",
            "depQuoteDailyLayer2": "",
            "fee": fee,
            "logoLink": "",
            "mainNet": True,
            "maxFee": fee,
            "maxFeeForCtAddr": "",
            "maxWd": plain_text(self.max_withdrawal_btc),
            "minDep": plain_text(self.min_deposit_btc),
            "minDepArrivalConfirm": str(self.confirmations_to_credit),
            "minFee": fee,
            "minFeeForCtAddr": "",
            "minInternal": "0.0001",
            "minWd": plain_text(self.min_withdrawal_btc),
            "minWdUnlockConfirm": str(self.confirmations_to_withdraw),
            "name": "Bitcoin",
            "needTag": False,
            "usedDepQuotaFixed": "",
            "usedWdQuota": "0",
            "wdEstOpenTime": "",
            "wdQuota": "10000000",
            "wdTickSz": "8",
        }


BITCOIN = Currency()

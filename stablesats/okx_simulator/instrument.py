"""The one contract that is traded here: BTC-USD-SWAP, an inverse perpetual of 100 USD a contract.

Source: OKX ``public/instruments`` as recorded from the venue in September 2026; fee and maintenance
rates are those of a regular user and of the first tier of BTC perpetuals.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stablesats.okx_simulator.amounts import plain_text

_SIXTEEN_ZEROS = "0" * 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """Terms of the swap; sizes in contracts, prices in USD for one BTC, rates as fractions."""

    inst_id: str = "BTC-USD-SWAP"
    inst_id_code: int = 10458
    family: str = "BTC-USD"
    settle_currency: str = "BTC"
    contract_value_usd: Decimal = Decimal(100)
    lot_contracts: Decimal = Decimal("0.1")
    min_contracts: Decimal = Decimal("0.1")
    max_market_contracts: Decimal = Decimal(49_000)
    max_limit_contracts: Decimal = Decimal(100_000_000)
    tick_usd: Decimal = Decimal("0.1")
    max_lever: Decimal = Decimal(100)
    min_lever: Decimal = Decimal("0.01")
    taker_rate: Decimal = Decimal("0.0005")
    maker_rate: Decimal = Decimal("0.0002")
    maintenance_rate: Decimal = Decimal("0.004")
    price_limit_ratio: Decimal = Decimal("0.005")

    @property
    def row(self) -> dict[str, Any]:
        """The instrument as ``GET /api/v5/public/instruments`` lists it."""
        unlimited = f"100000000{_SIXTEEN_ZEROS}"
        return {
            "alias": "",
            "auctionEndTime": "",
            "baseCcy": "",
            "category": "1",
            "contTdSwTime": "1611916860000",
            "ctMult": "1",
            "ctType": "inverse",
            "ctVal": plain_text(self.contract_value_usd),
            "ctValCcy": "USD",
            "expTime": "",
            "floatPxLmtPct": plain_text(self.price_limit_ratio),
            "futureSettlement": False,
            "groupId": "4",
            "initPxLmtPct": "0.02",
            "instFamily": self.family,
            "instId": self.inst_id,
            "instIdCode": self.inst_id_code,
            "instType": "SWAP",
            "lever": plain_text(self.max_lever),
            "listTime": "1535424203000",
            "lotSz": plain_text(self.lot_contracts),
            "maxIcebergSz": unlimited,
            "maxLmtAmt": "20000000",
            "maxLmtSz": plain_text(self.max_limit_contracts),
            "maxMktAmt": "",
            "maxMktSz": plain_text(self.max_market_contracts),
            "maxPxLmtPct": "0.01",
            "maxStopSz": plain_text(self.max_market_contracts),
            "maxTriggerSz": unlimited,
            "maxTwapSz": unlimited,
            "minSz": plain_text(self.min_contracts),
            "optType": "",
            "posLmtAmt": "250000",
            "posLmtPct": "30",
            "preMktSwTime": "",
            "quoteCcy": "",
            "ruleType": "normal",
            "seriesId": "",
            "settleCcy": self.settle_currency,
            "state": "live",
            "stk": "",
            "tickSz": plain_text(self.tick_usd),
            "tradeQuoteCcyList": [],
            "uly": self.family,
            "upcChg": [],
        }


BTC_USD_SWAP = Instrument()

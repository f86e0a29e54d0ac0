"""The contract's terms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from stablesats.okx_simulator import BTC_USD_SWAP


async def test_lot_is_configurable_and_clients_are_held_to_it(client_factory: Callable[..., Any]) -> None:
    """The venue changed its lot from 1 to 0.1 once; a client must read it, not know it."""
    whole = replace(BTC_USD_SWAP, lot_contracts=Decimal(1), min_contracts=Decimal(1))
    client = await client_factory(instrument=whole)
    row = (await client.public("public/instruments?instType=SWAP")).json["data"][0]
    refused = (await client.market_order("sell", "1.5")).json["data"][0]["sCode"]
    assert (row["lotSz"], row["minSz"], refused) == ("1", "1", "51121")

"""Every endpoint is asked by our client and answered by the simulator: both are run, call by call."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from aiohttp import web

from stablesats.okx import OkxClient, OkxCredentials
from stablesats.okx.funding_messages import AccountKind
from stablesats.okx.messages import OrderSide
from stablesats.okx.new_order import NewOrder, OrderType
from stablesats.okx_simulator import OkxSimulator, SimulatorConfig
from stablesats.okx_simulator.addresses import deposit_address
from stablesats.okx_simulator.endpoint_table import ENDPOINTS

SWAP = "BTC-USD-SWAP"
REFERENCE = Path(__file__).parents[1] / "okx_reference.txt"


class Heard(OkxSimulator):
    """A simulator that remembers what it was asked and answered without a refusal."""

    def __init__(self, config: SimulatorConfig) -> None:
        super().__init__(config)
        self.answered: set[str] = set()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        refused = self.refusals.total()
        answer = await super()._serve(request)
        if self.refusals.total() == refused:
            self.answered.add(f"{request.method} {request.path.removeprefix('/api/v5/')}")
        return answer


@pytest.fixture
async def simulator() -> AsyncIterator[Heard]:
    config = SimulatorConfig(funding_btc=Decimal(2), lever=Decimal(2), rate_limits=False)
    async with Heard(config) as simulator:
        yield simulator


async def ask_everything(okx: OkxClient) -> None:
    """Call every call of the client that the reference has an endpoint for."""
    await okx.server_time()
    for look in (okx.instrument, okx.ticker, okx.order_book, okx.mark_price, okx.funding_rate, okx.leverage):
        await look(SWAP)
    for ask in (okx.tickers, okx.maintenance, okx.account_config, okx.trading_balance, okx.max_withdrawal):
        await ask()
    await okx.trade_fees()
    await okx.set_leverage(SWAP, 3)
    await okx.set_net_mode()
    expiry = okx.exchange_now() + timedelta(minutes=1)
    await okx.place_market_order(SWAP, OrderSide.SELL, 10, "a", expires_at=expiry)
    low = NewOrder(
        side=OrderSide.BUY,
        size_contracts=1,
        client_order_id="b",
        order_type=OrderType.LIMIT,
        limit_price_usd=49_900,
    )
    await okx.place_orders(
        SWAP, [low, NewOrder(side=OrderSide.SELL, size_contracts=1, client_order_id="c")], expires_at=expiry
    )
    await okx.cancel_order(SWAP, "b")
    await okx.order(SWAP, "a")
    await okx.position(SWAP)
    await okx.max_order_size(SWAP)
    await okx.close_position(SWAP, "d")
    await okx.pending_orders(SWAP)
    for archive in (False, True):
        await okx.order_history(SWAP, archive=archive)
        await okx.fills(SWAP, archive=archive)
        await okx.bills(archive=archive)
    for ask in (okx.funding_balance, okx.bitcoin_chain, okx.deposit_address, okx.deposits, okx.withdrawals):
        await ask()
    amount, sides = Decimal("0.1"), {"source": AccountKind.FUNDING, "target": AccountKind.TRADING}
    await okx.transfer(amount, **sides, client_transfer_id="t")
    await okx.transfer_status("t")
    await okx.withdraw(amount, address=deposit_address(7, 7), client_transfer_id="w")


async def test_every_endpoint_of_the_reference_is_simulated_and_asked(simulator: Heard) -> None:
    """Nothing is listed that is not there, nothing is there that is not asked, and all is answered."""
    credentials = OkxCredentials(api_key="sim-key", secret_key="sim-secret", passphrase="sim-pass")
    async with OkxClient(base_url=simulator.base_url, credentials=credentials) as okx:
        await ask_everything(okx)
    simulated = {f"{method} {path.removeprefix('/api/v5/')}" for method, path in ENDPOINTS}
    listed = {line for line in REFERENCE.read_text().splitlines() if re.fullmatch(r"(GET|POST) \S+", line)}
    assert simulated == listed
    assert simulator.answered >= listed

"""Funding, bounds and lists of the client against the simulated exchange, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from stablesats.okx import (
    AccountKind,
    DuplicateTransferIdError,
    InsufficientFundsError,
    InsufficientMarginError,
    LeverageError,
    NewOrder,
    OkxClient,
    OkxCredentials,
    OrderAck,
    OrderSide,
    OrderState,
    OrderType,
    TransferNotFoundError,
    TransferState,
    WithdrawalAddressError,
)
from stablesats.okx_simulator import OkxSimulator, SimulatorConfig

SWAP = "BTC-USD-SWAP"
CONFIG = SimulatorConfig(
    price_usd=Decimal(50_000), trading_btc=Decimal("0.2"), funding_btc=Decimal(1), lever=Decimal(2)
)
CREDENTIALS = OkxCredentials(api_key=CONFIG.api_key, secret_key=CONFIG.secret, passphrase=CONFIG.passphrase)


@pytest.fixture
async def simulator() -> AsyncIterator[OkxSimulator]:
    """0.2 BTC in the trading account at 2x leverage, 1 BTC in the funding account, bitcoin at 50,000 USD."""
    async with OkxSimulator(CONFIG) as running:
        yield running


@pytest.fixture
async def okx(simulator: OkxSimulator) -> AsyncIterator[OkxClient]:
    async with OkxClient(base_url=simulator.base_url, credentials=CREDENTIALS) as client:
        yield client


async def test_bitcoin_moves_between_the_accounts(okx: OkxClient) -> None:
    """Out of one and into the other, once, and the transfer can be asked for under our id."""
    ack = await okx.transfer(
        Decimal("0.3"), source=AccountKind.FUNDING, target=AccountKind.TRADING, client_transfer_id="t1"
    )
    async with asyncio.timeout(30):
        while not (status := await okx.transfer_status("t1")).state.is_final:
            await asyncio.sleep(0.02)
    assert (status.state, status.transfer_id, status.amount) == (
        TransferState.SUCCEEDED,
        ack.transfer_id,
        Decimal("0.3"),
    )
    assert (await okx.funding_balance()).total == Decimal("0.7")
    assert (await okx.trading_balance()).cash_btc == Decimal("0.5")
    assert [bill.balance_change for bill in await okx.bills(kind="1")] == [Decimal("0.3")]


async def test_a_transfer_under_an_id_that_was_used_moves_nothing(okx: OkxClient) -> None:
    """A typed error, and the earlier one stays what it is."""
    way_in = {"source": AccountKind.FUNDING, "target": AccountKind.TRADING}
    await okx.transfer(Decimal("0.3"), **way_in, client_transfer_id="t3")
    with pytest.raises(DuplicateTransferIdError):
        await okx.transfer(Decimal("0.2"), **way_in, client_transfer_id="t3")
    assert (await okx.transfer_status("t3")).amount == Decimal("0.3")
    assert (await okx.funding_balance()).total == Decimal("0.7")


async def test_a_transfer_above_the_balance_changes_nothing(okx: OkxClient) -> None:
    """In either direction, and OKX knows of none."""
    for source, target in (
        (AccountKind.FUNDING, AccountKind.TRADING),
        (AccountKind.TRADING, AccountKind.FUNDING),
    ):
        with pytest.raises(InsufficientFundsError):
            await okx.transfer(Decimal(9), source=source, target=target, client_transfer_id="t2")
    with pytest.raises(TransferNotFoundError):
        await okx.transfer_status("t2")
    assert (await okx.funding_balance()).total == 1


async def test_terms_and_address_of_bitcoins_chain(okx: OkxClient) -> None:
    """OKX's documented values; the address is one that a withdrawal could be paid to."""
    chain = await okx.bitcoin_chain()
    assert (chain.withdrawal_fee, chain.min_withdrawal, chain.max_withdrawal) == (
        Decimal("0.00005"),
        Decimal("0.0005"),
        Decimal(500),
    )
    assert (await okx.deposit_address()).credits is AccountKind.FUNDING
    assert await okx.deposits() == []


async def test_every_deposit_and_every_withdrawal(simulator: OkxSimulator, okx: OkxClient) -> None:
    """Of several pages, also where a page ends among those of one millisecond."""
    exchange = simulator.exchange
    now, now_secs = exchange.clock.now(), exchange.clock.monotonic()
    for number in range(150):
        at = now + timedelta(milliseconds=number // 40)
        exchange.wallet.receive(Decimal("0.01"), at=at, now_secs=now_secs)
    deposits = [deposit async for deposit in okx.every_deposit()]
    assert len(deposits) == len({deposit.deposit_id for deposit in deposits}) == 150
    newest = [deposit async for deposit in okx.every_deposit(since=now + timedelta(milliseconds=3))]
    assert newest == deposits[:30]

    address = (await okx.deposit_address()).address
    for name in ("w1", "w2"):
        await okx.withdraw(Decimal("0.1"), address=address, client_transfer_id=name)
    withdrawals = [withdrawal async for withdrawal in okx.every_withdrawal()]
    assert {withdrawal.client_transfer_id for withdrawal in withdrawals} == {"w1", "w2"}


async def test_a_withdrawal_to_an_address_that_okx_does_not_pay_to(okx: OkxClient) -> None:
    """Nothing leaves, and OKX knows of none."""
    with pytest.raises(WithdrawalAddressError):
        await okx.withdraw(Decimal("0.1"), address="x" * 40, client_transfer_id="w1")
    with pytest.raises(TransferNotFoundError):
        await okx.withdrawal("w1")
    assert (await okx.funding_balance()).total == 1
    assert await okx.withdrawals() == []


async def test_bounds_fees_and_settings(okx: OkxClient) -> None:
    """0.2 BTC at 2x and a fee of 0.05 %: 0.2 / (0.002 * (1/2 + 0.0005)) = 199.8 contracts."""
    assert (await okx.max_order_size(SWAP)).sell_contracts == Decimal("199.8")
    assert (await okx.max_withdrawal()).amount == Decimal("0.2")
    assert (await okx.trade_fees()).taker_rate == Decimal("-0.0005")
    await okx.set_leverage(SWAP, 3)
    assert await okx.leverage(SWAP) == 3
    with pytest.raises(LeverageError):
        await okx.set_leverage(SWAP, 1000)
    await okx.set_net_mode()
    assert (await okx.account_config()).is_net_mode


async def test_a_limit_order_rests_and_is_cancelled(okx: OkxClient, soon: datetime) -> None:
    """Below the market nobody sells; it is pending until it is cancelled."""
    order = NewOrder(
        side=OrderSide.BUY,
        size_contracts=1,
        client_order_id="l1",
        order_type=OrderType.LIMIT,
        limit_price_usd=49_800,
    )
    ack = await okx.place_order(SWAP, order, expires_at=soon)
    (pending,) = await okx.pending_orders(SWAP)
    assert (pending.client_order_id, pending.limit_price_usd, pending.state) == (
        "l1",
        Decimal(49_800),
        OrderState.LIVE,
    )
    assert await okx.order_by_id(SWAP, ack.order_id) == pending
    await okx.cancel_order(SWAP, "l1")
    assert await okx.pending_orders(SWAP) == []
    assert (await okx.order(SWAP, "l1")).state is OrderState.CANCELED


async def test_a_batch_of_which_one_is_too_large(okx: OkxClient, soon: datetime) -> None:
    """The first is filled, the second refused; fills and history list the first."""
    orders = [
        NewOrder(side=OrderSide.SELL, size_contracts=size, client_order_id=f"b{size}") for size in (10, 1000)
    ]
    outcomes = await okx.place_orders(SWAP, orders, expires_at=soon)
    assert isinstance(outcomes["b10"], OrderAck)
    assert isinstance(outcomes["b1000"], InsufficientMarginError)
    assert (await okx.position(SWAP)).size_contracts == -10
    assert {fill.client_order_id for fill in await okx.fills(SWAP)} == {"b10"}
    assert await okx.fills(SWAP, archive=True) == await okx.fills(SWAP)
    assert [order.client_order_id for order in await okx.order_history(SWAP)] == ["b10"]

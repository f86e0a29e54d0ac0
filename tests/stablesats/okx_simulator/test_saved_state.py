"""What one run leaves for the next."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stablesats.okx_simulator import (
    OkxSimulator,
    PriceReplay,
    Quote,
    SavedStateError,
    SimulatorConfig,
    SimulatorStartError,
)
from stablesats.okx_simulator.addresses import deposit_address
from stablesats.okx_simulator.chain_payments import WithdrawalRequest
from stablesats.okx_simulator.exchange import Exchange
from stablesats.okx_simulator.market import Side
from stablesats.okx_simulator.orders import OrderKind, OrderState, OrderTicket
from stablesats.okx_simulator.saved_state import StateFile, state_of
from stablesats.okx_simulator.transfers import AccountCode, TransferRequest

D = Decimal
SETTINGS: dict[str, Any] = {
    "funding_btc": D(2),
    "transfer_ms": 5_000,
    "block_ms": 60_000,
    "fill_delay_ms": 1_000,
}


def order(side: Side, contracts: int, client_order_id: str, price: int | None = None) -> OrderTicket:
    return OrderTicket(
        inst_id="BTC-USD-SWAP",
        side=side,
        contracts=D(contracts),
        client_order_id=client_order_id,
        tag="tag",
        reduce_only=False,
        kind=OrderKind.LIMIT if price else OrderKind.MARKET,
        price_usd=D(price) if price else None,
    )


def busy(exchange: Exchange, clock: Any) -> None:
    """Leave something of everything: filled, resting and arriving orders, money under way, a price by hand."""
    exchange.place(order(Side.SELL, 100, "filled"))
    exchange.place(order(Side.BUY, 10, "resting", 49_900))
    clock.advance(1)
    exchange.timeline.settle_funding(D("0.0003"))
    exchange.place(order(Side.SELL, 1, "arriving"))
    exchange.transfer(
        TransferRequest(
            amount_btc=D("0.5"), source=AccountCode.FUNDING, target=AccountCode.TRADING, client_id="t"
        )
    )
    exchange.wallet.receive(D("0.25"), at=exchange.clock.now(), now_secs=exchange.clock.monotonic())
    exchange.wallet.new_address()
    exchange.withdraw(
        WithdrawalRequest(
            amount_btc=D("0.1"), address=deposit_address(5, 5), client_id="w", is_internal=False
        )
    )
    exchange.feed.set_by_hand(D(49_950), D(49_951))


def test_everything_is_as_it_was(
    exchange_factory: Callable[..., Exchange], clock: Any, tmp_path: Path
) -> None:
    """Another exchange that loads the file has an equal state, ids and addresses included."""
    first, file = exchange_factory(**SETTINGS), StateFile(tmp_path / "state.json")
    busy(first, clock)
    file.save(first)
    second = exchange_factory(**SETTINGS)
    file.load(second)
    assert state_of(second) == state_of(first)


def test_state_of_an_earlier_version_is_loaded(
    exchange_factory: Callable[..., Exchange], clock: Any, tmp_path: Path
) -> None:
    """Orders once had the margin that they held back beside them; now it follows from the whole."""
    first, file = exchange_factory(**SETTINGS), StateFile(tmp_path / "state.json")
    busy(first, clock)
    file.save(first)
    state = json.loads(file.path.read_bytes())
    for each in state["orders"]:
        each["frozen_btc"] = "7"
    file.path.write_text(json.dumps(state))
    second = exchange_factory(**SETTINGS)
    file.load(second)
    assert state_of(second) == state_of(first)
    assert second.order_frozen_btc == first.order_frozen_btc
    assert second.wallet.addresses == first.wallet.addresses
    assert second.custody == first.custody
    assert second.custody.discrepancy_btc == 0


def test_equal_seeds_and_requests_give_equal_exchanges(
    exchange_factory: Callable[..., Exchange], clock: Any
) -> None:
    """Ids, addresses and transaction ids included; another seed, other ids."""
    began = clock.wall, clock.seconds
    states = []
    for seed in (3, 3, 4):
        clock.wall, clock.seconds = began
        exchange = exchange_factory(**SETTINGS, seed=seed)
        busy(exchange, clock)
        states.append(state_of(exchange))
    assert states[0] == states[1] != states[2]


def test_what_was_under_way_goes_on(
    exchange_factory: Callable[..., Exchange], clock: Any, tmp_path: Path
) -> None:
    """Hours later: the order arrives after its second, money after its seconds, the limit at its price."""
    first, file = exchange_factory(**SETTINGS), StateFile(tmp_path / "state.json")
    busy(first, clock)
    file.save(first)
    clock.advance(7200)
    second = exchange_factory(**SETTINGS)
    file.load(second)
    second.advance()
    assert second.order(order_id="", client_order_id="arriving").state is OrderState.LIVE
    clock.advance(1)
    assert second.order(order_id="", client_order_id="arriving").state is OrderState.FILLED
    clock.advance(119)
    second.feed.set_by_hand(D(49_000), D(49_000))
    second.advance()
    assert second.order(order_id="", client_order_id="resting").average_price_usd == 49_900
    assert [deposit.state for deposit in second.wallet.deposits.values()] == ["2"]
    assert [withdrawal.state for withdrawal in second.wallet.withdrawals.values()] == ["2"]
    assert second.wallet.in_transit_btc == 0
    assert second.custody.discrepancy_btc == 0


def test_time_goes_on_where_it_was_and_no_settlement_is_paid_twice(
    exchange_factory: Callable[..., Exchange], clock: Any, tmp_path: Path
) -> None:
    """After a day was skipped: the clock does not go back, and the next day pays three more settlements."""
    first, file = exchange_factory(), StateFile(tmp_path / "state.json")
    first.place(order(Side.SELL, 100, "a"))
    first.clock.skip(86_400)
    file.save(first)
    clock.advance(600)
    second = exchange_factory()
    file.load(second)
    assert second.clock.now() == datetime(2026, 9, 2, 12, tzinfo=UTC)
    assert len(second.trading.bills) == 4
    second.clock.skip(86_400)
    second.advance()
    settled = [bill.at for bill in second.trading.bills[1:]]
    assert settled == [datetime(2026, 9, 1, 16, tzinfo=UTC) + timedelta(hours=8 * n) for n in range(6)]


def test_time_that_the_machine_has_passed_is_not_gone_back_to(
    exchange_factory: Callable[..., Exchange], clock: Any, tmp_path: Path
) -> None:
    """A day later it is a day later, and the settlements between are not made up for."""
    first, file = exchange_factory(), StateFile(tmp_path / "state.json")
    first.place(order(Side.SELL, 100, "a"))
    file.save(first)
    clock.advance(86_400)
    second = exchange_factory()
    file.load(second)
    second.advance()
    assert (second.clock.now(), second.clock.ahead_secs) == (clock.now(), 0)
    assert len(second.trading.bills) == 1


def test_addresses_are_those_of_the_first_seed(
    exchange_factory: Callable[..., Exchange], clock: Any, tmp_path: Path
) -> None:
    """Whatever seed the later run has, a deposit stands at one of the account's addresses."""
    first, file = exchange_factory(**SETTINGS, seed=3), StateFile(tmp_path / "state.json")
    busy(first, clock)
    file.save(first)
    second = exchange_factory(**SETTINGS, seed=4)
    file.load(second)
    assert second.wallet.addresses == first.wallet.addresses
    assert {deposit.address for deposit in second.wallet.deposits.values()} <= set(second.wallet.addresses)
    state = json.loads(file.path.read_bytes())
    del state["seed"]
    file.path.write_text(json.dumps(state))
    third = exchange_factory(**SETTINGS, seed=3)
    file.load(third)
    assert third.wallet.addresses == first.wallet.addresses


async def test_second_simulator_on_a_file_does_not_start(tmp_path: Path) -> None:
    """It would overwrite what the first one saves; once that has stopped, another one may."""
    path = tmp_path / "state.json"
    async with OkxSimulator(SimulatorConfig(), state_path=path) as first:
        late = OkxSimulator(SimulatorConfig(), state_path=path)
        with pytest.raises(SavedStateError, match="another simulator is running on it"):
            await late.start()
        first.exchange.place(order(Side.SELL, 7, "a"))
    async with late:
        assert late.exchange.account.contracts == -7
    with pytest.raises(SavedStateError, match="another simulator has written it meanwhile"):
        await first.start()


async def test_file_is_free_again_after_a_start_that_failed(tmp_path: Path) -> None:
    """The port was taken; the same simulator, and then another one, may have the file later."""
    path = tmp_path / "state.json"
    async with OkxSimulator(SimulatorConfig()) as other:
        late = OkxSimulator(SimulatorConfig(port=int(other.base_url.rpartition(":")[2])), state_path=path)
        with pytest.raises(SimulatorStartError):
            await late.start()
    for _ in range(2):
        async with late:
            late.exchange.place(order(Side.SELL, 7, f"a{late.exchange.order_count}"))
    async with OkxSimulator(SimulatorConfig(), state_path=path) as another:
        assert another.exchange.account.contracts == -14


async def test_state_that_could_not_be_saved_in_the_end_stops_the_start(tmp_path: Path) -> None:
    """A folder that is not there is named before anything happens that would be lost."""
    simulator = OkxSimulator(SimulatorConfig(), state_path=tmp_path / "nowhere" / "state.json")
    with pytest.raises(SavedStateError, match="nowhere"):
        await simulator.start()


async def test_state_is_saved_also_when_the_stop_is_cut_short(tmp_path: Path) -> None:
    """As by a second interrupt: what happened is kept, and the file is free."""
    path = tmp_path / "state.json"
    simulator = OkxSimulator(SimulatorConfig(), state_path=path)
    await simulator.start()
    simulator.exchange.place(order(Side.SELL, 7, "a"))
    stopping = asyncio.create_task(simulator.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    async with OkxSimulator(SimulatorConfig(), state_path=path) as later:
        assert later.exchange.account.contracts == -7


def test_replay_goes_on_where_it_was(
    exchange_factory: Callable[..., Exchange], clock: Any, tmp_path: Path
) -> None:
    """Three seconds into the history, not at its beginning."""
    start = datetime(2017, 9, 4, tzinfo=UTC)
    replay = PriceReplay(tuple(Quote(start + timedelta(seconds=at), *[D(4000 + at)] * 3) for at in range(10)))
    first, file = exchange_factory(replay=replay), StateFile(tmp_path / "state.json")
    assert first.feed.replay_clock is not None
    first.feed.replay_clock.start()
    clock.advance(3)
    file.save(first)
    second = exchange_factory(replay=replay)
    file.load(second)
    assert second.price.last_usd == 4003
    assert second.feed.replay_clock is not None
    second.feed.replay_clock.start()
    clock.advance(2)
    assert second.price.last_usd == 4005


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("{", "holds no saved state"), ('{"version": 2}', "holds no saved state: version"), ("[]", "the file")],
)
def test_file_that_is_no_state_is_one_line(
    exchange_factory: Callable[..., Exchange], tmp_path: Path, content: str, complaint: str
) -> None:
    """It names the file and the first thing that is wrong; the exchange is untouched."""
    path = tmp_path / "state.json"
    path.write_text(content)
    exchange = exchange_factory()
    with pytest.raises(SavedStateError, match=complaint) as failed:
        StateFile(path).load(exchange)
    assert "\n" not in str(failed.value)
    assert exchange.order_count == 0


def test_file_that_cannot_be_written_is_one_line(
    exchange_factory: Callable[..., Exchange], tmp_path: Path
) -> None:
    """No folder, no state; and nothing is left lying about."""
    with pytest.raises(SavedStateError, match="No such file or directory"):
        StateFile(tmp_path / "nowhere" / "state.json").save(exchange_factory())
    taken = tmp_path / "folder"
    (taken / "inside").mkdir(parents=True)
    with pytest.raises(SavedStateError, match="folder: "):
        StateFile(taken).save(exchange_factory())
    assert list(tmp_path.iterdir()) == [taken]


async def test_simulator_keeps_its_state_from_one_run_to_the_next(tmp_path: Path, clock: Any) -> None:
    """Saved when it stops, loaded when it starts."""
    path = tmp_path / "state.json"

    def simulator() -> OkxSimulator:
        return OkxSimulator(SimulatorConfig(), now=clock.now, monotonic=clock.monotonic, state_path=path)

    async with simulator() as first:
        first.exchange.place(order(Side.SELL, 7, "a"))
    async with simulator() as second:
        assert second.exchange.account.contracts == -7
        assert second.exchange.place(order(Side.BUY, 7, "b")).order_id not in {
            each.order_id for each in first.exchange.orders
        }

"""The funding account without HTTP: what is held, frozen and on its way."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from stablesats.okx_simulator import AdminRequestError
from stablesats.okx_simulator.addresses import deposit_address
from stablesats.okx_simulator.chain_payments import WithdrawalRequest
from stablesats.okx_simulator.funding_account import FundingAccount, Pace
from stablesats.okx_simulator.ids import Ids
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.transfers import AccountCode, TransferRequest, TransferState

D = Decimal
AT = datetime(2026, 9, 1, tzinfo=UTC)
BY_HAND = Pace(transfer_secs=5.0, block_secs=None)


def account(balance: str = "2", pace: Pace = BY_HAND) -> FundingAccount:
    return FundingAccount(D(balance), ids=Ids.seeded(1), pace=pace, seed=1)


def payment(amount: str, client_id: str = "") -> WithdrawalRequest:
    return WithdrawalRequest(
        amount_btc=D(amount), address=deposit_address(2, 2), client_id=client_id, is_internal=False
    )


def outward(amount: str) -> TransferRequest:
    return TransferRequest(
        amount_btc=D(amount), source=AccountCode.FUNDING, target=AccountCode.TRADING, client_id=""
    )


def test_what_one_withdrawal_freezes_another_cannot_have() -> None:
    """1.5 and its fee leave 0.49995 of 2, and a transfer has to do with that as well."""
    wallet = account()
    wallet.withdraw(payment("1.5"), AT, 0.0)
    assert (wallet.balance_btc, wallet.available_btc) == (2, D("0.49995"))
    with pytest.raises(RefusalError, match="58350"):
        wallet.withdraw(payment("0.49990001"), AT, 0.0)
    with pytest.raises(RefusalError, match="58350"):
        wallet.check_transfer(outward("0.49995001"))
    wallet.check_transfer(outward("0.49995"))


def test_things_are_due_in_the_order_of_their_time() -> None:
    """A transfer of five seconds before a block of a minute; nothing under way, nothing due."""
    wallet = account(pace=Pace(transfer_secs=5.0, block_secs=60.0))
    assert wallet.next_due_secs is None
    deposit = wallet.receive(D(1), at=AT, now_secs=100.0)
    transfer = wallet.accept_transfer(outward("1"), AT, 100.0)
    assert wallet.next_due_secs == 105
    assert wallet.due(104.9) == []
    assert wallet.due(200.0) == [transfer.transfer_id, deposit.deposit_id]


def test_transfer_that_is_pending_is_in_neither_account() -> None:
    """It has left the source, and comes to the target when it is finished."""
    wallet = account()
    transfer = wallet.accept_transfer(outward("0.5"), AT, 0.0)
    assert (wallet.balance_btc, wallet.in_transit_btc) == (D("1.5"), D("0.5"))
    finished, receiver = wallet.finish_transfer(transfer.transfer_id)
    assert (finished.state, receiver) == (TransferState.SUCCESS, AccountCode.TRADING)
    assert (wallet.balance_btc, wallet.in_transit_btc) == (D("1.5"), 0)


@pytest.mark.parametrize(
    ("states", "balance", "frozen"),
    [
        (["0"], "2", "1.00005"),
        (["1"], "0.99995", "0"),
        (["1", "2"], "0.99995", "0"),
        (["2", "-1"], "2", "0"),
        (["-2"], "2", "0"),
        (["-2", "0"], "2", "1.00005"),
        (["7", "16"], "2", "1.00005"),
    ],
)
def test_state_of_a_withdrawal_decides_where_its_amount_is(
    states: list[str], balance: str, frozen: str
) -> None:
    """Gone, frozen, or back: whatever states it went through."""
    wallet = account()
    withdrawal = wallet.withdraw(payment("1"), AT, 0.0)
    for state in states:
        wallet.set_withdrawal_state(withdrawal.withdrawal_id, state)
    assert (wallet.balance_btc, wallet.frozen_btc) == (D(balance), D(frozen))


def test_money_that_is_gone_cannot_be_taken_back_by_a_state() -> None:
    """Neither a returned withdrawal that was spent since, nor a deposit."""
    wallet = account("1.1")
    back = wallet.withdraw(payment("1"), AT, 0.0)
    wallet.set_withdrawal_state(back.withdrawal_id, "-2")
    wallet.accept_transfer(outward("1"), AT, 0.0)
    with pytest.raises(AdminRequestError, match="has been used otherwise"):
        wallet.set_withdrawal_state(back.withdrawal_id, "0")
    deposit = wallet.receive(D("0.5"), at=AT, now_secs=0.0)
    wallet.mine()
    wallet.accept_transfer(outward("0.6"), AT, 0.0)
    with pytest.raises(AdminRequestError, match="has been spent"):
        wallet.set_deposit_state(deposit.deposit_id, "12")
    assert wallet.balance_btc == 0


def test_unknown_deposit_has_no_state_to_set() -> None:
    """One sentence that names it."""
    with pytest.raises(AdminRequestError, match="there is no deposit 5"):
        account().set_deposit_state("5", "2")

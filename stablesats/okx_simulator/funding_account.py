"""The funding account: its balance, and all money that comes in, goes out or changes sides.

As in the trading account, time comes in with each call, and a call that raises has changed nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stablesats.okx_simulator.addresses import deposit_address
from stablesats.okx_simulator.amounts import ZERO
from stablesats.okx_simulator.chain_payments import (
    DEPOSIT_CREDITED,
    DEPOSIT_SUCCESSFUL,
    DEPOSIT_WAITING,
    WITHDRAWAL_BROADCAST,
    WITHDRAWAL_SUCCESSFUL,
    WITHDRAWAL_WAITING,
    Deposit,
    Withdrawal,
    WithdrawalRequest,
    made_up_tx_id,
)
from stablesats.okx_simulator.config import is_btc_amount
from stablesats.okx_simulator.currency import BITCOIN
from stablesats.okx_simulator.errors import AdminRequestError
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.transfers import AccountCode, Transfer, TransferRequest, TransferState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from stablesats.okx_simulator.ids import Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long money takes.

    Attributes:
        transfer_secs: Seconds that a transfer is pending.
        block_secs: Seconds between blocks, each one confirmation; 0 confirms at once, None only by hand.
    """

    transfer_secs: float = 0.0
    block_secs: float | None = 0.0


class FundingAccount:
    """The balance of the funding account, with its transfers, deposits and withdrawals.

    Args:
        balance_btc: What it holds at first.
        ids: Numbers for transfers, deposits and withdrawals.
        pace: How long they take.
        seed: Decides the deposit addresses.
    """

    def __init__(self, balance_btc: Decimal, *, ids: Ids, pace: Pace, seed: int) -> None:
        self.balance_btc = balance_btc
        self.transfers: dict[str, Transfer] = {}
        self.deposits: dict[str, Deposit] = {}
        self.withdrawals: dict[str, Withdrawal] = {}
        self.address_count = 1
        self.failing_transfers = 0
        self.payment_changes: list[Deposit | Withdrawal] = []
        self._due_secs: dict[str, float] = {}
        self._ids = ids
        self._pace = pace
        self.seed = seed

    def __repr__(self) -> str:
        return f"<FundingAccount balance_btc={self.balance_btc} frozen_btc={self.frozen_btc}>"

    @property
    def frozen_btc(self) -> Decimal:
        """What withdrawals hold that have not left yet."""
        return sum((each.total_btc for each in self.withdrawals.values() if each.is_frozen), ZERO)

    @property
    def available_btc(self) -> Decimal:
        """What can be used."""
        return self.balance_btc - self.frozen_btc

    @property
    def in_transit_btc(self) -> Decimal:
        """What pending transfers have taken from one account and not yet put into the other."""
        pending = (each for each in self.transfers.values() if each.state is TransferState.PENDING)
        return sum((each.request.amount_btc for each in pending), ZERO)

    @property
    def addresses(self) -> Sequence[str]:
        """The deposit addresses, the one in use first."""
        return [deposit_address(self.seed, index) for index in reversed(range(self.address_count))]

    @property
    def next_due_secs(self) -> float | None:
        """When, on the monotonic clock, something here happens next."""
        return min(self._due_secs.values(), default=None)

    def new_address(self) -> str:
        """Hand out another deposit address; the earlier ones stay valid."""
        self.address_count += 1
        return self.addresses[0]

    def adjust(self, amount_btc: Decimal) -> None:
        """Book an amount from nowhere; negative takes it out."""
        self.balance_btc += amount_btc

    # Transfers. The trading side of one is moved by the exchange, before `accept` and after `due`.

    def check_transfer(self, request: TransferRequest) -> None:
        """Refuse a transfer whose client id was used, or that the funding account cannot pay.

        Raises:
            RefusalError: 58124 while the earlier transfer of that client id is pending, 58129 afterwards;
                58350 if the funding account is short.
        """
        for earlier in self.transfers.values():
            if request.client_id and earlier.request.client_id == request.client_id:
                if earlier.state is TransferState.PENDING:
                    raise RefusalError("58124", earlier.transfer_id)
                raise RefusalError("58129", "clientId")
        if request.source is AccountCode.FUNDING and request.amount_btc > self.available_btc:
            raise RefusalError("58350")

    def accept_transfer(self, request: TransferRequest, at: datetime, now_secs: float) -> Transfer:
        """Take the amount out of its source and leave it pending."""
        transfer = Transfer(
            transfer_id=self._ids.money(), request=request, state=TransferState.PENDING, created_at=at
        )
        if request.source is AccountCode.FUNDING:
            self.balance_btc -= request.amount_btc
        self.transfers[transfer.transfer_id] = transfer
        self._due_secs[transfer.transfer_id] = now_secs + self._pace.transfer_secs
        return transfer

    def finish_transfer(self, transfer_id: str) -> tuple[Transfer, AccountCode]:
        """End a pending transfer; returns it and the account that its amount has come to."""
        transfer = self.transfers[transfer_id]
        del self._due_secs[transfer_id]
        failed = self.failing_transfers > 0
        if failed:
            self.failing_transfers -= 1
        state = TransferState.FAILED if failed else TransferState.SUCCESS
        receiver = transfer.request.source if failed else transfer.request.target
        if receiver is AccountCode.FUNDING:
            self.balance_btc += transfer.request.amount_btc
        self.transfers[transfer_id] = replace(transfer, state=state)
        return self.transfers[transfer_id], receiver

    def transfer(self, *, transfer_id: str, client_id: str) -> Transfer:
        """Return a transfer; *transfer_id* wins if both are given.

        Raises:
            RefusalError: 50014 without any id; 58129 if there is none.
        """
        if not (transfer_id or client_id):
            raise RefusalError("50014", "transId")
        for transfer in self.transfers.values():
            if (
                (transfer.transfer_id == transfer_id)
                if transfer_id
                else transfer.request.client_id == client_id
            ):
                return transfer
        raise RefusalError("58129", "transId" if transfer_id else "clientId")

    # Payments on the chain.

    def receive(
        self, amount_btc: Decimal, *, at: datetime, now_secs: float, address: str = "", tx_id: str = ""
    ) -> Deposit:
        """Let a payment to a deposit address appear, unconfirmed unless blocks come at once.

        Raises:
            AdminRequestError: If the amount is below the least deposit, or the address is not ours.
        """
        if not is_btc_amount(amount_btc) or amount_btc < BITCOIN.min_deposit_btc:
            raise AdminRequestError(
                f"amt is {amount_btc}, and must be at least {BITCOIN.min_deposit_btc} BTC in whole satoshis"
            )
        if address and address not in self.addresses:
            raise AdminRequestError(f"addr {address} is not a deposit address of this account")
        deposit_id = self._ids.money()
        deposit = Deposit(
            deposit_id=deposit_id,
            address=address or self.addresses[0],
            amount_btc=amount_btc,
            tx_id=tx_id or made_up_tx_id(deposit_id),
            state=DEPOSIT_WAITING,
            confirmations=0,
            at=at,
        )
        self._put(deposit)
        self._wait_for_block(deposit_id, now_secs)
        return deposit

    def withdraw(self, request: WithdrawalRequest, at: datetime, now_secs: float) -> Withdrawal:
        """Accept a withdrawal and freeze its amount and fee.

        Raises:
            RefusalError: 58404 for a client id that was used; 58350 if the account is short.
        """
        if request.client_id and any(
            earlier.request.client_id == request.client_id for earlier in self.withdrawals.values()
        ):
            raise RefusalError("58404")
        if request.amount_btc + request.fee_btc > self.available_btc:
            raise RefusalError("58350")
        withdrawal_id = self._ids.money()
        withdrawal = Withdrawal(
            withdrawal_id=withdrawal_id, request=request, state=WITHDRAWAL_WAITING, tx_id="", at=at
        )
        self._put(withdrawal)
        self._wait_for_block(withdrawal_id, now_secs)
        return withdrawal

    def mine(self) -> None:
        """Add a block: every deposit and withdrawal under way comes one step further."""
        for deposit_id in self.deposits:
            self._confirm_deposit(deposit_id)
        for withdrawal_id in self.withdrawals:
            self._advance_withdrawal(withdrawal_id)

    def set_deposit_state(self, deposit_id: str, state: str) -> None:
        """Put a deposit into any of OKX's states; credited or not follows from the state.

        Raises:
            AdminRequestError: If there is no such deposit, or its amount has been spent already.
        """
        deposit = self.deposits.get(deposit_id)
        if deposit is None:
            raise AdminRequestError(f"there is no deposit {deposit_id}")
        after = replace(deposit, state=state)
        change = (after.is_credited - deposit.is_credited) * deposit.amount_btc
        if change + self.available_btc < 0:
            raise AdminRequestError(f"deposit {deposit_id} has been spent, and cannot be taken back")
        self._put(after)
        self.balance_btc += change

    def set_withdrawal_state(self, withdrawal_id: str, state: str) -> None:
        """Put a withdrawal into any of OKX's states; what is paid, frozen or returned follows from it.

        Raises:
            AdminRequestError: If there is no such withdrawal, or its amount is no longer there to be held.
        """
        withdrawal = self.withdrawals.get(withdrawal_id)
        if withdrawal is None:
            raise AdminRequestError(f"there is no withdrawal {withdrawal_id}")
        after = replace(withdrawal, state=state)
        if after.is_paid and not after.tx_id:
            after = replace(after, tx_id=made_up_tx_id(withdrawal_id))
        balance_btc = self.balance_btc + (withdrawal.is_paid - after.is_paid) * withdrawal.total_btc
        frozen_btc = self.frozen_btc + (after.is_frozen - withdrawal.is_frozen) * withdrawal.total_btc
        if frozen_btc > balance_btc:
            raise AdminRequestError(f"the amount of withdrawal {withdrawal_id} has been used otherwise")
        self._put(after)
        self.balance_btc = balance_btc

    def due(self, now_secs: float) -> list[str]:
        """Return the ids of what is due, in the order in which it became so."""
        ready = sorted((secs, money_id) for money_id, secs in self._due_secs.items() if secs <= now_secs)
        return [money_id for _, money_id in ready]

    def confirm(self, money_id: str) -> None:
        """Let one deposit or withdrawal that is due have its block."""
        self._due_secs[money_id] += self._pace.block_secs or 0.0
        if money_id in self.deposits:
            self._confirm_deposit(money_id)
        else:
            self._advance_withdrawal(money_id)

    def waits(self) -> dict[str, float]:
        """Return when each thing that is under way is due, on the monotonic clock."""
        return dict(self._due_secs)

    def wait_until(self, due_secs: dict[str, float]) -> None:
        """Take over what `waits` returned, on another monotonic clock."""
        self._due_secs = dict(due_secs)

    def _put(self, payment: Deposit | Withdrawal) -> None:
        """Keep a new payment, or the newer form of one."""
        match payment:
            case Deposit():
                self.deposits[payment.deposit_id] = payment
            case Withdrawal():
                self.withdrawals[payment.withdrawal_id] = payment
        self.payment_changes.append(payment)

    def _wait_for_block(self, money_id: str, now_secs: float) -> None:
        match self._pace.block_secs:
            case None:
                pass
            case block_secs:
                self._due_secs[money_id] = now_secs + block_secs

    def _confirm_deposit(self, deposit_id: str) -> None:
        deposit = self.deposits[deposit_id]
        if deposit.state not in {DEPOSIT_WAITING, DEPOSIT_CREDITED}:
            self._due_secs.pop(deposit_id, None)
            return
        confirmations = deposit.confirmations + 1
        if confirmations >= BITCOIN.confirmations_to_withdraw:
            state = DEPOSIT_SUCCESSFUL
            self._due_secs.pop(deposit_id, None)
        elif confirmations >= BITCOIN.confirmations_to_credit:
            state = DEPOSIT_CREDITED
        else:
            state = DEPOSIT_WAITING
        after = replace(deposit, state=state, confirmations=confirmations)
        if after.is_credited and not deposit.is_credited:
            self.balance_btc += deposit.amount_btc
        self._put(after)

    def _advance_withdrawal(self, withdrawal_id: str) -> None:
        match self.withdrawals[withdrawal_id].state:
            case "0":
                self.set_withdrawal_state(withdrawal_id, WITHDRAWAL_BROADCAST)
            case "1":
                self.set_withdrawal_state(withdrawal_id, WITHDRAWAL_SUCCESSFUL)
                self._due_secs.pop(withdrawal_id, None)
            case _:
                self._due_secs.pop(withdrawal_id, None)

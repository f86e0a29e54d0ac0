"""What OKX answers about the funding account: balances, addresses, transfers, deposits, withdrawals.

Amounts are `Decimal` BTC (or whole units of the currency named beside them).
"""

from decimal import Decimal
from enum import StrEnum
from typing import Self

from pydantic import Field

from stablesats.okx.fields import (
    Flag,
    Instant,
    Message,
    NonEmpty,
    OptionalAmount,
    PositiveAmount,
    Text,
    UnsignedAmount,
)
from stablesats.okx.funding_states import DepositState, TransferState, WithdrawalState


class AccountKind(StrEnum):
    """The two accounts of one user that money moves between, under OKX's codes."""

    FUNDING = "6"
    TRADING = "18"


class FundingBalance(Message):
    """What the funding account holds of a currency."""

    currency: NonEmpty = Field(validation_alias="ccy")
    total: UnsignedAmount = Field(validation_alias="bal")
    available: UnsignedAmount = Field(validation_alias="availBal")
    frozen: UnsignedAmount = Field(validation_alias="frozenBal")

    @classmethod
    def empty(cls, currency: str) -> Self:
        """Return the balance of an account that holds none of it: OKX leaves its row out."""
        zero = Decimal(0)
        return cls(currency=currency, total=zero, available=zero, frozen=zero)


class CurrencyChain(Message):
    """The terms of moving a currency on one chain.

    Attributes:
        chain: Such as ``BTC-Bitcoin``; a currency has several, and their terms differ.
        can_deposit, can_withdraw: Whether OKX offers it at this moment.
        withdrawal_fee: On top of the amount; None if OKX states none.
        min_withdrawal, max_withdrawal: Bounds of one withdrawal; None if OKX states none.
    """

    currency: NonEmpty = Field(validation_alias="ccy")
    chain: NonEmpty
    can_deposit: Flag = Field(default=False, validation_alias="canDep")
    can_withdraw: Flag = Field(default=False, validation_alias="canWd")
    withdrawal_fee: OptionalAmount = Field(default=None, validation_alias="fee")
    min_withdrawal_fee: OptionalAmount = Field(default=None, validation_alias="minFee")
    max_withdrawal_fee: OptionalAmount = Field(default=None, validation_alias="maxFee")
    min_withdrawal: OptionalAmount = Field(default=None, validation_alias="minWd")
    max_withdrawal: OptionalAmount = Field(default=None, validation_alias="maxWd")
    min_deposit: OptionalAmount = Field(default=None, validation_alias="minDep")


class DepositAddress(Message):
    """An address that credits one of our accounts; old ones stay valid, one a chain is selected."""

    currency: NonEmpty = Field(validation_alias="ccy")
    chain: NonEmpty
    address: NonEmpty = Field(validation_alias="addr")
    credits: AccountKind = Field(validation_alias="to")
    is_selected: Flag = Field(default=False, validation_alias="selected")


class TransferAck(Message):
    """OKX has accepted a transfer; that it is done is for `TransferStatus` to say."""

    transfer_id: NonEmpty = Field(validation_alias="transId")
    client_transfer_id: Text = Field(default="", validation_alias="clientId")


class TransferStatus(Message):
    """A transfer between our accounts as OKX reports it."""

    transfer_id: NonEmpty = Field(validation_alias="transId")
    client_transfer_id: Text = Field(default="", validation_alias="clientId")
    currency: NonEmpty = Field(validation_alias="ccy")
    amount: PositiveAmount = Field(validation_alias="amt")
    source: Text = Field(default="", validation_alias="from")
    target: Text = Field(default="", validation_alias="to")
    state: TransferState


class WithdrawalAck(Message):
    """OKX has accepted a withdrawal; that it left is for `Withdrawal` to say."""

    withdrawal_id: NonEmpty = Field(validation_alias="wdId")
    client_transfer_id: Text = Field(default="", validation_alias="clientId")


class Withdrawal(Message):
    """A payment to an address outside.

    Attributes:
        amount: What the address gets.
        fee: Charged on top of it; None while OKX does not say.
        transaction_id: Of the chain; empty until it is broadcast.
    """

    withdrawal_id: NonEmpty = Field(validation_alias="wdId")
    client_transfer_id: Text = Field(default="", validation_alias="clientId")
    currency: NonEmpty = Field(validation_alias="ccy")
    chain: Text = ""
    amount: PositiveAmount = Field(validation_alias="amt")
    fee: OptionalAmount = None
    address: Text = Field(default="", validation_alias="to")
    transaction_id: Text = Field(default="", validation_alias="txId")
    state: WithdrawalState
    at: Instant = Field(validation_alias="ts")


class Deposit(Message):
    """A payment to one of our addresses; known by its ids, since amounts repeat.

    Attributes:
        amount: A number: OKX may write it with or without trailing zeros.
        transaction_id: Of the chain.
    """

    deposit_id: NonEmpty = Field(validation_alias="depId")
    currency: NonEmpty = Field(validation_alias="ccy")
    chain: Text = ""
    amount: PositiveAmount = Field(validation_alias="amt")
    address: Text = Field(default="", validation_alias="to")
    transaction_id: Text = Field(default="", validation_alias="txId")
    confirmations: Text = Field(default="", validation_alias="actualDepBlkConfirm")
    state: DepositState
    at: Instant = Field(validation_alias="ts")

"""Which row of an answer about the funding account is the one that was asked for; pure."""

from typing import TypeVar

from stablesats.okx.call import Call
from stablesats.okx.envelope import Row, not_understood, read_row
from stablesats.okx.funding_calls import BITCOIN, BITCOIN_CHAIN
from stablesats.okx.funding_messages import (
    AccountKind,
    CurrencyChain,
    DepositAddress,
    FundingBalance,
    TransferAck,
    TransferStatus,
    Withdrawal,
    WithdrawalAck,
)

Own = TypeVar("Own", TransferAck, TransferStatus, WithdrawalAck, Withdrawal)


def balance_of(rows: list[Row], call: Call) -> FundingBalance:
    """Return the bitcoin in the account; zeros without a row: OKX leaves it out then."""
    matching = [row for row in rows if row.get("ccy") == BITCOIN]
    if len(matching) > 1:
        not_understood(call, f"expected one row for {BITCOIN}, found {len(matching)}")
    return read_row(FundingBalance, matching[0], call) if matching else FundingBalance.empty(BITCOIN)


def bitcoin_chain_of(rows: list[Row], call: Call) -> CurrencyChain:
    """Return the terms of bitcoin's own chain, wherever its row stands."""
    chains = [row for row in rows if row.get("ccy") == BITCOIN and row.get("chain") == BITCOIN_CHAIN]
    if len(chains) != 1:
        not_understood(call, f"expected one row for {BITCOIN_CHAIN}, found {len(chains)}")
    return read_row(CurrencyChain, chains[0], call)


def deposit_address_of(rows: list[Row], call: Call) -> DepositAddress:
    """Return the selected address of bitcoin's own chain that credits the funding account.

    Coins sent to an address of another chain, or that credits another account, would be lost to us: anything
    but exactly one such address is an error.
    """
    addresses = [read_row(DepositAddress, row, call) for row in rows if row.get("chain") == BITCOIN_CHAIN]
    usable = [
        address
        for address in addresses
        if address.is_selected and address.currency == BITCOIN and address.credits is AccountKind.FUNDING
    ]
    if len(usable) != 1:
        not_understood(
            call, f"expected one selected {BITCOIN_CHAIN} address of the funding account, found {len(usable)}"
        )
    return usable[0]


def own_row_of(model: type[Own], rows: list[Row], call: Call) -> Own:
    """Return the row under the client id of *call*."""
    value = read_row(model, _only(rows, call, call.client_transfer_id), call)
    if value.client_transfer_id != call.client_transfer_id:
        not_understood(
            call, f"it is about {call.client_transfer_id}, the answer about {value.client_transfer_id!r}"
        )
    return value


def transfer_by_id_of(rows: list[Row], call: Call, transfer_id: str) -> TransferStatus:
    """Return the transfer under OKX's id that was asked for."""
    status = read_row(TransferStatus, _only(rows, call, transfer_id), call)
    if status.transfer_id != transfer_id:
        not_understood(call, f"it is about {transfer_id}, the answer about {status.transfer_id}")
    return status


def _only(rows: list[Row], call: Call, wanted: str) -> Row:
    if len(rows) != 1:
        not_understood(call, f"expected one row for {wanted}, found {len(rows)}")
    return rows[0]

"""Transfers, deposits, withdrawals and bills in the shape in which OKX's answers show them.

Source: OKX API v5, response parameters of the funding account's calls and of "Get bills details".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator.amounts import plain_text
from stablesats.okx_simulator.bills import BillSubType
from stablesats.okx_simulator.currency import BITCOIN
from stablesats.okx_simulator.rows import millis
from stablesats.okx_simulator.transfers import AccountCode

if TYPE_CHECKING:
    from stablesats.okx_simulator.bills import Bill
    from stablesats.okx_simulator.chain_payments import Deposit, Withdrawal
    from stablesats.okx_simulator.funding_account import FundingAccount
    from stablesats.okx_simulator.instrument import Instrument
    from stablesats.okx_simulator.rows import Row
    from stablesats.okx_simulator.transfers import Transfer

_TRANSFERS_IN: Final = (AccountCode.FUNDING, AccountCode.TRADING)
_UNUSED_BILL_FIELDS: Final = (
    "clOrdId",
    "execType",
    "fillFwdPx",
    "fillIdxPx",
    "fillMarkPx",
    "fillMarkVol",
    "fillPxUsd",
    "fillPxVol",
    "interest",
    "notes",
    "posBal",
    "posBalChg",
    "subAcct",
    "tag",
)


def funding_balance_row(wallet: FundingAccount) -> Row:
    """Return the balance of the funding account; ``bal`` holds what is frozen."""
    return {
        "availBal": plain_text(wallet.available_btc),
        "bal": plain_text(wallet.balance_btc),
        "ccy": BITCOIN.code,
        "frozenBal": plain_text(wallet.frozen_btc),
    }


def address_rows(wallet: FundingAccount) -> list[Row]:
    """Return the deposit addresses; only the newest is selected."""
    return [
        {
            "addr": address,
            "ccy": BITCOIN.code,
            "chain": BITCOIN.chain,
            "ctAddr": "",
            "memo": "",
            "pmtId": "",
            "selected": position == 0,
            "tag": "",
            "to": AccountCode.FUNDING.value,
            "verifiedName": "",
        }
        for position, address in enumerate(wallet.addresses)
    ]


def transfer_row(transfer: Transfer) -> Row:
    """Return a transfer as its acceptance is answered."""
    request = transfer.request
    return {
        "amt": plain_text(request.amount_btc),
        "ccy": BITCOIN.code,
        "clientId": request.client_id,
        "from": request.source.value,
        "to": request.target.value,
        "transId": transfer.transfer_id,
    }


def transfer_state_row(transfer: Transfer) -> Row:
    """Return a transfer as ``transfer-state`` shows it."""
    return transfer_row(transfer) | {
        "instId": "",
        "state": transfer.state.value,
        "subAcct": "",
        "toInstId": "",
        "type": "0",
    }


def withdrawal_row(withdrawal: Withdrawal) -> Row:
    """Return a withdrawal as its acceptance is answered."""
    return {
        "amt": plain_text(withdrawal.request.amount_btc),
        "ccy": BITCOIN.code,
        "chain": BITCOIN.chain,
        "clientId": withdrawal.request.client_id,
        "wdId": withdrawal.withdrawal_id,
    }


def withdrawal_history_row(withdrawal: Withdrawal) -> Row:
    """Return a withdrawal as the history shows it."""
    return withdrawal_row(withdrawal) | {
        "areaCodeFrom": "",
        "areaCodeTo": "",
        "fee": plain_text(withdrawal.request.fee_btc),
        "feeCcy": BITCOIN.code,
        "from": "",
        "nonTradableAsset": False,
        "note": "",
        "state": withdrawal.state,
        "to": withdrawal.request.address,
        "ts": millis(withdrawal.at),
        "txId": withdrawal.tx_id,
        "type": "3" if withdrawal.request.is_internal else "4",
    }


def deposit_row(deposit: Deposit) -> Row:
    """Return a deposit; its amount has no trailing zeros."""
    return {
        "actualDepBlkConfirm": str(deposit.confirmations),
        "amt": plain_text(deposit.amount_btc),
        "areaCodeFrom": "",
        "ccy": BITCOIN.code,
        "chain": BITCOIN.chain,
        "depId": deposit.deposit_id,
        "from": "",
        "fromWdId": "",
        "state": deposit.state,
        "to": deposit.address,
        "ts": millis(deposit.at),
        "txId": deposit.tx_id,
        "type": "4",
    }


def bill_row(bill: Bill, instrument: Instrument) -> Row:
    """Return a bill; a transfer has two accounts and no instrument."""
    is_transfer = bill.sub_kind in {BillSubType.TRANSFER_IN, BillSubType.TRANSFER_OUT}
    accounts = _TRANSFERS_IN if bill.sub_kind is BillSubType.TRANSFER_IN else _TRANSFERS_IN[::-1]
    source, target = (account.value for account in accounts)
    return dict.fromkeys(_UNUSED_BILL_FIELDS, "") | {
        "bal": plain_text(bill.balance_btc),
        "balChg": plain_text(bill.change_btc),
        "billId": bill.bill_id,
        "ccy": BITCOIN.code,
        "earnAmt": "",
        "earnApr": "",
        "fee": plain_text(bill.fee_btc),
        "fillTime": "" if is_transfer else millis(bill.at),
        "from": source if is_transfer else "",
        "instId": "" if is_transfer else instrument.inst_id,
        "instType": "" if is_transfer else "SWAP",
        "mgnMode": "" if is_transfer else "cross",
        "ordId": bill.order_id,
        "pnl": plain_text(bill.pnl_btc),
        "px": plain_text(bill.price_usd),
        "subType": bill.sub_kind.value,
        "sz": plain_text(abs(bill.change_btc) if is_transfer else bill.contracts),
        "to": target if is_transfer else "",
        "tradeId": "",
        "ts": millis(bill.at),
        "type": bill.kind.value,
    }

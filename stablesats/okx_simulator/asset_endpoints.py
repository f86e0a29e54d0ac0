"""Endpoints of the funding account.

Source: OKX API v5, "Funding account".
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator.asset_rows import (
    address_rows,
    deposit_row,
    funding_balance_row,
    transfer_row,
    transfer_state_row,
    withdrawal_history_row,
    withdrawal_row,
)
from stablesats.okx_simulator.chain_payments import parse_withdrawal
from stablesats.okx_simulator.currency import BITCOIN
from stablesats.okx_simulator.endpoints import Answer, Call, page, private_endpoint
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.transfers import checked_money_client_id, parse_transfer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stablesats.okx_simulator.rows import Row

_MAX_ID_DIGITS: Final = 19
_TRANSFERS_KEPT: Final = timedelta(days=14)


def balances(call: Call) -> Answer:
    """Answer the funding account; a balance of zero has no row."""
    call.exchange.advance()
    wallet = call.exchange.wallet
    return Answer([funding_balance_row(wallet)] if wallet.balance_btc and _wants_bitcoin(call) else [])


def currencies(call: Call) -> Answer:
    """Answer bitcoin on its main chain, with the venue's documented fee and limits."""
    return Answer([BITCOIN.row] if _wants_bitcoin(call) else [])


def deposit_address(call: Call) -> Answer:
    """Answer every deposit address; the one to use is selected."""
    if call.required("ccy") != BITCOIN.code:
        raise RefusalError("51000", "ccy")
    return Answer(address_rows(call.exchange.wallet))


def transfer(call: Call) -> Answer:
    """Accept a transfer between the accounts; whether it succeeded is for ``transfer-state`` to say."""
    return Answer([transfer_row(call.exchange.transfer(parse_transfer(call.fields)))])


def transfer_state(call: Call) -> Answer:
    """Answer how far a transfer has come."""
    call.exchange.advance()
    transfer_id = call.query.get("transId", "")
    if transfer_id and not (
        transfer_id.isascii() and transfer_id.isdigit() and len(transfer_id) <= _MAX_ID_DIGITS
    ):
        raise RefusalError("51000", "transId")
    client_id = checked_money_client_id(call.query.get("clientId", ""))
    found = call.exchange.wallet.transfer(transfer_id=transfer_id, client_id=client_id)
    if call.now - found.created_at > _TRANSFERS_KEPT:
        raise RefusalError("58129", "transId" if transfer_id else "clientId")
    return Answer([transfer_state_row(found)])


def withdrawal(call: Call) -> Answer:
    """Accept a withdrawal; whether it was paid is for ``withdrawal-history`` to say."""
    request = parse_withdrawal(
        call.fields, verified=call.config.verified_addresses, networks=call.config.bitcoin_networks
    )
    return Answer([withdrawal_row(call.exchange.withdraw(request))])


def withdrawal_history(call: Call) -> Answer:
    """Answer withdrawals, newest first; an unknown ``wdId`` is refused, not so a ``clientId``."""
    call.exchange.advance()
    withdrawals = call.exchange.wallet.withdrawals
    wanted = call.query.get("wdId", "")
    if wanted and wanted not in withdrawals:
        raise RefusalError("58215")
    rows = (withdrawal_history_row(each) for each in reversed(withdrawals.values()))
    return _history(call, rows, ("ccy", "wdId", "clientId", "txId", "type", "state"))


def deposit_history(call: Call) -> Answer:
    """Answer deposits, newest first."""
    call.exchange.advance()
    rows = (deposit_row(each) for each in reversed(call.exchange.wallet.deposits.values()))
    return _history(call, rows, ("ccy", "depId", "fromWdId", "txId", "type", "state"))


def _history(call: Call, rows: Iterable[Row], filters: tuple[str, ...]) -> Answer:
    return Answer(page(rows, call.query, key="ts", time_key="ts", filters=filters))


def _wants_bitcoin(call: Call) -> bool:
    wanted = call.query.get("ccy", "")
    return not wanted or BITCOIN.code in wanted.split(",")


_asset = partial(private_endpoint, period_secs=1.0)

ASSET_ENDPOINTS: Final = (
    _asset("GET", "asset/balances", balances, 6),
    _asset("GET", "asset/currencies", currencies, 6),
    _asset("GET", "asset/deposit-address", deposit_address, 6),
    _asset("POST", "asset/transfer", transfer, 2, keyed_by="ccy"),
    _asset("GET", "asset/transfer-state", transfer_state, 10),
    _asset("POST", "asset/withdrawal", withdrawal, 6),
    _asset("GET", "asset/withdrawal-history", withdrawal_history, 6),
    _asset("GET", "asset/deposit-history", deposit_history, 6),
)

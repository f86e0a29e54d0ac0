"""Endpoints of the trading account.

Source: OKX API v5, "Trading account".
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator.amounts import floor_to_satoshi, plain_text
from stablesats.okx_simulator.asset_rows import bill_row
from stablesats.okx_simulator.endpoints import (
    ARCHIVE_KEPT,
    INSTRUMENT_TYPES,
    Answer,
    Call,
    page,
    private_endpoint,
)
from stablesats.okx_simulator.market import Side
from stablesats.okx_simulator.orders import check_cross_margin, field_text
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.rows import ACCOUNT_UID, account_row, flat_position_row, millis, position_row

if TYPE_CHECKING:
    from stablesats.okx_simulator.rows import Row

_BILLS_KEPT: Final = timedelta(days=7)
_LEVER: Final = re.compile(r"\d{1,6}(\.\d{1,4})?", re.ASCII)


def account_config(call: Call) -> Answer:
    """Answer futures mode (single-currency margin) and net position mode."""
    row = {
        "acctLv": "2",
        "acctStpMode": "cancel_maker",
        "autoLoan": False,
        "ctIsoMode": "automatic",
        "greeksType": "PA",
        "ip": "",
        "kycLv": "2",
        "label": call.config.api_key,
        "level": "Lv1",
        "levelTmp": "",
        "mainUid": ACCOUNT_UID,
        "mgnIsoMode": "automatic",
        "opAuth": "0",
        "perm": "read_only,withdraw,trade",
        "posMode": "net_mode",
        "roleType": "0",
        "type": "0",
        "uid": ACCOUNT_UID,
    }
    return Answer([row])


def balance(call: Call) -> Answer:
    """Answer the trading account, valued at the mark; an empty account has no details."""
    exchange = call.exchange
    exchange.advance()
    row = account_row(exchange.account, exchange.margin, exchange.price, exchange.instrument, call.now)
    wanted = {ccy for ccy in call.query.get("ccy", "").split(",") if ccy}
    details = [detail for detail in row["details"] if not wanted or detail["ccy"] in wanted]
    return Answer([row | {"details": details}])


def positions(call: Call) -> Answer:
    """Answer the position.

    Being flat has two shapes: no row at all, or, if ``instId`` names an instrument held before, one row
    with ``pos`` ``0`` and empty numbers.
    """
    exchange = call.exchange
    exchange.advance()
    instrument, account = exchange.instrument, exchange.account
    wanted = {inst_id for inst_id in call.query.get("instId", "").split(",") if inst_id}
    if call.query.get("instType", "") not in {"", "SWAP"} or (wanted and instrument.inst_id not in wanted):
        return Answer([])
    rows: list[Row] = []
    if account.position is not None:
        rows = [position_row(account, account.position, exchange.margin, exchange.price, instrument)]
    elif wanted and account.last_position is not None:
        rows = [flat_position_row(account.last_position, account.updated_at, instrument)]
    wanted_id = call.query.get("posId", "")
    return Answer([row for row in rows if not wanted_id or row["posId"] == wanted_id])


def leverage_info(call: Call) -> Answer:
    """Answer the leverage set for the swap."""
    call.instrument_only(call.required("instId"))
    check_cross_margin(call.required("mgnMode"), "mgnMode")
    row = {
        "ccy": "",
        "instId": call.exchange.instrument.inst_id,
        "lever": plain_text(call.exchange.account.lever),
        "mgnMode": "cross",
        "posSide": "net",
    }
    return Answer([row])


def set_leverage(call: Call) -> Answer:
    """Set the leverage of the swap, if the equity covers the margin it asks for."""
    call.instrument_only(field_text(call.fields, "instId"))
    check_cross_margin(field_text(call.fields, "mgnMode"), "mgnMode")
    lever = field_text(call.fields, "lever")
    if not _LEVER.fullmatch(lever):
        raise RefusalError("51000", "lever")
    call.exchange.set_lever(Decimal(lever))
    row = {
        "instId": call.exchange.instrument.inst_id,
        "lever": plain_text(call.exchange.account.lever),
        "mgnMode": "cross",
        "posSide": "",
    }
    return Answer([row])


def max_size(call: Call) -> Answer:
    """Answer the largest order on either side, in contracts: what closes plus what then opens."""
    inst_id = call.required("instId")
    call.instrument_only(inst_id)
    check_cross_margin(call.required("tdMode"), "tdMode")
    call.exchange.advance()
    row = {
        "ccy": call.exchange.instrument.settle_currency,
        "instId": inst_id,
        "maxBuy": plain_text(call.exchange.largest_order_contracts(Side.BUY)),
        "maxSell": plain_text(call.exchange.largest_order_contracts(Side.SELL)),
    }
    return Answer([row])


def max_withdrawal(call: Call) -> Answer:
    """Answer what may be transferred out of the trading account; gains on paper may not."""
    call.exchange.advance()
    wanted = call.query.get("ccy", "")
    if wanted and "BTC" not in wanted.split(","):
        return Answer([])
    amount = plain_text(floor_to_satoshi(call.exchange.withdrawable_btc))
    row = {"ccy": "BTC", "maxWd": amount, "maxWdEx": amount, "spotOffsetMaxWd": "", "spotOffsetMaxWdEx": ""}
    return Answer([row])


def set_position_mode(call: Call) -> Answer:
    """Confirm net mode, the only one there is; another is refused, first for what is open (59000)."""
    mode = field_text(call.fields, "posMode")
    if mode not in {"net_mode", "long_short_mode"}:
        raise RefusalError("51000", "posMode")
    exchange = call.exchange
    exchange.advance()
    if mode != "net_mode":
        is_in_use = exchange.account.position is not None or exchange.pending_orders
        raise RefusalError("59000" if is_in_use else "51010")
    return Answer([{"posMode": mode}])


def trade_fee(call: Call) -> Answer:
    """Answer the fee rates; negative is charged."""
    if call.required("instType") not in INSTRUMENT_TYPES:
        raise RefusalError("51000", "instType")
    instrument = call.exchange.instrument
    row = {
        "category": "1",
        "delivery": "",
        "exercise": "",
        "fiat": [],
        "instType": call.query["instType"],
        "isSpecial": False,
        "level": "Lv1",
        "maker": plain_text(-instrument.maker_rate),
        "makerU": plain_text(-instrument.maker_rate),
        "makerUSDC": "",
        "ruleType": "normal",
        "settle": "",
        "taker": plain_text(-instrument.taker_rate),
        "takerU": plain_text(-instrument.taker_rate),
        "takerUSDC": "",
        "ts": millis(call.now),
    }
    return Answer([row])


def bills(call: Call, *, kept: timedelta) -> Answer:
    """Answer the changes of the trading account's cash since *kept* ago, newest first."""
    exchange = call.exchange
    exchange.advance()
    since = call.now - kept
    recent = takewhile(lambda bill: bill.at >= since, reversed(exchange.trading.bills))
    rows = (bill_row(bill, exchange.instrument) for bill in recent)
    filters = ("type", "subType", "ccy", "instType")
    return Answer(page(rows, call.query, key="billId", time_key="ts", filters=filters))


ACCOUNT_ENDPOINTS: Final = (
    private_endpoint("GET", "account/config", account_config, 5),
    private_endpoint("GET", "account/balance", balance, 10),
    private_endpoint("GET", "account/positions", positions, 10),
    private_endpoint("GET", "account/leverage-info", leverage_info, 20),
    private_endpoint("POST", "account/set-leverage", set_leverage, 20),
    private_endpoint("GET", "account/max-size", max_size, 20),
    private_endpoint("GET", "account/max-withdrawal", max_withdrawal, 20),
    private_endpoint("POST", "account/set-position-mode", set_position_mode, 5),
    private_endpoint("GET", "account/trade-fee", trade_fee, 5),
    private_endpoint("GET", "account/bills", partial(bills, kept=_BILLS_KEPT), 5, period_secs=1.0),
    private_endpoint("GET", "account/bills-archive", partial(bills, kept=ARCHIVE_KEPT), 5),
)

"""Orders: what a client may ask for, and the states an order passes through.

Source: OKX API v5, "Place order" and "Order details". The order of the checks, and that a reduce-only
order's excess is cancelled, are this exchange's own choice where OKX documents none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 - read at run time when a saved state is loaded
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator import market
from stablesats.okx_simulator.accounts import Fill, closing_contracts
from stablesats.okx_simulator.amounts import ZERO, exact
from stablesats.okx_simulator.market import Side
from stablesats.okx_simulator.refusals import RefusalError

if TYPE_CHECKING:
    from stablesats.okx_simulator.accounts import Account
    from stablesats.okx_simulator.instrument import Instrument

_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)
_TAG: Final = re.compile(r"[A-Za-z0-9]{1,16}", re.ASCII)
_SIZE: Final = re.compile(r"\d{1,20}(\.\d{1,16})?", re.ASCII)


class OrderKind(StrEnum):
    """How an order trades: what it takes at once, and whether the rest stays in the book."""

    MARKET = "market"
    LIMIT = "limit"
    POST_ONLY = "post_only"
    FILL_OR_KILL = "fok"
    IMMEDIATE_OR_CANCEL = "ioc"
    OPTIMAL_LIMIT_IOC = "optimal_limit_ioc"

    @property
    def names_a_price(self) -> bool:
        """Whether the order has a limit of its own; the others trade up to the price limits of the market."""
        return self not in {OrderKind.MARKET, OrderKind.OPTIMAL_LIMIT_IOC}

    @property
    def rests(self) -> bool:
        """Whether what does not trade at once stays in the book."""
        return self in {OrderKind.LIMIT, OrderKind.POST_ONLY}


class OrderState(StrEnum):
    """OKX's order states; ``filled`` and ``canceled`` are final."""

    LIVE = "live"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen to the order any more."""
        return self in {OrderState.FILLED, OrderState.CANCELED}


class OrderCategory(StrEnum):
    """Whose order it is: the client's, or the exchange's when it liquidates."""

    NORMAL = "normal"
    FULL_LIQUIDATION = "full_liquidation"


class CancelSource(StrEnum):
    """Who ended an order early, or what.

    Source: OKX API v5, "Order channel", ``cancelSource``.
    """

    NOBODY = ""
    SYSTEM = "0"
    USER = "1"
    NOTHING_TO_REDUCE = "2"
    LIQUIDATION = "3"
    FILL_OR_KILL = "13"
    IMMEDIATE_OR_CANCEL = "14"
    POSITION_CLOSED = "17"
    POST_ONLY = "31"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTicket:
    """A well-formed request for an order of the swap; *contracts* is unsigned.

    *price_usd* is the limit, None for the kinds that name none.
    """

    inst_id: str
    side: Side
    contracts: Decimal
    client_order_id: str
    tag: str
    reduce_only: bool
    kind: OrderKind = OrderKind.MARKET
    price_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An accepted order; BTC amounts are sums over its fills, prices their harmonic mean."""

    order_id: str
    ticket: OrderTicket
    state: OrderState
    lever: Decimal
    created_at: datetime
    updated_at: datetime
    filled_contracts: Decimal = ZERO
    average_price_usd: Decimal | None = None
    fee_btc: Decimal = ZERO
    pnl_btc: Decimal = ZERO
    last_fill: Fill | None = None
    cancel_source: CancelSource = CancelSource.NOBODY
    category: OrderCategory = OrderCategory.NORMAL

    @property
    def remaining_contracts(self) -> Decimal:
        """Contracts not filled yet."""
        return self.ticket.contracts - self.filled_contracts


def parse_ticket(raw: object, instrument: Instrument) -> OrderTicket:
    """Check one order of a request, in OKX's order of fields, as far as it can be checked without an account.

    Raises:
        RefusalError: With the first check that fails: 51001, 51000, 51010, 51020, 51121, 51202, 51101 or
            51204.
    """
    fields = raw if isinstance(raw, Mapping) else {}
    inst_id = instrument_named(fields, instrument)
    check_cross_margin(field_text(fields, "tdMode"), "tdMode")
    side = _side(field_text(fields, "side"))
    kind = _kind(field_text(fields, "ordType"))
    contracts = _size(field_text(fields, "sz"), kind, instrument)
    price_usd = _price(field_text(fields, "px"), instrument) if kind.names_a_price else None
    check_net_side(field_text(fields, "posSide"))
    return OrderTicket(
        inst_id=inst_id,
        side=side,
        contracts=contracts,
        client_order_id=checked_client_id(field_text(fields, "clOrdId")),
        tag=checked_tag(field_text(fields, "tag")),
        reduce_only=field_flag(fields, "reduceOnly"),
        kind=kind,
        price_usd=price_usd,
    )


def instrument_named(fields: Mapping[str, object], instrument: Instrument) -> str:
    """Return the id of the instrument that a request names, by its id or, without one, by its code.

    Raises:
        RefusalError: 51000 if it names none, 51001 if that does not exist.
    """
    inst_id, code = field_text(fields, "instId"), field_text(fields, "instIdCode")
    if not (inst_id or code):
        raise RefusalError("51000", "instId")
    if inst_id != instrument.inst_id if inst_id else code != str(instrument.inst_id_code):
        raise RefusalError("51001")
    return instrument.inst_id


def field_text(fields: Mapping[str, object], name: str) -> str:
    """Return a field as text, ``""`` if it is absent, empty or null; a list or object is never a text."""
    match fields.get(name):
        case None:
            return ""
        case str() as text:
            return text
        case _:
            raise RefusalError("51000", name)


def field_flag(fields: Mapping[str, object], name: str) -> bool:
    """Return a field as a truth value, given as JSON or as a text; absent, empty or null is false."""
    match fields.get(name):
        case True | "true":
            return True
        case None | False | "false" | "":
            return False
        case _:
            raise RefusalError("51000", name)


def checked_client_id(text: str) -> str:
    """Return a client order id of 1-32 letters and digits, or ``""``; anything else is refused (51000)."""
    return _matching(text, _CLIENT_ID, "clOrdId")


def checked_tag(text: str) -> str:
    """Return an order tag of 1-16 letters and digits, or ``""``; anything else is refused (51000)."""
    return _matching(text, _TAG, "tag")


def check_cross_margin(text: str, name: str) -> None:
    """Refuse every margin mode but ``cross``: isolated with 51010, anything else with 51000."""
    if text == "isolated":
        raise RefusalError("51010")
    if text != "cross":
        raise RefusalError("51000", name)


def check_net_side(text: str) -> None:
    """Refuse a position side that does not exist in net mode (51000)."""
    if text not in {"", "net"}:
        raise RefusalError("51000", "posSide")


def tradable_contracts(order: Order, account: Account) -> Decimal:
    """Return how much of *order* may trade: all that remains, or for reduce-only what the position allows."""
    if not order.ticket.reduce_only:
        return order.remaining_contracts
    return closing_contracts(account, order.ticket.side, order.remaining_contracts)


@exact
def with_fill(order: Order, fill: Fill) -> Order:
    """Return the order after *fill*; it is ``filled`` once nothing remains."""
    filled = order.filled_contracts + fill.contracts
    average = (
        fill.price_usd
        if order.average_price_usd is None
        else market.entry_price_usd(
            order.filled_contracts, order.average_price_usd, fill.contracts, fill.price_usd
        )
    )
    done = filled == order.ticket.contracts
    return replace(
        order,
        state=OrderState.FILLED if done else OrderState.PARTIALLY_FILLED,
        filled_contracts=filled,
        average_price_usd=average,
        fee_btc=order.fee_btc + fill.fee_btc,
        pnl_btc=order.pnl_btc + fill.pnl_btc,
        last_fill=fill,
        updated_at=fill.at,
    )


def liquidation_order(fill: Fill, lever: Decimal, instrument: Instrument) -> Order:
    """Return the exchange's own order, filled, of which *fill* is the forced close of a position."""
    ticket = OrderTicket(
        inst_id=instrument.inst_id,
        side=fill.side,
        contracts=fill.contracts,
        client_order_id="",
        tag="",
        reduce_only=True,
    )
    order = Order(
        order_id=fill.order_id,
        ticket=ticket,
        state=OrderState.LIVE,
        lever=lever,
        created_at=fill.at,
        updated_at=fill.at,
        category=OrderCategory.FULL_LIQUIDATION,
    )
    return with_fill(order, fill)


def canceled(order: Order, source: CancelSource, at: datetime) -> Order:
    """Return the order ended early; what it has filled stays filled."""
    return replace(order, state=OrderState.CANCELED, cancel_source=source, updated_at=at)


def _side(text: str) -> Side:
    try:
        return Side(text)
    except ValueError:
        raise RefusalError("51000", "side") from None


def _kind(text: str) -> OrderKind:
    try:
        return OrderKind(text)
    except ValueError:
        raise RefusalError("51000", "ordType") from None


def _price(text: str, instrument: Instrument) -> Decimal:
    if not text:
        raise RefusalError("51204")
    if not _SIZE.fullmatch(text):
        raise RefusalError("51000", "px")
    price_usd = Decimal(text)
    if not price_usd or not _is_multiple(price_usd, instrument.tick_usd):
        raise RefusalError("51000", "px")
    return price_usd


def _size(text: str, kind: OrderKind, instrument: Instrument) -> Decimal:
    if not _SIZE.fullmatch(text):
        raise RefusalError("51000", "sz")
    contracts = Decimal(text)
    if contracts == 0:
        raise RefusalError("51000", "sz")
    if contracts < instrument.min_contracts:
        raise RefusalError("51020")
    if not _is_multiple(contracts, instrument.lot_contracts):
        raise RefusalError("51121")
    if kind is OrderKind.MARKET and contracts > instrument.max_market_contracts:
        raise RefusalError("51202")
    if contracts > instrument.max_limit_contracts:
        raise RefusalError("51101", f"{instrument.max_limit_contracts:f}")
    return contracts


@exact
def _is_multiple(contracts: Decimal, lot_contracts: Decimal) -> bool:
    return contracts % lot_contracts == 0


def _matching(text: str, pattern: re.Pattern[str], name: str) -> str:
    if text and not pattern.fullmatch(text):
        raise RefusalError("51000", name)
    return text

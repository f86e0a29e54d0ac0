"""What must be true when the demo ends: pure checks over figures read from the database and the exchange."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from stablesats.demo.exchange import ExchangeOrder
from stablesats.hedging.hedge_adjustment import CONTRACT_CENTS, DoNothing, HedgeBounds, decide_hedge

_EXPORTED: Final = ("stablesats_liabilities_cents", "stablesats_position_exposure_cents")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntendedOrder:
    """An order as the engine wrote it down: its size, and the position that it was decided on."""

    size_contracts: Decimal
    position_before_contracts: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything the checks look at.

    Attributes:
        unbalanced_journals: Journals whose debits and credits differ in some currency, or that lack legs.
        imbalance_minor: Credit minus debit of each whole (book, currency).
        trades_fed: Trades that the feeder handed over.
        trade_rows: Rows of the trade store.
        journals_by_trade: How many Stablesats journals name each trade.
        target_cents: Dollars to be hedged.
        mirrored_cents: Signed exposure by the books.
        position_contracts: Signed position by the exchange.
        bounds: The engine's bounds.
        exchange_orders: Every order the exchange accepted.
        intended: What the engine wrote down of every order before it sent it, by client order id.
        open_orders: Orders that still hold the slot.
        scraped: What the exporter says, by metric name.
    """

    unbalanced_journals: int
    imbalance_minor: Mapping[tuple[str, str], Decimal]
    trades_fed: int
    trade_rows: int
    journals_by_trade: Mapping[str, int]
    target_cents: int
    mirrored_cents: int
    position_contracts: Decimal
    bounds: HedgeBounds
    exchange_orders: Sequence[ExchangeOrder]
    intended: Mapping[str, IntendedOrder]
    open_orders: int
    scraped: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Check:
    """A statement about the run, whether it holds, and the figures behind it for people and machines."""

    name: str
    holds: bool
    detail: str
    figures: Mapping[str, object]


def check_all(evidence: Evidence) -> list[Check]:
    """Every check, in the order in which a reader would ask."""
    return [
        _books_balanced(evidence),
        _every_trade_booked_once(evidence),
        _exposure_inside_bounds(evidence),
        _position_mirrored(evidence),
        _every_order_intended_once(evidence),
        _exporter_agrees(evidence),
    ]


def _books_balanced(evidence: Evidence) -> Check:
    off = {key: value for key, value in evidence.imbalance_minor.items() if value != 0}
    detail = f"{evidence.unbalanced_journals} unbalanced journals; " + ", ".join(
        f"{book} {currency} {value:f}" for (book, currency), value in sorted(evidence.imbalance_minor.items())
    )
    figures = {
        "unbalanced_journals": evidence.unbalanced_journals,
        "imbalance_minor": {
            f"{book} {currency}": value for (book, currency), value in evidence.imbalance_minor.items()
        },
    }
    return Check("books balanced", not off and evidence.unbalanced_journals == 0, detail, figures)


def _every_trade_booked_once(evidence: Evidence) -> Check:
    counts = evidence.journals_by_trade
    repeated = sum(1 for count in counts.values() if count != 1)
    holds = len(counts) == evidence.trade_rows == evidence.trades_fed and repeated == 0
    detail = (
        f"{evidence.trades_fed} trades fed, {evidence.trade_rows} stored,"
        f" {len(counts)} with a journal, {repeated} with more than one"
    )
    figures = {
        "trades_fed": evidence.trades_fed,
        "trades_stored": evidence.trade_rows,
        "trades_with_journal": len(counts),
    }
    return Check("every trade booked once", holds and evidence.trades_fed > 0, detail, figures)


def _exposure_inside_bounds(evidence: Evidence) -> Check:
    exposure_cents = evidence.position_contracts * CONTRACT_CENTS
    decision = decide_hedge(
        liability_cents=max(evidence.target_cents, 0),
        signed_exposure_cents=exposure_cents,
        bounds=evidence.bounds,
    )
    ratio = f"{-exposure_cents / evidence.target_cents:.4f}" if evidence.target_cents else "none"
    detail = (
        f"short {-exposure_cents / 100:,.2f} USD against"
        f" {evidence.target_cents / Decimal(100):,.2f} USD owed, ratio {ratio},"
        f" bounds {evidence.bounds.low_bound_ratio} to {evidence.bounds.high_bound_ratio}"
    )
    figures = {"target_cents": evidence.target_cents, "exposure_cents": exposure_cents, "ratio": ratio}
    holds = isinstance(decision, DoNothing) and evidence.target_cents >= 0
    return Check("exposure inside the bounds", holds, detail, figures)


def _position_mirrored(evidence: Evidence) -> Check:
    at_exchange = evidence.position_contracts * CONTRACT_CENTS
    detail = f"exchange {at_exchange:f} cents, ledger {evidence.mirrored_cents} cents"
    figures = {"exchange_cents": at_exchange, "ledger_cents": evidence.mirrored_cents}
    return Check("position mirrored in the ledger", at_exchange == evidence.mirrored_cents, detail, figures)


def _every_order_intended_once(evidence: Evidence) -> Check:
    seen = Counter(order.client_order_id for order in evidence.exchange_orders)
    repeated = [order_id for order_id, count in seen.items() if count > 1]
    unknown = [order_id for order_id in seen if order_id not in evidence.intended]
    different, misjudged, executed = [], [], Decimal(0)
    for order in evidence.exchange_orders:
        intended = evidence.intended.get(order.client_order_id)
        if intended is not None and intended.size_contracts != order.size_contracts:
            different.append(order.client_order_id)
        # A second order for the same gap would have been decided on the position before the first.
        if intended is not None and intended.position_before_contracts != executed:
            misjudged.append(order.client_order_id)
        executed += order.signed_fill_contracts
    holds = (
        not (repeated or unknown or different or misjudged)
        and evidence.open_orders == 0
        and executed == evidence.position_contracts
    )
    detail = (
        f"{len(evidence.exchange_orders)} orders at the exchange, {len(repeated)} repeated,"
        f" {len(unknown)} unknown to the engine, {len(different)} of another size,"
        f" {len(misjudged)} decided on another position, {evidence.open_orders} still open;"
        f" fills add up to {executed:f} contracts, the position is {evidence.position_contracts:f}"
    )
    figures = {
        "orders": len(evidence.exchange_orders),
        "repeated": repeated,
        "unknown": unknown,
        "different_size": different,
        "decided_on_another_position": misjudged,
        "open_orders": evidence.open_orders,
        "position_contracts": evidence.position_contracts,
    }
    return Check("every order intended and sent once", holds, detail, figures)


def _exporter_agrees(evidence: Evidence) -> Check:
    scraped = {name: evidence.scraped.get(name) for name in _EXPORTED}
    detail = ", ".join(
        f"{name} {'unknown' if value is None else f'{value:f}'}" for name, value in scraped.items()
    )
    holds = exporter_agrees(evidence.scraped, evidence.target_cents, evidence.mirrored_cents)
    return Check("exporter agrees with the ledger", holds, detail, scraped)


def exporter_agrees(scraped: Mapping[str, Decimal], target_cents: int, mirrored_cents: int) -> bool:
    """Whether a scrape shows this liability and this exposure; what it does not show, it does not know."""
    return [scraped.get(name) for name in _EXPORTED] == [target_cents, mirrored_cents]

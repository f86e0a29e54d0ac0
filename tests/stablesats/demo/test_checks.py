"""What the demo checks: each check holds on sound evidence and fails on the fault it is there for."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from stablesats.demo.checks import Evidence, IntendedOrder, check_all
from stablesats.demo.exchange import ExchangeOrder
from stablesats.hedging.hedge_adjustment import HedgeBounds

D = Decimal


def order(client_order_id: str, side: str, contracts: int, filled: int | None = None) -> ExchangeOrder:
    return ExchangeOrder(
        client_order_id=client_order_id,
        side=side,
        size_contracts=D(contracts),
        filled_contracts=D(contracts if filled is None else filled),
        state="filled",
    )


def intended(contracts: int, *, before: int) -> IntendedOrder:
    return IntendedOrder(size_contracts=D(contracts), position_before_contracts=D(before))


SOUND = Evidence(
    unbalanced_journals=0,
    imbalance_minor={("Stablesats", "USD"): D(0), ("Stablesats", "BTC"): D(0)},
    trades_fed=2,
    trade_rows=2,
    journals_by_trade={"a": 1, "b": 1},
    target_cents=100_000,
    mirrored_cents=-100_000,
    position_contracts=D(-10),
    bounds=HedgeBounds(),
    exchange_orders=[order("one", "sell", 12), order("two", "buy", 2)],
    intended={
        "one": intended(12, before=0),
        "two": intended(2, before=-12),
        "refused": intended(7, before=-12),
    },
    open_orders=0,
    scraped={
        "stablesats_liabilities_cents": D("100000.0"),
        "stablesats_position_exposure_cents": D("-100000.0"),
    },
)


def failing(evidence: Evidence) -> list[str]:
    return [check.name for check in check_all(evidence) if not check.holds]


def test_sound_evidence_passes_every_check() -> None:
    """An order that was written down and refused need not be at the exchange."""
    assert failing(SOUND) == []


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ({"unbalanced_journals": 1}, "books balanced"),
        ({"imbalance_minor": {("Stablesats", "USD"): D(-1)}}, "books balanced"),
        ({"trades_fed": 3}, "every trade booked once"),
        ({"trade_rows": 3}, "every trade booked once"),
        ({"journals_by_trade": {"a": 1}}, "every trade booked once"),
        ({"journals_by_trade": {"a": 2, "b": 1}}, "every trade booked once"),
        ({"trades_fed": 0, "trade_rows": 0, "journals_by_trade": {}}, "every trade booked once"),
        ({"target_cents": 110_000, "bounds": HedgeBounds(low_bound_ratio=D("0.98"))}, "exposure inside the bounds"),
        ({"mirrored_cents": -90_000}, "position mirrored in the ledger"),
        ({"exchange_orders": [order("one", "sell", 5), order("one", "sell", 5)]}, "every order intended and sent once"),
        ({"exchange_orders": [order("stranger", "sell", 10)]}, "every order intended and sent once"),
        ({"intended": {"one": intended(11, before=0), "two": intended(2, before=-12)}}, "every order intended and sent once"),
        ({"exchange_orders": [order("one", "sell", 12, filled=11), order("two", "buy", 2)]}, "every order intended and sent once"),
        # The same gap hedged twice under two ids, and the excess bought back.
        ({"intended": {"one": intended(12, before=0), "two": intended(2, before=0)}}, "every order intended and sent once"),
        ({"open_orders": 1}, "every order intended and sent once"),
        ({"scraped": {}}, "exporter agrees with the ledger"),
    ],
)  # fmt: skip
def test_each_fault_is_seen_by_its_check(fault: dict[str, Any], check: str) -> None:
    """The named check fails; nothing hides a fault."""
    assert check in failing(replace(SOUND, **fault))


def test_nothing_owed_and_nothing_held_is_inside_the_bounds() -> None:
    """A ratio of nothing to nothing is no division by zero."""
    evidence = replace(
        SOUND, target_cents=0, mirrored_cents=0, position_contracts=D(0), exchange_orders=[], scraped={}
    )
    assert failing(evidence) == ["exporter agrees with the ledger"]

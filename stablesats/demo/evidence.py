"""Collects the evidence for the checks, straight from the collections and from the exchange."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from bson import Decimal128

from stablesats.demo.checks import Evidence, IntendedOrder
from stablesats.demo.exchange import SimulatorAdmin
from stablesats.hedging.hedge_adjustment import HedgeBounds
from stablesats.hedging.orders import HEDGE_ORDERS
from stablesats.ledger import STABLESATS_BOOK, Ledger, TemplateCode
from stablesats.trades.accounting import USER_TRADES

_JOURNALS = "medici_journals"
_LEGS = "medici_transactions"

# Sums of whole numbers as Decimal128: exact at any size that the books can reach.
_CREDIT_MINUS_DEBIT = {"$sum": {"$subtract": [{"$toDecimal": "$credit"}, {"$toDecimal": "$debit"}]}}


async def collect_evidence(
    ledger: Ledger,
    exchange: SimulatorAdmin,
    *,
    trades_fed: int,
    bounds: HedgeBounds,
    scraped: Mapping[str, Decimal],
) -> Evidence:
    """Read everything once. Meant for a system at rest: nothing is trading any more."""
    database = ledger.database
    balances = await ledger.balances()
    orders = [row async for row in database[HEDGE_ORDERS].find({})]
    return Evidence(
        unbalanced_journals=await _unbalanced_journals(database),
        imbalance_minor=await _imbalance(database),
        trades_fed=trades_fed,
        trade_rows=await database[USER_TRADES].count_documents({}),
        journals_by_trade=await _journals_by_trade(database),
        target_cents=balances.hedge_target_cents,
        mirrored_cents=balances.signed_exposure_cents,
        position_contracts=(await exchange.state()).position_contracts,
        bounds=bounds,
        exchange_orders=await exchange.orders(),
        intended={row["_id"]: _intended(row) for row in orders if "size_contracts" in row},
        open_orders=sum(1 for row in orders if row.get("open")),
        scraped=scraped,
    )


async def _unbalanced_journals(database: Any) -> int:
    per_currency: list[dict[str, Any]] = [
        {
            "$group": {
                "_id": {"journal": "$_journal", "currency": "$meta.currency"},
                "sum": _CREDIT_MINUS_DEBIT,
                "legs": {"$sum": 1},
            }
        },
        {
            "$group": {
                "_id": "$_id.journal",
                "off": {"$max": {"$abs": "$sum"}},
                "legs": {"$sum": "$legs"},
            }
        },
        {"$lookup": {"from": _JOURNALS, "localField": "_id", "foreignField": "_id", "as": "journal"}},
        {"$set": {"promised": {"$size": {"$ifNull": [{"$first": "$journal._transactions"}, []]}}}},
        {"$match": {"$expr": {"$or": [{"$ne": ["$off", 0]}, {"$ne": ["$legs", "$promised"]}]}}},
        {"$count": "journals"},
    ]
    bad_legs = await _first(database[_LEGS], per_currency)
    without_legs: list[dict[str, Any]] = [
        {"$lookup": {"from": _LEGS, "localField": "_id", "foreignField": "_journal", "as": "legs"}},
        {"$match": {"legs": []}},
        {"$count": "journals"},
    ]
    empty = await _first(database[_JOURNALS], without_legs)
    return int(bad_legs.get("journals", 0)) + int(empty.get("journals", 0))


async def _imbalance(database: Any) -> dict[tuple[str, str], Decimal]:
    pipeline: list[dict[str, Any]] = [
        {"$group": {"_id": {"book": "$book", "currency": "$meta.currency"}, "sum": _CREDIT_MINUS_DEBIT}}
    ]
    cursor = await database[_LEGS].aggregate(pipeline)
    return {(row["_id"]["book"], row["_id"]["currency"]): _decimal(row["sum"]) async for row in cursor}


async def _journals_by_trade(database: Any) -> dict[str, int]:
    pipeline: list[dict[str, Any]] = [
        {
            "$match": {
                "book": STABLESATS_BOOK,
                # Not their reversals, which name the trade as well.
                "template.code": {"$in": [TemplateCode.USER_BUYS_USD, TemplateCode.USER_SELLS_USD]},
                "metadata.trade_id": {"$exists": True},
            }
        },
        {"$group": {"_id": "$metadata.trade_id", "journals": {"$sum": 1}}},
    ]
    cursor = await database[_JOURNALS].aggregate(pipeline)
    return {row["_id"]: row["journals"] async for row in cursor}


async def _first(collection: Any, pipeline: list[dict[str, Any]]) -> dict[str, Any]:
    async for row in await collection.aggregate(pipeline):
        found: dict[str, Any] = row
        return found
    return {}


def _intended(row: Mapping[str, Any]) -> IntendedOrder:
    return IntendedOrder(
        size_contracts=_decimal(row["size_contracts"]),
        position_before_contracts=_decimal(row["position_before_contracts"]),
    )


def _decimal(value: Decimal128 | int) -> Decimal:
    return value.to_decimal() if isinstance(value, Decimal128) else Decimal(value)

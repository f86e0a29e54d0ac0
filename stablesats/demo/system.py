"""The running system that the demo watches, and what it reads from it: the database and the exchange."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import aiohttp
from pymongo.errors import PyMongoError

from medici_py import LiveBalances
from medici_py.embedded import EmbeddedMongo
from stablesats.database import open_database, without_database
from stablesats.demo.exchange import ExchangeState, SimulatorAdmin
from stablesats.demo.parts import Parts, PartsPlan
from stablesats.demo.settings import DemoSettings
from stablesats.demo.view import Frame, OrderLine
from stablesats.hedging.engine import INSTRUMENT
from stablesats.hedging.hedge_adjustment import CONTRACT_CENTS
from stablesats.hedging.orders import HEDGE_ORDERS
from stablesats.ledger import DealerBalances, Ledger
from stablesats.ledger.balances import live_lookup
from stablesats.okx import OkxClient
from stablesats.prices import TickerFeed
from stablesats.trades import Trades

_LAST_ORDERS: Final = 6
_DROP_WITHIN_SECS: Final = 5.0
_PRICE_POLL_SECS: Final = 0.25
_HTTP_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True, slots=True)
class DemoSystem:
    """Everything that runs, and the ways to look at it."""

    ledger: Ledger
    trades: Trades
    live: LiveBalances
    prices: TickerFeed
    exchange: SimulatorAdmin
    http: aiohttp.ClientSession
    parts: Parts

    def live_balances(self) -> DealerBalances:
        """The dealer's figures as the change stream has them; no database read."""
        return DealerBalances.of(live_lookup(self.live))

    async def frame(self, title: str, state: ExchangeState, journals_per_second: float) -> Frame:
        """What to show now, with the exchange as it is in *state*."""
        balances = self.live_balances()
        target_cents = balances.hedge_target_cents
        short_cents = -state.position_contracts * CONTRACT_CENTS
        return Frame(
            title=title,
            replay_at=state.replay_at,
            bid_usd=state.bid_usd,
            users_cents=balances.users_liability_cents,
            btc_wallet_sats=balances.btc_wallet_sats,
            position_contracts=state.position_contracts,
            exposure_ratio=short_cents / target_cents if target_cents else None,
            trades_booked=await self.trades.count(),
            journals_per_second=journals_per_second,
            orders=await self._last_orders(),
            metrics_url=self.parts.metrics_url,
        )

    async def scrape(self) -> dict[str, Decimal]:
        """The exporter's samples without labels, as Prometheus would read them now."""
        try:
            async with self.http.get(self.parts.metrics_url) as response:
                response.raise_for_status()
                lines = (await response.text()).splitlines()
        except (aiohttp.ClientError, TimeoutError):
            return {}  # it is away, perhaps just being started again: nothing is known
        samples = (line.split(" ") for line in lines if line and not line.startswith("#"))
        return {name: Decimal(value) for name, value, *_ in samples if "{" not in name}

    async def _last_orders(self) -> list[OrderLine]:
        orders = self.ledger.database[HEDGE_ORDERS]
        cursor = orders.find({"size_contracts": {"$exists": True}}).sort("sequence", -1)
        return [_order_line(row) async for row in cursor.limit(_LAST_ORDERS)]


def _order_line(row: dict[str, Any]) -> OrderLine:
    filled = row.get("filled_contracts")
    return OrderLine(
        at=row["reserved_at"],
        action=row["action"],
        contracts=row["size_contracts"].to_decimal(),
        filled_contracts=Decimal(0) if filled is None else filled.to_decimal(),
        state=row["state"],
    )


async def _drop(database: Any) -> None:
    """Remove the demo's database, but do not wait for a server that is gone."""
    with contextlib.suppress(TimeoutError, PyMongoError):
        async with asyncio.timeout(_DROP_WITHIN_SECS):
            await database.client.drop_database(database.name)


@contextlib.asynccontextmanager
async def running_system(settings: DemoSettings, report: Callable[[str], None]) -> AsyncIterator[DemoSystem]:
    """Start every part; stop and remove every part when the block ends, however it ends.

    The database is a new one with a name of its own, and is dropped at the end.
    """
    async with contextlib.AsyncExitStack() as stack:
        if settings.mongodb_uri is None:
            mongo = await stack.enter_async_context(EmbeddedMongo())
            uri = without_database(mongo.uri)
            report("private MongoDB started" if mongo.owned else "using the MongoDB that MONGODB_URI names")
        else:
            uri = without_database(settings.mongodb_uri)
        name = f"stablesats_demo_{secrets.token_hex(4)}"
        database = await stack.enter_async_context(open_database(uri, name))
        stack.push_async_callback(_drop, database)
        ledger = Ledger(database)
        trades = Trades(ledger)
        await trades.prepare()
        plan = PartsPlan(
            mongodb_uri=uri,
            database=name,
            history=settings.history,
            days=settings.days,
            speed=settings.speed,
            metrics_port=settings.metrics_port,
        )
        parts = await stack.enter_async_context(Parts(plan, report=report))
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=_HTTP_TIMEOUT))
        client = await stack.enter_async_context(
            OkxClient(base_url=parts.exchange_url, credentials=parts.credentials)
        )
        prices = TickerFeed(client, INSTRUMENT, poll_interval_secs=_PRICE_POLL_SECS)
        live = await stack.enter_async_context(LiveBalances(*ledger.books))
        yield DemoSystem(
            ledger=ledger,
            trades=trades,
            live=live,
            prices=prices,
            exchange=SimulatorAdmin(http, parts.exchange_url),
            http=http,
            parts=parts,
        )

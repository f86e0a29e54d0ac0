"""Puts the exporter together and runs it until it is told to stop."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, ProcessCollector

from exporters.feed import LedgerFeed
from exporters.gauges import LedgerCollector
from exporters.server import LOOPBACK_HOST, MetricsServer
from medici_py.live_balances import LiveBalances
from medici_py.task_end import end_task
from stablesats.database import open_database
from stablesats.ledger.facade import Ledger

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterSettings:
    """Where the ledger is and where to listen.

    Attributes:
        mongodb_uri: Of a replica set or sharded cluster; may carry a password, so never shown.
        database: Name of the database that holds the dealer's books; if None, the one that the URI names, and
            ``stablesats`` if it names none.
        host: Address to listen on.
        port: TCP port, 0 for any free one.
    """

    mongodb_uri: str = field(repr=False)
    database: str | None = None
    host: str = LOOPBACK_HOST
    port: int = 0


async def serve(settings: ExporterSettings, stop: asyncio.Event, *, announce: Announce) -> None:
    """Serve metrics of the dealer's books until *stop* is set.

    Reads the books once, then follows their change stream; writes nothing to the database. Any number
    of exporters may run on one database.

    Args:
        settings: Where the ledger is and where to listen.
        stop: Ends the service.
        announce: Called once with the URL, as soon as the server listens; ``/readyz`` tells when the
            figures are loaded.

    Raises:
        ConfigurationError: If the database's name is not one MongoDB allows, or the URI names another one.
        InvalidMongoUriError: If the URI cannot be read.
        MongoUnreachableError: If no MongoDB answers there.
        UnsupportedDeploymentError: If it is a standalone ``mongod``, which has no change streams.
        AddressUnavailableError: If the server cannot listen on its address.
        SnapshotReadError: If the database does not let us read the books.
        ChangeStreamError: If it does not let us watch them.
    """
    async with open_database(settings.mongodb_uri, settings.database) as database:
        feed = LedgerFeed(LiveBalances(*Ledger(database).books), now=_now)
        server = MetricsServer(
            registry=metrics_registry(feed),
            read_snapshot=feed.snapshot,
            now=_now,
            host=settings.host,
            port=settings.port,
        )
        async with server:
            announce(server.url)
            await _run_until(stop, feed)


def metrics_registry(feed: LedgerFeed) -> CollectorRegistry:
    """Build a registry of its own with the ledger's metrics and those of the process."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(LedgerCollector(feed.snapshot, monotonic_secs=time.perf_counter))
    ProcessCollector(registry=registry)
    return registry


async def _run_until(stop: asyncio.Event, feed: LedgerFeed) -> None:
    following = asyncio.create_task(feed.run(), name="exporter-feed")
    stopping = asyncio.create_task(stop.wait(), name="exporter-stop")
    try:
        await asyncio.wait((following, stopping), return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            await following
    finally:
        stopping.cancel()
        await end_task(following)


def _now() -> datetime:
    return datetime.now(UTC)

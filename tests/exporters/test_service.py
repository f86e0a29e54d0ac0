"""The whole exporter in one process, on a real MongoDB."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pymongo import AsyncMongoClient, monitoring

from exporters.errors import AddressUnavailableError
from exporters.feed import LedgerFeed
from exporters.server import MetricsServer
from exporters.service import ExporterSettings, metrics_registry, serve
from medici_py.embedded import EmbeddedMongo
from medici_py.live_balances import LiveBalances
from medici_py.mongo_uri import MongoUnreachableError
from medici_py.task_end import end_task
from medici_py.turnover_snapshot import SnapshotReadError
from stablesats.errors import ConfigurationError
from stablesats.ledger.facade import Ledger

DEADLINE_SECS = 60
UNAUTHORIZED = 13
NOON = datetime(2022, 11, 8, 12, 0, tzinfo=UTC)


@pytest.fixture
async def ledger(mongo_database) -> Ledger:
    """The dealer's empty books in a database of their own."""
    ledger = Ledger(mongo_database)
    await ledger.prepare()
    return ledger


@asynccontextmanager
async def failing(client: AsyncMongoClient, *commands: str, **how: object) -> AsyncIterator[None]:
    """Let the *commands* fail while the block runs."""
    data = {"failCommands": commands, **how}
    await client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)
    try:
        yield
    finally:
        await client.admin.command("configureFailPoint", "failCommand", mode="off")


@asynccontextmanager
async def exporter(settings: ExporterSettings) -> AsyncIterator[aiohttp.ClientSession]:
    """Run the service and give a client of it; on leaving, the service stops as on SIGTERM."""
    stop = asyncio.Event()
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(settings, stop, announce=url.set_result))
    await asyncio.wait((running, url), return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running
    async with aiohttp.ClientSession(await url) as session:
        yield session
    stop.set()
    async with asyncio.timeout(DEADLINE_SECS):
        await running


def settings_of(ledger: Ledger, mongodb: EmbeddedMongo) -> ExporterSettings:
    return ExporterSettings(mongodb_uri=mongodb.uri, database=ledger.database.name)


async def scrape(http: aiohttp.ClientSession) -> dict[str, float]:
    """The unlabelled samples of one scrape."""
    async with http.get("/metrics") as response:
        assert response.status == 200
        families = text_string_to_metric_families(await response.text())
        return {s.name: s.value for family in families for s in family.samples if not s.labels}


def serves(http: aiohttp.ClientSession, **expected: float) -> Callable[[], Awaitable[bool]]:
    """The condition that a scrape shows all of *expected*."""

    async def condition() -> bool:
        return expected.items() <= (await scrape(http)).items()

    return condition


async def test_balances_from_before_and_after_the_start_are_served_once_each(ledger, mongodb, until) -> None:
    """The snapshot and the change stream meet exactly: a trade before and trades after the start add up."""
    await ledger.user_buys_usd(sats=2_500_000, cents=50_000, at=NOON)
    async with exporter(settings_of(ledger, mongodb)) as http:
        await until(serves(http, stablesats_liabilities_cents=50_000, stablesats_ledger_stream_up=1))
        await asyncio.gather(*(ledger.user_buys_usd(sats=10, cents=1, at=NOON) for _ in range(20)))
        await ledger.user_sells_usd(sats=500, cents=10, at=NOON)
        await ledger.mirror_okx_position(-40_000, at=NOON)
        await until(
            serves(
                http,
                stablesats_assets_sats=2_499_700,  # 2,500,000 + 20 x 10 - 500
                stablesats_liabilities_cents=50_010,  # 50,000 + 20 x 1 - 10
                stablesats_hedge_target_cents=50_010,
                stablesats_position_exposure_cents=-40_000,
                stablesats_position_contracts=-4,
                stablesats_ledger_journals_total=22,
            )
        )


async def test_voided_trade_is_taken_back(ledger, mongodb, until) -> None:
    """A void is a journal as well and reaches the gauges the same way."""
    async with exporter(settings_of(ledger, mongodb)) as http:
        journal = await ledger.user_buys_usd(sats=2_500_000, cents=50_000, at=NOON)
        await until(serves(http, stablesats_liabilities_cents=50_000))
        await ledger.stablesats.void(journal.id, "booked by mistake")
        await until(serves(http, stablesats_liabilities_cents=0, stablesats_assets_sats=0))


async def test_database_without_books_is_served_as_zeros(mongo_database, mongodb, until) -> None:
    """An exporter may be started before the first trade; it creates nothing."""
    settings = ExporterSettings(mongodb_uri=mongodb.uri, database=mongo_database.name)
    async with exporter(settings) as http:
        await until(serves(http, stablesats_liabilities_cents=0, stablesats_ledger_stream_up=1))
        assert "stablesats_hedge_ratio" not in await scrape(http)
        assert await mongo_database.list_collection_names() == []


async def test_two_exporters_on_one_database_serve_the_same(ledger, mongodb, until) -> None:
    """An exporter keeps nothing outside its process, so it can be started twice."""
    settings = settings_of(ledger, mongodb)
    async with exporter(settings) as first, exporter(settings) as second:
        await ledger.user_buys_usd(sats=7, cents=3, at=NOON)
        await until(serves(first, stablesats_liabilities_cents=3))
        await until(serves(second, stablesats_liabilities_cents=3))


class ReadsCounted(monitoring.CommandListener):
    """Counts the commands that read, apart from the change stream's own waiting."""

    def __init__(self) -> None:
        self.reads: list[str] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in {"find", "aggregate", "count", "distinct"}:
            self.reads.append(event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


async def test_scrape_reads_no_database(ledger, mongodb, until) -> None:
    """A hundred requests cause no database command: everything served is in memory."""
    await ledger.user_buys_usd(sats=7, cents=3, at=NOON)
    counted = ReadsCounted()
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri, event_listeners=[counted]) as client:
        books = Ledger(client[ledger.database.name]).books
        feed = LedgerFeed(LiveBalances(*books), now=lambda: datetime.now(UTC))
        running = asyncio.create_task(feed.run())
        server = MetricsServer(
            registry=metrics_registry(feed), read_snapshot=feed.snapshot, now=lambda: datetime.now(UTC)
        )
        async with server, aiohttp.ClientSession(server.url) as http:
            await until(serves(http, stablesats_liabilities_cents=3))
            reads_after_loading = list(counted.reads)
            for path in ("/metrics", "/readyz", "/", "/healthz") * 25:
                async with http.get(path) as response:
                    assert response.status == 200
            assert counted.reads == reads_after_loading
        await end_task(running)


async def test_scrape_answers_after_mongod_is_gone(monkeypatch, until) -> None:
    """With the database gone the last figures are still served, marked as possibly out of date."""
    monkeypatch.delenv("MONGODB_URI", raising=False)
    async with EmbeddedMongo() as mongo:
        async with AsyncMongoClient[dict[str, Any]](mongo.uri) as client:
            ledger = Ledger(client["bank"])
            await ledger.prepare()
            await ledger.user_buys_usd(sats=2_500_000, cents=50_000, at=NOON)
        async with exporter(ExporterSettings(mongodb_uri=mongo.uri, database="bank")) as http:
            await until(serves(http, stablesats_liabilities_cents=50_000, stablesats_ledger_stream_up=1))
            await asyncio.to_thread(mongo.stop)
            await until(serves(http, stablesats_ledger_stream_up=0))

            served = await scrape(http)
            assert served["stablesats_liabilities_cents"] == 50_000
            assert served["stablesats_ledger_confirmed_timestamp_seconds"] <= datetime.now(UTC).timestamp()
            async with http.get("/readyz") as response:
                assert response.status == 503
                assert "the change stream is down" in (await response.json())["reason"]
            async with http.get("/healthz") as response:
                assert response.status == 200


async def test_broken_stream_is_set_up_anew_and_nothing_is_missed(failing_mongodb, until) -> None:
    """What was posted while the stream was broken is in the figures once it is up again, once."""
    async with AsyncMongoClient[dict[str, Any]](failing_mongodb.uri) as client:
        ledger = Ledger(client["broken_stream"])
        await ledger.prepare()
        settings = ExporterSettings(mongodb_uri=failing_mongodb.uri, database="broken_stream")
        async with exporter(settings) as http:
            await until(serves(http, stablesats_ledger_stream_up=1))
            async with failing(client, "aggregate", "getMore", closeConnection=True):
                await until(serves(http, stablesats_ledger_stream_up=0))
                await ledger.user_buys_usd(sats=7, cents=3, at=NOON)
            await until(serves(http, stablesats_ledger_stream_up=1, stablesats_liabilities_cents=3))
            assert (await scrape(http))["stablesats_ledger_stream_restarts_total"] >= 1


async def test_database_that_may_not_be_read_ends_the_service(failing_mongodb) -> None:
    """A user without the rights is an error to report, not a traceback."""
    settings = ExporterSettings(mongodb_uri=failing_mongodb.uri, database="secret")
    async with (
        AsyncMongoClient[dict[str, Any]](failing_mongodb.uri) as client,
        failing(client, "aggregate", errorCode=UNAUTHORIZED),
    ):
        with pytest.raises(SnapshotReadError, match="could not be read"):
            await serve(settings, asyncio.Event(), announce=lambda _: None)


async def test_unreachable_database_ends_the_service_before_it_listens() -> None:
    """Nothing is announced when there is nothing to serve."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        uri = f"mongodb://127.0.0.1:{nobody.getsockname()[1]}/?directConnection=true"
    with pytest.raises(MongoUnreachableError, match="cannot use MongoDB at"):
        await serve(ExporterSettings(mongodb_uri=uri, database="bank"), asyncio.Event(), announce=pytest.fail)


async def test_database_in_the_uri_is_the_one_that_is_served(ledger, mongodb, until) -> None:
    """The same one that the dealer's commands take."""
    await ledger.user_buys_usd(sats=1_000, cents=50, at=NOON)
    uri = mongodb.uri.replace("/?", f"/{ledger.database.name}?")
    async with exporter(ExporterSettings(mongodb_uri=uri)) as http:
        await until(serves(http, stablesats_liabilities_cents=50))


async def test_name_that_no_database_can_have_is_a_configuration_error(mongodb) -> None:
    """The name is in the message."""
    settings = ExporterSettings(mongodb_uri=mongodb.uri, database="the bank")
    with pytest.raises(ConfigurationError, match=r"'the bank' is no name for a MongoDB database"):
        await serve(settings, asyncio.Event(), announce=pytest.fail)


async def test_occupied_port_ends_the_service(ledger, mongodb) -> None:
    """The address is named; nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ExporterSettings(
            mongodb_uri=mongodb.uri, database=ledger.database.name, port=taken.getsockname()[1]
        )
        with pytest.raises(AddressUnavailableError):
            await serve(settings, asyncio.Event(), announce=pytest.fail)


def test_settings_never_show_the_uri() -> None:
    """The URI may carry a password."""
    shown = repr(ExporterSettings(mongodb_uri="mongodb://dealer:secret@127.0.0.1/", database="bank"))
    assert "secret" not in shown

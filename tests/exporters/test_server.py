"""The HTTP face, over real HTTP."""

import asyncio
import json
import re
import socket
import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from exporters.errors import AddressUnavailableError
from exporters.feed import LedgerFeed
from exporters.server import MetricsServer
from exporters.service import metrics_registry
from stablesats.ledger.chart import Account, Currency, NormalSide

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def server_on(feed: LedgerFeed, host: str = "127.0.0.1", port: int = 0) -> MetricsServer:
    return MetricsServer(
        registry=metrics_registry(feed),
        read_snapshot=feed.snapshot,
        now=lambda: datetime.now(UTC),
        host=host,
        port=port,
    )


async def test_metrics_are_the_text_format_that_prometheus_parses(http: aiohttp.ClientSession, books) -> None:
    """A scrape without an Accept header gets text format 0.0.4 with the current figures."""
    books.user_buys_usd(sats=2_500_000, cents=50_000)
    async with http.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = {f.name: f for f in text_string_to_metric_families(await response.text())}
    assert families["stablesats_liabilities_cents"].samples[0].value == 50_000
    assert families["stablesats_ledger_journals"].type == "counter"
    assert "process_resident_memory_bytes" in families


async def test_metrics_are_openmetrics_for_a_scraper_that_asks(http: aiohttp.ClientSession, books) -> None:
    """The Accept header chooses; the strict OpenMetrics parser takes the answer."""
    books.user_buys_usd(sats=2_500_000, cents=50_000)
    async with http.get("/metrics", headers={"Accept": OPENMETRICS}) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        families = {f.name: f for f in openmetrics_families(await response.text())}
    assert families["stablesats_assets_sats"].samples[0].value == 2_500_000


async def test_metrics_can_be_limited_to_names(http: aiohttp.ClientSession) -> None:
    """``name[]`` picks families, as with every Prometheus client library."""
    async with http.get("/metrics", params={"name[]": "stablesats_ledger_stream_up"}) as response:
        families = list(text_string_to_metric_families(await response.text()))
    assert [f.name for f in families] == ["stablesats_ledger_stream_up"]


async def test_promtool_finds_nothing_to_complain_about(
    http: aiohttp.ClientSession, books, promtool: Path
) -> None:
    """``promtool check metrics`` accepts a whole scrape."""
    books.user_buys_usd(sats=2_500_000, cents=50_000)
    async with http.get("/metrics") as response:
        text = await response.read()
    checked = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


async def test_account_labels_are_the_dealers_fixed_accounts_only(http: aiohttp.ClientSession, books) -> None:
    """However many accounts users have, the number of series stays: no account or user is a label."""
    books.user_buys_usd(sats=1, cents=1)
    for user in range(100):
        books.legs.append((("Stablesats", f"Users:{user}", "USD", "SETTLED"), Decimal(1)))
    async with http.get("/metrics") as response:
        families = {f.name: f for f in text_string_to_metric_families(await response.text())}
    labels = {sample.labels["account"] for sample in families["stablesats_account_balance_minor"].samples}
    assert labels == {account.code for account in Account}


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=banana",
        "text/plain;version=1.x",
        "text/html, application/openmetrics-text;version=-1;q=0.5",
    ],
)
async def test_accept_header_with_a_version_that_is_no_number_gets_406(
    http: aiohttp.ClientSession, accept: str
) -> None:
    """A client's mistake is answered as one, not with an internal error."""
    async with http.get("/metrics", headers={"Accept": accept}) as response:
        assert (response.status, await response.text()) == (
            406,
            "the version in the Accept header is not a number\n",
        )


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
        "application/openmetrics-text; version=1.0.0 , */*",
        "application/openmetrics-text",
        "text/plain;version=1.0.0;escaping=allow-utf-8",
        "*/*",
        "",
    ],
)
async def test_accept_headers_of_real_scrapers_get_metrics(http: aiohttp.ClientSession, accept: str) -> None:
    """What Prometheus and browsers send is answered."""
    async with http.get("/metrics", headers={"Accept": accept}) as response:
        assert response.status == 200


async def test_metrics_are_compressed_for_a_scraper_that_takes_gzip(server: MetricsServer) -> None:
    """Prometheus asks for gzip."""
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(f"{server.url}/metrics", headers={"Accept-Encoding": "gzip"}) as response,
    ):
        assert response.headers["Content-Encoding"] == "gzip"


async def test_healthz_is_alive_also_while_the_stream_is_down(http: aiohttp.ClientSession, books) -> None:
    """Restarting the exporter would not bring the database back: the process is fine."""
    books.is_live = False
    async with http.get("/healthz") as response:
        assert (response.status, await response.json()) == (200, {"status": "alive"})


async def test_readyz_is_200_while_the_figures_are_up_to_date(http: aiohttp.ClientSession) -> None:
    """Loaded and live is ready."""
    async with http.get("/readyz") as response:
        assert (response.status, await response.json()) == (200, {"status": "ready"})


async def test_readyz_is_503_with_the_reason_while_the_stream_is_down(
    http: aiohttp.ClientSession, books
) -> None:
    """Not ready says why."""
    books.is_live, books.failure = False, "connection closed"
    async with http.get("/readyz") as response:
        assert response.status == 503
        assert await response.json() == {
            "status": "not ready",
            "reason": "the change stream is down: connection closed",
        }


async def test_page_is_html_that_may_load_nothing(http: aiohttp.ClientSession) -> None:
    """The page carries its style and forbids everything else."""
    async with http.get("/") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "<h1>stablesats exporter</h1>" in await response.text()


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz"])
async def test_head_answers_like_get_without_a_body(http: aiohttp.ClientSession, path: str) -> None:
    """Probes that only look at the status may use HEAD."""
    async with http.head(path) as response:
        assert (response.status, await response.read()) == (200, b"")


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/metrics/x", "/../etc/passwd"])
async def test_unknown_path_is_404(http: aiohttp.ClientSession, path: str) -> None:
    """There is nothing else to find."""
    async with http.get(path) as response:
        assert response.status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_writing_method_is_405(http: aiohttp.ClientSession, method: str) -> None:
    """The exporter is read only."""
    async with http.request(method, "/metrics") as response:
        assert response.status == 405


@pytest.mark.parametrize("path", ["/", "/metrics", "/readyz"])
async def test_damaged_ledger_is_refused_with_the_reason(
    http: aiohttp.ClientSession, books, path: str
) -> None:
    """A balance that cannot be true gives no figures at all: Prometheus sees the target down."""
    books.post(Account.STABLESATS_OMNIBUS, NormalSide.DEBIT, Decimal("0.5"), Currency.USD)
    reason = "STABLESATS_OMNIBUS holds -0.5 cent, which is not a whole number"
    with capture_logs() as logs:
        async with http.get(path) as response:
            assert (response.status, await response.text()) == (500, f"{reason}\n")
    assert [(line["event"], line["path"], line["reason"]) for line in logs] == [
        ("exporter.refused", path, reason)
    ]


async def test_occupied_port_is_an_error_that_names_it(feed: LedgerFeed) -> None:
    """Starting on a taken port fails with the address and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressUnavailableError) as caught:
            async with server_on(feed, port=port):
                pass
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", port)
    assert re.fullmatch(
        rf"cannot listen on 127\.0\.0\.1 port {port}: .*in use.*; "
        r"choose another --port \(0 takes any free one\) or another --host",
        str(caught.value),
    )


async def test_host_that_is_not_of_this_machine_is_an_error(feed: LedgerFeed) -> None:
    """An address of another machine (a documentation address, RFC 5737) cannot be listened on."""
    with pytest.raises(AddressUnavailableError, match=r"cannot listen on 192\.0\.2\.1 port 0"):
        async with server_on(feed, host="192.0.2.1"):
            pass


async def test_host_that_is_no_name_is_an_error(feed: LedgerFeed) -> None:
    """An empty label cannot even be looked up."""
    with pytest.raises(AddressUnavailableError, match=r"cannot listen on a\.\.b port 0"):
        async with server_on(feed, host="a..b"):
            pass


async def test_listening_beyond_loopback_is_warned_about(feed: LedgerFeed) -> None:
    """Nothing asks who is calling, so exposing it is said out loud."""
    with capture_logs() as logs:
        async with server_on(feed, host="0.0.0.0"):
            pass
    assert [(line["event"], line["log_level"], line["host"]) for line in logs] == [
        ("exporter.exposed", "warning", "0.0.0.0")
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3"])
async def test_listening_on_loopback_is_silent(feed: LedgerFeed, host: str) -> None:
    """The default needs no warning."""
    with capture_logs() as logs:
        async with server_on(feed, host=host):
            pass
    assert logs == []


async def test_stopping_does_not_wait_for_idle_connections(feed: LedgerFeed) -> None:
    """A scraper that keeps its connection open does not hold up the shutdown."""
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        async with server_on(feed) as server, session.get(f"{server.url}/healthz") as response:
            assert json.loads(await response.read()) == {"status": "alive"}
            url = server.url
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{url}/healthz")

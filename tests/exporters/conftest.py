"""Fixtures of the exporter's tests: books in memory, an exporter around them, promtool."""

import asyncio
import inspect
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import pytest

from exporters.feed import LedgerFeed
from exporters.server import MetricsServer
from exporters.service import metrics_registry
from medici_py import Balance
from stablesats.ledger.chart import Account, Currency, NormalSide

NOON = datetime(2022, 11, 8, 12, 0, tzinfo=UTC)
"""What the clock of these tests says."""

DEADLINE_SECS = 60


@dataclass
class BooksInMemory:
    """The dealer's books without a database: what `medici_py.LiveBalances` shows of them."""

    legs: list[tuple[tuple[str, str, str, str], Decimal]] = field(default_factory=list)
    is_live: bool = True
    failure: str | None = None
    restarts: int = 0
    journals_applied: int = 0
    last_event_at: datetime | None = None
    load: Callable[[], Awaitable[object]] = field(default=lambda: asyncio.sleep(0))
    closed: bool = False

    def post(
        self,
        account: Account,
        side: NormalSide,
        amount_minor: int | Decimal,
        currency: Currency,
        layer: str = "SETTLED",
    ) -> None:
        """Add one leg; nothing checks that debits equal credits."""
        signed = amount_minor if side is NormalSide.CREDIT else -amount_minor
        self.legs.append(((account.book, account.code, currency, layer), Decimal(signed)))

    def user_buys_usd(self, *, sats: int, cents: int) -> None:
        """A user pays *sats* and is owed *cents*."""
        self.post(Account.STABLESATS_BTC_WALLET, NormalSide.CREDIT, sats, Currency.BTC)
        self.post(Account.EXTERNAL_OMNIBUS, NormalSide.DEBIT, sats, Currency.BTC)
        self.post(Account.STABLESATS_LIABILITY, NormalSide.CREDIT, cents, Currency.USD)
        self.post(Account.STABLESATS_OMNIBUS, NormalSide.DEBIT, cents, Currency.USD)
        self.journals_applied += 1
        self.last_event_at = NOON

    def mirror_okx_position(self, change_cents: int) -> None:
        """The signed exposure changes by *change_cents*: below zero means more short."""
        position, omnibus = (
            (NormalSide.CREDIT, NormalSide.DEBIT)
            if change_cents > 0
            else (NormalSide.DEBIT, NormalSide.CREDIT)
        )
        self.post(Account.OKEX_POSITION, position, abs(change_cents), Currency.USD)
        self.post(Account.EXCHANGE_POSITION_OMNIBUS, omnibus, abs(change_cents), Currency.USD)
        self.journals_applied += 1
        self.last_event_at = NOON

    def balance(self, book: str, account: str | None, **dimensions: str) -> Balance:
        wanted = [
            amount
            for (of_book, of_account, *values), amount in self.legs
            if of_book == book and account in {of_account, None} and values == list(dimensions.values())
        ]
        return Balance(balance=sum(wanted, Decimal(0)), notes=len(wanted))

    async def __aenter__(self) -> Self:
        await self.load()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closed = True


async def _until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_SECS):
        while True:
            holds = condition()
            if (await holds) if inspect.isawaitable(holds) else holds:
                return
            await asyncio.sleep(0.01)


@pytest.fixture
def until() -> Callable[[Callable[[], bool | Awaitable[bool]]], Awaitable[None]]:
    """Poll a condition until it holds; fail at a generous deadline."""
    return _until


@pytest.fixture
def books() -> BooksInMemory:
    """Empty books whose change stream is open."""
    return BooksInMemory()


@pytest.fixture
def noon() -> datetime:
    """What the clock says in these tests."""
    return NOON


@pytest.fixture
async def feed(books: BooksInMemory) -> AsyncIterator[LedgerFeed]:
    """A feed of *books*, loaded and running."""
    feed = LedgerFeed(books, now=lambda: NOON)
    running = asyncio.create_task(feed.run())
    await _until(lambda: feed.snapshot().figures is not None)
    yield feed
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def server(feed: LedgerFeed) -> AsyncIterator[MetricsServer]:
    """A server of *feed* on a free loopback port."""
    registry = metrics_registry(feed)
    async with MetricsServer(registry=registry, read_snapshot=feed.snapshot, now=lambda: NOON) as server:
        yield server


@pytest.fixture
async def http(server: MetricsServer) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of *server*: paths are relative to it."""
    async with aiohttp.ClientSession(server.url) as session:
        yield session


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The ``promtool`` of Prometheus; a machine that checks changes must have it, others may do without."""
    fetched = Path(__file__).parents[2] / ".tools" / "promtool"
    found = str(fetched) if fetched.exists() else shutil.which("promtool")
    if found is not None:
        return Path(found)
    reason = "promtool is missing: run scripts/fetch-promtool, or install Debian's package 'prometheus'"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)

"""Trades in, booked, taken back and allocated: the whole service inside one process."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from stablesats import ledger_service
from stablesats.ledger import Ledger
from stablesats.ledger_service import LedgerService, ServicePace
from stablesats.trades import (
    Delivery,
    JsonLinesSource,
    Place,
    Position,
    QueueSource,
    ReceivedTrade,
    RevertRequest,
    Unit,
    UserTrade,
)
from stablesats.trades.counts import TradeCounts
from stablesats.trades.trade_collections import bind_documents
from stablesats.trades.trade_documents import TRADE_REVERTS, USER_TRADES
from stablesats.trades.trade_store import TradeStore

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
FAST = ServicePace(look_every_secs=0.05, lag_every_secs=0.05)


def row(trade_id: str, cents: int = 500) -> str:
    return json.dumps(
        {"id": trade_id, "timestamp": "2026-09-01T12:00:00Z", "buy_unit": "usd_cent", "buy_amount": cents,
         "sell_unit": "satoshi", "sell_amount": 1000}
    )  # fmt: skip


def trade(trade_id: str, cents: int = 500) -> UserTrade:
    return UserTrade(
        id=trade_id,
        timestamp=NOON,
        buy_unit=Unit.USD_CENT,
        buy_amount=cents,
        sell_unit=Unit.SATOSHI,
        sell_amount=1000,
    )


async def allocated_cents(ledger: Ledger) -> tuple[int, int]:
    """What is allocated to OKX, what is not yet."""
    found = await ledger.liability_balances()
    return found.okex_allocation_cents, found.unallocated_cents


async def eventually(condition: Callable[[], Awaitable[bool]], within_secs: float = 30) -> None:
    async with asyncio.timeout(within_secs):
        while not await condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(service: LedgerService) -> AsyncIterator[None]:
    """Run *service* until the block ends, and see it end by itself then."""
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(service.run(stop, on_ready=ready.set))
    try:
        await asyncio.wait_for(ready.wait(), 30)
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


class TestOnce:
    async def test_everything_is_booked_and_allocated(self, ledger: Ledger, tmp_path: Path) -> None:
        """Trades, reverts, nonsense: what can be done is done, and the run ends."""
        path = tmp_path / "trades.jsonl"
        path.write_text(
            "\n".join([row("t1"), row("t2", 200), "nonsense", '{"revert": "t1"}', row("t2", 201)])
        )
        service = LedgerService(ledger, JsonLinesSource(path, follow=False), pace=FAST)
        await service.run_once(asyncio.Event())
        assert service.counts.quarantined == 2
        assert service.counts.booked - service.counts.reverted == 1
        assert service.counts.reverted + service.counts.cancelled == 1
        assert await allocated_cents(ledger) == (200, 0)
        again = LedgerService(ledger, JsonLinesSource(path, follow=False), pace=FAST)
        await again.run_once(asyncio.Event())
        assert again.counts == TradeCounts(quarantined=1)  # the last line has no break: it is read again
        assert await allocated_cents(ledger) == (200, 0)

    async def test_two_at_once_book_each_trade_once(self, ledger: Ledger, tmp_path: Path) -> None:
        """Both end only when all is booked, whoever did it."""
        for name in "ab":
            (tmp_path / f"{name}.jsonl").write_text("".join(row(f"{name}{n}") + "\n" for n in range(120)))
        services = [
            LedgerService(Ledger(ledger.database), JsonLinesSource(tmp_path, follow=False), pace=FAST)
            for _ in range(2)
        ]
        await asyncio.gather(*(service.run_once(asyncio.Event()) for service in services))
        assert sum(service.counts.booked for service in services) == 240
        assert await allocated_cents(ledger) == (240 * 500, 0)
        assert (await ledger.stablesats.verify()).clean

    async def test_it_ends_only_when_nothing_is_left(self, ledger: Ledger, tmp_path: Path) -> None:
        """More than one round can book, and a row that somebody else holds at that moment."""
        documents = await bind_documents(ledger.database, make_indexes=True)
        trades = [ReceivedTrade(trade(f"t{number}", 1), Place("before")) for number in range(150)]
        await TradeStore(documents).receive(trades, at=NOON)
        service = LedgerService(ledger, JsonLinesSource(tmp_path, follow=False), pace=FAST)
        async with ledger.database.client.start_session() as other:
            await other.start_transaction()
            await ledger.database[USER_TRADES].update_one({"_id": "t7"}, {"$set": {"mine": 1}}, session=other)
            running_once = asyncio.create_task(service.run_once(asyncio.Event()))
            await eventually(lambda: _is(service.counts.booked == 149 or running_once.done()))
            assert not running_once.done()
            await other.abort_transaction()
        await asyncio.wait_for(running_once, 30)
        assert service.counts.booked == 150
        assert await allocated_cents(ledger) == (150, 0)

    async def test_request_that_a_dead_process_left_unmarked_is_done(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        """It had stored the trade and died before it looked for requests about it."""
        documents = await bind_documents(ledger.database, make_indexes=True)
        store = TradeStore(documents)
        await store.request_reverts([RevertRequest("t1", Place("before"))], at=NOON)
        await store.receive([ReceivedTrade(trade("t1"), Place("before"))], at=NOON)
        await ledger.database[TRADE_REVERTS].update_one({"_id": "t1"}, {"$set": {"trade_known": False}})
        service = LedgerService(ledger, JsonLinesSource(tmp_path, follow=False), pace=FAST)
        await service.run_once(asyncio.Event())
        assert service.counts == TradeCounts(cancelled=1)
        assert await service.reverts_waiting() == 0

    async def test_failure_in_passing_is_repeated(
        self, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """MongoDB was away for a moment."""
        path = tmp_path / "trades.jsonl"
        path.write_text(row("t1"))
        receive, calls = TradeStore.receive, 0

        async def fails_twice(self: TradeStore, *arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls <= 2:
                raise AutoReconnect("gone")
            return await receive(self, *arguments, **options)

        monkeypatch.setattr(TradeStore, "receive", fails_twice)
        service = LedgerService(ledger, JsonLinesSource(path, follow=False), pace=FAST)
        await service.run_once(asyncio.Event())
        assert service.counts == TradeCounts(received=1, booked=1, failures=2)

    @pytest.mark.parametrize("step", ["accounts", "indexes", "requests"])
    async def test_server_that_goes_away_before_the_start_is_over_is_waited_for(
        self, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        """An election in the first second ends no process, wherever it comes."""
        path = tmp_path / "trades.jsonl"
        path.write_text(row("t1"))
        target, name = {
            "accounts": (Ledger, "prepare"),
            "indexes": (ledger_service, "bind_documents"),
            "requests": (TradeStore, "mark_all_trades_known"),
        }[step]
        does, calls = getattr(target, name), 0

        async def fails_at_first(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise AutoReconnect("gone")
            return await does(*arguments, **options)

        monkeypatch.setattr(target, name, fails_at_first)
        service = LedgerService(ledger, JsonLinesSource(path, follow=False), pace=FAST)
        await asyncio.wait_for(service.run_once(asyncio.Event()), 60)
        assert service.counts == TradeCounts(received=1, booked=1, failures=1)

    async def test_server_that_refuses_the_start_ends_it_at_once(
        self, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It would refuse it for ever: the operator hears of it now."""
        calls = 0

        async def refuses(self: Ledger) -> None:
            nonlocal calls
            calls += 1
            raise OperationFailure("not authorized", 13)

        monkeypatch.setattr(Ledger, "prepare", refuses)
        service = LedgerService(ledger, JsonLinesSource(tmp_path, follow=False))
        with pytest.raises(OperationFailure, match="not authorized"):
            await service.run(asyncio.Event())
        assert calls == 1

    async def test_start_that_waits_for_a_server_can_be_stopped(
        self, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing was begun, and nothing is reported as ready."""
        stop, ready = asyncio.Event(), asyncio.Event()

        async def is_away(self: Ledger) -> None:
            stop.set()
            raise AutoReconnect("gone")

        monkeypatch.setattr(Ledger, "prepare", is_away)
        service = LedgerService(ledger, JsonLinesSource(tmp_path, follow=False))
        await asyncio.wait_for(service.run(stop, on_ready=ready.set), 60)
        assert not ready.is_set()

    async def test_start_that_a_server_leaves_without_an_answer_can_be_stopped(
        self, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The driver looks for a server for half a minute: nobody waits for that."""
        asked, stop = asyncio.Event(), asyncio.Event()

        async def is_never_answered(self: Ledger) -> None:
            asked.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(Ledger, "prepare", is_never_answered)
        service = LedgerService(ledger, JsonLinesSource(tmp_path, follow=False))
        running = asyncio.create_task(service.run_once(stop))
        await asyncio.wait_for(asked.wait(), 60)
        stop.set()
        await asyncio.wait_for(running, 60)
        assert service.counts == TradeCounts()

    async def test_failure_that_stays_is_raised(
        self, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A run that is to end does not wait for ever."""
        path = tmp_path / "trades.jsonl"
        path.write_text(row("t1"))

        async def fails(*_: object, **__: object) -> None:
            raise OperationFailure("not allowed")

        monkeypatch.setattr(TradeStore, "receive", fails)
        pace = ServicePace(look_every_secs=0.05, patience_secs=0.3)
        service = LedgerService(ledger, JsonLinesSource(path, follow=False), pace=pace)
        with pytest.raises(OperationFailure, match="not allowed"):
            await asyncio.wait_for(service.run_once(asyncio.Event()), 30)


class TestFollowing:
    async def test_trades_of_the_application_are_booked_as_they_come(self, ledger: Ledger) -> None:
        """And allocated, taken back, counted; the lag is there to be read."""
        queue = QueueSource()
        service = LedgerService(ledger, queue, pace=FAST)

        async def is_allocated(cents: int) -> bool:
            return await allocated_cents(ledger) == (cents, 0)

        async with running(service):
            await queue.put(trade("t1"))
            await queue.put(trade("t2", 70))
            await eventually(lambda: is_allocated(570))
            await queue.put_revert("t1")
            await eventually(lambda: is_allocated(70))
            await eventually(lambda: _is(service.lag is not None and service.lag.unbooked == 0))
        assert (service.counts.booked, service.counts.reverted) == (2, 1)

    async def test_file_is_followed_and_lines_of_others_are_booked(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        """What another process stored and did not book is everybody's work."""
        path = tmp_path / "trades.jsonl"
        path.write_text(row("t1") + "\n")
        service = LedgerService(ledger, JsonLinesSource(path, follow=True, look_every_secs=0.02), pace=FAST)
        async with running(service):
            await eventually(lambda: _is(service.counts.booked == 1))
            with path.open("a") as file:
                file.write(row("t2") + "\n")
            await eventually(lambda: _is(service.counts.booked == 2))

    async def test_failing_source_is_asked_again_and_stops_nobody_else(self, ledger: Ledger) -> None:
        """Supervised: logged, counted, repeated."""

        class Failing:
            name = "failing"
            asked = 0

            async def deliveries(self, positions: Mapping[str, Position]) -> AsyncGenerator[Delivery, None]:
                self.asked += 1
                raise RuntimeError("no backend")
                yield

        source = Failing()
        service = LedgerService(ledger, source, pace=FAST)
        async with running(service):
            await eventually(lambda: _is(source.asked >= 2))
            assert service.lag is not None
        assert service.counts.failures >= 2


async def _is(condition: bool) -> bool:
    return condition

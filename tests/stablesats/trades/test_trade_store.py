"""What came in, stored once, whoever brings it and however often."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import BulkWriteError

from medici_py import mongo_transaction
from stablesats.ledger import Ledger
from stablesats.trades import ReceivedTrade, RevertRequest, TradeConflictError, TradeReferenceError
from stablesats.trades.receiving import Received
from stablesats.trades.revert_requests import SETTLEABLE_REVERTS
from stablesats.trades.trade_collections import TradeDocuments
from stablesats.trades.trade_documents import SOURCE_POSITIONS, TRADE_REVERTS, USER_TRADES
from stablesats.trades.trade_lines import read_line
from stablesats.trades.trade_poster import TradePoster
from stablesats.trades.trade_store import TradeStore, trade_text

NOW = datetime(2026, 9, 2, tzinfo=UTC)

Factory = Callable[..., ReceivedTrade]
Revert = Callable[[str], RevertRequest]
Rows = Callable[[str], Any]


@pytest.fixture
def poster(ledger: Ledger, documents: TradeDocuments) -> TradePoster:
    return TradePoster(ledger, documents, now=lambda: NOW)


class TestReceiving:
    async def test_trade_is_stored_as_received(
        self, store: TradeStore, received: Factory, rows_of: Rows
    ) -> None:
        """With its payments, as long as it is live."""
        assert await store.receive([received("t1", btc="b1")], at=NOW) == Received(1, 0, ())
        [row] = await rows_of(USER_TRADES)
        assert (row["_id"], row["state"], row["live_reference"]) == ("t1", "received", {"btc_tx_id": "b1"})
        assert "ledger_journal_id" not in row
        assert await store.unbooked(10) == ["t1"]

    async def test_repeat_is_counted_and_changes_nothing(
        self, store: TradeStore, received: Factory, rows_of: Rows
    ) -> None:
        """Also within one delivery."""
        trade = received("t1", btc="b1")
        await store.receive([trade], at=NOW)
        before = await rows_of(USER_TRADES)
        assert await store.receive([trade, received("t2"), trade, received("t2")], at=NOW) == Received(
            1, 3, ()
        )
        assert (await rows_of(USER_TRADES))[0] == before[0]

    async def test_other_content_under_a_known_id_is_a_conflict(
        self, store: TradeStore, received: Factory
    ) -> None:
        """The first one stays, also within one delivery; the others around it are stored."""
        found = await store.receive([received("t1"), received("t1", cents=501), received("t2")], at=NOW)
        assert (found.stored, found.replayed) == (2, 0)
        [(conflicting, conflict)] = found.conflicts
        assert conflicting.trade.cents == 501
        assert isinstance(conflict, TradeConflictError)
        assert conflict.differences == {"buy_amount": (500, 501)}

    @pytest.mark.parametrize("cents", [500, 501])
    async def test_payments_of_a_live_trade_under_another_id_are_a_conflict(
        self, store: TradeStore, received: Factory, cents: int
    ) -> None:
        """The same payments are never booked twice, whatever the amounts; both trades are named."""
        await store.receive([received("t1", btc="b", usd="u")], at=NOW)
        found = await store.receive([received("t2", cents=cents, btc="b", usd="u")], at=NOW)
        assert found.stored == 0
        [(_, conflict)] = found.conflicts
        assert isinstance(conflict, TradeReferenceError)
        assert (conflict.trade_id, conflict.holder_id) == ("t2", "t1")

    @pytest.mark.parametrize(
        ("payments", "holder"),
        [
            ({"btc": "b1", "usd": "other"}, "t1"),
            ({"btc": "other", "usd": "u2"}, "t2"),
            ({"btc": "b2"}, "t2"),
            ({"usd": "u1"}, "t1"),
            ({"btc": "b1", "usd": "u2"}, "t1"),
        ],
    )
    async def test_one_payment_in_common_is_a_conflict(
        self, store: TradeStore, received: Factory, payments: dict[str, str], holder: str
    ) -> None:
        """A payment is booked once, whatever stands beside it."""
        await store.receive([received("t1", btc="b1", usd="u1"), received("t2", btc="b2", usd="u2")], at=NOW)
        found = await store.receive([received("t3", **payments)], at=NOW)
        [(_, conflict)] = found.conflicts
        assert isinstance(conflict, TradeReferenceError)
        assert (found.stored, conflict.holder_id) == (0, holder)

    async def test_u4_payments_are_free_again_once_their_trade_has_been_taken_back(
        self, store: TradeStore, poster: TradePoster, received: Factory, revert: Revert
    ) -> None:
        """A correction waits until then: whether it can be taken back at all is not certain before."""
        await store.receive([received("t1", btc="b", usd="u")], at=NOW)
        await store.request_reverts([revert("t1")], at=NOW)
        correction = received("t2", cents=7, btc="b", usd="u")
        assert await store.receive([correction], at=NOW) == Received(0, 0, (), (correction,))
        await poster.settle_revert("t1")
        assert await store.receive([correction], at=NOW) == Received(1, 0, ())
        found = await store.receive([received("t3", btc="b", usd="u")], at=NOW)
        assert [
            conflict.holder_id for _, conflict in found.conflicts if isinstance(conflict, TradeReferenceError)
        ] == ["t2"]

    async def test_correction_of_a_trade_that_cannot_be_taken_back_is_a_conflict(
        self, store: TradeStore, received: Factory, revert: Revert, ledger: Ledger
    ) -> None:
        """Or the payments would be booked twice."""
        await store.receive([received("t1", btc="b", usd="u")], at=NOW)
        await store.request_reverts([revert("t1")], at=NOW)
        correction = received("t2", btc="b", usd="u")
        assert (await store.receive([correction], at=NOW)).waiting == (correction,)
        await mongo_transaction(
            ledger.database.client,
            lambda session: store.reject_revert("t1", "refused", at=NOW, session=session),
        )
        found = await store.receive([correction], at=NOW)
        assert [str(type(conflict).__name__) for _, conflict in found.conflicts] == ["TradeReferenceError"]
        assert found.waiting == ()

    async def test_u4_trade_that_is_taken_back_at_this_moment_does_not_keep_its_correction_out(
        self,
        store: TradeStore,
        documents: TradeDocuments,
        received: Factory,
        revert: Revert,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """It had the payments when it was found, and another process settles its request right then."""
        await store.receive([received("t1", btc="b", usd="u")], at=NOW)
        await store.request_reverts([revert("t1")], at=NOW)
        find_one = documents.reverts.find_one

        async def find_after_settling(*query: Any, **options: Any) -> Any:
            await documents.reverts.get_pymongo_collection().update_one(
                {"_id": "t1"}, {"$set": {"state": "settled"}}
            )
            await documents.trades.get_pymongo_collection().update_one(
                {"_id": "t1"}, {"$set": {"state": "cancelled"}, "$unset": {"live_reference": ""}}
            )
            return await find_one(*query, **options)

        monkeypatch.setattr(documents.reverts, "find_one", find_after_settling)
        assert await store.receive([received("t2", btc="b", usd="u")], at=NOW) == Received(1, 0, ())

    async def test_repeat_of_a_trade_that_was_corrected_meanwhile_is_no_conflict(
        self,
        *,
        store: TradeStore,
        documents: TradeDocuments,
        poster: TradePoster,
        received: Factory,
        revert: Revert,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Another process took in the same lines between the look and the write of this one."""
        first, correction = received("t1", btc="b", usd="u"), received("t2", cents=7, btc="b", usd="u")
        insert = documents.trades.insert_many

        async def insert_late(*rows: Any, **options: Any) -> Any:
            monkeypatch.setattr(documents.trades, "insert_many", insert)
            await store.receive([first], at=NOW)
            await store.request_reverts([revert("t1")], at=NOW)
            await poster.settle_revert("t1")
            await store.receive([correction], at=NOW)
            return await insert(*rows, **options)

        monkeypatch.setattr(documents.trades, "insert_many", insert_late)
        assert await store.receive([first], at=NOW) == Received(0, 1, ())

    async def test_trades_without_payments_never_meet(self, store: TradeStore, received: Factory) -> None:
        """Only their ids tell them apart."""
        assert (await store.receive([received("t1"), received("t2")], at=NOW)).stored == 2

    async def test_same_trades_from_many_tasks_are_stored_once(
        self, store: TradeStore, received: Factory
    ) -> None:
        """And nobody finds a conflict in what another one just stored."""
        trades = [received(f"t{number}", btc=f"b{number}") for number in range(30)]
        found = await asyncio.gather(*(store.receive(trades, at=NOW) for _ in range(6)))
        assert sum(each.stored for each in found) == 30
        assert sum(each.replayed for each in found) == 5 * 30
        assert all(each.conflicts == () for each in found)

    async def test_oldest_trade_is_booked_first(self, store: TradeStore, received: Factory) -> None:
        """By when it took place, not by when it came."""
        trades = [received(f"t{hours}", at=NOW - timedelta(hours=hours)) for hours in range(5)]
        await store.receive(trades, at=NOW)
        assert await store.unbooked(3) == ["t4", "t3", "t2"]

    async def test_rejected_trade_that_is_given_again_is_received_again(
        self, store: TradeStore, ledger: Ledger, received: Factory, rows_of: Rows
    ) -> None:
        """Whoever gives it has mended the cause; with its payments, if they are still free."""
        trades = [received(f"t{number}", btc=f"b{number}", usd=f"u{number}") for number in (1, 2)]
        await store.receive(trades, at=NOW)
        for trade_id in ("t1", "t2"):
            await mongo_transaction(
                ledger.database.client,
                lambda session, trade_id=trade_id: store.reject(trade_id, "refused", at=NOW, session=session),
            )
        await store.receive([received("other", btc="b2", usd="else")], at=NOW)
        found = await store.receive([*trades, *trades], at=NOW)
        assert (found.stored, found.replayed) == (1, 1)
        assert {conflict.trade_id for _, conflict in found.conflicts} == {"t2"}
        rows = {row["_id"]: row for row in await rows_of(USER_TRADES)}
        assert (rows["t1"]["state"], rows["t2"]["state"]) == ("received", "rejected")
        assert rows["t1"]["live_reference"] == {"btc_tx_id": "b1", "usd_tx_id": "u1"}

    async def test_duplicates_that_are_on_no_majority_are_passed_on(
        self, store: TradeStore, documents: TradeDocuments, received: Factory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is there may be taken back yet: it does not count as stored."""
        details = {
            "writeErrors": [{"index": 0, "code": 11000}],
            "writeConcernErrors": [{"code": 64, "errmsg": "waiting for replication timed out"}],
        }

        async def insert_many(*_: object, **__: object) -> None:
            raise BulkWriteError(details)

        monkeypatch.setattr(documents.trades, "insert_many", insert_many)
        with pytest.raises(BulkWriteError):
            await store.receive([received("t1")], at=NOW)

    async def test_failure_of_another_kind_is_passed_on(
        self, store: TradeStore, documents: TradeDocuments, received: Factory
    ) -> None:
        """Only a duplicate is ours to explain."""
        await documents.trades.get_pymongo_collection().database.command(
            "collMod", USER_TRADES, validator={"buy_amount": {"$lt": 1000}}
        )
        with pytest.raises(BulkWriteError):
            await store.receive([received("t1", cents=1000)], at=NOW)


class TestReverts:
    async def test_request_is_remembered_once(self, store: TradeStore, revert: Revert, rows_of: Rows) -> None:
        """However often it comes."""
        assert await store.request_reverts([revert("t1"), revert("t2"), revert("t1")], at=NOW) == 2
        assert await store.request_reverts([revert("t1")], at=NOW) == 0
        assert [row["_id"] for row in await rows_of(TRADE_REVERTS)] == ["t1", "t2"]

    async def test_request_waits_for_its_trade(
        self, store: TradeStore, received: Factory, revert: Revert
    ) -> None:
        """Nothing can be done before."""
        await store.request_reverts([revert("t1")], at=NOW)
        assert await store.settleable_reverts(10) == []
        await store.receive([received("t1")], at=NOW)
        assert await store.settleable_reverts(10) == ["t1"]

    async def test_request_whose_trade_is_here_is_found_in_either_order(
        self, store: TradeStore, received: Factory, revert: Revert
    ) -> None:
        """Whichever comes second marks the request."""
        await store.request_reverts([revert("t1")], at=NOW)
        await store.receive([received("t1"), received("t2")], at=NOW)
        await store.request_reverts([revert("t2"), revert("t3")], at=NOW)
        assert await store.settleable_reverts(10) == ["t1", "t2"]
        assert await store.waiting_reverts() == 1

    async def test_trades_and_requests_at_once_always_meet(
        self, store: TradeStore, received: Factory, revert: Revert
    ) -> None:
        """Through any number of processes."""
        ids = [f"t{number}" for number in range(30)]
        await asyncio.gather(
            *(store.receive([received(each)], at=NOW) for each in ids),
            *(store.request_reverts([revert(each)], at=NOW) for each in ids),
        )
        assert sorted(await store.settleable_reverts(100)) == sorted(ids)

    async def test_request_that_a_dead_process_did_not_mark_is_found_by_a_repeat_or_a_look_at_all(
        self, store: TradeStore, documents: TradeDocuments, received: Factory, revert: Revert
    ) -> None:
        """It had stored the trade and not looked any further."""
        reverts = documents.reverts.get_pymongo_collection()
        await store.receive([received("t1"), received("t2")], at=NOW)
        await store.request_reverts([revert("t1"), revert("t2"), revert("t3")], at=NOW)
        await reverts.update_one({"_id": "t1"}, {"$set": {"trade_known": False}})
        await reverts.update_one({"_id": "t2"}, {"$unset": {"trade_known": ""}})
        assert await store.settleable_reverts(10) == []
        await store.receive([received("t1")], at=NOW)
        assert await store.settleable_reverts(10) == ["t1"]
        await store.mark_all_trades_known()
        assert await store.settleable_reverts(10) == ["t1", "t2"]

    async def test_requests_whose_trade_never_comes_are_not_looked_at(
        self, store: TradeStore, documents: TradeDocuments, received: Factory, revert: Revert
    ) -> None:
        """A round costs the same, however many there are."""
        await store.request_reverts([revert(f"never-{number}") for number in range(50)], at=NOW)
        await store.receive([received("t1")], at=NOW)
        await store.request_reverts([revert("t1")], at=NOW)
        found = documents.reverts.get_pymongo_collection().find(
            dict(SETTLEABLE_REVERTS), {"_id": 1}, sort=[("requested_at", 1), ("_id", 1)], limit=10
        )
        explained = await found.explain()
        stages = json.dumps(explained["queryPlanner"]["winningPlan"])
        assert "pending_known" in stages
        assert "COLLSCAN" not in stages
        assert explained["executionStats"]["totalDocsExamined"] == 1

    async def test_refused_request_that_is_given_again_is_pending_again(
        self, store: TradeStore, ledger: Ledger, received: Factory, revert: Revert
    ) -> None:
        """Whoever gives it has mended the cause."""
        await store.receive([received("t1")], at=NOW)
        await store.request_reverts([revert("t1")], at=NOW)
        await mongo_transaction(
            ledger.database.client,
            lambda session: store.reject_revert("t1", "refused", at=NOW, session=session),
        )
        assert await store.settleable_reverts(10) == []
        assert await store.request_reverts([revert("t1")], at=NOW) == 1
        assert await store.settleable_reverts(10) == ["t1"]


class TestPositions:
    async def test_newest_position_of_each_stream_is_kept(self, store: TradeStore, rows_of: Rows) -> None:
        """A source is asked to go on there."""
        await store.save_position("/trades", "a.jsonl", {"offset": 1})
        await store.save_position("/trades", "a.jsonl", {"offset": 2})
        await store.save_position("/trades", "b.jsonl", {"offset": 9})
        await store.save_position("galoy", "account", {"cursor": "x"})
        assert await store.positions("/trades") == {"a.jsonl": {"offset": 2}, "b.jsonl": {"offset": 9}}
        assert await store.positions("elsewhere") == {}
        assert len(await rows_of(SOURCE_POSITIONS)) == 3


def test_trade_as_text_reads_back_as_the_trade(received: Factory) -> None:
    """So that what was set aside can be given again."""
    trade = received("t1", btc="b1", usd="u1")
    again = read_line(trade_text(trade.trade).encode(), trade.place)
    assert again == trade


async def test_ledger_is_not_touched(store: TradeStore, ledger: Ledger, received: Factory) -> None:
    """Storing is not booking."""
    await store.receive([received("t1")], at=NOW)
    assert await ledger.database["medici_journals"].count_documents({}) == 0

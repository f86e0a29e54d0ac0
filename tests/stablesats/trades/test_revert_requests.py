"""Rows of trades that were lost, or restored from an older backup, while requests and books were kept.

The files are read again then, and everything ends as if nothing had been lost: what the books have of a trade
is not posted again, and what was taken back is owed to nobody.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Any, Final

import pytest
from pymongo import AsyncMongoClient, monitoring

from medici_py.embedded import EmbeddedMongo
from stablesats.ledger import Ledger
from stablesats.trades import (
    BookedTrade,
    Delivery,
    QueueSource,
    ReceivedTrade,
    RevertRequest,
    TradeNotLiveError,
    Trades,
)
from stablesats.trades.booking import TradeBooking
from stablesats.trades.counts import TradeCounts
from stablesats.trades.errors import TradeBusyError
from stablesats.trades.intake import TradeIntake
from stablesats.trades.trade_collections import TradeDocuments, bind_documents
from stablesats.trades.trade_documents import QUARANTINE, TRADE_REVERTS, USER_TRADES, received_row
from stablesats.trades.trade_poster import TradePoster, external_id_of
from stablesats.trades.trade_store import TradeStore

BEFORE = datetime(2026, 9, 2, tzinfo=UTC)
NOW = datetime(2026, 9, 3, tzinfo=UTC)
PATIENCE_SECS = 60

Factory = Callable[..., ReceivedTrade]
Revert = Callable[[str], RevertRequest]
Rows = Callable[[str], Any]
Way = Callable[[Ledger, TradeDocuments, list[ReceivedTrade]], Coroutine[Any, Any, None]]

BOOKS: Final = ("nothing", "journal", "reversal", "void")
"""What the books have of a trade: nothing, its journal, that and its reversal, that and its void."""

ROWS: Final = ("lost", "received", "booked", "rejected")
"""The trade's row: not there, or as it once was."""

REQUESTS: Final = ("none", "waiting", "pending", "settled", "rejected")
"""The request to take the trade back; *waiting*: it was not marked that the trade is known."""

TAKEN_BACK: Final[Mapping[str, str]] = {
    "nothing": "cancelled",
    "journal": "reverted",
    "reversal": "reverted",
    "void": "cancelled",
}
"""What becomes of a trade that is to be taken back, by what the books have of it."""

KEPT: Final[Mapping[str, str]] = {
    "nothing": "booked",
    "journal": "booked",
    "reversal": "reverted",
    "void": "cancelled",
}
"""What becomes of a trade that nobody wants taken back, or that was refused to be."""


@dataclass(frozen=True)
class Situation:
    """What is found of one trade."""

    books: str
    row: str
    request: str

    @property
    def trade_id(self) -> str:
        return f"{self.books}/{self.row}/{self.request}"

    @property
    def is_asked_for(self) -> bool:
        """Whether it is to be taken back, or was."""
        return self.request in ("waiting", "pending", "settled")


SITUATIONS: Final = [
    Situation(*each)
    for each in product(BOOKS, ROWS, REQUESTS)
    if each[:2] != ("nothing", "booked")  # such a row and its journal are written together
]


class Scene:
    """Puts trades into the situations they are found in."""

    def __init__(
        self, ledger: Ledger, documents: TradeDocuments, received: Factory, prefix: str = ""
    ) -> None:
        """*prefix*: of the ids of its trades."""
        self._ledger = ledger
        self._documents = documents
        self._received = received
        self._prefix = prefix

    def trade(self, situation: Situation) -> ReceivedTrade:
        trade_id = f"{self._prefix}{situation.trade_id}"
        return self._received(trade_id, btc=f"b/{trade_id}")

    async def set(self, situations: list[Situation]) -> None:
        await asyncio.gather(*(self._set(each) for each in situations))

    async def _set(self, situation: Situation) -> None:
        trade = self.trade(situation)
        journal_id = await self._book(situation.books, trade)
        if situation.row != "lost":
            row = {**received_row(trade, BEFORE), "state": situation.row, "ledger_journal_id": None}
            if situation.row == "booked":
                row["ledger_journal_id"] = journal_id
            if situation.row == "rejected":
                row["live_reference"] = None
            await self._documents.trades.model_validate(row).insert()
        if situation.request != "none":
            state = "pending" if situation.request == "waiting" else situation.request
            request = self._documents.reverts.model_validate(
                {
                    "_id": trade.trade.id,
                    "state": state,
                    "trade_known": situation.request != "waiting",
                    "requested_at": BEFORE,
                    "settled_at": None if state == "pending" else BEFORE,
                }
            )
            await request.insert()

    async def _book(self, books: str, received: ReceivedTrade) -> Any:
        if books == "nothing":
            return None
        trade = received.trade
        journal = await self._ledger.user_buys_usd(
            sats=trade.sats,
            cents=trade.cents,
            at=trade.timestamp,
            key=external_id_of(trade.id),
            reference={"trade_id": trade.id, "btc_tx_id": trade.btc_tx_id},
        )
        if books == "reversal":
            await self._ledger.revert_user_buys_usd(
                sats=trade.sats, cents=trade.cents, at=BEFORE, reverted=journal.id
            )
        if books == "void":
            await self._ledger.stablesats.void(journal.id, "by hand")
        return journal.id


@pytest.fixture
def scene(ledger: Ledger, documents: TradeDocuments, received: Factory) -> Scene:
    return Scene(ledger, documents, received)


def service_of(ledger: Ledger, documents: TradeDocuments) -> tuple[TradeIntake, TradeBooking]:
    """What a service consists of."""
    counts = TradeCounts()
    return (
        TradeIntake(QueueSource(), documents, counts=counts, now=lambda: NOW),
        TradeBooking(ledger, documents, counts=counts, now=lambda: NOW),
    )


async def recover(ledger: Ledger, documents: TradeDocuments, items: list[Any]) -> None:
    """Read *items* again and book them, as a service does, until nothing is left."""
    intake, booking = service_of(ledger, documents)
    async with asyncio.timeout(PATIENCE_SECS):
        taken_in = asyncio.create_task(intake.take_in(Delivery("all", tuple(items), None)))
        try:
            while True:
                ended = taken_in.done()
                if (await booking.round()).is_last and ended:
                    break
                await asyncio.wait([taken_in], timeout=0.01)
            await taken_in
        finally:
            taken_in.cancel()
            await asyncio.wait([taken_in])


async def recover_in_turn(ledger: Ledger, documents: TradeDocuments, items: list[Any]) -> None:
    """As `recover`, one command after the other: PyMongo leaves a socket behind where connecting is cancelled."""
    intake, booking = service_of(ledger, documents)
    await intake.take_in(Delivery("all", tuple(items), None))
    async with asyncio.timeout(PATIENCE_SECS):
        while not (await booking.round()).is_last:
            pass


async def book_at_once(ledger: Ledger, _: TradeDocuments, items: list[ReceivedTrade]) -> None:
    """As an application does that waits for its trades."""
    trades = Trades(ledger, now=lambda: NOW)
    for each in items:
        with contextlib.suppress(TradeNotLiveError):
            await trades.book(each.trade)


async def owed_cents(ledger: Ledger) -> int:
    return (await ledger.balances()).users_liability_cents


async def states_of(rows_of: Rows) -> dict[str, str]:
    return {row["_id"]: row["state"] for row in await rows_of(USER_TRADES)}


@contextlib.asynccontextmanager
async def process(
    mongodb: EmbeddedMongo, database: str, *listeners: Any
) -> AsyncGenerator[tuple[Ledger, TradeDocuments], None]:
    """The books and documents of a process of its own."""
    async with AsyncMongoClient[dict[str, Any]](
        mongodb.uri, tz_aware=True, event_listeners=listeners
    ) as client:
        ledger = Ledger(client[database])
        yield ledger, await bind_documents(client[database])


@pytest.mark.parametrize("processes", [1, 2])
async def test_files_that_are_read_again_bring_back_what_the_rows_said(
    *, ledger: Ledger, scene: Scene, mongodb: EmbeddedMongo, revert: Revert, rows_of: Rows, processes: int
) -> None:
    """Trade and request are both in the files: only the books decide what becomes of them."""
    await scene.set(SITUATIONS)
    items = [item for each in SITUATIONS for item in (scene.trade(each), revert(each.trade_id))]

    async def one() -> None:
        async with process(mongodb, ledger.database.name) as (books, documents):
            await recover(books, documents, items)

    await asyncio.gather(*(one() for _ in range(processes)))
    assert await states_of(rows_of) == {each.trade_id: TAKEN_BACK[each.books] for each in SITUATIONS}
    assert {row["state"] for row in await rows_of(TRADE_REVERTS)} == {"settled"}
    assert await rows_of(QUARANTINE) == []
    assert await owed_cents(ledger) == 0
    assert (await ledger.stablesats.verify()).clean


async def test_trades_that_are_read_again_without_their_requests_are_not_owed_again(
    ledger: Ledger, documents: TradeDocuments, scene: Scene, rows_of: Rows
) -> None:
    """The request came another way, and what was stored of it is all that is left of it."""
    # Nobody looks at a booked row about which nobody asked for anything.
    situations = [each for each in SITUATIONS if each.is_asked_for or each.row != "booked"]
    await scene.set(situations)
    await recover(ledger, documents, [scene.trade(each) for each in situations])
    expected = {each.trade_id: (TAKEN_BACK if each.is_asked_for else KEPT)[each.books] for each in situations}
    assert await states_of(rows_of) == expected
    assert await owed_cents(ledger) == 500 * list(expected.values()).count("booked")
    assert {row["_id"] for row in await rows_of(TRADE_REVERTS) if row["state"] == "settled"} == {
        each.trade_id for each in situations if each.is_asked_for
    }


async def test_requests_that_are_given_again_without_their_trades_are_done_again(
    ledger: Ledger, documents: TradeDocuments, scene: Scene, revert: Revert, rows_of: Rows
) -> None:
    """The trades' rows are of an older backup, and nobody has the trades' file any more."""
    older = [each for each in SITUATIONS if each.row != "lost" and each.request == "settled"]
    await scene.set(older)
    await recover(ledger, documents, [revert(each.trade_id) for each in older])
    assert await states_of(rows_of) == {each.trade_id: TAKEN_BACK[each.books] for each in older}
    assert await owed_cents(ledger) == 0


async def test_trades_that_are_booked_at_once_are_not_owed_again(
    ledger: Ledger, scene: Scene, rows_of: Rows
) -> None:
    """`Trades.book` says what became of them, and so do their rows."""
    situations = [each for each in SITUATIONS if each.is_asked_for or each.row != "booked"]
    await scene.set(situations)
    trades = Trades(ledger, now=lambda: NOW)
    answers: dict[str, BookedTrade | TradeNotLiveError] = {}
    for each in situations:
        try:
            answers[each.trade_id] = await trades.book(scene.trade(each).trade)
        except TradeNotLiveError as error:
            answers[each.trade_id] = error
    states = await states_of(rows_of)
    for each in situations:
        answer = answers[each.trade_id]
        expected = (TAKEN_BACK if each.is_asked_for else KEPT)[each.books]
        assert (each.trade_id, states[each.trade_id]) == (each.trade_id, expected)
        if isinstance(answer, BookedTrade):
            assert answer.taken_back == (expected != "booked")
            assert answer.replayed == (each.books != "nothing")
        else:
            assert (answer.state, each.books) == ("cancelled", "nothing") or each.books == "void"
    assert await owed_cents(ledger) == 500 * list(states.values()).count("booked")


async def test_lost_row_is_brought_back_once_by_many_at_once(
    ledger: Ledger, scene: Scene, rows_of: Rows
) -> None:
    """Tasks or processes that book the same trade; who finds it held by another one may try again."""
    lost = [Situation(books, "lost", "settled") for books in BOOKS]
    await scene.set(lost)
    standing = await ledger.database["medici_journals"].count_documents({})
    for each in lost:
        work = [Trades(ledger, now=lambda: NOW).book(scene.trade(each).trade) for _ in range(5)]
        for answer in await asyncio.gather(*work, return_exceptions=True):
            assert isinstance(answer, BookedTrade | TradeNotLiveError | TradeBusyError)
            assert not isinstance(answer, BookedTrade) or answer.taken_back
    assert await states_of(rows_of) == {each.trade_id: TAKEN_BACK[each.books] for each in lost}
    # The journal that had not been reversed is so now, once.
    assert await ledger.database["medici_journals"].count_documents({}) == standing + 1
    assert await owed_cents(ledger) == 0


class KilledAt(monitoring.CommandListener):
    """Kills a task when a client has sent so many commands since it began."""

    def __init__(self) -> None:
        self._left = 0
        self._task: asyncio.Task[Any] | None = None

    async def run(self, work: Coroutine[Any, Any, Any], *, commands: int) -> bool:
        """Answer whether *work* was killed before its end."""
        self._left, self._task = commands, asyncio.create_task(work)
        await asyncio.wait([self._task])
        task, self._task = self._task, None
        if not task.cancelled():
            task.result()
        return task.cancelled()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self._task is not None and event.command_name != "abortTransaction":
            self._left -= 1
            if self._left == 0:
                self._task.cancel()

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


@pytest.mark.parametrize(
    ("way", "situation"),
    [
        (recover_in_turn, Situation("nothing", "lost", "settled")),
        (recover_in_turn, Situation("journal", "booked", "settled")),
        (book_at_once, Situation("nothing", "lost", "settled")),
        (book_at_once, Situation("reversal", "lost", "settled")),
    ],
)
async def test_process_that_is_killed_anywhere_leaves_the_rest_to_the_next(
    *, ledger: Ledger, documents: TradeDocuments, received: Factory, mongodb: EmbeddedMongo, rows_of: Rows,
    way: Way, situation: Situation,
) -> None:  # fmt: skip
    """After each command that it sends; what it had done stays, and nothing is done twice."""
    killer = KilledAt()
    async with process(mongodb, ledger.database.name, killer) as (books, killed_documents):
        await recover_in_turn(books, killed_documents, [])  # sends what is sent once a process
        for commands in range(1, 100):
            scene = Scene(ledger, documents, received, f"{commands}/")
            await scene.set([situation])
            trade = scene.trade(situation)
            killed = await killer.run(way(books, killed_documents, [trade]), commands=commands)
            await recover(ledger, documents, [trade])
            assert (await states_of(rows_of))[trade.trade.id] == TAKEN_BACK[situation.books]
            if not killed:
                break
    assert not killed
    assert commands > 10
    assert await owed_cents(ledger) == 0
    assert {row["state"] for row in await rows_of(TRADE_REVERTS)} == {"settled"}


class TestPayments:
    """Those of a trade that was taken back are its correction's."""

    @pytest.mark.parametrize("row", ["lost", "rejected"])
    async def test_row_of_before_does_not_contend_for_them_with_the_correction(
        self, *, ledger: Ledger, documents: TradeDocuments, received: Factory, revert: Revert,
        rows_of: Rows, row: str,
    ) -> None:  # fmt: skip
        """The correction's row is there: nobody is told to take that one back."""
        wrong, right = received("wrong", btc="b", usd="u"), received("right", btc="b", usd="u", cents=7)
        await recover(ledger, documents, [wrong, revert("wrong"), right])
        if row == "lost":
            await ledger.database[USER_TRADES].delete_one({"_id": "wrong"})
        else:
            await ledger.database[USER_TRADES].update_one({"_id": "wrong"}, {"$set": {"state": row}})
        await recover(ledger, documents, [wrong, right])
        assert await states_of(rows_of) == {"wrong": "cancelled", "right": "booked"}
        assert await rows_of(QUARANTINE) == []
        assert await owed_cents(ledger) == 7

    @pytest.mark.parametrize("books", ["nothing", "journal", "reversal"])
    async def test_correction_waits_for_a_row_that_has_them_again(
        self, *, ledger: Ledger, documents: TradeDocuments, scene: Scene, store: TradeStore,
        received: Factory, rows_of: Rows, books: str,
    ) -> None:  # fmt: skip
        """A row of an older backup, and a request of today that is settled: it is settled once more."""
        older = Situation(books, "received" if books == "nothing" else "booked", "settled")
        await scene.set([older])
        correction = received("right", btc=f"b/{older.trade_id}", cents=7)
        async with asyncio.timeout(PATIENCE_SECS):
            assert (await store.receive([correction], at=NOW)).waiting == (correction,)
        await recover(ledger, documents, [correction])
        assert await states_of(rows_of) == {older.trade_id: TAKEN_BACK[books], "right": "booked"}
        assert await owed_cents(ledger) == 7

    async def test_correction_that_is_booked_at_once_takes_them_from_such_a_row(
        self, ledger: Ledger, scene: Scene, received: Factory, rows_of: Rows
    ) -> None:
        """It does not wait for anybody: it does itself what is to be done before."""
        older = Situation("reversal", "booked", "settled")
        await scene.set([older])
        await Trades(ledger).book(received("right", btc=f"b/{older.trade_id}", cents=7).trade)
        assert await states_of(rows_of) == {older.trade_id: "reverted", "right": "booked"}
        assert await owed_cents(ledger) == 7

    async def test_lost_row_that_is_booked_at_once_leaves_them_to_the_correction(
        self, *, ledger: Ledger, documents: TradeDocuments, received: Factory, revert: Revert, rows_of: Rows
    ) -> None:
        """It is as if its row had been there: taken back, and no reason to take the correction back."""
        wrong, right = received("wrong", btc="b"), received("right", btc="b", cents=7)
        await recover(ledger, documents, [wrong, revert("wrong"), right])
        await ledger.database[USER_TRADES].delete_one({"_id": "wrong"})
        with pytest.raises(TradeNotLiveError, match="cancelled"):
            await asyncio.wait_for(Trades(ledger).book(wrong.trade), PATIENCE_SECS)
        assert await states_of(rows_of) == {"wrong": "cancelled", "right": "booked"}
        assert await owed_cents(ledger) == 7

    async def test_request_that_came_before_its_trade_leaves_them_to_the_correction(
        self, *, ledger: Ledger, documents: TradeDocuments, received: Factory, revert: Revert, rows_of: Rows
    ) -> None:
        """The correction is booked already when the trade comes, from another file: it is no reason to refuse it."""
        wrong, right = received("wrong", btc="b"), received("right", btc="b", cents=7)
        await recover(ledger, documents, [revert("wrong"), right])
        await recover(ledger, documents, [wrong])
        assert await states_of(rows_of) == {"wrong": "cancelled", "right": "booked"}
        assert await rows_of(QUARANTINE) == []
        assert await owed_cents(ledger) == 7

    async def test_journal_of_a_lost_row_is_reversed_though_its_correction_is_booked(
        self, *, ledger: Ledger, documents: TradeDocuments, received: Factory, revert: Revert, rows_of: Rows
    ) -> None:
        """Or both would be owed, and the request would wait for ever."""
        wrong, right = received("wrong", btc="b"), received("right", btc="b", cents=7)
        await recover(ledger, documents, [wrong])
        await ledger.database[USER_TRADES].delete_one({"_id": "wrong"})
        await recover(ledger, documents, [revert("wrong"), right])
        await recover(ledger, documents, [wrong])
        assert await states_of(rows_of) == {"wrong": "reverted", "right": "booked"}
        assert await owed_cents(ledger) == 7

    @pytest.mark.parametrize("at_once", [False, True])
    async def test_trade_that_is_booked_after_all_has_them_again(
        self, *, ledger: Ledger, documents: TradeDocuments, received: Factory, revert: Revert,
        rows_of: Rows, store: TradeStore, at_once: bool,
    ) -> None:  # fmt: skip
        """Its request was rejected meanwhile: no other trade is booked with its payments."""
        trade, other = received("t1", btc="b"), received("t2", btc="b", cents=7)
        await store.request_reverts([revert("t1")], at=BEFORE)
        assert (await store.receive([trade], at=BEFORE)).stored == 1
        await ledger.database[TRADE_REVERTS].update_one({}, {"$set": {"state": "rejected"}})
        if at_once:
            await Trades(ledger, now=lambda: NOW).book(trade.trade)
        else:
            await recover(ledger, documents, [])
        await recover(ledger, documents, [other])
        assert await states_of(rows_of) == {"t1": "booked"}
        assert [row["trade_id"] for row in await rows_of(QUARANTINE)] == ["t2"]
        assert await owed_cents(ledger) == 500

    async def test_trade_that_would_be_booked_after_all_is_refused_if_another_one_has_them(
        self, *, ledger: Ledger, documents: TradeDocuments, received: Factory, revert: Revert,
        rows_of: Rows, store: TradeStore,
    ) -> None:  # fmt: skip
        """One payment is owed for once; its neighbours are booked."""
        trade, other = received("t1", btc="b"), received("t2", btc="b", cents=7)
        await store.request_reverts([revert("t1")], at=BEFORE)
        await store.receive([trade, other, received("t3", btc="c", cents=3)], at=BEFORE)
        await ledger.database[TRADE_REVERTS].update_one({}, {"$set": {"state": "rejected"}})
        await recover(ledger, documents, [])
        assert await states_of(rows_of) == {"t1": "rejected", "t2": "booked", "t3": "booked"}
        [refused] = await rows_of(QUARANTINE)
        assert (refused["trade_id"], "of trade 't2'" in refused["reason"]) == ("t1", True)
        assert await owed_cents(ledger) == 10


async def test_booking_leaves_a_trade_that_was_taken_back_to_its_request(
    ledger: Ledger, documents: TradeDocuments, scene: Scene, store: TradeStore, rows_of: Rows
) -> None:
    """It alone, and not the trades that are booked in the same transaction; its lag begins now."""
    lost, new = Situation("nothing", "received", "settled"), Situation("nothing", "received", "none")
    await scene.set([lost, new])
    assert await TradePoster(ledger, documents, now=lambda: NOW).book([lost.trade_id, new.trade_id]) == 1
    assert await states_of(rows_of) == {lost.trade_id: "received", new.trade_id: "booked"}
    assert await store.settleable_reverts(10) == [lost.trade_id]
    [request] = await rows_of(TRADE_REVERTS)
    assert (request["requested_at"].replace(tzinfo=UTC), "settled_at" in request) == (NOW, False)

"""A durable subscription loses nothing: not in a crash, not to a paused process, not to its own handler."""

import asyncio
import datetime as dt
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from medici_py import (
    BalanceChanged,
    Book,
    JournalPosted,
    JournalVoided,
    Side,
    TemplateLeg,
    TemplateParams,
    TransactionTemplate,
    subscription_lags,
)
from medici_py.change_events import ChangePosition
from medici_py.durable_events import DurableEvents, SubscriptionEvent, UnacknowledgedEventsError
from medici_py.durable_position import LATEST_START
from medici_py.durable_subscription import DurableSubscription
from medici_py.embedded import EmbeddedMongo
from medici_py.errors import IncompleteJournalError, InvalidQueryError, UnsupportedDeploymentError
from medici_py.history_recovered import HistoryRecovered
from medici_py.leases import LEASES, LeaseLostError
from medici_py.subscription_rows import HANDLED, SUBSCRIPTIONS, SubscriptionMismatchError

Bank = AsyncDatabase[dict[str, Any]]
Subscribe = Callable[..., DurableSubscription]
Pay = Callable[..., Any]

PATIENCE_SECS = 30

SALE = TransactionTemplate(
    code="SALE",
    version=1,
    description="Something is sold.",
    params=TemplateParams,
    legs=lambda _params: [
        TemplateLeg(account=account, side=side, amount=1, currency="USD", entry_type="SALE")
        for account, side in (("Cash", Side.DEBIT), ("Income", Side.CREDIT))
    ],
    samples=[TemplateParams()],
)


@pytest.fixture
def subscribe(book: Book) -> Subscribe:
    def make(name: str = "hedging", *arguments: Any, **options: Any) -> DurableSubscription:
        return book.subscribe(name, *arguments, **{"lease_ttl_secs": 2.0, "idle_secs": 0.2, **options})

    return make


async def take(events: DurableEvents, count: int) -> list[SubscriptionEvent]:
    async with asyncio.timeout(PATIENCE_SECS):
        return [await anext(events) for _ in range(count)]


def memos(events: list[Any]) -> list[str]:
    return [
        event.journal.memo if isinstance(event, JournalPosted) else type(event).__name__ for event in events
    ]


async def stored(database: Bank, name: str = "hedging") -> Mapping[str, Any]:
    row = await database[SUBSCRIPTIONS].find_one({"_id": name})
    assert row is not None
    return row


async def lose_history(database: Bank) -> None:
    """Make the stored position one that MongoDB does not find in its oplog, as after it has rolled over."""
    token = (await stored(database))["position"]["token"]["_data"]
    flipped = token[:-6] + ("01" if token[-6:-4] != "01" else "02") + token[-4:]  # of the document's id
    await database[SUBSCRIPTIONS].update_one({}, {"$set": {"position.token._data": flipped}})


async def insert_damaged(book: Book) -> None:
    """Store a journal one of whose legs is missing."""
    now = dt.datetime.now(dt.UTC)
    leg = {"_id": ObjectId(), "_journal": ObjectId(), "book": book.name, "timestamp": now}
    await book.database["medici_transactions"].insert_one(leg)
    journal = {"_id": leg["_journal"], "memo": "damaged", "datetime": now, "book": book.name}
    await book.database["medici_journals"].insert_one(journal | {"_transactions": [leg["_id"], ObjectId()]})


async def take_over(database: Bank, lease_name: str = "subscription:hedging") -> None:
    """Let the lease lapse, as if its holder had been paused for longer than it lasts."""
    lapsed = {"$set": {"expires_at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}}
    await database[LEASES].update_one({"_id": lease_name}, lapsed)


async def acknowledge_first(subscribe: Subscribe, book: Book, pay: Pay, **options: Any) -> None:
    """Begin a subscription, and acknowledge one journal in it."""
    async with subscribe(**options) as events:
        await pay(book, memo="acknowledged")
        [event] = await take(events, 1)
        await events.acknowledge(event)


class TestResuming:
    async def test_new_subscription_begins_now_and_goes_on_where_it_was(
        self, subscribe: Subscribe, book: Book, pay: Pay
    ) -> None:
        """What is posted while nobody listens comes at the next start, in order."""
        await pay(book, memo="before")
        async with subscribe() as events:
            await pay(book, memo="first")
            [event] = await take(events, 1)
            await events.acknowledge(event)
        await pay(book, memo="second")
        await pay(book, memo="third")
        async with subscribe() as events:
            assert memos([event, *await take(events, 2)]) == ["first", "second", "third"]

    async def test_event_that_was_not_acknowledged_comes_again(
        self, subscribe: Subscribe, book: Book, pay: Pay
    ) -> None:
        """Acknowledging one acknowledges all before it, and none after."""
        async with subscribe() as events:
            for memo in "abcd":
                await pay(book, memo=memo)
            taken = await take(events, 4)
            await events.acknowledge(taken[1])
        async with subscribe() as events:
            assert memos(await take(events, 2)) == ["c", "d"]

    async def test_start_that_saw_no_event_loses_none(
        self, subscribe: Subscribe, book: Book, pay: Pay
    ) -> None:
        """The beginning is stored before anything is delivered."""
        async with subscribe():
            pass
        await pay(book, memo="after")
        async with subscribe() as events:
            assert memos(await take(events, 1)) == ["after"]

    async def test_only_delivered_events_can_be_acknowledged(
        self, subscribe: Subscribe, book: Book, pay: Pay
    ) -> None:
        """Another one, or one that a later acknowledgement covered, is refused."""
        async with subscribe() as events:
            await pay(book)
            await pay(book)
            first, second = await take(events, 2)
            await events.acknowledge(second)
            with pytest.raises(InvalidQueryError, match="was delivered here"):
                await events.acknowledge(first)

    async def test_subscriber_that_acknowledges_nothing_is_stopped(
        self, subscribe: Subscribe, book: Book, pay: Pay, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Memory stays bounded, and the mistake is named."""
        monkeypatch.setattr("medici_py.durable_subscription._MAX_UNACKNOWLEDGED", 2)
        async with subscribe() as events:
            for _ in range(3):
                await pay(book)
            await take(events, 2)
            with pytest.raises(UnacknowledgedEventsError, match="delivered 2 events since"):
                await take(events, 1)

    async def test_position_moves_on_while_nothing_comes(
        self, subscribe: Subscribe, book: Book, bank: Bank, pay: Pay
    ) -> None:
        """So that a quiet subscription does not fall out of the oplog."""
        await acknowledge_first(subscribe, book, pay)
        before = (await stored(bank))["position"]
        async with subscribe() as events:
            reading = asyncio.create_task(anext(events))
            async with asyncio.timeout(PATIENCE_SECS):
                while (await stored(bank))["position"] == before:
                    await asyncio.sleep(0.05)
            await pay(book, memo="next")
            assert memos([await asyncio.wait_for(reading, PATIENCE_SECS)]) == ["next"]

    async def test_place_that_cannot_be_stored_while_nothing_comes_ends_nobody(
        self, faulty_bank: Bank, fail: Callable[..., Any], pay: Pay
    ) -> None:
        """It is stored a little later."""
        book = Book("MainBook", faulty_bank)
        async with book.subscribe("hedging", idle_secs=0.05) as events:
            before = (await stored(faulty_bank))["position"]
            await fail("update", collection=SUBSCRIPTIONS, times=2, errorCode=8000)
            reading = asyncio.create_task(anext(events))
            async with asyncio.timeout(PATIENCE_SECS):
                while (await stored(faulty_bank))["position"] == before:
                    await asyncio.sleep(0.05)
            await pay(book, memo="next")
            assert memos([await asyncio.wait_for(reading, PATIENCE_SECS)]) == ["next"]

    async def test_position_waits_for_what_is_not_acknowledged(
        self, subscribe: Subscribe, book: Book, bank: Bank, pay: Pay
    ) -> None:
        """However long the next event takes to come."""
        await acknowledge_first(subscribe, book, pay)
        async with subscribe(idle_secs=0.02) as events:
            await pay(book, memo="taken")
            await take(events, 1)
            before = (await stored(bank))["position"]
            reading = asyncio.create_task(anext(events))
            for _ in range(10):
                await bank["elsewhere"].insert_one({})
                await asyncio.sleep(0.02)
            assert (await stored(bank))["position"] == before
            reading.cancel()
        async with subscribe() as events:
            assert memos(await take(events, 1)) == ["taken"]

    async def test_cancelled_read_loses_nothing(self, subscribe: Subscribe, book: Book, pay: Pay) -> None:
        """The next read has what the cancelled one would have had."""
        async with subscribe() as events:
            for _ in range(5):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(events), 0.05)
            await pay(book, memo="next")
            assert memos(await take(events, 1)) == ["next"]

    async def test_damaged_journal_is_an_error_and_may_be_passed_over(
        self, subscribe: Subscribe, book: Book, bank: Bank, pay: Pay
    ) -> None:
        """It comes again at each start until the subscriber reads on and acknowledges a later event."""
        await acknowledge_first(subscribe, book, pay)
        damaged = await pay(book, memo="damaged")
        await pay(book, memo="next")
        await bank["medici_journals"].insert_one(
            {
                "_id": "x",
                "memo": "legless",
                "datetime": damaged.datetime,
                "book": book.name,
                "_transactions": [damaged.id],
            }
        )
        await pay(book, memo="last")
        for _ in range(2):
            async with subscribe() as events:
                assert memos(await take(events, 2)) == ["damaged", "next"]
                with pytest.raises(IncompleteJournalError):
                    await take(events, 1)
                [last] = await take(events, 1)
                assert memos([last]) == ["last"]
        async with subscribe() as events:
            await take(events, 2)
            with pytest.raises(IncompleteJournalError):
                await take(events, 1)
            await events.acknowledge((await take(events, 1))[0])
        await pay(book, memo="healed")
        async with subscribe() as events:
            assert memos(await take(events, 1)) == ["healed"]


class TestStart:
    async def test_beginning_brings_every_journal_and_goes_on_live(
        self, subscribe: Subscribe, book: Book, pay: Pay
    ) -> None:
        """Nothing was lost, so nothing is announced; a void comes before its reversal."""
        first = await pay(book, memo="first")
        await pay(book, memo="second")
        await book.void(first.id, "mistake")
        async with subscribe(start="beginning") as events:
            taken = await take(events, 4)
            assert memos(taken) == ["first", "second", "JournalVoided", "mistake"]
            assert isinstance(taken[0], JournalPosted)
            assert (taken[0].journal.voided, {leg.voided for leg in taken[0].transactions}) == (
                False,
                {False},
            )
            assert isinstance(taken[2], JournalVoided)
            assert (taken[2].journal_id, taken[2].void_reason) == (first.id, "mistake")
            await events.acknowledge(taken[2])
            await pay(book, memo="live")
            assert memos(await take(events, 1)) == ["live"]
        async with subscribe(start="beginning") as events:
            assert memos(await take(events, 2)) == ["mistake", "live"]

    async def test_position_of_another_stream_is_a_start(
        self, subscribe: Subscribe, book: Book, pay: Pay
    ) -> None:
        """A new subscription goes on where another reader was."""
        async with subscribe("other") as events:
            for memo in ("first", "second"):
                await pay(book, memo=memo)
            [first, _] = await take(events, 2)
        assert isinstance(first, JournalPosted)
        async with subscribe(start=first.position) as events:
            assert memos(await take(events, 1)) == ["second"]

    async def test_time_is_a_start(self, subscribe: Subscribe, book: Book, pay: Pay) -> None:
        """To the second: what was committed in it, or later."""
        journal = await pay(book, memo="first")
        async with subscribe(start=journal.datetime) as events:
            assert "first" in memos(await take(events, 1))

    async def test_position_of_nothing_is_now(self, subscribe: Subscribe, book: Book, pay: Pay) -> None:
        """As a stream says it that was never opened."""
        await pay(book, memo="before")
        async with subscribe(start=ChangePosition(None, None)) as events:
            await pay(book, memo="after")
            assert memos(await take(events, 1)) == ["after"]

    async def test_start_counts_once(self, subscribe: Subscribe, book: Book, pay: Pay) -> None:
        """A subscription that exists goes on where it is, whatever it is asked to start with."""
        await acknowledge_first(subscribe, book, pay)
        await pay(book, memo="next")
        async with subscribe(start="beginning") as events:
            assert memos(await take(events, 1)) == ["next"]

    @pytest.mark.parametrize(
        "start",
        [
            dt.datetime(1969, 7, 20, tzinfo=dt.UTC),
            dt.datetime.min.replace(tzinfo=dt.UTC),
            dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
        ],
    )
    async def test_time_before_mongodb_s_is_everything(
        self, start: dt.datetime, subscribe: Subscribe, book: Book, pay: Pay
    ) -> None:
        """Its clock begins with 1970."""
        await pay(book, memo="first")
        async with subscribe(start=start) as events:
            assert memos(await take(events, 1)) == ["first"]

    async def test_time_to_come_waits(self, subscribe: Subscribe, book: Book, pay: Pay, bank: Bank) -> None:
        """Up to the end of MongoDB's clock."""
        await pay(book)
        for number, start in enumerate((dt.datetime.now(dt.UTC) + dt.timedelta(hours=1), LATEST_START)):
            async with subscribe(str(number), start=start) as events:
                reading = asyncio.create_task(anext(events))
                await asyncio.wait([reading], timeout=0.3)
                assert not reading.done()
                reading.cancel()
                await asyncio.wait([reading])
        assert [lag.seconds for lag in await subscription_lags(bank)] == [0, 0]

    @pytest.mark.parametrize(
        ("start", "why"),
        [
            ("yesterday", "give 'now', 'beginning', a ChangePosition or an aware datetime"),
            (dt.datetime(2024, 1, 1), "aware datetime"),  # noqa: DTZ001
            (dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=14))), "aware datetime"),
            (dt.datetime(2200, 1, 1, tzinfo=dt.UTC), "MongoDB's clock ends in 2106"),
            (ChangePosition({"_data": "nonsense"}, None), "no resume token of MongoDB, or a damaged one"),
            (ChangePosition(None, 5), "cluster time 5 is no Timestamp"),  # type: ignore[arg-type]
            (7, "aware datetime"),
            (None, "aware datetime"),
        ],
    )
    def test_other_starts_are_refused(self, start: Any, why: str, subscribe: Subscribe) -> None:
        """At the call."""
        with pytest.raises(InvalidQueryError, match=f"cannot start at .*{why}") as caught:
            subscribe(start=start)
        assert (caught.value.field, caught.value.value) == ("start", start)


class TestFilter:
    async def test_only_what_is_asked_for_comes(self, subscribe: Subscribe, book: Book, pay: Pay) -> None:
        """By account and by kind; in a recovery as in the stream."""
        income = await pay(book, memo="income", credit="Income:Sales")
        await pay(book, memo="rent", credit="Rent")
        await book.void(income.id, "typo")
        expected = ["income", "JournalVoided", "typo"]
        async with subscribe("live", "Income", start=income.datetime) as events:
            assert memos(await take(events, 3)) == expected
        async with subscribe("all", "Income", start="beginning") as events:
            assert memos(await take(events, 3)) == expected
        async with subscribe("voids", "Income", kinds=[JournalVoided], start="beginning") as events:
            await book.void((await pay(book, memo="more", credit="Income")).id, "another")
            taken = await take(events, 2)
            assert [event.void_reason for event in taken if isinstance(event, JournalVoided)] == [
                "typo",
                "another",
            ]

    async def test_books_of_one_database_can_be_followed_together(
        self, subscribe: Subscribe, book: Book, book_factory: Callable[..., Book], pay: Pay
    ) -> None:
        """One subscription, one order."""
        other = book_factory("Other")
        async with subscribe(books=[book, "Other"]) as events:
            for number, one in enumerate([book, other, book]):
                await pay(one, memo=str(number))
            assert memos(await take(events, 3)) == ["0", "1", "2"]

    async def test_same_name_with_another_filter_is_refused(
        self, subscribe: Subscribe, book: Book, pay: Pay
    ) -> None:
        """A position means nothing for other events; the error says what differs."""
        async with subscribe("hedging", "Income"):
            pass
        with pytest.raises(
            SubscriptionMismatchError, match=r"accounts \[\['Income'\]\], given \[\['Assets'\]\]"
        ):
            async with subscribe("hedging", "Assets"):
                pass

    async def test_template_is_asked_for_by_its_code(self, subscribe: Subscribe) -> None:
        """Whether the template itself is given or its code."""
        async with subscribe(template=SALE):
            pass
        async with subscribe(template="SALE"):
            pass
        with pytest.raises(SubscriptionMismatchError, match="template 'SALE', given 'OTHER'"):
            async with subscribe(template="OTHER"):
                pass

    @pytest.mark.parametrize(
        "options", [{"kinds": []}, {"kinds": [int]}, {"books": []}, {"template": ""}, {"template": 5}]
    )
    def test_filter_that_cannot_mean_anything_is_refused(
        self, options: dict[str, Any], subscribe: Subscribe
    ) -> None:
        """At the call."""
        with pytest.raises(InvalidQueryError):
            subscribe(**options)

    @pytest.mark.parametrize("option", ["lease_ttl_secs", "idle_secs"])
    def test_seconds_are_needed(self, option: str, subscribe: Subscribe) -> None:
        """Neither a lease nor a pause of none."""
        with pytest.raises(InvalidQueryError, match="seconds above 0"):
            subscribe(**{option: 0})

    @pytest.mark.parametrize("name", ["", " ", 5, None, "\ud800"])
    def test_name_is_needed(self, name: Any, subscribe: Subscribe) -> None:
        """It is what the position is stored under."""
        with pytest.raises(InvalidQueryError, match="needs a name") as caught:
            subscribe(name)
        assert caught.value.field == "name"


class TestBalances:
    KINDS = (JournalPosted, BalanceChanged)

    async def test_crash_between_the_events_of_a_journal_loses_none(
        self, subscribe: Subscribe, book: Book, pay: Pay
    ) -> None:
        """Each start goes on right behind the event that was acknowledged last."""
        async with subscribe(kinds=self.KINDS):
            pass
        await pay(book, 1, memo="first")
        await pay(book, 2, memo="second")
        seen: list[Any] = []
        for _ in range(8):
            async with subscribe(kinds=self.KINDS) as events:
                [event] = await take(events, 1)
                await events.acknowledge(event)
                seen.append(event)
        expected = ["Assets", "Assets:Cash", "Income"]
        accounts = [one.account if isinstance(one, BalanceChanged) else one.journal.memo for one in seen]
        assert accounts == ["first", *expected, "second", *expected]
        assert [int(one.balance) for one in seen if isinstance(one, BalanceChanged)] == [-1, -1, 1, -3, -3, 3]

    async def test_recovery_ends_with_the_balances_that_it_touched(
        self, subscribe: Subscribe, book: Book, bank: Bank, pay: Pay
    ) -> None:
        """Then every journal brings its own again."""
        async with subscribe(kinds=self.KINDS) as events:
            await pay(book, 1, memo="first")
            for event in await take(events, 4):
                await events.acknowledge(event)
        await pay(book, 2, memo="missed")
        await lose_history(bank)
        async with subscribe(kinds=self.KINDS) as events:
            taken = await take(events, 6)
            assert memos(taken[:3]) == ["HistoryRecovered", "first", "missed"]
            balances = [
                (one.account, int(one.balance)) for one in taken[3:] if isinstance(one, BalanceChanged)
            ]
            assert balances == [("Assets", -3), ("Assets:Cash", -3), ("Income", 3)]
            await events.acknowledge(taken[-1])
            await pay(book, 4, memo="live")
            live = await take(events, 4)
            assert [int(one.balance) for one in live if isinstance(one, BalanceChanged)] == [-7, -7, 7]


class TestOneActive:
    async def test_others_stand_by_until_the_active_one_leaves(
        self, subscribe: Subscribe, book: Book, pay: Pay
    ) -> None:
        """And go on where it was."""
        async with subscribe() as events:
            standby = subscribe()
            waiting = asyncio.create_task(standby.__aenter__())
            await pay(book, memo="first")
            [event] = await take(events, 1)
            await events.acknowledge(event)
            await pay(book, memo="second")
            assert not waiting.done()
        events = await asyncio.wait_for(waiting, PATIENCE_SECS)
        assert memos(await take(events, 1)) == ["second"]
        await standby.__aexit__(None, None, None)

    async def test_entering_twice_is_a_mistake(self, subscribe: Subscribe) -> None:
        """It would wait for itself."""
        subscription = subscribe()
        async with subscription:
            with pytest.raises(RuntimeError, match="has been entered already"):
                await subscription.__aenter__()
        async with subscription:
            pass

    async def test_paused_holder_can_store_nothing(
        self, subscribe: Subscribe, book: Book, bank: Bank, pay: Pay
    ) -> None:
        """After another has claimed the subscription, neither a position nor anything in a transaction."""
        async with subscribe(lease_ttl_secs=60.0) as paused:
            await pay(book, memo="first")
            await pay(book, memo="second")
            _, second = await take(paused, 2)
            await take_over(bank)
            async with subscribe(lease_ttl_secs=60.0) as following:
                assert following.token == paused.token + 1
                taken = await take(following, 2)
                await following.acknowledge(taken[0])
                before = await stored(bank)
                with pytest.raises(LeaseLostError):
                    await paused.acknowledge(second)
                assert await stored(bank) == before
                assert memos(taken) == ["first", "second"]

    async def test_reader_that_lost_its_lease_is_told(self, subscribe: Subscribe, bank: Bank) -> None:
        """Also while it waits for an event."""
        async with subscribe(lease_ttl_secs=0.6) as paused:
            reading = asyncio.create_task(anext(paused))
            following = subscribe()
            waiting = asyncio.create_task(following.__aenter__())
            async with asyncio.timeout(PATIENCE_SECS):
                while not waiting.done():
                    await take_over(bank)
                    await asyncio.sleep(0.01)
            with pytest.raises(LeaseLostError):
                await asyncio.wait_for(reading, PATIENCE_SECS)
            await following.__aexit__(None, None, None)


class TestRun:
    async def test_handler_gets_every_event_and_stop_ends_the_loop(
        self, subscribe: Subscribe, book: Book, pay: Pay
    ) -> None:
        """What it handled is stored when it ends."""
        handled: list[Any] = []
        stop = asyncio.Event()

        async def handle(event: SubscriptionEvent) -> None:
            handled.append(event)
            if len(handled) == 3:
                stop.set()

        async with subscribe():
            pass
        for memo in "abcd":
            await pay(book, memo=memo)
        await asyncio.wait_for(subscribe().run(handle, stop=stop), PATIENCE_SECS)
        async with subscribe() as events:
            assert memos([*handled, *await take(events, 1)]) == ["a", "b", "c", "d"]

    async def test_error_of_the_handler_ends_the_loop_and_brings_the_event_again(
        self, subscribe: Subscribe, book: Book, pay: Pay
    ) -> None:
        """Restarting is the caller's decision; nothing is skipped."""
        await acknowledge_first(subscribe, book, pay)
        for memo in "ab":
            await pay(book, memo=memo)
        tried: list[Any] = []

        async def handle(event: SubscriptionEvent) -> None:
            tried.append(event)
            raise ValueError(f"try {len(tried)}")

        for number in (1, 2):
            with pytest.raises(ValueError, match=f"try {number}"):
                await asyncio.wait_for(subscribe().run(handle), PATIENCE_SECS)
        assert memos(tried) == ["a", "a"]

    @pytest.mark.parametrize("active", [False, True])
    async def test_stop_ends_a_loop_that_waits(self, active: bool, subscribe: Subscribe) -> None:
        """For its turn, or for an event."""
        stop = asyncio.Event()

        async def never(event: SubscriptionEvent) -> None:
            raise AssertionError(event)

        subscription = subscribe()
        if not active:
            await subscription.__aenter__()
        running = asyncio.create_task(subscribe().run(never, stop=stop))
        await asyncio.sleep(0.1)
        stop.set()
        await asyncio.wait_for(running, PATIENCE_SECS)
        if active:
            await asyncio.wait_for(subscription.__aenter__(), PATIENCE_SECS)
        await subscription.__aexit__(None, None, None)

    @pytest.mark.parametrize("start", ["now", "beginning"])
    @pytest.mark.parametrize("in_transaction", [False, True], ids=["run", "run_in_transaction"])
    async def test_damaged_journal_ends_the_loop_or_is_passed_over_for_good(
        self, in_transaction: bool, start: str, subscribe: Subscribe, book: Book, pay: Pay
    ) -> None:
        """As the caller says; in the stream, and in what is read from the journals."""
        if start == "now":
            async with subscribe():
                pass
        await insert_damaged(book)
        await pay(book, memo="next")
        handled: list[Any] = []
        stop = asyncio.Event()

        async def handle(event: SubscriptionEvent, session: Any = None) -> None:
            handled.append(event)
            if memos([event]) == ["next"]:
                stop.set()

        async def run(**options: Any) -> None:
            subscription = subscribe(start=start)
            runs = subscription.run_in_transaction if in_transaction else subscription.run
            await asyncio.wait_for(runs(handle, stop=stop, **options), PATIENCE_SECS)

        for _ in range(2):
            with pytest.raises(IncompleteJournalError):
                await run()
        await run(on_damaged="pass_over")
        assert memos(handled)[-1] == "next"
        await pay(book, memo="later")
        async with subscribe(start=start) as events:
            assert memos(await take(events, 1)) == ["later"]

    async def test_other_ways_with_damage_are_refused(self, subscribe: Subscribe) -> None:
        """Before anything is waited for."""
        with pytest.raises(InvalidQueryError, match="on_damaged='ignore' refused"):
            await subscribe().run(print, on_damaged="ignore")  # type: ignore[arg-type]

    async def test_cancelled_loop_lets_the_next_one_in(
        self, subscribe: Subscribe, book: Book, pay: Pay
    ) -> None:
        """The lease is given back, and the stream closed."""
        entered = asyncio.Event()

        async def hang(event: SubscriptionEvent) -> None:
            entered.set()
            await asyncio.sleep(3600)

        async with subscribe():
            pass
        await pay(book, memo="first")
        running = asyncio.create_task(subscribe(lease_ttl_secs=60.0).run(hang))
        await asyncio.wait_for(entered.wait(), PATIENCE_SECS)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        async with subscribe() as events:
            assert memos(await take(events, 1)) == ["first"]


class TestExactlyOnce:
    async def test_handler_s_writes_and_the_position_commit_together(
        self, subscribe: Subscribe, book: Book, book_factory: Callable[..., Book], bank: Bank, pay: Pay
    ) -> None:
        """However often it fails, and whatever MongoDB does to its transactions."""
        mirror = book_factory("Mirror")
        async with subscribe():
            pass
        for number in range(6):
            await pay(book, 10 + number, memo=str(number))
        stop, calls = asyncio.Event(), 0

        async def copy(event: SubscriptionEvent, session: AsyncClientSession) -> None:
            nonlocal calls
            calls += 1
            assert isinstance(event, JournalPosted)
            amount = event.transactions[0].debit
            await (
                mirror.entry(event.journal.memo)
                .debit("A", amount)
                .credit("B", amount)
                .commit(session=session)
            )
            if calls % 4 == 2:
                raise ValueError("crash")
            if calls % 4 == 3:
                raise OperationFailure("conflict", 112, {"errorLabels": ["TransientTransactionError"]})
            if event.journal.memo == "5":
                stop.set()

        async with asyncio.timeout(PATIENCE_SECS):
            while not stop.is_set():
                try:
                    await subscribe().run_in_transaction(copy, stop=stop)
                except ValueError:
                    continue
        page = await mirror.ledger("A", reverse=True)
        assert sorted(int(leg.debit) for leg in page.results) == [10, 11, 12, 13, 14, 15]
        assert [leg.memo for leg in page.results] == ["0", "1", "2", "3", "4", "5"]
        assert calls > 6

    async def test_short_runs_forget_what_was_handled_long_ago(
        self, subscribe: Subscribe, book: Book, bank: Bank, pay: Pay
    ) -> None:
        """The marks of a job that runs once in a while do not pile up; those that count stay."""
        async with subscribe():
            pass
        for expected in (1, 1):
            await pay(book)
            stop = asyncio.Event()

            async def note(
                event: SubscriptionEvent, session: AsyncClientSession, stop: asyncio.Event = stop
            ) -> None:
                stop.set()

            await asyncio.wait_for(subscribe().run_in_transaction(note, stop=stop), PATIENCE_SECS)
            assert await bank[HANDLED].count_documents({}) == expected
            long_ago = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
            await bank[HANDLED].update_many({}, {"$set": {"committed_at": long_ago}})

    async def test_subscription_that_was_deleted_begins_anew(
        self, subscribe: Subscribe, book: Book, bank: Bank, pay: Pay
    ) -> None:
        """What the one before it handled is not taken for handled."""
        await pay(book, memo="only")
        handled: list[Any] = []
        for _ in range(2):
            stop = asyncio.Event()

            async def note(
                event: SubscriptionEvent, session: AsyncClientSession, stop: asyncio.Event = stop
            ) -> None:
                handled.append(event)
                stop.set()

            again = subscribe(start="beginning").run_in_transaction(note, stop=stop)
            await asyncio.wait_for(again, PATIENCE_SECS)
            await bank[SUBSCRIPTIONS].delete_one({"_id": "hedging"})
        assert memos(handled) == ["only", "only"]

    async def test_holder_that_lost_its_lease_in_the_handler_writes_nothing(
        self, subscribe: Subscribe, book: Book, bank: Bank, pay: Pay
    ) -> None:
        """Its transaction is taken back, and the next holder handles the event."""
        await bank.create_collection("effects")
        async with subscribe():
            pass
        await pay(book, memo="first")
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def paused(event: SubscriptionEvent, session: AsyncClientSession) -> None:
            await bank["effects"].insert_one({"by": "paused"}, session=session)
            inside.set()
            await go_on.wait()

        running = asyncio.create_task(subscribe(lease_ttl_secs=60.0).run_in_transaction(paused))
        await asyncio.wait_for(inside.wait(), PATIENCE_SECS)
        await take_over(bank)
        stop = asyncio.Event()

        async def following(event: SubscriptionEvent, session: AsyncClientSession) -> None:
            await bank["effects"].insert_one({"by": "following"}, session=session)
            stop.set()

        await asyncio.wait_for(subscribe().run_in_transaction(following, stop=stop), PATIENCE_SECS)
        go_on.set()
        with pytest.raises(LeaseLostError):
            await asyncio.wait_for(running, PATIENCE_SECS)
        assert [effect["by"] async for effect in bank["effects"].find()] == ["following"]


class TestRecovery:
    async def test_lost_history_is_announced_and_read_from_the_journals(
        self, subscribe: Subscribe, book: Book, bank: Bank, pay: Pay
    ) -> None:
        """Then it goes on live; a restart does not repeat what was acknowledged."""
        await acknowledge_first(subscribe, book, pay)
        lost = ChangePosition.from_document((await stored(bank))["position"])
        for memo in ("missed", "reversed"):
            journal = await pay(book, memo=memo)
        await book.void(journal.id, "mistake")
        await lose_history(bank)
        async with subscribe() as events:
            [recovery, *missed] = await take(events, 6)
            assert isinstance(recovery, HistoryRecovered)
            assert recovery.from_position.cluster_time == lost.cluster_time
            # Within the margin what was delivered before comes again.
            assert memos(missed) == ["acknowledged", "missed", "reversed", "JournalVoided", "mistake"]
            await events.acknowledge(missed[1])
        async with subscribe() as events:
            rest = await take(events, 3)
            assert memos(rest) == ["reversed", "JournalVoided", "mistake"]
            await events.acknowledge(rest[2])
            await pay(book, memo="live")
            [live] = await take(events, 1)
            await events.acknowledge(live)
        await pay(book, memo="later")
        async with subscribe() as events:
            assert memos([live, *await take(events, 1)]) == ["live", "later"]
        assert (await stored(bank))["recovery"] is None

    async def test_recovery_that_is_over_is_stored_while_nothing_comes(
        self, subscribe: Subscribe, book: Book, bank: Bank, pay: Pay
    ) -> None:
        """So that a quiet subscription does not read the journals again."""
        await acknowledge_first(subscribe, book, pay)
        await lose_history(bank)
        async with subscribe() as events:
            for event in await take(events, 2):
                await events.acknowledge(event)
            reading = asyncio.create_task(anext(events))
            async with asyncio.timeout(PATIENCE_SECS):
                while (await stored(bank))["recovery"] is not None:
                    await asyncio.sleep(0.05)
            reading.cancel()

    async def test_announcement_comes_again_until_it_is_acknowledged(
        self, subscribe: Subscribe, book: Book, bank: Bank, pay: Pay
    ) -> None:
        """A subscriber that died over it still learns of it."""
        await acknowledge_first(subscribe, book, pay)
        await lose_history(bank)
        for _ in range(2):
            async with subscribe() as events:
                [recovery] = await take(events, 1)
                assert isinstance(recovery, HistoryRecovered)
        async with subscribe() as events:
            [recovery] = await take(events, 1)
            await events.acknowledge(recovery)
        async with subscribe() as events:
            assert memos(await take(events, 1)) == ["acknowledged"]

    async def test_exactly_once_holds_through_a_recovery_that_crashes(
        self, subscribe: Subscribe, book: Book, bank: Bank, pay: Pay
    ) -> None:
        """What was handled before the position was lost, or before a crash, is not handled again."""
        await bank.create_collection("effects")
        async with subscribe():
            pass
        posted = 0
        calls = 0

        async def note(event: SubscriptionEvent, session: AsyncClientSession) -> None:
            nonlocal calls
            calls += 1
            memo = memos([event])[0]
            await bank["effects"].insert_one({"memo": memo}, session=session)
            if calls % 3 == 0:
                raise ValueError("crash")
            if memo == str(posted - 1):
                stop.set()

        for lost in (False, True, False, True):
            for _ in range(4):
                await pay(book, memo=str(posted))
                posted += 1
            if lost:
                await lose_history(bank)
            stop = asyncio.Event()
            async with asyncio.timeout(PATIENCE_SECS):
                while not stop.is_set():
                    try:
                        await subscribe().run_in_transaction(note, stop=stop)
                    except ValueError:
                        continue
        effects = [effect["memo"] async for effect in bank["effects"].find().sort("_id", 1)]
        assert [memo for memo in effects if memo != "HistoryRecovered"] == [str(one) for one in range(posted)]
        assert effects.count("HistoryRecovered") == 2

    async def test_damaged_journal_in_a_recovery_may_be_passed_over(
        self, subscribe: Subscribe, book: Book, bank: Bank, pay: Pay
    ) -> None:
        """As one in the stream: it is an error at every start until a later event is acknowledged."""
        for memo in ("damaged", "next", "last"):
            await pay(book, memo=memo)
        await bank["medici_transactions"].delete_one({"memo": "damaged"})
        for _ in range(2):
            async with subscribe(start="beginning") as events:
                with pytest.raises(IncompleteJournalError):
                    await take(events, 1)
                [following] = await take(events, 1)
                assert memos([following]) == ["next"]
        async with subscribe(start="beginning") as events:
            with pytest.raises(IncompleteJournalError):
                await take(events, 1)
            await events.acknowledge((await take(events, 1))[0])
        async with subscribe(start="beginning") as events:
            assert memos(await take(events, 1)) == ["last"]

    async def test_history_that_is_lost_while_reading_is_recovered_too(
        self, subscribe: Subscribe, book: Book, pay: Pay, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The reader notices only the announcement."""
        from medici_py.change_feed import ChangeFeed, ChangeHistoryLostError

        async with subscribe() as events:
            await pay(book, memo="first")
            [first] = await take(events, 1)
            await events.acknowledge(first)
            original, failures = ChangeFeed.next, iter([True])

            async def lost_once(feed: ChangeFeed) -> Any:
                if next(failures, False):
                    raise ChangeHistoryLostError("the database was renamed", feed.position)
                return await original(feed)

            monkeypatch.setattr(ChangeFeed, "next", lost_once)
            await pay(book, memo="second")
            seen = []
            while "third" not in seen:
                seen += memos(await take(events, 1))
                if seen[-1] == "second" and "HistoryRecovered" in seen:
                    await pay(book, memo="third")
        assert "HistoryRecovered" in seen
        assert seen[-2:] == ["second", "third"]


async def test_subscription_works_through_each_driver(bank: Bank, driver_database: Any, pay: Pay) -> None:
    """From the journals, from the stream, and in transactions."""
    book, mirror = Book("MainBook", driver_database), Book("Mirror", driver_database)
    first = await pay(book, memo="first")
    await book.void(first.id)
    stop = asyncio.Event()

    async def copy(event: SubscriptionEvent, session: Any) -> None:
        if isinstance(event, JournalPosted):
            await mirror.entry(event.journal.memo).debit("A", 1).credit("B", 1).commit(session=session)
            if event.journal.memo == "last":
                stop.set()

    subscription = book.subscribe("mirror", start="beginning")
    async with subscription as events:
        assert memos(await take(events, 3)) == ["first", "JournalVoided", "[VOID] first"]
        reading = asyncio.create_task(take(events, 1))
        await pay(book, memo="last")
        assert memos(await reading) == ["last"]
    await asyncio.wait_for(subscription.run_in_transaction(copy, stop=stop), PATIENCE_SECS)
    page = await mirror.ledger("A", reverse=True)
    assert [leg.memo for leg in page.results] == ["first", "[VOID] first", "last"]
    lag = await subscription.lag()
    assert lag is not None
    assert lag.seconds == 0


async def test_database_in_memory_is_refused(mongomock_database: Any) -> None:
    """It has no change streams."""
    with pytest.raises(UnsupportedDeploymentError):
        async with Book("MainBook", mongomock_database).subscribe("hedging"):
            pass


HOLDER = """
import asyncio, sys
from pymongo import AsyncMongoClient
from medici_py import Book

async def main(uri, database):
    async with AsyncMongoClient(uri) as client:
        async def handle(event):
            await asyncio.sleep(0.01)
            print(event.journal.memo, flush=True)
        await Book("MainBook", client[database]).subscribe("hedging", lease_ttl_secs=1.0).run(handle)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_killed_holder_is_followed_by_the_standby_without_loss(
    mongodb: EmbeddedMongo, bank: Bank, book: Book, subscribe: Subscribe, pay: Pay
) -> None:
    """SIGKILL in the middle: every event was handled, in order; at most the last one twice."""
    async with subscribe():
        pass
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, mongodb.uri, bank.name,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert holder.stdout is not None
    memos_posted = [str(number) for number in range(30)]
    posting = asyncio.gather(*(pay(book, memo=memo) for memo in memos_posted))
    handled = [
        (await asyncio.wait_for(holder.stdout.readline(), PATIENCE_SECS)).decode().strip() for _ in range(5)
    ]
    stop = asyncio.Event()

    async def handle(event: SubscriptionEvent) -> None:
        handled.extend(memos([event]))
        if len(set(handled)) == len(memos_posted):
            stop.set()

    standby = asyncio.create_task(subscribe(lease_ttl_secs=1.0).run(handle, stop=stop))
    await asyncio.sleep(0.02)
    os.kill(holder.pid, signal.SIGKILL)
    handled += (await holder.stdout.read()).decode().split()
    await holder.wait()
    await posting
    await asyncio.wait_for(standby, PATIENCE_SECS)
    once = list(dict.fromkeys(handled))
    assert sorted(once, key=int) == memos_posted
    assert len(handled) <= len(once) + 1

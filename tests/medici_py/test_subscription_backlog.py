"""Whether anything waits for a subscription: recorded times decide where they can, else the stream does."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from medici_py import Book, subscription_backlog
from medici_py.driver import adopt
from medici_py.subscription_backlog import DOUBT, Backlog, certainly_waits
from medici_py.subscription_rows import SUBSCRIPTIONS

Bank = AsyncDatabase[dict[str, Any]]
Pay = Callable[..., Any]

NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
INSTANT = dt.timedelta(milliseconds=1)


async def backlog_of(database: Bank) -> Backlog:
    adopted = adopt(database)
    row = await adopted[SUBSCRIPTIONS].find_one({})
    assert row is not None
    hello = await adopted.command("hello")
    return Backlog(adopted, row, through=hello["operationTime"])


@pytest.mark.parametrize(
    ("newest_at", "waits"),
    [
        pytest.param(None, False, id="empty book"),
        pytest.param(NOON - DOUBT - INSTANT, False, id="long committed"),
        pytest.param(NOON - DOUBT, None, id="recorded before, perhaps committed after"),
        pytest.param(NOON, None, id="of the same moment"),
        pytest.param(NOON + DOUBT, None, id="a clock that is ahead, perhaps"),
        pytest.param(NOON + DOUBT + INSTANT, True, id="recorded long after"),
    ],
)
def test_recorded_times_decide_if_they_are_far_apart(
    newest_at: dt.datetime | None, waits: bool | None
) -> None:
    """By more than any transaction takes, and clocks differ."""
    assert certainly_waits(NOON, newest_at) is waits


@pytest.fixture
async def subscription(book: Book, pay: Pay) -> None:
    """A subscription with an acknowledged event and nothing behind that."""
    async with book.subscribe("hedging") as events:
        await pay(book)
        await events.acknowledge(await anext(events))


@pytest.mark.usefixtures("subscription")
class TestDoubt:
    """The stream is asked."""

    async def test_what_it_does_not_show_does_not_wait(self, bank: Bank, book: Book, pay: Pay) -> None:
        """What it does, does."""
        assert not await (await backlog_of(bank)).waits()
        await pay(book)
        assert await (await backlog_of(bank)).waits()

    async def test_leg_without_a_recorded_time_hides_nothing(self, bank: Bank, book: Book, pay: Pay) -> None:
        """Nor one whose recorded time is something that sorts after all times."""
        legs = [{"book": book.name, "timestamp": odd} for odd in ({"$maxKey": 1}, None, "yesterday")]
        await bank["medici_transactions"].insert_many([*legs, {"book": book.name}])
        assert not await (await backlog_of(bank)).waits()
        await pay(book)
        assert await (await backlog_of(bank)).waits()

    async def test_lost_history_waits(self, bank: Bank) -> None:
        """Whoever is active next reads from the journals."""
        token = await stored_token(bank)
        flipped = token[:-6] + ("01" if token[-6:-4] != "01" else "02") + token[-4:]
        await bank[SUBSCRIPTIONS].update_one({}, {"$set": {"position.token._data": flipped}})
        assert await (await backlog_of(bank)).waits()

    async def test_dropped_history_waits(self, bank: Bank) -> None:
        """The stream ends where the database did, whatever was restored since."""
        rows = await bank[SUBSCRIPTIONS].find().to_list()
        legs = await bank["medici_transactions"].find().to_list()
        await bank.client.drop_database(bank.name)
        await bank[SUBSCRIPTIONS].insert_many(rows)
        await bank["medici_transactions"].insert_many(legs)
        assert await (await backlog_of(bank)).waits()

    async def test_place_that_is_none_waits(self, bank: Bank) -> None:
        """It is the active one's to say what is wrong."""
        await bank[SUBSCRIPTIONS].update_one({}, {"$set": {"position.token._data": "8265"}})
        assert await (await backlog_of(bank)).waits()

    async def test_no_answer_counts_as_more(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        """Rather an alarm too many."""
        monkeypatch.setattr(subscription_backlog, "_ANSWER_SECS", 0.0)
        assert await (await backlog_of(bank)).waits()

    async def test_refusal_of_the_stream_is_raised(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        """Such as to a user who may not follow changes."""

        async def refuse(*_arguments: Any, **_options: Any) -> None:
            raise OperationFailure("not authorized", 13)

        monkeypatch.setattr(subscription_backlog, "watch", refuse)
        with pytest.raises(OperationFailure, match="not authorized"):
            await (await backlog_of(bank)).waits()

    async def test_search_ends_with_what_was_written_long_after(self, bank: Bank, pay: Pay) -> None:
        """However much other collections and books wrote since somebody was active."""
        long_ago = dt.datetime.now(dt.UTC) - 3 * DOUBT
        await bank[SUBSCRIPTIONS].update_one({}, {"$set": {"position_at": long_ago}})
        await bank["medici_transactions"].update_many({}, {"$set": {"timestamp": long_ago}})
        await bank["anything"].insert_one({})
        await pay(Book("Other", bank))
        assert not await (await backlog_of(bank)).waits()


async def stored_token(database: Bank) -> str:
    row = await database[SUBSCRIPTIONS].find_one({})
    assert row is not None
    return str(row["position"]["token"]["_data"])

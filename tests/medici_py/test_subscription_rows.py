"""Of those who claim a subscription, only the one with the greatest token can store anything."""

import datetime as dt
from typing import Any

import pytest
from bson import ObjectId
from bson.timestamp import Timestamp
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import LeaseLostError, mongo_transaction
from medici_py.change_events import ChangePosition
from medici_py.durable_position import Progress
from medici_py.subscription_rows import HANDLED, HandledMark, SubscriptionMismatchError, SubscriptionRows

Bank = AsyncDatabase[dict[str, Any]]

NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
WANTED = {"books": ["A"], "kinds": ["JournalPosted"]}


def progress(number: int) -> Progress:
    return Progress(ChangePosition(None, Timestamp(number, 1)), NOON + dt.timedelta(seconds=number))


@pytest.fixture
async def rows(mongo_database: Bank) -> SubscriptionRows:
    rows = SubscriptionRows(mongo_database, "hedging")
    await rows.prepare()
    await rows.create(7, "first", WANTED, progress(1))
    return rows


class TestClaim:
    async def test_new_subscription_has_no_progress(self, mongo_database: Bank) -> None:
        """Whoever finds it new begins it."""
        assert await SubscriptionRows(mongo_database, "other").activate(1, "me", WANTED) is None

    @pytest.mark.parametrize("token", [7, 8, 70])
    async def test_claim_with_the_greatest_token_reads_the_progress(
        self, token: int, rows: SubscriptionRows
    ) -> None:
        """The same one again, too: a command may be sent twice."""
        assert await rows.activate(token, "second", WANTED) == progress(1)

    async def test_claim_with_a_smaller_token_is_refused(self, rows: SubscriptionRows) -> None:
        """Its lease is another one's."""
        with pytest.raises(LeaseLostError):
            await rows.activate(6, "late", WANTED)
        with pytest.raises(LeaseLostError):
            await rows.create(6, "late", WANTED, progress(9))

    async def test_claim_for_something_else_is_refused(self, rows: SubscriptionRows) -> None:
        """And changes nothing."""
        with pytest.raises(SubscriptionMismatchError, match=r"books \['A'\], given \['B'\]") as caught:
            await rows.activate(8, "other", WANTED | {"books": ["B"]})
        assert (caught.value.stored, caught.value.given["books"]) == (WANTED, ["B"])
        await rows.store(7, progress(2))


class TestStoring:
    @pytest.mark.parametrize(("token", "stands"), [(7, False), (8, True), (9, False)])
    async def test_only_the_claiming_token_stores(
        self, token: int, stands: bool, rows: SubscriptionRows
    ) -> None:
        """Neither one before nor one that never claimed."""
        await rows.activate(8, "second", WANTED)
        if stands:
            await rows.store(token, progress(2))
        else:
            with pytest.raises(LeaseLostError, match=f"token {token}"):
                await rows.store(token, progress(2))
        assert await rows.activate(10, "third", WANTED) == progress(2 if stands else 1)

    async def test_claim_during_a_transaction_takes_it_back(
        self, mongo_database: Bank, rows: SubscriptionRows
    ) -> None:
        """It is not kept waiting either."""
        tries = 0

        async def slow(session: Any) -> None:
            nonlocal tries
            tries += 1
            await rows.check(7, session=session)
            await mongo_database[HANDLED].insert_one({"_id": "effect"}, session=session)
            if tries == 1:
                await rows.activate(8, "second", WANTED)
            await rows.store(7, progress(2), session=session)

        with pytest.raises(LeaseLostError):
            await mongo_transaction(mongo_database.client, slow)
        assert tries == 2
        assert await mongo_database[HANDLED].find_one({}) is None
        assert await rows.activate(9, "third", WANTED) == progress(1)


class TestMarks:
    async def test_marks_are_those_of_one_subscription_and_go_by_age(
        self, mongo_database: Bank, rows: SubscriptionRows
    ) -> None:
        """What happened to a journal counts by itself; old marks are forgotten."""
        journal_id = ObjectId()
        posted = HandledMark("posted", journal_id, NOON)
        voided = HandledMark("voided", journal_id, NOON + dt.timedelta(seconds=1))
        other = SubscriptionRows(mongo_database, "other")

        async def mark(session: Any) -> None:
            for one in (posted, voided):
                await rows.mark_handled(one, session=session)
            await other.mark_handled(posted, session=session)

        async def known(session: Any) -> list[bool]:
            return [
                await rows.was_handled(posted, session=session),
                await rows.was_handled(voided, session=session),
                await other.was_handled(posted, session=session),
                await other.was_handled(voided, session=session),
            ]

        await mongo_transaction(mongo_database.client, mark)
        assert await mongo_transaction(mongo_database.client, known) == [True, True, True, False]
        await rows.forget_handled(NOON + dt.timedelta(seconds=1))
        assert await mongo_transaction(mongo_database.client, known) == [False, True, True, False]

"""A lease has one holder at a time, and a holder that was paused can be told from the one after it."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect, OperationFailure

from medici_py.errors import InvalidQueryError, UnsupportedDeploymentError
from medici_py.leases import LEASES, Lease, LeaseLostError, LeaseUnavailableError

Bank = AsyncDatabase[dict[str, Any]]
LeaseFactory = Callable[..., Lease]

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
async def lease_factory(mongo_database: Bank) -> AsyncIterator[LeaseFactory]:
    made: list[Lease] = []

    def make(name: str = "hedging", *, database: Any = mongo_database, **options: Any) -> Lease:
        made.append(Lease(database, name, **{"ttl_secs": 30.0, **options}))
        return made[-1]

    yield make
    for lease in made:
        await lease.release()


async def lapse(database: Bank) -> None:
    """Let every lease lapse, as if its holder had been paused for longer than it lasts."""
    await database[LEASES].update_many({}, {"$set": {"expires_at": LONG_AGO}})


async def hold_nothing(lease: Lease) -> None:
    async with asyncio.timeout(30):
        await lease.lost.wait()


class TestHolding:
    async def test_free_lease_is_taken_and_refused_to_others(self, lease_factory: LeaseFactory) -> None:
        """One holder a name; another name is another lease."""
        first, second, other = lease_factory(), lease_factory(), lease_factory("funding")
        assert await first.try_acquire() == 1
        assert await second.try_acquire() is None
        assert await other.try_acquire() == 1
        assert (first.held, second.held) == (True, False)

    async def test_asking_again_while_held_changes_nothing(self, lease_factory: LeaseFactory) -> None:
        """A holder keeps its token."""
        lease = lease_factory()
        assert [await lease.try_acquire(), await lease.acquire(), lease.token] == [1, 1, 1]

    async def test_released_lease_is_free_at_once_and_its_token_grows(
        self, lease_factory: LeaseFactory
    ) -> None:
        """The document stays, so that no token is ever given twice."""
        for expected in (1, 2, 3):
            lease = lease_factory()
            assert await lease.acquire() == expected
            await lease.release()
            assert not lease.held

    async def test_waiting_ends_when_the_holder_lets_go(self, lease_factory: LeaseFactory) -> None:
        """A standby takes over without anybody telling it."""
        active, standby = lease_factory(), lease_factory()
        await active.acquire()
        waiting = asyncio.create_task(standby.acquire())
        await active.release()
        assert await asyncio.wait_for(waiting, 30) == 2

    async def test_waiting_ends_when_the_holder_stops_renewing(self, lease_factory: LeaseFactory) -> None:
        """A crash costs the time to live, no more."""
        crashed, standby = lease_factory(ttl_secs=1.0), lease_factory(ttl_secs=1.0)
        await crashed.acquire()
        assert crashed._renewer is not None
        crashed._renewer.cancel()
        assert await asyncio.wait_for(standby.acquire(), 30) == 2

    async def test_renewed_lease_outlives_its_time_to_live(
        self, lease_factory: LeaseFactory, mongo_database: Bank
    ) -> None:
        """The server's clock passes the first expiry, and the lease is still its holder's."""
        lease = lease_factory(ttl_secs=0.6)
        await lease.acquire()
        document = await mongo_database[LEASES].find_one({})
        assert document is not None
        first_expiry = document["expires_at"]
        async with asyncio.timeout(30):
            while (await mongo_database.command("hello"))["localTime"] <= first_expiry:
                await asyncio.sleep(0.05)
        assert await lease_factory().try_acquire() is None
        assert lease.held

    async def test_waiting_is_bounded_and_names_the_holder(self, lease_factory: LeaseFactory) -> None:
        """Whoever cannot have it learns who has."""
        await lease_factory(holder="engine-1").acquire()
        with pytest.raises(
            LeaseUnavailableError, match="'hedging' could not be had within 0 s: 'engine-1:"
        ) as caught:
            await lease_factory().acquire(timeout_secs=0)
        assert caught.value.holder.startswith("engine-1:")

    async def test_context_holds_the_lease(self, lease_factory: LeaseFactory) -> None:
        """It is free again behind the block, also after an error."""
        with contextlib.suppress(RuntimeError):
            async with lease_factory() as lease:
                assert lease.token == 1
                raise RuntimeError
        assert await lease_factory().try_acquire() == 2

    async def test_many_at_once_are_given_distinct_tokens_in_turn(self, lease_factory: LeaseFactory) -> None:
        """Never are two inside, whoever comes first."""
        inside = 0

        async def enter(lease: Lease) -> int:
            nonlocal inside
            async with lease:
                inside += 1
                assert inside == 1
                await asyncio.sleep(0)
                inside -= 1
                return lease.token

        async with asyncio.timeout(60):
            tokens = await asyncio.gather(*(enter(lease_factory(ttl_secs=1.0)) for _ in range(8)))
        assert sorted(tokens) == list(range(1, 9))

    async def test_cancelled_waiter_leaves_nothing_behind(self, lease_factory: LeaseFactory) -> None:
        """What it may just have taken is given back, whenever it is cancelled."""
        for milliseconds in (0, 1, 2, 3, 5):
            lease = lease_factory(ttl_secs=120.0)
            waiting = asyncio.create_task(lease.acquire())
            await asyncio.sleep(milliseconds / 1_000)
            waiting.cancel()
            await asyncio.wait([waiting])
            if not waiting.cancelled():  # it was quicker
                await lease.release()
            assert not lease.held
        assert await asyncio.wait_for(lease_factory().acquire(), 60) >= 1


class TestServerClockSetBack:
    """A lease that was to last a little while lasts for as long as the clock was set back, by the server."""

    @pytest.fixture
    async def set_back(self, mongo_database: Bank) -> Callable[[], Any]:
        async def set_back() -> None:
            later = {"$add": ["$expires_at", 3_600_000]}
            await mongo_database[LEASES].update_many({}, [{"$set": {"expires_at": later}}])

        return set_back

    async def test_lease_of_a_crashed_holder_is_taken_all_the_same(
        self, lease_factory: LeaseFactory, set_back: Callable[[], Any]
    ) -> None:
        """A standby has seen that nobody renewed it for as long as it lasts."""
        crashed, standby = lease_factory(ttl_secs=1.0), lease_factory()
        await crashed.acquire()
        assert crashed._renewer is not None
        crashed._renewer.cancel()
        await set_back()
        assert await asyncio.wait_for(standby.acquire(), 60) == 2

    async def test_it_is_waited_for_as_long_as_its_holder_asked(
        self, lease_factory: LeaseFactory, set_back: Callable[[], Any]
    ) -> None:
        """By the clock of whoever waits, from when that first saw it."""
        clock = [100.0]
        holder, standby = (
            lease_factory(ttl_secs=3_000.0),  # it renews it after a third of that, by the clock on the wall
            lease_factory(ttl_secs=1.0, monotonic=lambda: clock[0]),
        )
        await holder.acquire()
        await set_back()
        for secs in (0.0, 2_000.0, 999.0):
            clock[0] += secs
            assert await standby.try_acquire() is None
        clock[0] += 1.0
        assert await standby.try_acquire() == 2

    async def test_it_is_not_taken_from_who_renews_it(
        self, lease_factory: LeaseFactory, set_back: Callable[[], Any], mongo_database: Bank
    ) -> None:
        """What was seen is not what stands there: counting begins anew."""
        clock = [100.0]
        holder, standby = lease_factory(ttl_secs=6.0), lease_factory(monotonic=lambda: clock[0])
        await holder.acquire()
        assert await standby.try_acquire() is None
        before = await mongo_database[LEASES].find_one({})
        async with asyncio.timeout(60):
            while await mongo_database[LEASES].find_one({}) == before:
                await asyncio.sleep(0.02)
        clock[0] += 3_600
        assert await standby.try_acquire() is None
        assert holder.token == 1

    async def test_only_one_of_those_who_waited_takes_it(
        self, lease_factory: LeaseFactory, set_back: Callable[[], Any]
    ) -> None:
        """It then looks otherwise to the others, and has just been renewed."""
        clock = [100.0]
        holder, *standbys = (lease_factory(ttl_secs=3_000.0, monotonic=lambda: clock[0]) for _ in range(5))
        await holder.acquire()
        await set_back()
        assert [await standby.try_acquire() for standby in standbys] == [None] * 4
        clock[0] += 3_001.0
        tokens = await asyncio.gather(*(standby.try_acquire() for standby in standbys))
        assert sorted(tokens, key=str) == [2, None, None, None]


class TestLosing:
    async def test_paused_holder_loses_the_lease_to_the_next(
        self, lease_factory: LeaseFactory, mongo_database: Bank
    ) -> None:
        """Its next renewal finds another token and says so."""
        paused, following = lease_factory(ttl_secs=0.6), lease_factory()
        await paused.acquire()
        async with asyncio.timeout(30):
            while await following.try_acquire() is None:
                await lapse(mongo_database)
        await hold_nothing(paused)
        with pytest.raises(LeaseLostError, match="its token 1 is not the newest") as caught:
            _ = paused.token
        assert (caught.value.name, caught.value.token) == ("hedging", 1)
        assert following.token == 2

    async def test_holder_that_wakes_after_its_lease_has_lapsed_knows_at_once(
        self, lease_factory: LeaseFactory
    ) -> None:
        """By its own clock: until its next renewal is answered another holder may have acted."""
        clock = [100.0]
        lease = lease_factory(ttl_secs=10.0, monotonic=lambda: clock[0])
        await lease.acquire()
        clock[0] += 9.9
        assert (lease.held, lease.token) == (True, 1)
        clock[0] += 0.1
        with pytest.raises(LeaseLostError):
            _ = lease.token
        assert lease.lost.is_set()
        clock[0] -= 5.0
        assert not lease.held

    async def test_lost_lease_can_be_acquired_again(
        self, lease_factory: LeaseFactory, mongo_database: Bank
    ) -> None:
        """With a token greater than that of whoever had it meanwhile."""
        paused, following = lease_factory(ttl_secs=0.6), lease_factory()
        await paused.acquire()
        async with asyncio.timeout(30):
            while await following.try_acquire() is None:
                await lapse(mongo_database)
        await hold_nothing(paused)
        await following.release()
        assert await paused.acquire() == 3
        assert paused.held

    async def test_lapsed_lease_that_nobody_took_is_renewed(
        self, lease_factory: LeaseFactory, mongo_database: Bank
    ) -> None:
        """A pause costs nothing while there is nobody else: the token is still the newest."""
        lease = lease_factory(ttl_secs=0.6)
        await lease.acquire()
        await lapse(mongo_database)
        async with asyncio.timeout(30):
            while (await mongo_database[LEASES].find_one({}) or {})["expires_at"].year == LONG_AGO.year:
                await asyncio.sleep(0.02)
        assert lease.token == 1

    async def test_server_that_refuses_renewals_costs_the_lease(
        self, faulty_bank: Bank, fail: Callable[..., Any], lease_factory: LeaseFactory
    ) -> None:
        """Failures are ridden out for as long as the lease lasts, and then it counts as lost."""
        lease = lease_factory(database=faulty_bank, ttl_secs=0.6)
        await lease.acquire()
        await fail("update", collection=LEASES, times=None, errorCode=8000)
        await hold_nothing(lease)
        assert not lease.held

    async def test_holder_whose_answer_was_lost_holds_it_from_the_next_one_on(
        self, lease_factory: LeaseFactory, mongo_database: Bank
    ) -> None:
        """It counts a whole time to live from then, and so does the server; the token is the same."""
        lease = lease_factory()
        await lease._take()  # nobody heard the answer
        soon = {"$set": {"expires_at": {"$add": ["$$NOW", 5_000]}}}
        await mongo_database[LEASES].update_one({}, [soon])
        assert await lease.try_acquire() == 1
        row = await mongo_database[LEASES].find_one({})
        now = (await mongo_database.command("hello"))["localTime"]
        assert row is not None
        assert (row["expires_at"] - now).total_seconds() > 15
        assert await lease_factory().try_acquire() is None

    async def test_standby_waits_for_a_server_that_is_away(
        self, faulty_bank: Bank, fail: Callable[..., Any], lease_factory: LeaseFactory
    ) -> None:
        """As for a holder: an election does not end it."""
        await fail("findAndModify", times=5, errorCode=11602)
        standby = lease_factory(database=faulty_bank, ttl_secs=0.6)
        assert await asyncio.wait_for(standby.acquire(), 30) == 1

    async def test_server_that_stays_away_is_waited_for_as_long_as_was_asked(
        self, faulty_bank: Bank, fail: Callable[..., Any], lease_factory: LeaseFactory
    ) -> None:
        """The error says what the server did."""
        await fail("findAndModify", times=None, errorCode=11602)
        with pytest.raises(LeaseUnavailableError, match="'somebody' holds it") as caught:
            await lease_factory(database=faulty_bank, ttl_secs=0.6).acquire(timeout_secs=0.2)
        assert isinstance(caught.value.__cause__, AutoReconnect)

    async def test_request_that_the_server_refuses_is_not_waited_for(
        self, faulty_bank: Bank, fail: Callable[..., Any], lease_factory: LeaseFactory
    ) -> None:
        """It would be refused for ever."""
        await fail("findAndModify", errorCode=13)  # Unauthorized
        with pytest.raises(OperationFailure):
            await asyncio.wait_for(lease_factory(database=faulty_bank).acquire(), 30)

    async def test_release_of_a_lost_lease_leaves_the_next_holder_alone(
        self, lease_factory: LeaseFactory, mongo_database: Bank
    ) -> None:
        """Only what is one's own is given back."""
        paused, following = lease_factory(), lease_factory()
        await paused.acquire()
        await lapse(mongo_database)
        await following.acquire()
        await paused.release()
        assert await lease_factory().try_acquire() is None


async def test_database_in_memory_is_refused(mongomock_database: Any) -> None:
    """It has no clock of its own."""
    with pytest.raises(UnsupportedDeploymentError):
        await Lease(mongomock_database, "hedging").try_acquire()


@pytest.mark.parametrize(
    ("name", "ttl_secs"),
    [("", 1.0), (" ", 1.0), ("a", 0.0), ("a", -1.0), ("a", float("inf")), ("a", float("nan"))],
)
def test_lease_that_could_not_be_held_is_refused(name: str, ttl_secs: float, mongomock_database: Any) -> None:
    """A lease is of something, and for a while."""
    with pytest.raises(InvalidQueryError):
        Lease(mongomock_database, name, ttl_secs=ttl_secs)


def test_repr_says_whether_it_is_held(mongomock_database: Any) -> None:
    """As a log line shows it."""
    assert repr(Lease(mongomock_database, "hedging")) == "<Lease 'hedging' not held>"

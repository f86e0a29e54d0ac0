"""Stripes are held once, given back, renewed, and taken over when their holder is gone."""

import datetime as dt
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from medici_py.stripes import FIRST, FIRST_GUARDING, LEASE, RENEW_AFTER, STRIPES, StripePool

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def taken(stack: AsyncExitStack, pool: StripePool) -> int:
    return await stack.enter_async_context(pool.stripe())


async def until(bank: Any) -> dt.datetime:
    stored: dt.datetime = (await bank[STRIPES].find_one({"_id": FIRST}))["until"]
    return stored.replace(tzinfo=dt.UTC)


async def test_open_transactions_of_any_processes_hold_different_stripes(bank: Any, clock: Clock) -> None:
    """The smallest free numbers, so that there are no more than were ever open at once."""
    one, other = StripePool(bank[STRIPES], clock), StripePool(bank[STRIPES], clock)
    async with AsyncExitStack() as stack:
        held = [await taken(stack, pool) for pool in (one, other, one, other)]
    assert sorted(held) == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3]


async def test_stripe_is_used_again_once_its_transaction_has_ended(bank: Any, clock: Clock) -> None:
    pool = StripePool(bank[STRIPES], clock)
    for _ in range(3):
        async with pool.stripe() as stripe:
            assert stripe == FIRST
    assert await bank[STRIPES].count_documents({}) == 1


async def test_stripe_of_a_dead_process_is_taken_over_when_its_lease_has_lapsed(
    bank: Any, clock: Clock
) -> None:
    """Never before: its transaction may still be open."""
    dead, heir = StripePool(bank[STRIPES], clock), StripePool(bank[STRIPES], clock)
    async with dead.stripe():
        async with heir.stripe() as second:
            assert second == FIRST + 1
        clock.now += LEASE
        async with AsyncExitStack() as stack:
            assert {await taken(stack, heir), await taken(stack, heir)} == {FIRST, FIRST + 1}


async def test_stripe_that_was_taken_over_is_given_up(bank: Any, clock: Clock) -> None:
    """A process that slept through its lease notices at its next transaction."""
    sleeper, heir = StripePool(bank[STRIPES], clock), StripePool(bank[STRIPES], clock)
    async with sleeper.stripe():
        pass
    clock.now += LEASE
    async with heir.stripe() as inherited, sleeper.stripe() as other:
        assert (inherited, other) == (FIRST, FIRST + 1)


async def test_lease_is_renewed_while_it_is_used(bank: Any, clock: Clock) -> None:
    """Not at every transaction: only when a part of it is over."""
    pool = StripePool(bank[STRIPES], clock)
    async with pool.stripe():
        pass
    clock.now += RENEW_AFTER - dt.timedelta(seconds=1)
    async with pool.stripe():
        assert await until(bank) == NOON + LEASE
    clock.now += dt.timedelta(seconds=1)
    async with pool.stripe():
        assert await until(bank) == clock.now + LEASE


async def test_posting_goes_on_if_a_lease_cannot_be_renewed(
    bank: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds out by itself whether the server is there, and gives a better error."""
    pool = StripePool(bank[STRIPES], clock)
    async with pool.stripe():
        pass
    clock.now += RENEW_AFTER

    async def away(*_: Any, **__: Any) -> None:
        raise AutoReconnect("away")

    monkeypatch.setattr(pool._collection, "update_one", away)
    async with pool.stripe() as stripe:
        assert stripe == FIRST


async def test_released_stripes_are_free_for_others_at_once(bank: Any, clock: Clock) -> None:
    one, other = StripePool(bank[STRIPES], clock), StripePool(bank[STRIPES], clock)
    async with one.stripe():
        async with one.stripe():
            pass
        await one.release()
        async with other.stripe() as stripe:
            assert stripe == FIRST + 1


async def test_session_keeps_its_stripe_until_its_transaction_has_ended(bank: Any, clock: Clock) -> None:
    """Which is noticed when the next session asks."""
    pool = StripePool(bank[STRIPES], clock)
    async with bank.client.start_session() as first, bank.client.start_session() as second:
        await first.start_transaction()
        await bank["any"].find_one({}, session=first)
        assert await pool.of_session(first) == FIRST
        assert await pool.of_session(first) == FIRST
        await second.start_transaction()
        assert await pool.of_session(second) == FIRST + 1
        await first.abort_transaction()
        async with bank.client.start_session() as third:
            assert await pool.of_session(third) == FIRST


async def test_guarding_stripes_are_a_kind_of_their_own(bank: Any, clock: Clock) -> None:
    """A bound writes to all of these and to none of the others."""
    plain = StripePool(bank[STRIPES], clock)
    guarding = StripePool(bank[STRIPES], clock, guarding=True)
    async with plain.stripe() as one, guarding.stripe() as other:
        assert (one, other) == (FIRST, FIRST_GUARDING)
    assert await plain.numbers(None) == [FIRST]
    assert await guarding.numbers(None) == [FIRST_GUARDING]

"""Waiting for the rate limits."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx.endpoints import Allowance, Priority
from stablesats.okx.limits import RequestLimiter, pace_of

# One request in 50 ms once the burst of one is spent.
SLOW = Allowance("slow", 2, window_secs=0.05)
NEVER = Allowance("never", 2, window_secs=10_000.0)


@given(
    requests=st.integers(min_value=2, max_value=10_000),
    window_secs=st.floats(min_value=0.01, max_value=3_600),
)
def test_no_window_holds_more_than_the_allowance(requests: int, window_secs: float) -> None:
    """A burst plus what is refilled over a window is the allowance, wherever the window starts."""
    pace = pace_of(Allowance("any", requests, window_secs=window_secs))
    assert pace.burst >= 1
    assert pace.burst + pace.burst * window_secs / pace.refill_secs == pytest.approx(requests)


def test_ten_requests_in_two_seconds_are_a_burst_of_two() -> None:
    """Refilled in half a second: 2 + 4 * 2 = 10."""
    pace = pace_of(Allowance("account", 10))
    assert (pace.burst, pace.refill_secs) == (2, 0.5)


@given(window_secs=st.floats(min_value=0.01, max_value=3_600))
def test_an_allowance_of_one_is_one_in_more_than_the_window(window_secs: float) -> None:
    """A little more, since the second may be faster on its way than the first was; not twice as much."""
    pace = pace_of(Allowance("any", 1, window_secs=window_secs))
    assert pace.burst == 1
    assert window_secs < pace.refill_secs <= 1.2 * window_secs


async def test_the_burst_passes_without_waiting() -> None:
    """A fifth of the allowance goes through at once."""
    limiter = RequestLimiter()
    async with asyncio.timeout(60):
        for _ in range(12):
            await limiter.wait(Allowance("orders", 60, window_secs=10_000.0), Priority.ORDER)


async def test_past_the_burst_a_request_waits() -> None:
    """The third of a burst of one does not pass while the bucket is full."""
    limiter = RequestLimiter()
    await limiter.wait(NEVER, Priority.ORDER)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await limiter.wait(NEVER, Priority.ORDER)


async def test_orders_pass_before_polls_and_polls_before_prices() -> None:
    """They wait for the one that stands at the door already, then go by priority and by arrival."""
    limiter = RequestLimiter()
    passed: list[str] = []

    async def request(name: str, priority: Priority) -> None:
        await limiter.wait(SLOW, priority)
        passed.append(name)

    await limiter.wait(SLOW, Priority.POLL)
    arrivals = [
        ("at the door", Priority.PRICE),
        ("price", Priority.PRICE),
        ("poll 1", Priority.POLL),
        ("order 1", Priority.ORDER),
        ("poll 2", Priority.POLL),
        ("order 2", Priority.ORDER),
    ]
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for name, priority in arrivals:
            tasks.create_task(request(name, priority))
    assert passed == ["at the door", "order 1", "order 2", "poll 1", "poll 2", "price"]


async def test_allowances_and_instruments_do_not_wait_for_each_other() -> None:
    """Where OKX counts by instrument, each has its own door; elsewhere they share one."""
    limiter = RequestLimiter()
    by_instrument = Allowance("by-instrument", 2, window_secs=10_000.0, per_instrument=True)
    async with asyncio.timeout(60):
        await limiter.wait(NEVER, Priority.ORDER, inst_id="BTC-USD-SWAP")
        await limiter.wait(by_instrument, Priority.ORDER, inst_id="BTC-USD-SWAP")
        await limiter.wait(by_instrument, Priority.ORDER, inst_id="ETH-USD-SWAP")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await limiter.wait(NEVER, Priority.ORDER, inst_id="ETH-USD-SWAP")


@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_a_cancelled_wait_lets_the_next_one_pass(cancelled: int) -> None:
    """Whether it stood at the door (0) or in the queue (1, 2), nobody waits for it."""
    limiter = RequestLimiter()
    await limiter.wait(SLOW, Priority.POLL)
    waiting = [asyncio.create_task(limiter.wait(SLOW, Priority.POLL)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[cancelled].cancel()
    async with asyncio.timeout(60):
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [
        position == cancelled for position in range(3)
    ]


async def test_a_wait_cancelled_in_the_moment_of_its_turn_hands_the_turn_on() -> None:
    """The one at the door leaves and the next is cancelled before it runs: the last one still passes."""
    limiter = RequestLimiter()
    await limiter.wait(SLOW, Priority.POLL)
    at_the_door, next_in_line, last = (
        asyncio.create_task(limiter.wait(SLOW, Priority.POLL)) for _ in range(3)
    )
    await asyncio.sleep(0)
    at_the_door.add_done_callback(lambda _: next_in_line.cancel())
    at_the_door.cancel()
    async with asyncio.timeout(60):
        await asyncio.wait({at_the_door, next_in_line})
        await last
    assert next_in_line.cancelled()

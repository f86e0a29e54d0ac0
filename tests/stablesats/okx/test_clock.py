"""OKX's clock as seen from ours."""

from datetime import UTC, datetime, timedelta

import pytest

from stablesats.okx.clock import MEASURED_FOR, ServerClock, clock_offset
from stablesats.okx.errors import OkxInvalidRequestError

NOON = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("server_secs", "received_secs", "offset_secs"),
    [
        (0.0, 0.0, 0.0),  # no way, same clock
        (0.5, 1.0, 0.0),  # half-way through a round trip of 1 s: same clock
        (20.5, 1.0, 20.0),  # the server is 20 s ahead
        (-39.5, 1.0, -40.0),  # the server is 40 s behind
    ],
)
def test_offset_is_measured_from_the_middle_of_the_round_trip(
    server_secs: float, received_secs: float, offset_secs: float
) -> None:
    """Sent at noon; the server is taken to have looked at its clock half-way."""
    offset = clock_offset(
        NOON + timedelta(seconds=server_secs),
        sent_at=NOON,
        received_at=NOON + timedelta(seconds=received_secs),
    )
    assert offset == timedelta(seconds=offset_secs)


def test_clock_is_ours_until_it_is_measured() -> None:
    """Then it is ours plus the offset."""
    clock = ServerClock(lambda: NOON)
    assert (clock.is_measured, clock.now()) == (False, NOON)
    clock.learn(timedelta(seconds=20))
    assert (clock.is_measured, clock.now()) == (True, NOON + timedelta(seconds=20))


@pytest.mark.parametrize(
    ("passed", "needs_measuring"),
    [
        (MEASURED_FOR - timedelta(milliseconds=1), False),
        (MEASURED_FOR, True),
        (-MEASURED_FOR, True),  # ours was set back: the offset is not what it was
        (-timedelta(seconds=1), False),
    ],
)
def test_measurement_is_relied_on_for_a_while(passed: timedelta, needs_measuring: bool) -> None:
    """Before and at the bound; a clock that was never measured needs it at once."""
    times = [NOON]
    clock = ServerClock(lambda: times[-1])
    assert clock.needs_measuring
    clock.learn(timedelta(0))
    times.append(NOON + passed)
    assert (clock.needs_measuring, clock.is_measured) == (needs_measuring, True)


def test_a_clock_without_zone_is_refused() -> None:
    """A naive time would be signed as if it were UTC."""
    clock = ServerClock(lambda: datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(OkxInvalidRequestError, match="aware times"):
        clock.now()

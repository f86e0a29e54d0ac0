"""What all endpoints share: expiry, required parameters, paging."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from stablesats.okx_simulator import SimulatorConfig
from stablesats.okx_simulator.endpoints import Call, page
from stablesats.okx_simulator.exchange import Exchange
from stablesats.okx_simulator.refusals import RefusalError

ROWS = [{"ordId": str(number), "cTime": str(number * 10), "state": "filled"} for number in range(150, 0, -1)]


def ids(query: dict[str, str]) -> list[int]:
    return [int(row["ordId"]) for row in page(ROWS, query, key="ordId", time_key="cTime")]


@pytest.mark.parametrize(
    ("query", "first", "last", "count"),
    [
        ({}, 150, 51, 100),
        ({"limit": "3"}, 150, 148, 3),
        ({"after": "100"}, 99, 1, 99),
        ({"before": "100"}, 150, 101, 50),
        ({"after": "100", "before": "90"}, 99, 91, 9),
        ({"begin": "900", "end": "1000"}, 100, 90, 11),
        ({"state": "filled", "limit": "1"}, 150, 150, 1),
    ],
)
def test_pages_are_newest_first_and_bounded(query: dict[str, str], first: int, last: int, count: int) -> None:
    """After is older than, before is newer than, begin and end include their instants."""
    found = ids(query)
    assert (found[0], found[-1], len(found)) == (first, last, count)


def test_filter_that_fits_nothing_gives_no_rows() -> None:
    """Not an error."""
    assert ids({"state": "live"}) == []


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "101"}, {"after": "-1"}, {"before": "x"}, {"begin": "9" * 5000}]
)
def test_malformed_page_is_refused(query: dict[str, str]) -> None:
    """51000 names the parameter."""
    with pytest.raises(RefusalError, match=f"Parameter {next(iter(query))} error"):
        ids(query)


@pytest.mark.parametrize(
    ("received_ms", "started_ms", "code"),
    [(0, 0, None), (1000, 1000, None), (1001, 1001, "50036"), (1000, 1001, "50037")],
)
def test_expiry_is_judged_on_arrival_and_before_execution(
    exchange_factory: Callable[..., Exchange], clock: Any, received_ms: int, started_ms: int, code: str | None
) -> None:
    """An expTime one second ahead."""
    start = clock.now()
    call = Call(
        exchange=exchange_factory(),
        config=SimulatorConfig(),
        query={},
        body=None,
        received_at=start + timedelta(milliseconds=received_ms),
        started_at=start + timedelta(milliseconds=started_ms),
        expires_at=start + timedelta(seconds=1),
    )
    if code is None:
        assert call.check_not_expired() is None
    else:
        with pytest.raises(RefusalError, match=code):
            call.check_not_expired()

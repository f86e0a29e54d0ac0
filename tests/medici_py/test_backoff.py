"""Pauses between tries grow, are bounded, and differ between those who failed together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medici_py.backoff import backoff_secs


@pytest.mark.parametrize(
    ("failures", "jitter", "secs"),
    [
        (1, 1.0, 0.1),
        (1, 0.0, 0.05),
        (2, 1.0, 0.2),
        (3, 1.0, 0.4),
        (6, 1.0, 3.2),
        (7, 1.0, 5.0),  # 6.4 is past the bound
        (7, 0.0, 2.5),
    ],
)
def test_pause_doubles_up_to_the_bound(failures: int, jitter: float, secs: float) -> None:
    """Half of the pause is certain, the other half depends on chance."""
    assert backoff_secs(failures, first_secs=0.1, max_secs=5.0, jitter=jitter) == pytest.approx(secs)


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_pause_is_never_zero_and_never_past_the_bound(failures: int, jitter: float) -> None:
    """However long the server is away."""
    assert 0 < backoff_secs(failures, first_secs=0.1, max_secs=5.0, jitter=jitter) <= 5.0

"""What somebody else is writing is left out for a while, and tried again."""

import pytest

from stablesats.trades.postponed import PostponedTrades, batches_of


@pytest.mark.parametrize(
    ("times", "pause_secs"),
    [(1, 0.1), (2, 0.2), (3, 0.4), (5, 1.6), (6, 2.0), (1_000, 2.0)],
)
def test_pause_doubles_up_to_two_seconds(times: int, pause_secs: float) -> None:
    """0.05 s times two to the number of times."""
    postponed = PostponedTrades()
    for _ in range(times):
        postponed.postpone(["t1"], 100.0)
    assert postponed.times("t1") == times
    assert postponed.ready(["t1", "t2"], 100.0 + pause_secs - 0.01) == ["t2"]
    assert postponed.ready(["t1", "t2"], 100.0 + pause_secs + 0.01) == ["t1", "t2"]


def test_trade_that_is_done_is_forgotten() -> None:
    """Whoever did it."""
    postponed = PostponedTrades()
    postponed.postpone(["t1", "t2"], 0.0)
    postponed.keep_only(["t2", "t3"])
    assert (len(postponed), postponed.times("t1"), postponed.times("t2")) == (1, 0, 1)


def test_trades_that_stay_busy_are_tried_alone() -> None:
    """So that they keep nobody else; before the third time it is only somebody who is about to be done."""
    postponed = PostponedTrades()
    for stuck in (["t2", "t5"], ["t2", "t5", "t1"], ["t2", "t5", "t1"]):
        postponed.postpone(stuck, 0.0)
    ids = [f"t{number}" for number in range(1, 8)]
    assert batches_of(ids, postponed, largest=2) == [("t1", "t3"), ("t4", "t6"), ("t7",), ("t2",), ("t5",)]
    assert batches_of([], postponed, largest=2) == []

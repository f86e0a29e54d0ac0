"""Where a subscription is can be stored and read back, and only ever moves on."""

import datetime as dt
from dataclasses import replace
from typing import Any

import bson
import pytest
from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from medici_py.change_events import ChangePosition
from medici_py.durable_position import (
    CLOCK_MARGIN,
    DEFAULT_MARGIN,
    JournalKey,
    Progress,
    Recovery,
    announced,
    moved_on,
    position_time,
    read_to,
    recovered,
    recovering,
    starting_after,
    starting_at,
    starting_with_everything,
)

NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
AWARE = CodecOptions[dict[str, Any]](tz_aware=True, tzinfo=dt.UTC)


def cluster_time(instant: dt.datetime, increment: int = 1) -> Timestamp:
    return Timestamp(int(instant.timestamp()), increment)


def token(instant: dt.datetime, tail: str = "2B0229296E04") -> dict[str, str]:
    return {"_data": f"82{int(instant.timestamp()):08X}00000007{tail}"}


instants = st.datetimes(
    min_value=dt.datetime(1980, 1, 1),  # noqa: DTZ001 - hypothesis wants naive bounds
    max_value=dt.datetime(2090, 1, 1),  # noqa: DTZ001 - hypothesis wants naive bounds
).map(lambda one: one.replace(microsecond=one.microsecond // 1000 * 1000, tzinfo=dt.UTC))
timestamps = st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
positions = st.builds(
    ChangePosition,
    st.none() | st.text("0123456789ABCDEF", min_size=1).map(lambda data: {"_data": data}),
    st.none() | timestamps,
    st.integers(0, 3),
    st.none() | instants,
)
keys = st.builds(JournalKey, instants, st.binary(min_size=12, max_size=12).map(ObjectId))
recoveries = st.builds(Recovery, st.none() | instants, timestamps, st.booleans(), st.none() | keys)
progresses = st.builds(
    Progress,
    positions,
    instants,
    st.integers(0, 5),
    st.none() | recoveries,
    st.none() | instants,
    st.none() | instants,
)


@given(progresses)
def test_stored_progress_reads_back_the_same(progress: Progress) -> None:
    """Through BSON, next to whatever else stands in the document."""
    row = bson.decode(bson.encode({"_id": "hedging", **progress.to_document()}), AWARE)
    assert Progress.from_document(row) == progress


class TestPositionTime:
    @pytest.mark.parametrize(
        ("position", "expected"),
        [
            pytest.param(ChangePosition(None, None), None, id="no place"),
            pytest.param(ChangePosition(None, cluster_time(NOON)), NOON, id="time alone"),
            pytest.param(ChangePosition(token(NOON), None), NOON, id="token alone"),
            pytest.param(
                ChangePosition(token(NOON + SECOND), cluster_time(NOON)), NOON + SECOND, id="idle since"
            ),
            pytest.param(
                ChangePosition(token(NOON), cluster_time(NOON + SECOND)), NOON + SECOND, id="time is newer"
            ),
            pytest.param(ChangePosition({"_data": "82"}, None), None, id="short token"),
            pytest.param(ChangePosition({"_data": "nonsense that is long"}, None), None, id="no hexadecimal"),
            pytest.param(ChangePosition({"_data": "83" + "0" * 16}, None), None, id="another type"),
            pytest.param(ChangePosition({"_data": 7}, None), None, id="no text"),
        ],
    )
    def test_time_is_that_of_the_newest_commit(
        self, position: ChangePosition, expected: dt.datetime | None
    ) -> None:
        """Of token and cluster time, whichever is later; unknown is not zero."""
        assert position_time(position) == expected


class TestStarting:
    def test_position_without_a_time_is_as_old_as_now(self) -> None:
        """Nothing older can be asked of the journals."""
        assert starting_after(ChangePosition(None, None), NOON).at == NOON
        assert starting_after(ChangePosition(None, cluster_time(NOON - SECOND)), NOON).at == NOON - SECOND

    def test_instant_begins_with_its_second(self) -> None:
        """Cluster times have no smaller unit that means time."""
        progress = starting_at(NOON + SECOND / 2)
        assert progress.at == NOON
        assert progress.position.watch_options() == {"start_at_operation_time": cluster_time(NOON, 1)}

    def test_everything_is_a_recovery_that_nobody_need_hear_of(self) -> None:
        """Nothing was lost."""
        progress = starting_with_everything(cluster_time(NOON, 3))
        assert progress.recovery == Recovery(since=None, until=cluster_time(NOON, 3), announced=True)


class TestRecovering:
    lost = Progress(ChangePosition(token(NOON), cluster_time(NOON)), NOON)
    until = cluster_time(NOON + 60 * SECOND, 9)

    def test_recovery_begins_a_margin_before_the_lost_position(self) -> None:
        """What was committed after it was recorded no earlier; the lost position is kept until the end."""
        progress = recovering(self.lost, now=self.until, margin=DEFAULT_MARGIN)
        assert progress.recovery == Recovery(since=NOON - DEFAULT_MARGIN, until=self.until)
        assert progress.position == self.lost.position

    def test_recovery_moves_on_journal_by_journal_to_the_stream(self) -> None:
        """Announced, read, and over: the stream goes on right after the time it was read until."""
        key = JournalKey(NOON, ObjectId())
        progress = announced(recovering(self.lost, now=self.until, margin=DEFAULT_MARGIN))
        assert progress.recovery is not None
        assert progress.recovery.announced
        progress = read_to(progress, key, skip=1)
        assert progress.recovery is not None
        assert (progress.recovery.read_to, progress.skip) == (key, 1)
        progress = recovered(progress, now=NOON + 90 * SECOND)
        assert progress == Progress(
            ChangePosition(None, self.until),
            NOON + 60 * SECOND,
            repeats_until=NOON + 90 * SECOND + CLOCK_MARGIN,
        )

    @pytest.mark.parametrize("step", [announced, lambda one: recovered(one, now=NOON)])
    def test_steps_of_a_recovery_need_one(self, step: Any) -> None:
        """To take one in the stream is a mistake of the program."""
        with pytest.raises(AssertionError):
            step(self.lost)


class TestNotBefore:
    start = starting_at(NOON)
    until = cluster_time(NOON + 60 * SECOND)

    def test_recovery_of_a_start_at_a_time_begins_with_that_time(self) -> None:
        """Not a margin before it: what is older was not asked for."""
        progress = recovering(self.start, now=self.until, margin=DEFAULT_MARGIN)
        assert progress.recovery == Recovery(since=NOON, until=self.until)

    @pytest.mark.parametrize(("seconds", "expected"), [(59, 0), (180, 0), (181, 1)])
    def test_time_bounds_every_later_recovery_too(self, seconds: int, expected: int) -> None:
        """After events of the stream, and after a recovery; in the end the margin is later."""
        moved = moved_on(
            recovered(recovering(self.start, now=self.until, margin=DEFAULT_MARGIN), now=NOON),
            ChangePosition(None, cluster_time(NOON + seconds * SECOND)),
            NOON + seconds * SECOND,
        )
        again = recovering(moved, now=self.until, margin=DEFAULT_MARGIN).recovery
        assert again is not None
        assert again.since == NOON + expected * SECOND

    def test_progress_that_was_stored_without_it_has_none(self) -> None:
        """By a release that did not know it."""
        row = self.start.to_document()
        del row["not_before"]
        assert Progress.from_document(row) == replace(self.start, not_before=None)


class TestMovingOn:
    start = Progress(ChangePosition(None, cluster_time(NOON)), NOON, skip=2, repeats_until=NOON + 5 * SECOND)

    @pytest.mark.parametrize(
        ("committed_at", "expected"),
        [(NOON + 4 * SECOND, True), (NOON + 5 * SECOND, True), (NOON + 6 * SECOND, False)],
    )
    def test_repetitions_are_looked_for_until_they_cannot_be(
        self, committed_at: dt.datetime, expected: bool
    ) -> None:
        """Then it costs nothing any more."""
        position = ChangePosition(token(committed_at), cluster_time(committed_at))
        progress = moved_on(self.start, position, committed_at)
        assert (progress.position, progress.at, progress.skip) == (position, committed_at, 0)
        assert (progress.repeats_until is not None) is expected

    def test_time_never_goes_back(self) -> None:
        """A server's clock may; and an idle position may say no time."""
        earlier = moved_on(self.start, ChangePosition(token(NOON), None), NOON - SECOND)
        unknown = moved_on(self.start, ChangePosition(None, None), None)
        assert (earlier.at, unknown.at) == (NOON, NOON)

    def test_idle_position_is_as_old_as_its_token(self) -> None:
        """Its second, which is a little earlier than the truth and never later."""
        idle = moved_on(self.start, ChangePosition(token(NOON + 3 * SECOND), cluster_time(NOON)), None)
        assert idle == replace(
            self.start,
            position=ChangePosition(token(NOON + 3 * SECOND), cluster_time(NOON)),
            at=NOON + 3 * SECOND,
            skip=0,
        )

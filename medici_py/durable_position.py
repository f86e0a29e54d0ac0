"""Where a durable subscription is: in the stream of changes, or in the journals that the stream lost. Pure.

`Progress` is stored after each acknowledged event. Resuming at it delivers what follows that event: nothing
is left out, whatever line a process died at.

When MongoDB no longer has the changes after a position, the journals themselves are read, in the order of
their recorded time. A journal committed after the position was recorded at most a *margin* before it: MongoDB
ends transactions after 60 s (``transactionLifetimeLimitSeconds``), the rest is for writers' clocks.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from bson import Int64, ObjectId
from bson.timestamp import Timestamp

from medici_py.change_events import ChangePosition

DEFAULT_MARGIN = dt.timedelta(minutes=3)
CLOCK_MARGIN = dt.timedelta(minutes=1)

EARLIEST_START = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LATEST_START = dt.datetime.fromtimestamp(2**32 - 1, tz=dt.UTC)
"""Between them lie the cluster times of MongoDB."""

_TIMESTAMP_TYPE = 0x82  # the first value of a resume token's sort key


@dataclass(frozen=True, slots=True)
class JournalKey:
    """A journal's place among the recorded ones: by recorded time, then by id."""

    recorded_at: dt.datetime
    journal_id: ObjectId


@dataclass(frozen=True, slots=True)
class Recovery:
    """What is read from the journals instead of from the stream.

    Attributes:
        since: Only journals recorded at this time or later; None for all.
        until: The cluster time up to which they were committed; the stream goes on right after it.
        announced: Whether the subscriber knows about it.
        read_to: The last journal that was handed out; None at the beginning.
    """

    since: dt.datetime | None
    until: Timestamp
    announced: bool = False
    read_to: JournalKey | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Everything up to here was acknowledged.

    Attributes:
        position: In the stream; while recovering, the one that MongoDB does not know any more.
        at: The server's wall clock at *position*, or a little earlier.
        skip: Events after the place that were acknowledged too: part of what one commit brought.
        recovery: What is being read from the journals; None in the stream.
        repeats_until: Events committed up to then may be repetitions of recovered ones.
        not_before: The time with which the subscription began: what was recorded earlier is not recovered;
            None for any time.
    """

    position: ChangePosition
    at: dt.datetime
    skip: int = 0
    recovery: Recovery | None = None
    repeats_until: dt.datetime | None = None
    not_before: dt.datetime | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the fields that are stored; `from_document` reads them back."""
        recovery = self.recovery
        return {
            "position": self.position.to_document(),
            "position_at": self.at,
            "skip": Int64(self.skip),
            "recovery": None if recovery is None else _recovery_document(recovery),
            "repeats_until": self.repeats_until,
            "not_before": self.not_before,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_document` made, with or without other fields."""
        recovery = document["recovery"]
        return cls(
            position=ChangePosition.from_document(document["position"]),
            at=document["position_at"],
            skip=int(document["skip"]),
            recovery=None if recovery is None else _read_recovery(recovery),
            repeats_until=document["repeats_until"],
            not_before=document.get("not_before"),
        )


def starting_after(position: ChangePosition, at: dt.datetime) -> Progress:
    """Return the progress of a subscription that begins at *position*, as old as *at*."""
    return Progress(position, position_time(position) or at)


def starting_at(instant: dt.datetime) -> Progress:
    """Return the progress of a subscription that begins with the second of *instant*."""
    second = instant.replace(microsecond=0)
    position = ChangePosition(None, Timestamp(int(second.timestamp()), 0))
    return Progress(position, second, not_before=second)


def starting_with_everything(now: Timestamp) -> Progress:
    """Return the progress of a subscription that begins with the first journal; nothing was lost."""
    whole = Recovery(since=None, until=now, announced=True)
    return Progress(ChangePosition(None, None), EARLIEST_START, recovery=whole)


def recovering(progress: Progress, *, now: Timestamp, margin: dt.timedelta) -> Progress:
    """Return where to go on when MongoDB has lost what follows *progress*.

    Args:
        progress: In the stream.
        now: A cluster time that is not over for long.
        margin: How long before its commit a journal can have been recorded.
    """
    since = progress.at - margin
    if progress.not_before is not None:
        since = max(since, progress.not_before)
    return replace(progress, recovery=Recovery(since=since, until=now))


def announced(progress: Progress) -> Progress:
    """Return *progress* with the subscriber knowing about its recovery."""
    recovery = _of(progress)
    return replace(progress, recovery=replace(recovery, announced=True))


def read_to(progress: Progress, key: JournalKey, *, skip: int = 0) -> Progress:
    """Return *progress* with everything up to *key* handed out by the recovery, and *skip* events more."""
    recovery = _of(progress)
    return replace(progress, skip=skip, recovery=replace(recovery, read_to=key))


def recovered(progress: Progress, *, now: dt.datetime) -> Progress:
    """Return where to go on in the stream after a recovery that ended at *now*, by the server's clock."""
    until = _of(progress).until
    return Progress(
        ChangePosition(None, until),
        until.as_datetime(),
        repeats_until=now + CLOCK_MARGIN,
        not_before=progress.not_before,
    )


def moved_on(progress: Progress, position: ChangePosition, committed_at: dt.datetime | None) -> Progress:
    """Return *progress* in the stream further on, at *position*.

    Args:
        progress: In the stream, too.
        position: After an event, or after nothing but what is not asked for.
        committed_at: When the event was committed; None without one.
    """
    at = max(committed_at or position_time(position) or progress.at, progress.at)
    repeats_until = progress.repeats_until
    if repeats_until is not None and repeats_until < at:
        repeats_until = None
    return Progress(position, at, repeats_until=repeats_until, not_before=progress.not_before)


def nothing_read_since(progress: Progress) -> dt.datetime | None:
    """Return the time with which a subscription begins that read nothing so far; None for any other.

    Only of one that was made for a time, or for everything there is.
    """
    recovery = progress.recovery
    begins = progress.at == progress.not_before
    if recovery is not None:
        begins = recovery.since is None and recovery.read_to is None
    return progress.at if begins else None


def position_time(position: ChangePosition) -> dt.datetime | None:
    """Return the second of the newest commit before *position*; None if it does not say."""
    times = [time for time in (position.cluster_time, _token_time(position.token)) if time is not None]
    return max(times).as_datetime() if times else None


def _token_time(token: Mapping[str, Any] | None) -> Timestamp | None:
    """Read the cluster time at the front of a resume token.

    Source: MongoDB's ``ResumeToken``: a hexadecimal sort key that begins with the cluster time, which is why
    tokens sort as they do. A token of another shape has none here.
    """
    data = None if token is None else token.get("_data")
    if not isinstance(data, str):
        return None
    try:
        key = bytes.fromhex(data[:18])
    except ValueError:
        return None
    if len(key) < 9 or key[0] != _TIMESTAMP_TYPE:
        return None
    return Timestamp(int.from_bytes(key[1:5], "big"), int.from_bytes(key[5:9], "big"))


def _of(progress: Progress) -> Recovery:
    if progress.recovery is None:
        raise AssertionError("there is a recovery")
    return progress.recovery


def _recovery_document(recovery: Recovery) -> dict[str, Any]:
    key = recovery.read_to
    return {
        "since": recovery.since,
        "until": recovery.until,
        "announced": recovery.announced,
        "read_to": None if key is None else {"recorded_at": key.recorded_at, "journal": key.journal_id},
    }


def _read_recovery(document: Mapping[str, Any]) -> Recovery:
    key = document["read_to"]
    return Recovery(
        since=document["since"],
        until=document["until"],
        announced=document["announced"],
        read_to=None if key is None else JournalKey(key["recorded_at"], key["journal"]),
    )

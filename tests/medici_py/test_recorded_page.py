"""Pages of recorded journals: each journal once, in order, however they fall into milliseconds."""

import datetime as dt
from typing import Any

import pytest
from bson import ObjectId
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from medici_py.durable_position import JournalKey, Recovery
from medici_py.recorded_page import RecordedPage, begins_at, crowded_page, legs_after, page_of

NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
MILLISECOND = dt.timedelta(milliseconds=1)


def at(milliseconds: int) -> dt.datetime:
    return NOON + milliseconds * MILLISECOND


def journal(number: int) -> ObjectId:
    return ObjectId(f"{number:024x}")


def leg(milliseconds: int, number: int) -> dict[str, Any]:
    return {"timestamp": at(milliseconds), "_journal": journal(number)}


def key(milliseconds: int, number: int) -> JournalKey:
    return JournalKey(at(milliseconds), journal(number))


def without_types(matches: dict[str, Any]) -> dict[str, Any]:
    """Return a filter without what it says of types, which only a server can answer."""
    return {name: value for name, value in matches.items() if name != "$expr"}


EVERYTHING = Recovery(since=None, until=Timestamp(1, 1), announced=True)


class TestPage:
    def test_page_that_is_not_full_is_the_last_one(self) -> None:
        """Journals once each, by time and then by id."""
        legs = [leg(1, 9), leg(1, 9), leg(2, 7), leg(2, 3)]
        assert page_of(legs, 5) == RecordedPage((key(1, 9), key(2, 3), key(2, 7)), last=True)

    def test_full_page_leaves_its_last_millisecond_to_the_next(self) -> None:
        """There may be more in it."""
        assert page_of([leg(1, 1), leg(2, 2), leg(2, 3)], 3) == RecordedPage((key(1, 1),), last=False)

    def test_full_page_of_one_millisecond_says_so(self) -> None:
        """It has to be read by journal."""
        assert page_of([leg(1, 1), leg(1, 2)], 2) is None
        assert crowded_page([leg(1, 1), leg(1, 2)]) == RecordedPage((key(1, 1), key(1, 2)), last=False)


class TestFilter:
    def test_page_begins_behind_the_last_journal(self) -> None:
        """In the same millisecond by id, in later ones with any."""
        recovery = Recovery(since=at(0), until=Timestamp(1, 1))
        assert without_types(legs_after({"B", "A"}, recovery, None, until=None)) == {
            "book": {"$in": ["A", "B"]},
            "timestamp": {"$gte": at(0)},
        }
        assert without_types(legs_after({"A"}, recovery, key(5, 7), until=at(9))) == {
            "book": {"$in": ["A"]},
            "timestamp": {"$gte": at(5), "$lte": at(9)},
            "$or": [{"timestamp": {"$gt": at(5)}}, {"_journal": {"$gt": journal(7)}}],
        }

    def test_everything_begins_with_the_first_time_there_is(self) -> None:
        """Only values that are times: others cannot be put in order."""
        assert legs_after({"A"}, EVERYTHING, None, until=None)["timestamp"]["$gte"].year == 1


@pytest.mark.parametrize(
    ("milliseconds", "since", "expected"),
    [((3, 3), 0, 3), ((3, 5), 0, 3), ((3, 5), 4, 5), ((3, 5), None, 3), ((3,), 4, None), ((), 0, None)],
)
def test_journal_is_met_with_its_first_leg_in_reach(
    milliseconds: tuple[int, ...], since: int | None, expected: int | None
) -> None:
    """Another writer may have given its legs several times; it still comes once."""
    recovery = Recovery(since=None if since is None else at(since), until=Timestamp(1, 1))
    met = begins_at([*(leg(one, 1) for one in milliseconds), {"timestamp": None}], recovery)
    assert met == (None if expected is None else at(expected))


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12)), max_size=40),
    st.integers(1, 7),
    st.randoms(use_true_random=False),
)
def test_pages_together_are_every_journal_in_order(
    recorded: list[tuple[int, int]], limit: int, random: Any
) -> None:
    """Whatever order the server finds legs of one millisecond in, and wherever pages end."""
    legs = [leg(milliseconds, number) for milliseconds, number in recorded]
    found: list[JournalKey] = []
    page = RecordedPage((), last=False)
    while not page.last:
        after = found[-1] if found else None
        random.shuffle(legs)
        rest = [
            one
            for one in legs
            if after is None or (one["timestamp"], one["_journal"]) > (after.recorded_at, after.journal_id)
        ]
        first = sorted(rest, key=lambda one: one["timestamp"])[:limit]
        read = page_of(first, limit)
        if read is None:
            crowded = [one for one in rest if one["timestamp"] == first[0]["timestamp"]]
            read = crowded_page(sorted(crowded, key=lambda one: one["_journal"])[:limit])
        page = read
        found += page.keys
    assert found == [key(*one) for one in sorted(set(recorded))]

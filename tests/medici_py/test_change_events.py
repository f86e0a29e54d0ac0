"""Change documents are read into events, and positions survive being stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import ObjectId
from bson.timestamp import Timestamp

from medici_py.change_events import (
    ChangePosition,
    JournalFlagged,
    JournalInserted,
    LegInserted,
    StoredChange,
    change_pipeline,
    read_change,
)

TOKEN = {"_data": "8263"}
AT = Timestamp(1_700_000_000, 7)
WALL = datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
JOURNAL_ID = ObjectId()


def change_document(operation: str, collection: str, **fields: Any) -> dict[str, Any]:
    namespace = {"db": "bank", "coll": collection}
    return {
        "_id": TOKEN,
        "operationType": operation,
        "clusterTime": AT,
        "wallTime": WALL,
        "ns": namespace,
        **fields,
    }


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(
            change_document("insert", "medici_transactions", fullDocument={"_id": 1}, txnNumber=5),
            LegInserted({"_id": 1}, True, ChangePosition(TOKEN, AT), WALL),
            id="leg in a transaction",
        ),
        pytest.param(
            change_document("insert", "medici_transactions", fullDocument={"_id": 1}),
            LegInserted({"_id": 1}, False, ChangePosition(TOKEN, AT), WALL),
            id="leg by itself, as Node writes it",
        ),
        pytest.param(
            change_document("insert", "medici_journals", fullDocument={"_id": JOURNAL_ID}),
            JournalInserted({"_id": JOURNAL_ID}, ChangePosition(TOKEN, AT), WALL),
            id="journal",
        ),
        pytest.param(
            change_document(
                "update",
                "medici_journals",
                documentKey={"_id": JOURNAL_ID},
                updateDescription={"updatedFields": {"voided": True, "void_reason": "typo"}},
            ),
            JournalFlagged(JOURNAL_ID, "typo", ChangePosition(TOKEN, AT), WALL),
            id="void",
        ),
    ],
)
def test_change_document_is_read(document: dict[str, Any], expected: StoredChange) -> None:
    """Each of the four kinds of change that the pipeline lets through has its event."""
    assert read_change(document) == expected


def test_commit_time_stands_in_for_a_missing_wall_clock() -> None:
    """MongoDB before 6.0 gives whole seconds only."""
    document = change_document("insert", "medici_journals", fullDocument={"_id": JOURNAL_ID})
    del document["wallTime"]
    assert read_change(document).committed_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "position", [ChangePosition(TOKEN, AT), ChangePosition(None, AT), ChangePosition(None, None)]
)
def test_position_survives_being_stored(position: ChangePosition) -> None:
    """What is written to a document and read back is the same place."""
    stored = bson.decode(bson.encode(position.to_document()))
    assert ChangePosition.from_document(stored) == position


@pytest.mark.parametrize(
    ("position", "options"),
    [
        (ChangePosition(TOKEN, AT), {"start_after": TOKEN}),
        (
            ChangePosition(None, AT),
            {"start_at_operation_time": Timestamp(1_700_000_000, 8)},
        ),  # 7 is included before
        (ChangePosition(None, None), {}),
    ],
)
def test_position_says_where_the_stream_begins(position: ChangePosition, options: dict[str, Any]) -> None:
    """A stream begins right after the position, not at it."""
    assert position.watch_options() == options


@pytest.mark.parametrize(
    ("books", "condition"), [(None, {}), ({"b", "a"}, {"fullDocument.book": {"$in": ["a", "b"]}})]
)
def test_pipeline_lets_through_inserts_of_the_books(
    books: set[str] | None, condition: dict[str, Any]
) -> None:
    """The server filters, so that other books cost the reader nothing."""
    inserted = change_pipeline(books)[0]["$match"]["$or"][0]
    expected = {"operationType": "insert", "ns.coll": {"$in": ["medici_journals", "medici_transactions"]}}
    assert inserted == expected | condition


def token(time: int, increment: int, rest: str) -> dict[str, str]:
    return {"_data": f"82{time:08X}{increment:08X}{rest}"}


class TestOrderOfPositions:
    def test_positions_sort_as_they_follow_each_other(self) -> None:
        """Whether MongoDB named them by a change, by an idle moment, or we by a time."""
        in_order = [
            ChangePosition(None, None),
            ChangePosition(token(7, 1, "2B0229296E04"), None),  # everything before 7, 1
            ChangePosition(token(7, 1, "2B022C01002B06"), Timestamp(7, 1)),
            ChangePosition(token(7, 1, "2B022C01002B08"), Timestamp(7, 1)),
            ChangePosition(None, Timestamp(7, 1)),  # everything up to 7, 1
            ChangePosition(token(7, 2, "2B0229296E04"), Timestamp(7, 1)),
            ChangePosition(token(8, 1, "2B022C01002B02"), Timestamp(8, 1)),
            ChangePosition(None, Timestamp(2**32 - 1, 0)),
        ]
        keys = [position.sort_key for position in in_order]
        assert keys == sorted(set(keys))
        assert in_order[1].or_later(in_order[2]) == in_order[2].or_later(in_order[1]) == in_order[2]
        assert in_order[2].or_later(in_order[2]) == in_order[2]

    def test_idle_place_is_after_everything_of_its_moment(self) -> None:
        """The server had nothing more then."""
        change = ChangePosition(token(7, 1, "2B022C01002B08"), Timestamp(7, 1))
        assert change.idle_sort_key == ChangePosition(None, Timestamp(7, 1)).sort_key

    def test_damaged_token_comes_before_everything(self) -> None:
        """So that the server is asked for what follows, and says what it thinks of it."""
        assert ChangePosition({"_data": "nonsense"}, AT).sort_key == ""
        assert ChangePosition({}, AT).sort_key == ""

    def test_events_seen_of_the_next_journal_survive_being_stored(self) -> None:
        """Positions that were stored without them mean none."""
        position = ChangePosition(TOKEN, AT, seen=3)
        assert ChangePosition.from_document(bson.decode(bson.encode(position.to_document()))) == position
        whole = ChangePosition(TOKEN, AT)
        assert whole.to_document() == {"token": TOKEN, "cluster_time": AT}

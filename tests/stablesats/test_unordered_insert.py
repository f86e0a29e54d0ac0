"""Only what is there already may be passed over; whatever else an insert says is an error."""

from typing import Any

import pytest
from pymongo.errors import BulkWriteError

from stablesats.unordered_insert import insert_unordered, repeated

REPEATED = {"index": 2, "code": 11000}
OTHER = {"index": 5, "code": 121}
NOT_LASTING = {"code": 64, "errmsg": "waiting for replication timed out"}


def test_documents_that_repeat_a_unique_value_are_named_by_their_place() -> None:
    """All others of the insert are stored."""
    error = BulkWriteError({"writeErrors": [REPEATED, {"index": 7, "code": 11000}]})
    assert repeated(error) == [2, 7]


@pytest.mark.parametrize(
    "details",
    [
        pytest.param({"writeErrors": [REPEATED, OTHER]}, id="refused-for-another-reason"),
        pytest.param({"writeErrors": [REPEATED], "writeConcernErrors": [NOT_LASTING]}, id="may-not-last"),
        pytest.param(
            {"writeErrors": [], "writeConcernErrors": [NOT_LASTING]}, id="none-refused-may-not-last"
        ),
        pytest.param({}, id="says-nothing"),
    ],
)
def test_any_other_failure_is_raised_as_it_came(details: dict[str, Any]) -> None:
    """Nobody knows then what is stored."""
    error = BulkWriteError(details)
    with pytest.raises(BulkWriteError) as caught:
        repeated(error)
    assert caught.value is error


async def test_nothing_to_insert_asks_no_server() -> None:
    """The server refuses an insert of nothing."""
    assert await insert_unordered(None, []) == []

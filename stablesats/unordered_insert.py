"""Inserting what may be there already."""

from collections.abc import Sequence
from typing import Any, Final

from pymongo.errors import BulkWriteError

_DUPLICATE_KEY: Final = 11000


async def insert_unordered(target: Any, documents: Sequence[Any]) -> list[int]:
    """Insert *documents*; return the places of those that were refused as they repeat a unique value.

    All the others are inserted.

    Args:
        target: A collection, or a Beanie document class.
        documents: What it takes; none is nothing to do.

    Raises:
        BulkWriteError: If anything else went wrong, too.
    """
    if not documents:
        return []
    try:
        await target.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        return repeated(error)
    return []


def repeated(error: BulkWriteError) -> list[int]:
    """Return the places of the documents that were refused only because they repeat a unique value.

    Raises:
        BulkWriteError: *error* itself if anything else went wrong, such as that nobody knows whether what was
            inserted lasts.
    """
    details = error.details or {}
    failures = details.get("writeErrors", [])
    only_repeats = all(failure["code"] == _DUPLICATE_KEY for failure in failures)
    if not failures or not only_repeats or details.get("writeConcernErrors"):
        raise error
    return [failure["index"] for failure in failures]

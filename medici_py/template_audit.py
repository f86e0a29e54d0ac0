"""Finds templates that made journals of a book and are not registered: nothing says what these are."""

from collections.abc import Sequence

from medici_py.differences import UnregisteredTemplate
from medici_py.driver import Document, aggregate
from medici_py.store import TEMPLATES, Store


async def unregistered_templates(store: Store, book: str) -> Sequence[UnregisteredTemplate]:
    """Return a difference for each template and version that made journals of *book* and is not registered.

    The server reads the journals of the book once.
    """
    made = {"book": book, "template.code": {"$type": "string"}, "template.version": {"$type": "number"}}
    stages: list[Document] = [
        {"$match": made},
        {
            "$group": {
                "_id": {"code": "$template.code", "version": "$template.version"},
                "journals": {"$sum": 1},
                "first": {"$min": "$_id"},
            }
        },
        {"$sort": {"_id": 1}},
    ]
    used = [row async for row in await aggregate(store.journals, stages, allowDiskUse=True)]
    # After the journals: what was posted meanwhile was registered before.
    refs = [one["_id"] async for one in store.database[TEMPLATES].find({}, {"_id": 1})]
    return [
        UnregisteredTemplate(book, row["_id"]["code"], row["_id"]["version"], row["journals"], row["first"])
        for row in used
        if row["_id"] not in refs
    ]

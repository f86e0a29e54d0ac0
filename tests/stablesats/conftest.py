"""The dealer's books in a database of their own."""

from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from stablesats.ledger import Ledger


@pytest.fixture
async def ledger(mongo_database: AsyncDatabase[dict[str, Any]], databases: Any) -> Ledger:
    """Empty books, prepared."""
    ledger = Ledger(mongo_database)
    await ledger.prepare()
    databases.note_prepared(mongo_database.name)
    return ledger

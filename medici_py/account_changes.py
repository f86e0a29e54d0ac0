"""The journals of one book as they are committed, all of them or those that touch some accounts."""

from collections.abc import AsyncGenerator, Sequence
from typing import assert_never

from medici_py.accounts import Path, covers
from medici_py.change_events import ChangePosition, JournalChange, JournalPosted, JournalVoided
from medici_py.change_feed import interrupted_at
from medici_py.changes import open_changes
from medici_py.documents import Journal, Transaction
from medici_py.query import accounts_filter
from medici_py.store import Store


async def watch_accounts(
    store: Store,
    book: str,
    paths: Sequence[Path] | None,
    *,
    after: ChangePosition | None,
    journal_model: type[Journal],
    transaction_model: type[Transaction],
) -> AsyncGenerator[JournalChange]:
    """Yield the changes of *book* that have a leg on one of *paths* or below; all of them for None."""
    changes = open_changes(
        store.database, {book}, after=after, journal_model=journal_model, transaction_model=transaction_model
    )
    async with changes:
        while True:
            before = changes.position
            change = await anext(changes)
            with interrupted_at(before):
                wanted = paths is None or await _touches(store, change, paths)
            if wanted:
                yield change


async def _touches(store: Store, change: JournalChange, paths: Sequence[Path]) -> bool:
    match change:
        case JournalPosted():
            return any(covers(path, leg.account_path) for leg in change.transactions for path in paths)
        case JournalVoided():
            legs = {"_journal": change.journal_id, **accounts_filter(paths)}
            return await store.latest_transactions.find_one(legs, {"_id": 1}) is not None
        case _:
            assert_never(change)

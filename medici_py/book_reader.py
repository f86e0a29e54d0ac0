"""`BookReader`: what a book is asked about its legs, and who answers it."""

import datetime as dt
from collections.abc import AsyncIterator, Callable

from medici_py.accounts import with_ancestors
from medici_py.balances import Balance, BalanceEngine, EntrySums
from medici_py.book_settings import BookSettings
from medici_py.documents import Transaction
from medici_py.driver import aggregate, refusing_standalone
from medici_py.history import History
from medici_py.ledger import LedgerPage, LedgerReader, PageRange
from medici_py.query import LegQuery
from medici_py.reads import asking
from medici_py.running_balances import RunningBalances, StateOf
from medici_py.store import ReadOptions, Store


class BookReader:
    """Answers questions about one book; safe to use from any number of tasks.

    Each method raises `InvalidQueryError` if the server cannot read the conditions of its query, and
    `UnsupportedDeploymentError` if the server has no snapshots.

    Args:
        store: The database.
        settings: The book.
        state_of: How a book is kept.
        clock: The time, which decides from where the past is read.
    """

    def __init__(
        self, store: Store, settings: BookSettings, state_of: StateOf, clock: Callable[[], dt.datetime]
    ) -> None:
        self._store = store
        self._book = settings.name
        self._engine: BalanceEngine = RunningBalances(
            store,
            state_of,
            entries=EntrySums(store, precision=settings.precision),
            history=History(store, precision=settings.precision, clock=clock),
        )
        self._ledger = LedgerReader(store, settings.transaction_model)

    async def balance(self, query: LegQuery, options: ReadOptions) -> Balance:
        """Return the balance over the legs that *query* matches.

        Raises:
            UnreadableDocumentError: If one stores an amount that is no number.
        """
        with asking(query):
            return Balance.of(await self._engine.turnover(query, options))

    async def balances(self, query: LegQuery, options: ReadOptions) -> dict[str, Balance]:
        """Return the balance of every account on and below *query*'s paths that has a matching leg.

        Raises:
            UnreadableDocumentError: If one stores an amount that is no number.
        """
        with asking(query):
            return await self._engine.by_account(query, options)

    async def page(
        self, query: LegQuery, options: ReadOptions, page: PageRange | None, *, oldest_first: bool
    ) -> LedgerPage[Transaction]:
        """Return a page of the legs that *query* matches, all of them for None, and how many there are."""
        with asking(query):
            return await self._ledger.page(query, options, page, oldest_first=oldest_first)

    def stream(
        self, query: LegQuery, options: ReadOptions, *, oldest_first: bool
    ) -> AsyncIterator[Transaction]:
        """Iterate over the legs that *query* matches, each exactly once; see `LedgerReader.stream`."""
        return self._ledger.stream(query, options, oldest_first=oldest_first)

    async def accounts(self, options: ReadOptions) -> list[str]:
        """Return every account that has a leg and everything above one, sorted by code point."""
        legs = self._store.transactions_for(options)
        with refusing_standalone():
            # Not distinct(), whose whole answer has to fit into one document of 16 MB.
            rows = await aggregate(
                legs,
                [{"$match": {"book": self._book}}, {"$group": {"_id": "$accounts"}}],
                session=options.session,
            )
            found = [row["_id"] async for row in rows]
        return with_ancestors(account for account in found if isinstance(account, str))

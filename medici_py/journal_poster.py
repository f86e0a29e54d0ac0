"""Posts the entries of one book: makes them ready, and hands them to the desk that writes them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeAlias

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from medici_py.accounts import join
from medici_py.documents import Journal
from medici_py.driver import has_transaction
from medici_py.entry import Entry, WriteLocks, lock_targets
from medici_py.entry_documents import leg_documents
from medici_py.entry_rules import EntryRules
from medici_py.errors import TransactionError
from medici_py.posting import OutdatedPlanError
from medici_py.posting_answers import Journals
from medici_py.posting_desk import PostingDesk
from medici_py.posting_desks import desk_of
from medici_py.posting_plan import Plan, plan_entry
from medici_py.store import Store
from medici_py.template_registry import require_registered
from medici_py.under_way import UnderWay

Entries: TypeAlias = Sequence[tuple[Entry, "JournalPoster"]]
"""Entries that stand or fall together, each with the poster of its book."""


class JournalPoster:
    """Writes the journals of one book, each in a MongoDB transaction, whole or not at all.

    Safe to use from any number of tasks of one event loop.

    Args:
        store: The database.
        rules: What the book demands of its entries.
        clock: Where the recorded time comes from.
        running_balances: Whether this library alone writes the book.
        group_commit: Whether entries may share a transaction.
    """

    def __init__(
        self,
        store: Store,
        rules: EntryRules,
        clock: Callable[[], datetime],
        *,
        running_balances: bool,
        group_commit: bool,
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._running_balances = running_balances
        self._group_commit = group_commit
        self.under_way = UnderWay(rules.book)
        self._desk: PostingDesk | None = None
        self._desk_loop: asyncio.AbstractEventLoop | None = None

    @property
    def store(self) -> Store:
        """The database."""
        return self._store

    def shares_database_with(self, other: "JournalPoster") -> bool:
        """Whether one transaction can hold the entries of both."""
        return self.is_in_database_of(other.store) and self._store.codec_options == other.store.codec_options

    def is_in_database_of(self, store: Store) -> bool:
        """Whether its journals are in the database of *store*, and of the same client."""
        mine = self._store
        return mine.client is store.client and mine.database.name == store.database.name

    @property
    def desk(self) -> PostingDesk:
        """What all books of the database share in this process; of the running event loop."""
        loop = asyncio.get_running_loop()
        if self._desk is None or self._desk_loop is not loop:
            self._desk, self._desk_loop = desk_of(self._store), loop
        return self._desk

    async def close(self) -> None:
        """Refuse further calls, wait for those under way, and free the stripes that nobody here uses."""
        await self.under_way.close()
        if self._desk is not None and self._desk_loop is asyncio.get_running_loop():
            # An entry whose caller was cancelled may still be under way.
            await self._desk.settle()

    async def post(
        self, entry: Entry, *, session: AsyncClientSession | None, writelock_accounts: WriteLocks | None
    ) -> Journal:
        """Write *entry* and return its journal; one that stands already is returned as it is.

        Raises:
            TransactionError: If it is refused or cannot be saved; nothing was written.
            UnknownOutcomeError: If the server could not be asked whether it committed.
        """
        with self.under_way:
            desk = self.desk
            plan = await self.plan(desk, entry, writelock_accounts)
            try:
                (journal,) = await self._post(desk, (plan,), session)
            except OutdatedPlanError:
                (journal,) = await self.post_together([(entry, self)], session, writelock_accounts)
            return journal

    async def preview(self, entry: Entry, *, session: AsyncClientSession | None) -> Journal:
        """Return the journal that `post` would, and write nothing.

        Raises:
            TransactionError: If `post` would refuse it; or if *session* has an open transaction.
        """
        with self.under_way:
            (journal,) = await self.preview_together([(entry, self)], session)
            return journal

    async def post_together(
        self,
        entries: "Entries",
        session: AsyncClientSession | None,
        writelock_accounts: WriteLocks | None = None,
    ) -> Journals:
        """Post *entries*, of books of one database, all or nothing; see `PostingDesk.post`.

        Args:
            entries: Each with the poster of its book.
            session: The caller's session, if any.
            writelock_accounts: Accounts to lock.
        """

        async def post(plans: Sequence[Plan]) -> Journals:
            return await self._post(self.desk, plans, session)

        return await self._planned(entries, writelock_accounts, post)

    async def preview_together(self, entries: "Entries", session: AsyncClientSession | None) -> Journals:
        """Return the journals that `post_together` would, and write nothing.

        Raises:
            TransactionError: If it would refuse them; or if *session* has an open transaction.
        """
        if has_transaction(session):
            raise TransactionError(
                "A dry run needs a transaction of its own, which it rolls back; give a session without one."
            )

        async def preview(plans: Sequence[Plan]) -> Journals:
            return await self.desk.preview(session, plans)

        return await self._planned(entries, None, preview)

    async def _planned(
        self,
        entries: "Entries",
        writelock_accounts: WriteLocks | None,
        act: Callable[[Sequence[Plan]], Awaitable[Journals]],
    ) -> Journals:
        """Make *entries* ready and act; once more if somebody else begins a book of theirs meanwhile."""
        desk = self.desk

        async def plans() -> list[Plan]:
            return [await poster.plan(desk, entry, writelock_accounts) for entry, poster in entries]

        try:
            return await act(await plans())
        except OutdatedPlanError:
            # How the book is kept is stored now, and cannot be outdated again.
            return await act(await plans())

    async def plan(self, desk: PostingDesk, entry: Entry, writelock_accounts: WriteLocks | None) -> Plan:
        """Make *entry* ready to be posted.

        Raises:
            TransactionError: If its legs do not fit the book's transaction model, or the server could not be
                asked about template or book.
            TemplateError: If the template that made them is not registered, or not as it is.
            RunningBalancesError: If the book must not be written without running balances.
        """
        if entry.template is not None:
            try:
                await require_registered(self._store.database, entry.template)
            except PyMongoError as exc:
                raise TransactionError(
                    f"Failure to save journal: template {entry.template} could not be looked up: {exc}"
                ) from exc
        if writelock_accounts is None:
            locks: Sequence[str] = ()
        else:
            locks = lock_targets(writelock_accounts, (join(leg.path) for leg in entry.legs))
        if self._rules.checks_legs:
            leg_documents(entry, recorded_at=self._clock())
        rules, kept = self._rules, self._running_balances
        state = desk.remembered_state(rules, running_balances=kept)
        if state is None:
            state = await desk.state_for_posting(rules, running_balances=kept)
        return plan_entry(entry, state, locks=locks, clock=self._clock)

    def _post(
        self, desk: PostingDesk, plans: Sequence[Plan], session: AsyncClientSession | None
    ) -> Awaitable[Journals]:
        if session is None:
            # Without transactions nothing would be taken back before a failing batch is halved.
            shared = self._group_commit and self._store.capabilities.transactions
            return desk.post(plans, shared=shared)
        if has_transaction(session):
            return desk.join(session, plans)
        return desk.post_in(session, plans)

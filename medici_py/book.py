"""`Book`: the face of the library. Its methods parse what the caller gave and delegate."""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, Self, Unpack

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from medici_py.accounts import AccountLike, parse_query_paths
from medici_py.allowed_accounts import AllowedAccountsLike
from medici_py.balances import Balance
from medici_py.batch import EntryBatch
from medici_py.book_reader import BookReader
from medici_py.book_settings import (
    DEFAULT_MAX_ACCOUNT_PATH,
    DEFAULT_PRECISION,
    DEFAULT_SNAPSHOT_SEC,
    BookSettings,
    DimensionsLike,
    expiry_secs,
    parse_dimensions,
)
from medici_py.book_state import BookState
from medici_py.book_upkeep import BookUpkeep
from medici_py.change_buffer import Overflow
from medici_py.change_events import ChangePosition
from medici_py.change_filter import ALL_KINDS, ChangeFilter, followed_books
from medici_py.change_start import parse_start
from medici_py.change_subscription import ChangeSubscription
from medici_py.documents import Journal, Transaction
from medici_py.driver import (
    Database,
    Document,
    Session,
    adopt_session,
    has_transaction,
    is_database,
)
from medici_py.durable_position import DEFAULT_MARGIN
from medici_py.durable_subscription import DEFAULT_IDLE_SECS, DurableSubscription, Start
from medici_py.entry import Entry, listed_accounts
from medici_py.entry_rules import EntryRules
from medici_py.errors import (
    BookConstructorError,
    InvalidQueryError,
    JournalNotFoundError,
    TransactionError,
)
from medici_py.group_commit import CommitStats
from medici_py.instants import InstantLike
from medici_py.journal_poster import JournalPoster
from medici_py.leases import DEFAULT_TTL_SECS
from medici_py.ledger import LedgerPage, parse_page
from medici_py.leg_fields import entry_text
from medici_py.money import DecimalStorage
from medici_py.query import LegQuery, parse_leg_query, parse_object_id
from medici_py.reads import Reads, read_options
from medici_py.rebuild import RebuildProgress, RebuildReport
from medici_py.rollups import RollUpProgress, RollUpReport
from medici_py.steady_clock import recording_clock
from medici_py.store import Store
from medici_py.subscription_filter import DEFAULT_KINDS
from medici_py.templates import TransactionTemplate
from medici_py.verify import VerifyProgress, VerifyReport
from medici_py.voiding import JournalVoider


class Book:
    """A named set of journals in a database, and all that can be asked of it.

    Making one costs nothing and touches no server; any number may exist for one book, in any number of
    processes and tasks. Run `init_models` once before the first entry.

    Numbers that are None mean their default, as in medici.

    Args:
        name: Any text that is not blank.
        database: A database of ``pymongo.AsyncMongoClient`` or ``motor.motor_asyncio.AsyncIOMotorClient``.
        precision: Decimal places an amount may have; more are refused, nothing is rounded.
        max_account_path: Parts an account may have.
        balance_snapshot_sec: Accepted for books configured for medici. No answer is ever older than the
            entries.
        expire_balance_snapshot_sec: The same; twice *balance_snapshot_sec* if left out.
        dimensions: Names (``("currency", "layer")``) or names with defaults
            (``{"currency": None, "layer": "SETTLED"}``) in each of which debits must equal credits.
        allowed_accounts: The accounts that legs of new entries may be on, ``["Cash", "Income"]``, or with the
            values that they may have in a dimension there, ``{"Cash": {"currency": ["BTC"]}}``; any if left
            out. Reads, and voids of what stands there, are not restricted.
        decimal_storage: ``"decimal128"``, or ``"double"`` for a book that Node's medici reads with fractions.
        running_balances: True if only this library writes the book: balances are then kept in the same
            transaction as the entries, from the first entry on. False for a book that Node also writes,
            whose legs get their ids from the server and whose balances are sums over them.
        group_commit: Whether concurrent commits of this process may share a MongoDB transaction; nothing
            that a caller can see depends on it but speed.
        transaction_model: A subclass of `Transaction`; its fields are top-level in a leg.
        journal_model: A subclass of `Journal`; its own fields need defaults, which each journal stores.
        clock: Where the recorded time comes from: by default the wall clock, which may be set back without
            taking recorded times along (`medici_py.steady_clock`).

    Raises:
        BookConstructorError: If a parameter is outside what it accepts.
    """

    def __init__(
        self,
        name: str,
        database: Database,
        *,
        precision: int | None = DEFAULT_PRECISION,
        max_account_path: int | None = DEFAULT_MAX_ACCOUNT_PATH,
        balance_snapshot_sec: float | None = DEFAULT_SNAPSHOT_SEC,
        expire_balance_snapshot_sec: float | None = None,
        dimensions: DimensionsLike = (),
        allowed_accounts: AllowedAccountsLike | None = None,
        decimal_storage: DecimalStorage = "decimal128",
        running_balances: bool = True,
        group_commit: bool = True,
        transaction_model: type[Transaction] = Transaction,
        journal_model: type[Journal] = Journal,
        clock: Callable[[], dt.datetime] = recording_clock,
    ) -> None:
        snapshot_sec = DEFAULT_SNAPSHOT_SEC if balance_snapshot_sec is None else balance_snapshot_sec
        self.settings = settings = BookSettings(
            name=name,
            precision=DEFAULT_PRECISION if precision is None else precision,
            max_account_path=DEFAULT_MAX_ACCOUNT_PATH if max_account_path is None else max_account_path,
            balance_snapshot_sec=snapshot_sec,
            expire_balance_snapshot_sec=(
                expiry_secs(snapshot_sec)
                if expire_balance_snapshot_sec is None
                else expire_balance_snapshot_sec
            ),
            dimensions=parse_dimensions(dimensions),
            decimal_storage=decimal_storage,
            running_balances=running_balances,
            group_commit=group_commit,
            transaction_model=transaction_model,
            journal_model=journal_model,
            allowed_accounts=allowed_accounts,
        )
        if not is_database(database):
            raise BookConstructorError(
                f"Invalid value for database provided. Found {type(database)!r}, give a database of "
                "pymongo.AsyncMongoClient or motor's AsyncIOMotorClient."
            )
        self.name = name
        self._store = Store(database)
        self._rules = EntryRules.of(settings, self._store.codec_options)
        self._clock = clock
        self._poster = JournalPoster(
            self._store, self._rules, clock, running_balances=running_balances, group_commit=group_commit
        )
        self._voider = JournalVoider(self._store, self._rules, clock, running_balances=running_balances)
        self._reader = BookReader(self._store, settings, self._state, clock)
        self._upkeep = BookUpkeep(settings, self._rules, self._poster, clock)

    def __repr__(self) -> str:
        return f"<Book {self.name!r} in {self._store.database.name!r}>"

    @property
    def database(self) -> AsyncDatabase[Document]:
        """The database of the book, reading aware UTC datetimes; of Motor if that is what was given."""
        return self._store.database

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Refuse further entries and voids, and wait for those under way. Reading goes on. Idempotent.

        Other books of the same name are not affected; the client is the caller's to close.
        """
        await self._poster.close()

    def entry(
        self,
        memo: str,
        *,
        date: InstantLike | None = None,
        original_journal: ObjectId | str | None = None,
        key: str | None = None,
    ) -> Entry:
        """Begin an entry; nothing is written before its ``commit()``.

        Args:
            memo: What happened.
            date: Effective date; the recorded time if left out.
            original_journal: The journal this one follows from, stored on every leg.
            key: Idempotency key, unique in the book: a second entry under it is not posted, and its commit
                returns the first journal with ``replayed=True``; also across processes and crashes.

        Raises:
            TransactionError: If an argument is refused; the error names it.
        """
        return Entry(memo, self._rules, self._poster, date=date, original_journal=original_journal, key=key)

    def batch(self, *, session: Session | None = None) -> EntryBatch:
        """Gather entries that are posted together when the block ends, or not at all.

        They may be of several books of one database: ``async with book.batch() as batch: batch.add(entry)``.

        Args:
            session: The caller's session, as in ``commit()``.
        """
        return EntryBatch(self._poster, adopt_session(session))

    @property
    def commit_stats(self) -> CommitStats:
        """What the shared committer of this database has done in this process; of the running event loop."""
        return self._poster.desk.stats

    async def balance(
        self,
        account: AccountLike | None = None,
        extra: Mapping[str, Any] | None = None,
        *,
        start_date: InstantLike | None = None,
        end_date: InstantLike | None = None,
        start_tx_id: ObjectId | str | None = None,
        end_tx_id: ObjectId | str | None = None,
        at: InstantLike | None = None,
        **reads: Unpack[Reads],
    ) -> Balance:
        """Return credits minus debits of *account* and everything below it.

        With running balances it reads a few rows, whatever the number of entries, unless *extra* names more
        than dimensions.

        Args:
            account: A path, a list of paths (their union, each leg counted once), or None for the book.
            extra: What else legs must match: fields of the model by stored name, any other key in meta.
                Values may be query operators; wrap untrusted ones in `exactly`.
            start_date: Earliest effective date, inclusive.
            end_date: Latest effective date, inclusive.
            start_tx_id: Only legs with a greater id.
            end_tx_id: Only legs with this id or a smaller one.
            at: What the book said at that time: only legs recorded then or before.
            **reads: ``session``, ``read_preference``, ``read_concern``.

        Raises:
            InvalidQueryError: If an argument cannot mean anything.
            UnreadableDocumentError: If a matching leg stores an amount that is no number.
        """
        query = self._query(
            account,
            extra,
            start_date=start_date,
            end_date=end_date,
            start_tx_id=start_tx_id,
            end_tx_id=end_tx_id,
            at=at,
        )
        return await self._reader.balance(query, read_options(reads))

    async def balances(
        self,
        account: AccountLike | None = None,
        extra: Mapping[str, Any] | None = None,
        **reads: Unpack[Reads],
    ) -> dict[str, Balance]:
        """Return the balance of *account* and of every account below it, in one query.

        Args:
            account: As in `balance`.
            extra: As in `balance`.
            **reads: ``session``, ``read_preference``, ``read_concern``.

        Returns:
            What `balance` says of each account that has a matching leg on it or below, by account, sorted;
            all of one moment.

        Raises:
            InvalidQueryError: If an argument cannot mean anything.
            UnreadableDocumentError: If a matching leg stores an amount that is no number.
        """
        return await self._reader.balances(self._query(account, extra), read_options(reads))

    async def ledger(
        self,
        account: AccountLike | None = None,
        extra: Mapping[str, Any] | None = None,
        *,
        start_date: InstantLike | None = None,
        end_date: InstantLike | None = None,
        per_page: int | None = None,
        page: int | None = None,
        reverse: bool = False,
        **reads: Unpack[Reads],
    ) -> LedgerPage[Transaction]:
        """Return legs, newest first: by effective date, then recorded time, then id.

        Args:
            account: As in `balance`.
            extra: As in `balance`.
            start_date: As in `balance`.
            end_date: As in `balance`.
            per_page: Legs on a page; all of them if left out.
            page: Number of the page, from 1.
            reverse: Oldest first.
            **reads: ``session``, ``read_preference``, ``read_concern``.

        Returns:
            The legs and how many there are on all pages, both of the same moment.

        Raises:
            InvalidQueryError: If an argument cannot mean anything.
        """
        query = self._query(account, extra, start_date=start_date, end_date=end_date)
        pages = parse_page(per_page, page)
        return await self._reader.page(query, read_options(reads), pages, oldest_first=reverse)

    def stream(
        self,
        account: AccountLike | None = None,
        extra: Mapping[str, Any] | None = None,
        *,
        start_date: InstantLike | None = None,
        end_date: InstantLike | None = None,
        reverse: bool = False,
        **reads: Unpack[Reads],
    ) -> AsyncIterator[Transaction]:
        """Iterate over legs in the order of `ledger`, each exactly once, in constant memory.

        Raises:
            InvalidQueryError: If an argument cannot mean anything; at the call, not at the first leg.
        """
        query = self._query(account, extra, start_date=start_date, end_date=end_date)
        return self._reader.stream(query, read_options(reads), oldest_first=reverse)

    async def void(
        self,
        journal_id: ObjectId | str,
        reason: str | None = None,
        *,
        use_original_date: bool = False,
        session: Session | None = None,
    ) -> Journal:
        """Void a journal: mark it and its legs, and post a journal with the sides swapped.

        All or nothing; of several at once exactly one succeeds. With a session whose transaction is open
        it joins that one.

        Args:
            journal_id: The journal, as an ObjectId or its 24 hexadecimal digits.
            reason: Text stored as ``void_reason`` and as memo of the reversal; made from the memo if empty.
            use_original_date: Whether the reversal takes effect when the journal did, instead of now.
            session: The caller's session.

        Returns:
            The reversing journal.

        Raises:
            JournalNotFoundError: If this book has no such journal.
            JournalAlreadyVoidedError: If it is voided already.
            ConsistencyError: If somebody else changed it meanwhile.
            IncompleteJournalError: If its legs are not all there.
            UnreadableDocumentError: If it, or a leg, cannot be read as what it is.
            TransactionError: If it has nothing to reverse, or the reversal cannot be saved.
            UnknownOutcomeError: If the server could not be asked whether it committed.
        """
        text = None if reason is None else entry_text("reason", reason)
        try:
            wanted = parse_object_id("journal_id", journal_id)
        except InvalidQueryError as exc:
            raise JournalNotFoundError(journal_id=journal_id, book=self.name) from exc
        with self._poster.under_way:
            return await self._voider.void(
                self._poster.desk,
                wanted,
                text,
                use_original_date=use_original_date,
                session=adopt_session(session),
            )

    def changes(
        self,
        account: AccountLike | None = None,
        *,
        kinds: Collection[type] = ALL_KINDS,
        template: TransactionTemplate[Any] | str | None = None,
        books: Collection["Book | str"] | None = None,
        after: ChangePosition | Mapping[str, Any] | dt.datetime | None = None,
        buffer: int = 1_000,
        on_overflow: Overflow = Overflow.WAIT,
    ) -> ChangeSubscription:
        """Subscribe to what is committed, in commit order, without end.

        A journal gives a `JournalPosted`, then a `BalanceChanged` for each account that it moved and for each
        one above; a void gives a `JournalVoided`, then what its reversal gives. All subscriptions of a
        database share one change stream of the process; see `medici_py.change_subscription`.

        Args:
            account: Only journals with a leg on these accounts or below, and only their balances; as in
                `balance`.
            kinds: Only these of `JournalPosted`, `JournalVoided` and `BalanceChanged`.
            template: Only journals that this template made, or any with its code.
            books: Other books of the database, this one only if it is among them; a name is read with the
                settings of this book.
            after: Where to go on: the ``position`` of an earlier event or the document it was stored as, a
                resume token, or a time after which it was committed. From now on if left out.
            buffer: Events that may wait for the reader.
            on_overflow: What happens when it is too slow for that.

        Raises:
            InvalidQueryError: If an argument cannot mean anything; at the call.
        """
        wanted = ChangeFilter.of(followed_books(self, books), parse_query_paths(account), kinds, template)
        return ChangeSubscription(
            self._store, wanted, parse_start(after), buffer=buffer, on_overflow=on_overflow
        )

    def subscribe(
        self,
        name: str,
        account: AccountLike | None = None,
        *,
        kinds: Collection[type] = DEFAULT_KINDS,
        template: TransactionTemplate[Any] | str | None = None,
        books: Collection["Book | str"] | None = None,
        start: Start = "now",
        holder: str | None = None,
        lease_ttl_secs: float = DEFAULT_TTL_SECS,
        idle_secs: float = DEFAULT_IDLE_SECS,
        recovery_margin: dt.timedelta = DEFAULT_MARGIN,
    ) -> DurableSubscription:
        """Return the durable subscription *name*: its place in the changes is stored, and no crash loses one.

        Of all that have its name, in any process, one is active. It delivers at least once and in order, or
        exactly once together with what a handler writes; see `medici_py.durable_subscription`.

        Args:
            name: Unique in the database; the first to use it fixes what it asks for.
            account: Only journals with a leg on these accounts or below, as in `balance`.
            kinds: Types of the events wanted. `HistoryRecovered` comes in any case.
            template: Only journals that this template made, or any with its code.
            books: Books of this database, or names of such; this one if left out.
            start: Where a new subscription begins: ``"now"``, ``"beginning"`` (every journal there is), a
                `ChangePosition`, or an aware time. An existing one goes on where it is.
            holder: Who this is, for people to read; host and process if left out.
            lease_ttl_secs: How long after a crash another may take over.
            idle_secs: How often the stored position moves on while nothing comes.
            recovery_margin: How long before its commit a journal can have been recorded.

        Raises:
            InvalidQueryError: If an argument cannot mean anything.
        """
        wanted = ChangeFilter.of(followed_books(self, books), parse_query_paths(account), kinds, template)
        return DurableSubscription(
            self._store,
            name,
            wanted,
            start=start,
            holder=holder,
            lease_ttl_secs=lease_ttl_secs,
            idle_secs=idle_secs,
            recovery_margin=recovery_margin,
        )

    async def list_accounts(self, **reads: Unpack[Reads]) -> list[str]:
        """Return every account of the book and everything above one, sorted by code point."""
        return await self._reader.accounts(read_options(reads))

    async def writelock_accounts(self, accounts: Sequence[str], *, session: Session) -> "Book":
        """Lock *accounts* until the transaction of *session* ends, against others that lock them.

        Two transactions that lock one account conflict: the later one runs again and sees the earlier
        one's entries. Post, read the balance, raise if it is too low, lock last.

        Raises:
            TransactionError: If *session* has no open transaction, which is what holds the locks; or if
                *accounts* is no list: a pattern is for ``commit()``, which has accounts to try it on.
        """
        joined = adopt_session(session)
        if self._store.capabilities.transactions and not has_transaction(joined):
            raise TransactionError(
                "Write locks need a session with an open transaction; run the work in mongo_transaction()."
            )
        await self._store.lock_accounts(
            listed_accounts(accounts), book=self.name, now=self._clock(), session=joined
        )
        return self

    async def verify(self, *, progress: Callable[[VerifyProgress], None] | None = None) -> VerifyReport:
        """Recompute everything from the entries, in constant memory, and name what does not agree.

        Safe while others post. ``report.clean`` says whether the book is sound; see `medici_py.verify`.

        Args:
            progress: Called now and then with how far it is.

        Raises:
            SnapshotExpiredError: If the server did not keep its snapshot for as long as it took.
            UnsupportedDeploymentError: If the server has no transactions.
        """
        return await self._upkeep.verify(progress)

    async def rebuild_balances(
        self, *, progress: Callable[[RebuildProgress], None] | None = None
    ) -> RebuildReport:
        """Make the running balances what the entries say; or drop them, if this `Book` is to have none.

        Safe while others post in the same way. To move a book from one way to the other, stop its writers.

        Args:
            progress: Called now and then with how far it is.

        Raises:
            RebuildConflictError: If another rebuild runs.
            DimensionsChangedError: If the running balances were kept for other dimensions.
            CorrectionTooLargeError: If a balance is more than a row can hold.
            SnapshotExpiredError: If the server did not keep its snapshot for as long as it took.
        """
        return await self._upkeep.rebuild_balances(progress)

    async def roll_up(self, *, progress: Callable[[RollUpProgress], None] | None = None) -> RollUpReport:
        """Roll the entries up to last midnight, so that balances of the past stay quick; run it daily.

        Safe while others post, and exact if it is killed: the next run goes on where it stopped.

        Args:
            progress: Called now and then with how far it is.

        Raises:
            RollUpRefusedError: If the book keeps no running balances.
            RollUpUnderWayError: If another process rolls the book up.
        """
        return await self._upkeep.roll_up(progress)

    async def _state(self, book: str) -> BookState:
        return await self._poster.desk.state_for_reading(book)

    def _query(self, account: AccountLike | None, extra: Mapping[str, Any] | None, **bounds: Any) -> LegQuery:
        return parse_leg_query(
            self.name,
            account,
            extra,
            **bounds,
            model=self.settings.transaction_model,
            codec_options=self._rules.codec_options,
        )

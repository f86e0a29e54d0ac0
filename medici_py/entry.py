"""The entry builder: debits and credits gathered until they are committed as one journal.

Everything here is pure until `Entry.commit`, which hands the entry to the book's poster. Ids are fixed
when the entry and its legs are made, before the first attempt to write: whatever is tried again writes
the same documents, and the server refuses the second copy.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeAlias

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from medici_py.accounts import AccountLike, Path, parse_posting_path
from medici_py.bson_values import is_utf8
from medici_py.documents import Journal
from medici_py.driver import Session, adopt_session
from medici_py.entry_rules import EntryRules
from medici_py.errors import TransactionError
from medici_py.instants import InstantLike
from medici_py.journal_header import JournalHeader
from medici_py.leg_fields import entry_instant, entry_object_id, entry_text, split_extra
from medici_py.money import EXACT, ZERO, AmountLike, exact_sum, parse_amount
from medici_py.object_ids import new_object_id

if TYPE_CHECKING:
    from medici_py.templates import TransactionTemplate

MAX_KEY_BYTES = 512
"""The longest idempotency key, in UTF-8."""

_NEITHER = ZERO, ZERO
_UNBOUNDED = None, None

WriteLocks: TypeAlias = Sequence[str] | re.Pattern[str]
"""Accounts to lock: a list, or a pattern that is searched for in the account of each leg."""


class Leg(NamedTuple):
    """A debit or a credit of an entry that is being built.

    Attributes:
        id: Its ``_id``, unless the server makes it.
        path: The account.
        debit: Amount on the debit side, or zero.
        credit: Amount on the credit side, or zero.
        fields: Top-level fields set by the caller, under their stored names.
        meta: Everything else the caller attached.
        min_balance: Lowest balance that the account may have after the entry; None for no bound.
        max_balance: Highest balance.
    """

    id: ObjectId
    path: Path
    debit: Decimal
    credit: Decimal
    fields: Mapping[str, Any]
    meta: Mapping[str, Any]
    min_balance: Decimal | None = None
    max_balance: Decimal | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether the account has to keep a bound."""
        return self.min_balance is not None or self.max_balance is not None


class Poster(Protocol):
    """Writes a finished entry."""

    async def post(
        self, entry: "Entry", *, session: AsyncClientSession | None, writelock_accounts: WriteLocks | None
    ) -> Journal:
        """Write *entry* and return its journal."""

    async def preview(self, entry: "Entry", *, session: AsyncClientSession | None) -> Journal:
        """Return the journal that `post` would, and write nothing."""


class Entry:
    """A journal in the making.

    Build it with `debit` and `credit`, which return the entry itself, then `commit`. Not meant to be
    shared between tasks while it is being built.
    """

    def __init__(
        self,
        memo: str,
        rules: EntryRules,
        poster: Poster,
        *,
        date: InstantLike | None = None,
        original_journal: ObjectId | str | None = None,
        key: str | None = None,
    ) -> None:
        self.id = new_object_id()
        self.memo = entry_text("memo", memo)
        self.rules = rules
        self.date = None if date is None else entry_instant("date", date)
        self.original_journal = (
            None if original_journal is None else entry_object_id("original_journal", original_journal)
        )
        self.key = None if key is None else _entry_key(key)
        self.header: JournalHeader | None = None
        self.template: TransactionTemplate[Any] | None = None  # of which all legs are, once it is set
        self._poster = poster
        self._legs: list[Leg] = []
        self._final_legs: tuple[Leg, ...] | None = None
        self._journal: Journal | None = None
        self._sealed = False
        self.was_tried = False
        """Whether a transaction has written it, so that it may stand although nobody here knows."""

    def __repr__(self) -> str:
        state = "posted" if self._journal else "committed" if self._sealed else "open"
        return f"<Entry {self.memo!r} in {self.rules.book!r}: {len(self._legs)} legs, {state}>"

    @property
    def legs(self) -> tuple[Leg, ...]:
        """The legs so far, in the order they were added."""
        return tuple(self._legs) if self._final_legs is None else self._final_legs

    def debit(
        self,
        account: AccountLike,
        amount: AmountLike,
        extra: Mapping[str, Any] | None = None,
        *,
        min_balance: AmountLike | None = None,
        max_balance: AmountLike | None = None,
    ) -> Self:
        """Add a debit.

        A bound is on what `Book.balance` says of the account after the whole entry: credits minus debits of
        it and everything below it, in the leg's values of the book's dimensions. It is checked where the
        entry is written, against whatever else is committed by then, so that no two entries can pass it
        together, in however many processes they are posted.

        Args:
            account: ``"Assets:Cash"`` or ``["Assets", "Cash"]``.
            amount: In the book's unit: int, Decimal, str, or float at its shortest text.
            extra: Fields of the transaction model by their stored names; every other key goes under
                ``meta``. Copied now.
            min_balance: Lowest balance allowed after the entry; `InsufficientBalanceError` at the commit.
            max_balance: Highest balance allowed after the entry; `BalanceLimitError` at the commit.

        Raises:
            InvalidAccountPathError: If the account cannot be posted to.
            AccountNotAllowedError: If the book has no such account, or takes no such leg there.
            TransactionError: If the amount, a bound or a key is refused, or the entry was committed before.
        """
        path, value = self._parse(account, amount)
        return self._add(path, value, ZERO, extra, self._bounds(min_balance, max_balance))

    def credit(
        self,
        account: AccountLike,
        amount: AmountLike,
        extra: Mapping[str, Any] | None = None,
        *,
        min_balance: AmountLike | None = None,
        max_balance: AmountLike | None = None,
    ) -> Self:
        """Add a credit; as `debit`."""
        path, value = self._parse(account, amount)
        return self._add(path, ZERO, value, extra, self._bounds(min_balance, max_balance))

    def head(self, header: JournalHeader, template: "TransactionTemplate[Any]") -> Self:
        """Set what the journal says of itself; the legs are all there, and no more are taken.

        Args:
            header: Template, correlation and external id, metadata.
            template: What made the legs; the entry is posted only if it is registered.

        Raises:
            TransactionError: If the entry was committed before.
        """
        self._refuse_if_sealed()
        self.header, self.template = header, template
        return self

    @property
    def header_content(self) -> Mapping[str, Any]:
        """What a repeat under the entry's key must have in common with it beside legs, memo and date."""
        return {} if self.header is None else self.header.content()

    async def commit(
        self, *, session: Session | None = None, writelock_accounts: WriteLocks | None = None
    ) -> Journal:
        """Write the entry as a journal, all of it or nothing.

        Without a session it runs in a transaction of the library's own, which it may share with other
        entries that are committed at the same time, and is durable on a majority when this returns. None of
        them can make another one fail. With a session whose transaction is open it joins that one: errors of
        the driver pass through so that the transaction can be retried, and nothing counts until the caller
        commits. Calling it again never writes twice: it returns the journal posted before or raises.

        Cancelling the call while the entry waits for its turn withdraws it; later, the entry may be written
        all the same. Commit it again to find out.

        Args:
            session: The caller's session.
            writelock_accounts: Accounts to lock against other writers that lock them.

        Returns:
            The journal; the first one, with ``replayed=True``, if the entry's key was used before.

        Raises:
            TransactionError: If the entry is empty, does not balance or cannot be saved; ``.total`` is
                credit minus debit where it does not balance.
            InsufficientBalanceError: If a balance would fall below the bound of a leg.
            BalanceLimitError: If a balance would rise above the bound of a leg.
            DuplicateEntryError: If another entry stands under its key; the message says what differs.
            UnknownOutcomeError: If the server could not be asked whether it committed.
            RunningBalancesError: If the book must not be written without running balances.
            BookClosedError: If the book was closed.
            UnsupportedDeploymentError: If the server has no transactions.
        """
        if self._journal is not None:
            return self._journal
        self.seal()
        journal = await self._poster.post(
            self, session=adopt_session(session), writelock_accounts=writelock_accounts
        )
        if session is None:
            # A caller's session may still be rolled back; only a commit of our own is final.
            self.settle(journal)
        return journal

    async def dry_run(self, *, session: Session | None = None) -> Journal:
        """Check the entry in every way that `commit` does, and return what it would; nothing is written.

        It is written in a transaction that is rolled back, so that nobody ever sees it, and MongoDB itself
        has accepted it. The entry stays open. Another writer may come between this and the commit.

        Args:
            session: A session without an open transaction; one of our own if left out.

        Raises:
            TransactionError: As `commit`, with all its leaves; also if *session* has an open transaction,
                which a failing write would abort.
        """
        if self._journal is not None:
            return self._journal
        check_entry(self)
        return await self._poster.preview(self, session=adopt_session(session))

    def seal(self) -> None:
        """Check that the entry may be posted, and take no more legs.

        Raises:
            TransactionError: If it is empty or does not balance.
        """
        check_entry(self)
        # From here on something may be written, of which another commit of this entry must be the same.
        self._sealed = True
        if self._final_legs is None:
            self._final_legs = tuple(self._legs)  # They are asked for again and again.

    def settle(self, journal: Journal) -> None:
        """Remember the journal that the entry has become for good."""
        self._journal = journal

    @property
    def is_posted(self) -> bool:
        """Whether it is known to have become a journal."""
        return self._journal is not None

    @property
    def poster(self) -> Poster:
        """What writes the entry."""
        return self._poster

    def _parse(self, account: AccountLike, amount: AmountLike) -> tuple[Path, Decimal]:
        rules = self.rules
        path = parse_posting_path(account, max_account_path=rules.max_account_path)
        return path, parse_amount(amount, precision=rules.precision, storage=rules.storage)

    def _bounds(
        self, minimum: AmountLike | None, maximum: AmountLike | None
    ) -> tuple[Decimal | None, Decimal | None]:
        if minimum is None and maximum is None:
            return _UNBOUNDED
        precision = self.rules.precision
        return (
            None if minimum is None else parse_amount(minimum, precision=precision),
            None if maximum is None else parse_amount(maximum, precision=precision),
        )

    def _add(
        self,
        path: Path,
        debit: Decimal,
        credit: Decimal,
        extra: Mapping[str, Any] | None,
        bounds: tuple[Decimal | None, Decimal | None],
    ) -> Self:
        if self._sealed:
            self._refuse_if_sealed()
        if self.template is not None:
            raise TransactionError(
                f"Entry {self.memo!r} has the legs of template {self.template} and takes no others; begin an "
                "entry of its own for them, or change the template and raise its version."
            )
        rules = self.rules
        fields, meta = split_extra(extra, rules)
        if rules.allowed_accounts is not None:
            rules.check_account(path, fields, meta)
        self._legs.append(Leg(new_object_id(), path, debit, credit, fields, meta, *bounds))
        return self

    def _refuse_if_sealed(self) -> None:
        if self._sealed:
            raise TransactionError(
                f"Entry {self.memo!r} was committed already as journal {self.id}; begin a new one."
            )


def _entry_key(key: object) -> str:
    text = entry_text("key", key)
    if not text or len(text.encode()) > MAX_KEY_BYTES:
        raise TransactionError(
            f"key {text!r} refused: give text that is not empty, up to {MAX_KEY_BYTES} bytes.",
            field="key",
            value=key,
        )
    return text


def check_entry(entry: Entry) -> None:
    """Check that *entry* may be posted: it has legs, and debits equal credits in every dimension.

    Raises:
        TransactionError: If not; the message begins with medici's ``INVALID_JOURNAL`` and ``.total`` is
            credit minus debit where it does not balance.
    """
    if not entry.legs:
        raise TransactionError(
            f"INVALID_JOURNAL: entry {entry.memo!r} has no legs; add a debit and a credit."
        )
    for dimensions, (debited, credited) in _sides_by_dimensions(entry).items():
        if debited != credited:
            total = exact_sum((credited, debited.copy_negate()))
            where = ", ".join(
                f"{name} {value}" for name, value in zip(entry.rules.dimensions, dimensions, strict=True)
            )
            raise TransactionError(
                f"INVALID_JOURNAL: can't commit non zero total: journal {entry.memo!r} does not balance"
                f"{' in ' + where if where else ''}: debits {debited:f}, credits {credited:f}, "
                f"difference {total:f}.",
                total=total,
            )


def _sides_by_dimensions(entry: Entry) -> dict[tuple[Any, ...], tuple[Decimal, Decimal]]:
    """Return the debits and the credits in each combination of dimension values."""
    names = tuple(entry.rules.dimensions)
    sides: dict[tuple[Any, ...], tuple[Decimal, Decimal]] = {}
    for leg in entry.legs:
        key = tuple([leg.fields.get(name, leg.meta.get(name)) for name in names]) if names else ()
        debited, credited = sides.get(key, _NEITHER)
        # A leg has one side as a rule, and what is the first on its side needs no addition.
        if leg.debit:
            debited = EXACT.add(debited, leg.debit) if debited else leg.debit
        if leg.credit:
            credited = EXACT.add(credited, leg.credit) if credited else leg.credit
        sides[key] = debited, credited
    return sides


def lock_targets(locks: WriteLocks | None, accounts: Iterable[str]) -> list[str]:
    """Return the accounts that *locks* means, each once: those listed, or those a pattern is found in.

    Raises:
        TransactionError: If *locks* is neither a list of accounts nor a pattern.
    """
    match locks:
        case None:
            return []
        case re.Pattern():
            return [account for account in dict.fromkeys(accounts) if locks.search(account)]
        case _:
            return listed_accounts(locks, accepted="a list of accounts or a pattern")


def listed_accounts(accounts: object, *, accepted: str = "a list of accounts") -> list[str]:
    """Return *accounts*, each once.

    Raises:
        TransactionError: If it is no list of texts; *accepted* says what is.
    """
    match accounts:
        case list() | tuple() if all(isinstance(one, str) and is_utf8(one) for one in accounts):
            return list(dict.fromkeys(accounts))
        case _:
            raise TransactionError(
                f"Write locks {accounts!r} refused: give {accepted}.",
                field="writelock_accounts",
                value=accounts,
            )

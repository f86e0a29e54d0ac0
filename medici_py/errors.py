"""Every error that the library raises on purpose, with the code medici gives the same case.

`MediciError` is the root. What a caller can act on has a leaf of its own; what was tried, found and
allowed stands in the message, and the facts are attributes::

    MediciError                        500
      BookConstructorError             400   a parameter of Book
      InvalidAccountPathError          400   an account that cannot be posted to
        InvalidAccountPathLengthError  400   deeper than the book allows
      TransactionError                 400   an entry that was refused; nothing was written
        DuplicateEntryError            400   another entry stands under its key
        InsufficientBalanceError       400   the account would fall below its bound
        BalanceLimitError              400   the account would rise above its bound
        AccountNotAllowedError         400   an account, or a value there, that the book does not have
      UnknownOutcomeError              500   the server did not say whether it committed
      RunningBalancesError             400   a poster without running balances in a book that has them
      BookClosedError                  400   a book that was closed
      InvalidQueryError                400   a question that cannot mean anything
      JournalNotFoundError             403   (medici's source says 404, its constructor sets 403)
      JournalAlreadyVoidedError        400
      JournalTakenBackError            400   another journal has taken it back without a void
      ConsistencyError                 400   someone voided the journal meanwhile
      IncompleteJournalError           500   a journal whose legs are not all there
      UnreadableDocumentError          500   a stored document that is no journal or leg
      IndexConflictError               500   an index of ours exists with other options
      TemplateError                    400   a transaction template or a leg of it was refused
        TemplateParamsError            400   params that the template does not take
        TemplateChangedError           400   another template is registered under the same code and version
        UnknownTemplateError           400   no template is registered under the code
      UnsupportedDeploymentError       500   a standalone mongod has no transactions
      ChangeStreamError                500   a stream of changes ended
        ChangeStreamInterruptedError   500   MongoDB was away for too long
        ChangeHistoryLostError         500   MongoDB no longer has what comes next
        SubscriberTooSlowError         500   a subscriber that left too much in its buffer
      SubscriptionMismatchError        400   a durable subscription of the name asks for other events
      UnacknowledgedEventsError        400   a subscriber that acknowledges nothing
      LeaseLostError                   400   a lease that somebody else has, or may have
      LeaseUnavailableError            400   a lease that others held for as long as was waited
      SnapshotReadError                500   live balances could not be read
      LiveBalancesClosedError          500   live balances were asked outside their life
      SnapshotExpiredError             500   a snapshot was read for longer than the server keeps it
      RebuildConflictError             400   another rebuild corrects the same book
      DimensionsChangedError           400   a rebuild for other dimensions than the rows have
      CorrectionTooLargeError          500   a balance that its row could not hold exactly
      RollUpRefusedError               400   a book that keeps no running balances
      RollUpUnderWayError              400   another process rolls the book up

`AccountNotAllowedError` and those after `UnsupportedDeploymentError` are defined beside what raises them;
`medici_py` exports them all.

Source: medici 7.4, ``src/errors``; the leaves medici does not have are ours.
"""

from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from medici_py.change_events import ChangePosition


class MediciError(Exception):
    """The root of all errors of this library."""

    code: ClassVar[int] = 500


class BookConstructorError(MediciError):
    """A parameter given to `Book` is outside what it accepts."""

    code = 400


class InvalidAccountPathError(MediciError):
    """An account cannot be posted to: a part is empty, no text, or contains the separator.

    Attributes:
        account: What was given, as given.
    """

    code = 400

    def __init__(self, message: str, *, account: object) -> None:
        super().__init__(message)
        self.account = account


class InvalidAccountPathLengthError(InvalidAccountPathError):
    """An account has more parts than the book's ``max_account_path``."""


class TransactionError(MediciError):
    """An entry was refused or could not be saved; nothing of it was written.

    Attributes:
        total: Credit minus debit, where the entry does not balance; else None.
        field: Name of the offending field or key, where there is one.
        value: What was found there.
    """

    code = 400

    def __init__(
        self,
        message: str,
        *,
        total: Decimal | None = None,
        field: str | None = None,
        value: object = None,
    ) -> None:
        super().__init__(message)
        self.total = total
        self.field = field
        self.value = value


class DuplicateEntryError(TransactionError):
    """The entry, or another one under the same key, has been posted already; nothing was written."""


class _BoundError(TransactionError):
    """A posting would move *account* past a bound.

    Attributes:
        account: The account, parts joined with ``:``.
        balance: What the account has, credit minus debit.
        required: What the entry would have needed or left.
    """

    def __init__(self, message: str, *, account: str, balance: Decimal, required: Decimal) -> None:
        super().__init__(message, field="account", value=account)
        self.account = account
        self.balance = balance
        self.required = required


class InsufficientBalanceError(_BoundError):
    """The account would fall below the leg's lower bound; nothing was written."""


class BalanceLimitError(_BoundError):
    """The account would rise above the leg's upper bound; nothing was written."""


class UnknownOutcomeError(MediciError):
    """The server could not be asked whether the transaction committed: all of it was written, or nothing.

    An entry may be committed again, which finds out and never posts twice. A void may be repeated, too:
    `JournalAlreadyVoidedError` says that it was done. After a transaction of the caller's own, look for what
    it would have written.
    """

    code = 500


class RunningBalancesError(MediciError):
    """The book keeps running balances, and a `Book` without them would falsify these; nothing was written."""

    code = 400


class BookClosedError(MediciError):
    """The `Book` was closed; nothing was written."""

    code = 400


class InvalidQueryError(MediciError):
    """A filter, date, page or option of a read cannot mean anything; nothing was asked.

    Attributes:
        field: Name of the argument or key.
        value: What was found there.
    """

    code = 400

    def __init__(self, message: str, *, field: str, value: object = None) -> None:
        super().__init__(message)
        self.field = field
        self.value = value


class JournalNotFoundError(MediciError):
    """No journal with this id in this book.

    Attributes:
        journal_id: What was looked for.
        book: Name of the book.
    """

    code = 403

    def __init__(self, *, journal_id: object, book: str) -> None:
        super().__init__(f"Journal could not be found. No journal {journal_id!s} in book {book!r}.")
        self.journal_id = journal_id
        self.book = book


class JournalAlreadyVoidedError(MediciError):
    """The journal was voided before.

    Attributes:
        journal_id: The journal.
        book: Name of the book.
    """

    code = 400

    def __init__(self, *, journal_id: object, book: str) -> None:
        super().__init__(f"Journal already voided. Journal {journal_id!s} in book {book!r}.")
        self.journal_id = journal_id
        self.book = book


class JournalTakenBackError(MediciError):
    """Another journal has taken the journal back without voiding it; nothing was written.

    Attributes:
        journal_id: The journal.
        book: Name of the book.
        taken_back_by: The journal that has taken it back.
        counts_again: Whether that one was voided since, so that the journal counts again.
    """

    code = 400

    def __init__(
        self, *, journal_id: object, book: str, taken_back_by: object, counts_again: bool = False
    ) -> None:
        way_out = (
            f"which was voided since, so that it counts again. To take it back again, void the reversal of "
            f"{taken_back_by!s}: the journal whose legs have that id as _original_journal."
            if counts_again
            else "and is not taken back twice. If it shall count again, void that one."
        )
        super().__init__(
            f"Journal {journal_id!s} in book {book!r} was taken back by journal {taken_back_by!s}, {way_out}"
        )
        self.journal_id = journal_id
        self.book = book
        self.taken_back_by = taken_back_by
        self.counts_again = counts_again


class ConsistencyError(MediciError):
    """Somebody else changed the journal while it was being voided; it is as they left it."""

    code = 400


class IncompleteJournalError(MediciError):
    """The legs stored for a journal are not the legs it names; it cannot be reversed or shown.

    Attributes:
        journal_id: The journal.
        expected: How many legs it names.
        found: How many of them are stored in its book.
        position: Where a stream of changes that met it goes on, right after it; None elsewhere.
    """

    position: "ChangePosition | None" = None

    def __init__(self, *, journal_id: object, book: str, expected: int, found: int) -> None:
        super().__init__(
            f"Transactions for journal {journal_id!s} not found in book {book!r}: "
            f"it names {expected} legs, {found} of them are there. Nothing was changed."
        )
        self.journal_id = journal_id
        self.expected = expected
        self.found = found


class UnreadableDocumentError(MediciError):
    """A stored document cannot be read as a journal or a leg.

    Attributes:
        document_id: Its ``_id``.
        field: The stored name of the field that cannot be read.
        value: What is stored there.
        position: Where a stream of changes that met it goes on, right after it; None elsewhere.
    """

    position: "ChangePosition | None" = None

    def __init__(self, message: str, *, document_id: object, field: str, value: object = None) -> None:
        super().__init__(message)
        self.document_id = document_id
        self.field = field
        self.value = value


class IndexConflictError(MediciError):
    """An index that the library needs exists under the same name with other keys or options."""


class TemplateError(MediciError):
    """A transaction template, or a leg that it made of its params, was refused; nothing was written.

    Attributes:
        template: Code of the template.
        leg: Number of the leg in posting order, from 1, where one is at fault; else None.
    """

    code = 400

    def __init__(self, message: str, *, template: str, leg: int | None = None) -> None:
        super().__init__(message)
        self.template = template
        self.leg = leg


class TemplateParamsError(TemplateError):
    """A template does not take these params; nothing was written.

    Attributes:
        field: Name of the first param at fault.
        value: What was found there; None where it is missing.
        expected: What would be accepted.
    """

    def __init__(self, message: str, *, template: str, field: str, value: object, expected: str) -> None:
        super().__init__(message, template=template)
        self.field = field
        self.value = value
        self.expected = expected


class TemplateChangedError(TemplateError):
    """Another template is registered under the same code and version; nothing was registered.

    Attributes:
        version: The version that both claim.
        differences: What differs, a line each: ``-`` as registered, ``+`` as given.
    """

    def __init__(self, message: str, *, template: str, version: int, differences: tuple[str, ...]) -> None:
        super().__init__(message, template=template)
        self.version = version
        self.differences = differences


class UnknownTemplateError(TemplateError):
    """No template is registered under the code, or under the version that was to be posted with.

    Attributes:
        known: The codes that are, sorted.
    """

    def __init__(self, message: str, *, template: str, known: tuple[str, ...]) -> None:
        super().__init__(message, template=template)
        self.known = known


class UnsupportedDeploymentError(MediciError):
    """The server has no transactions: it is neither a replica set nor a sharded cluster."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(
            message
            or "This MongoDB server is a standalone mongod, which has no transactions. Restart it with "
            '--replSet rs0 and run rs.initiate() in mongosh once (or: mongosh --eval "rs.initiate()").'
        )

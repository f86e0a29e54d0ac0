"""What an auditor calls a difference: a value that names where, what was expected and found, and what to do.

The journals are the truth that balances follow from. A difference in a journal is mended by its owner, one in
a balance by `medici_py.rebuild`.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from medici_py.accounts import Path, join
from medici_py.money import exact_sum, shown
from medici_py.sums import Sums
from medici_py.turnover_table import DimensionValues


@dataclass(frozen=True, slots=True)
class Difference:
    """Something in a book that contradicts something else.

    Attributes:
        book: Name of the book.
    """

    book: str

    advice: ClassVar[str] = ""

    @property
    def kind(self) -> str:
        """Name of the kind of difference, for programs."""
        return type(self).__name__

    @property
    def text(self) -> str:
        """The difference in one line: where, what, and what to do."""
        return f"Book {self.book!r}, {self._what()}. {self.advice}"

    def _what(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class JournalDifference(Difference):
    """Something about a journal of the book.

    Attributes:
        journal: Its id.
    """

    journal: Any

    def _what(self) -> str:
        return f"journal {self.journal}: {self._finding()}"

    def _finding(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class UnreadableDocument(Difference):
    """A journal or a leg that cannot be read as one, such as an amount that is a text."""

    document_id: Any
    reason: str

    advice = "Correct the stored document; no balance over it can be right."

    def _what(self) -> str:
        return self.reason.rstrip(".")


@dataclass(frozen=True, slots=True)
class EmptyJournal(JournalDifference):
    """A journal that neither names a leg nor has one."""

    advice = "Delete the journal, or restore its legs from a backup."

    def _finding(self) -> str:
        return "it should have legs, it names none and none is stored"


@dataclass(frozen=True, slots=True)
class MissingLeg(JournalDifference):
    """A leg that its journal names and that is not stored."""

    leg: Any

    advice = "Restore the leg from a backup, or post an entry that makes up for it."

    def _finding(self) -> str:
        return f"leg {self.leg} is named, but no such leg is stored under the journal"


@dataclass(frozen=True, slots=True)
class ExtraLeg(JournalDifference):
    """A leg stored under a journal that does not name it."""

    leg: Any
    account: str

    advice = "Add it to the journal's _transactions, or delete it and rebuild the balances."

    def _finding(self) -> str:
        return f"leg {self.leg} on {self.account!r} is stored, but not named"


@dataclass(frozen=True, slots=True)
class LegNamedTwice(JournalDifference):
    """A leg that its journal names more than once."""

    leg: Any

    advice = "Remove the repeated id from the journal's _transactions."

    def _finding(self) -> str:
        return f"leg {self.leg} should be named once, it is named more often"


@dataclass(frozen=True, slots=True)
class OrphanLeg(Difference):
    """A leg whose journal does not exist, or is another book's.

    Attributes:
        journal_book: The book of the journal; None if there is no such journal.
    """

    journal: Any
    leg: Any
    account: str
    journal_book: str | None

    advice = (
        "Often of a writer that crashed: restore the journal, or delete the leg and rebuild the balances."
    )

    def _what(self) -> str:
        found = "does not exist" if self.journal_book is None else f"is of book {self.journal_book!r}"
        return f"leg {self.leg} on {self.account!r}: its journal {self.journal} should be there, it {found}"


@dataclass(frozen=True, slots=True)
class UnbalancedJournal(JournalDifference):
    """A journal whose debits do not equal its credits.

    Attributes:
        values: Where legs store the dimensions, and the values in which it does not balance.
    """

    values: tuple[tuple[str, Any], ...]
    debit: Decimal
    credit: Decimal

    advice = "Post an entry that makes up for it, or correct its legs and rebuild the balances."

    def _finding(self) -> str:
        total = exact_sum((self.credit, self.debit.copy_negate()))
        within = "".join(f" in {name} {value!r}" for name, value in self.values)
        return (
            f"debits {self.debit:f} should equal credits {self.credit:f}{within}, the difference is {total:f}"
        )


@dataclass(frozen=True, slots=True)
class LegContradiction(Difference):
    """A leg with a field that contradicts the journal, or another field of the leg."""

    journal: Any
    leg: Any
    field: str
    expected: Any
    found: Any

    advice = "Correct the field of the leg; if it is its account or book, rebuild the balances."

    def _what(self) -> str:
        return (
            f"journal {self.journal}, leg {self.leg}: {self.field} should be {shown(self.expected)}, "
            f"it is {shown(self.found)}"
        )


@dataclass(frozen=True, slots=True)
class WrongFlag(LegContradiction):
    """A leg that is voided and its journal is not, the reverse, or voided for another reason."""

    advice = (
        "Often of a void that crashed: bring the leg's voided and void_reason in line with the journal's."
    )


@dataclass(frozen=True, slots=True)
class MissingReversal(JournalDifference):
    """A voided journal that no journal reverses."""

    advice = (
        "Often of a void that crashed: remove voided and void_reason from it and its legs, and void it again."
    )

    def _finding(self) -> str:
        return "it is voided, one journal should reverse it, none does"


@dataclass(frozen=True, slots=True)
class SeveralReversals(JournalDifference):
    """A voided journal that is reversed more than once."""

    reversals: tuple[Any, ...]

    advice = "Often of several voids at once by Node: void all of these but one."

    def _finding(self) -> str:
        found = ", ".join(str(one) for one in self.reversals)
        return f"it is voided, one journal should reverse it, these do: {found}"


@dataclass(frozen=True, slots=True)
class WrongReversal(JournalDifference):
    """A voided journal whose reversal is not its legs with the sides swapped."""

    reversal: Any

    advice = "Post an entry that makes up for what the reversal has left."

    def _finding(self) -> str:
        return f"its reversal {self.reversal} should have the same legs with sides swapped, it has others"


@dataclass(frozen=True, slots=True)
class ReversalOfStanding(JournalDifference):
    """A journal that is not voided, and yet reversed by one that a void made."""

    reversal: Any

    advice = "Mark the journal and its legs as voided, or void the reversal."

    def _finding(self) -> str:
        return f"journal {self.reversal} reverses it, so it should be voided, it is not"


@dataclass(frozen=True, slots=True)
class KeyWithoutJournal(Difference):
    """An idempotency key whose journal the book does not have."""

    key: str
    journal: Any

    advice = "Restore the journal; or delete the key from medici_py_keys if the entry may be posted again."

    def _what(self) -> str:
        return f"key {shown(self.key)}: its journal {self.journal} should be in the book, it is not"


@dataclass(frozen=True, slots=True)
class UnregisteredTemplate(Difference):
    """A template that made journals of the book and is not registered in the database.

    Attributes:
        code: Its code.
        version: Its version.
        journals: How many it made.
        first: The one with the smallest id.
    """

    code: str
    version: int
    journals: int
    first: Any

    advice = "Register it as it was when they were posted; see register_templates()."

    def _what(self) -> str:
        return (
            f"template {self.code} version {self.version}: it made {self.journals} journals, the first of "
            f"them {self.first}, so it should be registered, it is not"
        )


@dataclass(frozen=True, slots=True)
class WrongRunningBalance(Difference):
    """A running balance that is not the sum of its legs.

    Attributes:
        account: The account; empty for the whole book.
        values: The values of the book's dimensions, in its order.
        expected: The turnover of the legs.
        found: The turnover that is stored.
    """

    account: Path
    values: DimensionValues
    expected: Sums
    found: Sums

    advice = "Run rebuild_balances() (medici rebuild)."

    def _what(self) -> str:
        return (
            f"running balance of {_row_name(self.account, self.values)}: its legs give "
            f"{_sums_text(self.expected)}, stored is {_sums_text(self.found)}"
        )


@dataclass(frozen=True, slots=True)
class WrongSize(Difference):
    """The stored size of a book's amounts, which keeps sums exact, is smaller than they are."""

    values: DimensionValues
    at_least: Decimal
    found: Decimal

    advice = "Run rebuild_balances() (medici rebuild)."

    def _what(self) -> str:
        return (
            f"running balance of {_row_name((), self.values)}: size should be {self.at_least:f} or more, "
            f"it is {self.found:f}"
        )


@dataclass(frozen=True, slots=True)
class NotChecked(Difference):
    """Something that could not be compared with the legs.

    Attributes:
        part: What could not be compared.
        reason: Why, and what to do about it.
    """

    part: str
    reason: str

    advice = "Then verify again."

    def _what(self) -> str:
        return f"{self.part} could not be compared with the legs: {self.reason.rstrip('.')}"


def _row_name(account: Path, values: DimensionValues) -> str:
    name = repr(join(account)) if account else "the whole book"
    return f"{name} {list(values)!r}" if values else name


def _sums_text(sums: Sums) -> str:
    return f"debit {sums.debit:f}, credit {sums.credit:f}, {sums.notes} legs"

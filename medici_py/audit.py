"""What an auditor makes of a journal and its legs, and of a void and its reversal. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bson import ObjectId

from medici_py.accounts import join
from medici_py.differences import (
    Difference,
    EmptyJournal,
    ExtraLeg,
    LegContradiction,
    LegNamedTwice,
    MissingLeg,
    MissingReversal,
    OrphanLeg,
    ReversalOfStanding,
    SeveralReversals,
    UnbalancedJournal,
    UnreadableDocument,
    WrongFlag,
    WrongReversal,
)
from medici_py.documents import Journal, Transaction
from medici_py.errors import UnreadableDocumentError
from medici_py.journal_header import taken_back_by
from medici_py.running_rows import dimension_values
from medici_py.sums import Sums, leg_sums
from medici_py.void import void_text

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AuditRules:
    """What the journals of a book are held against.

    Attributes:
        book: Name of the book.
        fields: Where its legs store the dimensions.
        transaction_model: The model of legs.
        journal_model: The model of journals.
    """

    book: str
    fields: tuple[str, ...] = ()
    transaction_model: type[Transaction] = Transaction
    journal_model: type[Journal] = Journal


def judge_journal(journal: Document, legs: Sequence[Document], rules: AuditRules) -> list[Difference]:
    """Return what is wrong with a journal of the book.

    Args:
        journal: As it is stored.
        legs: Every leg stored under its id, of whatever book.
        rules: What it is held against.
    """
    try:
        read = rules.journal_model.from_document(journal)
    except UnreadableDocumentError as exc:
        return [_unreadable(rules.book, exc)]
    readable: list[tuple[Document, Transaction]] = []
    found: list[Difference] = []
    for leg in legs:
        try:
            readable.append((leg, rules.transaction_model.from_document(leg)))
        except UnreadableDocumentError as exc:
            found.append(_unreadable(rules.book, exc))
    found += _named_and_stored(read, legs, rules.book)
    for leg, as_read in readable:
        found += _contradictions(read, leg, as_read)
    if len(readable) == len(legs):
        found += _imbalances(read, legs, rules)
    return found


def _unreadable(book: str, error: UnreadableDocumentError) -> UnreadableDocument:
    return UnreadableDocument(book, error.document_id, " ".join(str(error).split()))


def _named_and_stored(journal: Journal, legs: Sequence[Document], book: str) -> list[Difference]:
    named = Counter(journal.transactions)
    # A leg whose id is none cannot be read; that is named already.
    legs = [leg for leg in legs if isinstance(leg["_id"], ObjectId)]
    stored = {leg["_id"] for leg in legs}
    if not named and not legs:
        return [EmptyJournal(book, journal.id)]
    return [
        *(MissingLeg(book, journal.id, leg) for leg in named if leg not in stored),
        *(LegNamedTwice(book, journal.id, leg) for leg, times in named.items() if times > 1),
        *(ExtraLeg(book, journal.id, leg["_id"], _account(leg)) for leg in legs if leg["_id"] not in named),
    ]


def _account(leg: Document) -> str:
    return str(leg.get("accounts"))


def _contradictions(journal: Journal, leg: Document, as_read: Transaction) -> list[Difference]:
    book, where = journal.book, (journal.id, leg["_id"])
    found: list[Difference] = []
    if as_read.book != book:
        found.append(LegContradiction(book, *where, "book", book, as_read.book))
    if as_read.accounts != join(as_read.account_path):
        expected = join(as_read.account_path)
        found.append(LegContradiction(book, *where, "accounts", expected, as_read.accounts))
    if as_read.voided != journal.voided:
        found.append(WrongFlag(book, *where, "voided", journal.voided, as_read.voided))
    elif journal.voided and as_read.void_reason != journal.void_reason:
        found.append(WrongFlag(book, *where, "void_reason", journal.void_reason, as_read.void_reason))
    return found


def _imbalances(journal: Journal, legs: Iterable[Document], rules: AuditRules) -> list[Difference]:
    sums: dict[tuple[Any, ...], Sums] = {}
    for leg in legs:
        if leg["book"] == rules.book:
            values = dimension_values(leg, rules.fields)
            sums[values] = sums.get(values, Sums()) + leg_sums(leg)
    return [
        UnbalancedJournal(
            rules.book, journal.id, tuple(zip(rules.fields, values, strict=True)), total.debit, total.credit
        )
        for values, total in sums.items()
        if total.debit != total.credit
    ]


def judge_orphan(leg: Document, journal: Document | None, book: str) -> OrphanLeg:
    """Return the difference of a leg of *book* whose journal is not there, or is another book's."""
    journal_book = None if journal is None else str(journal.get("book"))
    return OrphanLeg(book, leg.get("_journal"), leg["_id"], _account(leg), journal_book)


class Relation(Enum):
    """What a journal that refers to another one by ``_original_journal`` is to that one."""

    REVERSES = "a reversal: the void's text, and the same legs with sides swapped"
    DIFFERS = "the void's text, but other legs"
    MIRRORS = "the same legs with sides swapped, under another text"
    FOLLOWS = "anything else that somebody posted about it"


@dataclass(frozen=True, slots=True)
class WithLegs:
    """A journal and its legs, as they are stored."""

    journal: Document
    legs: Sequence[Document]


def relation(original: WithLegs, follower: WithLegs, fields: Sequence[str]) -> Relation:
    """Return what *follower* is to *original*.

    A void gives its reversal the text that it stores as ``void_reason``. Where the original stands, only
    the text that medici makes by itself tells a void's reversal from a refund that somebody posted.
    """
    journal = original.journal
    voided, memo = bool(journal.get("voided")), journal.get("memo")
    text = journal.get("void_reason") if voided else void_text(None, memo if isinstance(memo, str) else None)
    try:
        swapped = _sides(original.legs, fields, swapped=True) == _sides(follower.legs, fields)
    except UnreadableDocumentError:
        # Named where the journal itself is judged; what its reversal should be cannot be said.
        swapped = follower.journal.get("memo") == text
    if follower.journal.get("memo") == text:
        if swapped:
            return Relation.REVERSES
        return Relation.DIFFERS if voided else Relation.FOLLOWS
    return Relation.MIRRORS if swapped else Relation.FOLLOWS


def _sides(legs: Iterable[Document], fields: Sequence[str], *, swapped: bool = False) -> Counter[Any]:
    """Count the debits and credits of *legs* that are not zero."""
    found: Counter[Any] = Counter()
    for leg in legs:
        sums = leg_sums(leg)
        debit, credit = (sums.credit, sums.debit) if swapped else (sums.debit, sums.credit)
        place = repr(leg.get("account_path")), dimension_values(leg, fields)
        found.update(
            (place, side, amount) for side, amount in (("debit", debit), ("credit", credit)) if amount
        )
    return found


def judge_void(
    original: WithLegs,
    followers: Mapping[Any, Relation],
    rules: AuditRules,
    *,
    undone: Collection[Any] = (),
) -> list[Difference]:
    """Return what is wrong about how a journal of the book is reversed.

    Args:
        original: The journal, voided or not.
        followers: The journals that refer to it, or have taken it back, by id, and what they are to it.
        rules: Those of the book.
        undone: Those of *followers* that were voided themselves.
    """
    book, journal = rules.book, original.journal["_id"]
    taker = taken_back_by(original.journal)
    taking_back = [taker] if taker in followers else []
    others = [(one, what) for one, what in followers.items() if one != taker]
    made_by_void = [one for one, what in others if what in (Relation.REVERSES, Relation.DIFFERS)]
    if not original.journal.get("voided"):
        wrong = [WrongReversal(book, journal, one) for one in taking_back if not _swaps(followers[one])]
        return [*wrong, *(ReversalOfStanding(book, journal, one) for one in made_by_void)]
    # Somebody may have changed the text of the one that reverses it.
    by_void = made_by_void or [one for one, what in others if what is Relation.MIRRORS]
    match _in_force([*by_void, *taking_back], undone):
        case []:
            return [MissingReversal(book, journal)] if _moves_anything(original.legs) else []
        case [one]:
            return [] if _swaps(followers[one]) else [WrongReversal(book, journal, one)]
        case reversals:
            return [SeveralReversals(book, journal, tuple(reversals))]


def _swaps(what: Relation) -> bool:
    return what in (Relation.REVERSES, Relation.MIRRORS)


def _in_force(reversals: Sequence[Any], undone: Collection[Any]) -> Sequence[Any]:
    """Return those of several *reversals* that were not voided, and one where all of them were."""
    if len(reversals) < 2:
        return reversals
    return [one for one in reversals if one not in undone] or reversals[:1]


def _moves_anything(legs: Iterable[Document]) -> bool:
    # Node marks a journal of zeros as voided although there is nothing to reverse.
    try:
        return bool(_sides(legs, ()))
    except UnreadableDocumentError:
        return True

"""Takes a trade's journal back, once: what it must be for that, and the reversal that is posted.

What it must be is decided by `require_revertible`, which is pure.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from bson import ObjectId

from medici_py import (
    Book,
    JournalTakenBackError,
    Side,
    TransactionTemplate,
    mongo_transaction,
    take_back,
    template_entry,
)
from medici_py.documents import Journal, Transaction
from medici_py.entry_key import KEYS, UsedKey, key_id
from stablesats.errors import StablesatsError
from stablesats.ledger import templates
from stablesats.ledger.templates import TradeAmounts

_REVERTED_BY: Final[Mapping[str, TransactionTemplate[TradeAmounts]]] = {
    templates.REVERT_USER_BUYS_USD.code: templates.USER_BUYS_USD,
    templates.REVERT_USER_SELLS_USD.code: templates.USER_SELLS_USD,
}

_JOURNALS: Final = "medici_journals"
_LEGS: Final = "medici_transactions"


class RevertedJournalError(StablesatsError):
    """The journal cannot be taken back as was asked; nothing was written.

    Attributes:
        journal_id: The journal.
        reason: What differs.
    """

    def __init__(self, journal_id: ObjectId, reason: str) -> None:
        """Name the journal and what differs."""
        self.journal_id = journal_id
        self.reason = reason
        super().__init__(f"journal {journal_id} cannot be taken back: {reason}")


class VoidedJournalError(RevertedJournalError):
    """The journal was voided, and so has been taken back already; nothing was written."""


class VoidedReversalError(RevertedJournalError):
    """The journal was taken back, and its reversal voided since: it counts again. Nothing was written.

    Attributes:
        reversal_id: The reversal.
    """

    def __init__(self, journal_id: ObjectId, reversal_id: ObjectId) -> None:
        """Name both journals and the way out."""
        self.reversal_id = reversal_id
        super().__init__(
            journal_id,
            f"its reversal {reversal_id} was voided since, so that it counts again, and it is reverted once "
            f"only; void what reverses {reversal_id} instead",
        )


async def revert_journal(
    book: Book,
    reversal: TransactionTemplate[TradeAmounts],
    amounts: TradeAmounts,
    reverted: ObjectId,
    *,
    at: datetime,
    reference: Mapping[str, object] | None,
    session: Any,
) -> Journal:
    """Post the *reversal* of *amounts* that takes the journal *reverted* of *book* back.

    In one transaction with `medici_py.take_back`, so that no void can take the same journal back besides. The
    same reversal again returns the first one with ``replayed=True``.

    Args:
        book: The book of both.
        reversal: A template that reverts.
        amounts: What *reverted* booked.
        reverted: Its id is the reversal's correlation id, and after ``revert:`` the external id.
        at: When the reversal takes effect (timezone-aware).
        reference: The reversal's metadata.
        session: Joins this session's transaction; without it there is one of its own.

    Raises:
        VoidedJournalError: If *reverted* was voided.
        VoidedReversalError: If it was taken back, and the reversal was voided.
        RevertedJournalError: If there is no such journal, it booked something else, or another kind of
            journal has taken it back.
        DuplicateEntryError: If it was taken back with another date or reference.
    """
    # Once, whatever number of times the transaction runs: a try knows what an earlier one has committed.
    entry = template_entry(
        book,
        reversal,
        amounts,
        external_id=_external_id(reverted),
        correlation_id=str(reverted),
        effective=at,
        metadata=reference,
    )

    async def check_and_post(session: Any) -> Journal:
        await _check(book, reversal, amounts, reverted, session)
        try:
            journal = await take_back(book, reverted, entry, session=session)
        except JournalTakenBackError as exc:
            msg = f"journal {exc.taken_back_by} has taken it back already"
            raise RevertedJournalError(reverted, msg) from exc
        if journal.voided:
            raise VoidedReversalError(reverted, journal.id)
        return journal

    if session is not None:
        return await check_and_post(session)
    result: Journal = await mongo_transaction(book.database.client, check_and_post)
    return result


async def reversal_of(book: Book, reverted: ObjectId, *, session: Any = None) -> ObjectId | None:
    """The journal of *book* that has reverted the journal *reverted*; None if there is none that counts."""
    journal_id = await journal_under(book, _external_id(reverted), session=session)
    if journal_id is None:
        return None
    counts = {"_id": journal_id, "voided": {"$ne": True}}
    found = await book.database[_JOURNALS].find_one(counts, {"_id": 1}, session=session)
    return None if found is None else journal_id


async def journal_under(book: Book, external_id: str, *, session: Any = None) -> ObjectId | None:
    """The journal of *book* that was posted under *external_id*; None if there is none."""
    found = await book.database[KEYS].find_one({"_id": key_id(book.name, external_id)}, session=session)
    return None if found is None else UsedKey.from_document(found).journal


def _external_id(reverted: ObjectId) -> str:
    return f"revert:{reverted}"


async def _check(
    book: Book,
    reversal: TransactionTemplate[TradeAmounts],
    amounts: TradeAmounts,
    journal_id: ObjectId,
    session: Any,
) -> None:
    found = await book.database[_JOURNALS].find_one({"_id": journal_id, "book": book.name}, session=session)
    if found is None:
        raise RevertedJournalError(journal_id, f"there is none in book {book.name!r}")
    cursor = book.database[_LEGS].find({"_journal": journal_id, "book": book.name}, session=session)
    legs = [Transaction.from_document(leg) async for leg in cursor]
    require_revertible(Journal.from_document(found), legs, reversal, amounts)


def require_revertible(
    journal: Journal,
    legs: Iterable[Transaction],
    reversal: TransactionTemplate[TradeAmounts],
    amounts: TradeAmounts,
) -> None:
    """Check that *reversal* of *amounts* swaps the sides of exactly these *legs* of *journal*.

    Raises:
        VoidedJournalError: If the journal was voided.
        RevertedJournalError: If it booked something else.
    """
    reverted = _REVERTED_BY[reversal.code]
    code = None if journal.template is None else journal.template.code
    if code != reverted.code:
        found = "was made by no template" if code is None else f"is a {code}"
        raise RevertedJournalError(
            journal.id, f"it {found}, and {reversal.code} takes back a {reverted.code}"
        )
    if journal.voided:
        raise VoidedJournalError(journal.id, f"it was voided ({journal.void_reason})")
    booked = {(leg.accounts, str(leg.meta.get("currency"))): leg.credit - leg.debit for leg in legs}
    asked = {
        (leg.account, leg.currency): leg.amount if leg.side is Side.CREDIT else -leg.amount
        for leg in reverted.legs(amounts)
    }
    if booked != asked:
        differing = "; ".join(
            f"{account} {currency}: booked {booked.get((account, currency), 0)}, asked {amount}"
            for (account, currency), amount in asked.items()
            if booked.get((account, currency), 0) != amount
        )
        reason = f"other amounts (credit less debit): {differing}" if differing else "other legs besides"
        raise RevertedJournalError(journal.id, f"it booked {reason}")

"""What a journal must be so that it can be taken back. The check is pure; `check_reverted` reads for it.

A journal that is taken back is marked with ``reverted_by``, the reversal's template.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from bson import ObjectId

from medici_py import Book, Side, TransactionTemplate
from medici_py.documents import Journal, Transaction
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


async def check_reverted(
    book: Book,
    reversal: TransactionTemplate[TradeAmounts],
    amounts: TradeAmounts,
    journal_id: ObjectId,
    *,
    session: Any,
) -> None:
    """Check, in the transaction of *session*, that *reversal* of *amounts* takes back this journal of *book*.

    The journal is marked as taken back. A void committed since the transaction's snapshot conflicts with it,
    so that the transaction runs again and finds the void.

    Raises:
        VoidedJournalError: If it was voided.
        RevertedJournalError: If there is no such journal, or it booked something else.
    """
    journals = book.database[_JOURNALS]
    found = await journals.find_one({"_id": journal_id, "book": book.name}, session=session)
    if found is None:
        raise RevertedJournalError(journal_id, f"there is none in book {book.name!r}")
    cursor = book.database[_LEGS].find({"_journal": journal_id, "book": book.name}, session=session)
    legs = [Transaction.from_document(leg) async for leg in cursor]
    require_revertible(Journal.from_document(found), legs, reversal, amounts)
    # Written, not only read: of this and a void by somebody else since the snapshot, one starts again.
    await journals.update_one({"_id": journal_id}, {"$set": {"reverted_by": reversal.code}}, session=session)


def require_revertible(
    journal: Journal,
    legs: Iterable[Transaction],
    reversal: TransactionTemplate[TradeAmounts],
    amounts: TradeAmounts,
) -> None:
    """Check that *reversal* of *amounts* swaps the sides of exactly these *legs* of *journal*.

    Raises:
        VoidedJournalError, RevertedJournalError: As `check_reverted`.
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

"""An entry as it is stored: its legs and its journal, as documents. Pure."""

import datetime as dt
from collections.abc import Sequence

from bson import ObjectId

from medici_py.accounts import join
from medici_py.documents import Transaction, journal_defaults
from medici_py.driver import Document
from medici_py.entry import Entry
from medici_py.errors import TransactionError, UnreadableDocumentError
from medici_py.money import encode_amount

_MANY_DOCUMENTS = 4_096
_MANY_LEGS = 100_000
_LONG_TEXT = 500
"""Characters, each of which takes up to four bytes."""

_LEG_FIELDS = 10
_JOURNAL_FIELDS = 5
"""Fields of a leg and of a journal to which the caller attached nothing."""


def leg_documents(entry: Entry, *, recorded_at: dt.datetime) -> list[Document]:
    """Return the legs of *entry* as they are stored, fields in medici's order.

    Raises:
        TransactionError: If a leg does not fit the book's transaction model.
    """
    rules = entry.rules
    book, storage, date = rules.book, rules.storage, entry.date or recorded_at
    documents: list[Document] = []
    for leg in entry.legs:
        document: Document = {
            "_id": leg.id,
            "_journal": entry.id,
            "account_path": list(leg.path),
            "accounts": join(leg.path),
            "book": book,
            "credit": encode_amount(leg.credit, storage),
            "datetime": date,
            "debit": encode_amount(leg.debit, storage),
            "memo": entry.memo,
            "timestamp": recorded_at,
        }
        if entry.original_journal is not None:
            document["_original_journal"] = entry.original_journal
        if leg.fields:
            document |= leg.fields
        if leg.meta:
            document["meta"] = dict(leg.meta)
        if rules.checks_legs:
            _check_model(document, rules.transaction_model)
        if rules.server_ids:
            del document["_id"]
        documents.append(document)
    return documents


def _check_model(document: Document, model: type[Transaction]) -> None:
    try:
        model.from_document(document)
    except UnreadableDocumentError as exc:
        raise TransactionError(f"Failure to save journal: {exc}", field=exc.field, value=exc.value) from exc


def journal_document(entry: Entry, leg_ids: Sequence[ObjectId], *, recorded_at: dt.datetime) -> Document:
    """Return the journal of *entry* as it is stored, with the defaults of the book's journal model."""
    document: Document = {
        "_id": entry.id,
        "memo": entry.memo,
        "_transactions": list(leg_ids),
        "datetime": entry.date or recorded_at,
        "book": entry.rules.book,
        **journal_defaults(entry.rules.journal_model),
    }
    if entry.header is not None:
        document |= entry.header.stored_on(entry.id)
    return document


def are_small_legs(documents: Sequence[Document]) -> bool:
    """Whether these legs, answers of `leg_documents` with ``_id``, are for certain below 40 MB in all.

    That is certain without encoding them if they are few and hold nothing of a caller's but short texts.
    """
    return _are_few_and_plain(documents, _LEG_FIELDS) and _are_short(documents, "book", "memo", "accounts")


def are_small_journals(documents: Sequence[Document]) -> bool:
    """Whether these journals, answers of `journal_document`, are for certain below 40 MB in all."""
    return (
        _are_few_and_plain(documents, _JOURNAL_FIELDS)
        and _are_short(documents, "book", "memo")
        and sum([len(document["_transactions"]) for document in documents]) <= _MANY_LEGS
    )


def _are_few_and_plain(documents: Sequence[Document], fields: int) -> bool:
    return len(documents) <= _MANY_DOCUMENTS and max(map(len, documents)) <= fields


def _are_short(documents: Sequence[Document], *fields: str) -> bool:
    return all(max([len(document[field]) for document in documents]) <= _LONG_TEXT for field in fields)

"""Journals and their legs as they are stored, read into frozen values.

The stored names are the aliases of the fields: ``Transaction.journal`` is ``_journal`` in the document.
Reading is lenient, because Node's medici and older versions wrote these collections too: every numeric
BSON type becomes a `Decimal`, unknown fields are passed over, empty account parts are shown as they are.
Writing is strict and happens elsewhere (`medici_py.entry`).

A book with fields of its own passes subclasses::

    class WalletTransaction(Transaction):
        wallet_id: ObjectId | None = None       # top-level in the document, not under meta
"""

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from inspect import get_annotations
from typing import Annotated, Any, ClassVar, Self, get_args

from bson import ObjectId
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from medici_py.bson_values import stored_copy
from medici_py.errors import UnreadableDocumentError
from medici_py.instants import parse_instant
from medici_py.money import decimal_from_stored


def _as_utc(value: dt.datetime) -> dt.datetime:
    if value.tzinfo is dt.UTC:
        return value
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def _instant_from_stored(value: object) -> object:
    # A number is milliseconds, as JavaScript has it; pydantic would read a small one as seconds.
    if isinstance(value, (int, float)) and math.isfinite(value):
        return parse_instant(value if isinstance(value, bool) else int(value))
    return value


def _amount_from_stored(value: object) -> Decimal:
    # A side that is missing or null counts as nothing, as in medici's sums.
    return Decimal(0) if value is None else decimal_from_stored(value)


def _text(value: object) -> object:
    return "" if value is None else value


def _meta(value: object) -> object:
    return {} if value is None else value


@dataclass(frozen=True, slots=True)
class TemplateRef:
    """Which template a journal was made by.

    Attributes:
        code: Its code.
        version: Its version, from 1.
    """

    code: str
    version: int


# A schema of somebody else's may have something else under these names: that is nothing of ours.
def _template_ref(value: object) -> object:
    match value:
        case TemplateRef() | {"code": str(), "version": int()}:
            return value
        case _:
            return None


def _text_or_none(value: object) -> object:
    return value if isinstance(value, str) else None


def _mapping(value: object) -> object:
    return value if isinstance(value, Mapping) else {}


Instant = Annotated[dt.datetime, BeforeValidator(_instant_from_stored), AfterValidator(_as_utc)]
"""An aware UTC datetime with millisecond precision, as BSON stores it."""

Amount = Annotated[Decimal, BeforeValidator(_amount_from_stored)]
Text = Annotated[str, BeforeValidator(_text)]
Meta = Annotated[dict[str, Any], BeforeValidator(_meta)]


class StoredDocument(BaseModel):
    """A document of one of the library's collections, frozen."""

    model_config = ConfigDict(
        frozen=True,
        populate_by_name=True,
        arbitrary_types_allowed=True,
        extra="ignore",
    )

    id: ObjectId = Field(alias="_id")

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a stored document.

        Raises:
            UnreadableDocumentError: If a field holds something that cannot be read as what it is; the
                error names document, field and value.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as exc:
            first = exc.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise UnreadableDocumentError(
                f"{cls.__name__} {document.get('_id')!s}: field {field!r} holds {first['input']!r}: "
                f"{first['msg']}",
                document_id=document.get("_id"),
                field=field,
                value=first["input"],
            ) from exc


JOURNAL_HEADER = frozenset({"template", "correlation_id", "external_id", "metadata"})
"""Fields that a journal has beyond medici's, if a template made it."""


class Journal(StoredDocument):
    """A committed entry: its memo, date and the ids of its legs in posting order."""

    memo: Text = ""
    datetime: Instant
    book: str
    transactions: tuple[ObjectId, ...] = Field(default=(), alias="_transactions")
    voided: bool = False
    void_reason: str | None = None
    template: Annotated[TemplateRef | None, BeforeValidator(_template_ref)] = None
    """The template that made it."""
    correlation_id: Annotated[str | None, BeforeValidator(_text_or_none)] = None
    """What it shares with the journals that belong with it; its own id as text if it began them."""
    external_id: Annotated[str | None, BeforeValidator(_text_or_none)] = None
    """Its id in another system, unique in the book."""
    metadata: Annotated[dict[str, Any], BeforeValidator(_mapping)] = Field(default_factory=dict)
    """What else the caller attached to it."""
    replayed: bool = Field(default=False, exclude=True, repr=False)
    """Whether a commit found this journal under its key instead of posting it; not stored."""

    default_stored_names: ClassVar[frozenset[str]]


class Transaction(StoredDocument):
    """One leg of a journal: a debit or a credit on one account."""

    journal: ObjectId = Field(alias="_journal")
    account_path: tuple[str, ...]
    accounts: str
    book: str
    credit: Amount = Decimal(0)
    debit: Amount = Decimal(0)
    datetime: Instant
    memo: Text = ""
    timestamp: Instant
    meta: Meta = Field(default_factory=dict)
    original_journal: ObjectId | None = Field(default=None, alias="_original_journal")
    voided: bool = False
    void_reason: str | None = None

    default_stored_names: ClassVar[frozenset[str]]


@cache
def stored_names(model: type[StoredDocument]) -> frozenset[str]:
    """Return the top-level field names that documents of *model* have in the database.

    A field declared with ``exclude=True`` is no part of the document.
    """
    return frozenset(field.alias or name for name, field in model.model_fields.items() if not field.exclude)


@cache
def custom_stored_names(model: type[Journal] | type[Transaction]) -> frozenset[str]:
    """Return the stored names that *model* adds to those every journal or leg has, or declares anew."""
    added = stored_names(model) - model.default_stored_names
    if not issubclass(model, Journal):
        return added
    # Older than our own fields may be an application's of the same name.
    own = (get_annotations(kind) for kind in model.__mro__ if kind not in Journal.__mro__)
    return added | (JOURNAL_HEADER & {name for names in own for name in names})


@cache
def object_id_names(model: type[StoredDocument]) -> frozenset[str]:
    """Return the stored names of *model* that hold an ObjectId (alone, or one or nothing)."""
    return frozenset(
        field.alias or name
        for name, field in model.model_fields.items()
        if any(_is_object_id(kind) for kind in (field.annotation, *get_args(field.annotation)))
    )


def _is_object_id(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, ObjectId)


def journal_defaults(model: type[Journal]) -> dict[str, Any]:
    """Return what *model* stores on every journal beyond medici's fields: its own fields' defaults."""
    custom = custom_stored_names(model)
    if not custom:
        return {}
    return {
        field.alias or name: stored_copy(field.get_default(call_default_factory=True, validated_data={}))
        for name, field in model.model_fields.items()
        if (field.alias or name) in custom and not field.is_required()
    }


Journal.default_stored_names = stored_names(Journal)
Transaction.default_stored_names = stored_names(Transaction)

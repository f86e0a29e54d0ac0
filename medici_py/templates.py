"""Transaction templates: what makes every posting of a kind uniform.

A template is a code, a version, a pydantic model of its params and a pure function from params to legs::

    class Deposit(TemplateParams):
        wallet: str
        sats: int

    DEPOSIT = TransactionTemplate(
        code="DEPOSIT",
        version=1,
        description="A deposit from outside",
        params=Deposit,
        legs=lambda params: [
            TemplateLeg(account="Outside", side=Side.DEBIT, amount=params.sats, currency="BTC",
                        entry_type="DEPOSIT_BTC_DR"),
            TemplateLeg(account=f"Wallets:{params.wallet}", side=Side.CREDIT, amount=params.sats,
                        currency="BTC", entry_type="DEPOSIT_BTC_CR"),
        ],
        samples=[Deposit(wallet="w1", sats=1_000)],
    )
    await register_templates(database, [DEPOSIT])       # at the start of every process
    journal = await post(book, DEPOSIT, {"wallet": "w7", "sats": 500}, external_id="deposit-42")

Everything here is pure until `post` commits. Amounts are above zero: the side, never a sign, says where it
goes. Debits equal credits in every currency of every layer, which is looked at here, when a template is
registered as well, and once more by the book, whose dimensions currency and layer therefore have to be.

Source: sqlx-ledger, ``ledger/src/tx_template`` (code, params, entry types, correlation and external ids);
there neither the layer nor the sign of an amount is looked at.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, assert_never
from uuid import UUID

from bson import ObjectId
from pydantic import ValidationError

from medici_py.documents import Journal, TemplateRef
from medici_py.driver import Session
from medici_py.errors import InvalidAccountPathError, TemplateError, TemplateParamsError, TransactionError
from medici_py.journal_header import JournalHeader, parse_metadata, parse_reference
from medici_py.template_definition import canonical, fingerprint_of, params_schema
from medici_py.template_legs import CURRENCY, LAYER, Side, TemplateLeg, imbalance, is_text, leg_fault
from medici_py.template_params import TemplateParams, param_fault

if TYPE_CHECKING:
    from medici_py.book import Book
    from medici_py.entry import Entry

P = TypeVar("P", bound=TemplateParams)


class TemplateIdentity(NamedTuple):
    """All of a template that a posting depends on: what stands under its code and version for good.

    Attributes:
        code: Its code.
        version: Its version.
        fingerprint: SHA-256 of params and legs on its samples, in hexadecimal.
        id: Its fixed id, if it has one.
    """

    code: str
    version: int
    fingerprint: str
    id: UUID | None


@dataclass(frozen=True, kw_only=True)
class TransactionTemplate(Generic[P]):
    """How a posting of one kind becomes legs.

    Attributes:
        code: Its name, stored on every journal it makes.
        version: From 1; raise it whenever params or legs change.
        description: What such a posting means, in a sentence.
        params: The model of its params.
        legs: Pure function from params to legs: the same legs for the same params, on any machine.
        samples: Params, at least one, whose legs stand for all in the fingerprint; choose them so that every
            branch of *legs* is taken.
        id: Its fixed id, where some other system gave it one.

    Raises:
        TemplateError: If it is made with anything else.
    """

    code: str
    version: int
    description: str
    params: type[P]
    legs: Callable[[P], Sequence[TemplateLeg]]
    samples: Sequence[P]
    id: UUID | None = None

    def __post_init__(self) -> None:
        for name in ("code", "description"):
            if not is_text(found := getattr(self, name)):
                raise _refused(self, f"{name} {found!r} refused: give text that is not empty")
        if not _is_version(self.version):
            raise _refused(self, f"version {self.version!r} refused: give a whole number from 1")
        if not _is_params_model(self.params):
            raise _refused(self, f"params {self.params!r} refused: give a subclass of TemplateParams")
        object.__setattr__(self, "samples", tuple(self.samples))
        if not self.samples or not all(isinstance(sample, self.params) for sample in self.samples):
            raise _refused(
                self, f"samples {self.samples!r} refused: give one {self.params.__name__} or more of them"
            )

    def __str__(self) -> str:
        return f"{self.code} version {self.version}"

    @property
    def ref(self) -> TemplateRef:
        """What journals are stored with: code and version."""
        return TemplateRef(self.code, self.version)

    def describe(self) -> Mapping[str, Any]:
        """Return what the template does, as plain values in a canonical order.

        Returns:
            ``{code, version, params: {name: {type, required, default}}, samples: [{params, legs}]}``.

        Raises:
            TemplateError: If the legs of a sample are refused, or a value has no canonical form.
        """
        try:
            return {
                "code": self.code,
                "version": self.version,
                "params": params_schema(self.params),
                "samples": [self._described_sample(sample) for sample in self.samples],
            }
        except ValueError as exc:
            raise _refused(self, f"it cannot be described: {exc}") from exc

    def fingerprint(self) -> str:
        """Return SHA-256 of params and legs on the samples, in hexadecimal; worked out once.

        It does not depend on the order of fields or keys, on how an amount is written (``5`` and ``5.0``), or
        on titles, descriptions and constraints of params.

        Raises:
            TemplateError: As `describe`.
        """
        return self.identity.fingerprint

    @cached_property
    def identity(self) -> TemplateIdentity:
        """All that a posting depends on; worked out once, errors as `fingerprint`."""
        definition = self.describe()
        fingerprint = fingerprint_of({part: definition[part] for part in ("params", "samples")})
        return TemplateIdentity(self.code, self.version, fingerprint, self.id)

    def _described_sample(self, sample: P) -> dict[str, Any]:
        legs = legs_of(self, sample)
        return {"params": canonical(sample), "legs": [leg.described() for leg in legs]}


def require_template(template: object) -> None:
    """Check that *template* is one, and not its code.

    Raises:
        TemplateError: If it is anything else.
    """
    if not isinstance(template, TransactionTemplate):
        raise TemplateError(
            f"Template {template!r} refused: give the TransactionTemplate itself.", template=str(template)
        )


def legs_of(template: TransactionTemplate[P], params: P | Mapping[str, Any]) -> tuple[TemplateLeg, ...]:
    """Return the legs that *template* makes of *params*, all of them checked.

    Raises:
        TemplateParamsError: If the template does not take these params.
        TemplateError: If there is no leg, one is refused, or debits do not equal credits in some currency
            and layer.
    """
    legs = tuple(template.legs(_checked_params(template, params)))
    if not legs:
        raise _refused(template, "it has no legs for these params; return one TemplateLeg or more")
    for number, leg in enumerate(legs, 1):
        if fault := leg_fault(leg):
            raise _refused(template, fault, leg=number)
    if fault := imbalance(legs):
        raise _refused(template, fault)
    return legs


def template_entry(
    book: "Book",
    template: TransactionTemplate[P],
    params: P | Mapping[str, Any],
    *,
    key: str | None = None,
    external_id: str | None = None,
    correlation_id: str | None = None,
    effective: dt.date | dt.datetime | None = None,
    metadata: Mapping[str, Any] | None = None,
    memo: str | None = None,
    original_journal: ObjectId | str | None = None,
) -> "Entry":
    """Return the entry that *template* makes of *params*; nothing is written before its ``commit()``.

    It may be added to a batch or tried with ``dry_run()``, as any entry, and takes no other legs. Whatever
    would write it refuses a template that is not registered in the database, or not as it is.

    Args:
        book: A book with the dimensions currency and layer.
        template: The template.
        params: Its params: an instance, or a mapping that is validated without coercion.
        key: Idempotency key; *external_id* if left out.
        external_id: Id of the posting in another system, unique in the book because it is the key, too.
        correlation_id: What the journal shares with those that belong with it; its own id if left out.
        effective: Effective date; a date alone is midnight UTC; the recorded time if left out.
        metadata: What else is stored on the journal.
        memo: The template's code if left out, which stays the same where a description is reworded.
        original_journal: The journal that this one follows from, stored on every leg.

    Raises:
        TemplateParamsError: If the template does not take these params.
        TemplateError: If it is none, its legs are refused, or the book has not these dimensions.
        TransactionError: If another argument is refused; the error names it.
    """
    require_template(template)
    _check_book(template, book)
    external_id = parse_reference("external_id", external_id)
    if external_id is not None and key is not None and key != external_id:
        raise TransactionError(
            f"key {key!r} and external_id {external_id!r} refused: the external id is the idempotency key; "
            "give one of them, or the same text for both.",
            field="key",
            value=key,
        )
    legs = legs_of(template, params)
    entry = book.entry(
        template.code if memo is None else memo,
        date=effective,
        original_journal=original_journal,
        key=external_id if key is None else key,
    )
    header = JournalHeader(
        template=template.ref,
        correlation_id=parse_reference("correlation_id", correlation_id),
        external_id=external_id,
        metadata=parse_metadata(metadata, entry.rules.codec_options),
    )
    for number, leg in enumerate(legs, 1):
        _add_leg(entry, template, number, leg)
    return entry.head(header, template)


async def post(
    book: "Book",
    template: TransactionTemplate[P],
    params: P | Mapping[str, Any],
    *,
    key: str | None = None,
    external_id: str | None = None,
    correlation_id: str | None = None,
    effective: dt.date | dt.datetime | None = None,
    metadata: Mapping[str, Any] | None = None,
    memo: str | None = None,
    original_journal: ObjectId | str | None = None,
    session: Session | None = None,
) -> Journal:
    """Post what *template* makes of *params*, all of it or nothing.

    Arguments and errors as in `template_entry`; *session* and everything else as in `Entry.commit`. Under a
    key that was used before it returns the first journal with ``replayed=True``.

    Raises:
        TemplateError: If template, params or legs are refused.
        UnknownTemplateError: If the template is not registered in the database; see `register_templates`.
        TemplateChangedError: If another one is registered under its code and version.
        DuplicateEntryError: If another entry stands under the key; the message says what differs.
        TransactionError: As `Entry.commit`.
    """
    entry = template_entry(
        book,
        template,
        params,
        key=key,
        external_id=external_id,
        correlation_id=correlation_id,
        effective=effective,
        metadata=metadata,
        memo=memo,
        original_journal=original_journal,
    )
    return await entry.commit(session=session)


def _checked_params(template: TransactionTemplate[P], params: P | Mapping[str, Any]) -> P:
    try:
        return template.params.model_validate(dict(params) if isinstance(params, Mapping) else params)
    except ValidationError as exc:
        faults = [param_fault(template.params, fault) for fault in exc.errors(include_url=False)]
        first = faults[0]
        raise TemplateParamsError(
            f"Params refused by template {template}: {'; '.join(str(fault) for fault in faults)}.",
            template=template.code,
            field=first.field,
            value=first.value,
            expected=first.expected,
        ) from exc


def _check_book(template: TransactionTemplate[Any], book: "Book") -> None:
    missing = [name for name in (CURRENCY, LAYER) if name not in book.settings.dimensions]
    if missing:
        raise _refused(
            template,
            f"book {book.name!r} has no dimension {' and '.join(missing)}, in which its legs balance; open "
            'it with dimensions=("currency", "layer")',
        )


def _add_leg(entry: "Entry", template: TransactionTemplate[Any], number: int, leg: TemplateLeg) -> None:
    match leg.side:
        case Side.DEBIT:
            add = entry.debit
        case Side.CREDIT:
            add = entry.credit
        case _:
            assert_never(leg.side)
    try:
        add(
            leg.account,
            leg.amount,
            leg.stored_keys(number),
            min_balance=leg.min_balance,
            max_balance=leg.max_balance,
        )
    except (TransactionError, InvalidAccountPathError) as exc:
        raise _refused(template, str(exc).rstrip("."), leg=number) from exc


def _is_version(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_params_model(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, TemplateParams)


def _refused(template: TransactionTemplate[Any], what: str, *, leg: int | None = None) -> TemplateError:
    where = "" if leg is None else f", leg {leg}"
    return TemplateError(f"Template {template}{where}: {what}.", template=template.code, leg=leg)

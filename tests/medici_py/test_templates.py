"""Templates make every posting of a kind uniform: typed params, pure legs, the law in each currency and layer."""

import asyncio
import dataclasses
import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from medici_py import (
    Book,
    DuplicateEntryError,
    Entry,
    InsufficientBalanceError,
    Journal,
    Layer,
    Side,
    TemplateChangedError,
    TemplateError,
    TemplateLeg,
    TemplateParams,
    TemplateParamsError,
    TemplateRef,
    TransactionError,
    TransactionTemplate,
    UnknownTemplateError,
    init_models,
    mongo_transaction,
    post,
    register_templates,
    template_entry,
)
from medici_py.batch import EntryBatch
from medici_py.templates import legs_of

BookFactory = Callable[..., Book]

DIMENSIONS = ("currency", "layer")
DAY = dt.date(2024, 1, 31)


class Transfer(TemplateParams):
    sender: str
    recipient: str
    btc: Decimal
    usd: Decimal


def transfer_legs(params: Transfer) -> list[TemplateLeg]:
    return [
        TemplateLeg(
            account=account,
            side=side,
            amount=amount,
            currency=currency,
            entry_type=f"TRANSFER_{currency}_{kind}",
        )
        for currency, amount in (("BTC", params.btc), ("USD", params.usd))
        for account, side, kind in ((params.sender, Side.DEBIT, "DR"), (params.recipient, Side.CREDIT, "CR"))
    ]


TRANSFER = TransactionTemplate(
    code="TRANSFER",
    version=1,
    description="Moves bitcoin and dollars.",
    params=Transfer,
    legs=transfer_legs,
    samples=[Transfer(sender="s", recipient="r", btc=Decimal(1), usd=Decimal(2))],
)
VECTOR = {"sender": "Sender", "recipient": "Recipient", "btc": Decimal(1290), "usd": Decimal(100)}


class Legs(TemplateParams):
    """Params that are the legs themselves, so that a test can post any."""

    legs: tuple[dict[str, Any], ...]


def leg(**changes: Any) -> dict[str, Any]:
    is_so = {"account": "A", "side": Side.DEBIT, "amount": 5, "currency": "USD", "entry_type": "X"}
    return is_so | changes


def of_legs(*legs: dict[str, Any], **changes: Any) -> TransactionTemplate[Legs]:
    """Return a template whose sample has these legs, or a debit and a credit."""
    template = TransactionTemplate(
        code="ANY",
        version=1,
        description="Whatever its params say.",
        params=Legs,
        legs=lambda params: [TemplateLeg(**one) for one in params.legs],
        samples=[Legs(legs=legs or (leg(), leg(account="B", side=Side.CREDIT)))],
    )
    return dataclasses.replace(template, **changes)


@pytest.fixture
async def registered(bank: Any) -> None:
    """What a process does at its start."""
    await register_templates(bank, [TRANSFER, dataclasses.replace(TRANSFER, version=2), of_legs()])


@pytest.fixture
def book(book_factory: BookFactory) -> Book:
    """A book that templates can post into."""
    return book_factory("Ledger", dimensions=DIMENSIONS)


async def counts(database: Any) -> tuple[int, int, int]:
    journals, legs, keys = [
        await database[name].count_documents({})
        for name in ("medici_journals", "medici_transactions", "medici_py_keys")
    ]
    return journals, legs, keys


class TestDefinition:
    """What a template is made of."""

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"code": ""}, "code '' refused"),
            ({"code": 5}, "code 5 refused"),
            ({"description": ""}, "description '' refused"),
            ({"version": 0}, "version 0 refused: give a whole number from 1"),
            ({"version": True}, "version True refused"),
            ({"version": "1"}, "version '1' refused"),
            ({"params": dict}, "give a subclass of TemplateParams"),
            ({"samples": []}, "give one Legs or more of them"),
            ({"samples": [{"legs": ()}]}, "give one Legs or more of them"),
        ],
    )
    def test_part_that_cannot_be_is_refused(self, changes: dict[str, Any], reason: str) -> None:
        """When the template is made, which is when the program starts."""
        with pytest.raises(TemplateError) as caught:
            of_legs(**changes)
        assert reason in str(caught.value)
        assert caught.value.code == 400

    def test_description_is_params_and_legs_on_the_samples(self) -> None:
        """Plain values, which JSON and BSON can hold."""
        btc, usd = "BTC", "USD"
        expected = [
            {
                "account": account,
                "side": side,
                "amount": amount,
                "currency": currency,
                "layer": "SETTLED",
                "entry_type": f"TRANSFER_{currency}_{kind}",
                "meta": {},
                "min_balance": None,
                "max_balance": None,
            }
            for currency, amount in ((btc, "1"), (usd, "2"))
            for account, side, kind in (("s", "debit", "DR"), ("r", "credit", "CR"))
        ]
        params = {"btc": {"decimal": "1"}, "recipient": "r", "sender": "s", "usd": {"decimal": "2"}}
        types = {"btc": "Decimal", "recipient": "str", "sender": "str", "usd": "Decimal"}
        assert TRANSFER.describe() == {
            "code": "TRANSFER",
            "version": 1,
            "params": {name: {"type": kind, "required": True} for name, kind in types.items()},
            "samples": [{"params": params, "legs": expected}],
        }

    def test_fingerprint_is_the_same_in_every_process(self) -> None:
        """Another one here would stop every ledger that has registered a template."""
        assert TRANSFER.fingerprint() == "00624068098da9664fb17bcd19f3929d390c1e431350a1edc28374abd25497d7"

    @pytest.mark.parametrize(
        "changes",
        [
            {"version": 2},
            {"description": "Reworded."},
            {"code": "RENAMED"},
            {"id": UUID(int=1)},
        ],
    )
    def test_fingerprint_is_of_params_and_legs_alone(self, changes: dict[str, Any]) -> None:
        """What a template is called does not change what it posts."""
        assert dataclasses.replace(TRANSFER, **changes).fingerprint() == TRANSFER.fingerprint()

    def test_fingerprint_changes_with_the_params(self) -> None:
        """Another type, another default, one more: callers of the old version would be refused."""

        class WithFee(Transfer):
            fee: Decimal | None = None

        class WithOtherFee(Transfer):
            fee: Decimal | None = Decimal(0)

        class AsText(Transfer):
            recipient: str | None  # type: ignore[assignment]

        values = TRANSFER.samples[0].model_dump()
        fingerprints = {
            dataclasses.replace(TRANSFER, params=params, samples=[params(**values)]).fingerprint()
            for params in (Transfer, WithFee, WithOtherFee, AsText)
        }
        assert len(fingerprints) == 4

    def test_template_whose_sample_is_refused_has_no_fingerprint(self) -> None:
        """It could post nothing; registering it says why."""
        with pytest.raises(
            TemplateError, match="Template ANY version 1: it does not balance in currency USD"
        ):
            of_legs(leg()).fingerprint()

    def test_value_that_is_not_the_same_tomorrow_cannot_be_described(self) -> None:
        """Such as an object whose text is its address."""
        legs = leg(), leg(account="B", side=Side.CREDIT, meta={"by": object()})
        with pytest.raises(TemplateError, match="cannot be described: a object has no canonical form"):
            of_legs(*legs).describe()


AMOUNTS = st.integers(1, 10**6) | st.decimals("0.01", 10**6, places=2)
LEG_CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "account": st.sampled_from(["A", "B", "B:C"]),
    "amount": AMOUNTS,
    "currency": st.sampled_from(["USD", "BTC"]),
    "entry_type": st.sampled_from(["X", "Y"]),
    "layer": st.sampled_from(Layer),
    "meta": st.dictionaries(st.sampled_from("ab"), st.integers(0, 1) | st.text(max_size=1), max_size=2),
    "min_balance": st.none() | st.integers(-5, 5),
    "max_balance": st.none() | st.integers(-5, 5),
}
PAIRS = st.fixed_dictionaries(LEG_CHANGES)


def fixed(*legs: dict[str, Any]) -> TransactionTemplate[Legs]:
    """Return a template that makes these legs of any params, so that only they can change its fingerprint."""
    return of_legs(legs=lambda _: [TemplateLeg(**one) for one in legs])


def pair(both: dict[str, Any]) -> TransactionTemplate[Legs]:
    return fixed(leg(**both), leg(**both | {"side": Side.CREDIT}))


class TestFingerprintProperty:
    """Equal legs, equal fingerprint; other legs, another fingerprint."""

    @settings(deadline=None)
    @given(PAIRS, st.sampled_from(sorted(LEG_CHANGES)), st.data())
    def test_fingerprint_changes_with_any_change_of_a_leg_and_with_nothing_else(
        self, both: dict[str, Any], name: str, data: st.DataObject
    ) -> None:
        """Account, amount, currency, layer, entry type, meta, bounds."""
        changed = both | {name: data.draw(LEG_CHANGES[name], label=name)}
        same = changed[name] == both[name]
        assert (pair(both).fingerprint() == pair(changed).fingerprint()) is same

    @settings(deadline=None)
    @given(PAIRS)
    def test_sides_and_their_order_matter(self, both: dict[str, Any]) -> None:
        """The sequence is stored with each leg."""
        debit, credit = leg(**both), leg(**both | {"side": Side.CREDIT})
        assert fixed(debit, credit).fingerprint() != fixed(credit, debit).fingerprint()

    @settings(deadline=None)
    @given(AMOUNTS, st.dictionaries(st.text(max_size=2), st.integers(-9, 9), max_size=4))
    def test_fingerprint_does_not_depend_on_how_things_are_written(
        self, amount: Any, meta: dict[str, int]
    ) -> None:
        """Order of keys, trailing zeros."""
        digits = Decimal(f"{amount}.00" if isinstance(amount, int) else f"{amount}0")
        otherwise = {"amount": digits, "meta": dict(reversed(meta.items()))}
        assert pair({"amount": amount, "meta": meta}).fingerprint() == pair(otherwise).fingerprint()


ANY_LEG = st.builds(
    leg,
    account=st.sampled_from(["A", "B", "B:C"]),
    side=st.sampled_from(Side),
    amount=st.integers(-1, 2),
    currency=st.sampled_from(["USD", "BTC"]),
    layer=st.sampled_from([Layer.SETTLED, Layer.PENDING]),
)


@settings(deadline=None)
@given(st.lists(ANY_LEG, max_size=5))
def test_template_makes_balanced_legs_or_is_refused(legs: list[dict[str, Any]]) -> None:
    """Whatever its function returns: nothing else ever reaches a book."""
    sums: dict[tuple[str, Layer], int] = {}
    for one in legs:
        place = one["currency"], one["layer"]
        sums[place] = sums.get(place, 0) + one["amount"] * (1 if one["side"] is Side.CREDIT else -1)
    is_lawful = bool(legs) and all(one["amount"] > 0 for one in legs) and not any(sums.values())
    template = of_legs()
    if is_lawful:
        assert [made.amount for made in legs_of(template, {"legs": tuple(legs)})] == [
            one["amount"] for one in legs
        ]
    else:
        with pytest.raises(TemplateError):
            legs_of(template, {"legs": tuple(legs)})


@pytest.mark.usefixtures("registered")
class TestPosting:
    """A template's journal in a real book."""

    async def test_transfer_posted_twice_moves_twice_the_amounts(self, driver_database: Any) -> None:
        """1290 BTC and 100 USD: +2580 and +200 for the recipient, the same below zero for the sender.

        Source: sqlx-ledger, ``ledger/tests/post_transaction.rs``.
        """
        book = Book("Ledger", driver_database, dimensions=DIMENSIONS)
        await post(book, TRANSFER, VECTOR)
        await post(book, TRANSFER, Transfer(**VECTOR))
        found = {
            (account, currency): (
                await book.balance(account, {"currency": currency, "layer": "SETTLED"})
            ).balance
            for account in ("Recipient", "Sender")
            for currency in ("BTC", "USD")
        }
        assert found == {
            ("Recipient", "BTC"): 2580,
            ("Recipient", "USD"): 200,
            ("Sender", "BTC"): -2580,
            ("Sender", "USD"): -200,
        }
        assert (await book.verify()).clean

    async def test_journal_says_what_made_it(self, book: Book, bank: Any) -> None:
        """Template, ids, metadata and effective date on the journal; the rest on its legs."""
        original = ObjectId()
        journal = await post(
            book,
            TRANSFER,
            VECTOR,
            external_id="tx-42",
            correlation_id="order-7",
            effective=DAY,
            metadata={"btc_tx_id": "abc", "n": 1},
            memo="Transfer of the 31st",
            original_journal=original,
        )
        assert journal.template == TemplateRef("TRANSFER", 1)
        assert (journal.correlation_id, journal.external_id) == ("order-7", "tx-42")
        assert journal.metadata == {"btc_tx_id": "abc", "n": 1}
        assert journal.datetime == dt.datetime(2024, 1, 31, tzinfo=dt.UTC)
        assert journal.memo == "Transfer of the 31st"
        stored = await bank["medici_journals"].find_one({"_id": journal.id})
        assert stored["template"] == {"code": "TRANSFER", "version": 1}
        legs = (await book.ledger(reverse=True)).results
        assert [
            (leg.accounts, leg.debit, leg.credit, leg.original_journal, leg.meta)
            for leg in sorted(legs, key=lambda leg: leg.meta["sequence"])
        ] == [
            (
                account,
                amount if side == "DR" else 0,
                amount if side == "CR" else 0,
                original,
                {
                    "currency": currency,
                    "layer": "SETTLED",
                    "entry_type": f"TRANSFER_{currency}_{side}",
                    "sequence": sequence,
                },
            )
            for sequence, (account, amount, currency, side) in enumerate(
                [
                    ("Sender", 1290, "BTC", "DR"),
                    ("Recipient", 1290, "BTC", "CR"),
                    ("Sender", 100, "USD", "DR"),
                    ("Recipient", 100, "USD", "CR"),
                ],
                1,
            )
        ]

    async def test_what_is_not_given_has_its_default(self, book: Book, bank: Any) -> None:
        """Memo is the code, correlation id the journal's own; the others are absent."""
        journal = await post(book, TRANSFER, VECTOR)
        assert (journal.memo, journal.correlation_id) == ("TRANSFER", str(journal.id))
        assert (journal.external_id, journal.metadata) == (None, {})
        stored = await bank["medici_journals"].find_one({"_id": journal.id})
        assert set(stored) == {
            "_id",
            "memo",
            "_transactions",
            "datetime",
            "book",
            "template",
            "correlation_id",
        }

    async def test_plain_entry_is_stored_as_before(self, book: Book, bank: Any) -> None:
        """A journal that no template made has none of these fields."""
        extra = {"currency": "USD", "layer": "SETTLED"}
        journal = await book.entry("x").debit("A", 1, extra).credit("B", 1, extra).commit()
        assert (journal.template, journal.correlation_id, journal.metadata) == (None, None, {})
        assert set(await bank["medici_journals"].find_one({})) == {
            "_id",
            "memo",
            "_transactions",
            "datetime",
            "book",
        }

    async def test_layers_are_kept_apart(self, book: Book) -> None:
        """What is pending is no part of what is settled."""
        legs = [
            leg(account=account, side=side, layer=layer, amount=amount)
            for layer, amount in ((Layer.SETTLED, 5), (Layer.PENDING, 7), (Layer.ENCUMBERED, 9))
            for account, side in (("A", Side.DEBIT), ("B", Side.CREDIT))
        ]
        await post(book, of_legs(), {"legs": tuple(legs)})
        balances = [(await book.balance("B", {"currency": "USD", "layer": layer})).balance for layer in Layer]
        assert balances == [5, 7, 9]

    @pytest.mark.parametrize(
        ("legs", "number", "text"),
        [
            ([leg(amount=0), leg(side=Side.CREDIT, amount=0)], 1, "leg 1: amount 0 USD on 'A' refused"),
            ([leg(), leg(side=Side.CREDIT, amount=-5)], 2, "leg 2: amount -5 USD on 'A' refused"),
            ([leg(), leg(side=Side.CREDIT, currency="BTC")], None, "does not balance in currency USD"),
            ([leg(), leg(side=Side.CREDIT, layer=Layer.PENDING)], None, "layer SETTLED: debits 5, credits 0"),
            ([], None, "it has no legs for these params"),
            ([leg(), leg(side=Side.CREDIT, account="A::B")], 2, "leg 2: "),
            ([leg(), leg(side=Side.CREDIT, account="A:B:C:D")], 2, "leg 2: "),
            ([leg(amount=Decimal("0.123")), leg(side=Side.CREDIT, amount=Decimal("0.123"))], 1, "leg 1: "),
            ([leg(meta={"voided": True}), leg(side=Side.CREDIT)], 1, "'voided' cannot be set on a leg"),
            ([leg(meta={"a": object()}), leg(side=Side.CREDIT)], 1, "leg 1: "),
        ],
    )
    async def test_leg_at_fault_is_named_and_nothing_is_written(
        self, book_factory: BookFactory, bank: Any, legs: list[dict[str, Any]], number: int | None, text: str
    ) -> None:
        """By its number in posting order and the template."""
        book = book_factory("Ledger", dimensions=DIMENSIONS, precision=2)
        with pytest.raises(TemplateError) as caught:
            await post(book, of_legs(), {"legs": tuple(legs)}, external_id="x")
        assert (caught.value.template, caught.value.leg) == ("ANY", number)
        assert str(caught.value).startswith("Template ANY version 1")
        assert text in str(caught.value)
        assert await counts(bank) == (0, 0, 0)

    async def test_ill_typed_params_write_nothing(self, book: Book, bank: Any) -> None:
        """The error says which."""
        with pytest.raises(TemplateParamsError, match=r"btc: found 1290\.0"):
            await post(book, TRANSFER, VECTOR | {"btc": 1290.0})
        assert await counts(bank) == (0, 0, 0)

    @pytest.mark.parametrize(
        ("dimensions", "missing"),
        [((), "currency and layer"), (("currency",), "layer"), (("layer",), "currency")],
    )
    async def test_book_that_does_not_keep_the_law_is_refused(
        self, book_factory: BookFactory, dimensions: Any, missing: str
    ) -> None:
        """Other entries of such a book could mix currencies or layers."""
        with pytest.raises(
            TemplateError, match=f"'Mixed' has no dimension {missing}, .* open it with dimensions"
        ):
            template_entry(book_factory("Mixed", dimensions=dimensions), TRANSFER, VECTOR)

    async def test_book_may_have_more_dimensions(self, book_factory: BookFactory) -> None:
        """A leg gives their values in its meta."""
        book = book_factory("Regions", dimensions={"currency": None, "layer": "SETTLED", "region": None})
        legs = leg(meta={"region": "EU"}), leg(account="B", side=Side.CREDIT, meta={"region": "EU"})
        await post(book, of_legs(), {"legs": legs})
        assert (await book.balance("B", {"region": "EU"})).balance == 5
        with pytest.raises(TemplateError, match="leg 1: Dimension 'region' refused"):
            await post(book, of_legs(), {"legs": (leg(), leg(side=Side.CREDIT))})

    async def test_bound_of_a_leg_is_kept(self, book: Book, bank: Any) -> None:
        """Within its currency and layer."""
        await post(book, of_legs(), {"legs": (leg(account="Bank"), leg(account="Wallet", side=Side.CREDIT))})
        spent = {"legs": (leg(account="Wallet", min_balance=0), leg(account="Shop", side=Side.CREDIT))}
        await post(book, of_legs(), spent)
        with pytest.raises(InsufficientBalanceError):
            await post(book, of_legs(), spent)
        assert (await counts(bank))[0] == 2

    async def test_entry_of_a_template_is_an_entry(self, book: Book, bank: Any) -> None:
        """It can be tried, gathered in a batch, and committed in a session that is rolled back."""
        tried = await template_entry(book, TRANSFER, VECTOR, external_id="x").dry_run()
        assert (tried.template, tried.external_id) == (TemplateRef("TRANSFER", 1), "x")
        assert await counts(bank) == (0, 0, 0)
        async with book.batch() as batch:
            for number in range(2):
                batch.add(template_entry(book, TRANSFER, VECTOR, correlation_id=f"c{number}"))
        assert [journal.correlation_id for journal in batch.journals] == ["c0", "c1"]
        with pytest.raises(ZeroDivisionError):
            await mongo_transaction(bank.client, self._post_and_fail(book))
        assert await counts(bank) == (2, 8, 0)

    @staticmethod
    def _post_and_fail(book: Book) -> Callable[[Any], Any]:
        async def run(session: Any) -> None:
            journal = await post(book, TRANSFER, VECTOR, external_id="y", session=session)
            assert journal.template == TemplateRef("TRANSFER", 1)
            raise ZeroDivisionError

        return run

    async def test_committed_entry_takes_no_other_header(self, book: Book) -> None:
        """As it takes no more legs."""
        entry = template_entry(book, TRANSFER, VECTOR)
        header = entry.header
        await entry.commit()
        assert header is not None
        with pytest.raises(TransactionError, match="committed already"):
            entry.head(header, TRANSFER)

    @pytest.mark.parametrize("side", [Side.DEBIT, Side.CREDIT])
    async def test_entry_of_a_template_takes_no_other_legs(self, book: Book, bank: Any, side: Side) -> None:
        """Its journal says that the template made them all."""
        entry = template_entry(book, TRANSFER, VECTOR)
        add = entry.debit if side is Side.DEBIT else entry.credit
        with pytest.raises(TransactionError, match="legs of template TRANSFER version 1 and takes no others"):
            add("Evil", 1, {"currency": "USD"})
        await entry.commit()
        assert await counts(bank) == (1, 4, 0)

    @pytest.mark.parametrize(
        ("arguments", "field"),
        [
            ({"external_id": ""}, "external_id"),
            ({"external_id": 5}, "external_id"),
            ({"correlation_id": ""}, "correlation_id"),
            ({"metadata": ["x"]}, "metadata"),
            ({"metadata": {"a.b": 1}}, "metadata"),
            ({"effective": dt.datetime(2024, 1, 31)}, "date"),  # noqa: DTZ001 - the missing zone is the point
            ({"key": ""}, "key"),
            ({"memo": 5}, "memo"),
        ],
    )
    async def test_other_arguments_are_refused_by_name(
        self, book: Book, arguments: dict[str, Any], field: str
    ) -> None:
        """As those of any entry."""
        with pytest.raises(TransactionError) as caught:
            template_entry(book, TRANSFER, VECTOR, **arguments)
        assert caught.value.field == field

    async def test_void_reverses_and_keeps_the_correlation(self, book: Book) -> None:
        """The reversal belongs with what it reverses; it is not a posting of the template."""
        journal = await post(book, TRANSFER, VECTOR, correlation_id="order-7", external_id="x")
        reversal = await book.void(journal.id)
        assert (reversal.correlation_id, reversal.template, reversal.external_id) == ("order-7", None, None)
        restored = await book.void(reversal.id)
        assert restored.correlation_id == "order-7"
        assert (await book.balance("Recipient", {"currency": "BTC"})).balance == 1290
        assert (await book.verify()).clean


async def test_node_reads_and_voids_the_journal_of_a_template(node: Any, mongo_database: Any) -> None:
    """It passes over what it does not know, and leaves it where it is."""
    await init_models(mongo_database)
    await register_templates(mongo_database, [TRANSFER])
    book = Book("Shared", mongo_database, dimensions=DIMENSIONS, running_balances=False)
    journal = await post(book, TRANSFER, VECTOR, external_id="x", metadata={"a": 1})
    node_book = node.book("Shared")
    in_btc = {"currency": "BTC", "layer": "SETTLED"}
    assert (await node_book.balance("Recipient", in_btc)).balance == 1290
    await node_book.void(journal.id)
    assert (await book.balance("Recipient", in_btc)).balance == 0
    stored = Journal.from_document(await mongo_database.medici_journals.find_one({"_id": journal.id}))
    assert stored.voided
    assert stored.template == TemplateRef("TRANSFER", 1)
    assert (stored.correlation_id, stored.external_id, stored.metadata) == (str(journal.id), "x", {"a": 1})
    assert (await book.verify()).clean


async def commit(entry: Entry) -> None:
    await entry.commit()


async def try_out(entry: Entry) -> None:
    await entry.dry_run()


async def commit_in_a_batch(entry: Entry) -> None:
    async with EntryBatch(entry.poster, None) as batch:  # type: ignore[arg-type]
        batch.add(entry)


async def commit_in_a_session(entry: Entry) -> None:
    poster: Any = entry.poster

    async def body(session: Any) -> None:
        await entry.commit(session=session)

    await mongo_transaction(poster.store.client, body)


WAYS = [commit, try_out, commit_in_a_batch, commit_in_a_session]


class TestRegistration:
    """A ledger knows what is posted into it: it describes itself."""

    @pytest.mark.parametrize("way", WAYS)
    async def test_template_that_is_not_registered_posts_nothing(
        self, book: Book, bank: Any, way: Callable[[Entry], Any]
    ) -> None:
        """Whichever way; the error says what to do."""
        await register_templates(bank, [dataclasses.replace(TRANSFER, version=2), of_legs()])
        with pytest.raises(UnknownTemplateError) as caught:
            await way(template_entry(book, TRANSFER, VECTOR, external_id="x"))
        error = caught.value
        assert (error.template, error.known) == ("TRANSFER", ("ANY", "TRANSFER"))
        assert str(error) == (
            f"Template TRANSFER version 1 is not registered in database {bank.name!r}, and nothing is posted "
            "that the ledger does not know. Run register_templates(database, ...) at the start of the "
            "process, with all that it posts with. Registered are: ANY version 1, TRANSFER version 2."
        )
        assert await counts(bank) == (0, 0, 0)

    @pytest.mark.parametrize("way", WAYS)
    async def test_template_that_was_changed_under_its_version_posts_nothing(
        self, book: Book, bank: Any, way: Callable[[Entry], Any]
    ) -> None:
        """Other legs than those that the ledger describes."""
        await register_templates(bank, [TRANSFER])
        changed = dataclasses.replace(TRANSFER, legs=lambda params: transfer_legs(params)[:2])
        with pytest.raises(TemplateChangedError, match="version 1 is registered as it was") as caught:
            await way(template_entry(book, changed, VECTOR))
        assert len(caught.value.differences) == 18
        assert await counts(bank) == (0, 0, 0)
        await post(book, TRANSFER, VECTOR)

    async def test_failed_batch_posts_none_of_its_entries(self, book: Book, bank: Any) -> None:
        """They stand or fall together."""
        await register_templates(bank, [of_legs()])
        batch = book.batch()
        batch.add(template_entry(book, of_legs(), of_legs().samples[0]))
        batch.add(template_entry(book, TRANSFER, VECTOR))
        with pytest.raises(UnknownTemplateError):
            async with batch:
                pass
        assert await counts(bank) == (0, 0, 0)

    async def test_registration_counts_whoever_did_it_and_from_then_on(
        self, book: Book, bank: Any, mongodb: Any
    ) -> None:
        """Another process, say, after this one was refused."""
        entry = template_entry(book, TRANSFER, VECTOR)
        with pytest.raises(UnknownTemplateError, match="Registered are: none"):
            await entry.commit()
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            await register_templates(client[bank.name], [TRANSFER])
        await entry.commit()
        await post(book, dataclasses.replace(TRANSFER, description="Reworded."), VECTOR)
        assert await counts(bank) == (2, 8, 0)

    async def test_database_is_asked_once_a_template(self, book: Book, bank: Any, mongodb: Any) -> None:
        """Whoever registered it need not ask; neither does the next posting."""
        reads = ReadsOfTemplates()
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri, event_listeners=[reads]) as client:
            book = Book("Ledger", client[bank.name], dimensions=DIMENSIONS)
            await register_templates(client[bank.name], [of_legs()])
            registering = reads.count
            for _ in range(3):
                await post(book, of_legs(), of_legs().samples[0])
            assert reads.count == registering
            await register_templates(bank, [TRANSFER])
            for _ in range(3):
                await post(book, TRANSFER, VECTOR)
            assert reads.count == registering + 1

    async def test_server_that_cannot_be_asked_is_an_error_of_the_posting(
        self, faulty_bank: Any, failing_mongodb: Any, fail: Callable[..., Any]
    ) -> None:
        """As everywhere else when an entry cannot be saved."""
        await register_templates(faulty_bank, [TRANSFER])
        async with AsyncMongoClient[dict[str, Any]](failing_mongodb.uri) as other:
            book = Book("Ledger", other[faulty_bank.name], dimensions=DIMENSIONS)
            await fail("find", collection="medici_py_templates", errorCode=13)
            with pytest.raises(TransactionError, match="TRANSFER version 1 could not be looked up"):
                await post(book, TRANSFER, VECTOR)
            await post(book, TRANSFER, VECTOR)

    @pytest.mark.parametrize("template", ["TRANSFER", None, TransactionTemplate])
    async def test_code_is_no_template(self, book: Book, bank: Any, template: Any) -> None:
        """A function of params cannot be looked up."""
        with pytest.raises(TemplateError, match="refused: give the TransactionTemplate itself"):
            await post(book, template, VECTOR)
        with pytest.raises(TemplateError, match="refused: give the TransactionTemplate itself"):
            await register_templates(bank, [template])


class ReadsOfTemplates(CommandListener):
    """Counts how often registered templates are looked up."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: CommandStartedEvent) -> None:
        """Count it if it is one."""
        self.count += event.command.get("find") == "medici_py_templates"

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing to count."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing to count."""


@pytest.mark.usefixtures("registered")
class TestExternalId:
    """An external id posts once in a book."""

    async def test_repeat_returns_the_first_journal(self, book: Book, bank: Any) -> None:
        """Whether it is given as external id, or as key too."""
        first = await post(book, TRANSFER, VECTOR, external_id="tx-42")
        again = await post(book, TRANSFER, VECTOR, external_id="tx-42")
        both = await post(book, TRANSFER, VECTOR, external_id="tx-42", key="tx-42")
        assert (first.replayed, again.replayed, both.replayed) == (False, True, True)
        assert first.id == again.id == both.id
        assert await counts(bank) == (1, 4, 1)

    async def test_many_at_once_from_two_clients_post_one_journal(self, bank: Any, mongodb: Any) -> None:
        """As if two processes had received the same message."""
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            books = [Book("Ledger", of[bank.name], dimensions=DIMENSIONS) for of in (bank.client, client)]
            answers = await asyncio.gather(
                *(post(book, TRANSFER, VECTOR, external_id="tx-42") for _ in range(5) for book in books)
            )
        assert len({journal.id for journal in answers}) == 1
        assert [journal.replayed for journal in answers].count(False) == 1
        assert await counts(bank) == (1, 4, 1)

    async def test_other_amounts_are_refused_naming_the_difference(self, book: Book, bank: Any) -> None:
        """Nothing of it is written."""
        first = await post(book, TRANSFER, VECTOR, external_id="tx-42")
        with pytest.raises(DuplicateEntryError) as caught:
            await post(book, TRANSFER, VECTOR | {"usd": Decimal(101)}, external_id="tx-42")
        message = str(caught.value)
        assert f"its key 'tx-42' was used in book 'Ledger' by journal {first.id}" in message
        assert "has debit 101 on Sender" in message
        assert "lacks debit 100 on Sender" in message
        assert await counts(bank) == (1, 4, 1)

    @pytest.mark.parametrize(
        ("changes", "difference"),
        [
            ({"correlation_id": "c"}, "correlation_id c instead of none"),
            ({"metadata": {"a": 2}}, "metadata {'a': 2} instead of {'a': 1}"),
            ({"metadata": None}, "metadata none instead of {'a': 1}"),
            (
                {"template": dataclasses.replace(TRANSFER, version=2)},
                "template TRANSFER version 2 instead of",
            ),
        ],
    )
    async def test_what_the_journal_says_of_itself_is_content_too(
        self, book: Book, changes: dict[str, Any], difference: str
    ) -> None:
        """Another template, version, correlation id or metadata under one id is another posting."""
        is_so: dict[str, Any] = {"template": TRANSFER, "external_id": "x", "metadata": {"a": 1}}
        other = is_so | changes
        await post(book, params=VECTOR, **is_so)
        with pytest.raises(DuplicateEntryError) as caught:
            await post(book, params=VECTOR, **other)
        assert f"which is another entry: this one {difference}" in str(caught.value)
        assert str(caught.value).endswith("Nothing was written.")
        assert (await post(book, params=VECTOR, **is_so)).replayed

    async def test_trace_context_is_no_content(self, book: Book) -> None:
        """Whoever asks again after a crash does so in another trace, and gets the first journal."""
        first = await post(book, TRANSFER, VECTOR, external_id="x", metadata={"a": 1, "traceparent": "00-1"})
        again = await post(book, TRANSFER, VECTOR, external_id="x", metadata={"a": 1, "traceparent": "00-2"})
        assert (again.replayed, again.metadata) == (True, first.metadata)

    async def test_it_is_content_within_a_batch(self, book: Book, bank: Any) -> None:
        """Two entries of one batch are compared before anything is written."""
        batch = book.batch()
        for correlation_id in (None, "c"):
            batch.add(template_entry(book, TRANSFER, VECTOR, key="k", correlation_id=correlation_id))
        with pytest.raises(DuplicateEntryError, match="correlation_id c instead of none"):
            async with batch:
                pass
        assert await counts(bank) == (0, 0, 0)

    async def test_key_beside_it_must_be_the_same(self, book: Book) -> None:
        """Two keys would be two answers to the question whether it was posted."""
        with pytest.raises(TransactionError, match="key 'a' and external_id 'b' refused") as caught:
            template_entry(book, TRANSFER, VECTOR, key="a", external_id="b")
        assert (caught.value.field, caught.value.value) == ("key", "a")

    async def test_key_alone_is_no_external_id(self, book: Book) -> None:
        """It stays between the application and the book."""
        first = await post(book, TRANSFER, VECTOR, key="k")
        assert first.external_id is None
        assert (await post(book, TRANSFER, VECTOR, key="k")).replayed

    async def test_books_have_external_ids_of_their_own(self, book_factory: BookFactory) -> None:
        """The same text in another book is another posting."""
        books = [book_factory(name, dimensions=DIMENSIONS) for name in ("One", "Other")]
        journals = [await post(book, TRANSFER, VECTOR, external_id="x") for book in books]
        assert [journal.replayed for journal in journals] == [False, False]

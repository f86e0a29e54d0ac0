"""A book answers like a list of legs in memory, whatever is posted and voided in whatever order."""

import asyncio
import datetime as dt
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from medici_py import Balance, Book, JournalAlreadyVoidedError
from medici_py.embedded import EmbeddedMongo
from medici_py.money import exact_sum

ACCOUNTS = ["A", "A:B", "A:B:C", "AB", "Z"]
EPOCH = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)

amounts = st.one_of(
    st.integers(-(10**6), 10**6).map(Decimal),
    st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12), max_value=10**12),
    st.sampled_from([Decimal(2**53 + 1), Decimal(10**20), Decimal("0.00000001"), Decimal(2**63)]),
).filter(bool)
posts = st.tuples(
    st.just("post"),
    st.lists(st.tuples(st.sampled_from(ACCOUNTS), amounts), min_size=1, max_size=3),
    st.sampled_from(ACCOUNTS),
    st.integers(0, 3),
)
bursts = st.tuples(st.just("burst"), st.lists(posts, min_size=2, max_size=5))
voids = st.tuples(st.just("void"), st.integers(0, 20), st.booleans(), st.just(None))


@dataclass(frozen=True)
class ModelLeg:
    journal: ObjectId
    account: str
    signed: Decimal
    date: dt.datetime | None
    credit: bool


@dataclass
class ModelBook:
    """Legs by journal; a voided journal and its reversal both count."""

    legs: list[ModelLeg] = field(default_factory=list)
    dates: dict[ObjectId, dt.datetime | None] = field(default_factory=dict)
    voided: set[ObjectId] = field(default_factory=set)

    def balance(self, account: str | None, until: dt.datetime | None = None) -> Balance:
        matching = [
            leg
            for leg in self.legs
            if (account is None or leg.account == account or leg.account.startswith(f"{account}:"))
            and (until is None or (leg.date is not None and leg.date <= until))
        ]
        return Balance(exact_sum(leg.signed for leg in matching), len(matching))

    def void(self, journal: ObjectId, reversal: ObjectId, date: dt.datetime | None) -> None:
        self.voided.add(journal)
        self.dates[reversal] = date
        self.legs += [
            replace(leg, journal=reversal, signed=leg.signed.copy_negate(), date=date, credit=not leg.credit)
            for leg in self.legs
            if leg.journal == journal
        ]


async def apply(book: Book, model: ModelBook, action: Any) -> None:
    match action:
        case ("post", debits, credit_account, day):
            date = EPOCH + dt.timedelta(days=day)
            entry = book.entry("x", date=date)
            for account, amount in debits:
                entry.debit(account, amount).credit(credit_account, amount)
            journal = await entry.commit()
            model.dates[journal.id] = date
            for account, amount in debits:
                model.legs.append(ModelLeg(journal.id, account, amount.copy_negate(), date, False))
                model.legs.append(ModelLeg(journal.id, credit_account, amount, date, True))
        case ("burst", together):
            await asyncio.gather(*(apply(book, model, each) for each in together))
        case ("void", number, use_original_date, _) if model.dates:
            journal_id = list(model.dates)[number % len(model.dates)]
            if not any(leg.signed for leg in model.legs if leg.journal == journal_id):
                return
            try:
                reversal = await book.void(journal_id, use_original_date=use_original_date)
            except JournalAlreadyVoidedError:
                assert journal_id in model.voided
            else:
                assert journal_id not in model.voided
                model.void(journal_id, reversal.id, model.dates[journal_id] if use_original_date else None)


async def check(book: Book, model: ModelBook) -> None:
    for account in [*ACCOUNTS, None]:
        assert model.balance(account) == await book.balance(account)
        until = EPOCH + dt.timedelta(days=1)
        assert model.balance(account, until) == await book.balance(account, end_date=until)
    assert Decimal(0) == (await book.balance()).balance
    everything = (await book.ledger()).results
    assert everything == [leg async for leg in book.stream()]
    assert exact_sum(leg.credit for leg in everything) == exact_sum(leg.debit for leg in everything)
    assert model.voided == {leg.journal for leg in everything if leg.voided}
    pages = []
    while page := (await book.ledger(per_page=4, page=len(pages) + 1)).results:
        pages.append(page)
    assert everything == [leg for page in pages for leg in page]
    assert (
        sorted({part for leg in model.legs for part in _with_parents(leg.account)})
        == await book.list_accounts()
    )


def _with_parents(account: str) -> list[str]:
    parts = account.split(":")
    return [":".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


MODES = pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
"""With group commit and running balances, and without either."""


def model_book(database: Any, *, fast: bool) -> Book:
    return Book(f"Model {ObjectId()}", database, group_commit=fast, running_balances=fast)


@MODES
@settings(
    max_examples=settings.default.max_examples // 5, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(actions=st.lists(st.one_of(posts, posts, bursts, voids), min_size=1, max_size=8))
def test_book_answers_like_a_list_of_legs(mongodb: EmbeddedMongo, fast: bool, actions: list[Any]) -> None:
    """Balances by account and date, pages, stream, flags and account list agree after every action.

    An action is a post, a burst of concurrent posts, or a void.
    """

    async def run() -> None:
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            book, model = model_book(client["model"], fast=fast), ModelBook()
            for action in actions:
                await apply(book, model, action)
                await check(book, model)

    asyncio.run(run())


@MODES
@settings(
    max_examples=settings.default.max_examples // 13, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(
    debits=st.lists(st.tuples(st.sampled_from(ACCOUNTS), amounts), min_size=1, max_size=5),
    concurrent=st.integers(2, 6),
)
def test_concurrent_posters_add_up(
    mongodb: EmbeddedMongo, fast: bool, debits: list[Any], concurrent: int
) -> None:
    """Many tasks on the same accounts lose and double nothing; voiding every journal restores zero."""

    async def run() -> None:
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            book, model = model_book(client["model"], fast=fast), ModelBook()
            await asyncio.gather(
                *(apply(book, model, ("post", debits, "Z", day)) for day in range(concurrent))
            )
            await check(book, model)
            journals = [
                journal
                for journal in model.dates
                if any(leg.signed for leg in model.legs if leg.journal == journal)
            ]
            await asyncio.gather(*(book.void(journal) for journal in journals))
            for account in [*ACCOUNTS, None]:
                assert Decimal(0) == (await book.balance(account)).balance

    asyncio.run(run())

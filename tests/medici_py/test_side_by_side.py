"""Where Node's medici 7.4 is wrong: every known case, run on it and on medici_py against the same server.

A scenario is written once, against the names of `medici_py.Book`, and says in words what came out. Each is
registered with what medici answers, what is true, and (where it has more to say than the truth) what
medici_py answers. ``docs/medici_py/differences.md`` is the same table as a page. After a change, write it anew:

    WRITE_DIFFERENCES=1 pytest tests/medici_py/test_side_by_side.py -k page
"""

import asyncio
import datetime as dt
import hashlib
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from node_medici import NodeError, NodeMedici
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import Balance, Book, MediciError, init_models

PAGE = Path(__file__).parents[2] / "docs" / "medici_py" / "differences.md"

UTC = dt.UTC
BANK = frozenset({"bank"})
YEAR_2000, YEAR_2020, YEAR_2021, YEAR_2030 = (
    dt.datetime(year, 1, 1, tzinfo=UTC) for year in (2000, 2020, 2021, 2030)
)
VOID_TRIALS = 20

REFUSED = "refused"
ACCEPTED = "accepted"


@dataclass(frozen=True)
class Side:
    """One of the two libraries, in a database of its own.

    Attributes:
        database: The database, to prepare what a scenario needs and to look at what is stored.
        open_book: Opens one of its books.
        start_transaction: Starts a session with an open transaction.
    """

    database: AsyncDatabase[dict[str, Any]]
    open_book: Callable[..., Any]
    start_transaction: Callable[[], Awaitable[Any]]

    async def legs(self, **matches: Any) -> list[dict[str, Any]]:
        return await self.database.medici_transactions.find(matches).sort("_id").to_list()

    async def journals(self) -> list[dict[str, Any]]:
        return await self.database.medici_journals.find().sort("_id").to_list()

    async def refuse(self, collection: str, condition: dict[str, Any] | None) -> None:
        """Let the server refuse documents of *collection* that match *condition*; none any more if None."""
        validator = {} if condition is None else {"$nor": [condition]}
        await self.database.command("collMod", collection, validator=validator)


Scenario = Callable[[Side], Coroutine[Any, Any, str]]


@dataclass(frozen=True)
class Case:
    """A scenario and its three answers.

    Attributes:
        group: Number of the group of cases it belongs to.
        scenario: Runs it; its docstring says what is done.
        medici: What Node's medici 7.4 answers.
        truth: What is right.
        ours: What medici_py answers.
    """

    group: int
    scenario: Scenario
    medici: str
    truth: str
    ours: str

    @property
    def name(self) -> str:
        return self.scenario.__name__

    def is_right(self, answer: str) -> bool:
        """Whether *answer* is the truth; a refusal may say more than that."""
        return answer == self.truth or (self.truth == REFUSED and answer.startswith(f"{REFUSED}: "))


GROUPS = {
    1: "Whole numbers lose their last digits",
    2: "Sub-precision amounts vanish from the law",
    3: "Exact entries are refused",
    4: "A commit is not atomic",
    5: "A void is not atomic",
    6: "Committing twice doubles",
    7: "The cache loses late commits",
    8: "The cache ignores dates and ranges of ids",
    9: "A void with the original date is read stale",
    10: "Different queries share a cache key",
    11: "Cached parts are rounded one by one",
    12: "An expired cache document still answers",
    13: "Concurrent voids double",
    14: "Pages skip and repeat",
    15: "Extra keys break the book",
    16: "Filters vanish silently",
    17: "Object names are dropped",
    18: "`$` and `.` in keys of meta are unreachable",
    19: "A smaller maximum depth hides data",
    20: "Deep ranges are read as one account",
    21: "A pattern with the g flag skips accounts",
    22: "Wrong types are stored as amounts",
    23: "A precision above 100 is found out too late",
    24: "The cache is slower than no cache",
    25: "Errors name no book",
}

CASES: list[Case] = []


def case(group: int, *, medici: str, truth: str, ours: str | None = None) -> Callable[[Scenario], Scenario]:
    """Register a scenario with its answers."""

    def register(scenario: Scenario) -> Scenario:
        CASES.append(Case(group, scenario, medici, truth, truth if ours is None else ours))
        return scenario

    return register


async def post(book: Any, *legs: tuple[Any, ...], memo: str = "case", date: Any = None, **commit: Any) -> Any:
    """Post legs such as ``("debit", "A", 5)``."""
    entry = book.entry(memo, date=date)
    for side, *leg in legs:
        getattr(entry, side)(*leg)
    return await entry.commit(**commit)


async def pay(book: Any, account: str, amount: Any, *, date: Any = None, **extra: Any) -> Any:
    """Credit *account*, or debit it if *amount* is negative; the other side is on ``Outside``."""
    side, other = ("credit", "debit") if amount > 0 else ("debit", "credit")
    legs = (side, account, abs(amount), extra), (other, "Outside", abs(amount))
    return await post(book, *legs, date=date)


async def outcome(attempt: Awaitable[Any]) -> str:
    """Say whether *attempt* was accepted, or refused with which error."""
    try:
        await attempt
    except NodeError as exc:
        return f"{REFUSED}: {exc.name}"
    except MediciError as exc:
        return f"{REFUSED}: {type(exc).__name__}"
    return ACCEPTED


async def balance(book: Any, *question: Any, **bounds: Any) -> str:
    """Return the balance as text."""
    answer: Balance = await book.balance(*question, **bounds)
    return f"{answer.balance:f}"


# 1 to 3: the balance law


@case(1, medici="accepted, both stored as 9007199254740992", truth=REFUSED, ours="refused: TransactionError")
async def credit_that_exceeds_the_debit_by_one_beyond_2_to_the_53(side: Side) -> str:
    """Credit 9007199254740993 against debit 9007199254740992."""
    answer = await outcome(
        post(side.open_book(), ("credit", "A", "9007199254740993"), ("debit", "B", "9007199254740992"))
    )
    stored = {int(leg["credit"] or leg["debit"]) for leg in await side.legs()}
    return f"{answer}, both stored as {stored.pop()}" if len(stored) == 1 else answer


@case(
    1,
    medici="accepted; refused: TransactionError; refused: TransactionError",
    truth="refused in every order",
)
async def unbalanced_entry_in_three_orders(side: Side) -> str:
    """Credits of 2^53 and 1 against a debit of 2^53: the debit last, between and first."""
    large, one, debit = ("credit", "A", 2**53), ("credit", "A", 1), ("debit", "B", 2**53)
    orders = ((large, one, debit), (large, debit, one), (debit, large, one))
    answers = [await outcome(post(side.open_book(), *legs)) for legs in orders]
    return "; ".join(answers) if ACCEPTED in answers else "refused in every order"


@case(2, medici=ACCEPTED, truth=REFUSED, ours="refused: TransactionError")
async def difference_below_the_precision(side: Side) -> str:
    """Credit 1.000000001 against debit 1, precision 8."""
    return await outcome(post(side.open_book(), ("credit", "A", "1.000000001"), ("debit", "B", 1)))


@case(2, medici=ACCEPTED, truth=REFUSED, ours="refused: TransactionError")
async def difference_of_half_a_unit_of_the_precision(side: Side) -> str:
    """Credit 1.000000005 against debit 1, precision 8."""
    return await outcome(post(side.open_book(), ("credit", "A", "1.000000005"), ("debit", "B", 1)))


@case(2, medici=ACCEPTED, truth=REFUSED, ours="refused: TransactionError")
async def single_leg_below_the_precision(side: Side) -> str:
    """One credit of 0.000000001 and nothing else, precision 8."""
    return await outcome(post(side.open_book(), ("credit", "A", "0.000000001")))


@case(2, medici="whole book 0.0000004", truth="whole book 0")
async def differences_below_the_precision_add_up(side: Side) -> str:
    """A hundred times credit 1.000000004 against debit 1, then the balance of the whole book."""
    book = side.open_book()
    legs = ("credit", "A", "1.000000004"), ("debit", "B", 1)
    await asyncio.gather(*(outcome(post(book, *legs)) for _ in range(100)))
    return f"whole book {await balance(book)}"


@case(2, medici="accepted; accepted", truth=REFUSED, ours="refused: TransactionError")
async def unbalanced_fractions_in_a_book_of_whole_numbers(side: Side) -> str:
    """1.4 against 1, and 1.5 against 1.4, precision 0."""
    book = side.open_book(precision=0)
    answers = [
        await outcome(post(book, ("credit", "A", "1.4"), ("debit", "B", 1))),
        await outcome(post(book, ("credit", "A", "1.5"), ("debit", "B", "1.4"))),
    ]
    return "; ".join(answers) if ACCEPTED in answers else answers[0]


@case(3, medici="refused: TransactionError", truth=ACCEPTED)
async def tenths_that_balance_exactly(side: Side) -> str:
    """Credits of 0.1 and 0.2 against a debit of 0.3, precision 17."""
    legs = ("credit", "A", "0.1"), ("credit", "A", "0.2"), ("debit", "B", "0.3")
    return await outcome(post(side.open_book(precision=17), *legs))


# 4 to 6: all or nothing, once


@case(4, medici="2 legs, 0 journals, balance of A -5", truth="0 legs, 0 journals, balance of A 0")
async def server_refuses_the_journal(side: Side) -> str:
    """Debit A 5, credit B 5, and the server does not take the journal."""
    await side.refuse("medici_journals", {"memo": "case"})
    book = side.open_book()
    assert await outcome(post(book, ("debit", "A", 5), ("credit", "B", 5))) == "refused: TransactionError"
    found = f"{len(await side.legs())} legs, {len(await side.journals())} journals"
    return f"{found}, balance of A {await balance(book, 'A')}"


@case(4, medici="1 leg, whole book -5", truth="0 legs, whole book 0")
async def server_refuses_the_second_leg(side: Side) -> str:
    """Debit A 5, credit B 5, and the server does not take the leg on B."""
    await side.refuse("medici_transactions", {"accounts": "B"})
    book = side.open_book()
    assert await outcome(post(book, ("debit", "A", 5), ("credit", "B", 5))) == "refused: TransactionError"
    legs = len(await side.legs())
    return f"{legs} leg{'' if legs == 1 else 's'}, whole book {await balance(book)}"


@case(
    5,
    medici="marked as voided, balance of A 100, second void refused: JournalAlreadyVoidedError",
    truth="untouched, balance of A 100, second void accepted",
)
async def server_refuses_the_reversal(side: Side) -> str:
    """Void a journal of 100 while the server does not take the reversal, then again when it does."""
    book = side.open_book()
    journal = await pay(book, "A", 100)
    await side.refuse("medici_transactions", {"memo": "mistake"})
    assert await outcome(book.void(journal.id, "mistake")) == "refused: TransactionError"
    await side.refuse("medici_transactions", None)
    voided = (await side.journals())[0].get("voided")
    between = f"{'marked as voided' if voided else 'untouched'}, balance of A {await balance(book, 'A')}"
    return f"{between}, second void {await outcome(book.void(journal.id, 'mistake'))}"


@case(5, medici="marked as voided, nothing reversed", truth="untouched, nothing reversed")
async def void_of_a_journal_with_only_zeros(side: Side) -> str:
    """Void a journal whose only leg is a credit of 0: there is nothing to reverse."""
    book = side.open_book()
    journal = await post(book, ("credit", "A", 0))
    assert await outcome(book.void(journal.id)) == "refused: TransactionError"
    (stored,) = await side.journals()
    return f"{'marked as voided' if stored.get('voided') else 'untouched'}, nothing reversed"


@case(6, medici="4 legs, 1 journal, balance of A 200", truth="2 legs, 1 journal, balance of A 100")
async def second_commit_of_one_entry(side: Side) -> str:
    """Commit one entry of 100 twice, as a caller does who got no answer the first time."""
    book = side.open_book()
    entry = book.entry("once").credit("A", 100).debit("B", 100)
    await entry.commit()
    await outcome(entry.commit())
    found = f"{len(await side.legs())} legs, {len(await side.journals())} journal"
    return f"{found}, balance of A {await balance(book, 'A')}"


# 7 to 12: the balance cache


@case(7, medici="1", truth="101")
async def transaction_that_commits_late(side: Side) -> str:
    """Post 100 in a transaction left open, post 1, read the balance, commit the 100, read again."""
    book = side.open_book()
    session = await side.start_transaction()
    await post(book, ("credit", "A", 100), ("debit", "B", 100), session=session)
    await pay(book, "A", 1)
    assert await balance(book, "A") == "1"
    await session.commit_transaction()
    return await balance(book, "A")


@case(8, medici="11", truth="1")
async def balance_until_a_date_after_the_balance_of_all(side: Side) -> str:
    """Credits of 1 in 2020 and 10 in 2021; the balance of all, then until June 2020."""
    book = side.open_book()
    await pay(book, "A", 1, date=YEAR_2020)
    await pay(book, "A", 10, date=YEAR_2021)
    assert await balance(book, "A") == "11"
    return await balance(book, "A", end_date=dt.datetime(2020, 6, 1, tzinfo=UTC))


@case(8, medici="11", truth="10")
async def balance_from_a_date_after_the_balance_until_one(side: Side) -> str:
    """Credits of 1 in 2020 and 10 in 2021; the balance until June 2020, then from 2021 on."""
    book = side.open_book()
    await pay(book, "A", 1, date=YEAR_2020)
    await pay(book, "A", 10, date=YEAR_2021)
    assert await balance(book, "A", end_date=dt.datetime(2020, 6, 1, tzinfo=UTC)) == "1"
    return await balance(book, "A", start_date=YEAR_2021)


@case(8, medici="-2", truth="-3")
async def balance_of_all_after_the_balance_from_a_date(side: Side) -> str:
    """Debits of 1 in 2020 and 2 in 2030; the balance from 2030 on, then of all."""
    book = side.open_book()
    await pay(book, "A", -1, date=YEAR_2020)
    await pay(book, "A", -2, date=YEAR_2030)
    assert await balance(book, "A", start_date=YEAR_2030) == "-2"
    return await balance(book, "A")


@case(8, medici="1111", truth="111")
async def balance_up_to_a_leg_after_the_balance_of_all(side: Side) -> str:
    """Credits of 1, 10, 100 and 1000; the balance of all, then up to the leg of 100."""
    book = side.open_book()
    for amount in (1, 10, 100, 1000):
        await pay(book, "A", amount)
    assert await balance(book, "A") == "1111"
    legs = await side.legs(accounts="A")
    return await balance(book, "A", end_tx_id=legs[2]["_id"])


@case(9, medici="-700", truth="0")
async def void_with_the_original_date_read_by_range(side: Side) -> str:
    """Debit 700 in February 2000, read the range around it, void with the original date, read March."""
    book = side.open_book()
    february, march, april = (dt.datetime(2000, month, 1, tzinfo=UTC) for month in (2, 3, 4))
    journal = await pay(book, "A", -700, date=february)
    assert await balance(book, "A", start_date=YEAR_2000, end_date=march) == "-700"
    await book.void(journal.id, use_original_date=True)
    return await balance(book, "A", start_date=march, end_date=april)


@case(10, medici="3", truth="2")
async def text_and_number_in_a_filter(side: Side) -> str:
    """Credits of 3 with n "1" and 2 with n 1; the balance where n is "1", then where n is 1."""
    book = side.open_book()
    await pay(book, "A", 2, n=1)
    await pay(book, "A", 3, n="1")
    assert await balance(book, "A", {"n": "1"}) == "3"
    return await balance(book, "A", {"n": 1})


@case(10, medici="3", truth="2")
async def two_dates_in_a_filter(side: Side) -> str:
    """Credits of 1 with t in 2020 and 2 with t in 2021; the balance where t >= 2020, then t >= 2021."""
    book = side.open_book()
    await pay(book, "A", 1, t=YEAR_2020)
    await pay(book, "A", 2, t=YEAR_2021)
    assert await balance(book, "A", {"t": {"$gte": YEAR_2020}}) == "3"
    return await balance(book, "A", {"t": {"$gte": YEAR_2021}})


@case(10, medici="3", truth="2")
async def comma_in_a_filter(side: Side) -> str:
    """Credits of 3 with k "1,m:2" and 2 with k "1" and m "2"; the balance of either."""
    book = side.open_book()
    await pay(book, "A", 2, k="1", m="2")
    await pay(book, "A", 3, k="1,m:2")
    assert await balance(book, "A", {"k": "1,m:2"}) == "3"
    return await balance(book, "A", {"k": "1", "m": "2"})


@case(10, medici="103", truth="100")
async def comma_in_the_name_of_an_account(side: Side) -> str:
    """Credits of 1 on A, 2 on B and 100 on "A,B"; the balance of [A, B], then of "A,B"."""
    book = side.open_book()
    await pay(book, "A", 1)
    await pay(book, "B", 2)
    await pay(book, "A,B", 100)
    assert await balance(book, ["A", "B"]) == "3"
    return await balance(book, "A,B")


@case(10, medici="3", truth="1")
async def whole_meta_and_one_key_of_it(side: Side) -> str:
    """Credits of 1 with c "1" and 2 without; the balance where meta is {c: "1"}, then where c is "1"."""
    book = side.open_book()
    await pay(book, "A", 1, c="1")
    await pay(book, "A", 2)
    await balance(book, "A", {"meta": {"c": "1"}})
    return await balance(book, "A", {"c": "1"})


@case(10, medici="3 legs", truth="1 leg")
async def semicolon_in_the_name_of_a_book(side: Side) -> str:
    """The whole of book "d6;A", two legs, then account A of book "d6", one leg."""
    other, book = side.open_book("d6;A"), side.open_book("d6")
    await pay(other, "X", 5)
    await pay(book, "A", 5)
    await other.balance()
    notes = (await book.balance("A")).notes
    return f"{notes} leg{'' if notes == 1 else 's'}"


@case(11, medici="2", truth=REFUSED, ours="refused: TransactionError")
async def halves_of_a_book_of_whole_numbers(side: Side) -> str:
    """Precision 0: credit 1.4, read the balance, credit 1.4 again and read 2.8, that is 3.

    An amount that the precision cannot hold has no right balance in such a book.
    """
    book = side.open_book(precision=0)
    legs = ("credit", "A", "1.4"), ("debit", "B", "1.4")
    if (answer := await outcome(post(book, *legs))) != ACCEPTED:
        return answer
    await balance(book, "A")
    await post(book, *legs)
    return await balance(book, "A")


@case(11, medici="0.30000000000000004", truth="0.3")
async def tenths_added_to_a_cached_balance(side: Side) -> str:
    """Credit 0.1, read the balance, credit 0.2, read it again."""
    book = side.open_book()
    await post(book, ("credit", "A", "0.1"), ("debit", "B", "0.1"))
    await balance(book, "A")
    await post(book, ("credit", "A", "0.2"), ("debit", "B", "0.2"))
    return await balance(book, "A")


@case(12, medici="999", truth="5")
async def cached_balance_past_its_expiry(side: Side) -> str:
    """A credit of 5, and a cached balance of 999 that expired an hour ago but is not deleted yet."""
    book = side.open_book()
    await pay(book, "A", 5)
    (leg,) = await side.legs(accounts="A")
    now = dt.datetime.now(UTC)
    # Without its index the server does not delete the document in the middle of this.
    await side.database.medici_balances.drop_index("expireAt_1")
    await side.database.medici_balances.insert_one(
        {
            "key": hashlib.sha1(b"MainBook;A").digest().decode("latin1"),
            "rawKey": "MainBook;A",
            "book": "MainBook",
            "account": "A",
            "meta": None,
            "transaction": leg["_id"],
            "balance": 999,
            "notes": 1,
            "createdAt": now - dt.timedelta(hours=2),
            "expireAt": now - dt.timedelta(hours=1),
        }
    )
    return await balance(book, "A")


# 13 and 14: many at once


async def _void_at_once(side: Side, voids: int) -> str:
    book = side.open_book(balance_snapshot_sec=0)
    for _ in range(VOID_TRIALS):
        journal = await pay(book, "A", 100)
        answers = await asyncio.gather(
            *(outcome(book.void(journal.id, f"reason {number}")) for number in range(voids))
        )
        if answers.count(ACCEPTED) != 1 or await balance(book, "A") != "0":
            return "several succeed, the balance is below 0"
    return "one succeeds, the balance is 0"


@case(13, medici="several succeed, the balance is below 0", truth="one succeeds, the balance is 0")
async def two_voids_at_once(side: Side) -> str:
    """Void a journal of 100 twice at the same time, with different reasons, in up to 20 trials."""
    return await _void_at_once(side, 2)


@case(13, medici="several succeed, the balance is below 0", truth="one succeeds, the balance is 0")
async def five_voids_at_once(side: Side) -> str:
    """Void a journal of 100 five times at the same time, with different reasons, in up to 20 trials."""
    return await _void_at_once(side, 5)


async def _read_in_pages(side: Side, *, legs: int, per_page: int) -> str:
    book = side.open_book()
    await post(book, *(("credit", f"A:{number}", 1) for number in range(legs)), ("debit", "B", legs))
    pages = range(1, -(-legs // per_page) + 1)
    rows = [
        leg.id for page in pages for leg in (await book.ledger("A", per_page=per_page, page=page)).results
    ]
    assert len(rows) == legs
    return "every leg once" if len(set(rows)) == legs else "some legs twice, others never"


@case(14, medici="some legs twice, others never", truth="every leg once")
async def pages_of_a_journal_with_500_legs(side: Side) -> str:
    """A journal with 500 legs below A, read in pages of 50."""
    return await _read_in_pages(side, legs=500, per_page=50)


@case(14, medici="some legs twice, others never", truth="every leg once")
async def pages_of_a_journal_with_7_legs(side: Side) -> str:
    """A journal with 7 legs below A, read in pages of 3."""
    return await _read_in_pages(side, legs=7, per_page=3)


# 15 to 18: extra keys and filters


async def _post_with(side: Side, extra: dict[str, Any], amount: int = 5) -> str:
    return await outcome(post(side.open_book(), ("debit", "A", amount, extra), ("credit", "B", amount)))


@case(15, medici="accepted, whole book 5", truth=REFUSED, ours="refused: TransactionError")
async def book_among_the_extra_keys(side: Side) -> str:
    """A debit of 5 with the extra key book, and a credit of 5 without."""
    answer = await _post_with(side, {"book": "Other"})
    return answer if answer != ACCEPTED else f"accepted, whole book {await balance(side.open_book())}"


@case(
    15, medici="accepted, the journal names 1 of its 2 legs", truth=REFUSED, ours="refused: TransactionError"
)
async def journal_among_the_extra_keys(side: Side) -> str:
    """A leg with the extra key _journal."""
    answer = await outcome(
        post(side.open_book(), ("debit", "A", 5), ("credit", "B", 5, {"_journal": ObjectId()}))
    )
    if answer != ACCEPTED:
        return answer
    (journal,) = await side.journals()
    return f"accepted, the journal names {len(journal['_transactions'])} of its {len(await side.legs())} legs"


@case(15, medici="accepted, the journal names null", truth=REFUSED, ours="refused: TransactionError")
async def id_among_the_extra_keys(side: Side) -> str:
    """A leg with the extra key _id."""
    answer = await _post_with(side, {"_id": ObjectId()})
    journals = await side.journals()
    return (
        f"{answer}, the journal names null" if journals and None in journals[0]["_transactions"] else answer
    )


@case(15, medici="half of the entry stays", truth=REFUSED, ours="refused: TransactionError")
async def taken_id_among_the_extra_keys(side: Side) -> str:
    """The second leg with the extra key _id, and an id that another leg has."""
    book = side.open_book()
    await pay(book, "A", 1)
    (taken, *_) = await side.legs()
    answer = await outcome(post(book, ("debit", "A", 5), ("credit", "B", 5, {"_id": taken["_id"]})))
    return "half of the entry stays" if len(await side.legs()) == 3 else answer


@case(15, medici="accepted, one leg with both sides", truth=REFUSED, ours="refused: TransactionError")
async def credit_among_the_extra_keys_of_a_debit(side: Side) -> str:
    """An entry with one leg: a debit of 5 with the extra key credit, 5."""
    answer = await outcome(post(side.open_book(), ("debit", "A", 5, {"credit": 5})))
    both = [leg for leg in await side.legs() if leg["credit"] and leg["debit"]]
    return f"{answer}, one leg with both sides" if both else answer


@case(15, medici="accepted, accounts X:Y has the path A", truth=REFUSED, ours="refused: TransactionError")
async def accounts_among_the_extra_keys(side: Side) -> str:
    """A debit of A with the extra key accounts, X:Y."""
    answer = await _post_with(side, {"accounts": "X:Y"})
    twisted = [leg for leg in await side.legs() if leg["accounts"] != ":".join(leg["account_path"])]
    if not twisted:
        return answer
    return f"{answer}, accounts {twisted[0]['accounts']} has the path {':'.join(twisted[0]['account_path'])}"


@case(15, medici="accepted, stored as text", truth=REFUSED, ours="refused: TransactionError")
async def amount_as_text_among_the_extra_keys(side: Side) -> str:
    """A debit of 5 with the extra key debit, "5"."""
    answer = await _post_with(side, {"debit": "5"})
    return f"{answer}, stored as text" if await side.legs(debit={"$type": "string"}) else answer


@case(16, medici="3", truth="1")
async def meta_as_a_filter(side: Side) -> str:
    """Credits of 1 with c "1" and 2 without; the balance where meta is {c: "1"}."""
    book = side.open_book()
    await pay(book, "A", 1, c="1")
    await pay(book, "A", 2)
    return await balance(book, "A", {"meta": {"c": "1"}})


@case(16, medici="4 legs", truth="0 legs")
async def object_name_as_a_filter(side: Side) -> str:
    """Four legs without the key constructor; those where constructor is 1."""
    book = side.open_book()
    await pay(book, "A", 1)
    await pay(book, "A", 2)
    return f"{(await book.balance(None, {'constructor': 1})).notes} legs"


@case(16, medici="the whole book", truth=REFUSED, ours="refused: InvalidQueryError")
async def number_as_an_account(side: Side) -> str:
    """The balance of account 5 (a number)."""
    book = side.open_book()
    await pay(book, "A", 1)
    answer = await outcome(book.balance(5))
    return "the whole book" if answer == ACCEPTED and (await book.balance(5)).notes == 2 else answer


@case(16, medici="5", truth="0")
async def epoch_as_the_end(side: Side) -> str:
    """A credit of 5 in 2020; the balance until 0, which is the year 1970."""
    book = side.open_book()
    await pay(book, "A", 5, date=YEAR_2020)
    return await balance(book, "A", end_date=0)


@case(17, medici="lost, every leg is found", truth="stored and found")
async def object_name_in_meta(side: Side) -> str:
    """A credit with the extra key constructor, "Gropius", and one without; the legs where it is that.

    In Python the name is nothing special: it is stored and queried like any key.
    """
    book = side.open_book()
    await pay(book, "A", 1, constructor="Gropius")
    await pay(book, "A", 2)
    found = [leg["accounts"] for leg in await side.legs(**{"meta.constructor": "Gropius"})]
    if found == ["A"] and await balance(book, "A", {"constructor": "Gropius"}) == "1":
        return "stored and found"
    return f"lost, {'every leg is' if await balance(book, 'A', {'constructor': 'Gropius'}) == '3' else 'none'} found"


@case(18, medici="accepted, never found again", truth=REFUSED, ours="refused: TransactionError")
async def dot_in_a_key_of_meta(side: Side) -> str:
    """A leg with the extra key "a.b", 1; the legs where "a.b" is 1."""
    answer = await _post_with(side, {"a.b": 1})
    if answer != ACCEPTED:
        return answer
    found = (await side.open_book().balance("A", {"a.b": 1})).notes
    return f"{answer}, {'found' if found else 'never found'} again"


@case(18, medici="accepted, read as an operator", truth=REFUSED, ours="refused: TransactionError")
async def dollar_in_a_key_of_meta(side: Side) -> str:
    """A leg with the extra key a, {"$gt": 1}, and one with a 5; the legs where a is {"$gt": 1}."""
    book = side.open_book()
    answer = await _post_with(side, {"a": {"$gt": 1}}, amount=7)
    if answer != ACCEPTED:
        return answer
    await pay(book, "A", 1, a=5)
    found = await balance(book, "A", {"a": {"$gt": 1}})
    return f"{answer}, {'read as an operator' if found == '1' else 'found again'}"


# 19 to 21: depth and locks


@case(19, medici="100", truth="10111")
async def shallow_book_over_a_deep_one(side: Side) -> str:
    """Credits on A, A:B, A:B:C and A:D; the balance of A in a book opened with maximum depth 1."""
    deep = side.open_book()
    for account, amount in (("A", 100), ("A:B", 1), ("A:B:C", 10), ("A:D", 10_000)):
        await pay(deep, account, amount)
    return await balance(side.open_book(max_account_path=1), "A")


@case(19, medici="refused: InvalidAccountPathLengthError", truth=ACCEPTED)
async def void_of_a_journal_deeper_than_the_book_allows(side: Side) -> str:
    """A journal on A:B:C, voided in a book opened with maximum depth 1."""
    journal = await pay(side.open_book(), "A:B:C", 10)
    return await outcome(side.open_book(max_account_path=1).void(journal.id))


@case(20, medici="2", truth="7")
async def account_as_deep_as_the_book_allows_with_others_below(side: Side) -> str:
    """Credits of 2 on A:B:C and 5 on A:B:C:D:E; the balance of A:B:C in a book with maximum depth 3."""
    deep = side.open_book(max_account_path=5)
    await pay(deep, "A:B:C", 2)
    await pay(deep, "A:B:C:D:E", 5)
    return await balance(side.open_book(max_account_path=3), "A:B:C")


@case(21, medici="R:1 locked", truth="R:1, R:2 locked")
async def pattern_of_write_locks_used_again_and_again(side: Side) -> str:
    """An entry on R:1 and R:2 that locks what the pattern R: matches (in JavaScript /R:/g)."""
    session = await side.start_transaction()
    legs = ("credit", "R:1", 1), ("debit", "R:2", 1)
    await post(side.open_book(), *legs, session=session, writelock_accounts=re.compile("R:"))
    await session.commit_transaction()
    locked = await side.database.medici_locks.distinct("account")
    return f"{', '.join(sorted(locked))} locked"


# 22 to 25: types, limits, cost and messages


async def _post_amount(side: Side, on: str, amount: Any, against: int) -> str:
    book = side.open_book()
    other = "debit" if on == "credit" else "credit"
    answer = await outcome(post(book, (on, "A", amount), (other, "B", against)))
    return answer if answer != ACCEPTED else f"accepted, balance {await outcome(book.balance('A'))}"


@case(
    22, medici="accepted, balance refused: MongoServerError", truth=REFUSED, ours="refused: TransactionError"
)
async def truth_value_as_an_amount(side: Side) -> str:
    """A credit of true against a debit of 1, then the balance."""
    return await _post_amount(side, "credit", True, 1)


@case(
    22, medici="accepted, balance refused: MongoServerError", truth=REFUSED, ours="refused: TransactionError"
)
async def date_as_an_amount(side: Side) -> str:
    """A debit of a date against a credit of its milliseconds, then the balance."""
    return await _post_amount(side, "debit", YEAR_2000, int(YEAR_2000.timestamp() * 1000))


@case(22, medici="accepted, balance accepted", truth=REFUSED, ours="refused: TransactionError")
async def null_as_an_amount(side: Side) -> str:
    """A credit of null against a debit of 0, then the balance."""
    return await _post_amount(side, "credit", None, 0)


@case(22, medici="an error that names no leg", truth="an error that names the leg")
async def balance_over_a_leg_with_a_truth_value(side: Side) -> str:
    """The sum over the entries of an account with a leg whose credit is stored as true."""
    book = side.open_book()
    await pay(book, "A", 1)
    (leg,) = await side.legs(accounts="A")
    await side.database.medici_transactions.update_one({"_id": leg["_id"]}, {"$set": {"credit": True}})
    with pytest.raises((NodeError, MediciError)) as caught:
        # By a key, so that no running balance answers.
        await book.balance("A", {"memo": {"$exists": True}})
    return f"an error that names {'the' if str(leg['_id']) in str(caught.value) else 'no'} leg"


@case(
    23,
    medici="accepted, then the commit refused: RangeError",
    truth=REFUSED,
    ours="refused: BookConstructorError",
)
async def precision_of_101(side: Side) -> str:
    """A book with precision 101, and an entry in it."""
    try:
        book = side.open_book(precision=101)
    except MediciError as exc:
        return f"refused: {type(exc).__name__}"
    return f"accepted, then the commit {await outcome(pay(book, 'A', 1))}"


@case(24, medici="2000 foreign legs", truth="0 foreign legs")
async def balance_of_one_account_in_a_busy_database(side: Side) -> str:
    """Read the balance of A, post a journal of 2 000 legs in another book, read A again.

    What counts is how many legs of others the server examines for that, not the time it takes.
    """
    book = side.open_book()
    await pay(book, "A", 1)
    await balance(book, "A")
    legs = (("credit", f"X:{number}", 1) for number in range(1_999))
    await post(side.open_book("Other"), *legs, ("debit", "Y", 1_999))
    await side.database.command("profile", 2)
    await balance(book, "A")
    await side.database.command("profile", 0)
    operations = side.database["system.profile"].find(
        {"ns": f"{side.database.name}.medici_transactions", "command.aggregate": {"$exists": True}}
    )
    examined = [operation["docsExamined"] async for operation in operations]
    own = await side.database.medici_transactions.count_documents({"book": "MainBook", "accounts": "A"})
    return f"{max(0, sum(examined) - own) // 1_000 * 1_000} foreign legs"


@case(25, medici="undefined", truth="MainBook")
async def void_of_a_journal_that_lost_a_leg(side: Side) -> str:
    """The book named in the error when a leg of the journal to void is missing."""
    book = side.open_book()
    journal = await pay(book, "A", 1)
    await side.database.medici_transactions.delete_one({"accounts": "A"})
    with pytest.raises((NodeError, MediciError)) as caught:
        await book.void(journal.id)
    found = re.search(r"undefined|MainBook", str(caught.value))
    return found.group() if found else "none"


# The table, run and printed


@pytest.fixture
def medici(node: NodeMedici, mongo_database: AsyncDatabase[dict[str, Any]]) -> Side:
    """Node's medici in a database of its own."""
    return Side(mongo_database, node.book, node.start_transaction)


@pytest.fixture
async def medici_py(mongo_database: AsyncDatabase[dict[str, Any]], databases: Any) -> AsyncIterator[Side]:
    """medici_py in another database of the same server."""
    client = mongo_database.client
    database = client[databases.take(BANK)]
    await databases.prepare(database, init_models)
    async with client.start_session() as session:

        async def start_transaction() -> Any:
            await session.start_transaction()
            return session

        yield Side(
            database, lambda name="MainBook", **options: Book(name, database, **options), start_transaction
        )
    databases.give_back(database.name, BANK)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.group:02}-{case.name}")
async def test_each_library_answers_as_the_table_says(case: Case, medici: Side, medici_py: Side) -> None:
    """Node's medici gives the wrong answer of the table, medici_py gives the right one."""
    answers = {"medici": await case.scenario(medici), "medici_py": await case.scenario(medici_py)}
    assert answers == {"medici": case.medici, "medici_py": case.ours}


def test_every_row_shows_a_wrong_answer_and_a_right_one() -> None:
    """The table covers all groups; in each row medici misses the truth and medici_py does not."""
    assert {case.group for case in CASES} == set(GROUPS)
    assert [case.name for case in CASES if case.is_right(case.medici)] == []
    assert [case.name for case in CASES if not case.is_right(case.ours)] == []


def differences_page() -> str:
    """Return the table as a page in Markdown."""
    lines = [
        "# Where medici_py differs from Node's medici",
        "",
        "Every row is run by `tests/medici_py/test_side_by_side.py` on medici 7.4.0 for Node and on medici_py,",
        "against the same MongoDB server. This page is written from the same table; a test keeps it up to date.",
    ]
    for number, title in GROUPS.items():
        lines += [
            "",
            f"## {number}. {title}",
            "",
            "| case | medici | truth | medici_py |",
            "|---|---|---|---|",
        ]
        for row in (case for case in CASES if case.group == number):
            what = " ".join((row.scenario.__doc__ or "").split())
            lines.append("| " + " | ".join((what, row.medici, row.truth, row.ours)) + " |")
    return "\n".join(lines) + "\n"


def test_page_of_differences_is_up_to_date() -> None:
    """``docs/medici_py/differences.md`` says what the table says."""
    if os.environ.get("WRITE_DIFFERENCES"):
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(differences_page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == differences_page()

"""Which entries stand: one after the other, as if each had been alone."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from medici_py.book_state import BookState
from medici_py.decisions import Facts, KeyTaken, Refused, Replays, Stands, Verdict, decide
from medici_py.documents import Journal
from medici_py.entry import Entry
from medici_py.entry_key import UsedKey
from medici_py.entry_rules import EntryRules
from medici_py.errors import BalanceLimitError, InsufficientBalanceError
from medici_py.posting_plan import Plan, guarded_by_entries, guarded_rows, plan_entry

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
RULES = EntryRules("Bank")
STATE = BookState("Bank", running_balances=True)


class NoPoster:
    """The entries here are never posted."""

    async def post(self, *_: Any, **__: Any) -> Journal:
        raise NotImplementedError

    async def preview(self, *_: Any, **__: Any) -> Journal:
        raise NotImplementedError


def plan(*legs: Any, key: str | None = None, memo: str = "x", state: BookState = STATE) -> Plan:
    """Make a plan of legs (account, signed amount, minimum, maximum): positive is a credit."""
    entry = Entry(memo, EntryRules(state.book), NoPoster(), key=key)
    for account, amount, *bounds in legs:
        minimum, maximum = [*bounds, None, None][:2]
        side = entry.credit if amount > 0 else entry.debit
        side(account, abs(amount), min_balance=minimum, max_balance=maximum)
    return plan_entry(entry, state, locks=(), clock=lambda: NOW)


def facts_of(balances: dict[str, int], *plans: Plan, keys: Any = None) -> Facts:
    """Return the balances of what *plans* look at: those of the accounts at or below it."""
    looked_at = {**guarded_rows(plans), **dict.fromkeys(guarded_by_entries(plans))}
    found = {
        (book, (path, dims)): Decimal(
            sum(amount for name, amount in balances.items() if tuple(name.split(":"))[: len(path)] == path)
        )
        for book, (path, dims) in looked_at
    }
    return Facts(keys=keys or {}, balances=found)


def names(verdicts: Sequence[Verdict]) -> list[str]:
    return [
        "+".join(type(one).__name__ for one in verdict)
        if isinstance(verdict, tuple)
        else type(verdict).__name__
        for verdict in verdicts
    ]


def test_entry_without_bounds_and_key_stands() -> None:
    """Nothing is looked at for it."""
    assert decide([[plan(("A", -1), ("B", 1))]], Facts()) == [(Stands(),)]


@pytest.mark.parametrize(
    ("amount", "bounds", "verdict"),
    [
        (-4, (5, None), "Stands"),
        (-5, (5, None), "Stands"),
        (-6, (5, None), "Refused"),
        (4, (None, 15), "Stands"),
        (5, (None, 15), "Stands"),
        (6, (None, 15), "Refused"),
        (-10, (0, 0), "Stands"),
        (-9, (0, 0), "Refused"),
        (-11, (0, 0), "Refused"),
        (-11, (-1, None), "Stands"),
    ],
)
def test_bound_is_on_what_is_left_of_ten(amount: int, bounds: Any, verdict: str) -> None:
    """Below, at, above, on each side."""
    one = plan(("W", amount, *bounds), ("A", -amount))
    assert names(decide([[one]], facts_of({"W": 10}, one))) == [verdict]


def test_withdrawals_stand_until_the_balance_is_used_up() -> None:
    """Ten of twelve; a deposit among them serves those after it and not those before."""
    out = [plan(("W", -4, 0), ("A", 4)) for _ in range(4)]
    deposit = plan(("A", -4), ("W", 4))
    units = [[each] for each in (*out[:3], deposit, out[3])]
    verdicts = decide(units, facts_of({"W": 8}, *out, deposit))
    assert names(verdicts) == ["Stands", "Stands", "Refused", "Stands", "Stands"]


def test_refusals_name_account_balance_and_need() -> None:
    """As it is when the entry's turn comes, not as it was committed."""
    first, low = plan(("W", -7, 0), ("A", 7)), plan(("W", -4, 0), ("A", 4))
    high = plan(("A", -8), ("W", 8, None, 10))
    _, too_low, too_high = decide([[first], [low], [high]], facts_of({"W": 10}, first, low, high))
    assert isinstance(too_low, Refused)
    assert isinstance(too_low.error, InsufficientBalanceError)
    assert (too_low.error.account, too_low.error.balance, too_low.error.required) == ("W", 3, 4)
    assert isinstance(too_high, Refused)
    assert isinstance(too_high.error, BalanceLimitError)
    assert (too_high.error.account, too_high.error.balance, too_high.error.required) == ("W", 3, 11)


def test_books_do_not_share_balances_or_keys() -> None:
    """The same account and key in another book are another account and key."""
    other = BookState("Other", running_balances=True)
    deposit = plan(("A", -5), ("W", 5), key="k")
    out = plan(("W", -5, 0), ("A", 5), key="k", state=other)
    assert names(decide([[deposit], [out]], facts_of({}, deposit, out))) == ["Stands", "Refused"]


def test_key_that_was_used_is_replayed_or_taken() -> None:
    """Before the transaction or within it; the verdict names the journal that stands."""
    first, same, other = (plan(("A", -amount), ("B", amount), key="k") for amount in (1, 1, 2))
    assert first.key is not None
    assert decide([[first], [same], [other]], Facts()) == [
        (Stands(),),
        (Replays(first.journal_id),),
        KeyTaken(other, UsedKey(first.journal_id, first.key.digest, None)),
    ]
    before = UsedKey(ObjectId(), first.key.digest, None)
    assert decide([[first], [other]], Facts(keys={("Bank", "k"): before})) == [
        (Replays(before.journal),),
        KeyTaken(other, before),
    ]


def test_same_entry_twice_is_a_replay_of_itself() -> None:
    """Two tasks commit one entry object, and meet in one transaction."""
    one = plan(("A", -1), ("B", 1))
    assert decide([[one], [one]], Facts()) == [(Stands(),), (Replays(one.journal_id),)]


def test_entry_that_stands_is_found_before_its_bounds_and_its_key() -> None:
    """It is what has used the balance up, or the key, in a commit whose answer was lost."""
    fee, out = plan(("A", -1), ("B", 1), key="k"), plan(("W", -5, 0), ("A", 5))
    before = plan(("A", -1), ("B", 1), key="k")
    assert before.key is not None
    facts = facts_of({}, fee, out)
    used = {("Bank", "k"): UsedKey(before.journal_id, before.key.digest, None)}
    facts = Facts(keys=used, balances=facts.balances, standing=frozenset({out.journal_id}))
    assert decide([[fee, out], [out]], facts) == [
        (Replays(before.journal_id), Replays(out.journal_id)),
        (Replays(out.journal_id),),
    ]


def test_refused_unit_leaves_nothing_behind() -> None:
    """Neither what its first entries moved, nor their keys: those after it are judged without them."""
    deposit = plan(("A", -5), ("W", 5), key="k")
    too_much = plan(("W", -6, 0), ("A", 6))
    out = plan(("W", -1, 0), ("A", 1))
    again = plan(("A", -5), ("W", 5), key="k")
    units = [[deposit, too_much], [out], [again], [deposit]]
    verdicts = decide(units, facts_of({}, deposit, too_much, out, again))
    assert names(verdicts) == ["Refused", "Refused", "Stands", "Replays"]
    assert verdicts[3] == (Replays(again.journal_id),)


def test_facts_are_not_changed() -> None:
    """A transaction that is tried again decides on what it reads then, and the same facts decide the same."""
    one = plan(("W", -6, 0), ("A", 6), key="k")
    other = plan(("W", -6, 0), ("A", 6))
    facts = facts_of({"W": 10}, one, other)
    assert names(decide([[one], [other]], facts)) == names(decide([[one], [other]], facts))
    assert facts == facts_of({"W": 10}, one, other)


ACCOUNTS = ["W", "W:x", "W:x:y", "V", "A"]


@dataclass
class ModelBook:
    """The rules, said naively: every entry is tried on a copy of everything that stands."""

    balances: dict[str, int]
    keys: dict[str, Any] = field(default_factory=dict)

    def post(self, unit: Sequence[Any]) -> str:
        trial = ModelBook(dict(self.balances), dict(self.keys))
        found = [trial.post_one(legs, key) for legs, key in unit]
        refusals = [one for one in found if one in {"Refused", "KeyTaken"}]
        if refusals:
            return refusals[0]
        self.balances, self.keys = trial.balances, trial.keys
        return "+".join(found)

    def post_one(self, legs: Any, key: str | None) -> str:
        content = sorted((account, amount) for account, amount, *_ in legs)
        if key is not None and key in self.keys:
            return "Replays" if self.keys[key] == content else "KeyTaken"
        after = dict(self.balances)
        for account, amount, *_ in legs:
            after[account] = after.get(account, 0) + amount
        for account, _, minimum, maximum in legs:
            balance = sum(
                amount for name, amount in after.items() if name == account or name.startswith(f"{account}:")
            )
            if (minimum is not None and balance < minimum) or (maximum is not None and balance > maximum):
                return "Refused"
        self.balances = after
        if key is not None:
            self.keys[key] = content
        return "Stands"


bounds = st.one_of(st.none(), st.integers(-3, 6))
entries = st.tuples(
    st.lists(
        st.tuples(st.sampled_from(ACCOUNTS), st.integers(-5, 5).filter(bool), bounds, bounds),
        min_size=1,
        max_size=3,
    ),
    st.one_of(st.none(), st.sampled_from(["k1", "k2"])),
)


@given(
    held=st.dictionaries(st.sampled_from(ACCOUNTS), st.integers(-5, 10)),
    drawn=st.lists(st.lists(entries, min_size=1, max_size=3), max_size=6),
    keeps_rows=st.booleans(),
)
def test_verdicts_are_those_of_entries_posted_one_by_one(
    held: dict[str, int], drawn: list[list[Any]], keeps_rows: bool
) -> None:
    """However many share the transaction, and whichever engine its balances were read from."""
    state = BookState("Bank", running_balances=keeps_rows)
    units = [[plan(*legs, key=key, state=state) for legs, key in unit] for unit in drawn]
    facts = facts_of(held, *(each for unit in units for each in unit))
    model = ModelBook(held)
    expected = [model.post(unit) for unit in drawn]
    assert names(decide(units, facts)) == expected

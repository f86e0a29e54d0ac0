"""Which of the entries that share a transaction stand: decided in order, in memory. Pure.

A *unit* is one entry, or the entries of a batch, which stand or fall together. Each unit is judged on what
stands when its turn comes: the committed balances, keys and journals, and the units before it that stand. An
entry that stands itself, by a commit whose answer was lost, is found first: its bounds have been kept.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import TypeAlias

from bson import ObjectId

from medici_py.entry_key import UsedKey
from medici_py.errors import BalanceLimitError, InsufficientBalanceError, TransactionError
from medici_py.money import EXACT, plain
from medici_py.posting_plan import Guard, Move, Plan
from medici_py.running_rows import RowKey

Unit: TypeAlias = Sequence[Plan]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the entries are judged on, all of one moment.

    Attributes:
        keys: Keys in use, by book and text.
        balances: Balances, credit minus debit, of everything that a guard looks at.
        standing: Journals of these entries that stand already.
    """

    keys: Mapping[tuple[str, str], UsedKey] = field(default_factory=dict)
    balances: Mapping[tuple[str, RowKey], Decimal] = field(default_factory=dict)
    standing: Set[ObjectId] = frozenset()


@dataclass(frozen=True, slots=True)
class Stands:
    """The entry is to be written."""


STANDS = Stands()


@dataclass(frozen=True, slots=True)
class Replays:
    """The same entry stands already."""

    journal: ObjectId


@dataclass(frozen=True, slots=True)
class KeyTaken:
    """Another entry stands under the key."""

    plan: Plan
    used: UsedKey


@dataclass(frozen=True, slots=True)
class Refused:
    """A bound would be passed."""

    error: TransactionError


Refusal: TypeAlias = KeyTaken | Refused
Verdict: TypeAlias = tuple[Stands | Replays, ...] | Refusal
"""About a unit: one answer an entry, or why none of them stands."""


def all_stand(verdict: Verdict) -> bool:
    """Whether every entry of a unit is to be written."""
    return isinstance(verdict, tuple) and verdict.count(STANDS) == len(verdict)


def decide(units: Sequence[Unit], facts: Facts) -> list[Verdict]:
    """Judge *units* in their order."""
    standing = _Standing(facts)
    with localcontext(EXACT):
        return [standing.judge(unit) for unit in units]


class _Standing:
    """What stands so far."""

    def __init__(self, facts: Facts) -> None:
        self._keys = dict(facts.keys)
        self._balances = dict(facts.balances)
        self._standing = set(facts.standing)

    def judge(self, unit: Unit) -> Verdict:
        """Judge *unit*, and let it stand if nothing is against it."""
        if len(unit) == 1:
            alone = self._judge_one(unit[0])
            return alone if isinstance(alone, (KeyTaken, Refused)) else (alone,)
        before = self._keys, self._balances, self._standing
        self._keys, self._balances, self._standing = dict(before[0]), dict(before[1]), set(before[2])
        answers: list[Stands | Replays] = []
        for plan in unit:
            answer = self._judge_one(plan)
            if isinstance(answer, (KeyTaken, Refused)):
                self._keys, self._balances, self._standing = before
                return answer
            answers.append(answer)
        return tuple(answers)

    def _judge_one(self, plan: Plan) -> Stands | Replays | Refusal:
        if plan.journal_id in self._standing:
            return Replays(plan.journal_id)
        if plan.key is not None:
            used = self._keys.get((plan.book, plan.key.text))
            if used is not None:
                return Replays(used.journal) if used.is_repeated_by(plan.key) else KeyTaken(plan, used)
        moves = plan.moves if plan.guards else ()
        for guard in plan.guards:
            error = self._passed(plan, guard, moves)
            if error is not None:
                return Refused(error)
        self._apply(plan)
        return STANDS

    def _passed(self, plan: Plan, guard: Guard, moves: Sequence[Move]) -> TransactionError | None:
        balance = self._balances[plan.book, (guard.path, guard.dims)]
        change = guard.change(moves)
        after = balance + change
        if guard.minimum is not None and after < guard.minimum:
            return insufficient(plan, guard, balance, needed=guard.minimum - change, minimum=guard.minimum)
        if guard.maximum is not None and after > guard.maximum:
            return beyond_limit(plan, guard, balance, after=after, maximum=guard.maximum)
        return None

    def _apply(self, plan: Plan) -> None:
        self._standing.add(plan.journal_id)
        if plan.key is not None:
            used = UsedKey(plan.journal_id, plan.key.digest, plan.key.date)
            self._keys[plan.book, plan.key.text] = used
        if not self._balances:
            return
        for move in plan.moves:
            for depth in range(len(move.path) + 1):
                row = (plan.book, (move.path[:depth], move.own_dims))
                if row in self._balances:
                    self._balances[row] += move.credit - move.debit


def insufficient(
    plan: Plan, guard: Guard, balance: Decimal, *, needed: Decimal, minimum: Decimal
) -> InsufficientBalanceError:
    """Return the error for a balance that would fall below its bound."""
    return InsufficientBalanceError(
        f"Entry {plan.entry.memo!r} refused: {_where(plan, guard)} has {plain(balance):f}, and would need "
        f"{plain(needed):f} to stay at {plain(minimum):f} or more. Nothing was written.",
        account=guard.account,
        balance=plain(balance),
        required=plain(needed),
    )


def beyond_limit(
    plan: Plan, guard: Guard, balance: Decimal, *, after: Decimal, maximum: Decimal
) -> BalanceLimitError:
    """Return the error for a balance that would rise above its bound."""
    return BalanceLimitError(
        f"Entry {plan.entry.memo!r} refused: {_where(plan, guard)} has {plain(balance):f}, and would be left "
        f"with {plain(after):f}, more than {plain(maximum):f}. Nothing was written.",
        account=guard.account,
        balance=plain(balance),
        required=plain(after),
    )


def _where(plan: Plan, guard: Guard) -> str:
    dims = ", ".join(
        f"{name} {value}" for name, value in zip(plan.entry.rules.dimensions, guard.dims, strict=True)
    )
    return f"account {guard.account!r} of book {plan.book!r}" + (f" in {dims}" if dims else "")

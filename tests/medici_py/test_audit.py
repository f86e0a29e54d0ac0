"""What an auditor makes of a journal and its legs."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from bson.regex import Regex
from hypothesis import given
from hypothesis import strategies as st

from medici_py.audit import AuditRules, Relation, WithLegs, judge_journal, judge_orphan, judge_void, relation
from medici_py.differences import (
    Difference,
    EmptyJournal,
    ExtraLeg,
    LegContradiction,
    LegNamedTwice,
    MissingLeg,
    MissingReversal,
    OrphanLeg,
    ReversalOfStanding,
    SeveralReversals,
    UnbalancedJournal,
    UnreadableDocument,
    WrongFlag,
    WrongReversal,
)

Document = dict[str, Any]

NOW = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
RULES = AuditRules("Bank")
BY_CURRENCY = AuditRules("Bank", fields=("meta.currency",))


def number(digit: int) -> ObjectId:
    return ObjectId(f"{digit:024x}")


JOURNAL, FIRST, SECOND, OTHER = number(0xA), number(1), number(2), number(0xF)


def a_journal(*legs: Document, **fields: Any) -> Document:
    named = [leg["_id"] for leg in legs]
    return {"_id": JOURNAL, "memo": "Rent", "_transactions": named, "datetime": NOW, "book": "Bank"} | fields


def a_leg(leg_id: ObjectId, account: str, debit: Any = 0, credit: Any = 0, **fields: Any) -> Document:
    return {
        "_id": leg_id,
        "_journal": JOURNAL,
        "account_path": account.split(":"),
        "accounts": account,
        "book": "Bank",
        "debit": debit,
        "credit": credit,
        "datetime": NOW,
        "timestamp": NOW,
        "memo": "Rent",
    } | fields


DEBIT = a_leg(FIRST, "Assets:Cash", debit=Int64(5))
CREDIT = a_leg(SECOND, "Income", credit=Int64(5))


@pytest.mark.parametrize(
    "legs",
    [
        pytest.param([DEBIT, CREDIT], id="plain"),
        pytest.param([DEBIT | {"debit": 5.0}, CREDIT | {"credit": Decimal128("5.00")}], id="types"),
        pytest.param(
            [DEBIT | {"debit": 0.3}, CREDIT | {"credit": 0.1}, a_leg(OTHER, "I", credit=0.2)], id="doubles"
        ),
        pytest.param([DEBIT | {"debit": None}, CREDIT | {"credit": 0}], id="null is nothing"),
        pytest.param([DEBIT | {"debit": -5}, CREDIT | {"credit": -5}], id="negative"),
        pytest.param([a_leg(FIRST, "A:", debit=1), a_leg(SECOND, "", credit=1)], id="empty parts of Node's"),
        pytest.param([DEBIT | {"account_path": ["Assets:Cash"]}, CREDIT], id="odd path of Node's"),
    ],
)
def test_journal_that_balances_and_has_its_legs_is_right(legs: list[Document]) -> None:
    """However other writers have stored it."""
    assert judge_journal(a_journal(*legs), legs, RULES) == []


def test_voided_journal_and_legs_that_say_the_same_are_right() -> None:
    """Flag and reason on all of them."""
    flags = {"voided": True, "void_reason": "[VOID] Rent"}
    assert judge_journal(a_journal(DEBIT, CREDIT) | flags, [DEBIT | flags, CREDIT | flags], RULES) == []


@pytest.mark.parametrize(
    ("journal", "legs", "expected"),
    [
        pytest.param(a_journal(), [], [EmptyJournal("Bank", JOURNAL)], id="no legs"),
        pytest.param(
            a_journal(DEBIT, CREDIT),
            [DEBIT],
            [
                MissingLeg("Bank", JOURNAL, SECOND),
                UnbalancedJournal("Bank", JOURNAL, (), Decimal(5), Decimal(0)),
            ],
            id="missing leg",
        ),
        pytest.param(
            a_journal(DEBIT, CREDIT),
            [DEBIT, CREDIT, a_leg(OTHER, "X", debit=0)],
            [ExtraLeg("Bank", JOURNAL, OTHER, "X")],
            id="extra leg",
        ),
        pytest.param(
            a_journal(DEBIT, CREDIT, DEBIT),
            [DEBIT, CREDIT],
            [LegNamedTwice("Bank", JOURNAL, FIRST)],
            id="named twice",
        ),
        pytest.param(
            a_journal(DEBIT, CREDIT),
            [DEBIT, CREDIT | {"credit": Decimal128("5.000000001")}],
            [UnbalancedJournal("Bank", JOURNAL, (), Decimal(5), Decimal("5.000000001"))],
            id="unbalanced by less than the precision",
        ),
        pytest.param(
            a_journal(DEBIT, CREDIT),
            [DEBIT | {"debit": 2**53}, CREDIT | {"credit": 2**53 + 1}],
            [UnbalancedJournal("Bank", JOURNAL, (), Decimal(2**53), Decimal(2**53 + 1))],
            id="unbalanced beyond doubles",
        ),
        pytest.param(
            a_journal(DEBIT, CREDIT),
            [DEBIT | {"accounts": "Assets:Bank"}, CREDIT],
            [LegContradiction("Bank", JOURNAL, FIRST, "accounts", "Assets:Cash", "Assets:Bank")],
            id="account and path differ",
        ),
        pytest.param(
            a_journal(DEBIT, CREDIT),
            [DEBIT, CREDIT | {"book": "Shop"}],
            [
                LegContradiction("Bank", JOURNAL, SECOND, "book", "Bank", "Shop"),
                UnbalancedJournal("Bank", JOURNAL, (), Decimal(5), Decimal(0)),
            ],
            id="leg of another book",
        ),
        pytest.param(
            a_journal(DEBIT, CREDIT, voided=True, void_reason="x"),
            [DEBIT, CREDIT | {"voided": True, "void_reason": "y"}],
            [
                WrongFlag("Bank", JOURNAL, FIRST, "voided", True, False),
                WrongFlag("Bank", JOURNAL, SECOND, "void_reason", "x", "y"),
            ],
            id="voided, legs not or otherwise",
        ),
        pytest.param(
            a_journal(DEBIT, CREDIT),
            [DEBIT | {"voided": True}, CREDIT],
            [WrongFlag("Bank", JOURNAL, FIRST, "voided", False, True)],
            id="leg voided, journal not",
        ),
    ],
)
def test_each_fault_has_its_difference(
    journal: Document, legs: list[Document], expected: list[Difference]
) -> None:
    """And nothing else is named."""
    assert judge_journal(journal, legs, RULES) == expected


@pytest.mark.parametrize("amount", [True, "5", float("nan"), NOW, Decimal128("Infinity"), {"a": 1}])
def test_amount_that_is_no_number_is_named_and_not_added_up(amount: Any) -> None:
    """Whether the journal balances cannot be said."""
    (found,) = judge_journal(a_journal(DEBIT, CREDIT), [DEBIT, CREDIT | {"credit": amount}], RULES)
    assert isinstance(found, UnreadableDocument)
    assert found.document_id == SECOND
    assert "credit" in found.text


def test_journal_that_cannot_be_read_is_named() -> None:
    """Node may leave null among the ids of legs."""
    (found,) = judge_journal(a_journal(DEBIT, _transactions=[FIRST, None]), [DEBIT], RULES)
    assert isinstance(found, UnreadableDocument)
    assert found.document_id == JOURNAL


def test_balance_is_demanded_in_each_value_of_the_dimensions() -> None:
    """A leg without one counts under none."""
    legs = [
        DEBIT | {"meta": {"currency": "USD"}},
        CREDIT | {"meta": {"currency": "EUR"}},
        a_leg(number(3), "A", debit=1),
        a_leg(number(4), "B", credit=1, meta={"currency": 7}),
    ]
    assert judge_journal(a_journal(*legs), legs, RULES) == []
    assert judge_journal(a_journal(*legs), legs, BY_CURRENCY) == [
        UnbalancedJournal("Bank", JOURNAL, (("meta.currency", "USD"),), Decimal(5), Decimal(0)),
        UnbalancedJournal("Bank", JOURNAL, (("meta.currency", "EUR"),), Decimal(0), Decimal(5)),
    ]


def test_orphan_says_whose_its_journal_is() -> None:
    """Nobody's, or another book's."""
    assert judge_orphan(DEBIT, None, "Bank") == OrphanLeg("Bank", JOURNAL, FIRST, "Assets:Cash", None)
    assert judge_orphan(DEBIT, {"book": "Shop"}, "Bank").journal_book == "Shop"


ORIGINAL = WithLegs(a_journal(DEBIT, CREDIT), [DEBIT, CREDIT])
VOIDED = WithLegs(ORIGINAL.journal | {"voided": True, "void_reason": "Wrong month"}, ORIGINAL.legs)
SWAPPED = [
    a_leg(number(3), "Assets:Cash", credit=5.0, _journal=OTHER),
    a_leg(number(4), "Income", debit=Decimal128("5"), _journal=OTHER),
]


def a_follower(memo: str, legs: list[Document]) -> WithLegs:
    return WithLegs({"_id": OTHER, "memo": memo, "book": "Bank"}, legs)


@pytest.mark.parametrize(
    ("original", "follower", "expected"),
    [
        (VOIDED, a_follower("Wrong month", SWAPPED), Relation.REVERSES),
        (VOIDED, a_follower("Wrong month", SWAPPED[::-1]), Relation.REVERSES),
        (VOIDED, a_follower("Wrong month", SWAPPED[:1]), Relation.DIFFERS),
        (VOIDED, a_follower("Wrong month", [DEBIT, CREDIT]), Relation.DIFFERS),
        (VOIDED, a_follower("Changed since", SWAPPED), Relation.MIRRORS),
        (VOIDED, a_follower("Late fee", [DEBIT, CREDIT]), Relation.FOLLOWS),
        (ORIGINAL, a_follower("[VOID] Rent", SWAPPED), Relation.REVERSES),
        (ORIGINAL, a_follower("[VOID] Rent", [DEBIT, CREDIT]), Relation.FOLLOWS),
        (ORIGINAL, a_follower("Refund", SWAPPED), Relation.MIRRORS),
    ],
)
def test_what_a_journal_is_to_the_one_it_refers_to(
    original: WithLegs, follower: WithLegs, expected: Relation
) -> None:
    """A void's text and swapped sides make a reversal; a refund under its own text is none."""
    assert relation(original, follower, ()) is expected


def test_reversal_of_both_sides_is_two_legs_and_of_nothing_none() -> None:
    """As a void posts it."""
    both = a_leg(FIRST, "A", debit=3, credit=2)
    zero = a_leg(SECOND, "B")
    one = a_leg(number(3), "C", credit=1)
    original = WithLegs(VOIDED.journal, [both, zero, one])
    legs = [a_leg(number(4), "A", credit=3), a_leg(number(5), "A", debit=2), a_leg(number(6), "C", debit=1)]
    assert relation(original, a_follower("Wrong month", legs), ()) is Relation.REVERSES


def test_reversal_in_another_value_of_a_dimension_is_none() -> None:
    """Nothing is made good by it."""
    original = WithLegs(VOIDED.journal, [leg | {"meta": {"currency": "USD"}} for leg in VOIDED.legs])
    follower = a_follower("Wrong month", SWAPPED)
    assert relation(original, follower, ("meta.currency",)) is Relation.DIFFERS


REVERSES, DIFFERS, MIRRORS = Relation.REVERSES, Relation.DIFFERS, Relation.MIRRORS


@pytest.mark.parametrize(
    ("original", "followers", "expected"),
    [
        (VOIDED, [REVERSES], []),
        (VOIDED, [MIRRORS], []),
        (VOIDED, [REVERSES, MIRRORS], []),
        (VOIDED, [], [MissingReversal("Bank", JOURNAL)]),
        (VOIDED, [DIFFERS], [WrongReversal("Bank", JOURNAL, number(0))]),
        (VOIDED, [REVERSES, REVERSES], [SeveralReversals("Bank", JOURNAL, (number(0), number(1)))]),
        (VOIDED, [REVERSES, DIFFERS], [SeveralReversals("Bank", JOURNAL, (number(0), number(1)))]),
        (ORIGINAL, [], []),
        (ORIGINAL, [MIRRORS], []),
        (ORIGINAL, [REVERSES], [ReversalOfStanding("Bank", JOURNAL, number(0))]),
    ],
)
def test_voided_journal_has_exactly_one_reversal_and_another_none(
    original: WithLegs, followers: list[Relation], expected: list[Difference]
) -> None:
    """A void's own: what somebody posted about the journal besides is their business."""
    by_id = {number(place): what for place, what in enumerate(followers)}
    assert judge_void(original, by_id, RULES) == expected


BACK, VOID = number(0), number(1)
FOLLOWS = Relation.FOLLOWS


@pytest.mark.parametrize(
    ("voided", "followers", "undone", "expected"),
    [
        (False, {BACK: MIRRORS}, {}, []),
        (False, {BACK: REVERSES}, {}, []),
        (False, {BACK: MIRRORS}, {BACK}, []),
        (False, {}, {}, []),
        (False, {BACK: FOLLOWS}, {}, [WrongReversal("Bank", JOURNAL, BACK)]),
        (False, {BACK: MIRRORS, VOID: REVERSES}, {}, [ReversalOfStanding("Bank", JOURNAL, VOID)]),
        (True, {BACK: MIRRORS, VOID: REVERSES}, {}, [SeveralReversals("Bank", JOURNAL, (VOID, BACK))]),
        (True, {BACK: MIRRORS, VOID: REVERSES}, {BACK}, []),
        (True, {BACK: MIRRORS, VOID: REVERSES}, {VOID}, []),
        (True, {BACK: MIRRORS, VOID: REVERSES}, {BACK, VOID}, []),
        (True, {BACK: FOLLOWS, VOID: REVERSES}, {VOID}, [WrongReversal("Bank", JOURNAL, BACK)]),
        (True, {VOID: REVERSES}, {}, []),
        (True, {}, {}, [MissingReversal("Bank", JOURNAL)]),
    ],
)
def test_journal_that_was_taken_back_without_a_void_is_reversed_by_that_alone(
    *, voided: bool, followers: dict[ObjectId, Relation], undone: set[ObjectId], expected: list[Difference]
) -> None:
    """By legs that swap its own; and not by a void besides, unless one of the two was voided in its turn."""
    original = VOIDED if voided else ORIGINAL
    marked = WithLegs(original.journal | {"taken_back_by": BACK}, original.legs)
    assert judge_void(marked, followers, RULES, undone=undone) == expected


def test_of_several_voids_those_that_were_voided_do_not_count() -> None:
    """That is how it is mended."""
    followers = dict.fromkeys((number(0), number(1), number(2)), REVERSES)
    assert judge_void(VOIDED, followers, RULES, undone={number(0), number(2)}) == []
    [found] = judge_void(VOIDED, followers, RULES, undone={number(0)})
    assert found == SeveralReversals("Bank", JOURNAL, (number(1), number(2)))


def test_voided_journal_of_zeros_needs_no_reversal() -> None:
    """Node marks one without having anything to reverse."""
    zeros = WithLegs(VOIDED.journal, [a_leg(FIRST, "A"), a_leg(SECOND, "B")])
    assert judge_void(zeros, {}, RULES) == []


GARBAGE: list[Any] = [
    *(None, True, 5, 1.5, float("nan"), "", "x", b"x", [], [1], [["A"]], {}, {"a": []}),
    *(NOW, Decimal128("NaN"), FIRST, Regex("x")),
]
FIELDS = sorted(
    {*CREDIT, "voided", "void_reason", "_original_journal", "taken_back_by", "meta", "_transactions"}
)
damage = st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(GARBAGE), max_size=3)


@given(damage, damage, st.booleans())
def test_no_document_is_beyond_the_auditor(journal: Document, leg: Document, voided: bool) -> None:
    """Whatever stands in them is judged; what cannot be read is a difference, not an error."""
    read = WithLegs(a_journal(DEBIT, CREDIT, voided=voided, void_reason="x") | journal, [DEBIT | leg, CREDIT])
    for difference in judge_journal(read.journal, read.legs, BY_CURRENCY):
        assert difference.text.startswith("Book ")
    what = relation(read, read, BY_CURRENCY.fields)
    judge_void(read, {OTHER: what}, BY_CURRENCY)
    assert judge_orphan(DEBIT | leg, read.journal, "Bank").text.startswith("Book ")


def test_text_names_book_journal_and_the_way_out() -> None:
    """In one line, whatever stands in the documents."""
    (found,) = judge_journal(
        a_journal(DEBIT, CREDIT), [DEBIT, CREDIT | {"credit": Int64(4), "accounts": "In\ncome"}], RULES
    )[1:]
    assert found.kind == "UnbalancedJournal"
    assert found.text == (
        "Book 'Bank', journal 00000000000000000000000a: debits 5 should equal credits 4, the difference is -1. "
        "Post an entry that makes up for it, or correct its legs and rebuild the balances."
    )

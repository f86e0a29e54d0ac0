"""Adding up a tree of accounts in one descending pass."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal, localcontext

from hypothesis import given
from hypothesis import strategies as st

from medici_py.money import EXACT
from medici_py.running_rows import RowKey, Turnover, with_rows_above
from medici_py.turnover_stack import TurnoverStack, row_order

parts = st.text(alphabet="AB\uffff\U00010000\x00 ", max_size=2)
keys = st.tuples(
    st.lists(parts, max_size=4).map(tuple), st.tuples(st.none() | st.sampled_from(["", "USD", "EUR"]))
)
amounts = st.decimals(min_value=-10, max_value=10, places=2)
legs = st.lists(st.tuples(keys, amounts, amounts), max_size=30)


def descending(leg_list: Iterable[tuple[RowKey, Decimal, Decimal]]) -> list[tuple[RowKey, Turnover]]:
    """The own turnover of each account, as a sorted stream has it."""
    own: dict[RowKey, Turnover] = {}
    for key, debit, credit in leg_list:
        own.setdefault(key, Turnover()).add(debit, credit)
    return sorted(own.items(), key=lambda item: row_order(item[0]), reverse=True)


def through_stack(stream: list[tuple[RowKey, Turnover]]) -> list[tuple[RowKey, Turnover]]:
    stack = TurnoverStack()
    complete = [done for key, own in stream for done in stack.add(key, own)]
    return complete + stack.finish()


@given(legs)
def test_same_sums_as_adding_each_leg_to_every_account_above(
    leg_list: list[tuple[RowKey, Decimal, Decimal]],
) -> None:
    """Which is what a posting does to the rows."""
    with localcontext(EXACT):
        rows: defaultdict[RowKey, Turnover] = defaultdict(Turnover)
        for (path, dims), debit, credit in leg_list:
            for depth in range(len(path) + 1):
                rows[path[:depth], dims].add(debit, credit)
        own = descending(leg_list)
        posted = with_rows_above({("B", key): turnover for key, turnover in own})
        streamed = through_stack(own)
    assert rows == dict(streamed)
    assert {key: turnover for (_, key), turnover in posted.items()} == rows


@given(legs)
def test_what_comes_out_is_descending_and_each_once(
    leg_list: list[tuple[RowKey, Decimal, Decimal]],
) -> None:
    """So that it can be merged with rows read in the order of their ids."""
    order = [row_order(key) for key, _ in through_stack(descending(leg_list))]
    assert order == sorted(set(order), reverse=True)


def test_accounts_come_after_what_lies_below_and_the_book_last() -> None:
    """And as early as nothing more can be added to them."""
    stack = TurnoverStack()
    once = Turnover(debit=Decimal(1), size=Decimal(1), notes=1)
    came = [
        [".".join(path) for (path, _), _ in stack.add((path, ()), once)]
        for path in (("B",), ("A", "Y", "1"), ("A", "X"), ("A",))
    ]
    assert came == [[], ["B"], ["A.Y.1", "A.Y"], ["A.X"]]
    assert [(path, turnover.notes) for (path, _), turnover in stack.finish()] == [(("A",), 3), ((), 4)]


def test_nothing_gives_nothing() -> None:
    """Not even a book."""
    assert TurnoverStack().finish() == []


@given(keys, keys)
def test_order_is_that_of_texts_bytes(one: RowKey, other: RowKey) -> None:
    """As the server compares: UTF-8 bytes, part by part, null before text."""

    def as_bytes(key: RowKey) -> tuple[tuple[bytes, ...], tuple[tuple[bool, bytes], ...]]:
        path, values = key
        return tuple(part.encode() for part in path), tuple(
            (value is not None, str(value or "").encode()) for value in values
        )

    assert (row_order(one) < row_order(other)) == (as_bytes(one) < as_bytes(other))

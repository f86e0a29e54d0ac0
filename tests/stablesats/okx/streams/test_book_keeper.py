"""An order book kept up from snapshot and updates."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablesats.okx import OrderBook
from stablesats.okx.streams.book_keeper import BookGap, BookKeeper, book_checksum

SWAP = "BTC-USD-SWAP"


def level(price: object, size: object) -> list[str]:
    return [str(price), str(size), "0", "1"]


def row(
    previous: int | None, sequence: int | None, bids=(), asks=(), checksum: int | None = 0
) -> dict[str, Any]:
    numbers = {"prevSeqId": previous, "seqId": sequence, "checksum": checksum}
    return {
        "bids": [level(*one) for one in bids],
        "asks": [level(*one) for one in asks],
        "ts": "1",
        **numbers,
    }


SNAPSHOT = row(-1, 10, bids=[(100, 1), (99, 2)], asks=[(101, 3), (102, 4)])


@pytest.fixture
def keeper() -> BookKeeper:
    """One that holds `SNAPSHOT`."""
    keeper = BookKeeper(SWAP)
    assert isinstance(keeper.apply("snapshot", SNAPSHOT), OrderBook)
    return keeper


def prices(book: object) -> tuple[list[int], list[int]]:
    assert isinstance(book, OrderBook)
    return [int(one.price_usd) for one in book.bids], [int(one.price_usd) for one in book.asks]


def test_heartbeats_of_a_quiet_book_each_say_that_it_is_still_so(keeper: BookKeeper) -> None:
    """OKX sends an update that follows itself about once a minute; none of them counts as repeated."""
    for _ in range(3):
        assert prices(keeper.apply("update", row(10, 10))) == ([100, 99], [101, 102])


def test_the_book_of_btc_usd_swap_as_it_was_recorded(recorded: Callable[[str], list[str]]) -> None:
    """OKX's checksum holds after the snapshot and each update."""
    keeper = BookKeeper(SWAP)
    checksums = []
    for text in recorded("okx_ws_btc_usd_swap_book"):
        push = json.loads(text)
        book = keeper.apply(push["action"], push["data"][0])
        assert isinstance(book, OrderBook)
        checksums.append(book_checksum(book))
    assert checksums == [-1278459432, 172172468, -1111557384, -1481540477]


def test_290_recorded_book_messages_of_three_instruments(recorded: Callable[[str], list[str]]) -> None:
    """Each one of them leaves a book whose checksum is OKX's."""
    keepers: dict[str, BookKeeper] = {}
    checked = 0
    for text in recorded("okx_ws_public_20220513"):
        push = json.loads(text)
        if push.get("arg", {}).get("channel") != "books" or "data" not in push:
            continue
        inst_id = push["arg"]["instId"]
        keeper = keepers.setdefault(inst_id, BookKeeper(inst_id))
        (change,) = push["data"]
        book = keeper.apply(push["action"], change)
        assert isinstance(book, OrderBook)
        assert book_checksum(book) == change["checksum"]
        checked += 1
    assert (checked, len(keepers)) == (290, 3)


def test_an_update_changes_adds_and_removes_levels(keeper: BookKeeper) -> None:
    """A size of zero removes the price, also one that is not there."""
    book = keeper.apply("update", row(10, 11, bids=[(100, 0), (98, 5), (97, 0)], asks=[(101, 9)]))
    assert prices(book) == ([99, 98], [101, 102])
    assert isinstance(book, OrderBook)
    assert book.best_ask is not None
    assert (book.best_ask.size_contracts, book.sequence) == (9, 11)


def test_the_chain_goes_on_after_a_message_without_changes(keeper: BookKeeper) -> None:
    """Each minute without change OKX sends one whose two numbers are the same."""
    assert prices(keeper.apply("update", row(10, 10))) == ([100, 99], [101, 102])
    assert prices(keeper.apply("update", row(10, 11, asks=[(101, 0)]))) == ([100, 99], [102])


def test_the_chain_goes_on_after_a_reset_of_the_numbers(keeper: BookKeeper) -> None:
    """After maintenance one update has a smaller number; it still follows the last one."""
    assert isinstance(keeper.apply("update", row(10, 3)), OrderBook)
    assert isinstance(keeper.apply("update", row(3, 4)), OrderBook)


def test_the_same_update_once_more_says_nothing(keeper: BookKeeper) -> None:
    """A repeated message is no gap."""
    update = row(10, 12, bids=[(100, 7)])
    assert isinstance(keeper.apply("update", update), OrderBook)
    assert keeper.apply("update", update) is None
    assert isinstance(keeper.apply("update", row(12, 13)), OrderBook)


@pytest.mark.parametrize(
    ("action", "change", "reason"),
    [
        ("update", row(11, 12), "updates are missing: it follows 11, the last one was 10"),
        ("update", row(9, 10), "updates are missing: it follows 9, the last one was 10"),
        ("update", row(None, None), "cannot be linked: it follows None, the last one was 10"),
        ("update", row(10, 11, checksum=5), "checksum 5 expected, "),
        ("update", row(10, 11, bids=[(103, 1)]), "the best bid is above the best ask"),
        ("update", {**row(10, 11), "bids": None}, "malformed: expected a list of levels"),
        ("update", {**row(10, 11), "bids": [["x", "1"]]}, "malformed: "),
        ("update", {**row(10, 11), "ts": ""}, "malformed: expected milliseconds"),
        ("update", {**row(10, 11), "seqId": "x"}, "malformed: seqId is no whole number"),
        ("", row(10, 11), "an action that OKX does not document: ''"),
        ("snapshot", row(-1, 20, bids=[(103, 1)], asks=[(101, 1)]), "the best bid is above the best ask"),
        ("snapshot", row(-1, 20, checksum=7), "checksum 7 expected, 0 found"),
    ],
)
def test_a_doubt_gives_the_book_up_until_the_next_snapshot(
    keeper: BookKeeper, action: str, change: dict[str, Any], reason: str
) -> None:
    """A book with a hole is worse than none: it looks like one."""
    gap = keeper.apply(action, change)
    assert isinstance(gap, BookGap)
    assert gap.reason.startswith(reason)
    assert keeper.is_waiting
    assert keeper.apply("update", row(9, 10)) is None
    assert prices(keeper.apply("snapshot", SNAPSHOT)) == ([100, 99], [101, 102])


@pytest.mark.parametrize(
    ("updates", "snapshot", "is_kept"),
    [
        ([(9, 10)], 9, False),  # update 10 is not in it, and will not come again
        ([(9, 10), (8, 9)], 9, False),
        ([(9, 10)], None, False),
        ([(9, 10)], 10, True),
        ([(9, 10)], 11, True),
        ([(None, None)], 9, True),  # nothing can be said
        ([(10, 3)], 3, True),  # the numbers were reset
    ],
)
def test_a_snapshot_that_an_update_has_overtaken_is_no_book(
    updates: list[tuple[int | None, int | None]], snapshot: int | None, is_kept: bool
) -> None:
    """Below, at and above the number of the newest update; on a quiet market nothing else would show it."""
    keeper = BookKeeper(SWAP)
    for previous, sequence in updates:
        assert keeper.apply("update", row(previous, sequence)) is None
    book = keeper.apply("snapshot", row(-1, snapshot))
    assert isinstance(book, OrderBook if is_kept else BookGap)
    assert keeper.is_waiting is not is_kept


def test_numbers_may_begin_anew_with_a_subscription(keeper: BookKeeper) -> None:
    """What came before is forgotten with the book."""
    keeper.apply("update", row(10, 11))
    keeper.forget()
    assert isinstance(keeper.apply("snapshot", row(-1, 1)), OrderBook)


def test_before_the_first_snapshot_there_is_nothing_to_update() -> None:
    """Such an update belongs to an earlier subscription."""
    assert BookKeeper(SWAP).apply("update", row(10, 11)) is None


def test_a_checksum_of_zero_says_nothing(keeper: BookKeeper) -> None:
    """OKX sends nothing else today."""
    assert isinstance(keeper.apply("update", row(10, 11, checksum=0)), OrderBook)


def test_without_numbers_a_checksum_is_needed() -> None:
    """As it was before the numbers; with neither, nothing shows that no update is missing."""
    keeper = BookKeeper(SWAP)
    assert isinstance(keeper.apply("snapshot", row(None, None, bids=[(100, 1)], checksum=None)), OrderBook)
    gap = keeper.apply("update", row(None, None, bids=[(99, 1)], checksum=0))
    assert isinstance(gap, BookGap)


SIDES = st.dictionaries(st.integers(1, 30), st.integers(0, 3), max_size=8)


@settings(deadline=None)
@given(updates=st.lists(st.tuples(SIDES, SIDES), max_size=8))
def test_a_kept_book_is_the_fold_of_its_updates(updates: list[tuple[dict[int, int], dict[int, int]]]) -> None:
    """Last size of each price, zero removed, best first; bids are kept below asks here."""
    keeper = BookKeeper(SWAP)
    book = keeper.apply("snapshot", row(-1, 0))
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    for number, (bid_changes, ask_changes) in enumerate(updates, 1):
        bids |= bid_changes
        asks |= {price + 100: size for price, size in ask_changes.items()}
        change = row(
            number - 1,
            number,
            bids=list(bid_changes.items()),
            asks=[(price + 100, size) for price, size in ask_changes.items()],
        )
        book = keeper.apply("update", change)
    assert prices(book) == (
        sorted((price for price, size in bids.items() if size), reverse=True),
        sorted(price for price, size in asks.items() if size),
    )


@settings(deadline=None)
@given(
    lost=st.integers(min_value=0, max_value=4),
    count=st.integers(min_value=2, max_value=5),
    price=st.decimals(min_value=Decimal("0.1"), max_value=50, places=1),
)
def test_a_lost_update_is_always_noticed(lost: int, count: int, price: Decimal) -> None:
    """Whichever it is, the next one shows the gap."""
    keeper = BookKeeper(SWAP)
    keeper.apply("snapshot", row(-1, 0))
    updates = [row(number, number + 1, bids=[(price, number + 1)]) for number in range(count)]
    lost %= count - 1
    outcomes = [keeper.apply("update", update) for number, update in enumerate(updates) if number != lost]
    assert isinstance(outcomes[lost], BookGap)
    assert all(outcome is None for outcome in outcomes[lost + 1 :])


@settings(deadline=None)
@given(data=st.data(), count=st.integers(min_value=1, max_value=5))
def test_no_order_of_messages_leaves_an_older_book(data: st.DataObject, count: int) -> None:
    """Lost, doubled, in any order: the book is as the newest message has it, or it is given up."""
    messages = [("snapshot", row(-1, 0, bids=[(10, 1)]))]
    messages += [
        ("update", row(number - 1, number, bids=[(10, number + 1)])) for number in range(1, count + 1)
    ]
    arrived = data.draw(st.lists(st.sampled_from(messages), min_size=1, max_size=8))
    keeper, book = BookKeeper(SWAP), None
    for action, change in arrived:
        outcome = keeper.apply(action, change)
        if isinstance(outcome, BookGap):
            return
        book = outcome or book
    if book is not None:
        assert not keeper.is_waiting
        newest = max(change["seqId"] for _, change in arrived)
        assert (book.sequence, book.bids[0].size_contracts) == (newest, newest + 1)

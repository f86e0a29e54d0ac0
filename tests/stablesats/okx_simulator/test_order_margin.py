"""What pending orders hold back: the larger of two sums, and what they then still let in."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx_simulator.accounts import Account, deposit, fold, margin_at, price_fill
from stablesats.okx_simulator.amounts import ZERO
from stablesats.okx_simulator.instrument import BTC_USD_SWAP as SWAP
from stablesats.okx_simulator.market import Side
from stablesats.okx_simulator.order_margin import (
    Claim,
    claims_of,
    frozen_btc,
    frozen_on_side_btc,
    is_covered,
    largest_order_contracts,
)
from stablesats.okx_simulator.orders import Order, OrderKind, OrderState, OrderTicket

D = Decimal
AT = datetime(2026, 9, 1, tzinfo=UTC)
EMPTY = Account(deposited_btc=D("0.2"), lever=D(2), updated_at=AT)
MARK = D(50_000)
SIDES = {"buy": Side.BUY, "sell": Side.SELL}


def holding(contracts: Decimal, account: Account = EMPTY) -> Account:
    """Return the account after it opened a position of so many signed contracts at 50,000."""
    if not contracts:
        return account
    fill = price_fill(
        account,
        trade_id="7",
        bill_id="8",
        order_id="9",
        side=Side.BUY if contracts > 0 else Side.SELL,
        contracts=abs(contracts),
        price_usd=MARK,
        at=AT,
        instrument=SWAP,
    )
    return fold(account, fill)


def claims(*texts: str) -> tuple[Claim, ...]:
    """Read claims such as ``buy 150`` (at the mark) or ``sell 100 50100``."""
    words = [text.split() for text in texts]
    return tuple(Claim(SIDES[side], D(size), D(price[0]) if price else MARK) for side, size, *price in words)


def covered(account: Account, claim: Claim, *, at_once: Decimal | None = None, **more: object) -> bool:
    return is_covered(
        account,
        claim,
        at_once_contracts=claim.contracts if at_once is None else at_once,
        mark_usd=MARK,
        instrument=SWAP,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("held", "waiting", "frozen"),
    [
        # Opening 100 at 50,000 needs 0.2 BTC x (1/2 + 0.0005) = 0.1001; closing them the fee of 0.0001.
        ("0", ["buy 100"], "0.1001"),
        ("0", ["buy 100", "sell 100"], "0.1001"),  # only one side can open
        ("0", ["buy 100", "sell 60", "sell 60"], "0.12012"),
        ("-100", ["sell 50"], "0.05005"),
        ("-100", ["buy 100"], "0"),  # closes
        ("-100", ["buy 150"], "0"),  # opens 50 with what closing 100 frees
        ("-100", ["buy 60", "buy 60", "buy 60"], "0"),  # 180: opens 80
        ("-100", ["buy 200"], "0.0002"),  # 0.1 is freed, 0.1 is needed: the fees of both parts
        ("-100", ["buy 250"], "0.05025"),
        ("-100", ["buy 150", "buy 150"], "0.1003"),
        ("-100", ["buy 250", "sell 50"], "0.05025"),
        ("-100", ["buy 250", "sell 100"], "0.1001"),
        ("100", ["sell 250"], "0.05025"),
        ("100", ["buy 50", "sell 100"], "0.05005"),
    ],
)
def test_what_one_side_takes_beyond_the_position_is_frozen(
    held: str, waiting: list[str], frozen: str
) -> None:
    """Leverage 2, everything at 50,000 USD: position and orders block what the larger side needs."""
    assert frozen_btc(holding(D(held)), claims(*waiting), MARK, SWAP) == D(frozen)


@pytest.mark.parametrize(
    ("held", "waiting", "frozen"),
    [
        # The buy at 50,000 comes before that at 40,000, whichever is older: the latter opens 100 for 0.125.
        ("-100", ["buy 100 50000", "buy 100 40000"], "0.125"),
        ("-100", ["buy 100 40000", "buy 100 50000"], "0.125"),
        # The sell at 40,000 comes before that at 50,000, which opens 100 for 0.1.
        ("100", ["sell 100 40000", "sell 100 50000"], "0.1"),
        ("100", ["sell 100 50000", "sell 100 40000"], "0.1"),
    ],
)
def test_best_price_closes_first(held: str, waiting: list[str], frozen: str) -> None:
    """What is reckoned to open is what comes last, at its own price; 0.1 BTC is freed, and fees are added."""
    fees = sum((claim.contracts * 100 / claim.price_usd * D("0.0005") for claim in claims(*waiting)), ZERO)
    found = frozen_btc(holding(D(held)), claims(*waiting), MARK, SWAP)
    assert found == max(ZERO, D(frozen) + fees - D("0.1"))


@given(
    held=st.integers(-300, 300),
    sizes=st.lists(st.integers(1, 200), max_size=5),
    prices=st.lists(st.integers(30_000, 70_000), min_size=5, max_size=5),
    side=st.sampled_from(Side),
    lever=st.integers(1, 100),
)
def test_one_more_order_never_frees_margin(
    held: int, sizes: list[int], prices: list[int], side: Side, lever: int
) -> None:
    """Frozen is never negative, and grows with each order or stays; a position in its way only helps."""
    account = holding(D(held), Account(deposited_btc=D(9), lever=D(lever), updated_at=AT))
    waiting = [Claim(side, D(size), D(price)) for size, price in zip(sizes, prices, strict=False)]
    frozen = [
        frozen_on_side_btc(account, waiting[:count], side, MARK, SWAP) for count in range(len(waiting) + 1)
    ]
    assert frozen[0] == 0
    assert frozen == sorted(frozen)
    flat = Account(deposited_btc=D(9), lever=D(lever), updated_at=AT)
    if held * side.sign >= 0:
        assert frozen[-1] == frozen_on_side_btc(flat, waiting, side, MARK, SWAP)
    else:
        assert frozen[-1] <= frozen_on_side_btc(flat, waiting, side, MARK, SWAP)


def test_reduce_only_orders_claim_nothing_and_an_order_without_a_limit_is_reckoned_at_the_mark() -> None:
    """The former never open; what counts is what an order has not filled yet."""

    def order(kind: OrderKind, price: str | None, *, reduce_only: bool = False) -> Order:
        return Order(
            order_id="1",
            ticket=OrderTicket(
                inst_id="BTC-USD-SWAP",
                side=Side.BUY,
                contracts=D(10),
                client_order_id="",
                tag="",
                reduce_only=reduce_only,
                kind=kind,
                price_usd=D(price) if price else None,
            ),
            state=OrderState.PARTIALLY_FILLED,
            lever=D(2),
            created_at=AT,
            updated_at=AT,
            filled_contracts=D(4),
        )

    waiting = [
        order(OrderKind.LIMIT, "49000"),
        order(OrderKind.MARKET, None),
        order(OrderKind.LIMIT, "48000", reduce_only=True),
    ]
    assert claims_of(waiting, MARK) == claims("buy 6 49000", "buy 6")


@pytest.mark.parametrize(
    ("contracts", "affordable"),
    [("199.7", True), ("199.8", True), ("199.9", False)],  # 0.2 / 0.001001 = 199.80
)
def test_opening_is_bounded_by_available_equity(contracts: str, affordable: bool) -> None:
    """0.2 BTC at 50,000 and leverage 2 carry 199.8 contracts with their fee, now or waiting."""
    [claim] = claims(f"sell {contracts}")
    assert covered(EMPTY, claim) is affordable
    assert covered(EMPTY, claim, at_once=ZERO) is affordable


def test_reducing_is_always_covered() -> None:
    """Even with no equity left a position can be cut."""
    account = deposit(holding(D(-100)), D("-0.1999"), AT)
    assert [covered(account, claim) for claim in claims("buy 100", "buy 101")] == [True, False]


@pytest.mark.parametrize(
    ("waiting", "another", "fits"),
    [
        ([], "buy 150", True),  # opens 50 with the margin of the 100 it closes
        ([], "buy 200", True),
        ([], "buy 299.4", True),  # 0.0999 more than the position's own 0.1, less 0.0001 for closing
        ([], "buy 299.7", False),
        (["buy 100"], "buy 100", True),
        (["buy 150", "buy 149.4"], "sell 99.8", True),  # the two sides share what is free
        (["buy 150", "buy 149.4"], "buy 0.3", False),
        (["buy 299.4"], "sell 99.9", False),
    ],
)
def test_waiting_order_shares_the_margin_with_its_own_side(
    waiting: list[str], another: str, fits: bool
) -> None:
    """Short 100 over 0.1999 BTC, of which 0.1 is blocked: 0.0999 is left for whichever side needs more."""
    [claim] = claims(another)
    assert covered(holding(D(-100)), claim, at_once=ZERO, others=claims(*waiting)) is fits


@given(
    held=st.decimals(min_value=-100, max_value=100, places=1),
    waiting=st.lists(st.sampled_from(["buy 30 49000", "sell 20 51000", "buy 7", "sell 90"]), max_size=2),
    side=st.sampled_from(Side),
    mark_usd=st.decimals(min_value=30_000, max_value=90_000, places=1),
)
def test_largest_order_is_covered_and_one_lot_more_is_not(
    held: Decimal, waiting: list[str], side: Side, mark_usd: Decimal
) -> None:
    """What max-size says and what placing an order checks are the same bound, flips included."""
    account, others = holding(held), claims(*waiting)
    largest = largest_order_contracts(
        account, side, price_usd=mark_usd, mark_usd=mark_usd, instrument=SWAP, others=others
    )

    def fits(contracts: Decimal) -> bool:
        return is_covered(
            account,
            Claim(side, contracts, mark_usd),
            at_once_contracts=contracts,
            mark_usd=mark_usd,
            instrument=SWAP,
            others=others,
        )

    assert fits(largest)
    assert not fits(largest + SWAP.lot_contracts)


@given(
    held=st.integers(-150, 150),
    waiting=st.lists(
        st.tuples(st.sampled_from(Side), st.integers(1, 400), st.integers(49_000, 51_000)), max_size=6
    ),
)
def test_orders_let_in_one_by_one_never_take_more_than_the_equity(
    held: int, waiting: list[tuple[Side, int, int]]
) -> None:
    """Margin of the position plus what is frozen stays within the equity, whatever is asked for."""
    account = holding(D(held))
    accepted: list[Claim] = []
    for side, contracts, price_usd in waiting:
        claim = Claim(side, D(contracts), D(price_usd))
        if covered(account, claim, at_once=ZERO, others=accepted):
            accepted.append(claim)
    frozen = frozen_btc(account, accepted, MARK, SWAP)
    margin = margin_at(account, MARK, SWAP)
    assert margin.initial_btc + frozen <= margin.equity_btc

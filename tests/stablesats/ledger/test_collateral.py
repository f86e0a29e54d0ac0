"""The dealer's collateral on a real database: each movement once, and assets that equal what made them."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from medici_py import Book, DuplicateEntryError, Journal, TemplateRef, mongo_transaction
from medici_py.embedded import EmbeddedMongo
from stablesats.ledger import (
    AmountError,
    CollateralAccount,
    CollateralBalances,
    CollateralLedger,
    CollateralProfit,
    ExchangeIdError,
    Ledger,
    LedgerDamagedError,
    collateral_difference,
)
from stablesats.ledger.facade import DIMENSIONS

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Movement:
    """One kind of movement: the method, the argument of its id, amounts, the prefix of the external id."""

    method: str
    id_name: str
    amounts: dict[str, int]
    prefix: str


MOVEMENTS = [
    Movement("deposit_sent", "payment_id", {"sats": 1_000_000, "fee_sats": 500}, "deposit-sent:"),
    Movement("deposit_returned", "payment_id", {"sats": 1_000_000, "fee_sats": 500}, "deposit-returned:"),
    Movement("deposit_credited", "deposit_id", {"sats": 1_000_000}, "deposit:"),
    Movement("withdrawal_requested", "withdrawal_id", {"sats": 50_000, "fee_sats": 300}, "withdrawal:"),
    Movement("withdrawal_returned", "withdrawal_id", {"sats": 50_000, "fee_sats": 300}, "withdrawal-end:"),
    Movement("withdrawal_arrived", "withdrawal_id", {"sats": 50_000}, "withdrawal-end:"),
    Movement("transferred", "transfer_id", {"change_sats": 800_000}, "transfer:"),
    Movement("trading_fee", "bill_id", {"change_sats": -40}, "trading-fee:"),
    Movement("funding_payment", "bill_id", {"change_sats": 25}, "funding-payment:"),
    Movement("realised_profit", "bill_id", {"change_sats": -1_000}, "realised-profit:"),
]
ID_NAMES = {movement.method: movement.id_name for movement in MOVEMENTS}


@pytest.fixture
def collateral(ledger: Ledger) -> CollateralLedger:
    """An empty book, prepared with the others."""
    return CollateralLedger(ledger.database)


async def do(collateral: CollateralLedger, method: str, id_: Any, **arguments: Any) -> Journal:
    post: Callable[..., Awaitable[Journal]] = getattr(collateral, method)
    return await post(**{ID_NAMES[method]: id_, "at": NOON, **arguments})


async def journals(ledger: Ledger) -> int:
    count: int = await ledger.database["medici_journals"].count_documents({})
    return count


async def test_collateral_goes_to_the_exchange_earns_and_comes_back(
    ledger: Ledger, collateral: CollateralLedger
) -> None:
    """Every figure on the way, and at no moment is bitcoin nowhere."""
    await collateral.deposit_sent(payment_id="p1", sats=1_000_000, fee_sats=500, at=NOON)
    sent = await collateral.balances()
    assert (sent.in_transit_to_okex_sats, sent.given_sats, sent.assets_sats) == (
        1_000_000,
        1_000_500,
        1_000_000,
    )

    await collateral.deposit_credited(deposit_id="d1", sats=1_000_000, at=NOON)
    await collateral.transferred(transfer_id="t1", change_sats=800_000, at=NOON)
    await collateral.trading_fee(bill_id="b1", change_sats=-40, at=NOON)
    await collateral.trading_fee(bill_id="b2", change_sats=10, at=NOON)
    await collateral.funding_payment(bill_id="b3", change_sats=25, at=NOON)
    await collateral.funding_payment(bill_id="b4", change_sats=-5, at=NOON)
    await collateral.realised_profit(bill_id="b1", change_sats=7_000, at=NOON)
    await collateral.withdrawal_requested(withdrawal_id="w1", sats=150_000, fee_sats=300, at=NOON)
    profit = CollateralProfit(
        trading_fees_sats=-30, funding_payments_sats=20, onchain_fees_sats=-800, realised_profit_sats=7_000
    )
    assert await collateral.balances() == CollateralBalances(
        funding_account_sats=49_700,  # 1,000,000 - 800,000 - 150,000 - 300
        trading_account_sats=806_990,  # 800,000 - 30 + 20 + 7,000
        in_transit_to_okex_sats=0,
        in_transit_from_okex_sats=150_000,
        given_sats=1_000_500,
        profit=profit,
    )

    await collateral.withdrawal_arrived(withdrawal_id="w1", sats=150_000, at=NOON)
    back = await collateral.balances()
    assert (back.in_transit_from_okex_sats, back.given_sats) == (0, 850_500)
    assert await collateral.profit() == profit
    assert back.assets_sats == back.equity_sats == 850_500 + 6_190
    assert sum((await collateral.account_balances()).values()) == 0
    assert (await collateral.book.verify()).clean


async def test_movement_is_posted_once_under_its_id(ledger: Ledger, collateral: CollateralLedger) -> None:
    """Also by many at once; other content under the id is refused, another id is another movement."""
    for number, each in enumerate(MOVEMENTS):
        id_, key = f"i{number}", f"{each.prefix}i{number}"
        posted = await asyncio.gather(*(do(collateral, each.method, id_, **each.amounts) for _ in range(3)))
        assert sorted(journal.replayed for journal in posted) == [False, True, True]
        assert {(journal.id, journal.book, journal.external_id) for journal in posted} == {
            (posted[0].id, "Exchange Collateral", key)
        }
        assert posted[0].datetime == NOON
        assert posted[0].template == TemplateRef(f"COLLATERAL_{each.method.upper()}", 1)

        name, sats = next(iter(each.amounts.items()))
        for other in ({name: sats * 2}, {"at": NOON + timedelta(seconds=1)}):
            with pytest.raises(DuplicateEntryError, match=key):
                await do(collateral, each.method, id_, **{**each.amounts, **other})
        assert await journals(ledger) == 2 * number + 1
        assert not (await do(collateral, each.method, f"other-{id_}", **each.amounts)).replayed


async def test_movement_without_an_id_is_refused(ledger: Ledger, collateral: CollateralLedger) -> None:
    """All movements without one would be the same one."""
    for each in MOVEMENTS:
        for id_ in ("", " ", None, 7):
            with pytest.raises(
                ExchangeIdError, match=f"{each.id_name} must be the text of an id, got {id_!r}"
            ) as raised:
                await do(collateral, each.method, id_, **each.amounts)
            assert (raised.value.name, raised.value.value) == (each.id_name, id_)
    assert await journals(ledger) == 0


async def test_amount_that_is_not_a_whole_satoshi_writes_nothing(
    ledger: Ledger, collateral: CollateralLedger
) -> None:
    """Nothing is rounded here, and a movement of nothing is none."""
    for each in MOVEMENTS:
        name = next(iter(each.amounts))
        for amount in (1.5, "7", True, 0):
            with pytest.raises(AmountError, match=name):
                await do(collateral, each.method, "7", **{**each.amounts, name: amount})
    assert await journals(ledger) == 0


async def test_fee_and_profit_of_one_bill_are_two_movements(collateral: CollateralLedger) -> None:
    """An id is unique among movements of its kind."""
    fee = await collateral.trading_fee(bill_id="b1", change_sats=-40, at=NOON)
    profit = await collateral.realised_profit(bill_id="b1", change_sats=-40, at=NOON)
    assert fee.id != profit.id
    assert (await collateral.profit()).total_sats == -80


@pytest.mark.parametrize(
    ("first", "second"),
    [("withdrawal_arrived", "withdrawal_returned"), ("withdrawal_returned", "withdrawal_arrived")],
)
async def test_withdrawal_ends_once(collateral: CollateralLedger, first: str, second: str) -> None:
    """It arrives or it comes back, whoever says it first."""
    await collateral.withdrawal_requested(withdrawal_id="w1", sats=50_000, at=NOON)
    await do(collateral, first, "w1", sats=50_000)
    with pytest.raises(DuplicateEntryError, match="withdrawal-end:w1"):
        await do(collateral, second, "w1", sats=50_000)
    assert (await collateral.balances()).in_transit_from_okex_sats == 0


async def test_what_comes_back_leaves_nothing_behind(collateral: CollateralLedger) -> None:
    """The fee comes back with it."""
    for method in ("deposit_sent", "deposit_returned", "withdrawal_requested", "withdrawal_returned"):
        await do(collateral, method, "1", sats=50_000, fee_sats=300)
    assert set((await collateral.account_balances()).values()) == {0}


async def test_deposit_that_nobody_booked_as_sent_is_booked_and_seen(collateral: CollateralLedger) -> None:
    """The exchange has it; what is in transit says that the other half is missing."""
    await collateral.deposit_credited(deposit_id="d1", sats=1_000, at=NOON)
    found = await collateral.balances()
    assert (found.funding_account_sats, found.in_transit_to_okex_sats, found.assets_sats) == (
        1_000,
        -1_000,
        0,
    )


async def test_caller_may_own_the_session(ledger: Ledger, collateral: CollateralLedger) -> None:
    """What it posted is read in it, and an abort leaves nothing behind."""

    async def post_then_fail(session: Any) -> None:
        await collateral.deposit_credited(
            deposit_id="d1", sats=1_000, at=NOON, reference={"txid": "aa"}, session=session
        )
        assert (await collateral.balances(session=session)).funding_account_sats == 1_000
        assert (await collateral.profit(session=session)).total_sats == 0
        msg = "the caller's"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="the caller's"):
        await mongo_transaction(ledger.database.client, post_then_fail)
    assert await journals(ledger) == 0

    journal = await collateral.deposit_credited(
        deposit_id="d1", sats=1_000, at=NOON, reference={"txid": "aa"}
    )
    assert (journal.replayed, journal.metadata) == (False, {"txid": "aa"})


async def test_difference_stays_until_what_is_missing_is_booked(
    ledger: Ledger, collateral: CollateralLedger
) -> None:
    """Comparing posts nothing."""
    await collateral.deposit_credited(deposit_id="d1", sats=1_000, at=NOON)
    for _ in range(2):
        found = collateral_difference(
            await collateral.balances(), reported_funding_sats=400, reported_trading_cash_sats=600
        )
        assert not found.is_reconciled
        assert await journals(ledger) == 1
    await collateral.transferred(transfer_id="t1", change_sats=600, at=NOON)
    assert collateral_difference(
        await collateral.balances(), reported_funding_sats=400, reported_trading_cash_sats=600
    ).is_reconciled


async def test_dealers_eleven_accounts_are_not_touched(ledger: Ledger, collateral: CollateralLedger) -> None:
    """What users are owed and what the hedge is decided on is elsewhere."""
    for number, each in enumerate(MOVEMENTS):
        await do(collateral, each.method, str(number), **each.amounts)
    rows = await ledger.account_balances()
    assert len(rows) == 12
    assert {balance for _, _, balance in rows} == {0}


async def test_fraction_of_a_satoshi_in_the_book_is_an_error(
    ledger: Ledger, collateral: CollateralLedger
) -> None:
    """Something else wrote to it; the figure is not rounded."""
    other = Book(collateral.book.name, ledger.database, precision=1, dimensions=DIMENSIONS)
    entry = other.entry("foreign")
    entry.debit("OKEX_FUNDING", "0.5", {"currency": "BTC"})
    entry.credit("HOT_WALLET_COLLATERAL", "0.5", {"currency": "BTC"})
    await entry.commit()
    with pytest.raises(LedgerDamagedError, match=r"OKEX_FUNDING holds -0\.5 satoshi"):
        await collateral.balances()


sats = st.integers(1, 10**12)
change = st.integers(-(10**12), 10**12).filter(bool)
on_chain = st.fixed_dictionaries({"sats": sats, "fee_sats": st.integers(0, 10**6)})
movements = st.one_of(
    st.tuples(
        st.sampled_from(["deposit_sent", "deposit_returned", "withdrawal_requested", "withdrawal_returned"]),
        on_chain,
    ),
    st.tuples(
        st.sampled_from(["deposit_credited", "withdrawal_arrived"]), st.fixed_dictionaries({"sats": sats})
    ),
    st.tuples(
        st.sampled_from(["transferred", "trading_fee", "funding_payment", "realised_profit"]),
        st.fixed_dictionaries({"change_sats": change}),
    ),
)


def gained(method: str, done: dict[str, int]) -> int:
    """What a movement adds to all bitcoin of the collateral."""
    match method:
        case "deposit_sent":
            return done["sats"]
        case "withdrawal_requested":
            return -done["fee_sats"]
        case "withdrawal_returned":
            return done["fee_sats"]
        case "deposit_returned" | "withdrawal_arrived":
            return -done["sats"]
        case "trading_fee" | "funding_payment" | "realised_profit":
            return done["change_sats"]
        case _:
            return 0


def given_by_treasury(method: str, done: dict[str, int]) -> int:
    """What a movement adds to what the treasury gave."""
    match method:
        case "deposit_sent":
            return done["sats"] + done["fee_sats"]
        case "deposit_returned":
            return -done["sats"] - done["fee_sats"]
        case "withdrawal_arrived":
            return -done["sats"]
        case _:
            return 0


@settings(
    max_examples=settings.default.max_examples // 8, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(done=st.lists(movements, max_size=8))
def test_assets_are_what_was_put_in_less_fees_plus_funding_and_profit(
    mongodb: EmbeddedMongo, done: list[tuple[str, dict[str, int]]]
) -> None:
    """After any movements in any order, all of them seen twice; the book adds up to zero and is clean."""

    async def book_them() -> None:
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            database = client[f"collateral_{secrets.token_hex(8)}"]
            await Ledger(database).prepare()
            collateral = CollateralLedger(database)
            try:
                for number, (method, amounts) in enumerate([*done, *done]):
                    journal = await do(collateral, method, str(number % len(done)), **amounts)
                    assert journal.replayed is (number >= len(done))
                found = await collateral.balances()
                assert found.assets_sats == found.equity_sats == sum(gained(*each) for each in done)
                assert found.given_sats == sum(given_by_treasury(*each) for each in done)
                known = await collateral.account_balances()
                assert known.keys() == set(CollateralAccount)
                assert sum(known.values()) == 0
                assert (await collateral.book.verify()).clean
            finally:
                await client.drop_database(database.name)

    asyncio.run(book_them())

"""The dealer's books on a real database."""

import asyncio
import itertools
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import (
    AccountNotAllowedError,
    Book,
    DuplicateEntryError,
    MediciError,
    TemplateRef,
    UnknownTemplateError,
    mongo_transaction,
)
from medici_py.embedded import EmbeddedMongo
from stablesats.ledger import (
    Account,
    AmountError,
    CollateralAccount,
    CollateralLedger,
    Currency,
    Layer,
    Ledger,
    LedgerDamagedError,
    LiabilityBalances,
    QuoteIdError,
    RevertedJournalError,
    StrayAccount,
    VoidedJournalError,
)
from stablesats.ledger.facade import DIMENSIONS

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)


async def legs(ledger: Ledger) -> int:
    count: int = await ledger.database["medici_transactions"].count_documents({})
    return count


async def balance(ledger: Ledger, account: Account, currency: Currency) -> int:
    return {(found, in_currency): amount for found, in_currency, amount in await ledger.account_balances()}[
        account, currency
    ]


class TestTrades:
    async def test_purchase_and_the_same_sale_bring_every_balance_back(self, ledger: Ledger) -> None:
        """1,000,000 sats for 500 cents: 500 cents unallocated and 0.01 BTC held; sold again, both are zero."""
        await ledger.user_buys_usd(sats=1_000_000, cents=500, at=NOON)
        bought = await ledger.balances()
        assert (bought.unallocated_cents, bought.users_liability_cents) == (500, 500)
        assert bought.btc_wallet_sats == 1_000_000
        assert await balance(ledger, Account.EXTERNAL_OMNIBUS, Currency.BTC) == -1_000_000

        await ledger.user_sells_usd(sats=1_000_000, cents=500, at=NOON)
        assert {amount for _, _, amount in await ledger.account_balances()} == {0}

    async def test_journal_carries_template_date_and_reference(self, ledger: Ledger) -> None:
        """Four legs, dated when the trade took place; what identifies the trade is the journal's metadata."""
        journal = await ledger.user_buys_usd(
            sats=1_000_000, cents=500, at=NOON, reference={"trade_id": "t1"}, key="trade:t1"
        )
        assert (journal.memo, journal.book, journal.datetime) == ("USER_BUYS_USD", "Stablesats", NOON)
        assert journal.template == TemplateRef("USER_BUYS_USD", 1)
        assert (journal.metadata, journal.external_id) == ({"trade_id": "t1"}, "trade:t1")
        assert journal.correlation_id == str(journal.id)
        rows = [row async for row in ledger.database["medici_transactions"].find({})]
        assert sorted((row["accounts"], row["credit"], row["debit"]) for row in rows) == [
            ("EXTERNAL_OMNIBUS", 0, 1_000_000),
            ("STABLESATS_BTC_WALLET", 1_000_000, 0),
            ("STABLESATS_LIABILITY", 500, 0),
            ("STABLESATS_OMNIBUS", 0, 500),
        ]
        assert {row["meta"]["layer"] for row in rows} == {"SETTLED"}
        assert {row["meta"]["entry_type"] for row in rows} == {
            "USER_BUYS_USD_BTC_CR",
            "USER_BUYS_USD_BTC_DR",
            "USER_BUYS_USD_USD_CR",
            "USER_BUYS_USD_USD_DR",
        }

    @pytest.mark.parametrize("amounts", [{"sats": 0, "cents": 1}, {"sats": 1, "cents": -1}])
    async def test_bad_amount_writes_nothing(self, ledger: Ledger, amounts: dict[str, int]) -> None:
        """It is refused before the database is asked."""
        with pytest.raises(AmountError):
            await ledger.user_buys_usd(sats=amounts["sats"], cents=amounts["cents"], at=NOON)
        assert await legs(ledger) == 0

    async def test_trade_under_a_key_is_posted_once(self, ledger: Ledger) -> None:
        """A repeat returns the first journal, another trade under the same key is refused."""
        first = await ledger.user_buys_usd(sats=10, cents=500, at=NOON, key="trade:t1")
        again = await ledger.user_buys_usd(sats=10, cents=500, at=NOON, key="trade:t1")
        assert (again.id, again.replayed) == (first.id, True)
        with pytest.raises(DuplicateEntryError, match="trade:t1"):
            await ledger.user_buys_usd(sats=10, cents=501, at=NOON, key="trade:t1")
        with pytest.raises(DuplicateEntryError, match="USER_BUYS_USD"):
            await ledger.user_sells_usd(sats=10, cents=500, at=NOON, key="trade:t1")
        assert await ledger.hedge_target_cents() == 500

    async def test_many_trades_at_once_add_up(self, ledger: Ledger) -> None:
        """Concurrent bookings lose nothing."""
        chance = random.Random(3)
        amounts = [(chance.randrange(1, 10**9), chance.randrange(1, 10**6)) for _ in range(30)]
        await asyncio.gather(
            *(ledger.user_buys_usd(sats=sats, cents=cents, at=NOON) for sats, cents in amounts)
        )
        found = await ledger.balances()
        assert found.btc_wallet_sats == sum(sats for sats, _ in amounts)
        assert found.hedge_target_cents == sum(cents for _, cents in amounts)


class TestReverts:
    @pytest.mark.parametrize("kind", ["buys", "sells"])
    async def test_revert_brings_every_balance_back(self, ledger: Ledger, kind: str) -> None:
        """With positive legs of its own template, correlated with what it takes back."""
        book, revert = getattr(ledger, f"user_{kind}_usd"), getattr(ledger, f"revert_user_{kind}_usd")
        trade = await book(sats=1_000_000, cents=500, at=NOON)
        revert = await revert(
            sats=1_000_000, cents=500, at=NOON, reverted=trade.id, reference={"trade_id": "t1"}
        )
        assert {amount for _, _, amount in await ledger.account_balances()} == {0}
        assert revert.template == TemplateRef(f"REVERT_USER_{kind.upper()}_USD", 1)
        assert (revert.correlation_id, revert.metadata) == (str(trade.id), {"trade_id": "t1"})
        assert await ledger.database["medici_transactions"].count_documents({"voided": True}) == 0

    @pytest.mark.parametrize(
        ("kind", "cents", "sats", "message"),
        [
            ("buys", 501, 10, r"STABLESATS_LIABILITY USD: booked 500, asked 501; STABLESATS_OMNIBUS USD: "),
            ("buys", 500, 9, r"STABLESATS_BTC_WALLET BTC: booked 10, asked 9; "),
            (
                "sells",
                500,
                10,
                r"it is a USER_BUYS_USD, and REVERT_USER_SELLS_USD takes back a USER_SELLS_USD",
            ),
        ],
    )
    async def test_only_what_was_booked_is_reverted(
        self, *, ledger: Ledger, kind: str, cents: int, sats: int, message: str
    ) -> None:
        """The error says what differs, and nothing is written."""
        trade = await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
        revert = getattr(ledger, f"revert_user_{kind}_usd")
        with pytest.raises(RevertedJournalError, match=message) as raised:
            await revert(sats=sats, cents=cents, at=NOON, reverted=trade.id)
        assert raised.value.journal_id == trade.id
        assert await legs(ledger) == 4

    async def test_unknown_journals_and_those_of_others_are_not_reverted(self, ledger: Ledger) -> None:
        """No journal at all, a reversal, an entry without a template, a journal of the other book."""
        trade = await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
        reversal = await ledger.revert_user_buys_usd(sats=10, cents=500, at=NOON, reverted=trade.id)
        leg_fields = {"currency": "USD"}
        entry = ledger.stablesats.entry("by hand").debit("OKEX_ALLOCATION", 1, leg_fields)
        entry.credit("STABLESATS_LIABILITY", 1, leg_fields)
        position = await ledger.increase_exchange_position(cents=500, at=NOON)
        for journal_id, message in (
            (ObjectId(), "there is none in book 'Stablesats'"),
            (reversal.id, "it is a REVERT_USER_BUYS_USD"),
            ((await entry.commit()).id, "it was made by no template"),
            (position.id, "there is none in book 'Stablesats'"),
        ):
            with pytest.raises(RevertedJournalError, match=message):
                await ledger.revert_user_buys_usd(sats=10, cents=500, at=NOON, reverted=journal_id)

    async def test_void_at_the_same_moment_does_not_take_back_twice(self, ledger: Ledger) -> None:
        """It is committed after the revert has begun to read: the revert starts again, and finds it."""
        journal = await ledger.user_buys_usd(sats=1_000, cents=500, at=NOON)
        tries = 0

        async def revert(session: Any) -> None:
            nonlocal tries
            tries += 1
            await ledger.liability_balances(session)
            if tries == 1:
                await ledger.stablesats.void(journal.id, "by hand")
            await ledger.revert_user_buys_usd(
                sats=1_000, cents=500, at=NOON, reverted=journal.id, session=session
            )

        with pytest.raises(VoidedJournalError):
            await mongo_transaction(ledger.database.client, revert)
        assert tries == 2
        assert (await ledger.liability_balances()).total_cents == 0

    async def test_voided_journal_is_not_reverted(self, ledger: Ledger) -> None:
        """It has been taken back already."""
        trade = await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
        await ledger.stablesats.void(trade.id, "a mistake")
        with pytest.raises(VoidedJournalError, match="it was voided"):
            await ledger.revert_user_buys_usd(sats=10, cents=500, at=NOON, reverted=trade.id)
        assert (await ledger.balances()).users_liability_cents == 0

    async def test_journal_is_reverted_at_most_once(self, ledger: Ledger) -> None:
        """However often it is asked for, and by however many at once."""
        trade = await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
        reverts = await asyncio.gather(
            *(ledger.revert_user_buys_usd(sats=10, cents=500, at=NOON, reverted=trade.id) for _ in range(5))
        )
        assert len({revert.id for revert in reverts}) == 1
        assert sorted(revert.replayed for revert in reverts) == [False, True, True, True, True]
        assert await ledger.hedge_target_cents() == 0

    async def test_revert_of_another_amount_than_before_is_refused(self, ledger: Ledger) -> None:
        """Two reverts of one journal that disagree: the first stands."""
        trade = await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
        await ledger.revert_user_buys_usd(sats=10, cents=500, at=NOON, reverted=trade.id)
        with pytest.raises(RevertedJournalError, match="booked 500, asked 499"):
            await ledger.revert_user_buys_usd(sats=10, cents=499, at=NOON, reverted=trade.id)
        assert await ledger.hedge_target_cents() == 0

    async def test_revert_of_another_date_than_before_is_refused(self, ledger: Ledger) -> None:
        """Its external id is made of the reverted journal alone: there is no second one, however it is asked."""
        trade = await ledger.user_sells_usd(sats=10, cents=500, at=NOON)
        revert = await ledger.revert_user_sells_usd(sats=10, cents=500, at=NOON, reverted=trade.id)
        assert revert.external_id == f"revert:{trade.id}"
        with pytest.raises(DuplicateEntryError, match=f"revert:{trade.id}"):
            await ledger.revert_user_sells_usd(
                sats=10, cents=500, at=NOON + timedelta(days=1), reverted=trade.id
            )
        assert await ledger.hedge_target_cents() == 0


class TestQuotes:
    async def test_accepted_quotes_stand_in_accounts_of_their_own(self, ledger: Ledger) -> None:
        """Dollars owed for quotes are positive, bitcoin to come a debit; users are owed nothing yet."""
        bought = await ledger.buy_usd_quote_accepted(sats=1_000, cents=500, at=NOON, quote_id="q1")
        assert await balance(ledger, Account.QUOTES_LIABILITIES, Currency.USD) == 500
        assert await balance(ledger, Account.QUOTES_ASSETS, Currency.BTC) == -1_000
        assert await balance(ledger, Account.QUOTES_OMNIBUS, Currency.USD) == -500
        assert await balance(ledger, Account.QUOTES_OMNIBUS, Currency.BTC) == 1_000
        assert (bought.external_id, bought.metadata) == ("quote:q1", {"quote_id": "q1"})
        assert await ledger.hedge_target_cents() == 0
        await ledger.sell_usd_quote_accepted(sats=1_000, cents=500, at=NOON, quote_id="q2")
        assert {amount for _, _, amount in await ledger.account_balances()} == {0}

    @pytest.mark.parametrize("quote_id", ["", " ", None, 5])
    async def test_quote_without_an_id_is_refused(self, ledger: Ledger, quote_id: Any) -> None:
        """The second one would be taken for the first."""
        for accept in (ledger.buy_usd_quote_accepted, ledger.sell_usd_quote_accepted):
            with pytest.raises(
                QuoteIdError, match=rf"^quote_id must be the text of an id, got {quote_id!r}$"
            ):
                await accept(sats=1_000, cents=500, at=NOON, quote_id=quote_id)
        assert await legs(ledger) == 0

    async def test_quote_is_accepted_once(self, ledger: Ledger) -> None:
        """The same acceptance again changes nothing, another one of the same quote is refused."""
        await ledger.buy_usd_quote_accepted(sats=1_000, cents=500, at=NOON, quote_id="q1")
        again = await ledger.buy_usd_quote_accepted(sats=1_000, cents=500, at=NOON, quote_id="q1")
        assert again.replayed
        with pytest.raises(DuplicateEntryError, match="quote:q1"):
            await ledger.sell_usd_quote_accepted(sats=1_000, cents=500, at=NOON, quote_id="q1")
        assert await balance(ledger, Account.QUOTES_LIABILITIES, Currency.USD) == 500


class TestAllocation:
    async def test_allocating_100_usd_to_okx(self, ledger: Ledger) -> None:
        """LIABILITY is debited 10,000 cents, OKEX credited, BITFINEX untouched."""
        journal = await ledger.adjust_exchange_allocation(okex_cents=10_000, at=NOON)
        rows = [row async for row in ledger.database["medici_transactions"].find({"_journal": journal.id})]
        assert sorted((row["accounts"], row["credit"], row["debit"]) for row in rows) == [
            ("OKEX_ALLOCATION", 10_000, 0),
            ("STABLESATS_LIABILITY", 0, 10_000),
        ]
        assert await ledger.liability_balances() == LiabilityBalances(
            unallocated_cents=-10_000,
            okex_allocation_cents=10_000,
            bitfinex_allocation_cents=0,
            total_cents=0,
        )

    async def test_allocation_moves_between_exchanges(self, ledger: Ledger) -> None:
        """What one has to hedge less the other has to hedge more; in total it is the same."""
        await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
        await ledger.adjust_exchange_allocation(okex_cents=500, at=NOON)
        await ledger.adjust_exchange_allocation(okex_cents=-200, bitfinex_cents=200, at=NOON)
        assert await ledger.liability_balances() == LiabilityBalances(
            unallocated_cents=0, okex_allocation_cents=300, bitfinex_allocation_cents=200, total_cents=500
        )

    async def test_allocation_of_nothing_writes_nothing(self, ledger: Ledger) -> None:
        """It is refused before the database is asked."""
        with pytest.raises(AmountError):
            await ledger.adjust_exchange_allocation(okex_cents=0, at=NOON)
        assert await legs(ledger) == 0


class TestSessions:
    async def test_writes_join_the_callers_transaction(self, ledger: Ledger) -> None:
        """They are seen inside at once, and outside only after the commit."""

        async def both(session: Any) -> None:
            await ledger.user_buys_usd(sats=10, cents=500, at=NOON, session=session)
            await ledger.user_sells_usd(sats=4, cents=200, at=NOON, session=session)
            await ledger.mirror_okx_position(-10_000, at=NOON, session=session)
            assert (await ledger.liability_balances(session)).unallocated_cents == 300
            assert await legs(ledger) == 0

        await mongo_transaction(ledger.database.client, both)
        found = await ledger.balances()
        assert (found.hedge_target_cents, found.signed_exposure_cents) == (300, -10_000)

    async def test_abort_leaves_nothing(self, ledger: Ledger) -> None:
        """No journal, no leg, no lock, no balance."""

        class ChangedMindError(Exception):
            pass

        async def fails(session: Any) -> None:
            await ledger.user_buys_usd(sats=10, cents=500, at=NOON, session=session)
            await ledger.mirror_okx_position(-10_000, at=NOON, session=session)
            raise ChangedMindError

        with pytest.raises(ChangedMindError):
            await mongo_transaction(ledger.database.client, fails)
        for name in ("medici_transactions", "medici_journals", "medici_locks"):
            assert await ledger.database[name].count_documents({}) == 0
        assert (await ledger.balances()).hedge_target_cents == 0


class TestMirror:
    @pytest.mark.parametrize("exposures", [(-10_000,), (-10_000, -30_000, -5_000, 0), (7_000, -7_000)])
    async def test_mirror_follows_the_position(self, ledger: Ledger, exposures: tuple[int, ...]) -> None:
        """Shorter, longer, flat, long: the balance is the signed exposure, the omnibus its counterpart."""
        for exposure in exposures:
            await ledger.mirror_okx_position(exposure, at=NOON)
            assert await balance(ledger, Account.OKEX_POSITION, Currency.USD) == exposure
            assert await balance(ledger, Account.EXCHANGE_POSITION_OMNIBUS, Currency.USD) == -exposure

    async def test_short_of_100_usd_is_a_debit_of_the_mirror(self, ledger: Ledger) -> None:
        """On an empty mirror -10,000 cents posts DECREASE_EXCHANGE_POSITION with a debit of 10,000."""
        journal = await ledger.mirror_okx_position(-10_000, at=NOON)
        assert journal is not None
        assert (journal.memo, journal.book) == ("DECREASE_EXCHANGE_POSITION", "Exchange Position")
        row = await ledger.database["medici_transactions"].find_one({"accounts": "OKEX_POSITION"})
        assert row is not None
        assert (row["debit"], row["credit"]) == (10_000, 0)

    @pytest.mark.parametrize("exposure", [True, False, 2.5, -10_000.0, None, "5"])
    async def test_exposure_that_is_no_whole_number_is_refused(self, ledger: Ledger, exposure: Any) -> None:
        """Whatever it would have been rounded or counted to; the error names the argument."""
        with pytest.raises(AmountError, match=rf"^signed_exposure_cents must be .*, got {exposure!r}$"):
            await ledger.mirror_okx_position(exposure, at=NOON)
        assert await legs(ledger) == 0

    @pytest.mark.parametrize("exposure", [0, -10_000])
    async def test_unchanged_position_posts_nothing(self, ledger: Ledger, exposure: int) -> None:
        """However often it is reported."""
        await ledger.mirror_okx_position(exposure, at=NOON)
        before = await legs(ledger)
        assert await ledger.mirror_okx_position(exposure, at=NOON) is None
        assert await legs(ledger) == before

    async def test_mirrors_at_the_same_moment_do_not_post_the_difference_twice(self, ledger: Ledger) -> None:
        """Ten processes see the same position: one posts, the others find the mirror right."""
        for exposure in (-50_000, -20_000, 30_000):
            journals = await asyncio.gather(
                *(ledger.mirror_okx_position(exposure, at=NOON) for _ in range(10))
            )
            assert sum(journal is not None for journal in journals) == 1
            assert (await ledger.balances()).signed_exposure_cents == exposure

    async def test_concurrent_mirrors_of_different_positions_end_on_one_of_them(self, ledger: Ledger) -> None:
        """Never on a mixture."""
        exposures = [-10_000 * n for n in range(1, 9)]
        await asyncio.gather(*(ledger.mirror_okx_position(each, at=NOON) for each in exposures))
        assert (await ledger.balances()).signed_exposure_cents in exposures

    async def test_raw_steps_of_the_position(self, ledger: Ledger) -> None:
        """Less short is a credit, more short a debit; the reference is the journal's metadata."""
        fallen = await ledger.decrease_exchange_position(
            cents=30_000, at=NOON, reference={"instrument_id": "BTC-USD-SWAP"}
        )
        assert (await ledger.balances()).signed_exposure_cents == -30_000
        await ledger.increase_exchange_position(cents=10_000, at=NOON)
        assert (await ledger.balances()).signed_exposure_cents == -20_000
        assert fallen.metadata == {"instrument_id": "BTC-USD-SWAP"}


class TestBalances:
    async def test_hedge_target_is_what_is_owed_whether_allocated_or_not(self, ledger: Ledger) -> None:
        """Allocating moves it between accounts and changes nothing."""
        await ledger.user_buys_usd(sats=10, cents=20_000, at=NOON)
        entry = ledger.stablesats.entry("allocation")
        entry.debit("STABLESATS_LIABILITY", 10_000, {"currency": "USD"})
        entry.credit("OKEX_ALLOCATION", 10_000, {"currency": "USD"})
        await entry.commit()
        found = await ledger.balances()
        assert (found.unallocated_cents, found.okex_allocation_cents) == (10_000, 10_000)
        assert found.hedge_target_cents == await ledger.hedge_target_cents() == 20_000

    async def test_only_settled_legs_count(self, ledger: Ledger) -> None:
        """What is pending is not owed yet."""
        entry = ledger.stablesats.entry("pending")
        pending = {"currency": "USD", "layer": "PENDING"}
        entry.credit("STABLESATS_LIABILITY", 500, pending).debit("STABLESATS_OMNIBUS", 500, pending)
        await entry.commit()
        assert await ledger.hedge_target_cents() == 0

    async def test_fraction_of_a_cent_is_reported_as_damage(self, ledger: Ledger) -> None:
        """Somebody else wrote to the books: no figure is made up from that."""
        other = Book("Stablesats", ledger.database, precision=8, dimensions=DIMENSIONS)
        entry = other.entry("half a cent")
        usd = {"currency": "USD"}
        entry.credit("STABLESATS_LIABILITY", "0.5", usd).debit("STABLESATS_OMNIBUS", "0.5", usd)
        await entry.commit()
        with pytest.raises(LedgerDamagedError, match=r"STABLESATS_LIABILITY holds 0\.5 cent"):
            await ledger.hedge_target_cents()

    async def test_leg_without_a_currency_is_refused(self, ledger: Ledger) -> None:
        """The law of the books holds for every writer that opens them as the dealer does."""
        with pytest.raises(MediciError, match="currency"):
            await (
                ledger.stablesats.entry("bare").credit("QUOTES_ASSETS", 1).debit("QUOTES_OMNIBUS", 1).commit()
            )
        assert await legs(ledger) == 0

    async def test_every_account_is_listed_in_each_of_its_currencies(self, ledger: Ledger) -> None:
        """Eleven accounts, one of them in two currencies."""
        listed = [(account, currency) for account, currency, _ in await ledger.account_balances()]
        assert len(set(listed)) == len(listed) == 12

    async def test_books_refuse_what_the_chart_does_not_have(self, ledger: Ledger) -> None:
        """A slip in a template would otherwise hide dollars; account, currency and what there is are named."""
        usd, eur, late = {"currency": "USD"}, {"currency": "EUR"}, {"currency": "BTC", "layer": "LATE"}
        for book, account, extra, said in (
            (
                ledger.stablesats,
                "STABLESATS_LIABILTY",
                usd,
                r"'STABLESATS_LIABILTY' \(currency 'USD'.* no such",
            ),
            (
                ledger.stablesats,
                "OKEX_POSITION",
                usd,
                r"only .*'STABLESATS_LIABILITY', 'STABLESATS_OMNIBUS'\.",
            ),
            (ledger.stablesats, "STABLESATS_BTC_WALLET", eur, r"'EUR'.* there only currency 'BTC'\."),
            (ledger.stablesats, "STABLESATS_BTC_WALLET", usd, r"'USD'.* there only currency 'BTC'\."),
            (
                ledger.stablesats,
                "STABLESATS_BTC_WALLET",
                late,
                r"layer 'LATE'.* there only layer 'ENCUMBERED'",
            ),
            (ledger.exchange_position, "OKEX_ALLOCATION", usd, r"book 'Exchange Position' allows no such"),
            (CollateralLedger(ledger.database).book, "OKEX_TRADING", usd, r"there only currency 'BTC'\."),
        ):
            with pytest.raises(AccountNotAllowedError, match=said):
                book.entry("slip").debit(account, 1, extra)

    async def test_every_account_of_the_chart_can_be_posted_to(self, ledger: Ledger) -> None:
        """In each of its currencies and in every layer."""
        collateral = CollateralLedger(ledger.database).book
        books = {book.name: book for book in (*ledger.books, collateral)}
        for account in (*Account, *CollateralAccount):
            for currency, layer in itertools.product(account.currencies, Layer):
                leg = {"currency": currency.value, "layer": layer.value}
                assert len(books[account.book].entry("x").debit(account.code, 1, leg).legs) == 1

    async def test_what_stands_outside_the_chart_is_listed_after_it(self, ledger: Ledger) -> None:
        """So that every book adds up to zero in every currency, whatever else posts there."""
        await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
        other = Book("Stablesats", ledger.database, precision=0, dimensions=DIMENSIONS)
        entry = other.entry("by something else")
        for account, side, currency, amount in (
            ("STABLESATS_LIABILTY", entry.credit, "USD", 7),
            ("STABLESATS_OMNIBUS", entry.debit, "USD", 7),
            ("STABLESATS_BTC_WALLET", entry.credit, "EUR", 3),
            ("Somewhere:Below", entry.debit, "EUR", 2),
            ("Somewhere", entry.debit, "EUR", 1),
            ("STABLESATS_BTC_WALLET", entry.credit, "USD", 4),
            ("OKEX_ALLOCATION", entry.debit, "USD", 4),
        ):
            side(account, amount, {"currency": currency})
        await entry.commit()
        nothing = other.entry("what is nothing by now is not listed")
        await nothing.debit("Gone", 1, {"currency": "USD"}).credit("Gone", 1, {"currency": "USD"}).commit()
        rows = await ledger.account_balances()
        assert [row[:2] for row in rows[:12]] == [(each, of) for each in Account for of in each.currencies]
        assert rows[12:] == [
            (Account.STABLESATS_BTC_WALLET, "EUR", 3),
            (Account.STABLESATS_BTC_WALLET, "USD", 4),
            (StrayAccount("STABLESATS_LIABILTY", "Stablesats"), "USD", 7),
            (StrayAccount("Somewhere", "Stablesats"), "EUR", -3),
        ]
        sums: Counter[tuple[str, str]] = Counter()
        for found, currency, amount in rows:
            sums[found.book, currency] += amount
        assert set(sums.values()) == {0}

    async def test_nothing_is_booked_before_the_ledger_was_prepared(
        self, mongo_database: AsyncDatabase[dict[str, Any]]
    ) -> None:
        """It describes itself: whatever it holds was made by a template that is registered in it."""
        ledger = Ledger(mongo_database)
        with pytest.raises(UnknownTemplateError, match="USER_BUYS_USD version 1 is not registered"):
            await ledger.user_buys_usd(sats=10, cents=500, at=NOON)
        assert await legs(ledger) == 0
        await ledger.prepare()
        await ledger.user_buys_usd(sats=10, cents=500, at=NOON)

    async def test_preparing_again_and_at_once_is_harmless(self, ledger: Ledger) -> None:
        """Every process does it at its start."""
        await asyncio.gather(*(Ledger(ledger.database).prepare() for _ in range(5)))

    async def test_client_that_prefers_secondaries_reads_what_was_just_booked(
        self, ledger: Ledger, mongodb: EmbeddedMongo, mongo_database: AsyncDatabase[dict[str, Any]]
    ) -> None:
        """The hedge must not be decided on a copy that trails."""
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri, readPreference="secondary") as client:
            elsewhere = Ledger(client[mongo_database.name])
            await elsewhere.user_buys_usd(sats=10, cents=500, at=NOON)
            # A lone primary has no secondary: a read that asked for one would find no server.
            async with asyncio.timeout(60):
                assert await elsewhere.hedge_target_cents() == 500

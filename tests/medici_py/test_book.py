"""The contract of `Book`, through both drivers."""

import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId

from medici_py import (
    Balance,
    Book,
    BookConstructorError,
    InvalidAccountPathError,
    InvalidAccountPathLengthError,
    InvalidQueryError,
    Journal,
    JournalAlreadyVoidedError,
    JournalNotFoundError,
    MediciError,
    Transaction,
    TransactionError,
    UnreadableDocumentError,
    exactly,
    mongo_transaction,
)
from medici_py.object_ids import new_object_id

UTC = dt.UTC
MAY = dt.datetime(2024, 5, 1, tzinfo=UTC)
Pay = Callable[..., Any]


@pytest.fixture
def book(driver_database: Any) -> Book:
    return Book("MainBook", driver_database)


@pytest.fixture
def shared_book(driver_database: Any) -> Book:
    """A book that Node may write, too: its balances are sums over the entries."""
    return Book("MainBook", driver_database, running_balances=False)


async def legs_of(book: Book) -> list[dict[str, Any]]:
    return [leg async for leg in book._store.transactions.find().sort("_id")]


class ReviewedJournal(Journal):
    reviewer: str


class TestConstructor:
    @pytest.mark.parametrize(
        ("parameters", "named"),
        [
            ({"name": ""}, "name"),
            ({"name": "  "}, "name"),
            ({"name": 5}, "name"),
            ({"name": None, "precision": -1}, "name"),
            *(
                ({"precision": bad}, "precision")
                for bad in (-1, 1.5, float("nan"), float("inf"), "8", True, 101)
            ),
            *(({"max_account_path": bad}, "max_account_path") for bad in (-1, 1.5, "3", True)),
            *(
                ({"balance_snapshot_sec": bad}, "balance_snapshot_sec")
                for bad in (-1, "1", True, float("nan"))
            ),
            ({"expire_balance_snapshot_sec": -1}, "expire_balance_snapshot_sec"),
            ({"precision": -1, "max_account_path": -1}, "precision"),
            ({"dimensions": "currency"}, "dimensions"),
            ({"dimensions": ("currency", "currency")}, "dimensions"),
            ({"dimensions": ("book",)}, "dimensions"),
            ({"dimensions": ("a.b",)}, "dimensions"),
            ({"dimensions": {"layer": ""}}, "dimensions"),
            ({"decimal_storage": "float"}, "decimal_storage"),
            ({"running_balances": 1}, "running_balances"),
            ({"transaction_model": dict}, "transaction_model"),
            ({"name": "\ud800"}, "name"),
            ({"name": " ", "dimensions": "currency"}, "name"),
            ({"name": " ", "balance_snapshot_sec": {}}, "name"),
            *(({"balance_snapshot_sec": bad}, "balance_snapshot_sec") for bad in ({}, 10**400, float("inf"))),
            ({"expire_balance_snapshot_sec": 10**400}, "expire_balance_snapshot_sec"),
            *(
                ({"dimensions": bad}, "dimensions")
                for bad in ([["a"]], 5, ("memo",), ("datetime",), ("meta",))
            ),
            ({"dimensions": ("_original_journal",)}, "dimensions"),
            *(
                ({"dimensions": ("currency",), "allowed_accounts": bad}, "allowed_accounts")
                for bad in (
                    "Cash",
                    5,
                    ["Cash", ""],
                    ["A:B:C:D"],
                    [5],
                    {"Cash": None},
                    {"Cash": {"layer": ["SETTLED"]}},
                    {"Cash": {"currency": "BTC"}},
                    {"Cash": {"currency": [5]}},
                )
            ),
            ({"allowed_accounts": {"Cash": {"currency": ["BTC"]}}}, "allowed_accounts"),
            ({"journal_model": ReviewedJournal}, "journal_model"),
            ({"journal_model": Transaction}, "journal_model"),
        ],
    )
    def test_parameter_outside_what_it_accepts_is_refused_by_name(
        self, parameters: dict[str, Any], named: str, bank: Any
    ) -> None:
        """The first wrong parameter is named, in medici's words, with what would be accepted."""
        with pytest.raises(BookConstructorError, match=f"^Invalid value for {named} provided") as caught:
            Book(**{"name": "B", "database": bank} | parameters)
        assert caught.value.code == 400

    @pytest.mark.parametrize(
        "parameters",
        [
            {"name": " x "},
            {"precision": 0},
            {"precision": 100},
            {"max_account_path": 0},
            {"balance_snapshot_sec": 0.5},
            {"balance_snapshot_sec": None},
            {"precision": None, "max_account_path": None},
            {"expire_balance_snapshot_sec": 0},
        ],
    )
    def test_parameter_at_its_bound_is_accepted(self, parameters: dict[str, Any], bank: Any) -> None:
        """Zero, fractions of seconds and names with spaces around are fine."""
        book = Book(**{"name": "B", "database": bank} | parameters)
        assert parameters.get("name", "B") == book.name

    def test_cached_balances_expire_after_twice_the_interval(self, bank: Any) -> None:
        """As in medici, the second duration follows from the first."""
        assert Book("B", bank, balance_snapshot_sec=10).settings.expire_balance_snapshot_sec == 20

    async def test_number_that_is_none_means_the_default(self, bank: Any) -> None:
        """As in medici: eight places and three parts."""
        book = Book("B", bank, precision=None, max_account_path=None)
        await book.entry("x").debit("A:B:C", "0.00000001").credit("D", "0.00000001").commit()
        for account, amount in [("A:B:C:D", 1), ("A", "0.000000001")]:
            with pytest.raises(MediciError):
                book.entry("x").debit(account, amount)

    @pytest.mark.parametrize("database", [None, "bank", {}])
    def test_anything_but_an_asynchronous_database_is_refused(self, database: Any) -> None:
        """A typical slip, such as passing a name, gets one clear line."""
        with pytest.raises(BookConstructorError, match=r"^Invalid value for database provided"):
            Book("B", database)


class TestCommit:
    async def test_entry_is_stored_as_medici_stores_it(self, book: Book) -> None:
        """Field names, order and types of the documents are medici's, whole amounts as int64."""
        journal = await (
            book.entry("Received payment", date=MAY)
            .debit("Assets:Cash", 1000)
            .credit("Income", 1000, {"client": "Joe Blow", "memo": "to Joe"})
            .commit()
        )
        stored = await book._store.journals.find_one()
        first, second = await legs_of(book)
        assert list(stored) == ["_id", "memo", "_transactions", "datetime", "book"]
        assert {
            "_id": journal.id,
            "memo": "Received payment",
            "_transactions": [first["_id"], second["_id"]],
            "datetime": MAY,
            "book": "MainBook",
        } == stored
        assert [
            ("_id", ObjectId),
            ("_journal", ObjectId),
            ("account_path", list),
            ("accounts", str),
            ("book", str),
            ("credit", Int64),
            ("datetime", dt.datetime),
            ("debit", Int64),
            ("memo", str),
            ("timestamp", dt.datetime),
        ] == [(name, type(value)) for name, value in first.items()]
        assert (
            first["credit"],
            first["debit"],
            first["memo"],
            first["account_path"],
        ) == (0, 1000, "Received payment", ["Assets", "Cash"])
        assert (
            second["credit"],
            second["debit"],
            second["memo"],
            second["meta"],
        ) == (1000, 0, "to Joe", {"client": "Joe Blow"})

    async def test_fraction_is_decimal128_beside_an_int64_zero(self, book: Book) -> None:
        """Node takes a Decimal128 zero for a posted side, so the zero side is int64 on every leg."""
        await book.entry("x").debit("A", "0.5").credit("B", Decimal("0.5")).commit()
        debit, credit = await legs_of(book)
        assert (Decimal128("0.5"), Int64(0), Int64) == (
            debit["debit"],
            debit["credit"],
            type(debit["credit"]),
        )
        assert (Decimal128("0.5"), Int64(0)) == (credit["credit"], credit["debit"])

    async def test_fraction_of_a_double_book_is_a_double(self, driver_database: Any) -> None:
        """A book that Node reads keeps fractions as doubles and balances them exactly."""
        book = Book("D", driver_database, decimal_storage="double")
        await book.entry("x").debit("A", "0.1").debit("A", "0.2").credit("B", "0.3").commit()
        assert [leg["debit"] for leg in await legs_of(book)] == [0.1, 0.2, 0]
        assert Balance(Decimal("-0.3"), 2) == await book.balance("A")
        with pytest.raises(TransactionError, match="a double keeps 15"):
            book.entry("x").debit("A", "12345678.12345678")

    async def test_recorded_time_is_taken_at_commit(self, driver_database: Any) -> None:
        """The builder's age does not matter: timestamp and default date come from the clock at commit."""
        ticks = iter([MAY, MAY + dt.timedelta(days=1)])
        book = Book("B", driver_database, clock=lambda: next(ticks))
        late = book.entry("late").debit("A", 1).credit("B", 1)
        await book.entry("early").debit("A", 1).credit("B", 1).commit()
        await late.commit()
        assert [tx.memo async for tx in book.stream(reverse=True)] == ["early", "early", "late", "late"]
        assert {(MAY, MAY), (MAY + dt.timedelta(days=1),) * 2} == {
            (tx.timestamp, tx.datetime) async for tx in book.stream()
        }

    async def test_date_original_journal_and_extra_fields_are_stored(self, book: Book) -> None:
        """A leg may have its own date and memo; the original journal stands on every leg."""
        first = await book.entry("a").debit("A", 1).credit("B", 1).commit()
        journal = await (
            book.entry("b", date="2024-05-01", original_journal=str(first.id))
            .debit("A", 1, {"datetime": "2024-04-30"})
            .credit("B", 1)
            .commit()
        )
        legs = [leg for leg in (await book.ledger(reverse=True)).results if leg.journal == journal.id]
        assert [dt.datetime(2024, 4, 30, tzinfo=UTC), MAY] == [leg.datetime for leg in legs]
        assert {first.id} == {leg.original_journal for leg in legs}
        assert journal.datetime == MAY

    @pytest.mark.parametrize(
        ("debit", "credit", "total"),
        [
            (1, 2, "1"),
            (2, 1, "-1"),
            ("9007199254740993", "9007199254740992", "-1"),
            ("9" * 34, "9" * 33 + "8", "-1"),
            ("0.00000001", 0, "-0.00000001"),
        ],
    )
    async def test_unbalanced_entry_is_refused_with_its_total(
        self, debit: Any, credit: Any, total: str, book: Book
    ) -> None:
        """Debit must equal credit to the last digit; the message names both and the difference."""
        with pytest.raises(TransactionError, match=r"^INVALID_JOURNAL") as caught:
            await book.entry("Top-up").debit("A", debit).credit("B", credit).commit()
        assert (Decimal(total), 400) == (caught.value.total, caught.value.code)
        assert re.search(
            rf"journal 'Top-up' does not balance: debits .*, difference {total}\.", str(caught.value)
        )
        assert await legs_of(book) == []

    async def test_sum_does_not_depend_on_the_order_of_legs(self, book: Book) -> None:
        """Medici accepts credit 2^53, credit 1, debit 2^53 in this order; nobody may."""
        entry = book.entry("x").credit("A", 2**53).credit("A", 1).debit("B", 2**53)
        with pytest.raises(TransactionError) as caught:
            await entry.commit()
        assert caught.value.total == 1

    async def test_decimal_sum_balances_at_any_size(self, shared_book: Book) -> None:
        """0.1 + 0.2 is 0.3, negative amounts keep their sign, 34 digits are kept."""
        book = shared_book
        await book.entry("x").debit("A", "0.1").debit("A", "0.2").credit("B", "0.3").commit()
        await book.entry("y").debit("A", -5).credit("B", -5).commit()
        await book.entry("z").debit("A", "9" * 34).credit("B", "9" * 34).commit()
        assert Decimal("-9999999999999999999999999999999994.3") == (await book.balance("A")).balance
        assert Balance(Decimal(0), 7) == await book.balance()

    async def test_entry_without_legs_is_refused(self, book: Book) -> None:
        """An empty entry is no journal."""
        with pytest.raises(TransactionError, match="has no legs"):
            await book.entry("empty").commit()

    async def test_single_leg_of_zero_is_an_entry(self, book: Book) -> None:
        """Zero balances by itself."""
        await book.entry("zero").debit("A", 0).commit()
        assert Balance(Decimal(0), 1) == await book.balance("A")

    async def test_entry_of_two_thousand_legs_is_one_journal(self, book: Book) -> None:
        """Size does not change the law or the order of the legs."""
        entry = book.entry("payroll").debit("Bank", 1_999_000)
        for number in range(1_999):
            entry.credit(f"Staff:{number}", 1_000)
        journal = await entry.commit()
        assert len(journal.transactions) == 2_000
        assert [leg["_id"] for leg in await legs_of(book)] == list(journal.transactions)
        with pytest.raises(TransactionError):
            await book.entry("x").debit("Bank", 1).commit()

    async def test_second_commit_returns_the_journal_and_writes_nothing(self, book: Book) -> None:
        """A repeated commit, also of a copy that does not know of the first, posts once."""
        entry = book.entry("once").debit("A", 1).credit("B", 1)
        journal = await entry.commit()
        assert journal == await entry.commit()
        entry._journal = None  # as after a crash between the server's commit and its answer
        assert journal == await entry.commit()
        assert len(await legs_of(book)) == 2
        with pytest.raises(TransactionError, match="committed already"):
            entry.debit("A", 1)

    async def test_second_commit_posts_once_with_ids_of_the_server(self, driver_database: Any) -> None:
        """Without leg ids of its own an entry is still recognised, by its journal."""
        book = Book("Shared", driver_database, running_balances=False)
        entry = book.entry("once").debit("A", 1).credit("B", 1)
        journal = await entry.commit()
        entry._journal = None
        assert journal == await entry.commit()
        assert [leg["_id"] for leg in await legs_of(book)] == list(journal.transactions)

    async def test_leg_ids_come_from_the_server_in_a_shared_book(self, driver_database: Any) -> None:
        """The five middle bytes of an ObjectId are its maker's: they differ from this process's."""
        ours = new_object_id().binary[4:9]
        shared = Book("Shared", driver_database, running_balances=False)
        journal = await shared.entry("x").debit("A", 1).credit("B", 1).commit()
        assert ours not in {leg.binary[4:9] for leg in journal.transactions}
        own = await Book("Own", driver_database).entry("x").debit("A", 1).credit("B", 1).commit()
        assert {ours} == {leg.binary[4:9] for leg in own.transactions}

    @pytest.mark.parametrize(
        "extra",
        [
            *({key: 1} for key in ("_id", "_journal", "book", "accounts", "account_path", "credit", "debit")),
            *({key: 1} for key in ("voided", "void_reason", "timestamp")),
            {"$set": 1},
            {"a.b": 1},
            {"": 1},
            {"a\0": 1},
            {5: 1},
            {"a": {"$gt": 1}},
            {"a": [{"b.c": 1}]},
            {"meta": 5},
            {"meta": {"x": 1}, "x": 2},
            {"datetime": "yesterday"},
            {"datetime": dt.datetime(2024, 1, 1)},  # noqa: DTZ001 - the case
            {"when": dt.datetime(2024, 1, 1)},  # noqa: DTZ001 - the case
            {"_original_journal": "xyz"},
            {"memo": 5},
            {"x": object()},
            {"x": 2**64},
            {"x": Decimal(10) ** 7000},
            [("client", "Joe")],
        ],
    )
    async def test_extra_key_that_cannot_stand_is_refused_before_anything_is_written(
        self, extra: Any, bank: Any
    ) -> None:
        """Keys that identify or value a leg, keys no query reaches, values BSON cannot hold."""
        book = Book("B", bank)
        with pytest.raises(TransactionError):
            book.entry("x").debit("A", 1, extra)
        assert await legs_of(book) == []

    async def test_extra_keys_are_copied_when_the_leg_is_added(self, book: Book) -> None:
        """Later changes to the caller's mapping, nested ones too, are not stored."""
        tags = {"list": [1]}
        entry = book.entry("x").debit("A", 1, {"tags": tags}).credit("B", 1, {"meta": {"k": 1}, "n": None})
        tags["list"].append(2)
        await entry.commit()
        debit, credit = await legs_of(book)
        assert debit["meta"] == {"tags": {"list": [1]}}
        assert credit["meta"] == {"k": 1, "n": None}

    async def test_object_names_of_javascript_are_kept(self, book: Book) -> None:
        """Medici drops these without a word; here they are keys like any other."""
        await book.entry("x").debit("A", 1, {"constructor": "c", "toString": "t"}).credit("B", 1).commit()
        assert (await book.balance("A", {"constructor": "c"})).notes == 1
        assert (await book.balance("A", {"constructor": "d"})).notes == 0

    @pytest.mark.parametrize(
        "parameters",
        [{"memo": None}, {"memo": 5}, {"date": True}, {"date": "x"}, {"date": {}}, {"original_journal": "x"}],
    )
    def test_memo_date_or_original_journal_without_meaning_is_refused(
        self, parameters: dict[str, Any], bank: Any
    ) -> None:
        """The error names the argument."""
        with pytest.raises(TransactionError) as caught:
            Book("B", bank).entry(**{"memo": "x"} | parameters)
        assert next(iter(parameters)) == caught.value.field

    def test_account_too_deep_is_refused_at_the_call(self, bank: Any) -> None:
        """The check does not wait for the commit."""
        with pytest.raises(InvalidAccountPathLengthError):
            Book("B", bank).entry("x").debit("A:B:C:D", 1)
        with pytest.raises(InvalidAccountPathLengthError):
            Book("B", bank, max_account_path=0).entry("x").debit("A", 1)


class TestDimensions:
    @pytest.fixture
    def book(self, driver_database: Any) -> Book:
        return Book("Dealer", driver_database, dimensions={"currency": None, "layer": "SETTLED"})

    async def test_debits_equal_credits_in_every_dimension(self, book: Book) -> None:
        """A trade of 500 cents for 20,000 sats balances in each currency; defaults are stored."""
        usd, btc = {"currency": "USD"}, {"currency": "BTC"}
        await (
            book.entry("trade")
            .debit("Omnibus", 500, usd)
            .credit("Wallet", 500, usd)
            .debit("Wallet", 20_000, btc)
            .credit("Omnibus", 20_000, btc)
            .commit()
        )
        assert Decimal(500) == (await book.balance("Wallet", usd)).balance
        assert Decimal(-20_000) == (await book.balance("Wallet", {**btc, "layer": "SETTLED"})).balance
        assert (await book.balance("Wallet", {**btc, "layer": "PENDING"})).notes == 0

    async def test_currencies_do_not_balance_each_other(self, book: Book) -> None:
        """500 cents against 500 sats is refused though the figures agree; the message names the currency."""
        entry = book.entry("x").debit("A", 500, {"currency": "USD"}).credit("B", 500, {"currency": "BTC"})
        with pytest.raises(
            TransactionError, match="does not balance in currency USD, layer SETTLED"
        ) as caught:
            await entry.commit()
        assert caught.value.total == -500

    @pytest.mark.parametrize("extra", [None, {}, {"currency": None}, {"currency": 5}, {"currency": ""}])
    def test_leg_without_a_dimension_that_has_no_default_is_refused(self, extra: Any, book: Book) -> None:
        """A leg must say its currency."""
        with pytest.raises(TransactionError, match="currency"):
            book.entry("x").debit("A", 1, extra)


class TestBalance:
    async def test_account_covers_what_is_below_it_part_by_part(self, book: Book, pay: Pay) -> None:
        """A is not AB, A:B is not A:BX; a list counts each leg once; None is the whole book."""
        for account, amount in (("A", 1), ("A:B", 10), ("A:B:C", 100), ("AB", 1_000), ("A:BX", 10_000)):
            await pay(book, amount, debit="Z", credit=account)
        questions: list[tuple[Any, int]] = [
            ("A", 10_111),
            ("A:B", 110),
            ("A:B:C", 100),
            ("A:B:C:D", 0),
            ("", 0),
            ("A:", 0),
            (["A", "A:B", "A"], 10_111),
            (["A:B", "AB"], 1_110),
            (None, 0),
        ]
        for account, expected in questions:
            assert expected == (await book.balance(account)).balance, account

    async def test_path_covers_descendants_whatever_the_limit_of_the_book(
        self, book: Book, driver_database: Any, pay: Pay
    ) -> None:
        """A book opened with a smaller maximum hides nothing."""
        deep = Book("MainBook", driver_database, max_account_path=5)
        journal = await pay(deep, 7, debit="Z", credit="A:B:C:D:E")
        flat = Book("MainBook", driver_database, max_account_path=1)
        for account in ("A", "A:B:C", "A:B:C:D", "A:B:C:D:E"):
            assert Balance(Decimal(7), 1) == await flat.balance(account)
        await flat.void(journal.id)
        assert Balance(Decimal(0), 2) == await flat.balance("A:B:C:D")

    async def test_books_do_not_see_each_other(self, book: Book, driver_database: Any, pay: Pay) -> None:
        """The same account in another book is another account."""
        await pay(book)
        assert Balance(Decimal(0), 0) == await Book("Other", driver_database).balance("Income")

    async def test_filters_match_fields_and_meta(self, book: Book, pay: Pay) -> None:
        """Model fields are top-level, other keys meta; operators work; types are not coerced."""
        entry = book.entry("x", date=MAY).debit("A", 100)
        entry.credit("B", 10, {"n": 1, "o": {"x": 1, "y": 2}, "tags": ["p", "q"], "memo": "ten"})
        entry.credit("B", 20, {"n": 2, "k": None}).credit("B", 70, {"n": "1"})
        journal = await entry.commit()
        questions: list[tuple[dict[str, Any], int]] = [
            ({"n": 1}, 10),
            ({"n": "1"}, 70),
            ({"n": {"$in": [1, 2]}}, 30),
            ({"n": {"$gte": 2}}, 20),
            ({"n": {"$ne": 1}}, 90),
            ({"tags": "p"}, 10),
            ({"o": {"x": 1, "y": 2}}, 10),
            ({"o": {"y": 2, "x": 1}}, 0),
            ({"o.x": 1}, 10),
            ({"k": None}, 100),
            ({"k": {"$exists": True}}, 20),
            ({"memo": "ten"}, 10),
            ({"memo": re.compile("^te")}, 10),
            ({"meta": {"n": "1"}}, 70),
            ({"_journal": str(journal.id)}, 100),
            ({"_journal": {"$in": [str(journal.id)]}}, 100),
            ({"credit": {"$gt": 15}}, 90),
            ({"unknown": 1}, 0),
            ({"n": exactly(1)}, 10),
            ({"n": exactly({"$gt": 0})}, 0),
            ({"datetime": {"$lt": MAY}}, 0),
        ]
        for extra, expected in questions:
            assert expected == (await book.balance("B", extra)).balance, extra

    async def test_date_range_includes_both_ends(self, book: Book, pay: Pay) -> None:
        """Bounds are inclusive, 0 is the epoch, and every form of instant works."""
        for day, amount in ((1, 1), (2, 10), (3, 100)):
            await pay(book, amount, debit="A", credit="B", date=f"2024-05-0{day}")
        ranges: list[tuple[Any, Any, int]] = [
            (None, None, 111),
            ("2024-05-02", None, 110),
            (None, "2024-05-02", 11),
            ("2024-05-02", "2024-05-02", 10),
            (MAY, MAY + dt.timedelta(days=1), 11),
            (None, 0, 0),
            (0, None, 111),
            ("1714608000000", dt.date(2024, 5, 2), 10),
            (MAY + dt.timedelta(milliseconds=1), MAY + dt.timedelta(hours=23), 0),
        ]
        for start, end, expected in ranges:
            assert expected == (await book.balance("B", start_date=start, end_date=end)).balance, (start, end)

    async def test_range_of_leg_ids_excludes_its_start(self, book: Book, pay: Pay) -> None:
        """Greater than the first, up to and including the last."""
        journals = [await pay(book, amount, debit="A", credit="B") for amount in (1, 10, 100)]
        ids = [journal.transactions[1] for journal in journals]
        assert (await book.balance("B", start_tx_id=ids[0])).balance == 110
        assert (await book.balance("B", end_tx_id=ids[1])).balance == 11
        assert (
            await book.balance("B", {"_id": {"$in": ids}}, start_tx_id=ids[0], end_tx_id=str(ids[1]))
        ).balance == 10

    @pytest.mark.parametrize(
        ("account", "extra", "arguments"),
        [
            ([], None, {}),
            (5, None, {}),
            ({"A": 1}, None, {}),
            ("A", {"$where": "1"}, {}),
            ("A", {"$or": []}, {}),
            ("A", {"": 1}, {}),
            ("A", {5: 1}, {}),
            ("A", {"_journal": "xyz"}, {}),
            ("A", {"x": object()}, {}),
            ("A", {"x": dt.datetime(2024, 1, 1)}, {}),  # noqa: DTZ001 - the case
            ("A", "client", {}),
            ("A", None, {"start_date": "yesterday"}),
            ("A", None, {"end_date": True}),
            ("A", None, {"start_date": dt.datetime(2024, 1, 1)}),  # noqa: DTZ001 - the case
            ("A", None, {"start_tx_id": "xyz"}),
            ("A", None, {"end_tx_id": 5}),
        ],
    )
    async def test_question_that_cannot_mean_anything_is_refused(
        self, account: Any, extra: Any, arguments: dict[str, Any], bank: Any
    ) -> None:
        """Nothing given is dropped in silence, which would answer another question."""
        with pytest.raises(InvalidQueryError) as caught:
            await Book("B", bank).balance(account, extra, **arguments)
        assert (caught.value.code, caught.value.field is not None) == (400, True)

    async def test_leg_without_a_numeric_amount_is_named(self, shared_book: Book, pay: Pay) -> None:
        """No balance is made up over a bool that medici let in."""
        book = shared_book
        journal = await pay(book)
        await book._store.transactions.update_one({"_id": journal.transactions[0]}, {"$set": {"debit": True}})
        with pytest.raises(UnreadableDocumentError, match=str(journal.transactions[0])):
            await book.balance()

    async def test_foreign_cached_balance_changes_no_answer(self, book: Book, pay: Pay) -> None:
        """Rows that Node left in medici_balances are neither trusted nor touched."""
        await pay(book, 5, debit="A", credit="B")
        poison = {
            "key": "x",
            "rawKey": "MainBook;B",
            "book": "MainBook",
            "account": "B",
            "balance": 999,
            "notes": 9,
        }
        cache = book._store.database["medici_balances"]
        await cache.insert_one(dict(poison))
        assert Balance(Decimal(5), 1) == await book.balance("B")
        assert [poison] == [row async for row in cache.find({}, {"_id": 0})]

    async def test_sum_of_huge_amounts_is_exact(self, shared_book: Book, pay: Pay) -> None:
        """Where the server's Decimal128 would round, the legs are added one by one."""
        book = shared_book
        await pay(book, "9" * 34, debit="A", credit="B")
        await pay(book, "0.00000001", debit="A", credit="B")
        assert Decimal("9" * 34 + ".00000001") == (await book.balance("B")).balance


class TestLedger:
    async def test_pages_cover_each_leg_once_in_order(self, book: Book) -> None:
        """Legs of one journal share both dates; their ids decide, and total counts all pages."""
        entry = book.entry("many", date=MAY).debit("A", 50)
        for number in range(50):
            entry.credit("B", 1, {"n": number})
        journal = await entry.commit()
        pages = [await book.ledger("B", per_page=7, page=number) for number in range(1, 10)]
        assert [len(page.results) for page in pages] == [7] * 7 + [1, 0]
        assert {50} == {page.total for page in pages}
        assert [leg.id for page in pages for leg in page.results] == list(reversed(journal.transactions[1:]))

    async def test_order_is_by_date_then_recorded_time_then_id(self, book: Book, pay: Pay) -> None:
        """Newest first, reverse turns it around, without page everything."""
        for memo, date in (
            ("b", "2024-05-02"),
            ("a", "2024-05-01"),
            ("c", "2024-05-03"),
            ("b2", "2024-05-02"),
        ):
            await pay(book, debit="A", credit="B", memo=memo, date=date)
        page = await book.ledger("B")
        assert ([leg.memo for leg in page.results], page.total) == (["c", "b2", "b", "a"], 4)
        assert [leg.memo for leg in (await book.ledger("B", reverse=True)).results] == ["a", "b", "b2", "c"]
        assert [
            leg.memo
            for leg in (await book.ledger("B", start_date="2024-05-02", end_date="2024-05-02")).results
        ] == ["b2", "b"]

    @pytest.mark.parametrize(
        ("per_page", "page", "found"), [(2, None, 2), (None, 3, 5), (10, 1, 5), (2, 3, 1), (2, 4, 0)]
    )
    async def test_page_without_its_partner(
        self, per_page: int | None, page: int | None, found: int, book: Book, pay: Pay
    ) -> None:
        """per_page alone is page 1, page alone is everything, beyond the end is empty; total is whole."""
        for _ in range(5):
            await pay(book, debit="A", credit="B")
        answer = await book.ledger("B", per_page=per_page, page=page)
        assert (found, 5) == (len(answer.results), answer.total)

    @pytest.mark.parametrize(
        "numbers",
        [
            {"per_page": 0},
            {"per_page": -1},
            {"per_page": 5, "page": 0},
            {"page": -1},
            {"per_page": 1.5},
            {"per_page": True},
        ],
    )
    async def test_page_below_one_is_refused(self, numbers: dict[str, Any], bank: Any) -> None:
        """The error names the number."""
        with pytest.raises(InvalidQueryError, match="give a whole number of 1 or more"):
            await Book("B", bank).ledger(**numbers)

    async def test_stream_gives_the_ledger_leg_by_leg(self, book: Book, pay: Pay) -> None:
        """The same legs in the same order, filters included."""
        for amount in range(1, 20):
            await pay(book, amount, debit="A", credit="B")
        assert (await book.ledger()).results == [leg async for leg in book.stream()]
        assert (await book.ledger("B", {"credit": {"$gt": 5}}, reverse=True)).results == [
            leg async for leg in book.stream("B", {"credit": {"$gt": 5}}, reverse=True)
        ]

    async def test_stream_neither_repeats_nor_skips_while_others_post(
        self, book: Book, pay: Pay, monkeypatch: Any
    ) -> None:
        """Legs posted meanwhile stay out of the snapshot; those that were there come once each."""
        monkeypatch.setattr("medici_py.ledger.STREAM_BATCH", 2)
        for _ in range(10):
            await pay(book, debit="A", credit="B", memo="before")
        seen = []
        async for leg in book.stream():
            seen.append(leg.memo)
            await pay(book, debit="A", credit="B", memo="meanwhile")
        assert seen == ["before"] * 20


class TestVoid:
    async def test_void_marks_journal_and_legs_and_swaps_the_sides(self, book: Book) -> None:
        """Flags and reason stand on journal and legs, the reversal is an ordinary journal."""
        journal = await (
            book.entry("Rent", date=MAY)
            .debit("A", 7, {"client": "Joe", "memo": "own"})
            .credit("B", -3)
            .credit("B", "10")
            .debit("C", 0)
            .commit()
        )
        reversal = await book.void(str(journal.id), "a mistake")
        stored = await book._store.journals.find_one({"_id": journal.id})
        assert list(stored)[-2:] == ["void_reason", "voided"]
        assert (stored["void_reason"], stored["voided"], stored["memo"]) == ("a mistake", True, "Rent")
        legs = await legs_of(book)
        assert [(leg.get("void_reason"), leg.get("voided")) for leg in legs[:4]] == [("a mistake", True)] * 4
        assert [(leg["accounts"], leg["debit"], leg["credit"], leg.get("meta")) for leg in legs[4:]] == [
            ("A", 0, 7, {"client": "Joe"}),
            ("B", -3, 0, None),
            ("B", 10, 0, None),
        ]
        assert {("a mistake", journal.id, None)} == {
            (leg["memo"], leg["_original_journal"], leg.get("voided")) for leg in legs[4:]
        }
        assert (reversal.voided, reversal.void_reason, reversal.memo) == (False, None, "a mistake")
        assert reversal.datetime > MAY
        assert Balance(Decimal(0), 2) == await book.balance("A")

    async def test_void_with_the_original_date_restores_the_range(self, book: Book, pay: Pay) -> None:
        """The reversal takes effect when the journal did."""
        journal = await pay(book, 700, debit="A", credit="B", date="2000-02-10")
        reversal = await book.void(journal.id, use_original_date=True)
        assert journal.datetime == reversal.datetime
        assert (await book.balance("A", start_date="2000-02-01", end_date="2000-03-01")).balance == 0

    async def test_void_of_a_void_posts_the_original_again(self, book: Book, pay: Pay) -> None:
        """Four in a row give the tags VOID, UNVOID, REVOID, UNVOID, and every other one balances."""
        journal: Journal = await pay(book, 5, debit="A", credit="B", memo="Rent")
        memos, balances = [], []
        for _ in range(4):
            journal = await book.void(journal.id)
            memos.append(journal.memo)
            balances.append((await book.balance("B")).balance)
        assert memos == ["[VOID] Rent", "[UNVOID] Rent", "[REVOID] Rent", "[UNVOID] Rent"]
        assert balances == [0, 5, 0, 5]

    async def test_journal_can_be_voided_once_and_only_in_its_book(
        self, book: Book, driver_database: Any, pay: Pay
    ) -> None:
        """Unknown ids, ids of another book and voided journals are refused, naming book and journal."""
        journal = await pay(book)
        with pytest.raises(JournalNotFoundError, match=r"^Journal could not be found\. .*'Other'") as missing:
            await Book("Other", driver_database).void(journal.id)
        assert missing.value.code == 403
        for unknown in (ObjectId(), "xyz", 5):
            with pytest.raises(JournalNotFoundError):
                await book.void(unknown)  # type: ignore[arg-type]
        await book.void(journal.id)
        with pytest.raises(JournalAlreadyVoidedError, match=r"^Journal already voided\."):
            await book.void(journal.id)
        assert len(await legs_of(book)) == 4

    async def test_journal_whose_legs_are_not_all_there_is_left_alone(self, book: Book, pay: Pay) -> None:
        """Half a journal of medici is not reversed, and not marked either."""
        journal = await pay(book)
        await book._store.transactions.delete_one({"_id": journal.transactions[0]})
        with pytest.raises(MediciError, match="it names 2 legs, 1 of them"):
            await book.void(journal.id)
        assert "voided" not in await book._store.journals.find_one({"_id": journal.id})

    async def test_journal_of_zeros_has_nothing_to_reverse_and_stays_as_it_is(self, book: Book) -> None:
        """Medici marks it voided and reverses nothing, for good."""
        journal = await book.entry("zero").debit("A", 0).commit()
        with pytest.raises(TransactionError, match="nothing to reverse"):
            await book.void(journal.id)
        assert not (await book.ledger()).results[0].voided

    async def test_void_in_a_session_rolls_back_with_it(self, book: Book, pay: Pay) -> None:
        """After an abort the journal is untouched and can be voided again."""
        journal = await pay(book, 5, debit="A", credit="B")

        async def void_and_fail(session: Any) -> None:
            await book.void(journal.id, session=session)
            assert (await book.balance("B", session=session)).balance == 0
            raise LookupError

        with pytest.raises(LookupError):
            await mongo_transaction(book._store.client, void_and_fail)
        assert (await book.balance("B")).balance == 5
        await book.void(journal.id)
        assert (await book.balance("B")).balance == 0


class TestListAccounts:
    async def test_every_account_and_its_parents_are_listed_once(self, book: Book, pay: Pay) -> None:
        """Sorted by code point; an unknown book has none."""
        await pay(book, debit="Assets:Cash:Till", credit="income")
        await pay(book, debit="Assets:Bank", credit="income")
        assert await book.list_accounts() == [
            "Assets",
            "Assets:Bank",
            "Assets:Cash",
            "Assets:Cash:Till",
            "income",
        ]
        assert await Book("Unknown", book._store.database).list_accounts() == []


class TestModels:
    class WalletTransaction(Transaction):
        wallet_id: ObjectId | None = None
        currency: str = "BTC"

    class ApprovedJournal(Journal):
        approved: bool = False

    @pytest.fixture
    def book(self, driver_database: Any) -> Book:
        return Book(
            "Wallets",
            driver_database,
            transaction_model=self.WalletTransaction,
            journal_model=self.ApprovedJournal,
        )

    async def test_fields_of_the_model_are_top_level_and_read_back(self, book: Book) -> None:
        """Hex digits for an ObjectId field are stored as one and found by either form."""
        wallet = ObjectId()
        journal = (
            await book.entry("x").debit("A", 1, {"wallet_id": str(wallet), "k": 1}).credit("B", 1).commit()
        )
        debit, credit = (await book.ledger(reverse=True)).results
        assert (wallet, "BTC", {"k": 1}, None) == (
            debit.wallet_id,
            debit.currency,
            debit.meta,
            credit.wallet_id,
        )
        for form in (wallet, str(wallet), {"$in": [str(wallet)]}):
            assert (await book.balance("A", {"wallet_id": form})).notes == 1
        assert "currency" not in (await legs_of(book))[0]
        reversal = await book.void(journal.id)
        assert {wallet, None} == {
            leg.wallet_id for leg in (await book.ledger(None, {"_journal": reversal.id})).results
        }

    async def test_defaults_of_the_journal_model_are_stored(self, book: Book) -> None:
        """On legs they are not, as in medici."""
        journal = await book.entry("x").debit("A", 1).credit("B", 1).commit()
        assert (False, self.ApprovedJournal) == (journal.approved, type(journal))  # type: ignore[attr-defined]
        assert False is (await book._store.journals.find_one())["approved"]

    async def test_value_that_the_model_refuses_is_refused_at_commit(self, book: Book) -> None:
        """Nothing is written."""
        with pytest.raises(TransactionError, match="currency"):
            await book.entry("x").debit("A", 1, {"currency": [1]}).credit("B", 1).commit()
        assert await legs_of(book) == []


HALF_A_PAIR = "a\ud800"


class TestTextThatUtf8CannotHold:
    async def test_entry_names_what_holds_it(self, book: Book) -> None:
        """Refused when the entry is built, not by the driver when it is written."""
        with pytest.raises(TransactionError, match="surrogate") as caught:
            book.entry(HALF_A_PAIR)
        assert caught.value.field == "memo"
        with pytest.raises(InvalidAccountPathError, match="surrogate"):
            book.entry("x").debit(HALF_A_PAIR, 1)
        with pytest.raises(TransactionError, match="surrogates not allowed"):
            book.entry("x").debit("A", 1, {"client": HALF_A_PAIR})

    async def test_reason_of_a_void_leaves_the_journal_as_it_was(self, book: Book, pay: Pay) -> None:
        """And names itself."""
        journal = await pay(book)
        with pytest.raises(TransactionError, match=r"reason.*surrogate"):
            await book.void(journal.id, HALF_A_PAIR)
        await book.void(journal.id, "well-formed")

    @pytest.mark.parametrize("account", [HALF_A_PAIR, ["A", HALF_A_PAIR]])
    async def test_account_asked_for_is_refused(self, account: Any, book: Book) -> None:
        """No account can have that name."""
        with pytest.raises(InvalidQueryError) as caught:
            await book.balance(account)
        assert caught.value.field == "account"


@pytest.mark.parametrize("accounts", [re.compile("A"), None, "A", [HALF_A_PAIR]])
async def test_lock_that_would_lock_nothing_is_refused(accounts: Any, book: Book) -> None:
    """A pattern finds no account where none is given."""

    async def lock(session: Any) -> None:
        await book.writelock_accounts(accounts, session=session)

    with pytest.raises(TransactionError, match="give a list of accounts"):
        await mongo_transaction(book.database.client, lock)


async def test_leg_that_follows_from_no_journal_has_no_such_field(book: Book) -> None:
    """Null would be found by a filter for null alone; medici stores nothing."""
    await book.entry("x").debit("A", 1, {"_original_journal": None}).credit("B", 1).commit()
    assert not any("_original_journal" in leg for leg in await legs_of(book))

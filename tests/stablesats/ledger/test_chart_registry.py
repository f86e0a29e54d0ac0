"""The chart of accounts in the database: registered once, and a silent change of it stops the start-up."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from stablesats.ledger import Account, ChartChangedError
from stablesats.ledger.chart_registry import CHART, ChartEntry, account_entry, chart_entries, register_chart

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
WALLET = account_entry(Account.STABLESATS_BTC_WALLET)


async def rows(database: Any) -> list[dict[str, Any]]:
    return [row async for row in database[CHART].find({}).sort("_id.code")]


def test_chart_is_the_two_books_and_the_eleven_accounts() -> None:
    """Each under version 1 so far, books with the fixed ids of stablesats-rs."""
    entries = chart_entries()
    assert [(entry.kind, entry.version) for entry in entries] == [("book", 1)] * 2 + [("account", 1)] * 11
    assert {entry.code: entry.definition for entry in entries if entry.kind == "book"} == {
        "Stablesats": {"id": "00000000-0000-0000-0000-000000000001"},
        "Exchange Position": {"id": "00000000-0000-0000-0000-000000000002"},
    }


async def test_definition_is_stored_for_people_and_programs(mongo_database: Any) -> None:
    """Everything that the meaning of a leg depends on, and what it means in a sentence."""
    await register_chart(mongo_database, [WALLET], now=lambda: NOON)
    assert await rows(mongo_database) == [
        {
            "_id": {"kind": "account", "code": "STABLESATS_BTC_WALLET", "version": 1},
            "definition": {
                "id": "20000000-2000-0000-0000-000000000000",
                "book": "Stablesats",
                "normal_side": "credit",
                "currencies": ["BTC"],
            },
            "meaning": Account.STABLESATS_BTC_WALLET.meaning,
            "registered_at": NOON.replace(tzinfo=None),
        }
    ]


async def test_registering_again_and_at_once_is_harmless(mongo_database: Any) -> None:
    """Every process does it at its start."""
    await asyncio.gather(*(register_chart(mongo_database) for _ in range(5)))
    first = await rows(mongo_database)
    await register_chart(mongo_database)
    assert await rows(mongo_database) == first
    assert len(first) == len(chart_entries())


@pytest.mark.parametrize(
    ("field", "changed", "differences"),
    [
        ("id", "new", ('-id: "20000000-2000-0000-0000-000000000000"', '+id: "new"')),
        ("book", "Other", ('-book: "Stablesats"', '+book: "Other"')),
        ("normal_side", "debit", ('-normal_side: "credit"', '+normal_side: "debit"')),
        ("currencies", ["BTC", "USD"], ('+currencies[1]: "USD"',)),
    ],
)
async def test_changed_definition_under_the_same_version_is_refused(
    mongo_database: Any, field: str, changed: Any, differences: Sequence[str]
) -> None:
    """The message shows what differs and what to do; nothing of the rest is registered either."""
    await register_chart(mongo_database, [WALLET])
    other = replace(WALLET, definition={**WALLET.definition, field: changed})
    with pytest.raises(ChartChangedError, match="Raise the version, or restore the account") as raised:
        await register_chart(mongo_database, [account_entry(Account.OKEX_ALLOCATION), other])
    assert (raised.value.code, raised.value.version) == ("STABLESATS_BTC_WALLET", 1)
    assert raised.value.differences == tuple(differences)
    assert all(line in str(raised.value) for line in differences)
    assert len(await rows(mongo_database)) == 1


async def test_changed_definition_under_the_next_version_takes_effect(mongo_database: Any) -> None:
    """Beside the first one, which the legs of its time were posted under."""
    await register_chart(mongo_database, [WALLET])
    definition = {**WALLET.definition, "currencies": ["BTC", "USD"]}
    await register_chart(mongo_database, [replace(WALLET, version=2, definition=definition)])
    assert [
        (row["_id"]["version"], row["definition"]["currencies"]) for row in await rows(mongo_database)
    ] == [
        (1, ["BTC"]),
        (2, ["BTC", "USD"]),
    ]
    await register_chart(mongo_database, [WALLET])  # an old process, while a deployment rolls


async def test_reworded_meaning_is_no_change(mongo_database: Any) -> None:
    """It is for people."""
    await register_chart(mongo_database, [WALLET])
    await register_chart(mongo_database, [replace(WALLET, meaning="Bitcoin.")])
    assert [row["meaning"] for row in await rows(mongo_database)] == [WALLET.meaning]


async def test_of_two_that_differ_at_the_same_moment_one_is_refused(mongo_database: Any) -> None:
    """Whoever comes second, also between the other's look and its write."""
    for round_ in range(5):
        code = f"ACCOUNT_{round_}"
        entries = [
            ChartEntry(kind="account", code=code, version=1, definition={"book": book}) for book in "AB"
        ]
        outcomes = await asyncio.gather(
            *(register_chart(mongo_database, [entry]) for entry in entries), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [ChartChangedError]

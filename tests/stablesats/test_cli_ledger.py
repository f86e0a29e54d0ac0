"""``stablesats run ledger`` as a process: once, following, killed."""

import asyncio
import json
import os
import random
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from medici_py.embedded import EmbeddedMongo
from stablesats.ledger import Ledger

WITHIN_SECS = 90


def rows(numbers: Sequence[int]) -> str:
    """Trades of 1 to 7 cents; every seventh is taken back by a later line."""
    lines = []
    for number in numbers:
        trade = {"id": f"t{number}", "timestamp": 1_788_264_000_000 + number, "buy_unit": "usd_cent",
                 "buy_amount": number % 7 + 1, "sell_unit": "satoshi", "sell_amount": 100,
                 "btc_tx_id": f"b{number}", "usd_tx_id": f"u{number}"}  # fmt: skip
        lines.append(json.dumps(trade))
        if number % 7 == 6:
            lines.append(json.dumps({"revert": f"t{number}"}))
    return "".join(f"{line}\n" for line in lines)


@pytest.fixture
async def books(mongodb: EmbeddedMongo) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """A database for the processes, dropped afterwards."""
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri, tz_aware=True) as client:
        name = f"stablesats_test_{secrets.token_hex(6)}"
        yield client[name]
        await client.drop_database(name)


async def start(mongodb: EmbeddedMongo, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stablesats", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "MONGODB_URI": mongodb.uri},
    )  # fmt: skip


async def run(mongodb: EmbeddedMongo, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    process = await start(mongodb, *arguments)
    out, err = await asyncio.wait_for(process.communicate(), WITHIN_SECS)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def once(path: Path, database: AsyncDatabase[dict[str, Any]]) -> tuple[str, ...]:
    return ("run", "ledger", "--once", "--trades", str(path), "--database", database.name)


async def test_once_books_all_and_says_what_it_did(
    mongodb: EmbeddedMongo, books: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    """Unusable lines do not change the exit code; their number is on standard error."""
    path = tmp_path / "trades.jsonl"
    path.write_text(rows(range(6)) + "nonsense\n" + '{"revert": "t5"}\n{"revert": "unknown"}\n')
    code, out, err = await run(mongodb, *once(path, books), "--log-format", "json")
    assert (code, out) == (
        0,
        "ledger: booked 5, replayed 0, reverted 0, cancelled 1, quarantined 1\n",
    )
    assert "1 quarantined: see the collection stablesats_quarantine" in err.splitlines()
    assert "1 to be taken back: their trades have not come yet" in err.splitlines()
    records = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    [quarantined] = [record for record in records if record["action"] == "trade-quarantined"]
    assert (quarantined["line"], quarantined["source"]) == (7, str(path))
    code, out, err = await run(mongodb, "balances", "--json", "--database", books.name)
    assert (code, err) == (0, "")
    found = {(row["account"], row["currency"]): row["balance_minor"] for row in json.loads(out)}
    assert found["OKEX_ALLOCATION", "USD"] == 1 + 2 + 3 + 4 + 5
    assert found["STABLESATS_LIABILITY", "USD"] == 0
    assert found["STABLESATS_BTC_WALLET", "BTC"] == 500


async def test_books_are_in_the_database_that_the_uri_names(
    mongodb: EmbeddedMongo, books: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    """No command looks elsewhere: neither who books, nor who prints balances."""
    path = tmp_path / "trades.jsonl"
    path.write_text(rows(range(3)))
    uri = ("--mongodb-uri", mongodb.uri.replace("/?", f"/{books.name}?"))
    code, out, _ = await run(mongodb, "run", "ledger", "--once", "--trades", str(path), *uri)
    assert (code, out) == (0, "ledger: booked 3, replayed 0, reverted 0, cancelled 0, quarantined 0\n")
    assert (await Ledger(books).balances()).users_liability_cents == 1 + 2 + 3
    code, out, err = await run(mongodb, "balances", "--json", *uri)
    assert (code, err) == (0, "")
    assert {"account": "OKEX_ALLOCATION", "currency": "USD", "balance_minor": 6} in json.loads(out)


async def test_database_that_contradicts_the_uri_is_one_line_that_names_both(mongodb: EmbeddedMongo) -> None:
    """Nothing is booked in either."""
    uri = mongodb.uri.replace("/?", "/mydealer?")
    code, out, err = await run(mongodb, "balances", "--mongodb-uri", uri, "--database", "other")
    assert (code, out) == (1, "")
    assert err.startswith("error: two databases are given: 'other' as the setting (--database), 'mydealer'")
    assert err.count("\n") == 1


async def test_balances_of_a_database_that_nobody_prepared_are_zero_with_a_warning(
    mongodb: EmbeddedMongo,
) -> None:
    """Its name may be a mistake; standard output stays what it is."""
    code, out, err = await run(mongodb, "balances", "--json", "--database", "stablesats_never_prepared")
    assert (code, {row["balance_minor"] for row in json.loads(out)}) == (0, {0})
    assert err == "nobody has prepared the database 'stablesats_never_prepared' yet: is that its name?\n"


async def test_bad_path_is_one_line_that_names_it(mongodb: EmbeddedMongo, tmp_path: Path) -> None:
    """Before any database is touched."""
    code, out, err = await run(mongodb, "run", "ledger", "--trades", str(tmp_path / "nowhere"))
    assert (code, out) == (1, "")
    assert err.startswith("error: trades cannot be read from ")
    assert err.count("\n") == 1
    assert "nowhere" in err


async def test_following_stops_on_sigterm(
    mongodb: EmbeddedMongo, books: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    """It says when it is ready, books what comes, and leaves in peace."""
    path = tmp_path / "trades.jsonl"
    path.touch()
    process = await start(mongodb, "run", "ledger", "--trades", str(path), "--database", books.name)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), WITHIN_SECS)
        assert line == b"ledger: ready\n"
        path.write_text(rows(range(3)))
        async with asyncio.timeout(WITHIN_SECS):
            while await books["stablesats_user_trades"].count_documents({"state": "booked"}) < 3:
                await asyncio.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(process.communicate(), WITHIN_SECS)
    assert process.returncode == 0, err.decode()


@pytest.fixture
async def short_transactions(failing_mongodb: EmbeddedMongo) -> AsyncIterator[EmbeddedMongo]:
    """A server that soon gives up the transactions of clients that are gone; by default after a minute."""
    limit = "transactionLifetimeLimitSeconds"
    async with AsyncMongoClient[dict[str, Any]](failing_mongodb.uri) as client:
        before = (await client.admin.command({"getParameter": 1, limit: 1}))[limit]
        await client.admin.command({"setParameter": 1, limit: 3})
        try:
            yield failing_mongodb
        finally:
            await client.admin.command({"setParameter": 1, limit: before})


async def test_killed_anywhere_books_every_trade_once(
    short_transactions: EmbeddedMongo, tmp_path: Path
) -> None:
    """Two processes over one folder, killed at random instants, then one that finishes."""
    mongodb = short_transactions
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri, tz_aware=True) as client:
        books = client["killed"]
        await _kill_and_finish(mongodb, books, tmp_path)
        await client.drop_database(books)


async def _kill_and_finish(
    mongodb: EmbeddedMongo, books: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    chance = random.Random(20_260_901)
    count, a_file = 420, 60
    for part in range(count // a_file):
        (tmp_path / f"{part}.jsonl").write_text(rows(range(part * a_file, (part + 1) * a_file)))
    for _ in range(2):
        pair = [await start(mongodb, *once(tmp_path, books)) for _ in range(2)]
        for process in pair:
            await _until_it_books(books, process)
            await asyncio.sleep(chance.random() * 0.2)
            if process.returncode is None:
                process.kill()
            await process.communicate()
    code, out, err = await run(mongodb, *once(tmp_path, books))
    assert code == 0, err
    assert "quarantined 0" in out
    live = [number for number in range(count) if number % 7 != 6]
    found = await Ledger(books).liability_balances()
    assert (found.okex_allocation_cents, found.unallocated_cents) == (sum(n % 7 + 1 for n in live), 0)
    assert await _journals_of_trades(books) == {f"t{number}": 1 for number in live}
    assert (await Ledger(books).stablesats.verify()).clean


async def _until_it_books(books: AsyncDatabase[dict[str, Any]], process: asyncio.subprocess.Process) -> None:
    """Wait until *process* is in the middle of it, or through."""
    booked = books["stablesats_user_trades"]
    before = await booked.count_documents({"state": "booked"})
    async with asyncio.timeout(WITHIN_SECS):
        while process.returncode is None and await booked.count_documents({"state": "booked"}) <= before:
            await asyncio.sleep(0.01)


async def _journals_of_trades(books: AsyncDatabase[dict[str, Any]]) -> dict[str, int]:
    """How often each trade is in the books, less how often it was taken back; those with none left out."""
    cursor = await books["medici_journals"].aggregate(
        [
            {"$match": {"metadata.trade_id": {"$exists": True}}},
            {
                "$group": {
                    "_id": "$metadata.trade_id",
                    "times": {
                        "$sum": {
                            "$cond": [{"$regexMatch": {"input": "$template.code", "regex": "^REVERT"}}, -1, 1]
                        }
                    },
                    "journals": {"$sum": 1},
                }
            },
        ]
    )
    found = [row async for row in cursor]
    assert all(row["journals"] <= 2 for row in found)
    return {row["_id"]: row["times"] for row in found if row["times"] != 0}

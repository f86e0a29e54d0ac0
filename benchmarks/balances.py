"""Reading a balance in ledgers of growing size while journals are posted elsewhere."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from benchmarks.campaign import Campaign, Outcome
from benchmarks.journals import AMOUNT, CASH, MEMO, balance_after, client_id
from benchmarks.library import open_book
from benchmarks.reads import (
    COLUMNS,
    WALLET,
    Read,
    median_of,
    node_read,
    our_read,
    rows_by_account,
    take_turns,
)
from benchmarks.table import Table
from benchmarks.worker_process import WorkerProcess, node_worker
from medici_py import Book

RUNNING = "medici_py, running balance"
ENTRIES = "medici_py, with meta (entries)"
CACHED = "Node medici, cached"
UNCACHED = "Node medici, uncached"


async def run(campaign: Campaign) -> Outcome:
    scale = campaign.scale
    async with AsyncExitStack() as stack:
        parties = [await _open(campaign, stack, journals) for journals in scale.ledger_journals]
        quiet = [read for party in parties for read in _reads(party)]
        busy = [read for party in parties for read in _reads(party)]
        for read in quiet:
            await read.ask()  # connects; Node takes its snapshot
        for turn in range(scale.quiet_read_rounds):
            await take_turns(quiet, turn, budget_secs=scale.read_budget_secs)
        for turn in range(scale.read_rounds):
            for party in parties:
                await _post_elsewhere(party.book, scale.traffic_journals)
            await take_turns(busy, turn, budget_secs=scale.read_budget_secs)
    note = (
        f"Before each round of reads {scale.traffic_journals} journals are posted to other accounts, "
        f"{scale.read_rounds * scale.traffic_journals:,} in all since Node took its snapshot. {CASH} is in "
        f"every filled journal, {WALLET} in one of a thousand. Both sides read the same documents."
    )
    tables = [
        Table("Balances beside unrelated traffic", COLUMNS, rows_by_account(busy), note),
        Table(
            "Balances while nothing is posted",
            COLUMNS,
            rows_by_account(quiet),
            "The same reads before that. Node's snapshot of an account ends with that account's last leg.",
        ),
    ]
    return Outcome(tables, _figures(busy, scale.ledger_journals))


@dataclass(frozen=True)
class Party:
    """A filled ledger and both sides reading it."""

    journals: int
    book: Book
    medici: WorkerProcess


async def _open(campaign: Campaign, stack: AsyncExitStack, journals: int) -> Party:
    database = await campaign.ledgers.of(journals)
    book = await stack.enter_async_context(open_book(database))
    medici = await stack.enter_async_context(node_worker(campaign.uri, database.name))
    return Party(journals, book, medici)


def _reads(party: Party) -> list[Read]:
    journals, book, medici = party.journals, party.book, party.medici
    reads = []
    for account in (WALLET, CASH):
        total = balance_after(journals, account)
        asked = {
            RUNNING: our_read(partial(book.balance, account), expected=total),
            CACHED: node_read(medici, account, expected=total, cached=True),
            UNCACHED: node_read(medici, account, expected=total, cached=False),
        }
        if account == WALLET:
            meta = {"client": client_id(account)}
            asked[ENTRIES] = our_read(partial(book.balance, account, meta), expected=total)
        reads += [Read(account, side, journals, ask) for side, ask in asked.items()]
    return reads


async def _post_elsewhere(book: Book, journals: int) -> None:
    async def post(number: int) -> None:
        shop = f"Expenses:Shops:{number}"
        await book.entry(MEMO).debit(shop, AMOUNT).credit("Income:Fees", AMOUNT).commit()

    await asyncio.gather(*(post(number) for number in range(journals)))


def _figures(reads: Sequence[Read], sizes: Sequence[int]) -> dict[str, float]:
    largest, smallest = sizes[-1], sizes[0]
    ours_ms = median_of(reads, WALLET, RUNNING, largest)
    cached_ms = median_of(reads, WALLET, CACHED, largest)
    return {
        "balances.largest.ours_p50_ms": ours_ms,
        "balances.largest.node_cached_p50_ms": cached_ms,
        "balances.largest.ours_to_node_cached": cached_ms / ours_ms,
        "balances.largest_to_smallest": ours_ms / median_of(reads, WALLET, RUNNING, smallest),
    }

"""What the book said five minutes ago, in ledgers of growing size, after a roll-up."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

from benchmarks.campaign import Campaign, Outcome
from benchmarks.filled_ledger import JOURNALS_A_DAY
from benchmarks.journals import CASH, balance_after
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

RECORDED = "medici_py, at="
EFFECTIVE = "medici_py, end_date="
NODE_EFFECTIVE = "Node medici, end_date, uncached"

AGO = timedelta(minutes=5)
"""After the newest filled journal, before anything that a bench has posted to the ledger."""


async def run(campaign: Campaign) -> Outcome:
    scale = campaign.scale
    instant = datetime.now(UTC) - AGO
    reads: list[Read] = []
    async with AsyncExitStack() as stack:
        for journals in scale.ledger_journals:
            database = await campaign.ledgers.of(journals)
            book = await stack.enter_async_context(open_book(database))
            medici = await stack.enter_async_context(node_worker(campaign.uri, database.name))
            await book.roll_up()
            reads += _reads(journals, book, medici, instant)
        for read in reads:
            await read.ask()  # connects
        for turn in range(scale.read_rounds):
            await take_turns(reads, turn, budget_secs=scale.read_budget_secs)
    note = (
        f"The last roll-up ends {JOURNALS_A_DAY // 2:,} journals ago, in each ledger of that size and more. "
        "Node's medici has no recorded-time balance; its nearest is the effective date, without the cache, "
        "which answers dated questions wrongly."
    )
    largest, smallest = scale.ledger_journals[-1], scale.ledger_journals[0]
    at_largest_ms = median_of(reads, CASH, RECORDED, largest)
    figures = {
        "as_of.largest.ours_at_p50_ms": at_largest_ms,
        "as_of.largest_to_smallest": at_largest_ms / median_of(reads, CASH, RECORDED, smallest),
    }
    table = Table("Balances as of a past moment", COLUMNS, rows_by_account(reads), note)
    return Outcome([table], figures)


def _reads(journals: int, book: Book, medici: WorkerProcess, instant: datetime) -> list[Read]:
    reads = []
    for account in (WALLET, CASH):
        total = balance_after(journals, account)
        asked = {
            RECORDED: our_read(partial(book.balance, account, at=instant), expected=total),
            EFFECTIVE: our_read(partial(book.balance, account, end_date=instant), expected=total),
            NODE_EFFECTIVE: node_read(medici, account, expected=total, cached=False, end_date=instant),
        }
        reads += [Read(account, side, journals, ask) for side, ask in asked.items()]
    return reads

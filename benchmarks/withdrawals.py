"""A thousand concurrent withdrawals from one wallet that has enough for half of them."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.campaign import NODE, OURS, Campaign, Outcome
from benchmarks.journals import CASH, MEMO, Database, wallet
from benchmarks.library import open_book
from benchmarks.rounds import percentile
from benchmarks.table import Cell, Table
from benchmarks.worker_process import node_worker
from medici_py import InsufficientBalanceError

NODE_POSTERS = 8
"""Node's withdrawals at a time: each conflicts with all others under way, and the more, the slower.

With a thousand at a time most of them give up after the driver's two minutes of retries.
"""

_COLUMNS = (
    "side",
    "at a time",
    "withdrawals/s",
    "p50 ms",
    "p99 ms",
    "stood",
    "refused",
    "failed",
    "left over",
)


@dataclass(frozen=True)
class Withdrawals:
    """How the withdrawals of one side went; *left_over* is the wallet's balance after them."""

    secs: float
    latencies_ms: Sequence[float]
    stood: int
    refused: int
    failed: int
    left_over: float

    @property
    def per_second(self) -> float:
        return (self.stood + self.refused) / self.secs

    def row(self, name: str, posters: int) -> Sequence[Cell]:
        return (
            name,
            posters,
            self.per_second,
            percentile(self.latencies_ms, 0.50),
            percentile(self.latencies_ms, 0.99),
            self.stood,
            self.refused,
            self.failed,
            self.left_over,
        )


async def run(campaign: Campaign) -> Outcome:
    asked = campaign.scale.withdrawals
    ours = await _ours(await campaign.fresh_database("withdrawals_ours"), asked)
    node = await _node(campaign, await campaign.empty_database("withdrawals_node"), asked)
    rows = [ours.row(OURS, asked), node.row(NODE, NODE_POSTERS)]
    note = (
        f"{asked:,} withdrawals of 1 from a wallet that holds {asked // 2}: right is half stood, half "
        "refused, nothing left over. medici_py: `min_balance=0`, all at once. Node medici: as its manual "
        f"says, a transaction with `writelockAccounts`, {NODE_POSTERS} at a time."
    )
    figures = {
        "withdrawals.ours_per_second": ours.per_second,
        "withdrawals.node_per_second": node.per_second,
        "withdrawals.ours_to_node": ours.per_second / node.per_second,
    }
    return Outcome([Table("Guarded withdrawals from one wallet", _COLUMNS, rows, note)], figures)


async def _ours(database: Database, asked: int) -> Withdrawals:
    account = wallet(0)
    async with open_book(database) as book:
        await book.entry(MEMO).debit(CASH, asked // 2).credit(account, asked // 2).commit()
        latencies_ms: list[float] = []

        async def withdraw() -> bool:
            began = time.perf_counter()
            try:
                await book.entry(MEMO).debit(account, 1, min_balance=0).credit(CASH, 1).commit()
            except InsufficientBalanceError:
                return False
            finally:
                latencies_ms.append((time.perf_counter() - began) * 1_000)
            return True

        began = time.perf_counter()
        answers = await asyncio.gather(*(withdraw() for _ in range(asked)))
        secs = time.perf_counter() - began
        left_over = float((await book.balance(account)).balance)
    stood = sum(answers)
    return Withdrawals(secs, latencies_ms, stood, asked - stood, 0, left_over)


async def _node(campaign: Campaign, database: Database, asked: int) -> Withdrawals:
    account = wallet(0)
    async with node_worker(campaign.uri, database.name) as medici:
        await medici.call("deposit", wallet=account, amount=asked // 2)
        answer = await medici.call("withdraw", wallet=account, withdrawals=asked, posters=NODE_POSTERS)
        left_over = (await medici.call("balance", account=account, cached=False))["balance"]
    return Withdrawals(**answer, left_over=left_over)

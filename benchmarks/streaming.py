"""Memory that a process takes to walk through a ledger, streamed or as a list."""

import time

from benchmarks.campaign import Campaign, Outcome
from benchmarks.journals import CASH
from benchmarks.table import Cell, Table
from benchmarks.worker_process import python_worker

_COLUMNS = ("how", "legs", "memory growth MiB", "legs/s")
_KIB_A_MIB = 1_024
_METHODS = {"list": "ledger()", "stream": "stream()"}


async def run(campaign: Campaign) -> Outcome:
    scale = campaign.scale
    rows: list[tuple[Cell, ...]] = []
    figures: dict[str, float] = {}
    kinds = [("list", scale.listed_journals), ("stream", scale.listed_journals)]
    for kind, journals in [*kinds, ("stream", scale.ledger_journals[-1])]:
        database = await campaign.ledgers.of(journals)
        async with python_worker(campaign.uri, database.name) as worker:
            began = time.perf_counter()
            answer = await worker.call(kind, account=CASH)
            secs = time.perf_counter() - began
        growth_mib = answer["growth_kib"] / _KIB_A_MIB
        rows.append((f"`book.{_METHODS[kind]}`", answer["legs"], growth_mib, answer["legs"] / secs))
        figures[f"streaming.{kind}.{journals}.growth_mib"] = growth_mib
    note = "How far a fresh process' peak resident memory rises above what it held before the first leg."
    return Outcome([Table("Memory of a walk through a ledger", _COLUMNS, rows, note)], figures)

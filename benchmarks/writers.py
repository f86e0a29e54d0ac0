"""One, two and three processes that post to one hot account at the same time."""

import asyncio
import statistics
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

from benchmarks.campaign import NODE, OURS, Campaign, Outcome
from benchmarks.load import Load
from benchmarks.rounds import Round, alternate, median_rate, pooled_percentile, rate_ratio
from benchmarks.table import Cell, Table
from benchmarks.worker_process import WorkerProcess, node_worker, python_worker

PROCESSES = (1, 2, 3)

_COLUMNS = (
    "processes",
    "side",
    "journals/s together",
    "p50 ms",
    "p99 ms",
    "to one process",
    "retries a round",
)


async def run(campaign: Campaign) -> Outcome:
    load = Load(campaign.scale.writer_posters, secs=campaign.scale.round_secs)
    ours = await campaign.fresh_database("writers_ours")
    node = await campaign.empty_database("writers_node")
    async with AsyncExitStack() as stack:
        start = stack.enter_async_context
        teams = {
            OURS: [await start(python_worker(campaign.uri, ours.name)) for _ in PROCESSES],
            NODE: [await start(node_worker(campaign.uri, node.name)) for _ in PROCESSES],
        }
        for team in teams.values():  # connects them all
            await _post_together(team, load)
        sides = {
            f"{name} {processes}": partial(_post_together, team[:processes], load)
            for processes in PROCESSES
            for name, team in teams.items()
        }
        done = await alternate(sides, campaign.scale.rounds, settle=campaign.settle)
    rows = [
        (processes, name, *_measures(done[f"{name} {processes}"], done[f"{name} 1"]))
        for processes in PROCESSES
        for name in teams
    ]
    note = (
        f"{load.posters} concurrent posters in each process, {campaign.scale.rounds} alternating rounds of "
        f"{campaign.scale.round_secs:g} s in which all begin together. Every journal has a leg on the same "
        "account. A retry is a transaction that was given up and ran again; Node's medici has none to count."
    )
    figures = {
        "writers.3.ours.journals_per_second": median_rate(done[f"{OURS} 3"]),
        "writers.3.ours.p99_ms": pooled_percentile(done[f"{OURS} 3"], 0.99),
        "writers.three_to_one": rate_ratio(done[f"{OURS} 3"], done[f"{OURS} 1"]),
    }
    return Outcome([Table("Several writer processes", _COLUMNS, rows, note)], figures)


async def _post_together(workers: Sequence[WorkerProcess], load: Load) -> Round:
    return Round.joined(await asyncio.gather(*(worker.post(load) for worker in workers)))


def _measures(rounds: Sequence[Round], of_one: Sequence[Round]) -> Sequence[Cell]:
    retries = [one.retries for one in rounds if one.retries is not None]
    return (
        median_rate(rounds),
        pooled_percentile(rounds, 0.50),
        pooled_percentile(rounds, 0.99),
        rate_ratio(rounds, of_one),
        statistics.median(retries) if retries else None,
    )

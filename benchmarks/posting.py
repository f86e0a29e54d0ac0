"""Journals a second, and how long a poster waits, at growing numbers of concurrent posters."""

from collections.abc import Mapping, Sequence
from functools import partial

from benchmarks.campaign import ALONE, NODE, OURS, RAW, Campaign, Outcome
from benchmarks.library import open_book, posting_to, shared_batch
from benchmarks.load import Load, run_load
from benchmarks.raw_driver import batches_to, holding_all
from benchmarks.rounds import Round, Side, alternate, median_rate, pooled_percentile, rate_ratio
from benchmarks.table import Cell, Table
from benchmarks.worker_process import node_worker

_COLUMNS = ("posters", "side", "journals/s", "p50 ms", "p99 ms", "medici_py is faster")


async def run(campaign: Campaign) -> Outcome:
    ours, alone, raw = [await campaign.fresh_database(name) for name in ("ours", "alone", "raw")]
    node = await campaign.empty_database("node")
    rows: list[Sequence[Cell]] = []
    figures: dict[str, float] = {}
    batches: list[str] = []
    async with (
        node_worker(campaign.uri, node.name) as medici,
        open_book(ours) as book,
        open_book(alone, group_commit=False) as lone_book,
    ):
        for posters in campaign.scale.posters:
            load = Load(posters, secs=campaign.scale.round_secs)
            batch = await shared_batch(campaign.uri, ours.name, posters)
            raw_load = holding_all(posters, batch=batch, secs=campaign.scale.round_secs)
            batches.append(f"{batch} at {posters}")
            sides: dict[str, Side] = {
                OURS: partial(run_load, posting_to(book), load),
                ALONE: partial(run_load, posting_to(lone_book), load),
                NODE: partial(medici.post, load),
                RAW: partial(run_load, batches_to(raw, batch=batch), raw_load),
            }
            await _warm_up(sides[OURS], sides[ALONE], sides[NODE], sides[RAW])
            done = await alternate(sides, campaign.scale.rounds, settle=campaign.settle)
            rows += _rows(posters, done)
            figures |= _figures(posters, done)
    note = (
        f"The median of {campaign.scale.rounds} alternating rounds of {campaign.scale.round_secs:g} s. The "
        "last column is the median of each round's ratio. Journals in a transaction of the raw driver, as "
        f"many as group commit made of them: {', '.join(batches)} posters; its latency is that of a batch."
    )
    return Outcome([Table("Posting", _COLUMNS, rows, note)], figures)


async def _warm_up(*sides: Side) -> None:
    for side in sides:
        await side()


def _rows(posters: int, done: Mapping[str, Sequence[Round]]) -> list[Sequence[Cell]]:
    return [
        (
            posters,
            name,
            median_rate(rounds),
            pooled_percentile(rounds, 0.50),
            pooled_percentile(rounds, 0.99),
            None if name == OURS else rate_ratio(done[OURS], rounds),
        )
        for name, rounds in done.items()
    ]


def _figures(posters: int, done: Mapping[str, Sequence[Round]]) -> dict[str, float]:
    slow = {name: pooled_percentile(rounds, 0.99) for name, rounds in done.items()}
    return {
        **{f"posting.{posters}.{_key(name)}.journals_per_second": median_rate(done[name]) for name in done},
        **{f"posting.{posters}.{_key(name)}.p99_ms": slow[name] for name in done},
        f"posting.{posters}.ours_to_node": rate_ratio(done[OURS], done[NODE]),
        f"posting.{posters}.ours_to_raw": rate_ratio(done[OURS], done[RAW]),
        f"posting.{posters}.p99_ours_to_node": slow[OURS] / slow[NODE],
    }


def _key(name: str) -> str:
    return {OURS: "ours", ALONE: "alone", NODE: "node", RAW: "raw"}[name]

"""What a journal costs in processor time at many concurrent posters, and which modules spend it."""

import cProfile
import os
import pstats
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.campaign import NODE, OURS, RAW, Campaign, Outcome
from benchmarks.collector import collector_as_it_comes
from benchmarks.library import open_book, posting_to, shared_batch
from benchmarks.load import Load, run_load
from benchmarks.raw_driver import batches_to, holding_all
from benchmarks.rounds import Round, Side, rotated
from benchmarks.table import Cell, Table
from benchmarks.worker_process import node_worker

_POSTERS = 256
_WARM_UP_ROUNDS = 2
_AS_IT_COMES = f"{OURS}, garbage collector as it comes"
_TOP_MODULES = 15
_COLUMNS = ("side", "client µs a journal", "server µs a journal", "elapsed µs a journal")


async def run(campaign: Campaign) -> Outcome:
    ours, raw = await campaign.fresh_database("cpu_ours"), await campaign.fresh_database("cpu_raw")
    node = await campaign.empty_database("cpu_node")
    load = Load(_POSTERS, secs=campaign.scale.round_secs)
    batch = await shared_batch(campaign.uri, ours.name, _POSTERS)
    async with open_book(ours) as book, node_worker(campaign.uri, node.name) as medici:
        our_side = partial(run_load, posting_to(book), load)
        raw_load = holding_all(_POSTERS, batch=batch, secs=campaign.scale.round_secs)

        async def as_it_comes() -> Round:
            with collector_as_it_comes():
                return await our_side()

        sides: dict[str, tuple[Side, int]] = {
            OURS: (our_side, os.getpid()),
            _AS_IT_COMES: (as_it_comes, os.getpid()),
            NODE: (partial(medici.post, load), medici.pid),
            RAW: (partial(run_load, batches_to(raw, batch=batch), raw_load), os.getpid()),
        }
        rows = await _rows(sides, campaign)
        profile = cProfile.Profile()
        with profile:
            await our_side()
    note = (
        f"{_POSTERS} concurrent posters; user and system time of the two processes. The median of "
        f"{campaign.scale.rounds} alternating rounds of {load.secs:g} s, after {_WARM_UP_ROUNDS} that do not "
        "count: Node's first ones cost it up to three times as much."
    )
    return Outcome([Table("Processor time", _COLUMNS, rows, note), _top_modules(profile)])


async def _rows(sides: Mapping[str, tuple[Side, int]], campaign: Campaign) -> list[Sequence[Cell]]:
    """Return what a journal costs each of *sides*, which come with the process of their client."""
    costs: dict[str, list[tuple[float | None, ...]]] = {name: [] for name in sides}
    for number in range(_WARM_UP_ROUNDS + campaign.scale.rounds):
        for name in rotated(list(sides), number):
            side, client = sides[name]
            await campaign.settle()
            cost = await _cost(side, (client, campaign.server_pid))
            if number >= _WARM_UP_ROUNDS:
                costs[name].append(cost)
    return [(name, *map(_median, zip(*costs[name], strict=True))) for name in sides]


async def _cost(side: Side, pids: Sequence[int | None]) -> tuple[float | None, ...]:
    """Return the microseconds of a journal in one round: of each of the processes, then those elapsed."""
    before = [_processor_secs(pid) for pid in pids]
    done = await side()
    after = [_processor_secs(pid) for pid in pids]
    spent = [
        None if later is None or earlier is None else (later - earlier) / done.journals * 1e6
        for earlier, later in zip(before, after, strict=True)
    ]
    return (*spent, done.secs / done.journals * 1e6)


def _median(values: Sequence[float | None]) -> float | None:
    """Return the median of what was measured in each round; nothing if it was not in all."""
    measured = [value for value in values if value is not None]
    return statistics.median(measured) if len(measured) == len(values) else None


def _processor_secs(pid: int | None) -> float | None:
    """Return the user and system time a process has taken; None for a server elsewhere."""
    if pid is None:
        return None
    # The second field is the program's name in parentheses and may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _top_modules(profile: cProfile.Profile) -> Table:
    stats = pstats.Stats(profile).get_stats_profile()
    own_secs: defaultdict[str, float] = defaultdict(float)
    for name, function in stats.func_profiles.items():
        own_secs[_module(function.file_name) or name] += function.tottime
    ranked = sorted(own_secs.items(), key=lambda item: item[1], reverse=True)
    rows = [(f"`{name}`", 100 * secs / stats.total_tt) for name, secs in ranked[:_TOP_MODULES]]
    note = "The profiler slows what it looks at. Polling is waiting for the server."
    return Table("Profile of medici_py", ("module, or function of the interpreter", "own time %"), rows, note)


def _module(file_name: str) -> str:
    """Return a short name of a source file; nothing for what is built in."""
    path = Path(file_name)
    return "" if file_name == "~" else f"{path.parent.name}/{path.name}"

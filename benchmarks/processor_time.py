"""What a journal costs in processor time at many concurrent posters, and which modules spend it."""

import cProfile
import os
import pstats
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.campaign import NODE, OURS, RAW, Campaign, Outcome
from benchmarks.collector import collector_as_it_comes
from benchmarks.library import open_book, posting_to, shared_batch
from benchmarks.load import Load, run_load
from benchmarks.raw_driver import batches_to, holding_all
from benchmarks.rounds import Side
from benchmarks.table import Cell, Table
from benchmarks.worker_process import node_worker

_POSTERS = 256
_AS_IT_COMES = f"{OURS}, garbage collector as it comes"
_TOP_MODULES = 15
_COLUMNS = ("side", "client µs a journal", "server µs a journal", "elapsed µs a journal")


async def run(campaign: Campaign) -> Outcome:
    ours, raw = await campaign.fresh_database("cpu_ours"), await campaign.fresh_database("cpu_raw")
    node = await campaign.empty_database("cpu_node")
    load = Load(_POSTERS, secs=campaign.scale.round_secs)
    costs = partial(_costs, server=campaign.server_pid, settle=campaign.settle)
    batch = await shared_batch(campaign.uri, ours.name, _POSTERS)
    async with open_book(ours) as book, node_worker(campaign.uri, node.name) as medici:
        our_side = partial(run_load, posting_to(book), load)
        raw_load = holding_all(_POSTERS, batch=batch, secs=campaign.scale.round_secs)
        raw_side = partial(run_load, batches_to(raw, batch=batch), raw_load)
        rows = [
            await costs(OURS, our_side, client=os.getpid()),
            await costs(NODE, partial(medici.post, load), client=medici.pid),
            await costs(RAW, raw_side, client=os.getpid()),
        ]
        with collector_as_it_comes():
            rows.insert(1, await costs(_AS_IT_COMES, our_side, client=os.getpid()))
        profile = cProfile.Profile()
        with profile:
            await our_side()
    note = f"{_POSTERS} concurrent posters, {load.secs:g} s each; user and system time of the two processes."
    return Outcome([Table("Processor time", _COLUMNS, rows, note), _top_modules(profile)])


async def _costs(
    name: str, side: Side, *, client: int, server: int | None, settle: Callable[[], Awaitable[None]]
) -> Sequence[Cell]:
    await side()
    await settle()
    pids = (client, server)
    before = [_processor_secs(pid) for pid in pids]
    done = await side()
    after = [_processor_secs(pid) for pid in pids]
    spent = [
        None if later is None or earlier is None else (later - earlier) / done.journals * 1e6
        for earlier, later in zip(before, after, strict=True)
    ]
    return (name, *spent, done.secs / done.journals * 1e6)


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

"""Commands sent to the server for each journal: a figure that does not depend on the machine."""

from benchmarks.campaign import NODE, OURS, Campaign, Outcome
from benchmarks.library import counted_load
from benchmarks.load import Load
from benchmarks.table import Cell, Table
from benchmarks.worker_process import node_worker

POSTERS = (1, 256)

_JOURNALS_A_POSTER = {1: 100, 256: 8}
_COLUMNS = ("posters", "side", "commands a journal", "journals a transaction")


async def run(campaign: Campaign) -> Outcome:
    ours = await campaign.fresh_database("trips_ours")
    node = await campaign.empty_database("trips_node")
    rows: list[tuple[Cell, ...]] = []
    figures: dict[str, float] = {}
    async with node_worker(campaign.uri, node.name, monitored=True) as medici:
        for posters in POSTERS:
            load = Load(posters, journals=posters * _JOURNALS_A_POSTER[posters])
            done, commands = await counted_load(campaign.uri, ours.name, load)
            theirs = await medici.post(load)
            assert theirs.round_trips is not None
            mine_each, theirs_each = (
                commands.round_trips / done.journals,
                theirs.round_trips / theirs.journals,
            )
            rows.append((posters, OURS, mine_each, done.journals / commands.transactions))
            rows.append((posters, NODE, theirs_each, None))
            figures[f"round_trips.{posters}.ours_per_journal"] = mine_each
            figures[f"round_trips.{posters}.node_per_journal"] = theirs_each
    note = "Counted by the drivers' command monitoring, after the connections stand."
    return Outcome([Table("Round trips", _COLUMNS, rows, note)], figures)

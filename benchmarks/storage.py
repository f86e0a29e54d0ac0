"""Bytes that a journal of two legs takes, data and indexes, with everything each side keeps beside it."""

from benchmarks.campaign import NODE, OURS, RAW, Campaign, Outcome
from benchmarks.journals import WALLETS, Database
from benchmarks.library import open_book, posting_to
from benchmarks.load import Load, run_load
from benchmarks.raw_driver import batches_to
from benchmarks.table import Table
from benchmarks.worker_process import node_worker

_POSTERS = 64
_BATCH = 64
_COLUMNS = ("side", "data bytes a journal", "index bytes a journal", "both", "documents a journal")


async def run(campaign: Campaign) -> Outcome:
    ours, raw = await campaign.fresh_database("stored_ours"), await campaign.fresh_database("stored_raw")
    node = await campaign.empty_database("stored_node")
    journals = campaign.scale.stored_journals // _BATCH * _BATCH
    load = Load(_POSTERS, journals=journals)
    async with open_book(ours) as book:
        await run_load(posting_to(book), load)
    async with node_worker(campaign.uri, node.name) as medici:
        await medici.post(load)
    await run_load(batches_to(raw, batch=_BATCH), Load(1, journals=journals // _BATCH))
    await campaign.client.admin.command("fsync")  # an index is weighed as it was last written out
    sizes = {OURS: await _weigh(ours), NODE: await _weigh(node), RAW: await _weigh(raw)}
    rows = [
        (name, data / journals, index / journals, (data + index) / journals, documents / journals)
        for name, (data, index, documents) in sizes.items()
    ]
    figures = {
        f"storage.{key}.bytes_per_journal": sum(sizes[name][:2]) / journals
        for name, key in ((OURS, "ours"), (NODE, "node"), (RAW, "raw"))
    }
    note = (
        f"After {journals:,} journals to {WALLETS:,} wallets: uncompressed data and the indexes on disk "
        "(collStats) of every collection in the database, balances, keys and locks included."
    )
    return Outcome([Table("Storage", _COLUMNS, rows, note)], figures)


async def _weigh(database: Database) -> tuple[int, int, int]:
    data = index = documents = 0
    for name in await database.list_collection_names():
        stats = await database.command("collStats", name)
        data, index, documents = (
            data + stats["size"],
            index + stats["totalIndexSize"],
            documents + stats["count"],
        )
    return data, index, documents

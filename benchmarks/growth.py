"""Posting to a large ledger beside posting to a small one."""

from functools import partial

from benchmarks.campaign import Campaign, Outcome
from benchmarks.library import open_book, posting_to
from benchmarks.load import Load, run_load
from benchmarks.rounds import alternate, median_rate, pooled_percentile, rate_ratio
from benchmarks.table import Table

_POSTERS = 64
_COLUMNS = ("journals in the ledger", "journals/s", "p50 ms", "p99 ms", "to the smallest")


async def run(campaign: Campaign) -> Outcome:
    scale = campaign.scale
    smallest, largest = scale.ledger_journals[0], scale.ledger_journals[-1]
    load = Load(_POSTERS, journals=scale.growth_journals)
    small, large = await campaign.ledgers.of(smallest), await campaign.ledgers.of(largest)
    async with open_book(small) as small_book, open_book(large) as large_book:
        sides = {
            str(smallest): partial(run_load, posting_to(small_book), load),
            str(largest): partial(run_load, posting_to(large_book), load),
        }
        await alternate(sides, 1, settle=campaign.settle)
        done = await alternate(sides, scale.rounds, settle=campaign.settle)
    rows = [
        (
            journals,
            median_rate(rounds := done[str(journals)]),
            pooled_percentile(rounds, 0.50),
            pooled_percentile(rounds, 0.99),
            rate_ratio(rounds, done[str(smallest)]),
        )
        for journals in (smallest, largest)
    ]
    note = (
        f"{_POSTERS} concurrent posters, {scale.rounds} alternating rounds of {scale.growth_journals:,} "
        "journals, which the ledgers keep."
    )
    figures = {"growth.largest_to_smallest": rate_ratio(done[str(largest)], done[str(smallest)])}
    return Outcome([Table("Posting to a large ledger", _COLUMNS, rows, note)], figures)

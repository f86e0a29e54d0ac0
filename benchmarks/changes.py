"""How late subscribers are told what was committed, how much they can be told, and what a stuck one holds."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

from bson import ObjectId

from benchmarks.campaign import Campaign, Outcome
from benchmarks.change_holder import DURABLE, NONE
from benchmarks.followers import Follower, acknowledging, following, seen_by_all, transacting
from benchmarks.library import open_book, posting_to
from benchmarks.load import Load, run_load
from benchmarks.rounds import percentile
from benchmarks.scale import Scale
from benchmarks.table import Cell, Table
from benchmarks.worker_process import WorkerProcess, python_worker
from medici_py import BalanceChanged, Book, JournalPosted, Overflow

_EVERY_SECS = 0.025
_POSTERS = 64
_KIB_A_MIB = 1_024

_LATENCY_COLUMNS = (
    "subscribers",
    "to what",
    "after the answer, p50 ms",
    "p99 ms",
    "after the request, p50 ms",
    "p99 ms",
)
_RATE_COLUMNS = ("subscribers", "to what", "journals/s posted", "journals/s followed", "events/s together")
_MEMORY_COLUMNS = (
    "stuck subscriber",
    "journals",
    "memory growth MiB",
    "ten times as many",
    "memory growth MiB",
    "events that wait",
)

Followers = Callable[[Book], AbstractAsyncContextManager[Sequence[Follower]]]

_STUCK = {
    NONE: "none",
    Overflow.WAIT.value: "`Overflow.WAIT`",
    Overflow.DROP.value: "`Overflow.DROP`",
    Overflow.CLOSE.value: "`Overflow.CLOSE`",
    DURABLE: "durable subscription",
}


async def run(campaign: Campaign) -> Outcome:
    latencies: list[Sequence[Cell]] = []
    rates: list[Sequence[Cell]] = []
    figures: dict[str, float] = {}
    database = await campaign.fresh_database("changes")
    async with python_worker(campaign.uri, database.name) as poster, open_book(database) as book:
        await poster.call("pace", journals=10, every_secs=0)  # connects, and finds its stripe
        for key, subscribers, kind, followers, load in _ways(campaign.scale):
            async with followers(book) as those:
                late = await _lateness(poster, those, campaign.scale.paced_journals)
                rate = await _rate(poster, those, load)
            latencies.append((subscribers, kind, *late))
            rates.append((subscribers, kind, *rate))
            names = ("p50_ms_after_answer", "p99_ms_after_answer", "p50_ms", "p99_ms")
            figures |= {f"changes.{key}.{name}": value for name, value in zip(names, late, strict=True)}
            figures[f"changes.{key}.events_per_second"] = rate[-1]
    memory, growth = await _memory(campaign)
    return Outcome(
        [_latency_table(campaign, latencies), _rate_table(campaign, rates), memory], figures | growth
    )


def _ways(scale: Scale) -> Iterable[tuple[str, int, str, Followers, Load]]:
    """Yield key, number of subscribers, what they are, how they come to follow a book, and what is posted."""
    journals, both = (JournalPosted,), (JournalPosted, BalanceChanged)
    load = Load(_POSTERS, secs=scale.round_secs)
    for number in scale.subscribers:
        yield str(number), number, "journals", partial(following, subscribers=number, kinds=journals), load
    yield "balances", 10, "journals, balances", partial(following, subscribers=10, kinds=both), load
    # Each event is a write: what could be posted meanwhile would take minutes.
    load = Load(_POSTERS, journals=scale.paced_journals)
    yield "durable", 1, "journals, durable: `run`", acknowledging, load
    yield "exactly_once", 1, "journals, durable: `run_in_transaction`", transacting, load


async def _lateness(
    poster: WorkerProcess, followers: Sequence[Follower], journals: int
) -> tuple[float, float, float, float]:
    """Return how long after the answer, and after the request, events are handed out: p50 and p99, in ms."""
    answer = await poster.call("pace", journals=journals, every_secs=_EVERY_SECS)
    await seen_by_all(followers, journals)
    posted = {ObjectId(id_): (asked, answered) for id_, asked, answered in answer}
    seen = [
        (handed - posted[journal][0], handed - posted[journal][1])
        for follower in followers
        for journal, handed in follower.journals
    ]
    since_asked, since_answered = ([secs * 1_000 for secs in column] for column in zip(*seen, strict=True))
    return (
        percentile(since_answered, 0.50),
        percentile(since_answered, 0.99),
        percentile(since_asked, 0.50),
        percentile(since_asked, 0.99),
    )


async def _rate(
    poster: WorkerProcess, followers: Sequence[Follower], load: Load
) -> tuple[float, float, float]:
    """Return journals a second as posted and as followed, and events a second of all followers together."""
    before, events = len(followers[0].journals), sum(follower.events for follower in followers)
    began = time.monotonic()
    done = await poster.post(load)
    await seen_by_all(followers, before + done.journals)
    took = time.monotonic() - began
    given = sum(follower.events for follower in followers) - events
    return done.journals_per_second, done.journals / took, given / took


async def _memory(campaign: Campaign) -> tuple[Table, dict[str, float]]:
    few, many = campaign.scale.stuck_journals // 10, campaign.scale.stuck_journals
    rows: list[Sequence[Cell]] = []
    figures: dict[str, float] = {}
    for kind, name in _STUCK.items():
        database = await campaign.fresh_database(f"changes_stuck_{kind}")
        async with open_book(database) as book, python_worker(campaign.uri, database.name) as holder:
            await holder.call("hold", kind=kind)
            await run_load(posting_to(book), Load(_POSTERS, journals=few))
            held = await holder.call("held", journals=few)
            await run_load(posting_to(book), Load(_POSTERS, journals=many - few))
            held_later = await holder.call("held", journals=many)
        growth_mib = [one["growth_kib"] / _KIB_A_MIB for one in (held, held_later)]
        rows.append((name, few, growth_mib[0], many, growth_mib[1], held_later["waiting"]))
        figures[f"changes.stuck.{kind}.growth_mib"] = growth_mib[1]
    note = (
        "A fresh process holds a subscription that takes nothing, with the default buffer of 1,000 events, "
        "and beside it one that takes everything. How far its peak resident memory rises above what it held "
        "when both were open, once the one beside it has seen so many journals."
    )
    return Table("Memory of a stuck subscriber", _MEMORY_COLUMNS, rows, note), figures


def _latency_table(campaign: Campaign, rows: Sequence[Sequence[Cell]]) -> Table:
    note = (
        f"{campaign.scale.paced_journals:,} journals that another process posts, one at a time and one each "
        f"{_EVERY_SECS * 1_000:g} ms. From the moment the poster had its answer, and from the moment it "
        "asked, until a subscriber had the event; over all subscribers. Below zero the subscriber knew first."
    )
    return Table("Commit to event", _LATENCY_COLUMNS, rows, note)


def _rate_table(campaign: Campaign, rows: Sequence[Sequence[Cell]]) -> Table:
    note = (
        f"{_POSTERS} concurrent posters in another process, for {campaign.scale.round_secs:g} s; "
        f"{campaign.scale.paced_journals:,} journals where the subscription is durable. From the first "
        "request until every subscriber had every journal. All subscribers are in one process and share a "
        "change stream; a durable subscription has one of its own and stores its place after each event."
    )
    return Table("Events a second", _RATE_COLUMNS, rows, note)

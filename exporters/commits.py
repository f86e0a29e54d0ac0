"""How a process that posts is doing: the group commit of its books as Prometheus metrics.

The figures live in the process that posts, so that is where the collector belongs::

    REGISTRY.register(CommitCollector({"bank": lambda: book.commit_stats}))
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from medici_py import CommitStats

_COUNTERS: Final[tuple[tuple[str, str, Callable[[CommitStats], float]], ...]] = (
    (
        "medici_commit_transactions",
        "MongoDB transactions that group commit has committed.",
        lambda stats: stats.transactions,
    ),
    (
        "medici_commit_units",
        "Entries and batches in those transactions; over their number it is the mean size.",
        lambda stats: stats.units,
    ),
    (
        "medici_commit_retries",
        "Tries of a transaction after its first, whatever made them necessary.",
        lambda stats: stats.retries,
    ),
    (
        "medici_commit_splits",
        "Transactions that were taken apart because one of their entries may have made them fail.",
        lambda stats: stats.splits,
    ),
    ("medici_commit_refused", "Entries and batches that ended with an error.", lambda stats: stats.refused),
    (
        "medici_commit_wait_seconds",
        "Time that entries waited for their transaction to begin, added up, in seconds.",
        lambda stats: stats.wait_secs,
    ),
    (
        "medici_commit_duration_seconds",
        "Time from the beginning of transactions to their end, added up, in seconds.",
        lambda stats: stats.commit_secs,
    ),
)

_GAUGES: Final[tuple[tuple[str, str, Callable[[CommitStats], float]], ...]] = (
    ("medici_commit_waiting", "Entries and batches that wait now.", lambda stats: stats.waiting),
    (
        "medici_commit_largest_units",
        "Entries and batches in the largest transaction so far.",
        lambda stats: stats.largest,
    ),
    (
        "medici_commit_longest_wait_seconds",
        "The longest time an entry has waited for its transaction to begin, in seconds.",
        lambda stats: stats.longest_wait_secs,
    ),
)


class CommitCollector(Collector):
    """Answers each scrape from the `CommitStats` of that moment; touches no database.

    Args:
        sources: What gives the figures of a database, by the label ``database`` they get. Books of one
            database share a committer in one process: name it once.
    """

    def __init__(self, sources: Mapping[str, Callable[[], CommitStats]]) -> None:
        self._sources = dict(sources)

    def collect(self) -> Iterable[Metric]:
        """Read the figures once, and build their families."""
        return commit_families({name: read() for name, read in self._sources.items()})

    def describe(self) -> Iterable[Metric]:
        """Name the families without reading anything."""
        return commit_families({})


def commit_families(stats: Mapping[str, CommitStats]) -> list[Metric]:
    """Map the figures of databases to metric families, always the same ones in the same order."""
    families: list[Metric] = []
    for name, documentation, value_of in _COUNTERS:
        counter = CounterMetricFamily(name, documentation, labels=("database",))
        for database, figures in stats.items():
            counter.add_metric((database,), value_of(figures))
        families.append(counter)
    for name, documentation, value_of in _GAUGES:
        gauge = GaugeMetricFamily(name, documentation, labels=("database",))
        for database, figures in stats.items():
            gauge.add_metric((database,), value_of(figures))
        families.append(gauge)
    return families

"""The ratios that have to be reached, each in one run, and whether they were."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from benchmarks.table import Cell, Table


@dataclass(frozen=True)
class Target:
    """A ratio and its bound.

    Attributes:
        says: What is asked for, in words.
        figure: Which figure it is about.
        bound: Whether the figure has to be at least or at most *limit*.
        limit: The bound itself.
    """

    says: str
    figure: str
    bound: Literal["at least", "at most"]
    limit: float

    def is_reached(self, found: float) -> bool:
        """Whether *found* is on the right side of the limit."""
        match self.bound:
            case "at least":
                return found >= self.limit
            case "at most":
                return found <= self.limit
            case _:
                assert_never(self.bound)


TARGETS = (
    Target("journals/s at 256 posters, to Node medici", "posting.256.ours_to_node", "at least", 10.0),
    Target("journals/s at 256 posters, to the raw driver", "posting.256.ours_to_raw", "at least", 0.5),
    Target("p99 at 64 posters, to Node medici's", "posting.64.p99_ours_to_node", "at most", 1.0),
    Target("journals/s of one poster, to Node medici", "posting.1.ours_to_node", "at least", 1.3),
    Target(
        "three processes on a hot account together, to one process",
        "writers.three_to_one",
        "at least",
        1.0,
    ),
    Target(
        "running-balance reads of the largest ledger, to Node medici's cached reads",
        "balances.largest.ours_to_node_cached",
        "at least",
        3.0,
    ),
    # "Flat" needs a figure: a fifth is what two medians of the same thing may differ by on a busy machine.
    Target(
        "running-balance reads, largest ledger's time to the smallest's",
        "balances.largest_to_smallest",
        "at most",
        1.2,
    ),
    Target(
        "posting to the largest ledger, to posting to the smallest",
        "growth.largest_to_smallest",
        "at least",
        0.8,
    ),
)


def targets_table(figures: Mapping[str, float]) -> Table:
    """Return what was asked for beside what was measured."""
    rows: list[Sequence[Cell]] = []
    for target in TARGETS:
        found = figures.get(target.figure)
        verdict = None if found is None else "yes" if target.is_reached(found) else "**no**"
        rows.append((target.says, f"{target.bound} {target.limit:g}", found, verdict))
    return Table("Must reach", ("ratio", "required", "measured", "reached"), rows)

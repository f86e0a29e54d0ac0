"""What was measured, kept in a file from which the documents are written.

A bench that runs again replaces its own record; records of another machine or other versions go.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.campaign import Outcome
from benchmarks.table import Table
from benchmarks.worker_process import ROOT

RESULTS = ROOT / ".benchmarks" / "results.json"
QUICK_RESULTS = ROOT / ".benchmarks" / "results-quick.json"


@dataclass(frozen=True)
class Record:
    """One bench's outcome, when it began, and how long it took."""

    began_at: str
    took_secs: float
    command: str
    outcome: Outcome

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Record":
        outcome = stored["outcome"]
        tables = [Table(**table) for table in outcome["tables"]]
        return cls(
            stored["began_at"], stored["took_secs"], stored["command"], Outcome(tables, outcome["figures"])
        )


@dataclass(frozen=True)
class Records:
    """The records of the benches, by name, and the machine that they all are of."""

    machine: Mapping[str, str]
    benches: Mapping[str, Record]

    @property
    def figures(self) -> dict[str, float]:
        return {
            name: figure
            for record in self.benches.values()
            for name, figure in record.outcome.figures.items()
        }

    def merged_into(self, older: "Records | None") -> "Records":
        """Return these and those of *older* that they do not replace."""
        if older is None or older.machine != self.machine:
            return self
        return Records(self.machine, {**older.benches, **self.benches})


def read_records(path: Path) -> Records | None:
    """Return what is stored; None if nothing is."""
    if not path.exists():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    return Records(
        stored["machine"], {name: Record.from_json(one) for name, one in stored["benches"].items()}
    )


def write_records(records: Records, path: Path) -> None:
    """Store *records*, whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(records), indent=1) + "\n", encoding="utf-8")
    partial.replace(path)

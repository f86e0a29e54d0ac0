"""``python -m benchmarks``: run benches side by side on one server, print and keep what they found."""

import argparse
import asyncio
import shlex
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from benchmarks import (
    as_of,
    balances,
    changes,
    growth,
    posting,
    processor_time,
    round_trips,
    storage,
    streaming,
    withdrawals,
    writers,
)
from benchmarks.campaign import Campaign, Outcome, open_campaign
from benchmarks.collector import quieten_collector
from benchmarks.document import write_document
from benchmarks.machine import describe_machine, machine_table
from benchmarks.records import QUICK_RESULTS, RESULTS, Record, Records, read_records, write_records
from benchmarks.scale import FULL, QUICK
from benchmarks.targets import TARGETS, targets_table

# Those that need the filled ledgers as they were filled come before the one that posts to them.
BENCHES: dict[str, Callable[[Campaign], Awaitable[Outcome]]] = {
    "posting": posting.run,
    "writers": writers.run,
    "withdrawals": withdrawals.run,
    "round_trips": round_trips.run,
    "processor_time": processor_time.run,
    "storage": storage.run,
    "streaming": streaming.run,
    "changes": changes.run,
    "as_of": as_of.run,
    "balances": balances.run,
    "growth": growth.run,
}


def parse_arguments(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "benches", nargs="*", metavar="bench", help=f"one of {', '.join(BENCHES)}; all of them"
    )
    parser.add_argument("--quick", action="store_true", help="a small campaign, to see that everything runs")
    parser.add_argument("--write-docs", action="store_true", help="write the tables of docs/benchmarks.md")
    parser.add_argument("--last", action="store_true", help="run nothing, show what was measured last")
    arguments = parser.parse_args(given)
    if unknown := sorted(set(arguments.benches) - BENCHES.keys()):
        parser.error(f"no bench {unknown[0]!r}; there are {', '.join(BENCHES)}")
    if arguments.quick and arguments.write_docs:
        parser.error("--quick measures too little for the documents")
    return arguments


async def run_benches(names: Sequence[str], *, quick: bool, command: str) -> tuple[Records, list[str]]:
    """Run benches one after the other; return what they found and the names of those that failed."""
    done: dict[str, Record] = {}
    failed: list[str] = []
    async with open_campaign(QUICK if quick else FULL) as campaign:
        machine = await describe_machine(campaign.client)
        print(machine_table(machine).titled())
        for name in names:
            print(f"\n{name} …", flush=True)
            began_at, began = datetime.now(UTC), time.perf_counter()
            try:
                outcome = await BENCHES[name](campaign)
            except Exception:  # noqa: BLE001 - the other benches still have something to say
                traceback.print_exc()
                failed.append(name)
                continue
            finally:
                await campaign.drop_databases(keep_ledgers=True)
            took_secs = time.perf_counter() - began
            done[name] = Record(f"{began_at:%Y-%m-%d %H:%M} UTC", took_secs, command, outcome)
            print(f"  {took_secs:.0f} s\n")
            print("\n\n".join(table.titled() for table in outcome.tables), flush=True)
    return Records(machine, done), failed


def main(given: Sequence[str]) -> int:
    """Run the command; return 1 if a bench failed, whatever the others found."""
    arguments = parse_arguments(given)
    path = QUICK_RESULTS if arguments.quick else RESULTS
    records, failed = read_records(path), list[str]()
    if not arguments.last:
        names = [name for name in BENCHES if name in (arguments.benches or BENCHES)]
        command = shlex.join(["python", "-m", "benchmarks", *given])
        quieten_collector()
        found, failed = asyncio.run(run_benches(names, quick=arguments.quick, command=command))
        records = found if arguments.quick else found.merged_into(records)
        write_records(records, path)
    if records is None:
        print("nothing was measured yet", file=sys.stderr)
        return 1
    if any(target.figure in records.figures for target in TARGETS):
        print(f"\n{targets_table(records.figures).titled()}")
    print(f"\nkept in {path}")
    if arguments.write_docs:
        write_document(records)
    if failed:
        print(f"failed: {', '.join(failed)}; the reasons are above", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""The tables of ``docs/benchmarks.md``, written between markers; the words around them are left alone."""

import re
from collections.abc import Mapping

from benchmarks.machine import machine_table
from benchmarks.records import Record, Records
from benchmarks.targets import targets_table
from benchmarks.worker_process import ROOT

DOCUMENT = ROOT / "docs" / "benchmarks.md"


class MissingMarkersError(Exception):
    """The document has no place for a section."""


def write_document(records: Records) -> None:
    """Put the tables of *records* in their places.

    Raises:
        MissingMarkersError: If there is no place for one; nothing is written.
    """
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(with_sections(text, sections(records)), encoding="utf-8")


def sections(records: Records) -> Mapping[str, str]:
    """Return each section of the document by the name of its markers."""
    return {
        "machine": machine_table(records.machine).to_markdown(),
        "targets": targets_table(records.figures).to_markdown(),
        **{name: _section(record) for name, record in records.benches.items()},
    }


def _section(record: Record) -> str:
    tables = record.outcome.tables
    # The heading in the document says what a lone table is of.
    shown = (
        [tables[0].to_markdown()]
        if len(tables) == 1
        else [f"**{table.title}**\n\n{table.to_markdown()}" for table in tables]
    )
    source = f"`{record.command}`, {record.began_at}, {record.took_secs:.0f} s."
    return "\n\n".join([*shown, source])


def with_sections(text: str, contents: Mapping[str, str]) -> str:
    """Return *text* with each section's content between its two markers."""
    for name, content in contents.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise MissingMarkersError(f"{DOCUMENT.name} has no place for {name!r}: add {begin} and {end}")
        block = f"{begin}\n\n{content}\n\n{end}"
        text = pattern.sub(lambda _, block=block: block, text)  # type: ignore[misc]
    return text

"""Group commit as metrics of the process that posts."""

import asyncio
from dataclasses import fields
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from exporters.commits import CommitCollector, commit_families
from medici_py import Book, CommitStats, init_models


def test_every_figure_has_a_metric() -> None:
    """A field that is added to the figures must not be forgotten here."""
    distinct = CommitStats(*range(1, len(fields(CommitStats)) + 1))
    samples = [sample.value for family in commit_families({"bank": distinct}) for sample in family.samples]
    assert sorted(samples) == list(range(1, len(fields(CommitStats)) + 1))


def test_families_are_named_before_anything_is_known() -> None:
    """A registry can then tell clashes."""
    described = list(CommitCollector({}).describe())
    assert [family.samples for family in described] == [[]] * len(fields(CommitStats))
    assert all(family.name.startswith("medici_commit_") and family.documentation for family in described)


async def test_scrape_shows_what_a_book_has_committed(mongo_database: Any) -> None:
    """Through a registry, as an application would."""
    await init_models(mongo_database)
    registry = CollectorRegistry()
    async with Book("Bank", mongo_database) as book:
        registry.register(CommitCollector({"bank": lambda: book.commit_stats}))
        await asyncio.gather(*(book.entry("x").debit("A", 1).credit("B", 1).commit() for _ in range(5)))
        text = generate_latest(registry).decode()
    assert 'medici_commit_units_total{database="bank"} 5.0' in text
    assert 'medici_commit_waiting{database="bank"} 0.0' in text
    assert registry.get_sample_value("medici_commit_transactions_total", {"database": "bank"}) >= 1

"""Trace context goes from the trade to the journal, to whoever follows the journals, and into the logs."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext, TraceFlags

from medici_py import JournalPosted, open_changes
from stablesats.ledger import STABLESATS_BOOK, Ledger
from stablesats.tracing import (
    TRACEPARENT,
    add_trace_ids,
    context_from,
    context_of,
    continued,
    current_traceparent,
    start_span,
    traceparent_of,
)
from stablesats.trades import Trades, Unit, UserTrade

CONTEXT = SpanContext(
    trace_id=0x0AF7651916CD43DD8448EB211C80319C,
    span_id=0xB7AD6B7169203331,
    is_remote=False,
    trace_flags=TraceFlags(TraceFlags.SAMPLED),
)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass(frozen=True)
class Traced:
    """A journal as far as tracing looks at it."""

    metadata: Mapping[str, Any] | None


def ids(context: SpanContext) -> tuple[int, int]:
    return context.trace_id, context.span_id


def test_context_has_a_text_and_the_text_its_context() -> None:
    """As W3C spells it."""
    assert traceparent_of(CONTEXT) == PARENT
    found = trace.get_current_span(context_from(PARENT)).get_span_context()
    assert (ids(found), found.is_remote) == (ids(CONTEXT), True)


def test_nobody_traces_is_no_text() -> None:
    """Rather than one of zeros."""
    assert traceparent_of(INVALID_SPAN_CONTEXT) is None
    assert current_traceparent() is None


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {TRACEPARENT: None}, {TRACEPARENT: 5}, {TRACEPARENT: "nonsense"}, {TRACEPARENT: PARENT[:-4]}],
)
def test_journal_without_a_usable_context_begins_a_new_trace(metadata: Mapping[str, Any] | None) -> None:
    """Journals of others, and from before there was tracing."""
    span = trace.get_current_span(context_of(Traced(metadata)))
    assert not span.get_span_context().is_valid


def test_context_does_not_depend_on_the_span_that_is_active_here() -> None:
    """A consumer's own span is not the trade's."""
    with trace.use_span(NonRecordingSpan(CONTEXT)):
        span = trace.get_current_span(context_of(Traced({})))
    assert not span.get_span_context().is_valid


def test_span_goes_on_from_its_parent_without_any_sdk() -> None:
    """It records nothing then, but loses nothing either."""
    span = start_span("test", traceparent=PARENT, attributes={"trade.id": "t1"})
    assert ids(span.get_span_context())[0] == CONTEXT.trace_id
    span.end()


def test_log_record_has_the_ids_of_the_active_span() -> None:
    """And none without one."""
    assert add_trace_ids(None, "info", {"event": "x"}) == {"event": "x"}
    with trace.use_span(NonRecordingSpan(CONTEXT)):
        assert add_trace_ids(None, "info", {"event": "x"}) == {
            "event": "x",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "span_id": "b7ad6b7169203331",
        }


def test_block_that_goes_on_from_a_trace_belongs_to_it_and_nothing_else() -> None:
    """Not to the span around it either, if the trace is not known."""
    with trace.use_span(NonRecordingSpan(CONTEXT)), continued(PARENT.replace("0af", "1af")):
        assert str(add_trace_ids(None, "info", {})["trace_id"]).startswith("1af")
    with trace.use_span(NonRecordingSpan(CONTEXT)):
        with continued(None):
            assert add_trace_ids(None, "info", {}) == {}
        assert "trace_id" in add_trace_ids(None, "info", {})


async def test_consumer_of_changes_continues_the_trace_of_the_trade(ledger: Ledger) -> None:
    """From the request of a user to what the journal sets off."""
    trades = Trades(ledger)
    await trades.prepare()
    trade = UserTrade(
        id="t1",
        timestamp=datetime(2026, 9, 1, tzinfo=UTC),
        buy_unit=Unit.USD_CENT,
        buy_amount=5,
        sell_unit=Unit.SATOSHI,
        sell_amount=100,
    )
    async with open_changes(ledger.database, {STABLESATS_BOOK}) as changes:
        with trace.use_span(NonRecordingSpan(CONTEXT)):
            await trades.book(trade)
        async with asyncio.timeout(30):
            change = await anext(aiter(changes))
    assert isinstance(change, JournalPosted)
    found = trace.get_current_span(context_of(change.journal)).get_span_context()
    assert ids(found) == ids(CONTEXT)

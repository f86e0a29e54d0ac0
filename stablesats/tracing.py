"""Trace context (W3C, OpenTelemetry) on its way from a trade to its journal, to its events, to the logs.

Only the API of OpenTelemetry is needed: without an SDK spans record nothing, but the context that somebody
else began is passed on all the same.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, format_span_id, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.typing import EventDict

TRACEPARENT: Final = "traceparent"
"""The key of the context in a journal's metadata. Source: W3C Trace Context."""

_SCOPE: Final = "stablesats"
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class TracedJournal(Protocol):
    """The part of a `medici_py.Journal` that holds its trace context."""

    @property
    def metadata(self) -> Mapping[str, Any] | None:
        """What was stored with the journal."""


def context_from(traceparent: str | None) -> Context:
    """The context that *traceparent* names; an empty one if it names none."""
    return _PROPAGATOR.extract({} if traceparent is None else {TRACEPARENT: traceparent}, Context())


def context_of(journal: TracedJournal) -> Context:
    """The context in which *journal* was posted, for spans that go on from there; empty if unknown.

    A consumer of the change stream continues the trade's trace with
    ``tracer.start_as_current_span("...", context=context_of(event.journal))``.
    """
    traceparent = (journal.metadata or {}).get(TRACEPARENT)
    return context_from(traceparent if isinstance(traceparent, str) else None)


def traceparent_of(context: SpanContext) -> str | None:
    """The text that names *context* elsewhere; None if it is not valid (nobody traces)."""
    if not context.is_valid:
        return None
    return (
        f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-{context.trace_flags:02x}"
    )


def current_traceparent() -> str | None:
    """`traceparent_of` the span that is active here; None without one."""
    return traceparent_of(trace.get_current_span().get_span_context())


def start_span(name: str, *, traceparent: str | None, attributes: Mapping[str, str]) -> Span:
    """Begin a span that goes on from *traceparent*; whoever calls this ends it."""
    tracer = trace.get_tracer(_SCOPE)
    return tracer.start_span(name, context=context_from(traceparent), attributes=dict(attributes))


@contextmanager
def continued(traceparent: str | None) -> Iterator[None]:
    """Let log records and spans of the block belong to the trace of *traceparent*, if it names one."""
    with trace.use_span(trace.get_current_span(context_from(traceparent))):
        yield


def add_trace_ids(_logger: object, _method: str, event_dict: EventDict) -> EventDict:
    """Give a log record the ids of the active span, if there is one: a processor of structlog."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event_dict["trace_id"] = format_trace_id(context.trace_id)
        event_dict["span_id"] = format_span_id(context.span_id)
    return event_dict

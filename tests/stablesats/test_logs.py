"""Log records: one line each, on standard error, ours and those of the libraries below us."""

import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest


def logged(body: str, log_format: str) -> str:
    """What a process writes to standard error; nothing may go to standard output."""
    script = f"""
import logging, structlog
from stablesats.logs import LogFormat, configure_logging
configure_logging(LogFormat("{log_format}"))
log = structlog.get_logger("test")
{textwrap.dedent(body)}
"""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, text=True, timeout=30
    )
    assert ended.stdout == ""
    return ended.stderr


def records(body: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logged(body, "json").splitlines()]


def test_json_record_has_level_time_and_every_field() -> None:
    """For machines."""
    [record] = records('log.warning("order refused", action="order-refused", code="51008")')
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "event": "order refused",
        "action": "order-refused",
        "code": "51008",
        "level": "warning",
    }


def test_record_inside_a_span_names_it() -> None:
    """Ours and those of libraries; so that a record leads to its trace."""
    found = records("""
    from opentelemetry import trace
    span = trace.NonRecordingSpan(trace.SpanContext(trace_id=10, span_id=11, is_remote=False))
    with trace.use_span(span):
        log.info("trade booked")
        logging.getLogger("medici_py").warning("slow")
    """)
    assert [record["trace_id"] for record in found] == [f"{10:032x}"] * 2
    assert [record["span_id"] for record in found] == [f"{11:016x}"] * 2


def test_traceback_in_json_stays_on_its_line() -> None:
    """As a field of the record."""
    [record] = records("""
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("look failed")
    """)
    assert record["level"] == "error"
    assert "ZeroDivisionError: division by zero" in record["exception"]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_traceback_shows_no_local_variables(log_format: str) -> None:
    """They may hold secrets; and a traceback causes no warning of the logging library."""
    text = logged(
        """
        def sign(secret):
            raise ValueError("cannot sign")
        try:
            sign("s3" + "cr3t")
        except ValueError:
            log.exception("look failed")
        """,
        log_format,
    )
    assert "cannot sign" in text
    assert "s3cr3t" not in text


def test_console_record_is_readable_and_without_colours_in_a_file() -> None:
    """For people; escape sequences only on a terminal."""
    text = logged('log.info("engine is watching", action="engine-ready")', "console")
    assert "engine is watching" in text
    assert "action=engine-ready" in text
    assert "\x1b" not in text


def test_records_below_the_level_are_dropped() -> None:
    """Debugging is off unless asked for."""
    assert records('log.debug("noise")') == []


def test_warnings_of_libraries_are_records_too() -> None:
    """Those that use the standard library's logging; their information is not."""
    found = records("""
    logging.getLogger("medici_py.live_balances").warning("interrupted: %s", "gone")
    logging.getLogger("aiohttp.access").info("GET /metrics")
    """)
    [record] = found
    assert record.pop("timestamp").endswith("Z")
    assert record == {"event": "interrupted: gone", "level": "warning", "logger": "medici_py.live_balances"}

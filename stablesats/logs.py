"""Logging of the dealer's commands: structured records on standard error, for people or for machines."""

import logging
import sys
from enum import StrEnum

import structlog
from structlog.typing import Processor

from stablesats.tracing import add_trace_ids


class LogFormat(StrEnum):
    """How log records are written."""

    CONSOLE = "console"
    JSON = "json"


def configure_logging(log_format: LogFormat = LogFormat.CONSOLE, *, level: int = logging.INFO) -> None:
    """Send our records of *level* and above, and other libraries' warnings and errors, to standard error.

    A record is one line; for people a traceback follows on lines of its own. Local variables are never
    shown: they may hold secrets.
    """
    before_rendering: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_trace_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers = _renderers(log_format)
    structlog.configure(
        processors=[*before_rendering, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    foreign = logging.StreamHandler(sys.stderr)
    foreign.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *before_rendering],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(handlers=[foreign], level=max(level, logging.WARNING), force=True)


def _renderers(log_format: LogFormat) -> list[Processor]:
    match log_format:
        case LogFormat.JSON:
            return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        case LogFormat.CONSOLE:
            return [
                structlog.dev.ConsoleRenderer(
                    colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
                )
            ]

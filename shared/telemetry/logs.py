"""Structured logs: an event name plus fields, one line each on stderr, as text for people or as JSON for collectors.

    log = get_logger(__name__)
    log.warning("outbox.sweep_failed", service="closer", error=error)

Event names are `<subject>.<what_happened>`, stable, and never hold values. Ids that hold for a whole piece of work are
bound once with `bound(run_id=..., thread_id=...)` and stand on every line written inside it. Secrets never belong in a
field; `redact_with` installs a last filter for texts of vendors and parsers that may repeat one.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

Format = Literal["text", "json"]
bound = bound_contextvars
# Chatter about absent brokers is ours to report.
LIBRARY_LEVELS = {
    "aiokafka": "ERROR",
    "aiokafka.conn": "CRITICAL",
    "aiokafka.cluster": "CRITICAL",
    "aiokafka.consumer.group_coordinator": "CRITICAL",
    "aiokafka.consumer.fetcher": "CRITICAL",
    "aiohttp.access": "WARNING",
    "httpx2": "WARNING",
    "openai": "WARNING",
    "anthropic": "WARNING",
    "opentelemetry": "ERROR",  # what was not taken; not each time it is tried again
}

_service = ""


def _unredacted(text: str) -> str:
    return text


_redact: Callable[[str], str] = _unredacted


def get_logger(name: str) -> FilteringBoundLogger:
    """The logger of a module. `name` is its dotted name; the last part goes on the line."""
    logger: FilteringBoundLogger = structlog.get_logger(module=name.rpartition(".")[2])
    return logger


def configure(service: str, level: str = "INFO", output: Format = "text") -> None:
    """Send all logs of this process to stderr, those of libraries too."""
    global _service
    _service = service
    render = _as_json if output == "json" else _as_text
    structlog.configure(
        processors=[merge_contextvars, _stamped, structlog.processors.format_exc_info, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LibraryLine(render))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, floor in LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(floor)


def redact_with(redact: Callable[[str], str]) -> None:
    """Pass every finished line through this function before it is written."""
    global _redact
    _redact = redact


def _stamped(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"time": at, "level": "error" if method == "exception" else method, "service": _service, **event}


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return _redact(orjson.dumps(dict(event), default=str).decode())


def _as_text(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """`12:00:01.250 closer  warning outbox.sweep_failed error="..."`; a traceback follows on lines of its own."""
    fields = dict(event)
    head = f"{fields.pop('time')[11:23]} {fields.pop('service'):<15} {fields.pop('level'):<7} {fields.pop('event')}"
    fields.pop("module", None)
    trace = fields.pop("exception", None)
    line = " ".join([head, *(f"{name}={_value(value)}" for name, value in fields.items())])
    return _redact(f"{line}\n{trace}" if trace else line)


def _value(value: Any) -> str:
    text = str(value)
    return text if text and not re.search(r'[\s"=]', text) else orjson.dumps(text).decode()


class _LibraryLine(logging.Formatter):
    """Lines of libraries, in the form of ours."""

    def __init__(self, render: Callable[[WrappedLogger, str, EventDict], str]) -> None:
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        event: EventDict = {"event": "library", "library": record.name, "message": record.getMessage()}
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return self._render(None, "", _stamped(None, record.levelname.lower(), event))

"""Logs: one readable line per decision on stderr, prefixed with the service. Ids are bound where they are known."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime


class _Line(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        line = f"{at} {self._service:<15} {record.levelname:<7} {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def configure(service: str, level: str = "INFO") -> None:
    """Send all logs of this process to stderr. aiokafka's chatter about absent brokers is ours to report."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy, floor in (("aiokafka", "ERROR"), ("httpx2", "WARNING"), ("openai", "WARNING"), ("anthropic", "WARNING")):
        logging.getLogger(noisy).setLevel(floor)
    for chatty in (
        "aiokafka.conn",
        "aiokafka.cluster",
        "aiokafka.consumer.group_coordinator",
        "aiokafka.consumer.fetcher",
    ):
        logging.getLogger(chatty).setLevel("CRITICAL")
    logging.getLogger("aiohttp.access").setLevel("WARNING")

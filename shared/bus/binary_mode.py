"""CloudEvents in Kafka's binary mode as our own services write them, without the `cloudevents` package, whose general reader
and writer took a sixth of the gateway's CPU a call.

`read` takes only records in the plain shape that `write` gives them, for which it finds exactly what the package finds
(`tests/unit/test_binary_mode.py` compares the two); it returns None for any other, and the package reads that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

PREFIX = "ce_"
CONTENT_TYPE = "content-type"
JSON = b"application/json"
REQUIRED = ("id", "source", "type", "specversion")
_NAME = re.compile(r"[a-z0-9]+\Z")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?(Z|[+-]\d\d:\d\d)\Z", re.ASCII)
_LARGE_NUMBER = re.compile(rb"\d{19}")  # orjson makes floats of integers over 64 bits, the package does not


@dataclass(frozen=True, slots=True)
class Event:
    """What a record says. The methods are those of the package's event."""

    attributes: dict[str, Any]
    data: Any

    def get_attributes(self) -> dict[str, Any]:
        return self.attributes

    def get_data(self) -> Any:
        return self.data


def read(headers: Mapping[str, bytes], value: bytes) -> Event | None:
    """A record in the plain shape; None for any other. Names of headers are in lower case."""
    if headers.get(CONTENT_TYPE) != JSON or _LARGE_NUMBER.search(value):
        return None
    try:
        attributes = _attributes(headers)
        data = orjson.loads(value)
    except ValueError:
        return None
    return None if attributes is None else Event(attributes, data)


def write(attributes: Mapping[str, Any], data: Any) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Value and headers of a record with these attributes, which must be valid ones."""
    headers = []
    for name, value in attributes.items():
        text = _rfc3339(value) if isinstance(value, datetime) else value
        headers.append((CONTENT_TYPE if name == "datacontenttype" else PREFIX + name, text.encode()))
    return orjson.dumps(data), headers


def _attributes(headers: Mapping[str, bytes]) -> dict[str, Any] | None:
    found: dict[str, Any] = {"datacontenttype": "application/json"}
    for header, raw in headers.items():
        if not header.startswith(PREFIX):
            continue
        name, text = header[len(PREFIX) :], raw.decode()
        if not text or not _NAME.match(name) or name in ("data", "datacontenttype"):
            return None
        found[name] = text
    if not _TIME.match(found.get("time", "")) or any(name not in found for name in REQUIRED):
        return None
    found["time"] = datetime.fromisoformat(found["time"])
    return found


def _rfc3339(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")

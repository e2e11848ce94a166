"""The envelope every message travels in: a CloudEvent 1.0, read and written in Kafka's binary or structured mode.

The `cloudevents` package does the wire format; this module adds what it leaves open: a missing id is an error (the
package would invent one, and the message could then never be recognised as a repeat), sizes are bounded, and the
Kafka header `traceparent` wins over the extension of the same name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from shared.bus import topics
from shared.errors import BadInput

_FORMAT = JSONFormat()
Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Message:
    """A CloudEvent with its Kafka key. `data` is a JSON object; `conversation_id` and `traceparent` are extensions."""

    id: str
    source: str
    type: str
    data: dict[str, Any]
    time: datetime
    subject: str | None = None
    conversation_id: str | None = None
    traceparent: str | None = None
    extensions: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.conversation_id or self.subject or self.id

    def with_conversation(self, conversation_id: str) -> Message:
        return replace(self, conversation_id=conversation_id)

    def to_kafka(self, *, structured: bool = False) -> tuple[bytes, bytes, Headers]:
        """(key, value, headers) of a Kafka record."""
        write = to_structured if structured else to_binary
        record = write(self._cloud_event(), _FORMAT)
        headers = [(name, value) for name, value in record.headers.items()]
        if self.traceparent:
            headers.append((topics.HEADER_TRACEPARENT, self.traceparent.encode()))
        return self.key.encode(), bytes(record.value), headers

    def to_json(self) -> dict[str, Any]:
        """The structured-mode JSON object, as `viox publish` reads it."""
        loaded = orjson.loads(_FORMAT.write(self._cloud_event()))
        assert isinstance(loaded, dict)  # noqa: S101  # the format writes an object
        return loaded

    def _cloud_event(self) -> CloudEvent:
        attributes: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "time": self.time,
            "datacontenttype": "application/json",
            **self.extensions,
        }
        if self.subject:
            attributes["subject"] = self.subject
        if self.conversation_id:
            attributes["conversationid"] = self.conversation_id
        if self.traceparent:
            attributes["traceparent"] = self.traceparent
        return CloudEvent(attributes, self.data)


def parse_record(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Message:
    """Read a Kafka record, binary or structured. Raises BadInput that names the attribute at fault."""
    given = {name.lower(): raw for name, raw in headers}
    if value is not None and len(value) > topics.MAX_RECORD_BYTES:
        raise _too_large(len(value))
    binary = any(name.startswith(topics.CE_PREFIX) for name in given)
    if binary:
        _require({name.removeprefix(topics.CE_PREFIX): raw for name, raw in given.items()})
    else:
        _require(_json_object(value or b""))
    try:
        event = from_kafka(KafkaMessage(headers=given, key=None, value=value or b""), _FORMAT)
    except Exception as error:  # the package raises several unrelated types for bad input
        raise BadInput(
            "event.malformed", f"not a CloudEvent 1.0: {error}.", remedy="Send specversion, id, source, type and data."
        ) from error
    trace = given.get(topics.HEADER_TRACEPARENT)
    return _message(event, trace.decode() if trace else None)


def parse_json(document: dict[str, Any]) -> Message:
    """Read a structured-mode JSON object. Raises BadInput that names the attribute at fault."""
    size = len(orjson.dumps(document))
    if size > topics.MAX_RECORD_BYTES:
        raise _too_large(size)
    return parse_record(orjson.dumps(document), [(topics.CONTENT_TYPE, topics.STRUCTURED_CONTENT_TYPE.encode())])


def _too_large(size: int) -> BadInput:
    return BadInput(
        "event.too_large",
        f"{size:,} bytes are more than the {topics.MAX_RECORD_BYTES:,} a record may have.",
        field="data",
        remedy="Store the payload where you can link to it and send the link.",
    )


def _require(attributes: dict[str, Any]) -> None:
    for name in ("specversion", "id", "source", "type"):
        if not attributes.get(name):
            raise BadInput(
                "event.malformed",
                f"the CloudEvents attribute {name!r} is missing.",
                field=name,
                remedy="Every event needs specversion, id, source and type.",
            )


def _json_object(value: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise BadInput(
            "event.malformed", f"the value is not JSON: {error}.", field="value", remedy="Send a CloudEvent as JSON."
        ) from error
    if not isinstance(document, dict):
        raise BadInput("event.malformed", "the value is not a JSON object.", field="value", remedy="Send one object.")
    return document


_KNOWN = {"specversion", "id", "source", "type", "time", "datacontenttype", "dataschema", "subject"}
_OURS = {"conversationid", "traceparent", "partitionkey"}


def _message(event: Any, header_trace: str | None) -> Message:
    attributes = event.get_attributes()
    data = event.get_data()
    if isinstance(data, str | bytes) or data is None:
        try:
            data = orjson.loads(data or b"{}")
        except orjson.JSONDecodeError as error:
            raise BadInput(
                "event.invalid_data", f"data is not JSON: {error}.", field="data", remedy="Send JSON data."
            ) from error
    if not isinstance(data, dict):
        raise BadInput("event.invalid_data", "data must be a JSON object.", field="data", remedy="Send an object.")
    return Message(
        id=str(attributes["id"]),
        source=str(attributes["source"]),
        type=str(attributes["type"]),
        data=data,
        time=attributes.get("time") or datetime.now(UTC),
        subject=attributes.get("subject"),
        conversation_id=attributes.get("conversationid"),
        traceparent=header_trace or attributes.get("traceparent"),
        extensions={k: str(v) for k, v in attributes.items() if k not in _KNOWN and k not in _OURS},
    )

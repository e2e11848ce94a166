"""The envelope every message travels in: a CloudEvent 1.0, read and written in Kafka's binary or structured mode.

The `cloudevents` package does the wire format; `binary_mode` does it for records as plain as our own. This module adds
what the package leaves open: a missing id is an error (the package would invent one, and the message could then never be
recognised as a repeat), sizes are bounded, and the Kafka header `traceparent` wins over the extension of the same name.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from shared.bus import binary_mode, topics
from shared.errors import BadInput, Conflict

Headers = list[tuple[str, bytes]]
MAX_ATTRIBUTE = 512  # characters of an id, source, type, subject or conversation: they are keys of tables
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")


class _Json(JSONFormat):  # type: ignore[misc]  # the package carries no types
    """Data as UTF-8, not \\u-escaped: what was measured when it was accepted is what is sent."""

    def write_data(self, data: Any, datacontenttype: str | None) -> bytes:
        return orjson.dumps(data)


_FORMAT = _Json()


def headers_to_json(headers: Iterable[tuple[str, bytes]]) -> list[list[str]]:
    """Header values byte for byte (Latin-1), for a JSON column."""
    return [[name, (raw or b"").decode("latin-1")] for name, raw in headers]


def headers_from_json(stored: Iterable[Sequence[str]]) -> Headers:
    """The inverse of `headers_to_json`."""
    return [(name, value.encode("latin-1")) for name, value in stored]


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

    def says_the_same(self, other: Message) -> bool:
        """Whether type and data agree; how it travelled does not matter."""
        return (self.type, self.data) == (other.type, other.data)

    def to_kafka(self, *, structured: bool = False) -> tuple[bytes, bytes, Headers]:
        """(key, value, headers) of a Kafka record."""
        if not structured and self._plain:
            value, headers = binary_mode.write(self._attributes(), self.data)
        else:
            write = to_structured if structured else to_binary
            record = write(CloudEvent(self._attributes(), self.data), _FORMAT)
            value, headers = bytes(record.value), list(record.headers.items())
        if self.traceparent:
            headers.append((topics.HEADER_TRACEPARENT, self.traceparent.encode()))
        return self.key.encode(), value, headers

    def to_json(self) -> dict[str, Any]:
        """The structured-mode JSON object, as `viox publish` reads it."""
        loaded = orjson.loads(_FORMAT.write(CloudEvent(self._attributes(), self.data)))
        assert isinstance(loaded, dict)  # noqa: S101  # the format writes an object
        return loaded

    @property
    def _plain(self) -> bool:
        """Nothing in here needs the package's checks."""
        return bool(self.id and self.source and self.type and self.time.tzinfo and not self.extensions)

    def _attributes(self) -> dict[str, Any]:
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
        return attributes


def conflict(message: Message) -> Conflict:
    """The error of an identity that already stands for something else."""
    return Conflict(
        "event.conflict",
        f"{message.id} from {message.source} was accepted before with other content; this one is refused.",
        field="id",
        remedy="A new event needs a new id.",
    )


def parse_record(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Message:
    """Read a Kafka record, binary or structured. Raises BadInput that names the attribute at fault."""
    given = {name.lower(): raw or b"" for name, raw in headers}
    if value is not None and len(value) > topics.MAX_RECORD_BYTES:
        raise _too_large(len(value))
    binary = any(name.startswith(topics.CE_PREFIX) for name in given)
    if binary:
        _require({name.removeprefix(topics.CE_PREFIX): _text(name, raw) for name, raw in given.items()})
    else:
        _require(_json_object(value or b""))
    try:
        plain = binary_mode.read(given, value or b"") if binary else None
        event = plain or from_kafka(KafkaMessage(headers=given, key=None, value=value or b""), _FORMAT)
    except Exception as error:  # the package raises several unrelated types for bad input
        raise BadInput(
            "event.malformed", f"not a CloudEvent 1.0: {error}.", remedy="Send specversion, id, source, type and data."
        ) from error
    trace = given.get(topics.HEADER_TRACEPARENT)
    return _message(event, _text(topics.HEADER_TRACEPARENT, trace) if trace else None)


def identity(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> tuple[str | None, str | None]:
    """Source and id of a record that may be unreadable otherwise; (None, None) when it does not say both."""
    given: dict[str, Any] = {name.lower(): raw or b"" for name, raw in headers}
    found = [given.get(f"{topics.CE_PREFIX}{name}", b"").decode("utf-8", "replace") for name in ("source", "id")]
    if not any(found):
        with contextlib.suppress(orjson.JSONDecodeError, AttributeError):
            document = orjson.loads(value or b"")
            found = [document.get("source"), document.get("id")]
    try:
        source, message_id = (_attribute("id", one) for one in found)
    except BadInput:
        return None, None
    return (source, message_id) if source and message_id else (None, None)


def parse_json(document: dict[str, Any]) -> Message:
    """Read a structured-mode JSON object. Raises BadInput that names the attribute at fault."""
    try:
        raw = orjson.dumps(document)
    except TypeError as error:
        raise _unwritable(error) from error
    if len(raw) > topics.MAX_RECORD_BYTES:
        raise _too_large(len(raw))
    return parse_record(raw, [(topics.CONTENT_TYPE, topics.STRUCTURED_CONTENT_TYPE.encode())])


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
    if attributes["specversion"] != "1.0":
        raise BadInput(
            "event.malformed",
            f"specversion {attributes['specversion']!r} is not spoken here.",
            field="specversion",
            remedy="Send CloudEvents 1.0.",
        )


def _text(name: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadInput("event.malformed", f"the header {name!r} is not UTF-8.", field=name) from error


def _unwritable(error: Exception) -> BadInput:
    return BadInput(
        "event.invalid_data",
        f"data cannot be written as JSON: {error}.",
        field="data",
        remedy="Send integers of at most 64 bits and text without lone surrogates.",
    )


def _attribute(name: str, value: Any) -> str:
    """An attribute that becomes part of a table's key. Raises BadInput when it cannot."""
    if not isinstance(value, str) or "\x00" in value or not value.isprintable() or len(value) > MAX_ATTRIBUTE:
        raise BadInput(
            "event.malformed",
            f"{name} must be printable text of at most {MAX_ATTRIBUTE} characters.",
            field=name,
            remedy="Send a short text.",
        )
    return value


def has_nul(raw: bytes) -> bool:
    """Whether JSON holds a NUL character, which Postgres takes in no text."""
    return b"\\u0000" in raw and _NUL.search(raw) is not None


def _clean(data: dict[str, Any]) -> dict[str, Any]:
    """Data as every later reader and writer can take it."""
    try:
        raw = orjson.dumps(data)
    except TypeError as error:
        raise _unwritable(error) from error
    if len(raw) > topics.MAX_RECORD_BYTES:
        raise _too_large(len(raw))
    if has_nul(raw):
        raise BadInput("event.invalid_data", "data contains a NUL character.", field="data", remedy="Leave it out.")
    cleaned: dict[str, Any] = orjson.loads(raw)
    return cleaned


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
_KEYS = ("id", "source", "type", "subject", "conversationid")
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
    kept = {name: _attribute(name, attributes[name]) for name in _KEYS if attributes.get(name) is not None}
    trace = header_trace or attributes.get("traceparent")
    return Message(
        id=kept["id"],
        source=kept["source"],
        type=kept["type"],
        data=_clean(data),
        time=attributes.get("time") or datetime.now(UTC),
        subject=kept.get("subject"),
        conversation_id=kept.get("conversationid"),
        traceparent=trace if isinstance(trace, str) and _TRACEPARENT.match(trace) else None,
        extensions={k: _attribute(k, str(v)) for k, v in attributes.items() if k not in _KNOWN and k not in _OURS},
    )

"""The envelope every message travels in: a CloudEvent 1.0, read and written in Kafka's binary or structured mode.

Reading and writing are ours because they are on the hot path of every message; tests hold them against the `cloudevents`
package. A missing id is an error (a message without one could never be recognised as a repeat), sizes are bounded, and the
Kafka header `traceparent` wins over the extension of the same name.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from shared.bus import texts, topics
from shared.bus.identity import content, identified
from shared.errors import BadInput, Conflict
from shared.telemetry.digest import sha256_bytes
from shared.telemetry.trace import parse

Headers = list[tuple[str, bytes]]
MAX_ATTRIBUTE = 512  # characters of an id, source, type, subject or conversation: they are keys of tables
MAX_EXTENSION = 8192  # as much as W3C's baggage may have
MAX_ATTRIBUTE_BYTES = 1000  # of UTF-8: two of them fit into one index entry of Postgres
PARENT_RUN = "parentrunid"
OURS = "/viox"  # sources below it are services and tools of this deployment
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_LONG_NUMBER = re.compile(rb"\d{19,}")
_JSON_CONTENT = b"application/json"
_CE_PREFIX, _HTTP_PREFIX = topics.CE_PREFIX, "ce-"


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
        """Whether type and data agree; how it travelled does not matter, nor how often."""
        return self.type == other.type and content(self.type, self.data) == content(other.type, other.data)

    def to_kafka(self, *, structured: bool = False) -> tuple[bytes, bytes, Headers]:
        """(key, value, headers) of a Kafka record."""
        if structured:
            headers = [(topics.CONTENT_TYPE, topics.STRUCTURED_CONTENT_TYPE.encode())]
            value = orjson.dumps(self.to_json())
        else:
            headers = [(_CE_PREFIX + name, text.encode()) for name, text in self._attributes()]
            headers.append((topics.CONTENT_TYPE, _JSON_CONTENT))
            value = orjson.dumps(self.data)
        if self.traceparent:
            headers.append((topics.HEADER_TRACEPARENT, self.traceparent.encode()))
        return self.key.encode(), value, headers

    def to_json(self) -> dict[str, Any]:
        """The structured-mode JSON object, as `viox publish` reads it."""
        return {**dict(self._attributes()), "datacontenttype": "application/json", "data": self.data}

    def _attributes(self) -> Iterable[tuple[str, str]]:
        """Names and values of all attributes but datacontenttype, in the text form that both modes share."""
        yield "specversion", "1.0"
        yield "id", self.id
        yield "source", self.source
        yield "type", self.type
        yield "time", self.time.isoformat().replace("+00:00", "Z")
        yield from self.extensions.items()
        if self.subject:
            yield "subject", self.subject
        if self.conversation_id:
            yield "conversationid", self.conversation_id
        if self.traceparent:
            yield "traceparent", self.traceparent


def conflict(message: Message) -> Conflict:
    """The error of an identity that already stands for something else."""
    return Conflict(
        "event.conflict",
        f"{message.id} from {message.source} was accepted before with other content; this one is refused.",
        field="id",
        remedy="A new event needs a new id.",
    )


def parse_record(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Message:
    """Read a Kafka record, binary or structured. Raises BadInput that names the attribute at fault.

    In binary mode only `ce_*` (or, in their place, `ce-*`), `content-type` and `traceparent` are read: other headers are
    nobody's business, whatever bytes they hold. An attribute that is null or empty is as good as absent.
    """
    if value is not None and len(value) > topics.MAX_RECORD_BYTES:
        raise _too_large(len(value))
    given = _by_name(headers)
    content_type = given.get(topics.CONTENT_TYPE, b"").lower()
    if content_type.startswith(b"application/cloudevents-batch"):
        raise BadInput(
            "event.malformed", "a batch of CloudEvents is not taken.", field="content-type", remedy="Send one a record."
        )
    binary = not content_type.startswith(b"application/cloudevents") and any(n.startswith(_CE_PREFIX) for n in given)
    attributes, data = _binary(given, value) if binary else _structured(value)
    trace = given.get(topics.HEADER_TRACEPARENT)
    return _message(attributes, data, trace.decode("latin-1") if trace else None)


def _by_name(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, bytes]:
    """Headers by their names in small letters. Bridges from HTTP leave `ce-` where Kafka's binding has `ce_`."""
    given = {name.lower(): raw for name, raw in headers if raw is not None}
    if f"{_HTTP_PREFIX}specversion" not in given or any(name.startswith(_CE_PREFIX) for name in given):
        return given
    return {re.sub(f"^{_HTTP_PREFIX}", _CE_PREFIX, name): raw for name, raw in given.items()}


def _binary(given: Mapping[str, bytes], value: bytes | None) -> tuple[dict[str, Any], Any]:
    attributes = {n.removeprefix(_CE_PREFIX): _text(n, raw) for n, raw in given.items() if n.startswith(_CE_PREFIX)}
    _require(attributes)
    return attributes, value


def _structured(value: bytes | None) -> tuple[dict[str, Any], Any]:
    document = _json_object(value or b"")
    attributes = {name: found for name, found in document.items() if found is not None}
    data = attributes.pop("data", None)
    encoded = attributes.pop("data_base64", None)
    _require(attributes)
    return attributes, texts.decoded(encoded) if data is None and encoded is not None else data


def identity(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> tuple[str | None, str | None]:
    """Source and id of a record that may be unreadable otherwise; (None, None) when it does not say both."""
    given = _by_name(headers)
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
    if not isinstance(value, str) or not _is_key(value):
        raise BadInput(
            "event.malformed",
            f"{name} must be printable text of at most {MAX_ATTRIBUTE} characters and {MAX_ATTRIBUTE_BYTES} bytes.",
            field=name,
            remedy="Send a short text without line breaks or other control characters.",
        )
    return value


def _is_key(text: str) -> bool:
    if not text.isprintable() or len(text) > MAX_ATTRIBUTE:
        return False
    return len(text) <= MAX_ATTRIBUTE_BYTES // 4 or len(text.encode()) <= MAX_ATTRIBUTE_BYTES


def conversation_key(text: str) -> str:
    """A conversation's key from text that an upstream chose, for instance the number of its ticket.

    What cannot be an attribute of a message (a line break, a thousand characters) would stop every message of the
    conversation. Such text is replaced by its printable beginning and its digest, so that different texts stay different.
    """
    if _is_key(text):
        return text
    printable = "".join(c if c.isprintable() else " " for c in text[:MAX_ATTRIBUTE])
    digest = sha256_bytes(text.encode("utf-8", "surrogatepass"))[:32]
    return f"{printable[:100]}~{digest}"


def check_conversation(given: str | None) -> None:
    """Raises BadInput when a conversation that a person named cannot be a key."""
    if given is not None:
        _attribute("conversation", given)


def is_traceparent(text: str) -> bool:
    """Whether it has the form of W3C's header."""
    return parse(text) is not None


def is_ours(source: str) -> bool:
    """Whether a source names a service or a tool of this deployment."""
    return source == OURS or source.startswith(OURS + "/")


def refuse_reserved(message: Message) -> None:
    """Raises BadInput when an event from outside says that it comes from us, or from one of our runs."""
    if is_ours(message.source):
        raise BadInput(
            "event.reserved",
            f"sources below {OURS}/ are this deployment's own; {message.source!r} is refused.",
            field="source",
            remedy="Name the system the event comes from, for instance /crm.",
        )
    if PARENT_RUN in message.extensions:
        raise BadInput(
            "event.reserved",
            f"{PARENT_RUN} is set by agents on tasks for each other only.",
            field=PARENT_RUN,
            remedy="Leave it out.",
        )


def has_nul(raw: bytes) -> bool:
    """Whether JSON holds a NUL character, which Postgres takes in no text."""
    return b"\\u0000" in raw and _NUL.search(raw) is not None


def read_json(raw: bytes) -> Any:
    """JSON with every number exact. Raises BadInput where 64 bits do not hold one, ValueError when it is no JSON at all.

    Readers may ignore a byte order mark (RFC 8259, section 8.1); some producers write one.
    """
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if not _LONG_NUMBER.search(raw):
        return orjson.loads(raw)
    found = json.loads(raw)  # exact, where orjson would round
    try:
        orjson.dumps(found)
    except TypeError as error:
        raise _unwritable(error) from error
    return found


def _json_object(value: bytes) -> dict[str, Any]:
    try:
        document = read_json(value)
    except ValueError as error:
        raise BadInput(
            "event.malformed", f"the value is not JSON: {error}.", field="value", remedy="Send a CloudEvent as JSON."
        ) from error
    if not isinstance(document, dict):
        raise BadInput("event.malformed", "the value is not a JSON object.", field="value", remedy="Send one object.")
    return document


_KNOWN = {"specversion", "id", "source", "type", "time", "datacontenttype", "dataschema", "subject"}
_KEYS = ("id", "source", "type", "subject", "conversationid")
_OURS = {"conversationid", "traceparent", "partitionkey"}


def _message(attributes: Mapping[str, Any], data: Any, header_trace: str | None) -> Message:
    attributes = {name: value for name, value in attributes.items() if value != ""}
    kept = {name: _attribute(name, attributes[name]) for name in _KEYS if name in attributes}
    trace = header_trace or attributes.get("traceparent")
    read = _data(data)
    return Message(
        id=_attribute("id", identified(kept["type"], kept["id"], read)),
        source=kept["source"],
        type=kept["type"],
        data=read,
        time=texts.moment(attributes.get("time")),
        subject=kept.get("subject"),
        conversation_id=kept.get("conversationid"),
        traceparent=trace if isinstance(trace, str) and is_traceparent(trace) else None,
        extensions=dict(_extensions(attributes)),
    )


def _extensions(attributes: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Extension attributes in their text form (booleans as `true`), whatever their names' length."""
    for name, value in attributes.items():
        if name in _KNOWN or name in _OURS:
            continue
        text = str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else str(value)
        yield _attribute("extension", name), _extension(name, text)


def _extension(name: str, text: str) -> str:
    """An extension's text, which is no key: contexts of traces are longer than those. Raises BadInput when it cannot be kept."""
    if not text.isprintable() or len(text) > MAX_EXTENSION:
        raise BadInput(
            "event.malformed",
            f"{name} must be printable text of at most {MAX_EXTENSION} characters.",
            field=name,
            remedy="Send long values in data.",
        )
    return text


def _data(data: Any) -> dict[str, Any]:
    """The data as an object: given as one, or as JSON in text or bytes; nothing at all is an empty one."""
    raw: bytes | None = None
    if data is None or isinstance(data, str | bytes):
        raw = (data.encode() if isinstance(data, str) else data) or b"{}"
        try:
            data = read_json(raw)
        except ValueError as error:
            raise BadInput(
                "event.invalid_data", f"data is not JSON: {error}.", field="data", remedy="Send JSON data."
            ) from error
    if not isinstance(data, dict):
        raise BadInput("event.invalid_data", "data must be a JSON object.", field="data", remedy="Send an object.")
    if has_nul(raw if raw is not None else orjson.dumps(data)):
        raise BadInput("event.invalid_data", "data contains a NUL character.", field="data", remedy="Leave it out.")
    return data

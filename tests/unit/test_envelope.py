"""The envelope: both Kafka modes, and bad input named by attribute."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from shared.bus import topics
from shared.bus.envelope import Message, parse_json, parse_record
from shared.errors import BadInput

MESSAGE = Message(
    "e-1",
    "/shop",
    "viox.lead.created",
    {"email": "a@b.co", "note": "café ☕"},
    datetime(2026, 1, 2, tzinfo=UTC),
    subject="a@b.co",
    conversation_id="lead:a@b.co",
    extensions={"tenant": "x"},
)


@pytest.mark.parametrize("structured", [True, False])
def test_message_survives_kafka_in_both_modes(structured: bool) -> None:
    key, value, headers = MESSAGE.to_kafka(structured=structured)
    assert key == b"lead:a@b.co"
    assert parse_record(value, headers) == MESSAGE


def test_kafka_header_traceparent_wins_over_the_extension() -> None:
    _, value, headers = MESSAGE.to_kafka()
    extension, header = (f"00-{c * 32}-{c * 16}-01" for c in "ab")
    headers += [("ce_traceparent", extension.encode()), ("traceparent", header.encode())]
    assert parse_record(value, headers).traceparent == header


@pytest.mark.parametrize("name", ["id", "source", "type", "specversion"])
def test_missing_attribute_is_named_in_both_modes(name: str) -> None:
    document = MESSAGE.to_json()
    del document[name]
    with pytest.raises(BadInput) as structured:
        parse_json(document)
    assert structured.value.field == name
    _, value, headers = MESSAGE.to_kafka()
    with pytest.raises(BadInput) as binary:
        parse_record(value, [h for h in headers if h[0] != f"ce_{name}"])
    assert binary.value.field == name


@pytest.mark.parametrize(
    ("value", "field"), [(b"{", "value"), (b"[]", "value"), (b"", "value"), (b"\xff\xfe", "value")]
)
def test_what_is_not_a_json_object_is_refused(value: bytes, field: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_record(value, [])
    assert error.value.field == field


def test_data_must_be_an_object() -> None:
    _, _, headers = MESSAGE.to_kafka()
    with pytest.raises(BadInput) as error:
        parse_record(b"[1, 2]", headers)
    assert error.value.field == "data"


def test_too_large_record_says_how_large_and_what_to_do() -> None:
    document = MESSAGE.to_json() | {"data": {"blob": "x" * 5_000_000}}
    with pytest.raises(BadInput) as error:
        parse_json(document)
    assert error.value.code == "event.too_large"
    assert "5,000," in error.value.message
    assert error.value.remedy


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"conversationid": "x" * 8000}, "conversationid"),
        ({"conversationid": 7}, "conversationid"),
        ({"id": "a\x00b"}, "id"),
        ({"source": "s" * 600}, "source"),
        ({"specversion": "0.3"}, "specversion"),
        ({"data": {"n": 123456789012345678901234567890}}, "data"),
        ({"data": {"text": "a\x00b"}}, "data"),
    ],
)
def test_what_no_table_could_hold_is_refused_at_the_door(change: dict[str, object], field: str) -> None:
    import json

    raw = json.dumps(MESSAGE.to_json() | change).encode()
    with pytest.raises(BadInput) as error:
        parse_record(raw, [("content-type", b"application/cloudevents+json")])
    assert error.value.field == field


def test_a_backslash_before_u0000_is_text() -> None:
    document = MESSAGE.to_json() | {"data": {"path": "C:\\u0000"}}
    assert parse_json(document).data == {"path": "C:\\u0000"}


@pytest.mark.parametrize("headers", [[("ce_id", None)], [("ce_id", b"\xff")], [("traceparent", b"nonsense")]])
def test_odd_headers_are_an_error_of_their_own_or_nothing(headers: list[tuple[str, bytes]]) -> None:
    _, value, given = MESSAGE.to_kafka()
    kept = [h for h in given if h[0] != headers[0][0]]
    if headers[0][0] == "traceparent":
        assert parse_record(value, kept + headers).traceparent is None
    else:
        with pytest.raises(BadInput):
            parse_record(value, kept + headers)


def test_what_was_measured_is_what_is_sent() -> None:
    message = parse_json(MESSAGE.to_json() | {"data": {"text": "☕" * 200_000}})
    _, value, _ = message.to_kafka()
    assert len(value) < topics.MAX_RECORD_BYTES


def test_sizes_are_bounded_by_what_a_broker_takes() -> None:
    _, value, headers = MESSAGE.to_kafka()
    assert len(value) + sum(len(k) + len(v) for k, v in headers) < topics.MAX_RECORD_BYTES
    assert orjson.loads(value) == MESSAGE.data

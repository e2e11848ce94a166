"""The envelope: both Kafka modes, and bad input named by attribute."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from shared.bus import topics
from shared.bus.envelope import Message, parse_json, parse_record
from shared.errors import BadInput

MESSAGE = Message(
    "e-1", "/shop", "viox.lead.created", {"email": "a@b.co", "note": "café ☕"}, datetime(2026, 1, 2, tzinfo=UTC),
    subject="a@b.co", conversation_id="lead:a@b.co", extensions={"tenant": "x"},
)  # fmt: skip


@pytest.mark.parametrize("structured", [True, False])
def test_message_survives_kafka_in_both_modes(structured: bool) -> None:
    key, value, headers = MESSAGE.to_kafka(structured=structured)
    assert key == b"lead:a@b.co"
    assert parse_record(value, headers) == MESSAGE


def test_kafka_header_traceparent_wins_over_the_extension() -> None:
    _, value, headers = MESSAGE.to_kafka()
    headers += [("ce_traceparent", b"00-aa-bb-00"), ("traceparent", b"00-cc-dd-01")]
    assert parse_record(value, headers).traceparent == "00-cc-dd-01"


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
    ("value", "field"),
    [(b"{", "value"), (b"[]", "value"), (b"", "value"), (b"\xff\xfe", "value")],
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


def test_sizes_are_bounded_by_what_a_broker_takes() -> None:
    _, value, headers = MESSAGE.to_kafka()
    assert len(value) + sum(len(k) + len(v) for k, v in headers) < topics.MAX_RECORD_BYTES
    assert orjson.loads(value) == MESSAGE.data

"""The envelope: both Kafka modes, and bad input named by attribute."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import hypothesis
import hypothesis.strategies
import orjson
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from shared.bus import topics
from shared.bus.envelope import (
    Message,
    check_conversation,
    conversation_key,
    identity,
    is_ours,
    parse_json,
    parse_record,
    refuse_reserved,
)
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
        ({"source": "\U0001f600" * 500}, "source"),
        ({"conversationid": "a\nb"}, "conversationid"),
        ({"subject": "a\tb"}, "subject"),
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


@pytest.mark.parametrize("structured", [True, False])
def test_what_we_write_the_cloudevents_package_reads_the_same(structured: bool) -> None:
    key, value, headers = MESSAGE.to_kafka(structured=structured)
    event = from_kafka(KafkaMessage(headers=dict(headers), key=None, value=value), JSONFormat())
    attributes = event.get_attributes()
    assert event.get_data() == MESSAGE.data
    assert attributes["time"] == MESSAGE.time
    assert {name: attributes[name] for name in ("id", "source", "type", "subject", "conversationid", "tenant")} == {
        "id": "e-1",
        "source": "/shop",
        "type": "viox.lead.created",
        "subject": "a@b.co",
        "conversationid": "lead:a@b.co",
        "tenant": "x",
    }


@pytest.mark.parametrize("write", [to_binary, to_structured])
def test_what_the_cloudevents_package_writes_we_read_the_same(write: Any) -> None:
    attributes = {"id": "1", "source": "/café", "type": "t", "time": datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)}
    record = write(CloudEvent(attributes | {"subject": "ü", "retry": True}, {"a": [1, "é"]}), JSONFormat())
    read = parse_record(record.value, list(record.headers.items()))
    assert (read.id, read.source, read.subject, read.time) == ("1", "/café", "ü", attributes["time"])
    assert read.data == {"a": [1, "é"]}
    assert read.extensions["retry"].lower() == "true"


def test_headers_of_others_are_not_read_whatever_bytes_they_hold() -> None:
    _, value, headers = MESSAGE.to_kafka()
    headers += [("dd-pathway-ctx", b"\xff\xfe\x00"), ("uuid", bytes(range(16))), ("empty", None)]  # type: ignore[list-item]
    assert parse_record(value, headers) == MESSAGE


def test_a_ce_header_that_is_no_text_is_refused_by_name() -> None:
    _, value, headers = MESSAGE.to_kafka()
    with pytest.raises(BadInput) as error:
        parse_record(value, [*headers, ("ce_tenant2", b"\xff")])
    assert error.value.field == "ce_tenant2"


@pytest.mark.parametrize(
    "name", ["subject", "time", "dataschema", "datacontenttype", "data", "conversationid", "other"]
)
def test_an_attribute_that_is_null_is_absent(name: str) -> None:
    read = parse_json(MESSAGE.to_json() | {name: None})
    assert "None" not in (read.subject, read.conversation_id, *read.extensions.values())
    assert name not in read.extensions


def test_long_and_typed_extensions_are_kept_in_their_text_form() -> None:
    name = "averylongextensionnameofsomebroker"
    assert parse_json(MESSAGE.to_json() | {name: True, "n": 7}).extensions[name] == "true"
    assert parse_record(*MESSAGE.to_kafka()[1:]).extensions == {"tenant": "x"}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("2026-12-31T23:59:60Z", datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("2026-12-31T23:59:60.5Z", datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("2026-01-02T03:04:05+0000", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.25-0130", datetime(2026, 1, 2, 4, 34, 5, 250000, tzinfo=UTC)),
    ],
)
def test_a_time_may_have_a_leap_second_and_an_offset_without_a_colon(given: str, read: datetime) -> None:
    assert parse_json(MESSAGE.to_json() | {"time": given}).time == read


@pytest.mark.parametrize("name", ["subject", "time", "conversationid", "traceparent", "other"])
def test_an_empty_attribute_is_as_good_as_absent(name: str) -> None:
    _, value, headers = MESSAGE.to_kafka()
    plain = [(n, raw) for n, raw in headers if n != f"ce_{name}"]
    for read in (parse_record(value, [*plain, (f"ce_{name}", b"")]), parse_json(MESSAGE.to_json() | {name: ""})):
        assert name not in read.extensions
        assert "" not in (read.subject, read.conversation_id, read.traceparent)
    with pytest.raises(BadInput) as error:
        parse_json(MESSAGE.to_json() | {"id": ""})
    assert error.value.field == "id"


def test_extensions_may_be_long_and_keys_may_not() -> None:
    assert parse_json(MESSAGE.to_json() | {"baggage": "k=v," * 2000}).extensions["baggage"] == "k=v," * 2000
    for name, text in (("baggage", "x" * 8193), ("baggage", "a\nb"), ("subject", "x" * 513)):
        with pytest.raises(BadInput) as error:
            parse_json(MESSAGE.to_json() | {name: text})
        assert error.value.field == name


@pytest.mark.parametrize(
    "encode", [base64.encodebytes, base64.urlsafe_b64encode, lambda raw: base64.b64encode(raw).rstrip(b"=")]
)
def test_base64_is_read_in_lines_in_either_alphabet_and_without_padding(encode: Callable[[bytes], bytes]) -> None:
    data = {"text": "ü>?~" * 40}
    document = MESSAGE.to_json() | {"data": None, "data_base64": encode(orjson.dumps(data)).decode()}
    assert parse_json(document).data == data


def test_a_byte_order_mark_is_ignored() -> None:
    _, value, headers = MESSAGE.to_kafka()
    assert parse_record(b"\xef\xbb\xbf" + value, headers) == MESSAGE
    _, value, headers = MESSAGE.to_kafka(structured=True)
    assert parse_record(b"\xef\xbb\xbf" + value, headers) == MESSAGE


def test_headers_of_a_bridge_from_http_are_read() -> None:
    _, value, headers = MESSAGE.to_kafka()
    bridged = [(name.replace("ce_", "Ce-"), raw) for name, raw in headers]
    assert parse_record(value, bridged) == MESSAGE
    assert identity(value, bridged) == (MESSAGE.source, MESSAGE.id)
    assert parse_record(value, [*headers, ("ce-id", b"other"), ("ce-specversion", b"0.3")]) == MESSAGE, "Kafka's count"
    _, value, headers = MESSAGE.to_kafka(structured=True)
    assert parse_record(value, [*headers, ("ce-id", b"other")]) == MESSAGE


@pytest.mark.parametrize("time", ["yesterday", "2026-01-02", "2026-01-02T03:04:05", "2026-W01-1T00:00:00Z", 7])
def test_a_time_that_is_none_is_refused_by_name(time: object) -> None:
    with pytest.raises(BadInput) as error:
        parse_json(MESSAGE.to_json() | {"time": time})
    assert error.value.field == "time"


def test_a_time_may_have_nanoseconds_and_any_offset() -> None:
    read = parse_json(MESSAGE.to_json() | {"time": "2026-01-02t03:04:05.123456789+02:00"})
    assert read.time == datetime(2026, 1, 2, 1, 4, 5, 123456, tzinfo=UTC)


def test_data_may_come_as_base64() -> None:
    document = MESSAGE.to_json() | {"data_base64": base64.b64encode(orjson.dumps({"a": 1})).decode()}
    del document["data"]
    assert parse_json(document).data == {"a": 1}
    with pytest.raises(BadInput) as error:
        parse_json(document | {"data_base64": "%"})
    assert error.value.field == "data_base64"


def test_a_batch_is_refused_with_a_remedy() -> None:
    with pytest.raises(BadInput, match="batch"):
        parse_record(b"[]", [("content-type", b"application/cloudevents-batch+json")])


def test_numbers_are_exact_or_refused() -> None:
    document = MESSAGE.to_json() | {"data": {"n": 9223372036854775807, "x": 1.5}}
    assert parse_json(document).data == {"n": 9223372036854775807, "x": 1.5}
    raw = orjson.dumps(document).replace(b"9223372036854775807", b"99999999999999999999")
    with pytest.raises(BadInput) as error:
        parse_record(raw, [])
    assert error.value.field == "data"


@pytest.mark.parametrize("text", ["ticket:T-1", "lead:josé@example.com", "sms:+14155550123", "x" * 512, "100%"])
def test_a_key_that_a_message_can_carry_stays_as_it_is(text: str) -> None:
    assert conversation_key(text) == text


@hypothesis.given(hypothesis.strategies.text(max_size=2000))
def test_whatever_an_upstream_calls_its_things_becomes_a_key_that_a_message_can_carry(text: str) -> None:
    message = replace(MESSAGE, conversation_id=conversation_key(f"ticket:{text}"))
    for structured in (True, False):
        _, value, headers = message.to_kafka(structured=structured)
        assert parse_record(value, headers).conversation_id == message.conversation_id


def test_keys_that_look_alike_stay_apart() -> None:
    texts = ["T-1 x", "T-1\nx", "T-1\tx", "T-1\u00a0x", "x" * 600, "x" * 601]
    assert len({conversation_key(text) for text in texts}) == len(texts)


def test_a_conversation_that_a_person_names_is_refused_when_no_message_can_carry_it() -> None:
    check_conversation(None)
    check_conversation("lead:a@b.co")
    with pytest.raises(BadInput) as error:
        check_conversation("a\nb")
    assert error.value.field == "conversation"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "/viox"}, "source"),
        ({"source": "/viox/gateway"}, "source"),
        ({"source": "/viox/agents/closer"}, "source"),
        ({"extensions": {"parentrunid": "6f0f9a52-3d1b-5c64-9a77-2b7c1f6d4e10"}}, "parentrunid"),
    ],
)
def test_what_only_we_may_say_is_refused_by_name(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as error:
        refuse_reserved(replace(MESSAGE, **change))
    assert (error.value.code, error.value.field) == ("event.reserved", field)


def test_sources_of_others_may_resemble_ours() -> None:
    for source in ("/vioxshop", "/shop/viox/gateway", "viox"):
        assert not is_ours(source)
        refuse_reserved(replace(MESSAGE, source=source))

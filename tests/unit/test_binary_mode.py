"""Our short way through CloudEvents in binary mode finds and writes what the `cloudevents` package does, or steps aside."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka, to_binary
from cloudevents.core.v1.event import CloudEvent
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.bus import binary_mode
from shared.bus.envelope import _FORMAT, Message, has_nul, parse_record

TEXT = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable())
NAMES = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.builds(
    Message,
    id=TEXT,
    source=TEXT,
    type=TEXT,
    data=st.dictionaries(st.text(max_size=5), JSON, max_size=4),
    time=st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))])),
    subject=st.none() | TEXT,
    conversation_id=st.none() | TEXT,
)


def by_package(headers: dict[str, bytes], value: bytes) -> Any:
    return from_kafka(KafkaMessage(headers=headers, key=None, value=value), _FORMAT)


@settings(max_examples=60)
@given(MESSAGES)
def test_what_is_written_is_what_the_package_writes(message: Message) -> None:
    if any(isinstance(one, int) and abs(one) >= 2**63 for one in _leaves(message.data)):
        return
    theirs = to_binary(CloudEvent(message._attributes(), message.data), _FORMAT)
    _, value, headers = message.to_kafka()
    assert (value, dict(headers)) == (theirs.value, theirs.headers)
    ours = binary_mode.read(dict(headers), value)
    assert has_nul(value) or parse_record(value, headers) == message
    assert ours is None or ours.get_attributes() == by_package(dict(headers), value).get_attributes()


PLAIN = {
    "content-type": b"application/json",
    "ce_specversion": b"1.0",
    "ce_id": b"1",
    "ce_source": b"/t",
    "ce_type": b"t",
    "ce_time": b"2026-03-02T09:30:00.250000Z",
}
VALUES = (
    st.binary(max_size=12)
    | JSON.map(lambda value: str(value).encode())
    | st.sampled_from(
        [
            b"",
            b"NaN",
            b'{"n": 1e999}',
            b'{"n": 18446744073709551616}',
            b'{"n": -0}',
            b'{"a": 1, "a": 2}',
            b'"\\ud800"',
            b"[" * 9999,
        ]
    )
)


@given(
    st.dictionaries(NAMES | st.sampled_from(["data", "subject", "time", "id", "Ä"]), st.binary(max_size=6), max_size=3),
    VALUES,
)
@example({"time": b"2026-03-02T24:00:00Z"}, b"{}")
@example({"time": b"2026-03-02T09:30:00+07:30"}, b"{}")
@example({"time": b"2026-03-02"}, b"{}")
@example({"subject": b""}, b"{}")
@example({"data": b"x"}, b"{}")
@example({"datacontenttype": b"text/plain"}, b"{}")
def test_what_is_read_is_what_the_package_reads(more: dict[str, bytes], value: bytes) -> None:
    headers = PLAIN | {f"ce_{name}": raw for name, raw in more.items()}
    ours = binary_mode.read(headers, value)
    if ours is None:
        return
    theirs = by_package(headers, value)
    assert ours.get_attributes() == theirs.get_attributes()
    assert orjson.dumps(ours.get_data()) == orjson.dumps(theirs.get_data())


def test_our_own_records_take_the_short_way_and_others_do_not() -> None:
    assert binary_mode.read(PLAIN, b'{"n": 1}') is not None
    assert binary_mode.read(PLAIN | {"content-type": b"application/json; charset=utf-8"}, b"{}") is None
    assert binary_mode.read(PLAIN, b'{"n": 12345678901234567890123}') is None
    assert binary_mode.read({k: v for k, v in PLAIN.items() if k != "ce_time"}, b"{}") is None


@pytest.mark.parametrize("broken", [{"id": ""}, {"source": ""}, {"time": datetime(2026, 3, 2)}])
def test_an_invalid_message_is_not_written(broken: dict[str, Any]) -> None:
    good: dict[str, Any] = {"id": "1", "source": "/t", "type": "t", "data": {}, "time": datetime.now(UTC)}
    with pytest.raises(Exception, match="validation errors"):
        Message(**good | broken).to_kafka()


def _leaves(value: Any) -> Any:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _leaves(one)
    else:
        yield value

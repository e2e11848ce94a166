"""Documents are read as YAML 1.2 and JSON as people write them, with JSON's values and no others."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.tool_gateway.catalogue import reading

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\x85\u2028\u2029\ufeff\ufffe\uffff")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abnoy1.~<", max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_every_json_value_is_read_as_itself(value: Any) -> None:
    raw = orjson.dumps({"x": value})
    assert reading.read(raw) == {"x": value}
    assert reading.read(b"# flow style\n" + raw) == {"x": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("Off", "Off"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("2025-02-30", "2025-02-30"),
        ("2026-05-01T00:00:00Z", "2026-05-01T00:00:00Z"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("+7", 7),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("=", "="),
        ("!!str 12", "12"),
        ("!!binary aGk=", "aGk="),
        ("!!timestamp 2026-01-01", "2026-01-01"),
    ],
)
def test_plain_scalars_are_those_of_the_core_schema(text: str, value: Any) -> None:
    found = reading.read(f"x: {text}".encode())["x"]
    assert (found, type(found)) == (value, type(value))


def test_keys_are_the_text_that_was_written() -> None:
    found = reading.read(b"{on: 1, 1.10: 2, 007: 3, ~: 4, null: 5, true: 6, 2026-01-01: 7, '<<': 8}")
    assert list(found) == ["on", "1.10", "007", "~", "null", "true", "2026-01-01", "<<"]


def test_values_of_a_schema_of_texts_are_what_was_written() -> None:
    schema = reading.read(b"{type: string, enum: [1.10, 007, True, 0x1F, ~], default: 1.50, example: 08}")
    assert schema["enum"] == ["1.10", "007", "True", "0x1F", None]
    assert (schema["default"], schema["example"]) == ("1.50", "08")
    assert reading.read(b"{type: number, enum: [1.10, 2.50]}")["enum"] == [1.1, 2.5]


def test_names_are_texts() -> None:
    assert reading.read(b"required: [on, 1.10, True]")["required"] == ["on", "1.10", "True"]
    assert reading.read(b"{in: query, name: 2.0}")["name"] == "2.0"


def test_truth_values_of_openapi_may_be_written_as_in_yaml_1_1() -> None:
    found = reading.read(b"{required: no, nullable: Yes, explode: off, additionalProperties: NO, description: no}")
    assert found == {
        "required": False,
        "nullable": True,
        "explode": False,
        "additionalProperties": False,
        "description": "no",
    }


def test_merge_keys_are_followed() -> None:
    found = reading.read(b"a: &a {x: 1, y: 2}\nb: &b {x: 3}\nc: {<<: [*a, *b], y: 9}\nd: {<<: *b, z: 0}")
    assert (found["c"], found["d"]) == ({"x": 1, "y": 9}, {"x": 3, "z": 0})


@pytest.mark.parametrize(
    "raw",
    [
        '{"a": "é"}'.encode("utf-16"),
        b"\xef\xbb\xbf" + '{"a": "é"}'.encode(),
        "a: é".encode("utf-16"),
        b'{"a": "\\u00e9", "n": NaN}',
        "{a: é, # flow style, with a trailing comma\n}".encode(),
    ],
)
def test_encodings_and_loose_json_are_read(raw: bytes) -> None:
    assert reading.read(raw)["a"] == "é"


def test_half_characters_and_controls_do_not_lose_the_document() -> None:
    assert reading.read(b'a: "\\ud83d\\ude00 \\ud800"') == {"a": "\U0001f600 \ufffd"}
    assert reading.read(b'{"a": "\\ud800"}') == {"a": "\ufffd"}
    assert reading.read(b"a: x\x08y") == {"a": "x y"}


@pytest.mark.parametrize("raw", [b'{"pattern": "^[^\\u0000]+$"}', b'pattern: "^[^\\0]+$"', b'pattern: "^[^\\x00]+$"'])
def test_the_character_0_in_a_pattern_is_written_as_its_code(raw: bytes) -> None:
    assert reading.read(raw) == {"pattern": r"^[^\x00]+$"}


def test_the_character_0_elsewhere_is_replaced() -> None:
    assert reading.read(b'{"patternProperties": {"\\u0000": true}, "a\\u0000": ["\\u0000"]}') == {
        "patternProperties": {r"\x00": True},
        "a\ufffd": ["\ufffd"],
    }
    assert reading.read(b'{"pattern": "\\\\\\u0000"}') == {"pattern": r"\x00"}


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"a: 1\nb: !ruby/object:Set x", "line 2: the tag"),
        (b"a:\n  [x]: 1", "line 2: a key is not a text"),
        (b"a: *none", "line 1: the alias"),
        (b"a: {<<: [1]}", "merges something else"),
        (b"a: 1\n---\nb: 2", "line 2: a second document"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(raw: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        reading.read(raw)


def test_nothing_is_constructed() -> None:
    for tag in ("!!python/object/apply:os.system ['true']", "!!python/name:os.system ''"):
        with pytest.raises((ValueError, yaml.YAMLError)):
            reading.read(f"a: {tag}".encode())


def test_a_path_that_is_written_twice_has_the_operations_of_both() -> None:
    raw = (
        b"paths:\n  /a:\n    get: {x: 1}\n    put: {x: 2}\n  /b: {}\n  /a:\n    post: {}\n    put: {x: 3}\nx: 1\nx: 2\n"
    )
    assert reading.read(raw) == {"paths": {"/a": {"get": {"x": 1}, "put": {"x": 3}, "post": {}}, "/b": {}}, "x": 2}

"""Reading on in what is too large to travel: parts that fit together, and JSON paths that cost what they may."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tool_gateway.answers.large import MOST_PATHS, Large, outline
from services.tool_gateway.call.payloads import by_reference
from services.tool_gateway.connectors.payloads import MOST_FOUND, MOST_LENGTH, _part, selected
from shared.bus.topics import MAX_INLINE_BYTES
from shared.redaction import Redactions

INVOICES = orjson.dumps({"results": [{"id": n, "total": n * 10} for n in range(500)], "a b": {"c": None}})


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), st.integers(1, 9))
def test_parts_read_one_after_another_are_the_whole(text: str, length: int) -> None:
    content, at, read = text.encode(), 0, ""
    while True:
        part = _part(content[at : at + length + 4], at, length, len(content))
        read += part["text"]
        if part["next_offset"] is None:
            break
        assert part["next_offset"] > at
        at = part["next_offset"]
    assert read == text


def test_a_part_that_begins_inside_a_character_begins_after_it() -> None:
    content = "éa".encode()
    assert _part(content[1:], 1, 10, 3) == {"text": "a", "offset": 2, "bytes": 3, "next_offset": None}


def test_a_part_of_any_characters_travels() -> None:
    part = _part(b"\x01" * (MOST_LENGTH + 4), 0, MOST_LENGTH, 10**6)
    assert len(orjson.dumps(part)) < MAX_INLINE_BYTES


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.results[3].total", 30),
        ("$['a b'].c", None),
        ("$.results[?@.total > 4970].id", [498, 499]),
        ("$.results[-1:]", [{"id": 499, "total": 4990}]),
    ],
)
def test_a_path_to_one_value_finds_it_and_others_find_lists(path: str, found: object) -> None:
    assert orjson.loads(selected(INVOICES, path)[0]) == found


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("results", "cannot be followed"),
        ("$.nowhere", "nothing stands"),
        ("$..*", f"more than {MOST_FOUND:,}"),
        ("$.results[?match(@.id, '(a+)+')]", "patterns"),
    ],
)
def test_a_path_that_finds_nothing_or_too_much_is_refused(path: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        selected(INVOICES, path)


def test_text_that_is_no_json_has_no_paths() -> None:
    with pytest.raises(ValueError, match="no JSON"):
        selected(b"line\nline", "$.a")


def test_an_outline_names_paths_that_can_be_followed() -> None:
    shape = outline(orjson.loads(INVOICES))
    assert shape["$.results"] == "list of 500"
    assert all(selected(INVOICES, path) for path in shape)
    assert len(outline({str(n): {"x": 1} for n in range(1000)})) == MOST_PATHS


def test_each_call_has_its_own_id_for_the_same_content() -> None:
    large = Large(INVOICES, "application/json")
    (one, kept), (other, _) = by_reference("r.1.0", large), by_reference("r.2.0", large)
    assert kept is not None
    assert one["$payload"]["id"] == kept.payload_id != other["$payload"]["id"]
    assert one["$payload"]["sha256"] == other["$payload"]["sha256"]
    assert by_reference("r.1.0", {"id": 1}) == ({"id": 1}, None)


def test_secrets_of_ours_are_taken_out_of_what_is_kept() -> None:
    redactions = Redactions()
    redactions.tell("KEY", "sk_live_0123456789")
    large = Large(b'{"key": "sk_live_0123456789"}', "application/json", outline={"$['sk_live_0123456789']": "text"})
    hidden = large.without(redactions)
    assert b"sk_live" not in hidden.text
    assert "sk_live" not in str(hidden.outline)

"""Documents that are small and unfold to much: refused by name, without hanging, in little memory."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.tool_gateway.catalogue import foreign
from services.tool_gateway.catalogue.importer import Import, Wish, import_document
from shared.errors import BadInput
from tests.unit.gateway.test_importer import SOURCE, document, one

HEAD = b"openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths: {}\n"
MEGABYTES = 2_000


@pytest.fixture(autouse=True)
def _bounded(no_hang: None) -> Iterator[None]:
    """A bomb that goes off ends in an error here and not in the machine's memory."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEGABYTES * 1_000_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def aliases(kind: bytes, item: bytes) -> bytes:
    """Nine levels, each of which holds the one before ten times."""
    levels = (b"a%d: &a%d %s\n" % (n, n, kind.replace(b"*", b",".join([item % (n - 1)] * 10))) for n in range(1, 10))
    return HEAD + b"a0: &a0 {k: 1, l: 2, m: 3}\n" + b"".join(levels)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (HEAD + b"a: " + b"[" * 300_000, "document.too_deep"),
        (HEAD + b"? " * 300_000, "document.too_deep"),
        (aliases(b"!!pairs [*]", b"k: *a%d"), "document.too_large"),
        (aliases(b"!!omap [*]", b"k: *a%d"), "document.too_large"),
        (HEAD + b"a: [" + b"1," * 4_000_000 + b"]", "document.too_large"),
        (HEAD + b"a: 0x" + b"f" * 9000, "document.unreadable"),
    ],
    ids=["flow", "keys", "pairs", "omap", "many", "number"],
)
def test_yaml_that_unfolds_is_refused_by_name(raw: bytes, code: str) -> None:
    with pytest.raises(BadInput) as error:
        foreign.parse(raw)
    assert error.value.code == code


def test_merge_keys_that_multiply_hold_each_name_once() -> None:
    found = foreign.parse(aliases(b"{<<: [*]}", b"*a%d") + b"? 0x" + b"f" * 9000 + b"\n: 1\n")
    assert found["a9"] == {"k": 1, "l": 2, "m": 3}
    wide = b"w0: &w0 {" + b",".join(b"k%d: 1" % n for n in range(1000)) + b"}\n"
    with pytest.raises(BadInput) as error:
        foreign.parse(HEAD + wide + b"x: [" + b",".join([b"{<<: *w0}"] * 4000) + b"]")
    assert error.value.code == "document.too_large"


def test_numbers_of_base_60_are_text() -> None:
    """As in YAML 1.2; as numbers they take the square of their length."""
    found = foreign.parse(
        HEAD + b"a: 1" + b":1" * 200_000 + b"\nb: 1" + b":1" * 400 + b".5\nc: 12\nd: 99999999999999999999\n"
    )
    assert (len(found["a"]), found["b"][-4:], found["c"], found["d"]) == (400_001, ":1.5"[-4:], 12, 1e20)


def posts(schema: Any, components: dict[str, Any], count: int = 1) -> dict[str, Any]:
    body = {"content": {"application/json": {"schema": schema}}}
    paths = {f"p{n}": {"post": {"operationId": f"make{n}", "requestBody": body}} for n in range(count)}
    return document(**paths) | {"components": components}


def ref(*path: str) -> dict[str, str]:
    return {"$ref": "#/components/" + "/".join(path)}


def bring(given: dict[str, Any], **wish: Any) -> Import:
    return import_document(foreign.parse(json.dumps(given).encode()), SOURCE, Wish("shop", **wish))


def test_a_long_enumeration_that_is_referred_to_often_is_not_written_out() -> None:
    big = {"title": "t" * 100_000, "enum": [f"value {n}" for n in range(50_000)]}
    with pytest.raises(BadInput):
        bring(
            posts(
                {"type": "object", "properties": {f"p{n}": ref("schemas", "Big") for n in range(10_000)}},
                {"schemas": {"Big": big}},
            )
        )


def test_parts_that_multiply_are_not_put_together() -> None:
    levels: dict[str, Any] = {f"L{n}": {"allOf": [ref("schemas", f"L{n + 1}")] * 9} for n in range(9)}
    made = bring(posts(ref("schemas", "L0"), {"schemas": levels | {"L9": {"type": "object", "properties": {"a": {}}}}}))
    (tool,) = made.tools
    assert list(tool.input_schema["properties"]) == ["body"], "the body stays as it is described"


def test_a_large_schema_of_many_operations_is_refused() -> None:
    wide = {
        "properties": {f"p{n}": {"type": "string", "description": "d" * 50} for n in range(15_000)},
        "additionalProperties": True,
    }
    with pytest.raises(BadInput) as error:
        bring(posts(ref("schemas", "Wide"), {"schemas": {"Wide": wide}}, 2_000))
    assert error.value.code == "document.too_large"


def test_one_place_spelled_in_many_ways_is_not_copied_each_time() -> None:
    wide = {"properties": {f"p{n}": {"type": "string"} for n in range(5_000)}}
    spelled = [
        ref("schemas", "".join(f"%{ord(c):X}" if n >> i & 1 else c for i, c in enumerate("Wide_schema_w")))
        for n in range(8_000)
    ]
    with pytest.raises(BadInput):
        bring(posts({"oneOf": spelled}, {"schemas": {"Wide_schema_w": wide}}))
    in_paths = [{"$ref": s["$ref"].replace("#/components/schemas", "#/paths/~1w/x-s")} for s in spelled]
    given = posts({"oneOf": in_paths}, {})
    given["paths"]["/w"] = {"x-s": {"Wide_schema_w": wide}}
    with pytest.raises(BadInput):
        bring(given)


def test_names_that_collide_do_not_take_the_square_of_their_number() -> None:
    parameters = [{"name": "p" * 60 + str(n), "in": "query", "schema": {}} for n in range(30_000)]
    with pytest.raises(BadInput):
        bring(document(things={"get": {"parameters": parameters}}))
    groups = {f"g{n}": {"X": {"type": "string"}} for n in range(20_000)}
    with pytest.raises(BadInput):
        bring(posts({"oneOf": [ref(group, "X") for group in groups]}, groups))


@pytest.mark.parametrize(
    "pattern", ["(?=a)((a{0,50}){0,50}){0,50}b", "((a{0,50}){0,50}){0,40}b", "(?=a)((a{0,10}){0,20}){0,20}b"]
)
def test_a_pattern_that_could_take_for_ever_holds_nobody_up(pattern: str) -> None:
    parameters = [{"name": "q", "in": "query", "schema": {"type": "string", "pattern": pattern}}]
    tool = one(document(things={"get": {"parameters": parameters}}))
    assert tool.problem_with({"q": "a" * 5_000}) is None, "what takes for ever to find out is not asked"
    assert tool.problem_with({"q": 5}) is not None


def test_x_viox_that_is_no_object_is_named() -> None:
    given = document(things={"get": {}})
    given["info"]["x-viox"] = [1]
    with pytest.raises(BadInput) as error:
        bring(given, trusted=True)
    assert error.value.field == "info.x-viox"
    assert bring(given).ignored == ["info"]

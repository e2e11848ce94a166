"""The form of a tool's schema that models are shown: a tree without references, of bounded size.

Providers differ in what they accept; none refuses a tree in which every array has `items` and every schema is an object.
It is cut where something contains itself, and where it must be for its size: first what need not be given, far down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.tool_gateway.catalogue.schema.bundle import DEEPEST
from services.tool_gateway.catalogue.schema.dialect import LISTS, MAPS, SUBSCHEMAS
from services.tool_gateway.catalogue.schema.references import Unresolvable
from services.tool_gateway.catalogue.schema.values import distinct

MODEL_SCHEMA_BYTES = 40_000  # what one tool may cost in a prompt
LONGEST_DESCRIPTION = 400
ALL = 1_000
VERBATIM = ("enum", "const", "default", "required", "type", "dependentRequired")
REWRITTEN = frozenset({"allOf", "prefixItems", "items", "maxItems"})
ANNOTATIONS = frozenset({"description", "title", "default"})
# Nothing that helps to write arguments, and what some provider refuses.
LEFT_OUT = frozenset({"unevaluatedProperties", "unevaluatedItems", "contentSchema", "minContains", "maxContains"})
INLINE_FLAGS = re.compile(r"\(\?[a-zA-Z]+\)")  # no JavaScript has them, and providers check patterns as such


@dataclass(frozen=True, slots=True)
class Cut:
    """How far a tree is written out: how often something may contain itself, how many references deep, from which of
    them on only with what must be given, whether described, how many levels of nesting.
    """

    repeats: int = 0
    references: int = ALL
    sparse_from: int = ALL
    described: bool = True
    deepest: int = DEEPEST


CUTS = (
    Cut(repeats=1),
    Cut(),
    Cut(sparse_from=2),
    Cut(sparse_from=1),
    Cut(sparse_from=1, described=False),
    Cut(references=3, sparse_from=2),
    Cut(references=2),
    Cut(references=1),
    Cut(references=1, described=False),
    Cut(references=0, described=False),
    Cut(references=0, described=False, deepest=6),
    Cut(references=0, described=False, deepest=4),
    Cut(references=0, described=False, deepest=2),
)


def for_models(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema as a tree of bounded size. Raises Unresolvable when even without depth it is too large."""
    defs = schema.get("$defs", {})
    bare = {key: value for key, value in schema.items() if key != "$defs"}
    found = _tree(defs, bare, CUTS[0])
    if found is not None:
        return found
    # Each cuts more than the one before: the first that fits is looked for by halves.
    cuts = CUTS[1:] if defs else CUTS[-4:]
    low, high = 0, len(cuts)
    while low < high:
        middle = (low + high) // 2
        made = _tree(defs, bare, cuts[middle])
        if made is None:
            low = middle + 1
        else:
            found, high = made, middle
    if found is None:
        raise Unresolvable(f"the arguments' schema has more than the {MODEL_SCHEMA_BYTES:,} bytes that are the limit")
    return found


def _tree(defs: Mapping[str, Any], schema: Mapping[str, Any], cut: Cut) -> dict[str, Any] | None:
    """The schema written out, or None when it is too large."""
    try:
        made: dict[str, Any] = _Tree(defs, cut).of(schema, (), 0)
    except _TooLarge:
        return None
    return made if len(orjson.dumps(made)) <= MODEL_SCHEMA_BYTES else None


class _TooLarge(Exception):
    """A tree that has grown beyond what could fit."""


class _Tree:
    """Writes a schema without references, as long as it may still fit."""

    def __init__(self, defs: Mapping[str, Any], cut: Cut) -> None:
        self._defs, self._cut = defs, cut
        self._left = MODEL_SCHEMA_BYTES

    def of(self, node: Any, inside: tuple[str, ...], depth: int) -> Any:
        """A schema; `inside` names the definitions it is part of, outermost first."""
        if not isinstance(node, dict):
            return {}  # True: any value. What may have none is left out by whoever has it.
        if "$ref" in node:
            name = str(node["$ref"]).rsplit("/", 1)[-1]
            again = inside.count(name) > self._cut.repeats
            if again or len(inside) >= self._cut.references or depth > DEEPEST:
                return self._stub(self._defs[name])
            return self.of(self._defs[name], (*inside, name), depth + 1)
        if depth > self._cut.deepest:
            return self._stub(node)
        self._spend(2)
        made: dict[str, Any] = {}
        for key, value in (self._shown(node, inside) if "properties" in node else node).items():
            found = self._keyword(key, value, inside, depth + 1)
            if found is not None:
                made[key] = found
        return _flattened(_with_items(node, made)) if _is_rewritten(made) else made

    def _shown(self, node: dict[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
        """The node without properties that nobody may give and, far down, without those that nobody must."""
        properties: dict[str, Any] = node["properties"]
        required = [name for name in node.get("required", ()) if properties.get(name) is not False]
        sparse = len(inside) >= self._cut.sparse_from and bool(required)
        if not sparse and False not in properties.values():
            return node
        made = node | {
            "properties": {n: s for n, s in properties.items() if s is not False and (not sparse or n in required)}
        }
        if sparse:
            made.pop("additionalProperties", None)
        return made | ({"required": required} if "required" in node else {})

    def _keyword(self, key: str, value: Any, inside: tuple[str, ...], depth: int) -> Any:
        """What is shown of a keyword; None when nothing is."""
        if key in VERBATIM:
            return self._verbatim(key, value)
        if key in MAPS:
            self._spend(len(key) + sum(len(name) + 4 for name in value))
            return {n: self.of(s, inside, depth) for n, s in value.items() if s is not False}
        if key in LISTS:
            self._spend(len(key))
            return [self.of(s, inside, depth) for s in value if s is not False] or None
        if key in LEFT_OUT or (key == "description" and not self._cut.described):
            return None
        if key in SUBSCHEMAS:
            self._spend(len(key))
            if isinstance(value, bool):
                return value if key == "additionalProperties" else None
            return self.of(value, inside, depth)
        if key == "description":
            return self._verbatim(key, value[:LONGEST_DESCRIPTION])
        return None if key == "pattern" and INLINE_FLAGS.search(value) else self._verbatim(key, value)

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _TooLarge

    def _verbatim(self, key: str, value: Any) -> Any:
        """Shared here, but written out wherever it stands."""
        if isinstance(value, dict | list):
            self._spend(len(key) + 4 + len(orjson.dumps(value)))
        else:
            self._spend(len(key) + (len(value) + 6 if isinstance(value, str) else 5))
        return value

    def _stub(self, target: Any) -> dict[str, Any]:
        """Where a tree ends: the type, and what it is about."""
        made: dict[str, Any] = {}
        for _ in range(8):  # through what only refers to something else
            if not isinstance(target, dict):
                break
            for key in ("type", "enum", "format"):
                if key in target and key not in made:
                    made[key] = self._verbatim(key, target[key])
            if (
                self._cut.described
                and "description" not in made
                and isinstance(about := target.get("description"), str)
            ):
                made["description"] = about[:LONGEST_DESCRIPTION]
            if "type" in made:
                break
            if "properties" in target:
                made["type"] = "object"
                break
            target = self._beyond(target)
        return _with_items(made, made)

    def _beyond(self, target: Mapping[str, Any]) -> Any:
        if "$ref" in target:
            return self._defs.get(str(target["$ref"]).rsplit("/", 1)[-1])
        parts = target.get("allOf")
        return parts[0] if isinstance(parts, list) and parts else None


def _is_rewritten(made: Mapping[str, Any]) -> bool:
    kinds = made.get("type")
    return kinds == "array" or isinstance(kinds, list) or bool(made.keys() & REWRITTEN)


def _with_items(node: Mapping[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """Every array says what its items are; a tuple, which some providers refuse, that they are of one of its kinds."""
    kinds = made.get("type")
    array = kinds == "array" or (isinstance(kinds, list) and "array" in kinds)
    first = made.pop("prefixItems", None)
    if first:
        rest = made.pop("items", None)
        kinds_of_item = distinct([*first, *([rest] if rest else [])])
        made["items"] = kinds_of_item[0] if len(kinds_of_item) == 1 else {"anyOf": kinds_of_item}
        if node.get("items") is False:
            made["maxItems"] = min(len(node["prefixItems"]), made.get("maxItems", ALL))
    elif node.get("items") is False:
        made["maxItems"] = 0
    if array or "maxItems" in made:
        made.setdefault("items", {})
    return made


def _flattened(made: dict[str, Any]) -> dict[str, Any]:
    """What has one part only, and says nothing else that the part says, is that part."""
    parts = made.get("allOf")
    if not isinstance(parts, list) or len(parts) != 1:
        return made
    around = {key: value for key, value in made.items() if key != "allOf"}
    return parts[0] | around if not (around.keys() & parts[0].keys()) - ANNOTATIONS else made

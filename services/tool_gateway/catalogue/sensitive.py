"""What of a tool's answers and arguments is sensitive: its schemas say so (`x-viox-sensitive: true`, `format: password`,
`writeOnly`), or JSON paths in `x-viox` do (`redact`, `redact_arguments`).

Nothing of a schema is left out for being one of several alternatives: what one branch marks is taken out whichever applies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jsonpath_rfc9535
from jsonpath_rfc9535 import JSONPathError
from jsonpath_rfc9535.segments import JSONPathRecursiveDescentSegment
from jsonpath_rfc9535.selectors import IndexSelector, NameSelector, WildcardSelector

from services.tool_gateway.answers.marks import Marks, Place, joined
from services.tool_gateway.catalogue.schema import Unresolvable, deref, lookup
from services.tool_gateway.catalogue.schema.values import truth

TOGETHER = ("allOf", "anyOf", "oneOf")
BRANCHES = ("if", "then", "else")
OTHERS = ("additionalProperties", "unevaluatedProperties")
ELEMENTS = ("items", "additionalItems", "unevaluatedItems", "contains")
MOST_STEPS = 3_000_000  # from a schema to its branches, in one document: some seconds


@dataclass(slots=True)
class _Node:
    """One schema without its branches. `open`: it says nothing of what may be inside."""

    schema: Any
    sensitive: bool = False
    open: bool = False
    names: dict[str, tuple[int, ...]] = field(default_factory=dict)
    rest: tuple[int, ...] = ()
    items: tuple[int, ...] = ()
    above: set[int] = field(default_factory=set)
    leads: bool = False  # to something sensitive

    def below(self) -> Iterator[int]:
        for numbers in (*self.names.values(), self.rest, self.items):
            yield from numbers


class Sensitive:
    """The schemas of one document as far as they have been asked for, each looked at once."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._has_marks = _has_marks(document)
        self._steps = 0
        self._nodes: list[_Node] = []
        self._numbers: dict[int, int] = {}  # id of a schema → its node
        self._states: dict[int, tuple[int, ...]] = {}
        self._unread: list[int] = []

    def of_schemas(self, schemas: Iterable[Any]) -> Marks:
        """What these schemas mark, together. Raises ValueError when that cannot be found out."""
        return self._marks(self._start(schemas)) if self._has_marks else Marks()

    def of_paths(self, paths: Sequence[str], schemas: Sequence[Any] = ()) -> Marks:
        """What JSON paths mark. Raises ValueError for one that leads nowhere in the schemas, where there are any."""
        start = self._start(schemas)
        for path in paths:
            if start and not self._finds(path, start):
                raise ValueError(f"redact: {path!r} leads to nothing that the schema describes")
        return joined(*map(path_marks, paths))

    def _start(self, schemas: Iterable[Any]) -> frozenset[int]:
        start = frozenset(number for schema in schemas for number in self._numbers_of(schema))
        while self._unread:
            self._read(self._unread.pop())
        return start

    def _numbers_of(self, schema: Any) -> tuple[int, ...]:
        """The nodes of a schema: itself, and its branches."""
        if not isinstance(schema, Mapping):
            return ()
        known = self._states.get(id(schema))
        if known is not None:
            return known
        found: dict[int, None] = {}
        waiting, seen = [schema], set[int]()
        while waiting:
            one = waiting.pop()
            if not isinstance(one, Mapping) or id(one) in seen:
                continue
            seen.add(id(one))
            self._steps += 1
            if self._steps > MOST_STEPS:
                raise ValueError("its schemas have too many branches to look for what is sensitive in them")
            found[self._number(one)] = None
            waiting += self._branches(one)
        self._states[id(schema)] = tuple(found)
        return tuple(found)

    def _branches(self, schema: Mapping[str, Any]) -> Iterator[Any]:
        if "$ref" in schema:
            try:
                yield lookup(self._document, schema["$ref"])
            except Unresolvable:
                return
        for key in TOGETHER:
            given = schema.get(key)
            yield from given if isinstance(given, list) else ()
        for key in BRANCHES:
            yield schema.get(key)
        given = schema.get("dependentSchemas")
        yield from given.values() if isinstance(given, Mapping) else ()

    def _number(self, schema: Mapping[str, Any]) -> int:
        if id(schema) not in self._numbers:
            self._numbers[id(schema)] = len(self._nodes)
            self._nodes.append(_Node(schema, sensitive=is_marked(schema)))
            self._unread.append(self._numbers[id(schema)])
        return self._numbers[id(schema)]

    def _read(self, number: int) -> None:
        """Fill in what a node leads to, and tell those above it when it leads to something sensitive."""
        node = self._nodes[number]
        schema = node.schema
        properties = schema.get("properties")
        given = properties if isinstance(properties, Mapping) else {}
        patterns = schema.get("patternProperties")
        others = [schema.get(key) for key in OTHERS]
        others += list(patterns.values()) if isinstance(patterns, Mapping) else []
        elements = [schema.get(key) for key in ELEMENTS]
        for key in ("items", "prefixItems"):
            elements += schema[key] if isinstance(schema.get(key), list) else []
        node.names = {str(name): self._numbers_of(one) for name, one in given.items()}
        node.rest = tuple(n for one in others for n in self._numbers_of(one))
        node.items = tuple(n for one in elements for n in self._numbers_of(one))
        branching = any(True for one in self._branches(schema) if one is not None)
        scalar = schema.get("type") in ("string", "number", "integer", "boolean", "null") or "enum" in schema
        node.open = not (given or node.rest or node.items or branching or scalar)
        for below in node.below():
            self._nodes[below].above.add(number)
        if node.sensitive or any(self._nodes[below].leads for below in node.below()):
            self._tell(number)

    def _tell(self, number: int) -> None:
        waiting = [number]
        while waiting:
            node = self._nodes[waiting.pop()]
            if not node.leads:
                node.leads = True
                waiting += node.above

    def _marks(self, start: Iterable[int]) -> Marks:
        """The part of the table that leads from these nodes to what is sensitive."""
        places: dict[int, int] = {}
        order: list[int] = []

        def placed(numbers: Iterable[int]) -> tuple[int, ...]:
            made = []
            for number in numbers:
                if self._nodes[number].leads:
                    if number not in places:
                        places[number] = len(order)
                        order.append(number)
                    made.append(places[number])
            return tuple(dict.fromkeys(made))

        begun, made = placed(start), list[Place]()
        while len(made) < len(order):
            node = self._nodes[order[len(made)]]
            if node.sensitive:
                made.append(Place(sensitive=True))
                continue
            rest = placed(node.rest)
            names = {name: placed(numbers) for name, numbers in node.names.items()}
            made.append(Place(False, {n: p for n, p in names.items() if p or rest}, rest, placed(node.items)))
        return Marks(tuple(made), frozenset(begun))

    def _finds(self, path: str, start: frozenset[int]) -> bool:
        """Whether a path leads to something that the schemas describe, or goes through what they leave open."""
        at = set(start)
        for descends, selectors in _segments(path):
            if descends:
                at = self._all_below(at)
            following: set[int] = set()
            for number in at:
                node = self._nodes[number]
                if node.open:
                    return True
                for selector in selectors:
                    following.update(_followed(node, selector))
            at = following
        return bool(at)

    def _all_below(self, start: Iterable[int]) -> set[int]:
        found, waiting = set(start), list(start)
        while waiting:
            for number in self._nodes[waiting.pop()].below():
                if number not in found:
                    found.add(number)
                    waiting.append(number)
        return found


def _has_marks(document: Mapping[str, Any]) -> bool:
    """Whether anything in a document is marked at all. Shared parts are looked at once."""
    waiting: list[Any] = [document]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        if isinstance(one, Mapping):
            seen.add(id(one))
            if is_marked(one):
                return True
            waiting += one.values()
        elif isinstance(one, list):
            seen.add(id(one))
            waiting += one
    return False


def is_marked(schema: Mapping[str, Any]) -> bool:
    """Whether a schema says of itself that what it describes is sensitive."""
    return (
        truth(schema.get("x-viox-sensitive")) is True
        or schema.get("format") == "password"
        or truth(schema.get("writeOnly")) is True
    )


def response_schemas(document: Mapping[str, Any], operation: Mapping[str, Any]) -> list[Any]:
    """The schemas of every answer, whatever its status: what is sensitive in one is so in all."""
    responses = operation.get("responses")
    found = []
    for raw in responses.values() if isinstance(responses, Mapping) else ():
        try:
            response = deref(document, raw)
        except Unresolvable:
            continue
        content = response.get("content") if isinstance(response, Mapping) else None
        for kind in content.values() if isinstance(content, Mapping) else ():
            if isinstance(kind, Mapping) and isinstance(kind.get("schema"), Mapping):
                found.append(kind["schema"])
    return found


def path_marks(path: str) -> Marks:
    """What one JSON path marks: names, `[*]`, `.*`, `..` and numbers, which stand for every element. Raises ValueError."""
    places: list[Place] = []
    for number, (descends, selectors) in enumerate(_segments(path)):
        names: dict[str, tuple[int, ...]] = {}
        following: tuple[int, ...] = (number + 1,)
        items: tuple[int, ...] = ()
        inside: tuple[int, ...] = (number,) if descends else ()
        for selector in selectors:
            if isinstance(selector, NameSelector):
                names[selector.name] = following
            elif isinstance(selector, IndexSelector):
                items = following
            else:
                inside += following
        places.append(Place(False, names, (), items, inside))
    return Marks((*places, Place(sensitive=True)), frozenset({0}))


def _segments(path: str) -> list[tuple[bool, Sequence[Any]]]:
    """(whether it goes all the way down, what it chooses) of each step. Raises ValueError."""
    try:
        segments = jsonpath_rfc9535.compile(path).segments
    except JSONPathError as error:
        raise ValueError(f"redact: {path!r} is no JSON path ({error})") from error
    made: list[tuple[bool, Sequence[Any]]] = [
        (isinstance(one, JSONPathRecursiveDescentSegment), one.selectors) for one in segments
    ]
    chosen = [selector for _, selectors in made for selector in selectors]
    if not chosen:
        raise ValueError(f"redact: {path!r} is the whole answer")
    if not all(isinstance(one, NameSelector | IndexSelector | WildcardSelector) for one in chosen):
        raise ValueError(f"redact: {path!r} may have names, numbers, * and .. only")
    return made


def _followed(node: _Node, selector: Any) -> Iterator[int]:
    if isinstance(selector, NameSelector):
        yield from node.names.get(selector.name, node.rest)
    elif isinstance(selector, IndexSelector):
        yield from node.items
    else:
        yield from node.below()


def argument_schema(
    document: Mapping[str, Any], operation: Mapping[str, Any], given: Iterable[Mapping[str, Any]], tool: Any
) -> list[Any]:
    """What a tool's arguments are, in the document's own schemas: parameters by their arguments, and the body."""
    named = {(p.place, p.name): p.argument for p in tool.parameters if p.setting is None}
    properties: dict[str, Any] = {}
    for one in given:
        argument = named.get((one["in"], str(one["name"])))
        if argument is not None:
            properties[argument] = one if is_marked(one) else _schema_of(one)
    bodies = _bodies(document, operation)
    if tool.body and tool.body.argument:
        properties[tool.body.argument] = {"anyOf": bodies}
        bodies = []
    return [{"properties": properties}, *bodies]


def _schema_of(parameter: Mapping[str, Any]) -> Any:
    content = parameter.get("content")
    return next(iter(content.values())).get("schema", {}) if content else parameter.get("schema", {})


def _bodies(document: Mapping[str, Any], operation: Mapping[str, Any]) -> list[Any]:
    request = deref(document, operation.get("requestBody"))
    content = request.get("content") if isinstance(request, Mapping) else None
    kinds = content.values() if isinstance(content, Mapping) else ()
    return [kind["schema"] for kind in kinds if isinstance(kind, Mapping) and isinstance(kind.get("schema"), Mapping)]

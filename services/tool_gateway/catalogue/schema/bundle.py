"""The schemas of one tool in one self-contained form that checks arguments: JSON Schema 2020-12 with `$defs`.

Properties that only answers carry (`readOnly`) are left out. Parts of an `allOf` describe one object together: what one
of them forbids (`additionalProperties: false`) is what none of them has, and what one keeps for answers none may demand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.tool_gateway.catalogue.schema import choices, dialect, values
from services.tool_gateway.catalogue.schema.dialect import LISTS, MAPS, SUBSCHEMAS
from services.tool_gateway.catalogue.schema.references import Unresolvable, deref, lookup

DEEPEST = 60
MAX_WEIGHT = 400_000  # of one tool's arguments: objects, and about 20 bytes of text each
MAX_NOTES = 50
MAX_VARIANTS = 8  # of one definition, as part of different objects
BRANCHES = ("anyOf", "oneOf", "if", "then", "else", "dependentSchemas")
NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Part:
    """What a schema is a part of. `known`: names that its relatives describe, `hidden`: those only answers carry.

    `opened`: whether other names are allowed is said where the parts are put together.
    """

    known: frozenset[str] = NOBODY
    hidden: frozenset[str] = NOBODY
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """What a schema and the parts of its `allOf` say together of an object's names."""

    names: frozenset[str] = NOBODY
    hidden: frozenset[str] = NOBODY
    required: frozenset[str] = NOBODY
    closed: bool = False
    typed: tuple[Any, ...] = ()
    branching: bool = False


class Schemas:
    """The schemas of a document in plain words, each looked at once however many tools use it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._modern = not str(document.get("openapi", "")).startswith("3.0")
        self._plain: dict[int, tuple[Any, dict[str, Any] | bool, tuple[str, ...]]] = {}
        self._families: dict[int, Family] = {}

    def plain(self, node: Any) -> Any:
        """One schema in 2020-12's words, without what is inside. Not to be changed."""
        return self._looked_at(node)[1]

    def notes(self, node: Any) -> tuple[str, ...]:
        """What of it could not be taken at its word."""
        return self._looked_at(node)[2]

    def _looked_at(self, node: Any) -> tuple[Any, dict[str, Any] | bool, tuple[str, ...]]:
        found = self._plain.get(id(node))
        if found is None:
            told: list[str] = []
            made = dialect.plain(node, modern=self._modern, say=told.append)
            found = self._plain[id(node)] = (node, made, tuple(told))  # the node too, so that its id stays its own
        return found

    def target(self, reference: str) -> Any:
        """What a reference leads to. Raises Unresolvable."""
        return lookup(self._document, reference)

    def resolved(self, node: Any) -> Any:
        """A schema in plain words, through references that have nothing beside them. Raises Unresolvable."""
        seen: set[str] = set()
        made = self.plain(node)
        while isinstance(made, dict) and "$ref" in made:
            if made["$ref"] in seen:
                raise Unresolvable(f"$ref {made['$ref']!r} leads round in a circle")
            seen.add(made["$ref"])
            made = self.plain(self.target(made["$ref"]))
        return made

    def read_only(self, schema: Any) -> bool:
        """Whether only answers carry it: it says so, or what it refers to, or a part of it."""
        return self._read_only(schema, 0)

    def family(self, schema: Any, depth: int = 0) -> Family:
        """Looked up once; what contains itself, or is too deep to be one object, adds nothing."""
        if id(schema) in self._families or depth > DEEPEST:
            return self._families.get(id(schema), Family())
        plain = self.plain(schema)
        if isinstance(plain, bool):
            return Family()
        self._families[id(schema)] = Family()
        if "$ref" in plain:
            found = self.family(self.target(plain["$ref"]), depth + 1)
        else:
            found = self._together(plain, depth)
        self._families[id(schema)] = found
        return found

    def _together(self, plain: Mapping[str, Any], depth: int) -> Family:
        properties = plain.get("properties", {})
        hidden = {name for name, inner in properties.items() if self.read_only(inner)}
        other = plain.get("additionalProperties", plain.get("unevaluatedProperties"))
        parts = [self.family(one, depth + 1) for one in plain.get("allOf", [])]
        shown = (set(properties) - hidden).union(*(one.names - one.hidden for one in parts))
        hidden = hidden.union(*(one.hidden for one in parts)) - shown
        typed = [other] if isinstance(other, Mapping) and other else []
        for one in parts:
            typed += [schema for schema in one.typed if schema not in typed]
        return Family(
            names=frozenset(shown | hidden),
            hidden=frozenset(hidden),
            required=frozenset(plain.get("required", ())).union(*(one.required for one in parts)),
            closed=other is False or any(one.closed for one in parts),
            typed=tuple(typed[:MAX_VARIANTS]),
            branching=any(key in plain for key in BRANCHES) or any(one.branching for one in parts),
        )

    def _read_only(self, schema: Any, depth: int) -> bool:
        if not isinstance(schema, Mapping) or depth > MAX_VARIANTS:
            return False
        if values.truth(schema.get("readOnly")) is True:
            return True
        if isinstance(schema.get("$ref"), str):
            return self._read_only(deref(self._document, {"$ref": schema["$ref"]}), depth + 1)
        parts = schema.get("allOf")
        return isinstance(parts, list) and any(self._read_only(one, depth + 1) for one in parts[:MAX_VARIANTS])


class Bundle:
    """Collects the definitions that schemas of one tool refer to.

    `notes` say where a document could not be taken at its word, and what was made of it. Tools of one document share its
    `schemas`, so that each is looked at once.
    """

    def __init__(self, document: Mapping[str, Any], schemas: Schemas | None = None) -> None:
        self.schemas = schemas or Schemas(document)
        self._names: dict[tuple[str, Part], str] = {}
        self._numbers: dict[str, int] = {}
        self._variants: dict[str, int] = {}
        self._waiting: deque[tuple[str, str, Part]] = deque()
        self.defs: dict[str, Any] = {}
        self.notes: dict[str, None] = {}
        self._left = MAX_WEIGHT

    def take(self, schema: Any, place: str = "") -> Any:
        """The schema with its references pointing into `defs`. Raises Unresolvable."""
        made = self._taken(schema, 0, Part(), place)
        while self._waiting:  # one after another: chains of references are longer than a stack is deep
            name, reference, part = self._waiting.popleft()
            self.defs[name] = self._taken(self.schemas.target(reference), 0, part, name)
        return made

    def resolved(self, node: Any, place: str = "") -> Any:
        """One schema in plain words, through references; what is noted of it belongs to `place`."""
        for what in self.schemas.notes(node):
            self.note(place, what)
        return self.schemas.resolved(node)

    def note(self, place: str, what: str) -> None:
        """Keep a note, as long as there are few."""
        if len(self.notes) < MAX_NOTES:
            self.notes[f"{place}: {what}" if place else what] = None

    # -- one schema ---------------------------------------------------------------------------------------------------------

    def _taken(self, schema: Any, depth: int, part: Part, place: str) -> Any:
        if depth > DEEPEST:
            raise Unresolvable(f"schemas nested deeper than {DEEPEST} levels")
        plain = self.schemas.plain(schema)
        for what in self.schemas.notes(schema):
            self.note(place, what)
        if isinstance(plain, bool):
            return plain
        if "$ref" in plain:
            return {"$ref": f"#/$defs/{self._name(plain['$ref'], part)}"}
        made = dict(plain)
        self._weigh(made)
        if "oneOf" in made or ("anyOf" in made and isinstance(schema, Mapping) and "discriminator" in schema):
            made |= choices.told_apart(self.schemas, schema, made)
            made = {key: value for key, value in made.items() if value is not None}
        family = self.schemas.family(schema)
        self._settle_names(made, family, part, place)
        return self._with_inner(made, family, part, depth, place)

    def _settle_names(self, made: dict[str, Any], family: Family, part: Part, place: str) -> None:
        """Which names may, must and must not be given."""
        hidden = part.hidden | family.hidden
        known = part.known | family.names
        if "properties" in made:
            made["properties"] = {n: s for n, s in made["properties"].items() if not self.schemas.read_only(s)}
        if "required" in made:
            made["required"] = [name for name in made["required"] if name not in hidden]
            missing = [name for name in made["required"] if name not in known and name not in part.known]
            if missing and "patternProperties" not in made:
                other = made.get("additionalProperties")
                shape = other if isinstance(other, Mapping) else {}
                made["properties"] = made.get("properties", {}) | dict.fromkeys(missing, shape)
                for name in missing:
                    self.note(place, f"{name} is required and not described: any value is taken")
        self._settle_others(made, family, part)

    def _settle_others(self, made: dict[str, Any], family: Family, part: Part) -> None:
        """Whether names may be given that nobody describes: said once, for all parts of an object."""
        if part.opened:
            made.pop("additionalProperties", None)
            made.pop("unevaluatedProperties", None)
            return
        if not family.closed and not family.typed:
            return
        if "allOf" in made or any(_describes(made[key]) for key in BRANCHES if key in made):
            made.pop("additionalProperties", None)
            made["unevaluatedProperties"] = False if family.closed else _all_of(family.typed)
        if theirs := part.known - family.names:
            made["properties"] = dict.fromkeys(sorted(theirs), True) | made.get("properties", {})

    def _with_inner(self, made: dict[str, Any], family: Family, part: Part, depth: int, place: str) -> dict[str, Any]:
        known, hidden = part.known | family.names, part.hidden | family.hidden
        member = Part(known, hidden, part.opened or family.closed or bool(family.typed))
        branch = Part(known, hidden)
        for key in SUBSCHEMAS:
            if key in made:
                inner = branch if key in BRANCHES else Part()
                made[key] = self._taken(made[key], depth + 1, inner, place)
        for key in LISTS:
            if key in made:
                inner = member if key == "allOf" else branch if key in BRANCHES else Part()
                made[key] = [self._taken(item, depth + 1, inner, place) for item in made[key]]
        for key in MAPS:
            if key in made:
                inner = branch if key in BRANCHES else Part()
                made[key] = {
                    n: self._taken(s, depth + 1, inner, f"{place}.{n}" if place else n) for n, s in made[key].items()
                }
        return made

    def _weigh(self, made: Mapping[str, Any]) -> None:
        """A place that is spelled in many ways is copied as often, with all that it holds."""
        held = sum(_size(value) for key, value in made.items() if key not in (*SUBSCHEMAS, *LISTS, *MAPS))
        self._left -= 1 + held // 20
        if self._left < 0:
            raise Unresolvable("the arguments' schema unfolds to too much")

    # -- definitions ---------------------------------------------------------------------------------------------------------

    def _name(self, reference: str, part: Part) -> str:
        """The definition of what a reference leads to, as a part of the same kind of object."""
        part = self._relevant(reference, part)
        if (reference, part) not in self._names:
            base = "".join(c if c.isalnum() or c in "_-" else "_" for c in reference.rsplit("/", 1)[-1])
            number = self._numbers.get(base, 0)
            name = base
            while name in self.defs:
                number += 1
                name = f"{base}_{number + 1}"
            self._numbers[base] = number
            self._names[reference, part] = name
            self.defs[name] = {}
            self._waiting.append((name, reference, part))
        return self._names[reference, part]

    def _relevant(self, reference: str, part: Part) -> Part:
        """Only what makes a difference to a definition, so that few need more than one form."""
        if part == Part():
            return part
        family = self.schemas.family(self.schemas.target(reference))
        limited = family.closed or bool(family.typed)
        known = part.known - family.names if (limited and not part.opened) or family.branching else NOBODY
        made = Part(known, part.hidden & family.required, part.opened and limited)
        if made == Part() or (reference, made) in self._names:
            return made
        self._variants[reference] = self._variants.get(reference, 0) + 1
        return made if self._variants[reference] <= MAX_VARIANTS else Part()


def _describes(alternatives: Any) -> bool:
    """Whether alternatives say more than which names must be given."""
    if isinstance(alternatives, Mapping):
        return bool(alternatives.keys() - {"required", "title", "description"})
    return isinstance(alternatives, list) and any(_describes(one) for one in alternatives)


def _all_of(schemas: tuple[Any, ...]) -> Any:
    return schemas[0] if len(schemas) == 1 else {"allOf": list(schemas)}


def _size(value: Any) -> int:
    return len(orjson.dumps(value)) if isinstance(value, dict | list) else len(value) if isinstance(value, str) else 1

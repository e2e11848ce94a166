"""Tools in the part of JSON Schema that a provider takes. One keyword it does not know, and it refuses every request.

What cannot be said in the provider's keywords is said in the description. The gateway checks arguments against the whole
schema in any case, so leaving a constraint out costs a correction by the model, never a wrong call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.models.gemini_schema import GeminiSchema
from shared.models.port import ChatRequest, ToolSpec
from shared.models.schema_parts import Schema, merged, nodes
from shared.models.wire import wire_tool_name

PROPERTY_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")  # Anthropic refuses a tool with any other
# Spaces of names that models were trained with; nobody offered them.
NAMESPACE = re.compile(r"^(functions?|tools?|default_api|api)[.:/]")
DESCRIPTION_LIMIT = {"openai": 1024}


@dataclass(frozen=True, slots=True)
class WireTool:
    """A tool as a provider sees it. `renamed` maps names it takes to the tool's own."""

    name: str
    description: str
    schema: Schema
    renamed: dict[str, str] = field(default_factory=dict)


class WireTools:
    """A provider's form of the tools, made once per tool list."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._of: tuple[ToolSpec, ...] | None = None
        self.tools: list[WireTool] = []
        self.size = 0
        self._own: dict[str, tuple[str, dict[str, str]]] = {}
        self._renamed: dict[str, dict[str, str]] = {}

    def take(self, request: ChatRequest) -> list[WireTool]:
        if request.tools is not self._of:
            self.tools = [wire_tool(tool, self._provider) for tool in request.tools]
            self.size = sum(len(t.description) + len(orjson.dumps(t.schema)) for t in self.tools)
            own = zip(request.tools, self.tools, strict=True)
            self._own = {wire.name: (tool.name, wire.renamed) for tool, wire in own}
            self._renamed = {
                tool.name: {mine: theirs for theirs, mine in wire.renamed.items()}
                for tool, wire in zip(request.tools, self.tools, strict=True)
                if wire.renamed
            }
            self._of = request.tools
        return self.tools

    def own_name(self, name: str) -> str:
        """The tool's own name. What a template of a model's server leaves around an offered name is taken off."""
        found = self._offered(name)
        return self._own[found][0] if found else name

    def _offered(self, name: str) -> str | None:
        """The offered name that a model's name is, or is wrapped around: `functions.x`, `x<|channel|>commentary`."""
        candidates = (name, bare := name.partition("<|")[0].strip(), NAMESPACE.sub("", bare))
        return next((one for one in candidates if one in self._own), None)

    def own_arguments(self, name: str, arguments: dict[str, Any] | None) -> dict[str, Any] | None:
        """Arguments under the tool's own property names."""
        found = self._offered(name)
        renamed = self._own[found][1] if found else {}
        restored: dict[str, Any] | None = _restored(arguments, renamed) if renamed else arguments
        return restored

    def wire_arguments(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments of a call in the history under the property names that the provider is shown."""
        renamed = self._renamed.get(tool)
        changed: dict[str, Any] = _restored(arguments, renamed) if renamed else arguments
        return changed


def wire_tool(tool: ToolSpec, provider: str) -> WireTool:
    """One tool for one provider."""
    renamed: dict[str, str] = {}
    schema = for_provider(tool.input_schema, provider)
    if any(not PROPERTY_NAME.fullmatch(name) for name in property_names(schema)):
        schema = _rename(schema, renamed, set(property_names(schema)))
    description = tool.description[: DESCRIPTION_LIMIT.get(provider)]
    return WireTool(wire_tool_name(tool.name, provider), description, schema, renamed)


def for_provider(schema: Schema, provider: str) -> Schema:
    """A tool's schema in what the provider takes. Everywhere the top is a plain object without alternatives."""
    top = _plain_top(schema)
    return GeminiSchema(top).top() if provider == "gemini" else _with_items(top)


def property_names(schema: Any) -> Iterator[str]:
    """Names of all properties, at any depth."""
    for node in nodes(schema):
        yield from node["properties"] if isinstance(node.get("properties"), dict) else ()


def _plain_top(schema: Schema) -> Schema:
    """Providers refuse `anyOf`, `oneOf`, `allOf`, `enum` and `not` at the top: what all alternatives may have, none demanded."""
    combined = [key for key in ("allOf", "anyOf", "oneOf", "$ref") if key in schema]
    if not combined and schema.get("type") == "object" and "enum" not in schema and "not" not in schema:
        return schema
    whole = merged(schema, schema, demand=True, depth=0)
    kept = {k: v for k, v in schema.items() if k not in ("allOf", "anyOf", "oneOf", "$ref", "enum", "not", "const")}
    made = kept | {"type": "object", "properties": whole["properties"]}
    required = [name for name in whole["required"] if name in whole["properties"]]
    made.pop("required", None)
    return made | ({"required": required} if required else {})


def _with_items(node: Any) -> Any:
    """Arrays without `items` are refused. Returns the same object where nothing is missing."""
    if isinstance(node, list):
        made: Any = [_with_items(one) for one in node]
        return node if all(a is b for a, b in zip(made, node, strict=True)) else made
    if not isinstance(node, dict):
        return node
    made = {k: v if k in ("enum", "const", "default", "examples") else _with_items(v) for k, v in node.items()}
    kinds = node.get("type")
    is_array = kinds == "array" or (isinstance(kinds, list) and "array" in kinds)
    if is_array and "items" not in node:
        return made | {"items": {}}
    return node if all(made[k] is node[k] for k in node) else made


def _rename(node: Any, renamed: dict[str, str], taken: set[str]) -> Any:
    """The schema with property names that every provider takes; `renamed` learns the own one of each."""
    if isinstance(node, list):
        return [_rename(one, renamed, taken) for one in node]
    if not isinstance(node, dict):
        return node
    made = {
        k: _rename(v, renamed, taken) for k, v in node.items() if k not in ("properties", "required", "enum", "const")
    }
    made |= {k: node[k] for k in ("enum", "const") if k in node}
    if isinstance(node.get("properties"), dict):
        names = {name: _wire_property(name, renamed, taken) for name in node["properties"]}
        made["properties"] = {names[n]: _rename(v, renamed, taken) for n, v in node["properties"].items()}
        if "required" in node:
            made["required"] = [names.get(n, n) for n in node["required"]]
    elif "required" in node:
        made["required"] = node["required"]
    return made


def _wire_property(name: str, renamed: dict[str, str], taken: set[str]) -> str:
    if PROPERTY_NAME.fullmatch(name):
        return name
    start = re.sub(r"[^a-zA-Z0-9_.-]+", "_", name).strip("_")[:56] or "field"
    wire, number = start, 1
    while wire in taken and renamed.get(wire) != name:
        number += 1
        wire = f"{start}_{number}"
    taken.add(wire)
    renamed[wire] = name
    return wire


def _restored(value: Any, renamed: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_restored(one, renamed) for one in value]
    if isinstance(value, dict):
        return {renamed.get(k, k): _restored(v, renamed) for k, v in value.items()}
    return value

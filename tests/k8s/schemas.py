"""A strict JSON Schema for every kind: of Kubernetes's own from its OpenAPI documents, of operators' from their definitions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.k8s import crds, tools

Schema = dict[str, Any]
# Documents of Kubernetes with the kinds that we use; others can be added here.
DOCUMENTS = (
    "api__v1",
    "apis__apps__v1",
    "apis__batch__v1",
    "apis__policy__v1",
    "apis__networking.k8s.io__v1",
    "apis__rbac.authorization.k8s.io__v1",
)
EDITION = "2"  # changes when schemas are made otherwise: those in the cache are made anew
REFERENCE = "#/components/schemas/"


def folder() -> Path:
    """Made where they are not yet. Raises Missing when their sources cannot be had."""
    definitions = crds.folder()
    made = tools.cache() / f"schemas-{tools.KUBERNETES}-{definitions.name}-{EDITION}"
    if not made.exists():
        new = made.with_suffix(".new")
        new.mkdir(parents=True, exist_ok=True)
        for name, schema in (*_of_operators(), *_of_kubernetes()):
            (new / name).write_text(json.dumps(schema))
        new.rename(made)
    return made


def pattern() -> str:
    """As kubeconform takes it."""
    return f"{folder()}/{{{{.Group}}}}_{{{{.ResourceAPIVersion}}}}_{{{{.ResourceKind}}}}.json"


def _of_operators() -> Iterator[tuple[str, Schema]]:
    for file in crds.files():
        for one in yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader):
            if not one or one["kind"] != "CustomResourceDefinition":
                continue
            spec = one["spec"]
            for version in spec["versions"]:
                name = f"{spec['group']}_{version['name']}_{spec['names']['kind'].lower()}.json"
                yield name, whole(strict(version["schema"]["openAPIV3Schema"]))


def _of_kubernetes() -> Iterator[tuple[str, Schema]]:
    source = tools.module("k8s.io/kubernetes", tools.KUBERNETES) / "api" / "openapi-spec" / "v3"
    for document in DOCUMENTS:
        text = (source / f"{document}_openapi.json").read_text().replace(REFERENCE, "#/definitions/")
        schemas = json.loads(text)["components"]["schemas"]
        for schema in schemas.values():
            for told in schema.get("x-kubernetes-group-version-kind", []):
                group = told["group"] or told["version"]  # kubeconform's word for the core group
                if "metadata" in schema.get("properties", {}) and not told["kind"].endswith("List"):
                    parts = {name: strict(schemas[name]) for name in reachable(schema, schemas)}
                    name = f"{group}_{told['version']}_{told['kind'].lower()}.json"
                    yield name, whole(strict(schema)) | {"definitions": parts}


def whole(schema: Schema) -> Schema:
    """Every object says what it is, also where a definition leaves that out."""
    properties = schema.setdefault("properties", {})
    properties |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    if properties.get("metadata", {}) in ({"type": "object"}, {}):
        properties["metadata"] = {"type": "object"}
    schema["required"] = sorted({*schema.get("required", []), "apiVersion", "kind", "metadata"})
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


def reachable(schema: Any, schemas: Schema) -> set[str]:
    """The definitions that a schema refers to, and those that they refer to."""
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            name = str(one.get("$ref", "")).removeprefix("#/definitions/")
            if name and name not in found:
                found.add(name)
                waiting.append(schemas[name])
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return found


def strict(schema: Any) -> Any:
    """No member that is not declared; numbers or texts where Kubernetes takes either; null where a time may be missing."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items() if key not in ("default", "description", "example")}
    if found.get("x-kubernetes-int-or-string") or found.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    if found.pop("nullable", False) and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    open_ended = found.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in found
    if isinstance(found.get("properties"), dict) and found.get("type") == "object" and not open_ended:
        found["additionalProperties"] = False
    return found

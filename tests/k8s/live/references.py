"""What a pod refers to: what a kubelet would look for before it starts one, and hosts in its settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from viox.deploy.documents import Object
from viox.deploy.reading import containers

HOST = re.compile(r"(?:^|[@/])([a-z][a-z0-9-]*:\d+)")


@dataclass(frozen=True)
class Kept:
    """Keys of Secrets and ConfigMaps by kind and name."""

    keys: dict[tuple[str, str], set[str]]

    @classmethod
    def of(cls, objects: list[Object]) -> Kept:
        return cls({(one["kind"], one["metadata"]["name"]): set(one.get("data") or {}) for one in objects})

    def has(self, kind: str, name: str, key: str | None) -> bool:
        found = self.keys.get((kind, name))
        return found is not None and (key is None or key in found)


def unresolved(spec: Object, kept: Kept) -> list[str]:
    return [f"{kind} {name} {key or ''}".strip() for kind, name, key in _wanted(spec) if not kept.has(kind, name, key)]


def _wanted(spec: Object) -> Iterator[tuple[str, str, str | None]]:
    """(kind, name, key; None: whatever it has)."""
    for container in containers(spec):
        for each in container.get("env", []):
            for kind, reference in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
                found = each.get("valueFrom", {}).get(reference)
                if found and not found.get("optional"):
                    yield kind, found["name"], found["key"]
    for volume in spec.get("volumes", []):
        yield from _of_volume(volume)


def _of_volume(volume: Object) -> Iterator[tuple[str, str, str | None]]:
    for kind, member, called in (("Secret", "secret", "secretName"), ("ConfigMap", "configMap", "name")):
        if member in volume:
            name, items = volume[member][called], volume[member].get("items")
            yield from ((kind, name, item["key"]) for item in items) if items else [(kind, name, None)]


def hosts(spec: Object) -> set[str]:
    """`host:port` of this namespace that settings name."""
    values = [each.get("value", "") for container in containers(spec) for each in container.get("env", [])]
    return {host for value in values for host in HOST.findall(value)}

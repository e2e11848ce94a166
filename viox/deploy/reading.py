"""Reading Kubernetes objects: of which kind, whose pods, and what a selector selects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from viox.deploy.documents import Object

WORKLOADS: Final = ("Deployment", "Job", "StatefulSet", "DaemonSet", "CronJob", "Pod")


def of_kind(objects: Iterable[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def name_of(one: Object) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def pods(objects: Iterable[Object]) -> Iterator[tuple[str, dict[str, str], Object]]:
    """(whose, labels, spec) of every pod that an object of ours describes."""
    for one in of_kind(objects, *WORKLOADS):
        holder = one if one["kind"] == "Pod" else _template(one)
        yield name_of(one), holder.get("metadata", {}).get("labels", {}), holder["spec"]


def _template(one: Object) -> Object:
    spec = one["spec"]["jobTemplate"]["spec"] if one["kind"] == "CronJob" else one["spec"]
    found: Object = spec["template"]
    return found


def containers(spec: Object) -> list[Object]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector selects these labels."""
    wanted = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", [])
    return all(labels.get(k) == v for k, v in wanted.items()) and all(_holds(one, labels) for one in expressions)


def _holds(expression: Object, labels: dict[str, str]) -> bool:
    key, given = expression["key"], expression.get("values", [])
    return {
        "In": labels.get(key) in given,
        "NotIn": labels.get(key) not in given,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }[str(expression["operator"])]

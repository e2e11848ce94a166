"""Writing Kubernetes objects as YAML, always the same way."""

from __future__ import annotations

from typing import Any, TypeAlias

import yaml

Object: TypeAlias = dict[str, Any]
HEAD = "# Made by `make manifests` from the code. Do not edit.\n"
PART_OF = "viox"


class _Dumper(yaml.SafeDumper):
    """No anchors, and lists indented below their key."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def dump(*objects: Object) -> str:
    return HEAD + "---\n".join(
        yaml.dump(one, Dumper=_Dumper, sort_keys=False, width=136, allow_unicode=True) for one in objects
    )


def labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": PART_OF}


def made(api: str, kind: str, name: str, of: str, spec: Object | None = None, **others: Any) -> Object:
    """An object with the labels of what it belongs to."""
    head: Object = {"apiVersion": api, "kind": kind, "metadata": {"name": name, "labels": labels(of)}}
    head["metadata"] |= others.pop("metadata", {})
    return head | ({"spec": spec} if spec is not None else {}) | others


def kustomization(resources: list[str], **others: Any) -> str:
    return dump(
        {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            **others,
            **({"resources": resources} if resources else {}),
        }
    )


def component(resources: list[str], **others: Any) -> str:
    return dump(
        {
            "apiVersion": "kustomize.config.k8s.io/v1alpha1",
            "kind": "Component",
            **others,
            **({"resources": resources} if resources else {}),
        }
    )

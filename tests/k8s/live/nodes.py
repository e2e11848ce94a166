"""Nodes that run nothing: kwok says of their pods that they are Ready."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from tests.k8s import tools
from tests.k8s.live.client import text_of
from viox.deploy.documents import Object
from viox.deploy.facts import IMAGE

KWOK: Final = ("sigs.k8s.io/kwok", "v0.8.0", "kustomize/stage")
STAGES: Final = ("node/fast", "node/heartbeat-with-lease", "pod/fast")
ZONES: Final = ("a", "b", "c")
NAMES: Final = tuple(f"node-{zone}{number}" for zone in ZONES for number in (1, 2))
OURS: Final = "kwok.x-k8s.io/node"
BROKEN: Final = f"{IMAGE}:broken"  # pods of this image never turn Ready


def options(folder: Path, port: int) -> list[str]:
    (folder / "stages.yaml").write_text(text_of(*stages()))
    return [
        *("--config", str(folder / "stages.yaml"), "--server-address", f"127.0.0.1:{port}"),
        *("--manage-nodes-with-annotation-selector", f"{OURS}=fake"),
        *("--node-lease-duration-seconds", "40"),  # without leases all nodes turn NotReady in a minute
    ]


def stages() -> list[Object]:
    """kwok's own, and one pod that stays as it is."""
    module, version, inside = KWOK
    source = tools.module(module, version) / inside
    files = [file for stage in STAGES for file in sorted((source / stage).glob("*.yaml"))]
    found: list[Object] = [yaml.safe_load(file.read_text()) for file in files if file.stem != "kustomization"]
    ready = next(one for one in found if one["metadata"]["name"] == "pod-ready")
    never = {"key": ".spec.containers.[].image", "operator": "NotIn", "values": [BROKEN]}
    ready["spec"]["selector"]["matchExpressions"].append(never)
    return found


def objects() -> list[Object]:
    return [_node(name) for name in NAMES]


def _node(name: str) -> Object:
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone_of(name), "kubernetes.io/os": "linux"}
    room = {"cpu": "16", "memory": "64Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {OURS: "fake"}},
        "status": {"allocatable": room, "capacity": room},
    }


def zone_of(node: str) -> str:
    return node.removeprefix("node-")[0]

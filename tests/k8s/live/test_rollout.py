"""A release after another: old pods serve until new ones do, and one that never does is stopped and undone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.k8s.live import nodes
from tests.k8s.live.conftest import System
from viox.deploy import workloads
from viox.deploy.facts import IMAGE, SERVICES, VERSION

NEXT = "0.1.1-next"
NAME, AVAILABLE = ".metadata.name", ".status.availableReplicas"


@contextmanager
def watched(system: System, into: Path) -> Iterator[Path]:
    """Writes down how many pods each Deployment has available, whenever that changes."""
    columns = f"custom-columns=NAME:{NAME},AVAILABLE:{AVAILABLE}"
    command = system.client.command("get", "deployments", "--watch", "--no-headers", "-o", columns)
    with into.open("w") as out, subprocess.Popen(command, stdout=out) as process:
        try:
            system.client.until("the watch has begun", lambda: len(into.read_text().splitlines()) >= len(SERVICES))
            yield into
        finally:
            process.terminate()


def least(file: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in file.read_text().splitlines():
        name, _, number = line.partition(" ")
        available = int(number) if number.strip().isdigit() else 0
        found[name] = min(found.get(name, available), available)
    return found


def images(system: System, *selectors: str) -> set[str]:
    pods = system.pods(*selectors)
    return {
        container["image"] for pod in pods for container in pod["spec"]["containers"] if "viox" in container["image"]
    }


def test_a_release_goes_through_while_as_many_serve(system: System, tmp_path: Path) -> None:
    old, new = f"{IMAGE}:{VERSION}", f"{IMAGE}:{NEXT}"
    job, next_job = (f"{workloads.MIGRATE}-{one.replace('.', '-')}" for one in (VERSION, NEXT))
    with watched(system, tmp_path / "available") as seen:
        system.client.apply(system.text.replace(old, new).replace(job, next_job))
        system.client.wait("Complete", f"job/{next_job}")
        system.wait()
        system.client.until("old pods are gone", lambda: images(system) == {new})
    assert least(seen) == dict.fromkeys([*SERVICES, *others(system)], 2)


def others(system: System) -> list[str]:
    return [
        one["metadata"]["name"] for one in system.client.all("deployments") if one["metadata"]["name"] not in SERVICES
    ]


def test_where_one_may_be_missing_it_is_seen(system: System, tmp_path: Path) -> None:
    """What the test before looks at does fall when a rollout takes pods away first."""
    strategy = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    patch(system, "closer", {"strategy": strategy})
    with watched(system, tmp_path / "available") as seen:
        patch(system, "closer", {"template": {"metadata": {"annotations": {"viox.dev/restarted": "once"}}}})
        system.client("rollout", "status", "--timeout=300s", "deployment/closer")
    assert least(seen)["closer"] < 2
    patch(system, "closer", {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}})
    system.wait()


def patch(system: System, name: str, spec: dict[str, object]) -> None:
    system.client("patch", "deployment", name, "-p", json.dumps({"spec": spec}))


def test_a_release_that_never_gets_ready_is_stopped_and_undone(system: System) -> None:
    """Ours waits a quarter of an hour; here it is seconds."""
    mine = "app.kubernetes.io/name=voice"
    before, old = {pod["metadata"]["name"] for pod in system.pods(mine)}, images(system, mine)
    deadline = system.client.one("deployment", "voice")["spec"]["progressDeadlineSeconds"]
    containers = [{"name": "service", "image": nodes.BROKEN}]
    patch(system, "voice", {"progressDeadlineSeconds": 5, "template": {"spec": {"containers": containers}}})
    said = system.client.ask("rollout", "status", "--timeout=300s", "deployment/voice")
    assert said.code
    assert "exceeded its progress deadline" in said.all
    assert images(system, mine) == {*old, nodes.BROKEN}
    assert serving(system, "voice") == before
    system.client("rollout", "undo", "deployment/voice")
    patch(system, "voice", {"progressDeadlineSeconds": deadline})
    system.wait()
    system.client.until("the broken pod is gone", lambda: images(system, mine) == old)
    assert serving(system, "voice") == before


def serving(system: System, service: str) -> set[str]:
    """The pods to which a Service leads."""
    slices = system.client.all("endpointslices", "-l", f"kubernetes.io/service-name={service}")
    ends = [end for one in slices for end in one.get("endpoints") or []]
    return {end["targetRef"]["name"] for end in ends if end["conditions"].get("ready")}

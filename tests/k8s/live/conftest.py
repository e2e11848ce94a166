"""One control plane for all tests; production as a business installs it, with operators played."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.k8s import crds, rendering
from tests.k8s.live import control_plane, neighbours, nodes, operators
from tests.k8s.live.client import Client, text_of
from tests.k8s.live.control_plane import ControlPlane
from viox.deploy.documents import Object
from viox.deploy.facts import DEPLOY

RESTORED = DEPLOY / "k8s" / "restore" / "cluster.yaml"
SUMMARY = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def plane(pytestconfig: pytest.Config) -> Iterator[ControlPlane]:
    with control_plane.running() as made:
        yield made
        memory = made.memory()
        each = ", ".join(f"{name} {megabytes}" for name, megabytes in memory.items())
        told = f"ready after {made.ready_seconds:.1f} s; MB resident at most: {sum(memory.values())} ({each})"
        pytestconfig.stash[SUMMARY] = told
        made.living()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if SUMMARY in config.stash:
        terminalreporter.write_line(f"control plane: {config.stash[SUMMARY]}")
        terminalreporter.write_line(
            "Operators and KEDA did not run: the tests made what they make. No pod ran anything."
        )


def definitions() -> list[Path]:
    """Those of the kinds that we use: every other one costs the API server seconds."""
    texts = [*map(rendering.overlay, rendering.OVERLAYS), RESTORED.read_text()]
    used = {(one["apiVersion"].partition("/")[0], one["kind"]) for text in texts for one in rendering.objects(text)}
    return [file for file in crds.files() if crds.kind_of(file) in used]


@pytest.fixture(scope="session")
def cluster(plane: ControlPlane) -> Client:
    """Empty: definitions of the operators' kinds, nodes in three zones, and our namespace."""
    client = plane.client
    client("apply", "--server-side", *(f"--filename={file}" for file in definitions()))
    client.wait("Established", "crd", "--all")
    client.apply(text_of(*nodes.objects()))
    client.apply((DEPLOY / "k8s" / "base" / "namespace.yaml").read_text())
    client.until("there are accounts", lambda: not client.ask("get", "serviceaccount", "default").code)
    client.wait("Ready", "nodes", "--all")
    return client


@dataclass(frozen=True)
class System:
    """Production, installed and running."""

    client: Client
    text: str
    objects: list[Object]

    def pods(self, *selectors: str) -> list[Object]:
        """Those that live: not ended, not ending."""
        chosen = ["-l", ",".join(selectors)] if selectors else []
        found = self.client.all("pods", "--field-selector=status.phase!=Succeeded,status.phase!=Failed", *chosen)
        return [one for one in found if "deletionTimestamp" not in one["metadata"]]

    def everywhere(self, kinds: str) -> list[Object]:
        return self.client.all(kinds, "--all-namespaces")

    def wait(self) -> None:
        self.client.wait("Available", "deployments", "--all")
        names = [one["metadata"]["name"] for one in self.client.all("deployments")]
        self.client("rollout", "status", "--timeout=300s", *(f"deployment/{name}" for name in names))


@pytest.fixture(scope="session")
def system(cluster: Client) -> System:
    text = rendering.overlay("production")
    objects = rendering.objects(text)
    cluster.apply(text)
    # Not as strictly: certificates that are made up are warned of.
    cluster("apply", "--server-side", "-f", "-", stdin=text_of(*operators.play(objects)))
    for name, replicas in operators.least_replicas(objects).items():
        cluster("scale", f"deployment/{name}", f"--replicas={replicas}")
    neighbours.move_in(cluster)
    made = System(cluster, text, objects)
    made.wait()
    cluster.wait("Ready", "pods", "--selector=!job-name")
    return made

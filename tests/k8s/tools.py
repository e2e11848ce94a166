"""Programs of Kubernetes, built from their Go modules: `python -m tests.k8s.tools` builds what is missing.

The modules are pinned in deploy/k8s/live/tools (go.mod and go.sum); what is built lies in a cache, by their digest.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "deploy" / "k8s" / "live" / "tools"
KUBERNETES = "v1.37.2"
FLAGS = (
    f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES}"
    " -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37"
)
PACKAGES = {
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform",
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
}
CONTROLLER_GEN = ("controller-gen", "sigs.k8s.io/controller-tools/cmd/controller-gen@v0.23.0")
ALL = (*PACKAGES, CONTROLLER_GEN[0])


class Missing(Exception):
    """Something that a check needs is not here. Says what to do."""


def cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME")
    return Path(given or Path.home() / ".cache") / "viox" / "k8s"


def folder() -> Path:
    pinned = b"".join((MODULE / name).read_bytes() for name in ("go.mod", "go.sum"))
    return cache() / sha256(pinned).hexdigest()[:16]


def path(name: str) -> Path:
    """Where a program is. Raises Missing when it was not built."""
    found = folder() / name
    if not found.exists():
        raise Missing(f"{name} is not built: run `make k8s-tools` (once, some ten minutes on two quiet cores).")
    return found


def missing() -> list[str]:
    return [name for name in ALL if not (folder() / name).exists()]


def build(names: Sequence[str]) -> None:
    """Raises Missing without Go, CalledProcessError when the compiler says no."""
    go()
    folder().mkdir(parents=True, exist_ok=True)
    for name in names:
        began = time.monotonic()
        _build(name)
        print(f"built {name} in {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201


def _build(name: str) -> None:
    flags = ["-p", os.environ.get("VIOX_BUILD_JOBS", "1"), "-trimpath"]
    if name == CONTROLLER_GEN[0]:
        # A module of its own: it and Kubernetes want different versions of the same things.
        environment = os.environ | {"GOBIN": str(folder())}
        subprocess.run([go(), "install", *flags, "-ldflags", "-s -w", CONTROLLER_GEN[1]], check=True, env=environment)
        return
    done = folder() / f"{name}.new"  # a build that is stopped leaves no half of a program
    subprocess.run(
        [go(), "build", *flags, "-mod=readonly", "-ldflags", FLAGS, "-o", done, PACKAGES[name]], check=True, cwd=MODULE
    )
    done.rename(folder() / name)


def go() -> str:
    found = shutil.which("go")
    if found is None:
        raise Missing("go is not installed: version 1.26 or newer builds the programs (https://go.dev/dl).")
    return found


def module(name: str, version: str) -> Path:
    """The folder of a Go module's source, fetched where it is not yet. Its checksum is looked up in Go's own database."""
    done = subprocess.run(
        [go(), "mod", "download", "-json", f"{name}@{version}"], capture_output=True, text=True, check=False, cwd="/"
    )
    told: dict[str, Any] = json.loads(done.stdout or "{}")
    if done.returncode or "Dir" not in told:
        raise Missing(f"{name} {version} cannot be fetched: {told.get('Error', done.stderr.strip())}")
    return Path(told["Dir"])


if __name__ == "__main__":
    try:
        build(sys.argv[1:] or missing())
    except Missing as error:
        raise SystemExit(str(error)) from None

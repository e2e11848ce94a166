"""Manifests as they are applied: what `kubectl kustomize` makes of an overlay."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.k8s import tools
from tests.k8s.tools import Missing
from viox.deploy.facts import DEPLOY

OVERLAYS = {
    **{name: DEPLOY / "k8s" / "overlays" / name for name in ("dev", "production")},
    "everything": Path(__file__).parent / "everything",
}


def kubectl() -> str:
    """Ours where it is built, else that of the system: rendering differs in nothing that we use."""
    try:
        return str(tools.path("kubectl"))
    except Missing:
        found = shutil.which("kubectl")
        if found is None:
            raise
        return found


def rendered(folder: Path) -> str:
    """Raises Missing with kustomize's own words when it cannot be rendered."""
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"{folder} cannot be rendered: {done.stderr.strip()}")
    return done.stdout


@cache
def overlay(name: str) -> str:
    return rendered(OVERLAYS[name])


def objects(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.load_all(text, Loader=yaml.CSafeLoader) if one]

"""The peers' own virtual environment: made by scripts/bootstrap-peers.sh from pinned requirements, never imported."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from benchmarks.measure import ROOT

HERE = Path(__file__).parent
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
SCRIPT = ROOT / "scripts" / "bootstrap-peers.sh"
LOCK = HERE / "requirements.lock"
PREPARE_SECONDS = 600
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


class Unavailable(Exception):
    """The environment cannot be made here and now. The text says why."""


def prepare(script: Path = SCRIPT) -> Path:
    """The interpreter of the peers' environment, which is made or brought up to its lock first. Raises Unavailable."""
    try:
        done = subprocess.run(
            ["/bin/sh", script], stderr=subprocess.PIPE, text=True, timeout=PREPARE_SECONDS, check=False, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{script.name} did not end within {PREPARE_SECONDS} seconds") from None
    if done.returncode:
        raise Unavailable(_last_words(done.stderr) or f"{script.name} ended with {done.returncode}")
    return PYTHON


def pins(text: str) -> dict[str, str]:
    """Package → exact version, of a requirements file."""
    return {found[1].lower().replace("_", "-"): found[2] for found in PIN.finditer(text)}


def version(package: str) -> str:
    return pins(LOCK.read_text())[package]


def _last_words(text: str) -> str:
    """What a tool said last, on one line."""
    return " ".join(text.split())[-400:]

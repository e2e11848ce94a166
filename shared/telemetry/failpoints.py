"""Failpoints: named moments at which a fault test may stop a process to kill it there. Inert unless `arm_from` is called.

A test arms a failpoint by creating `<dir>/arm/<name>`. The first process to reach it renames that file to
`<dir>/stopped/<name>.<pid>` and blocks, all of it, until it is killed from outside.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

# Every moment between two durable facts on the path of a call, in the order of the path.
FAILPOINTS: Final = (
    "agent.before_inbox",
    "agent.after_inbox_before_offset",
    "agent.after_claim",
    "agent.mid_model_call",
    "agent.before_commit",
    "agent.after_commit_before_publish",
    "gateway.before_intent",
    "gateway.after_intent",
    "gateway.mid_call",
    "gateway.after_effect_before_outcome",
    "gateway.after_outcome_before_publish",
    "gateway.after_publish_before_offset",
)

_directory: Path | None = None


def arm_from(directory: Path | None) -> None:
    """Look for armed failpoints in this directory. Called once at start with the setting VIOX_FAILPOINT_DIR."""
    global _directory
    _directory = directory


def failpoint(name: str) -> None:
    """Block here if this failpoint is armed."""
    if _directory is not None:
        _stop(_directory, name)


def _stop(directory: Path, name: str) -> None:
    assert name in FAILPOINTS, name  # noqa: S101  # a name that nobody can arm would never be tested
    try:
        os.rename(directory / "arm" / name, directory / "stopped" / f"{name}.{os.getpid()}")
    except FileNotFoundError:
        return
    while True:
        time.sleep(60)

"""Named moments at which a fault test may hold a process to kill it there. Does nothing unless `arm_from` is called.

A test arms a moment by creating `<dir>/arm/<point>`. The first process to reach it renames that file to
`<dir>/held/<point>.<pid>` and stands still, all of it, until it is killed from outside.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

# Every moment between two durable facts on the path of a call, in the order of the path.
POINTS: Final = (
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
    """Called once at start with the setting VIOX_HOLD_DIR."""
    global _directory
    _directory = directory


def reached(point: str) -> None:
    """Say that this moment is reached; stand still when it is armed."""
    if _directory is not None:
        _hold(_directory, point)


def _hold(directory: Path, point: str) -> None:
    assert point in POINTS, point  # noqa: S101  # a moment nobody can arm would never be tested
    try:
        os.rename(directory / "arm" / point, directory / "held" / f"{point}.{os.getpid()}")
    except FileNotFoundError:
        return
    while True:
        time.sleep(60)

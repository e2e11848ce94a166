"""Waiting for what vendors do in their own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def eventually(holds: Callable[[], Any], what: str = "it", seconds: float = 60) -> Any:
    """What `holds` answers as soon as it is true."""
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until, f"{what} never came"
        time.sleep(0.02)
    return found

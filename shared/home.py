"""Where a stack on this machine keeps its state. Apart from the settings, so that a command can ask without loading them."""

from __future__ import annotations

import os
from pathlib import Path


def state_home() -> Path:
    """`VIOX_HOME`, or the place for who asks."""
    given = os.environ.get("VIOX_HOME")
    return Path(given) if given else default_home()


def default_home() -> Path:
    """For root a place that an unprivileged Postgres can reach, else the user's own."""
    if os.geteuid() == 0:
        return Path("/var/lib/viox")
    return Path(os.environ.get("XDG_STATE_HOME", "~/.local/state")).expanduser() / "viox"

"""Which policies a deployment has: ours, and what VIOX_POLICIES adds or puts in their place.

Ours are `common.cedar` here and each agent's `policy.cedar`, known as `closer.cedar` and so on. A file of VIOX_POLICIES
with one of these names takes its place; others come beside them.
"""

from __future__ import annotations

import os
from pathlib import Path

from shared.bus.topics import service_of
from shared.errors import BadInput

HERE = Path(__file__).parent
SERVICES = Path(__file__).parents[2]


def texts(setting: str | None) -> dict[str, str]:
    """Name of a file → its policies. `setting`: VIOX_POLICIES, files or folders, separated as in PATH. Raises BadInput."""
    given: dict[str, Path] = {}
    for file in (found for part in (setting or "").split(os.pathsep) if part for found in _files(Path(part))):
        if file.name in given:
            raise _invalid(f"{given[file.name]} and {file} have the same name.")
        given[file.name] = file
    return {name: _read(file) for name, file in (own() | given).items()}


def own() -> dict[str, Path]:
    """Our own files by their names."""
    agents = {f"{service_of(file.parent.name)}.cedar": file for file in sorted(SERVICES.glob("*/policy.cedar"))}
    return {"common.cedar": HERE / "common.cedar"} | agents


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise _invalid(f"{path} does not exist.")
    found = sorted(path.glob("*.cedar")) if path.is_dir() else [path]
    if not found:
        raise _invalid(f"{path} has no *.cedar file.")
    if wrong := [file for file in found if file.suffix != ".cedar"]:
        raise _invalid(f"{wrong[0]} is not called *.cedar.")
    return found


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(f"{file} cannot be read: {error}.") from error


def _invalid(message: str) -> BadInput:
    return BadInput("settings.invalid", message, field="VIOX_POLICIES")

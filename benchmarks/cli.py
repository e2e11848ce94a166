"""CPU seconds of a command, from a fresh process to its end, against the stack that runs (`viox up`).

    python -m benchmarks.cli [--against OTHER_CHECKOUT] [--times 5] [--json FILE]

The other checkout has its own `.venv`; both ask the same stack, in turns. What counts is the least of the measurements:
everything else a machine does can only add to it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent.parent
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("--help",),
    ("runs",),
    ("runs", "--json"),
    ("calls",),
    ("unknowns",),
    ("dead-letters",),
    ("tools",),
    ("status",),
)


def cpu_seconds(tree: Path, command: Sequence[str]) -> float:
    """User and system time of one run. Raises RuntimeError when the command fails."""
    process = subprocess.Popen(
        [tree / ".venv" / "bin" / "python", "-m", "viox", *command],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    told = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"viox {' '.join(command)} in {tree}: {told}")
    return used.ru_utime + used.ru_stime


def measure(trees: Sequence[Path], times: int) -> dict[str, list[float]]:
    """Command → the least CPU seconds in each tree."""
    found: dict[str, list[float]] = {}
    for command in COMMANDS:
        rounds = [[cpu_seconds(tree, command) for tree in trees] for _ in range(times)]
        found["viox " + " ".join(command)] = [round(min(one), 3) for one in zip(*rounds, strict=True)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--against", type=Path)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    trees = [*([given.against.resolve()] if given.against else []), HERE]
    found = measure(trees, given.times)
    sys.stdout.write(f"{'CPU seconds':<20}{''.join(f'{tree.name:>10}' for tree in trees)}\n")
    for command, seconds in found.items():
        sys.stdout.write(f"{command:<20}{''.join(f'{one:>10.2f}' for one in seconds)}\n")
    if given.json:
        given.json.write_text(json.dumps({"trees": [str(tree) for tree in trees], "cpu_seconds": found}, indent=1))


if __name__ == "__main__":
    main()

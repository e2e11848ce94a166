"""Checkpoints that are remembered outside Postgres: in a file of this machine, and on a topic.

They are what a restored or rewritten database is found out by, so they are read before anything is signed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from shared.audit.verify import Checkpoint, Refused

FILE = "checkpoints.jsonl"
MOST_BYTES = 64_000_000  # then the file is put aside, and one before it goes
TAIL = 65_536
ReadTopic = Callable[[], Awaitable[list[bytes]]]


class CheckpointFile:
    """One line of JSON for each checkpoint, the newest at the end. Appended, never rewritten."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def newest(self) -> Checkpoint | None:
        """Raises Refused when there is a file, and nothing of it can be read."""
        for path in (self.path, self._aside):
            lines = _tail(path)
            for line in reversed(lines):
                if found := _read(line):
                    return found
            if lines:
                raise Refused(f"{path} holds no checkpoint at its end")
        return None

    def every(self) -> Iterator[Checkpoint]:
        """All that can be read, the newest last."""
        for path in (self._aside, self.path):
            if path.exists():
                with path.open(errors="replace") as lines:
                    yield from filter(None, map(_read, lines))

    def append(self, note: str) -> None:
        """On disk when this returns. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.path.exists() and self.path.stat().st_size > MOST_BYTES:
            self.path.replace(self._aside)
        line = json.dumps({"at": datetime.now(UTC).isoformat(), "checkpoint": note})
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(fd, f"{'' if _ends_whole(self.path) else chr(10)}{line}\n".encode())
            os.fsync(fd)
        finally:
            os.close(fd)

    @property
    def _aside(self) -> Path:
        return self.path.with_suffix(".before.jsonl")


def _tail(path: Path) -> list[str]:
    """Whole lines at the end of a file."""
    try:
        with path.open("rb") as file:
            start = max(file.seek(0, os.SEEK_END) - TAIL, 0)
            file.seek(start)
            raw = file.read()
    except FileNotFoundError:
        return []
    lines = raw.split(b"\n")
    return [line.decode(errors="replace") for line in lines[1 if start else 0 :] if line]


def _ends_whole(path: Path) -> bool:
    """Whether the last line was written to its end, before a crash."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _read(line: str) -> Checkpoint | None:
    try:
        return Checkpoint.read(json.loads(line)["checkpoint"])
    except (ValueError, KeyError, TypeError, Refused):
        return None


def publish_key(folder: Path, key: str) -> None:
    """The public key beside the checkpoints, for whoever verifies on this machine."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / "key.pub"
    if not file.exists() or file.read_text() != key:
        file.write_text(key)


class CheckpointTopic:
    """What the topic held when this process began. What has been signed since is ours."""

    def __init__(self, read: ReadTopic) -> None:
        self._read = read
        self._found: list[Checkpoint] | None = None

    async def newest(self) -> list[Checkpoint]:
        """The largest checkpoint of each log. Raises what the broker says while it cannot be read."""
        if self._found is None:
            by_log: dict[str, Checkpoint] = {}
            for one in _of_records(await self._read()):
                if one.origin not in by_log or by_log[one.origin].size < one.size:
                    by_log[one.origin] = one
            self._found = list(by_log.values())
        return self._found


def _of_records(values: list[bytes]) -> Iterator[Checkpoint]:
    for value in values:
        try:
            told: Any = orjson.loads(value)
            told = told.get("data", told)
            yield Checkpoint.read(told["checkpoint"])
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, Refused):
            continue  # not ours: the topic's rights say who may write it

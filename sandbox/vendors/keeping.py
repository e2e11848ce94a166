"""What emulators know outlives their process: one file a vendor, written after changes and at the end.

Each emulator names what lasts (`lasting`, as dotted paths); limits, faults, queues and access tokens do not. A file is
replaced as a whole, so a kill costs at most what the last fraction of a second changed. It is read with a list of the few
classes that may be in it.
"""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import sys
import time
from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from sandbox.vendors.common import Emulator

EVERY_SECONDS = 0.5
SETTLE_SECONDS = 5.0  # a request may go on changing things by timers
SHARE = 0.05  # of the process's time that saving may take
VERSION = 1
KNOWN_CLASSES = {
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("collections", "Counter"),
    ("datetime", "datetime"),
    ("datetime", "timezone"),
    ("datetime", "timedelta"),
    ("decimal", "Decimal"),
    ("random", "Random"),
    ("sandbox.vendors.stripe", "Outcome"),
}


class Keeper:
    """The files of some emulators in one folder."""

    def __init__(self, emulators: Mapping[str, Emulator], folder: Path) -> None:
        self._emulators, self._folder = emulators, folder
        self._saved: dict[str, int] = {}
        self._changed_at: dict[str, float] = {}

    def load(self) -> None:
        """Give each emulator back what it knew. A file that cannot be read is set aside, and said."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, emulator in self._emulators.items():
            file = self._file(name)
            try:
                restore(emulator, file.read_bytes())
            except FileNotFoundError:
                continue
            except Exception as error:  # noqa: BLE001  # whatever is wrong with it, the vendor starts empty
                file.replace(file.with_suffix(".unreadable"))
                sys.stderr.write(f"vendor {name} starts empty: {file.name} cannot be read: {error!r}\n")

    async def run(self) -> None:
        """Save what changed, for as long as the emulators serve."""
        while True:
            started = time.monotonic()
            self.save()
            await asyncio.sleep(max(EVERY_SECONDS, (time.monotonic() - started) / SHARE))

    def save(self, *, everything: bool = False) -> None:
        """Write the files of those that changed, lately or since the last time."""
        now = time.monotonic()
        for name, emulator in self._emulators.items():
            if emulator.touched != self._saved.get(name, 0):
                self._changed_at[name] = now
            if everything or now - self._changed_at.get(name, -SETTLE_SECONDS) < SETTLE_SECONDS:
                self._saved[name] = emulator.touched
                self._write(name, snapshot(emulator))

    def _write(self, name: str, content: bytes) -> None:
        file = self._file(name)
        fresh = file.with_suffix(".new")
        try:
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
                handle.write(content)
            fresh.replace(file)
        except OSError as error:  # a full disk costs the memory of what happened, not the vendor
            sys.stderr.write(f"vendor {name} is not saved: {error}\n")

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.state"


def snapshot(emulator: Emulator) -> bytes:
    """All that lasts, with what is shared between its parts still shared."""
    values = {path: _at(emulator, path) for path in emulator.lasting}
    made = io.BytesIO()
    _Referring(made, emulator).dump({"version": VERSION, "monotonic": time.monotonic(), "values": values})
    return made.getvalue()


def restore(emulator: Emulator, content: bytes) -> None:
    """The inverse of `snapshot`. Raises when the content is not of this version or holds anything it should not."""
    found = _Careful(io.BytesIO(content), emulator).load()
    if found["version"] != VERSION or set(found["values"]) != set(emulator.lasting):
        raise ValueError("it was written by another version")
    restarted = found["monotonic"] - time.monotonic()
    if restarted > 0:  # the machine's clock began anew: what happened before is now in the past again
        _shift(found["values"], restarted)
    for path, value in found["values"].items():
        owner, _, name = path.rpartition(".")
        setattr(_at(emulator, owner) if owner else emulator, name, value)


class _Referring(pickle.Pickler):
    """Rows refer to the clock of their emulator, which is a part of the process and no part of what it knows."""

    def __init__(self, file: io.BytesIO, emulator: Emulator) -> None:
        super().__init__(file)
        self._emulator = emulator

    def persistent_id(self, value: Any) -> str | None:
        return "clock" if value is self._emulator.clock else None


class _Careful(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, emulator: Emulator) -> None:
        super().__init__(file)
        self._emulator = emulator

    def persistent_load(self, reference: str) -> Any:
        if reference != "clock":
            raise pickle.UnpicklingError(f"{reference!r} is nothing that is referred to")
        return self._emulator.clock

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN_CLASSES:
            raise pickle.UnpicklingError(f"{module}.{name} may not be in it")
        return super().find_class(module, name)


def _at(owner: Any, path: str) -> Any:
    return reduce(getattr, path.split("."), owner)


def _shift(value: Any, seconds: float) -> None:
    """Moments of the monotonic clock, which emulators keep as `at` or `_at`, into the clock of this boot."""
    for part in _parts(value):
        fields = part if isinstance(part, dict) else vars(part)
        for name in ("at", "_at"):
            if isinstance(fields.get(name), float) and fields[name] < 1e9:  # above are times of day
                fields[name] -= seconds


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _parts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _parts(inner)
    elif hasattr(value, "at"):
        yield value

"""Emulators on a thread of their own, for SDKs that block."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.vendors.common import Emulator
from sandbox.vendors.main import start


class Served:
    """An emulator being served; `url` is its base."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._runner, port = asyncio.run_coroutine_threadsafe(start(emulator, 0), self._loop).result(60)
        self.url = f"http://127.0.0.1:{port}"

    def fault(self, **what: Any) -> None:
        self.control("faults", **what)

    @property
    def operations(self) -> list[str]:
        """What really happened, in order."""
        return [effect["operation"] for effect in self.emulator.effects]

    def control(self, name: str, /, **what: Any) -> Any:
        """POST to one of the emulator's controls: what customers, banks, time and tests do."""
        request = urllib.request.Request(
            f"{self.url}/_sandbox/{name}", json.dumps(what).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The emulator's time stands still: it moves only by `passes`, however slow the machine is."""
        self.control("clock", stopped=True)
        try:
            yield
        finally:
            self.control("clock", stopped=False)

    def passes(self, seconds: float) -> None:
        """Let time pass on a stopped clock; what was due in it has happened when this returns."""
        self.control("clock", seconds=seconds)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

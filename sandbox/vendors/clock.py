"""An emulator's time. It runs by itself; a test that needs a state to last stops it and says when time passes.

POST /_sandbox/clock   {"stopped": true}   nothing happens by itself any more
                       {"seconds": 0.5}    so much time passes at once, and what was due in it happens, in order
                       {"stopped": false}  what still waits happens now; time runs again
                       {"skip": 172800}    so much time passes at once of a clock that runs, and it runs on
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web


@dataclass(eq=False)
class Timer:
    """Something that will happen at a moment of the clock, unless it is cancelled before."""

    at: float
    step: Callable[[], Any]
    over: bool = False
    handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        self.over = True
        self.cancel_handle()

    def cancel_handle(self) -> None:
        if self.handle:
            self.handle.cancel()

    def happen(self) -> None:
        if not self.over:
            self.over = True
            self.step()


class Clock:
    """Seconds that only go forward. Stop it before something is to happen: what was set to a running clock still happens."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._stopped: float | None = None
        self._timers: list[Timer] = []
        self._running: list[Timer] = []  # of a clock that runs

    def now(self) -> float:
        """Seconds since an arbitrary moment."""
        return time.monotonic() + self._ahead if self._stopped is None else self._stopped

    def later(self, seconds: float, step: Callable[[], Any]) -> Timer:
        """Do something when so many seconds have passed."""
        timer = Timer(self.now() + seconds, step)
        if self._stopped is None:
            self._run(timer)
        else:
            self._timers.append(timer)
        return timer

    def _run(self, timer: Timer) -> None:
        """Have it happen when a clock that runs has come to its moment."""
        self._running = [one for one in self._running if not one.over] + [timer]
        timer.handle = asyncio.get_running_loop().call_later(max(timer.at - self.now(), 0.0), timer.happen)

    async def sleep(self, seconds: float) -> None:
        """Until so many seconds have passed."""
        passed = asyncio.Event()
        timer = self.later(seconds, passed.set)
        try:
            await passed.wait()
        finally:
            timer.cancel()

    def stop(self) -> None:
        self._stopped = self.now()

    def pass_by(self, seconds: float) -> None:
        """Let time pass. Raises ValueError when the clock runs by itself."""
        if self._stopped is None:
            raise ValueError("stop the clock first")
        until = self._stopped + seconds
        while due := [timer for timer in self._timers if timer.at <= until]:
            first = min(due, key=lambda timer: timer.at)
            self._timers.remove(first)
            self._stopped = max(self._stopped, first.at)
            first.happen()
        self._stopped = until

    def skip(self, seconds: float) -> None:
        """Let time pass at once, and run on: what is due later happens so much earlier than it would have."""
        if self._stopped is not None:
            self.pass_by(seconds)
            return
        self.stop()
        waiting = [timer for timer in self._running if not timer.over]
        for timer in waiting:
            timer.cancel_handle()
        self._timers += waiting
        self.pass_by(seconds)
        self._ahead, self._stopped = self.now() - time.monotonic(), None
        left, self._timers = self._timers, []
        for timer in left:
            self._run(timer)

    def go_on(self) -> None:
        """Run by itself again. What still waits happens now."""
        if self._stopped is None:
            return
        while self._timers:
            self.pass_by(max(max(timer.at for timer in self._timers) - self._stopped, 0.0))
        self._ahead = self._stopped - time.monotonic()
        self._stopped = None

    async def told(self, request: web.Request) -> web.Response:
        """The control: stop, let time pass, go on."""
        given = await request.json()
        if given.get("stopped"):
            self.stop()
        if "seconds" in given:
            self.pass_by(given["seconds"])
        if "skip" in given:
            self.skip(given["skip"])
        if given.get("stopped") is False:
            self.go_on()
        return web.json_response({"stopped": self._stopped is not None})

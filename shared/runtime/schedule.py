"""Which threads are worked on: woken by messages, found by the sweep, each by one task, so many at once."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from shared.ids import ThreadId
from shared.runtime.store import Claimed, RuntimeStore
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
SWEEP_SECONDS = 0.5
MAX_AWAITING = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a lease lasts, how often a message may fail, how many threads are worked on at once."""

    lease_seconds: float
    max_attempts: int
    concurrency: int


class Scheduler:
    """Works on the threads of one agent, several at once, never one twice at a time.

    `activate(thread, claimed)` does one activation, `claimed` being what was claimed already, and says whether there is
    more to do at once.
    """

    def __init__(
        self,
        activate: Callable[[ThreadId, Claimed | None], Awaitable[bool]],
        store: RuntimeStore,
        owner: str,
        limits: Limits,
    ) -> None:
        self._activate = activate
        self._store = store
        self._owner = owner
        self._limits = limits
        self._active: set[ThreadId] = set()
        self._again: set[ThreadId] = set()
        self._awaiting: OrderedDict[ThreadId, set[str]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._draining = False

    @property
    def has_room(self) -> bool:
        """Whether a thread that is taken now is worked on at once."""
        return not self._draining and len(self._active) < self._limits.concurrency

    def wake(self, thread: ThreadId) -> None:
        """There is something for this thread. If it is being worked on, look once more afterwards."""
        if self._draining:
            return
        if thread in self._active:
            self._again.add(thread)
            return
        self._begin(thread, None)

    def work_on(self, claimed: Claimed) -> None:
        """Work on a thread that was claimed when its first message was stored."""
        self._begin(claimed.thread_id, claimed)

    def awaits(self, thread: ThreadId, calls: Iterable[str]) -> None:
        """This thread waits for these calls: it need not be woken before the last one."""
        self._awaiting[thread] = set(calls)
        self._awaiting.move_to_end(thread)
        while len(self._awaiting) > MAX_AWAITING:
            self._awaiting.popitem(last=False)

    def closed(self, thread: ThreadId, call: str) -> None:
        """A call is said to be closed. The message only wakes: whether it is, its row says."""
        waits = self._awaiting.get(thread)
        if waits is not None:
            waits.discard(call)
            if waits:
                return
            del self._awaiting[thread]
        self.wake(thread)

    async def run_sweeper(self) -> None:
        """Find threads nobody works on, and keep the leases of those we do."""
        renewed = time.monotonic()
        while True:
            try:
                if self._active and time.monotonic() - renewed > self._limits.lease_seconds / 4:
                    renewed = time.monotonic()
                    await self._store.renew(list(self._active), self._owner, self._limits.lease_seconds)
                for thread in await self._store.due():
                    if thread not in self._active:
                        self.wake(thread)
            except Exception as error:  # noqa: BLE001  # Postgres away: try again, nothing is lost meanwhile
                log.warning("threads.sweep_failed", error=error)
            await asyncio.sleep(SWEEP_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Finish what is under way; what does not finish in time is taken up by whoever comes next."""
        self._draining = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def _begin(self, thread: ThreadId, claimed: Claimed | None) -> None:
        self._active.add(thread)
        task = asyncio.create_task(self._work(thread, claimed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, thread: ThreadId, claimed: Claimed | None) -> None:
        try:
            async with self._slots:
                more = True
                while more and (claimed or not self._draining):
                    self._again.discard(thread)
                    more = await self._activate(thread, claimed) or thread in self._again
                    claimed = None
        finally:
            self._active.discard(thread)

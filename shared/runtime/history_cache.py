"""What this process remembers of the threads it worked on, so that a long one is not read anew for every turn."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.ids import ThreadId
from shared.models.port import Messages
from shared.runtime.history import Step, conversation, is_summary
from shared.runtime.store import Claimed, Commit, RuntimeStore

THREADS = 1024


@dataclass(slots=True)
class Past:
    """A thread's steps up to a version."""

    version: int
    steps: list[Step]
    _messages: Messages = field(default_factory=Messages)
    _told: int = 0

    @property
    def messages(self) -> Messages:
        """The conversation that the steps make. Only what came since it was last asked for is added."""
        fresh = self.steps[self._told :]
        if any(is_summary(step) for step in fresh):
            self._messages, fresh = Messages(), self.steps
        self._messages.extend(conversation(fresh))
        self._told = len(self.steps)
        return self._messages


class HistoryCache:
    """A cache in front of the steps table; a thread's version says whether it is current."""

    def __init__(self, store: RuntimeStore) -> None:
        self._store = store
        self._threads: OrderedDict[ThreadId, Past] = OrderedDict()

    async def of(self, claimed: Claimed) -> Past:
        """Everything that happened on the thread before this activation."""
        known = self._threads.get(claimed.thread_id)
        if known is None or known.version != claimed.version:
            steps = await self._store.steps(claimed.thread_id) if claimed.next_seq else []
            known = Past(claimed.version, steps)
            self._keep(claimed.thread_id, known)
        return known

    def add(self, work: Commit) -> None:
        """What has been committed is past now."""
        thread = work.claimed.thread_id
        known = self._threads.get(thread)
        if known is None or known.version != work.claimed.version:
            self.forget(thread)
            return
        known.version += 1
        known.steps.extend(work.steps)
        self._keep(thread, known)

    def steps(self, thread: ThreadId) -> Sequence[Step]:
        """What is known of the thread; empty when it was forgotten."""
        known = self._threads.get(thread)
        return known.steps if known else ()

    def forget(self, thread: ThreadId) -> None:
        """Somebody else moved it on."""
        self._threads.pop(thread, None)

    def _keep(self, thread: ThreadId, past: Past) -> None:
        self._threads[thread] = past
        self._threads.move_to_end(thread)
        while len(self._threads) > THREADS:
            self._threads.popitem(last=False)

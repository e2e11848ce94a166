"""How long a thread that fails is left alone."""

from __future__ import annotations

from uuid import uuid4

from shared.ids import ThreadId
from shared.runtime.backoff import LONGEST_SECONDS, THREADS, ThreadBackoff, backoff


def test_each_failure_in_a_row_doubles_the_wait_up_to_a_minute() -> None:
    assert [backoff(n, 0.5) for n in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]
    assert backoff(10**9, 0.5) == LONGEST_SECONDS


def test_a_thread_that_moved_on_starts_anew() -> None:
    counted, thread = ThreadBackoff(), ThreadId(uuid4())
    assert [counted.failed(thread, 0), counted.failed(thread, 0)] == [1, 2]
    counted.owe(thread, 0)
    assert (counted.owed(thread, 0), counted.owed(thread, 1)) == (1, 0)
    assert counted.failed(thread, 1) == 1, "somebody else moved it on"
    counted.over(thread)
    assert counted.failed(thread, 1) == 1


def test_threads_that_never_come_back_are_forgotten() -> None:
    counted, first = ThreadBackoff(), ThreadId(uuid4())
    counted.failed(first, 0)
    for _ in range(THREADS):
        counted.failed(ThreadId(uuid4()), 0)
    assert len(counted._threads) == THREADS
    assert counted.failed(first, 0) == 1

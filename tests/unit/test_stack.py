"""The supervisor on bad days: a full disk, a broker that needs longer, a service that always crashes, an odd answer."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sandbox.broker import Broker
from sandbox.children import LONGEST_PAUSE_SECONDS
from sandbox.forking import Seat, run
from sandbox.infrastructure import Infrastructure
from sandbox.net import ready
from sandbox.plan import Plan
from sandbox.stack import Child, Stack
from shared.entry import UNUSABLE_SETTINGS
from shared.errors import BadInput, VioxError


def child(**more: Any) -> Child:
    return Child(Seat("closer", "services.closer.main", Path("closer.log"), {}), "closer", 0, **more)


class Full(io.StringIO):
    """A log on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_takes_no_service_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the state nor the line that says so can be written."""
    monkeypatch.setattr(sys, "stderr", Full())
    stack = Stack(Plan(tmp_path / "gone"))
    stack._ports = defaultdict(int)
    stack._children.append(child(pid=1))
    stack._check_ready()
    assert stack._children[0].ready
    assert not stack._ending


def test_status_while_the_stack_starts_says_what_is_not_there_yet(tmp_path: Path) -> None:
    """The state is written before there is a Postgres, and before its tables are."""
    stack = Stack(Plan(tmp_path, ("closer",)))
    stack._take_lock()
    stack._ports = defaultdict(int)
    stack._write_state(ready=False)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VIOX_")}
    environment |= {"VIOX_HOME": str(tmp_path)}

    def viox(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "viox", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    told = viox("status")
    assert (told.returncode, told.stderr) == (0, "")
    assert "postgres  starting" in told.stdout
    assert "kafka     starting" in told.stdout
    assert "Postgres does not say" in told.stdout
    found = json.loads(viox("status", "--json").stdout)
    assert (found["postgres"], found["ready"], found["held_up"]) == (None, False, None)
    refused = viox("runs")
    assert refused.returncode == 1
    assert "error[stack.starting] VIOX_HOME" in refused.stderr
    stack._lock.close()


def test_a_service_that_crashed_a_thousand_times_is_started_again(tmp_path: Path) -> None:
    crashing = child(restarts=2000, pid=7, started=time.monotonic())
    Stack(Plan(tmp_path))._died(crashing, 1)
    assert (crashing.pid, crashing.restarts) == (0, 2001)
    assert crashing.again_at <= time.monotonic() + LONGEST_PAUSE_SECONDS


REFUSING = """
from shared.errors import BadInput
class app:
    @staticmethod
    def serve(label):
        raise BadInput("policy.invalid", "house.cedar: no such tool.", field="VIOX_POLICIES", remedy="See docs.")
"""


def test_settings_that_no_start_can_help_end_the_stack_with_the_services_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "refusing.py").write_text(REFUSING)
    monkeypatch.syspath_prepend(str(tmp_path))
    seat = Seat("closer", "refusing", tmp_path / "closer.log", {"PYTHONPATH": str(tmp_path)})
    process = multiprocessing.get_context("fork").Process(target=run, args=(seat,))
    process.start()
    process.join(20)
    assert process.exitcode == UNUSABLE_SETTINGS
    stack, refused = Stack(Plan(tmp_path)), Child(seat, "closer", 0)
    with pytest.raises(BadInput) as told:
        stack._died(refused, UNUSABLE_SETTINGS)
    assert (told.value.code, told.value.field) == ("policy.invalid", "VIOX_POLICIES")
    assert told.value.message == "closer: house.cedar: no such tool."
    stack._ready_at = 1.0
    stack._died(refused, UNUSABLE_SETTINGS)
    assert refused.again_at, "a stack that was ready goes on without it, and tries again"


class SlowBroker:
    """Has ended; starting it succeeds at the second try."""

    def __init__(self) -> None:
        self.process: Any = SimpleNamespace(poll=lambda: 1)
        self.starts = 0

    def start(self) -> None:
        self.starts += 1
        if self.starts == 1:
            raise VioxError("broker.start_failed", "the broker did not start.")
        self.process = SimpleNamespace(poll=lambda: None)


class Mending(Infrastructure):
    """A broker whose topics can be created at the second try."""

    tries = 0

    def _in_child(self, action: Callable[[], str]) -> str:
        return action()

    def _prepare_broker(self) -> str:
        self.tries += 1
        if self.tries == 1:
            raise VioxError("stack.prepare_failed", "no Kafka broker answers.")
        return "enforced"


def test_a_broker_that_needs_longer_is_tried_again_after_a_pause(tmp_path: Path) -> None:
    kept, broker = Mending(Plan(tmp_path), print), SlowBroker()
    kept._broker = cast(Broker, broker)
    kept.keep()
    assert (broker.starts, kept.tries) == (1, 0)
    assert kept._mend_at > 0, "not again at once"
    for _ in range(3):
        kept._mend_at = 0.0
        kept.keep()
    assert (broker.starts, kept.tries) == (2, 2), "both worked the second time, and were left alone then"
    assert kept._mends_failed == 0


@pytest.mark.parametrize("answer", [b"garbage\r\n\r\n", b"", b"HTTP/1.1 503 No\r\n\r\n"])
def test_an_odd_answer_means_not_ready(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        assert ready(server.getsockname()[1]) is False
        serving.join(60)

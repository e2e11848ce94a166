"""A database is lost and restored to a moment before: docs/operations-guide.md, carried out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox import children
from sandbox.passwords import Passwords
from sandbox.postgres import binary
from tests.conftest import Deployment
from tests.journeys.test_sales import texts, until

PEOPLE = """people:
  - {name: Dana, sms: "+14155550199", email: dana@example.com, roles: [owner]}
"""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Deployment]:
    (tmp_path / "people.yaml").write_text(PEOPLE)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VIOX_")} | {
        "VIOX_HOME": str(tmp_path / "home"),
        "VIOX_WAL_ARCHIVE": str(tmp_path / "wal"),
        "VIOX_PEOPLE": str(tmp_path / "people.yaml"),
        "VIOX_PORT_BASE": "0",
        "VIOX_LEASE_SECONDS": "4",
        "HUBSPOT_RATE_PER_SECOND": "1000",
    }
    made = Deployment(tmp_path / "home", environment)
    start(made)
    yield made
    made("down")


def start(stack: Deployment, only: str = "gateway,closer") -> None:
    started = stack("up", "--only", only, "--models", "offline", "--json")
    assert started.code == 0, started.err


def base_backup(stack: Deployment, to: Path) -> None:
    port = stack.state["postgres"].rsplit(":", 1)[1]
    password = Passwords(stack.home / "secrets", "postgres-").of("postgres")
    command = [
        binary("pg_basebackup"),
        "-h",
        "127.0.0.1",
        "-p",
        port,
        "-U",
        "postgres",
        "-D",
        to,
        "-c",
        "fast",
        "-X",
        "stream",
    ]
    subprocess.run(command, check=True, env=os.environ | {"PGPASSWORD": password}, capture_output=True)


def restore(stack: Deployment, base: Path, wal: Path, to: str) -> None:
    """In the place of the database that was lost."""
    data = stack.home / "postgres"
    data.rename(stack.home / "postgres.lost")
    shutil.copytree(base, data)
    (data / "recovery.signal").touch()
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            f"restore_command = 'cp {wal}/%f %p'\nrecovery_target_time = '{to}'\nrecovery_target_action = 'promote'\n"
        )
    data.chmod(0o700)
    children.give_to_unprivileged(data)


def greet(stack: Deployment) -> tuple[str, dict[str, Any]]:
    """A lead comes in, and is written to. The number, and the event."""
    number = f"+1415{uuid.uuid4().int % 10_000_000:07d}"
    lead = {
        "email": f"{uuid.uuid4().hex[:8]}@example.com",
        "first_name": "Sol",
        "phone": number,
        "interest": "a roof",
        "amount_cents": 5000,
    }
    event = {"specversion": "1.0", "id": uuid.uuid4().hex, "source": "/crm", "type": "viox.lead.created", "data": lead}
    assert stack("publish", "--json", stdin=json.dumps(event)).code == 0
    until(lambda: len(texts(stack, number)) == 1)
    return number, event


def signed(stack: Deployment) -> int:
    """How many entries are signed, as soon as all are."""
    told = until(lambda: (now := stack("audit", "status", "--json").json()) and now["leaves"] == now["signed"] and now)
    return int(told["signed"])


def calls_to(stack: Deployment, number: str) -> int:
    """Calls on record that name a number."""
    listed = stack("calls", "--json", "--limit", "200").json()["items"]
    return sum(
        number in json.dumps(stack("call", one["call_id"], "--json").json())
        for one in listed
        if "twilio" in one["tool"]
    )


def test_a_database_restored_to_a_moment_is_found_out_and_goes_on(stack: Deployment, tmp_path: Path) -> None:
    greet(stack)
    base_backup(stack, tmp_path / "base")
    before, _ = greet(stack)
    kept = signed(stack)
    time.sleep(1.5)  # the moment lies between two transactions: that is what is restored to
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    time.sleep(1.5)
    after, event = greet(stack)
    lost = signed(stack)
    assert lost > kept
    assert stack("down").code == 0

    restore(stack, tmp_path / "base", tmp_path / "wal", moment)
    start(stack, "console")  # nothing goes out until a person has looked
    assert stack("pause", "all", "--by", "Dana").code == 0
    assert stack("down").code == 0
    start(stack)

    # It is found out, and nothing is signed.
    told = until(lambda: (now := stack("audit", "status", "--json").json()) and now["stopped"] and now)
    assert "the database is older" in told["stopped"]
    assert f"{lost} were signed" in told["stopped"]
    assert calls_to(stack, before) > 0
    assert calls_to(stack, after) == 0  # and the vendor sent it
    assert stack("audit", "verify").code == 4

    restarted = stack("audit", "restart", "--reason", f"restored to {moment}", "--by", "Dana")
    assert restarted.code == 0, restarted.err
    assert stack("publish", "--json", stdin=json.dumps(event)).code == 0  # what came in after the moment comes in again
    assert stack("resume", "all", "--by", "Dana").code == 0
    until(lambda: len(texts(stack, after)) == 1)
    greet(stack)
    until(lambda: stack("audit", "status", "--json").json()["stopped"] is None)
    signed(stack)
    verified = stack("audit", "verify", "--json")
    assert (verified.code, verified.json()["problems"]) == (0, [])

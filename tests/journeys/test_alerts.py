"""Alerts that fire: a real Prometheus with our rules scrapes a real stack in which what they are for happens.

Waiting times are shortened, and the ages that are waited for; the rest of each rule is as it is delivered.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from sandbox.postgres import Postgres
from sandbox.scenarios import upstream
from shared.audit.notes import Signer
from shared.audit.verify import Checkpoint
from shared.bus import topics
from tests.conftest import Deployment, deployed
from tests.journeys.test_command_line import lead
from tests.journeys.test_faults import straight_to_kafka
from tests.journeys.test_monitoring import MONITORING, got, scraping
from tests.traces.receivers import Receiver, receiving

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not here (Debian: prometheus)"
)
SOONER = {"VioxUnknownOld": ("> 600", "> 0.5"), "VioxAuditCheckpointOld": ("> 30", "> 3")}
# Tried by promtool alone (rules_test.yaml), and why.
NOT_PROVOKED = {
    "VioxServiceNotReady": "a service that is not ready in a stack that runs is one without Kafka or Postgres, which the test needs",
    "VioxOutboxOld": "a receiver would have to hang in the moment between a message and its mark",
    "VioxLagWhileHealthy": "a service that is well takes records faster than a test can write more than a hundred",
    "VioxToolErrorsFast": "a share of an hour's calls, of which there are too few here",
    "VioxToolErrorsSlow": "the same, of six hours",
    "VioxLoopStopped": "a loop takes more rounds through a vendor's webhooks than fit here",
    "VioxModelsFail": "rules stand in for models in this stack, and they do not fail",
    "VioxBudgetEnded": "a budget that ends stops the agents",
    "VioxAuditNotWritable": "Postgres would have to refuse the gateway's writes, which stops everything else",
    "VioxAuditWitnessOld": "this stack has no witness",
}


def sooner(folder: Path) -> tuple[Path, set[str]]:
    """The delivered rules without their patience, and the names of all alerts."""
    document = yaml.safe_load((MONITORING / "rules.yaml").read_text())
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    for rule in rules:
        rule["for"] = "0s"
        if rule["alert"] in SOONER:
            late, soon = SOONER[rule["alert"]]
            assert late in rule["expr"], rule
            rule["expr"] = rule["expr"].replace(late, soon)
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump(document))
    return file, {rule["alert"] for rule in rules}


class Trouble:
    """What goes wrong in a stack, each thing until the test has seen its alert."""

    def __init__(self, deployment: Deployment, backends: Receiver, admin: Any) -> None:
        self.deployment, self.backends, self.admin = deployment, backends, admin
        self.ends = AsyncExitStack()

    async def dead_letter(self) -> None:
        await self._on_kafka(lead() | {"type": "viox.lead.wrong"})

    async def conflict(self) -> None:
        """One identity, two contents."""
        told = lead()
        for name in ("Ana", "Bruno"):
            await self._on_kafka(told | {"data": told["data"] | {"first_name": name}})

    async def spans_dropped(self) -> None:
        self.backends.behaviour = "500"
        self.ends.callback(setattr, self.backends, "behaviour", "take")
        self._publish(lead())

    async def unknown(self) -> None:
        """A contact is created, the answer is lost, and for a while the vendor cannot be asked, but for the agent's own look before."""
        contacts = "/crm/v3/objects/contacts"
        self.deployment.fault("hubspot", kind="cut_after", method="POST", path=contacts, count=1)
        self.deployment.fault("hubspot", kind="500", method="GET", path=f"{contacts}/", skip=1, count=5)
        self._publish(lead())

    async def approval(self) -> None:
        """A refund that waits for a person, and has been for most of its time."""
        charge = await upstream.charge(self.deployment.state["vendors"]["stripe"], 18_000, "a roof")
        assert self.deployment("ask", "controller", f"Refund 45.00 USD of {charge}: one tile was missing.").code == 0
        deadline = time.monotonic() + 60
        aged = "update approvals set expires_at = now() + interval '30 minutes' where state = 'waiting' returning 1"
        while not await self.admin.fetch(aged):
            assert time.monotonic() < deadline, "nothing waits for a person"
            await asyncio.sleep(0.3)

    async def vendor_away(self) -> None:
        self.deployment.fault("hubspot", kind="500", count=12)
        self._publish(*(lead() for _ in range(4)))

    async def audit_of_another_key(self) -> None:
        """The gateway finds a checkpoint that it did not sign."""
        file = self.deployment.home / "audit" / "checkpoints.jsonl"
        last = Checkpoint.read(json.loads(file.read_text().splitlines()[-1])["checkpoint"])
        forged = json.dumps({"checkpoint": Signer.make(last.origin).checkpoint(last.size, last.root)})

        def mend() -> None:
            kept = [line for line in file.read_text().splitlines() if line != forged]
            file.write_text("\n".join(kept) + "\n")

        self.ends.callback(mend)
        deadline = time.monotonic() + 60
        while not self.deployment("audit", "status", "--json").json()["stopped"]:
            assert time.monotonic() < deadline, "the gateway goes on signing"
            with file.open("a") as lines:  # again, where the gateway wrote one of its own behind it in the same moment
                lines.write(forged + "\n")
            await asyncio.sleep(2)

    async def audit_waits(self) -> None:
        """Somebody holds a lock in Postgres."""
        holding = self.admin.transaction()
        await holding.start()
        await self.admin.execute("lock table audit_logs in access exclusive mode")
        self.ends.push_async_callback(holding.rollback)

    async def gateway_hangs(self) -> None:
        pid = self.deployment.process("gateway")
        os.kill(pid, signal.SIGSTOP)
        self.ends.callback(os.kill, pid, signal.SIGCONT)

    def _publish(self, *events: dict[str, Any]) -> None:
        assert self.deployment("publish", stdin="\n".join(map(json.dumps, events))).code == 0

    async def _on_kafka(self, event: dict[str, Any]) -> None:
        kafka = self.deployment.kafka(topics.UPSTREAM)
        await straight_to_kafka(kafka, "viox.events.sales", json.dumps(event).encode())


# What happens, and the alerts that it has to have fire; those of a step end before the next one begins.
STEPS: list[dict[Callable[[Trouble], Awaitable[None]], set[str]]] = [
    {Trouble.unknown: {"VioxUnknownOld"}},
    {
        Trouble.dead_letter: {"VioxDeadLetters"},
        Trouble.conflict: {"VioxIncident"},
        Trouble.spans_dropped: {"VioxTracesDropped"},
        Trouble.approval: {"VioxApprovalNearExpiry"},
    },
    {Trouble.vendor_away: {"VioxVendorLeftAlone"}, Trouble.audit_of_another_key: {"VioxAuditStopped"}},
    {Trouble.audit_waits: {"VioxAuditCheckpointOld"}},
    {Trouble.gateway_hangs: {"VioxServiceDown"}},
]


@pytest.fixture
def backends() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory, backends: Receiver) -> Iterator[Deployment]:
    """One of its own: what goes wrong in it would be the other tests' trouble."""
    with deployed(tmp_path_factory.mktemp("alerts"), backends, "--only", "gateway,closer,controller") as made:
        yield made


async def test_alerts_fire_when_what_they_are_for_happens(
    stack: Deployment, backends: Receiver, tmp_path: Path
) -> None:
    rules, every = sooner(tmp_path)
    provoked = {alert for step in STEPS for alerts in step.values() for alert in alerts}
    assert provoked | set(NOT_PROVOKED) == every, "each alert is provoked here, or it is said why not"
    port = int(stack.state["postgres"].rsplit(":", 1)[1])
    admin = await asyncpg.connect(Postgres(stack.home, port).dsn("postgres"))
    try:
        with scraping(stack, tmp_path, rules) as prometheus:
            await until_up(prometheus)
            for step in STEPS:
                trouble = Trouble(stack, backends, admin)
                async with trouble.ends:
                    for happen in step:
                        await happen(trouble)
                    await until_fired(prometheus, {alert for alerts in step.values() for alert in alerts})
    finally:
        await admin.close()


async def until_up(prometheus: str) -> None:
    """Every counter has to have been seen once, so that it can be seen to increase."""
    deadline = time.monotonic() + 60
    while True:
        try:
            found = got(f"{prometheus}/api/v1/targets")["activeTargets"]
        except OSError:
            found = []
        if found and {one["health"] for one in found} == {"up"}:
            return
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.5)


async def until_fired(prometheus: str, alerts: set[str]) -> None:
    missing, deadline = set(alerts), time.monotonic() + 90
    while missing:
        found = got(f"{prometheus}/api/v1/alerts")["alerts"]
        missing -= {one["labels"]["alertname"] for one in found if one["state"] == "firing"}
        assert time.monotonic() < deadline, f"did not fire: {sorted(missing)}"
        await asyncio.sleep(0.5)

"""What a demo that is kept leaves for whoever looks around: a CRM write that failed, a refund that waits for a person, and an
e-mail of which nobody knows whether it went out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sandbox.scenarios import upstream
from sandbox.scenarios.story import event
from shared.bus.envelope import parse_json
from shared.errors import NotFound
from shared.operations import store, tasks
from viox import deployment, ingress, lifecycle, output

# HubSpot refuses the address: it has no ending.
LEAD = {
    "email": "sam.ortiz@riverside",
    "first_name": "Sam",
    "last_name": "Ortiz",
    "phone": "+14155550188",
    "interest": "a new kitchen",
}
# The mail server takes the letter to her, and the connection breaks before it says so.
WRITTEN_TO = {
    "email": "noor.haddad@example.com",
    "first_name": "Noor",
    "last_name": "Haddad",
    "interest": "a roof terrace",
}
PAID, REFUND = 180_00, 45_00
PATIENCE_SECONDS = 60.0
TOUR = "docs/first-look.md"


async def leave(stack: Mapping[str, Any]) -> None:
    """Returns when all three are there to be looked at, or after a while."""
    pool = await deployment.pool()
    try:
        (lead,) = await ingress.publish([parse_json(event("viox.lead.created", "website", LEAD))], None)
        await upstream.fault(stack["vendors"]["mail"], kind="cut_after", method="DATA", path=WRITTEN_TO["email"])
        (written,) = await ingress.publish([parse_json(event("viox.lead.created", "website", WRITTEN_TO))], None)
        charge = await upstream.charge(stack["vendors"]["stripe"], PAID, "a repaired roof")
        words = f"Refund {REFUND / 100:.2f} USD of {charge}: one tile was missing."
        refund = await tasks.give(pool, "controller", words, None)
        runs = (UUID(lead["run_ids"][0]), UUID(written["run_ids"][0]), refund)
        await asyncio.gather(*(_settled(pool, run) for run in runs))
    finally:
        await pool.close()


async def _settled(pool: Any, run: Any) -> None:
    """Until a run has ended or waits for a person."""
    deadline, patience = time.monotonic() + PATIENCE_SECONDS, ingress.Patience(pool)
    while time.monotonic() < deadline:
        try:
            if await patience.ended(await store.run(pool, run)):
                return
        except NotFound:
            pass  # its agent has not taken the event in yet
        await asyncio.sleep(ingress.POLL_SECONDS)


def tell(stack: Mapping[str, Any]) -> None:
    """Where to go on."""
    output.say(
        "\nEverything still runs. A lead whose address HubSpot refuses has failed, a refund waits for you, and nobody"
    )
    output.say("knows whether an e-mail went out:")
    for line in lifecycle.console_lines(dict(stack)):
        output.say(line)
    output.say("on foot   source .venv/bin/activate, then viox calls --failed, viox approvals, viox unknowns")
    output.say(f"tour      {TOUR}")
    output.say("the end   viox down")

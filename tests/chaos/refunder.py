"""A gateway in a process of its own, to be killed: it makes refunds and sends texts, and carries on with older calls.

Importing this loads everything, so that a fork server that has done so makes such processes in a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from services.tool_gateway.catalogue import catalogue
from shared.bus.kafka import Record
from shared.store.pool import open_pool
from shared.telemetry import logs
from tests.integration.gateway.world import Gateway, wants

REFUND, TEXT = "stripe_create_refund", "twilio_send_message"
AMOUNT = 700
catalogue.load()


def number(mark: int) -> str:
    """Whom the text of a kill goes to."""
    return f"+1415555{mark:04d}"


def calls(mark: int, charge: str) -> list[Record]:
    """One that may be repeated under its key, and one that may not. The mark is how the vendors' effects are told apart."""
    refund = {"charge": charge, "amount": AMOUNT, "metadata": {"mark": str(mark)}}
    text = {"To": number(mark), "Body": f"Your money is on its way ({mark})"}
    return [wants(REFUND, refund, mark, 0), wants(TEXT, text, mark, 1)]


def live(dsn: str, secrets: Mapping[str, str], marks: Sequence[int], charge: str) -> None:
    """Until it is killed. `marks`: of the calls it is given, beside what others left."""
    logs.configure("refunder", "ERROR")
    asyncio.run(_live(dsn, dict(secrets), marks, charge))


async def _live(dsn: str, secrets: dict[str, str], marks: Sequence[int], charge: str) -> Any:
    pool = await open_pool(dsn, application="refunder", size=4)
    gateway = Gateway(pool, dsn, secrets)
    await gateway.start()
    if wanted := [call for mark in marks for call in calls(mark, charge)]:
        await gateway.intake.accept(wanted)
    await asyncio.Event().wait()

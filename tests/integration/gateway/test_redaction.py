"""What is sensitive in an answer is nowhere in the database, in no message and in no log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from services.tool_gateway.answers.apart import SMALL_BYTES
from services.tool_gateway.catalogue.sensitive import path_marks
from shared.operations import store
from shared.telemetry.digest import sha256_bytes
from tests.integration.gateway.test_large_answers import endless
from tests.integration.gateway.test_payloads import SEARCH
from tests.integration.gateway.world import RESULTS, Gateway, World, gateway_world, wants

__all__ = ["endless", "gateway_world"]
NUMBER = "4242 4242 4242 4242"


async def everything(world: World) -> str:
    """All of the database's tables as text."""
    names = await world.admin.fetch("select tablename from pg_tables where schemaname = 'public'")
    tables = [await world.admin.fetch(f"select * from {row['tablename']}") for row in names]  # noqa: S608
    return str([[tuple(row.values()) for row in table] for table in tables])


def redacting(gateway: Gateway, *tools: str) -> None:
    for name in tools:
        found = gateway.catalogue.tools[name]
        gateway.catalogue.tools[name] = replace(found, redact=path_marks("$..card"), projection=())


@pytest.mark.parametrize("rows", [1, SMALL_BYTES // 60, 12_000])
async def test_a_sensitive_value_is_kept_nowhere(
    world: World, endless: dict[str, Any], rows: int, capsys: pytest.CaptureFixture[str]
) -> None:
    endless["status"] = 200
    endless["body"] = orjson.dumps({"results": [{"id": str(n), "card": NUMBER, "pad": "x" * 20} for n in range(rows)]})
    gateway = await world.gateway("outcomes")
    redacting(gateway, "hubspot_search_contacts")
    await gateway.intake.accept([wants("hubspot_search_contacts", SEARCH)])
    row = await world.state("succeeded")

    assert NUMBER not in await everything(world)
    assert NUMBER not in str(gateway.publisher.sent(RESULTS)) + "".join(capsys.readouterr())
    told = (await store.call(world.pool, row["call_id"]))["response"][0]
    assert told["redacted"] == {
        "values": rows,
        "original_sha256": sha256_bytes(endless["body"]),
        "original_bytes": len(endless["body"]),
    }


async def test_a_look_up_keeps_nothing_sensitive(world: World, endless: dict[str, Any]) -> None:
    gateway = await world.gateway("outcomes")
    redacting(gateway, *(name for name in gateway.catalogue.tools if name.startswith("hubspot_")))
    endless["status"], endless["body"] = 200, b'{"results": "half an answer'
    await gateway.intake.accept([wants("hubspot_create_deal", DEAL)])
    await world.unknown_for()
    endless["body"] = orjson.dumps({"results": [], "card": NUMBER})
    gateway.go_on("settler")
    while not await world.admin.fetchval("select count(*) from ledger_entries where phase = 'look_up'"):
        await gateway.outcomes.drain(1)
    assert NUMBER not in await everything(world)
    assert "[redacted]" in await everything(world)


DEAL = {
    "properties": {"dealname": "Roof", "dealstage": "contractsent"},
    "associations": [
        {"to": {"id": "7"}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}]}
    ],
}

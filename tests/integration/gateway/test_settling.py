"""Calls whose answer was lost, of vendors that take no keys: each is found at the vendor, succeeds, and happens once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from sandbox.postgres import Postgres
from sandbox.vendors import elevenlabs, make, n8n
from sandbox.vendors.airtable import TOKEN, WORKSPACE, Airtable
from sandbox.vendors.common import Emulator
from sandbox.vendors.main import start
from sandbox.vendors.twilio import ACCOUNT, AUTH_TOKEN
from services.tool_gateway.catalogue import catalogue
from shared.ids import thread_id
from shared.store.pool import Pool
from shared.telemetry import spans
from shared.telemetry.trace import span_of_call
from tests.integration.gateway.world import RUN, World, until, wants
from tests.unit.traces.collecting import collecting

TOOLS = catalogue.load().tools
LINE = {"name": "Name", "type": "singleLineText"}
SMS = {"To": "+14155550123", "Body": "Hi Ana"}
TWIML = "<Response><Say>Hi</Say></Response>"
VENDORS = ("twilio", "airtable", "elevenlabs", "make", "n8n")


class Office(World):
    """The world of the gateway's tests with an Airtable base in it. Whoever runs the test may call every tool."""

    async def open(self) -> None:
        await super().open()
        self.airtable = Airtable()
        self.airtable.unlimited = True
        runner, port = await start(self.airtable, 0)
        self._runners.append(runner)
        self.secrets |= {"AIRTABLE_BASE_URL": f"http://127.0.0.1:{port}", "AIRTABLE_API_KEY": TOKEN}
        self.elevenlabs, self.make, self.n8n = elevenlabs.ElevenLabs(end_after=600), make.Make(), n8n.N8n()
        for name, emulator, path in (
            ("ELEVENLABS", self.elevenlabs, ""),
            ("MAKE", self.make, "/api/v2"),
            ("N8N", self.n8n, ""),
        ):
            emulator.unlimited = True
            runner, port = await start(emulator, 0)
            self._runners.append(runner)
            self.secrets[f"{name}_BASE_URL"] = f"http://127.0.0.1:{port}{path}"
        self.secrets |= {
            "ELEVENLABS_API_KEY": elevenlabs.API_KEY,
            "ELEVENLABS_AGENT_ID": elevenlabs.AGENT_ID,
            "ELEVENLABS_PHONE_NUMBER_ID": elevenlabs.PHONE_NUMBER_ID,
            "MAKE_API_KEY": make.API_KEY,
            "MAKE_ORGANIZATION_ID": str(make.ORGANIZATION_ID),
            "N8N_API_KEY": n8n.API_KEY,
        }

    async def ask(self, vendor: str, path: str, **body: Any) -> Any:
        """Have something there before the call, asked for by another way than the gateway."""
        proof: Any = {"headers": {"Authorization": f"Bearer {TOKEN}"}}
        sent: Any = {"json": body}
        if vendor == "twilio":
            proof, sent = {"auth": (ACCOUNT, AUTH_TOKEN)}, {"data": body}
            path = f"/2010-04-01/Accounts/{ACCOUNT}{path}"
        async with httpx2.AsyncClient(base_url=self.secrets[f"{vendor.upper()}_BASE_URL"], **proof) as client:
            return (await client.post(path, **sent)).raise_for_status().json()

    async def table(self) -> dict[str, str]:
        tables = [{"name": "People", "fields": [LINE]}]
        base = await self.ask("airtable", "/v0/meta/bases", name="CRM", workspaceId=WORKSPACE, tables=tables)
        return {"baseId": base["id"], "tableId": base["tables"][0]["id"]}


@pytest.fixture
async def office(gateway_pool: Pool, admin: Any, postgres: Postgres, monkeypatch: Any) -> AsyncIterator[Office]:
    everything = {"closer": frozenset(TOOLS)}
    monkeypatch.setattr(catalogue, "read_grants", lambda: everything)
    made = Office(gateway_pool, admin, postgres.dsn("viox_gateway"))
    await made.open()
    await admin.execute(
        "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type)"
        " values ($1, 'closer', $2, 'c', 'running', '/t', '1', 'viox.task.requested')",
        RUN,
        thread_id("closer", "c"),
    )
    yield made
    await made.close()


async def send_message(office: Office) -> dict[str, Any]:
    return SMS


async def cancel_message(office: Office) -> dict[str, Any]:
    later = {"MessagingServiceSid": "MG" + "a" * 32, "ScheduleType": "fixed", "SendAt": "2031-01-01T00:00:00Z"}
    made = await office.ask("twilio", "/Messages.json", To=SMS["To"], Body="Later", **later)
    return {"MessageSid": made["sid"]}


async def place_call(office: Office) -> dict[str, Any]:
    return {"To": SMS["To"], "Twiml": TWIML}


async def end_call(office: Office) -> dict[str, Any]:
    made = await office.ask("twilio", "/Calls.json", To=SMS["To"], From=office.secrets["TWILIO_FROM"], Twiml=TWIML)
    return {"CallSid": made["sid"], "Status": "canceled"}


async def create_base(office: Office) -> dict[str, Any]:
    return {"name": "CRM", "workspaceId": WORKSPACE, "tables": [{"name": "People", "fields": [LINE]}]}


async def create_table(office: Office) -> dict[str, Any]:
    return {"baseId": (await office.table())["baseId"], "name": "Deals", "fields": [LINE]}


async def create_field(office: Office) -> dict[str, Any]:
    return {**await office.table(), "name": "E-mail", "type": "email"}


async def create_comment(office: Office) -> dict[str, Any]:
    ids = await office.table()
    record = await office.ask("airtable", f"/v0/{ids['baseId']}/{ids['tableId']}", fields={"Name": "Ana"})
    return {**ids, "recordId": record["id"], "text": "Called her & left a message"}


async def call(office: Office) -> dict[str, Any]:
    return {"to_number": SMS["To"], "conversation_initiation_client_data": {"user_id": "lead-17-callback-1"}}


async def create_text_document(office: Office) -> dict[str, Any]:
    return {"name": "Hours", "text": "Open 9 to 5"}


async def create_url_document(office: Office) -> dict[str, Any]:
    return {"name": "Prices", "url": "https://example.com/prices"}


async def create_file_document(office: Office) -> dict[str, Any]:
    return {"name": "Returns", "file": {"filename": "r.txt", "content_type": "text/plain", "text": "30 days"}}


async def create_scenario(office: Office) -> dict[str, Any]:
    greeting = {"id": 2, "module": "scenario-service:ReturnData", "mapper": {"greeting": "Hello"}}
    return {"teamId": make.TEAM_ID, "blueprint": {"name": "Greeting", "metadata": {}, "flow": [greeting]}}


async def create_workflow(office: Office) -> dict[str, Any]:
    hook = {"name": "Webhook", "type": "n8n-nodes-base.webhook", "parameters": {"path": "x", "httpMethod": "POST"}}
    return {"name": "Orders", "nodes": [hook], "connections": {}, "settings": {"executionOrder": "v1"}}


PREPARED = {f"twilio_{f.__name__}": f for f in (send_message, cancel_message, place_call, end_call)} | {
    f"airtable_{f.__name__}": f for f in (create_base, create_table, create_field, create_comment)
}
PREPARED |= {
    f"elevenlabs_{f.__name__}": f for f in (call, create_text_document, create_url_document, create_file_document)
}
PREPARED |= {"make_create_scenario": create_scenario, "n8n_create_workflow": create_workflow}


def test_every_tool_with_a_look_up_is_tried() -> None:
    settling = {name for name, tool in TOOLS.items() if tool.vendor in VENDORS and tool.settle}
    assert settling == PREPARED.keys()


@pytest.mark.rule(9)
@pytest.mark.parametrize("tool", PREPARED)
async def test_a_lost_answer_is_found_at_the_vendor(office: Office, tool: str) -> None:
    emulator: Emulator = getattr(office, TOOLS[tool].vendor)
    office.twilio.clock.stop()  # what rings goes on ringing
    arguments: Mapping[str, Any] = await PREPARED[tool](office)
    emulator.effects.clear()
    office.fault(emulator, "cut_after", method=TOOLS[tool].method)
    gateway = await office.gateway("outcomes")
    await gateway.intake.accept([wants(tool, dict(arguments))])
    await office.state("unknown")
    assert len(emulator.effects) == 1, "it did happen"
    await office.gateway()
    row = await office.state("succeeded")
    assert (row["attempt"], row["look_ups"] >= 1) == (1, True), "found, not sent again"
    assert len(emulator.effects) == 1
    result = await office.admin.fetchval("select result from tool_calls where call_id = $1", row["call_id"])
    effect = emulator.effects[0]
    assert str(effect["sid"] if "sid" in effect else effect["id"]) in str(result)


async def test_look_ups_stand_in_the_trace_of_the_call_with_how_they_went(office: Office) -> None:
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    office.fault(office.twilio, "cut_after", method="POST")
    gateway = await office.gateway("outcomes")
    record = wants("twilio_send_message", SMS)
    await gateway.intake.accept([replace(record, headers=(*record.headers, ("traceparent", traceparent.encode())))])
    await office.state("unknown")
    office.fault(office.twilio, "503", method="GET", count=1)
    with collecting() as found:
        await office.gateway()
        row = await office.state("succeeded")
        await until(lambda: any(one.name.startswith("execute_tool") for one in found))
    looked = [one for one in found if spans.LOOK_UP in one.attributes]
    assert [one.attributes[spans.LOOK_UP] for one in looked] == list(range(1, row["look_ups"] + 1))
    assert [one.error for one in looked] == ["503", *[None] * (len(looked) - 1)]
    assert {one.parent_id for one in looked} == {span_of_call(row["call_id"])}
    assert {one.attributes["gen_ai.tool.name"] for one in looked} == {TOOLS["twilio_send_message"].settle.tool}  # type: ignore[union-attr]  # it has one


@pytest.mark.rule(9)
@pytest.mark.parametrize("tool", PREPARED)
async def test_what_never_arrived_is_proven_absent_and_sent_once(office: Office, tool: str) -> None:
    emulator: Emulator = getattr(office, TOOLS[tool].vendor)
    office.twilio.clock.stop()  # what rings goes on ringing while we look
    arguments: Mapping[str, Any] = await PREPARED[tool](office)
    emulator.effects.clear()
    office.fault(emulator, "cut_before", method=TOOLS[tool].method)
    gateway = await office.gateway()
    await gateway.intake.accept([wants(tool, dict(arguments))])
    await office.unknown_for()
    row = await office.state("succeeded")
    assert (row["attempt"], len(emulator.effects)) == (2, 1)


async def test_records_that_were_created_blindly_wait_for_a_person(office: Office) -> None:
    arguments = {**await office.table(), "records": [{"fields": {"Name": "Ana"}}]}
    office.airtable.effects.clear()
    office.fault(office.airtable, "cut_after", method="POST")
    gateway = await office.gateway()
    await gateway.intake.accept([wants("airtable_create_records", arguments)])
    async with asyncio.timeout(60):
        while (await office.state("unknown"))["look_ups"] < 2:  # its turn came more than once
            await asyncio.sleep(0.05)
    assert (await office.state("unknown"))["attempt"] == 1
    assert len(office.airtable.effects) == 1


@pytest.mark.rule(10)
@pytest.mark.parametrize("fault", ["cut_after", "cut_before"])
async def test_a_text_that_the_vendor_changed_is_found_and_a_strange_one_is_no_proof(
    office: Office, fault: str
) -> None:
    """Trial accounts get a line before their texts; another text to the same number could be ours, rewritten."""
    office.twilio.trial = True
    office.fault(office.twilio, fault, method="POST")
    gateway = await office.gateway("outcomes", "resumer")
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    await office.state("unknown")
    if fault == "cut_before":
        await office.ask("twilio", "/Messages.json", To=SMS["To"], From=office.secrets["TWILIO_FROM"], Body="by hand")
    await office.gateway()
    if fault == "cut_after":
        assert (await office.state("succeeded"))["attempt"] == 1
    else:
        async with asyncio.timeout(60):
            while (await office.unknown_for())["look_ups"] < 2:
                await asyncio.sleep(0.05)
        assert (await office.state("unknown"))["attempt"] == 1
    assert len(office.twilio.effects) == 1


async def test_a_look_up_waits_for_its_rate_and_for_a_place(office: Office) -> None:
    office.fault(office.twilio, "cut_after", method="POST")
    gateway = await office.gateway("outcomes", per_vendor=1)
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    await office.state("unknown")
    asked = len(office.seen)
    gateway.places.take("twilio")  # a call is on its way
    looking = await office.call()
    found = await gateway.store.claim_unknown(1, 2.0, [])
    await gateway.settler._look(found[0])
    assert len(office.seen) == asked, "there was no place"
    gateway.places.give_back("twilio")
    tool = gateway.catalogue.tools["twilio_list_messages"]
    gateway.catalogue.tools[tool.name] = replace(tool, rate=TOOLS[tool.name].rate)
    await gateway.settler._look(found[0])
    assert len(office.seen) == asked + 1
    assert await office.admin.fetchval("select count(*) from rate_limits where key = 'twilio'") == 1
    assert (await office.state("succeeded"))["call_id"] == looking["call_id"]


async def test_a_look_up_that_came_too_early_makes_everybody_wait(office: Office) -> None:
    office.fault(office.twilio, "cut_after", method="POST")
    gateway = await office.gateway("outcomes")
    await gateway.intake.accept([wants("twilio_send_message", SMS)])
    await office.state("unknown")
    tool = gateway.catalogue.tools["twilio_list_messages"]
    gateway.catalogue.tools[tool.name] = replace(tool, rate=TOOLS[tool.name].rate)
    office.fault(office.twilio, "429", method="GET")
    (row,) = await gateway.store.claim_unknown(1, 2.0, [])
    await gateway.settler._look(row)
    assert await office.admin.fetchval("select tat > now() from rate_limits where key = 'twilio'")

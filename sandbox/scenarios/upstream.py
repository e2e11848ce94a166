"""What customers and other systems do at the vendors: invoices, charges, workflows that fail; through the vendors' own APIs."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

from sandbox.scenarios.story import event
from sandbox.vendors import hubspot, make, make_wire, n8n, stripe


async def bill(url: str, email: str, card: str, amount: int, phone: str | None = None) -> dict[str, Any]:
    """An invoice at Stripe, and one try to have it paid by a card: the invoice."""
    return await asyncio.to_thread(_bill, url, email, card, amount, phone)


def _bill(url: str, email: str, card: str, amount: int, phone: str | None) -> dict[str, Any]:
    who = {
        "email": email,
        "name": f"Customer {email.split('@')[0]}",
        "payment_method": card,
        "invoice_settings[default_payment_method]": card,
    }
    customer = _stripe(url, "customers", who | ({"phone": phone} if phone else {}))
    invoice = _stripe(url, "invoices", {"customer": customer["id"]})
    line = {"amount": amount, "currency": "usd", "description": "Service"}
    _stripe(url, "invoiceitems", {"customer": customer["id"], "invoice": invoice["id"], **line})
    final: dict[str, Any] = _stripe(url, f"invoices/{invoice['id']}/finalize", {})
    _stripe(url, f"invoices/{invoice['id']}/pay", {})
    return final


async def customer(url: str, email: str) -> str:
    """Somebody with a card: their id at Stripe."""
    who = {"email": email, "name": email.split("@")[0], "payment_method": "pm_card_visa"}
    made = await asyncio.to_thread(_stripe, url, "customers", who)
    return str(made["id"])


async def charge(url: str, amount: int, what: str, customer: str | None = None) -> str:
    """A card is charged at Stripe: the charge's id."""
    given = {"amount": amount, "description": what} | ({"customer": customer} if customer else {})
    made = await asyncio.to_thread(_json, f"{url}/_sandbox/charge", given)
    return str(made["id"])


async def fault(url: str, **what: Any) -> None:
    """Something goes wrong at an emulator: `kind`, and what else `/_sandbox/faults` takes."""
    await asyncio.to_thread(_json, f"{url}/_sandbox/faults", what)


def forged_order(agent: str, words: str) -> dict[str, Any]:
    """A task that a stranger's message brings."""
    return event("viox.task.requested", "inbox", {"instruction": words, "context": {}}, subject=agent)


async def failed_workflow(url: str, tag: str) -> dict[str, Any]:
    """A workflow at n8n that fails when it runs, and what its error trigger tells of it."""
    made = await asyncio.to_thread(_workflow, url, tag)
    for _ in range(100):
        rows = await asyncio.to_thread(_n8n, url, f"executions?workflowId={made['id']}&status=error", None)
        if rows["data"]:
            error = {"id": rows["data"][0]["id"], "mode": rows["data"][0]["mode"]}
            told = {"workflow": {"id": made["id"], "name": made["name"]}}
            return told | {"execution": error | {"error": {"message": "504 Gateway timeout"}}}
        await asyncio.sleep(0.1)
    raise RuntimeError("the sandbox's workflow did not fail as it should")


def _workflow(url: str, tag: str) -> dict[str, Any]:
    hook = {
        "name": "Webhook",
        "type": "n8n-nodes-base.webhook",
        "parameters": {"path": f"reviews-{tag}", "httpMethod": "POST"},
    }
    stop = {
        "name": "Stop",
        "type": "n8n-nodes-base.stopAndError",
        "parameters": {"errorMessage": "504 Gateway timeout"},
    }
    body = {
        "name": f"Invoices to sheet {tag}",
        "nodes": [hook, stop],
        "connections": {"Webhook": {"main": [[{"node": "Stop", "type": "main", "index": 0}]]}},
        "settings": {"executionOrder": "v1"},
    }
    made: dict[str, Any] = _n8n(url, "workflows", body)
    _n8n(url, f"workflows/{made['id']}/activate", {})
    _json(f"{url}/webhook/reviews-{tag}", {"n": 1})
    return made


async def doubled_contacts(url: str, *people: dict[str, str]) -> list[str]:
    """Contacts that somebody typed into the CRM: their ids."""
    return [
        str((await asyncio.to_thread(_hubspot, url, "crm/v3/objects/contacts", {"properties": one}))["id"])
        for one in people
    ]


async def workflow_that_fails(url: str, tag: str, name: str, message: str) -> tuple[str, str]:
    """A workflow at n8n whose first run fails with a message, of which nobody is told: its id, and the run's."""
    path = f"{name.lower().replace(' ', '-')}-{tag}"
    hook = {"name": "Webhook", "type": "n8n-nodes-base.webhook", "parameters": {"path": path, "httpMethod": "POST"}}
    send = {"name": "Send", "type": "n8n-nodes-base.httpRequest", "parameters": {"url": "https://example.com"}}
    body = {
        "name": f"{name} {tag}",
        "nodes": [hook, send],
        "connections": {"Webhook": {"main": [[{"node": "Send", "type": "main", "index": 0}]]}},
        "settings": {"executionOrder": "v1"},
    }
    made = await asyncio.to_thread(_n8n, url, "workflows", body)
    await asyncio.to_thread(_n8n, url, f"workflows/{made['id']}/activate", {})
    await asyncio.to_thread(_json, f"{url}/_sandbox/outcomes", {"workflowId": made["id"], "message": message})
    await trigger(url, path, {"n": 1})
    for _ in range(100):
        rows = await asyncio.to_thread(_n8n, url, f"executions?workflowId={made['id']}&status=error", None)
        if rows["data"]:
            return str(made["id"]), str(rows["data"][0]["id"])
        await asyncio.sleep(0.1)
    raise RuntimeError("the sandbox's workflow did not fail as it should")


async def scenario_that_fails(url: str, tag: str, message: str) -> int:
    """A scenario at Make that is run by hand, whose first run fails: its id."""
    flow = [{"id": 1, "module": "http:ActionSendData", "version": 3, "parameters": {}, "mapper": {}}]
    body = {
        "teamId": make_wire.TEAM_ID,
        "blueprint": json.dumps({"name": f"Orders to books {tag}", "flow": flow, "metadata": {}}),
        "scheduling": json.dumps({"type": "on-demand"}),
    }
    number = int((await asyncio.to_thread(_make, url, "scenarios", body))["scenario"]["id"])
    await asyncio.to_thread(_make, url, f"scenarios/{number}/start", {})
    outcome = {"scenarioId": number, "status": 3, "reason": message}
    await asyncio.to_thread(_json, f"{url}/_sandbox/outcomes", outcome)
    await asyncio.to_thread(_make, url, f"scenarios/{number}/run", {"responsive": True})
    return number


async def trigger(url: str, path: str, body: dict[str, Any]) -> None:
    """Somebody's system calls the webhook of a workflow at n8n."""
    await asyncio.to_thread(_json, f"{url}/webhook/{path}", body)


def _stripe(url: str, path: str, form: dict[str, Any]) -> Any:
    data = urlencode(form).encode()
    headers = {"Authorization": f"Bearer {stripe.API_KEY}", "Content-Type": "application/x-www-form-urlencoded"}
    try:
        return _send(urllib.request.Request(f"{url}/v1/{path}", data, headers))  # noqa: S310  # the sandbox's own
    except urllib.error.HTTPError as error:
        if error.code != 402:  # a declined card is part of the story
            raise
        return None


def _n8n(url: str, path: str, body: dict[str, Any] | None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-N8N-API-KEY": n8n.API_KEY, "Content-Type": "application/json"}
    return _send(urllib.request.Request(f"{url}/api/v1/{path}", data, headers))  # noqa: S310  # the sandbox's own


def _hubspot(url: str, path: str, body: dict[str, Any]) -> Any:
    headers = {"Authorization": f"Bearer {hubspot.TOKEN}", "Content-Type": "application/json"}
    return _send(urllib.request.Request(f"{url}/{path}", json.dumps(body).encode(), headers))  # noqa: S310  # the sandbox's own


def _make(url: str, path: str, body: dict[str, Any]) -> Any:
    headers = {"Authorization": f"Token {make.API_KEY}", "Content-Type": "application/json"}
    return _send(urllib.request.Request(f"{url}/api/v2/{path}", json.dumps(body).encode(), headers))  # noqa: S310  # the sandbox's own


def _json(url: str, body: dict[str, Any]) -> Any:
    return _send(urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}))  # noqa: S310


def _send(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        return json.loads(answer.read() or b"null")

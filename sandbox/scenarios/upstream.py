"""What happens at the vendors before the morning begins, and the events they tell it with: their own, not invented ones."""

from __future__ import annotations

import json
import random
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

from sandbox.vendors import n8n, stripe

MONEY = ("invoice.paid", "invoice.payment_failed", "charge.dispute.created")


def money(url: str, dice: random.Random, tag: str) -> list[dict[str, Any]]:
    """A paid invoice, one whose card was declined, and a disputed charge at Stripe: their event objects."""
    customers = {}
    for card in ("pm_card_visa", "pm_card_chargeCustomerFail"):
        made = _stripe(
            url,
            "customers",
            {
                "email": f"{card[8:].lower()}.{tag}@example.com",
                "name": f"Customer {card[8:]} {tag}",
                "payment_method": card,
                "invoice_settings[default_payment_method]": card,
            },
        )
        customers[made["id"]] = made
        invoice = _stripe(url, "invoices", {"customer": made["id"]})
        amount = dice.randrange(5_000, 500_000, 50)
        _stripe(
            url,
            "invoiceitems",
            {
                "customer": made["id"],
                "invoice": invoice["id"],
                "amount": amount,
                "currency": "usd",
                "description": "Service",
            },
        )
        _stripe(url, f"invoices/{invoice['id']}/finalize", {})
        _stripe(url, f"invoices/{invoice['id']}/pay", {})
    charge = _json(
        f"{url}/_sandbox/charge", {"amount": dice.randrange(5_000, 500_000, 50), "customer": next(iter(customers))}
    )
    _json(f"{url}/_sandbox/dispute", {"charge": charge["id"]})
    events = _stripe(url, "events?limit=100", None)["data"]
    mine = [e for e in events if e["type"] in MONEY and _of(e, customers, charge["id"])]
    return sorted(mine, key=lambda event: MONEY.index(event["type"]))


def charge(url: str, amount: int) -> str:
    """A card is charged at Stripe: the charge's id."""
    return str(_json(f"{url}/_sandbox/charge", {"amount": amount, "description": "goods"})["id"])


def refunds(url: str, charge: str) -> list[int]:
    """The amounts that Stripe has refunded of a charge."""
    return [one["amount"] for one in _stripe(url, f"refunds?charge={charge}", None)["data"]]


def failed_workflow(url: str, tag: str) -> dict[str, Any]:
    """A workflow at n8n that fails when it runs, and what its error trigger tells of it."""
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
    links = {"Webhook": {"main": [[{"node": "Stop", "type": "main", "index": 0}]]}}
    body = {
        "name": f"Invoices to sheet {tag}",
        "nodes": [hook, stop],
        "connections": links,
        "settings": {"executionOrder": "v1"},
    }
    made = _n8n(url, "workflows", body)
    _n8n(url, f"workflows/{made['id']}/activate", {})
    _json(f"{url}/webhook/reviews-{tag}", {"n": 1})
    for _ in range(50):
        rows = _n8n(url, f"executions?workflowId={made['id']}&status=error", None)["data"]
        if rows:
            return {
                "workflow": {"id": made["id"], "name": made["name"]},
                "execution": {
                    "id": rows[0]["id"],
                    "error": {"message": "504 Gateway timeout"},
                    "mode": rows[0]["mode"],
                },
            }
        time.sleep(0.1)
    raise RuntimeError("the sandbox's workflow did not fail as it should")


def _of(event: dict[str, Any], customers: dict[str, Any], charge: str) -> bool:
    thing = event["data"]["object"]
    return thing.get("customer") in customers or thing.get("charge") == charge


def _stripe(url: str, path: str, form: dict[str, Any] | None) -> Any:
    data = None if form is None else urlencode(form).encode()
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


def _json(url: str, body: dict[str, Any]) -> Any:
    return _send(urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}))  # noqa: S310


def _send(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return json.loads(answer.read() or b"null")

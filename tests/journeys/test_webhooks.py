"""From a vendor's own webhook to the run that deals with it, and what the operator sees of it."""

from __future__ import annotations

import asyncio
import json
import random
import time
import urllib.request
from typing import Any

import pytest

from sandbox.scenarios import upstream
from sandbox.vendors import stripe
from tests.conftest import Deployment
from tests.unit.webhooks import signing


def post(url: str, document: Any, headers: dict[str, str] | None = None) -> Any:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    request = urllib.request.Request(url, raw, {"Content-Type": "application/json"} | (headers or {}))
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


def told(deployment: Deployment, webhook: str) -> dict[str, Any]:
    items = deployment("webhooks", "--json").json()["items"]
    found: dict[str, Any] = next(item for item in items if item["webhook"] == webhook)
    return found


def runs_of(deployment: Deployment, agent: str, kind: str, count: int) -> list[dict[str, Any]]:
    """Runs of an event type, as soon as there are so many that have ended or wait."""
    deadline = time.monotonic() + 120
    while True:
        items = deployment("runs", "--agent", agent, "--limit", "200", "--json").json()["items"]
        found = [item for item in items if item["trigger"]["type"] == kind and item["status"] != "running"]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, f"{len(found)} runs of {kind}: {items}"
        time.sleep(0.2)


@pytest.fixture
def registered(deployment: Deployment) -> dict[str, str]:
    """The gateway's addresses, registered at Stripe and Twilio. Returns the vendors' addresses."""
    for vendor, events in (("stripe", ["invoice.paid", "invoice.payment_failed"]), ("twilio", ["inbound"])):
        url = told(deployment, vendor)["url"]
        assert url == f"{deployment.state['gateway_url']}/webhooks/{vendor}"
        post(f"{deployment.state['vendors'][vendor]}/_sandbox/webhooks", {"url": url, "events": events})
    vendors: dict[str, str] = deployment.state["vendors"]
    return vendors


def test_vendors_tell_and_agents_act(deployment: Deployment, registered: dict[str, str]) -> None:
    paid = runs_of(deployment, "controller", "com.stripe.invoice.paid", 0)
    for card in ("pm_card_visa", "pm_card_chargeCustomerFail"):
        asyncio.run(upstream.bill(registered["stripe"], f"{card[8:].lower()}@webhooks.example", card, 12_345))
    runs = runs_of(deployment, "controller", "com.stripe.invoice.paid", len(paid) + 1)
    assert runs[0]["trigger"]["source"] == "/stripe"
    assert runs[0]["status"] != "failed"
    texts = runs_of(deployment, "voice", "com.twilio.message.received", 0)
    nobodys = f"+1415444{random.randrange(10_000):04}"  # no agent has written to it, so that Voice hears it
    post(f"{registered['twilio']}/_sandbox/inbound", {"from": nobodys, "body": "Can somebody call me?"})
    (text, *_) = runs_of(deployment, "voice", "com.twilio.message.received", len(texts) + 1)
    assert text["trigger"]["source"] == "/twilio"
    stripes = told(deployment, "stripe")
    assert stripes["events"] >= 2
    assert stripes["configured"]
    deliveries = json.loads(urllib.request.urlopen(f"{registered['twilio']}/_sandbox/webhooks").read())
    assert deliveries[-1]["status"] == 200


def test_a_delivery_that_did_not_fit_is_set_aside_and_redriven(deployment: Deployment) -> None:
    body = json.dumps(
        {"id": "evt_odd", "type": "invoice.paid", "data": {"object": {"id": "ch_1", "object": "charge"}}}
    ).encode()
    url = told(deployment, "stripe")["url"]
    answer = post(url, body, signing.stripe(stripe.WEBHOOK_SECRET, body, int(time.time())))
    assert answer["set_aside"]["code"] == "event.invalid_data"
    letter = newest_letter(deployment, 0.0)
    again = deployment("redrive", letter["dead_letter_id"], "--json")
    assert again.code == 0, again.err
    second = newest_letter(deployment, 60.0, letter["dead_letter_id"])
    assert second["error"] == letter["error"], "it does not fit any better, and is not lost"


def newest_letter(deployment: Deployment, seconds: float, other_than: str | None = None) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        items = deployment("dead-letters", "--agent", "gateway", "--json").json()["items"]
        for item in items:
            if item["topic"] == "webhooks/stripe" and item["dead_letter_id"] != other_than and item["state"] == "dead":
                return dict(item)
        assert time.monotonic() < deadline, items
        time.sleep(0.2)

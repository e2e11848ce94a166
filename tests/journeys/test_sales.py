"""A lead from the first word to the payment, read from the vendors' own state."""

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

from tests.conftest import Deployment


def vendor(deployment: Deployment, name: str, what: str, body: Any = None) -> Any:
    """What an emulator says, or does for the world outside."""
    data = json.dumps(body).encode() if body is not None else None
    url = f"{deployment.state['vendors'][name]}/_sandbox/{what}"
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def until(look: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.2)
    return found


def publish(deployment: Deployment, kind: str, data: dict[str, Any]) -> None:
    event = {"specversion": "1.0", "id": uuid.uuid4().hex, "source": "/journey", "type": kind, "data": data}
    published = deployment("publish", "--json", stdin=json.dumps(event))
    assert published.code == 0, published.err


def test_a_lead_says_yes_pays_by_the_link_and_is_won(deployment: Deployment) -> None:
    number = f"+1415{uuid.uuid4().int % 10_000_000:07d}"
    email = f"s.{uuid.uuid4().hex[:8]}@example.com"
    lead = {"email": email, "first_name": "Sol", "phone": number, "interest": "a roof", "amount_cents": 120_050}
    publish(deployment, "viox.lead.created", lead)
    until(lambda: len(texts(deployment, number)) == 1)
    publish(deployment, "com.twilio.message.received", {"From": number, "To": "+15005550006", "Body": "Yes please"})
    offer = until(lambda: next(iter(texts(deployment, number)[1:]), None))
    (link,) = [one for one in rows(deployment, "stripe", "payment_links") if one["metadata"].get("lead") == email]
    assert link["url"] in offer
    assert "1,200.50 USD" in offer
    session = vendor(deployment, "stripe", "pay", {"payment_link": link["id"]})
    assert session["amount_total"] == 120_050
    publish(
        deployment,
        "com.stripe.checkout.session.completed",
        {"type": "checkout.session.completed", "data": {"object": session}},
    )
    deal = link["metadata"]["deal"]
    until(lambda: deals(deployment)[deal]["properties"]["dealstage"] == "closedwon")
    until(lambda: len(texts(deployment, number)) == 3)


def texts(deployment: Deployment, number: str) -> list[str]:
    return [one["body"] for one in vendor(deployment, "twilio", "state")["messages"] if one["to"] == number]


def deals(deployment: Deployment) -> Any:
    return vendor(deployment, "hubspot", "state")["objects"]["deals"]


def rows(deployment: Deployment, name: str, kind: str) -> list[dict[str, Any]]:
    found = vendor(deployment, name, "state")[kind]
    return list(found.values()) if isinstance(found, dict) else list(found)

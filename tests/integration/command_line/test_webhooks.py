"""`viox webhooks` on real Postgres: what to register, what is missing, how the last delivery went."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import Unavailable
from shared.operations import store
from shared.store.pool import Pool
from tests.integration.webhooks.world import opened, stripe_event
from viox import webhooks


async def test_what_the_gateway_takes_and_what_came(
    gateway_pool: Pool, operator_pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = {"STRIPE_WEBHOOK_SECRET": "whsec_the_stripe_secret", "AIRTABLE_WEBHOOK_SECRET": "not base64!"}
    async with opened(gateway_pool, secrets, public_url="https://hooks.example.com") as door:
        await door.room.tell_sources()
        for _ in range(2):
            await door.stripe(stripe_event())
        await door.room.tally.flush()
        await door.stripe(stripe_event(), "another secret")
        await door.post("nobody", b"{}", {"Content-Type": "application/json"})
    await webhooks.show(as_json=True)
    items = {item["webhook"]: item for item in json.loads(capsys.readouterr().out)["items"]}
    stripe = items["stripe"]
    assert (stripe["url"], stripe["configured"], stripe["missing"]) == (
        "https://hooks.example.com/webhooks/stripe",
        True,
        [],
    )
    assert stripe["counts"] == {"accepted": 1, "repeated": 1, "ignored": 0, "held": 0, "unfit": 0, "refused": 1}
    assert stripe["events"] == 1
    assert (stripe["last"]["verdict"], stripe["last"]["code"]) == ("refused", "webhook.signature_wrong")
    assert items["twilio"]["missing"] == ["TWILIO_WEBHOOK_AUTH_TOKEN", "TWILIO_AUTH_TOKEN"]
    assert items["twilio"]["last"] is None
    assert items["airtable"]["problem"].startswith("AIRTABLE_WEBHOOK_SECRET")
    assert items["unknown"]["counts"]["refused"] == 1
    await webhooks.show(as_json=False)
    shown = capsys.readouterr().out
    assert "no: set TWILIO_WEBHOOK_AUTH_TOKEN or TWILIO_AUTH_TOKEN" in shown
    assert "whsec_" not in shown + str(items)


async def test_a_gateway_that_has_said_nothing_yet(operator_pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unavailable):
        await webhooks.show(as_json=True)
    assert not capsys.readouterr().out


async def test_a_source_that_is_gone_is_not_listed(gateway_pool: Pool, operator_pool: Pool, admin: Any) -> None:
    await admin.execute("insert into webhook_sources values ('gone', 'shared-secret', '/webhooks/gone', '{X}', true)")
    async with opened(gateway_pool) as door:
        await door.room.tell_sources()
    assert "gone" not in [row["webhook"] for row in await operator_pool.fetch(store.SQL["webhooks"])]


async def test_what_a_vendor_does_not_list_any_more_is_told(
    gateway_pool: Pool, operator_pool: Pool, admin: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(gateway_pool, {"STRIPE_WEBHOOK_SECRET": "whsec_x"}) as door:
        await door.room.tell_sources()
    lost = ["2026-10-01T00:00:00+00:00", "2026-10-20T00:00:00+00:00"]
    await admin.execute(
        "insert into webhook_pollers (webhook, part, position, positioned_at) values ('stripe', 'events', $1, now())",
        json.dumps({"lost": lost}),
    )
    await webhooks.show(as_json=True)
    (poll,) = next(one for one in json.loads(capsys.readouterr().out)["items"] if one["webhook"] == "stripe")["lists"]
    assert poll["lost"] == lost
    await webhooks.show(as_json=False)
    assert f"not listed any more: {lost[0]} to {lost[1]}" in capsys.readouterr().out

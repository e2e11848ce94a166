"""From a vendor's request to an event for an agent: stored before it is answered, once, whatever is killed or repeated."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from services.tool_gateway.http import requests
from services.tool_gateway.webhooks import intake
from shared.bus.outbox import Outbox, addressee
from shared.redaction import Redactor
from shared.store.pool import Pool
from tests.integration.publisher import RecordingPublisher
from tests.integration.webhooks.world import MAC_KEY, SECRETS, Door, opened, stripe_event
from tests.unit.webhooks import signing

FORM = "application/x-www-form-urlencoded"
JSON = {"Content-Type": "application/json"}
SMS = {"MessageSid": "SM1", "AccountSid": "AC1", "From": "+14155550123", "To": "+15005550006", "Body": "Yes, tomorrow."}


async def counts(admin: Any) -> dict[tuple[str, str, str | None], int]:
    rows = await admin.fetch(
        "select webhook, verdict, code, sum(deliveries)::int as n from webhook_deliveries group by 1, 2, 3"
    )
    return {(row["webhook"], row["verdict"], row["code"]): row["n"] for row in rows}


async def outbox(admin: Any) -> list[tuple[str, str, list[str]]]:
    rows = await admin.fetch(
        "select topic, message_id, receivers from outbox where topic like 'viox.events.%' order by 2"
    )
    return [(row["topic"], row["message_id"], row["receivers"]) for row in rows]


async def letters(admin: Any) -> list[Any]:
    return list(await admin.fetch("select * from dead_letters order by created_at"))


# -- each vendor -------------------------------------------------------------------------------------------------------


async def test_stripe(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool) as door:
        answer = await door.stripe(stripe_event())
        assert (answer.status, answer.json()["accepted"]) == (200, 1)
        assert await outbox(admin) == [("viox.events.finance", "evt_1", ["controller"])]
        (event,) = door.events()
        assert (event.source, event.type, event.subject) == ("/stripe", "com.stripe.invoice.paid", "cus_1")
        assert event.data == stripe_event()
        assert event.time.timestamp() == 1790928000


async def twilio(door: Door, fields: Mapping[str, str], url: str | None = None) -> Any:
    body = urlencode(fields).encode()
    headers = signing.twilio(SECRETS["TWILIO_AUTH_TOKEN"], body, url or door.to("twilio"))
    return await door.post("twilio", body, headers)


async def test_twilio_gets_its_twiml_and_the_message_goes_to_its_owner(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool) as door:
        answer = await twilio(door, SMS)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
        assert answer.text.endswith("<Response/>")
        assert await outbox(admin) == [
            ("viox.events.telephony", "SM1:received", [addressee("sms", "voice", "+14155550123")])
        ]
        (event,) = door.events()
        assert (event.type, event.data) == ("com.twilio.message.received", SMS)


async def test_news_of_one_message_are_events_of_their_own(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool) as door:
        for status in ("sent", "delivered", "delivered"):
            sent = {"MessageSid": "SM2", "MessageStatus": status, "SmsStatus": status, "To": "+14155550123"}
            assert (await twilio(door, sent)).status == 200
        for status in ("ringing", "completed"):
            await twilio(door, {"CallSid": "CA1", "CallStatus": status, "To": "+14155550123"})
        assert [(event.type, event.id) for event in door.events()] == [
            ("com.twilio.message.status", "SM2:sent"),
            ("com.twilio.message.status", "SM2:delivered"),
            ("com.twilio.call.completed", "CA1:completed"),
        ]


async def test_the_address_that_vendors_call_is_the_one_that_is_signed(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool, public_url="https://hooks.example.com/viox/") as door:
        assert (await twilio(door, SMS)).status == 401
        assert (await twilio(door, SMS, "https://hooks.example.com/viox/webhooks/twilio")).status == 200
        assert (await twilio(door, SMS, "https://hooks.example.com:443/viox/webhooks/twilio")).status == 200


def hubspot_item(number: int, kind: str = "contact.creation", **more: Any) -> dict[str, Any]:
    return {
        "eventId": 100,
        "subscriptionId": 25,
        "portalId": 62515,
        "occurredAt": 1790928000000 + number,
        "attemptNumber": 0,
        "objectId": number,
        "subscriptionType": kind,
    } | more


async def hubspot(door: Door, items: Any) -> Any:
    body = json.dumps(items).encode()
    headers = signing.hubspot(SECRETS["HUBSPOT_CLIENT_SECRET"], body, int(time.time()), door.to("hubspot"))
    return await door.post("hubspot", body, JSON | headers)


async def test_every_item_of_hubspot_is_an_event_whatever_its_event_id(gateway_pool: Pool, admin: Any) -> None:
    items = [hubspot_item(n, kind) for n, kind in enumerate(("contact.creation", "deal.creation", "deal.deletion"))]
    items.append(hubspot_item(9, "object.creation", objectTypeId="0-5"))
    async with opened(gateway_pool) as door:
        assert (await hubspot(door, items)).json() == {
            "accepted": 3,
            "repeated": 0,
            "ignored": ["com.hubspot.deal.deletion"],
            "set_aside": None,
        }
        again = [item | {"attemptNumber": 1} for item in items]
        assert (await hubspot(door, again)).json()["repeated"] == 3, "a retry counts itself and says nothing else"
        assert [event.type for event in door.events()] == [
            "com.hubspot.contact.creation",
            "com.hubspot.deal.creation",
            "com.hubspot.ticket.creation",
        ]
        assert {event.source for event in door.events()} == {"/hubspot/62515"}
        assert await admin.fetchval("select count(distinct xmin::text) from webhook_events") == 1, "all in one commit"


@pytest.mark.parametrize("older", [False, True])
async def test_quickbooks_in_both_shapes(gateway_pool: Pool, admin: Any, older: bool) -> None:
    entity = {"name": "Invoice", "id": "145", "operation": "Update", "lastUpdated": "2026-12-01T09:30:00.000Z"}
    change = {"realmId": "913", "dataChangeEvent": {"entities": [entity, entity | {"name": "Customer"}]}}
    new = {
        "specversion": "1.0",
        "id": "88cd",
        "source": "intuit.x",
        "type": "qbo.Invoice.updated.v1",
        "intuitentityid": "145",
    }
    given: Any = {"eventNotifications": [change]} if older else [new | {"intuitaccountid": "913"}]
    body = json.dumps(given).encode()
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    async with opened(gateway_pool) as door:
        for times in range(2):
            answer = await door.post("quickbooks", body, headers | signing.quickbooks("the-verifier-token", body))
            assert (answer.status, answer.json()["accepted"]) == (200, 1 - times)
        (event,) = door.events()
        assert (event.type, event.source, event.data["intuitentityid"]) == (
            "com.intuit.qbo.invoice.updated",
            "/quickbooks/913",
            "145",
        )


async def test_elevenlabs_airtable_make_and_n8n(gateway_pool: Pool, admin: Any) -> None:
    now = int(time.time())
    transcript = {"type": "post_call_transcription", "event_timestamp": now, "data": {"conversation_id": "conv_1"}}
    ping = {"base": {"id": "app1"}, "webhook": {"id": "ach1"}, "timestamp": "2026-12-01T09:30:00.000Z"}
    failure = {"scenarioId": 925, "executionId": "b2c4", "error": {"message": "429"}}
    execution = {"workflow": {"id": "wf12", "name": "x"}, "execution": {"id": 231}}
    sent: dict[str, tuple[dict[str, Any], Callable[[bytes], dict[str, str]]]] = {
        "elevenlabs": (transcript, lambda raw: signing.elevenlabs(SECRETS["ELEVENLABS_WEBHOOK_SECRET"], raw, now)),
        "airtable": (ping, lambda raw: signing.airtable(MAC_KEY, raw)),
        "make": (failure, lambda _: {"X-Viox-Secret": "the-make-secret"}),
        "n8n": (execution, lambda _: {"Authorization": "Bearer the-n8n-secret"}),
    }
    async with opened(gateway_pool) as door:
        for _ in range(2):
            for name, (document, sign) in sent.items():
                raw = json.dumps(document).encode()
                answer = await door.post(name, raw, JSON | sign(raw))
                assert answer.status == 200, answer.text
                assert answer.text == "" or name != "airtable"
        assert [(event.source, event.id, event.type) for event in door.events()] == [
            ("/elevenlabs", "conv_1:post_call_transcription", "com.elevenlabs.post_call_transcription"),
            ("/airtable/app1", "ach1:2026-12-01T09:30:00.000Z", "com.airtable.webhook.notified"),
            ("/make", "925:b2c4", "com.make.scenario.failed"),
            ("/n8n", "wf12:231", "com.n8n.execution.failed"),
        ]


async def test_what_has_nothing_unique_is_an_event_each_time(gateway_pool: Pool, admin: Any) -> None:
    failed_trigger = json.dumps({"workflow": {"id": "wf12"}}).encode()
    async with opened(gateway_pool) as door:
        for headers in ({}, {}, {"Idempotency-Key": "k"}, {"Idempotency-Key": "k"}):
            await door.post("n8n", failed_trigger, JSON | {"X-Viox-Secret": "the-n8n-secret"} | headers)
        assert len(door.events()) == 3


# -- stored once, and not lost -----------------------------------------------------------------------------------------


async def test_a_kill_between_commit_and_publish_loses_nothing(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool, dead=True) as door:
        assert (await door.stripe(stripe_event())).status == 200
        assert door.events() == []
    await admin.execute("update outbox set next_at = now() - interval '1 second'")
    publisher = RecordingPublisher("gateway")
    sent: list[str] = []

    async def send(topic: str, *_: Any) -> None:
        sent.append(topic)

    publisher.send = send  # type: ignore[method-assign, assignment]
    await Outbox("gateway", gateway_pool, publisher).sweep()
    assert sent == ["viox.events.finance"]
    async with opened(gateway_pool) as door:
        assert (await door.stripe(stripe_event())).json()["repeated"] == 1, "the sender repeats it to another replica"
        assert door.events() == []


async def test_a_replay_is_recognised_for_good_and_an_old_one_refused(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool) as door:
        captured = time.time() - 200
        for _ in range(3):
            assert (await door.stripe(stripe_event(), at=captured)).status == 200
        old = await door.stripe(stripe_event(), at=time.time() - 400)
        assert (old.status, old.json()["code"]) == (401, "webhook.too_old")
        early = await door.stripe(stripe_event(), at=time.time() + 400)
        assert early.json()["code"] == "webhook.from_the_future"
        assert len(door.events()) == 1
    assert len(await outbox(admin)) == 1
    found = await counts(admin)
    assert found["stripe", "accepted", None] == 1
    assert found["stripe", "repeated", None] == 2
    assert found["stripe", "refused", "webhook.too_old"] == 1


async def test_the_same_event_at_two_replicas_at_once_is_one(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool) as one, opened(gateway_pool) as two:
        sent = [door.stripe(stripe_event(n % 5)) for n in range(40) for door in (one, two)]
        answers = await asyncio.gather(*sent)
        assert {answer.status for answer in answers} == {200}
        assert sum(answer.json()["accepted"] for answer in answers) == 5
        assert len(one.events()) + len(two.events()) == 5
    assert len(await outbox(admin)) == 5


async def test_postgres_away_means_no_2xx(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool) as door:
        await admin.execute("alter table webhook_events rename to away")
        try:
            answer = await door.stripe(stripe_event())
        finally:
            await admin.execute("alter table away rename to webhook_events")
        assert (answer.status, answer.headers["Retry-After"], answer.json()["retryable"]) == (503, "5", True)
        assert (await door.stripe(stripe_event())).json()["accepted"] == 1


async def test_other_content_under_a_known_id_is_set_aside(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool) as door:
        await door.stripe(stripe_event())
        counted = await door.stripe(stripe_event(pending_webhooks=0))
        assert counted.json()["repeated"] == 1, "how many deliveries are open is not what an event says"
        other = await door.stripe(stripe_event(created=1790928001))
        assert (other.status, other.json()["set_aside"]["code"]) == (200, "event.conflict")
        assert len(door.events()) == 1
    assert [row["code"] for row in await letters(admin)] == ["event.conflict"]


# -- who is not let in -------------------------------------------------------------------------------------------------


async def test_an_unknown_and_an_unconfigured_source_are_not_there(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool, {}) as door:
        for name, code in (("nobody", "webhook.unknown_source"), ("stripe", "webhook.not_configured")):
            answer = await door.post(name, b"{}", JSON)
            assert (answer.status, answer.json()["code"]) == (404, code)
            assert answer.headers["Content-Type"].startswith("application/problem+json")
    found = await counts(admin)
    assert found == {
        ("unknown", "refused", "webhook.unknown_source"): 1,
        ("stripe", "refused", "webhook.not_configured"): 1,
    }


async def test_a_wrong_signature_is_refused_counted_and_in_the_end_not_read(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool) as door:
        answers = [await door.stripe(stripe_event(), "another secret") for _ in range(40)]
        assert answers[0].status == 401
        assert answers[0].json()["code"] == "webhook.signature_wrong"
        assert answers[-1].status == 429
        assert int(answers[-1].headers["Retry-After"]) >= 1
        statuses = [answer.status for answer in answers]
        assert statuses.count(401) == 30
        assert (await door.post("n8n", b"{}", JSON | {"X-Viox-Secret": "the-n8n-secret"})).status == 200, "others are"
    assert await outbox(admin) == []
    found = await counts(admin)
    assert found["stripe", "refused", "webhook.signature_wrong"] == 30
    assert found["stripe", "refused", "webhook.too_often"] == 10
    rows = await admin.fetchval("select count(*) from webhook_deliveries where webhook = 'stripe'")
    assert rows <= 4, "a row a minute and code, however many came"


async def test_a_vendor_behind_the_same_proxy_is_still_heard(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool) as door:
        assert (await door.stripe(stripe_event(1))).status == 200
        for _ in range(40):
            await door.stripe(stripe_event(2), "another secret")
        assert (await door.stripe(stripe_event(3))).status == 200


async def test_addresses_are_told_apart_behind_a_trusted_proxy(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool, trusted_proxies="127.0.0.0/8") as door:
        attacker = {"X-Forwarded-For": "1.1.1.1, 203.0.113.9"}
        body = json.dumps(stripe_event()).encode()
        wrong = JSON | signing.stripe("another secret", body, int(time.time()))
        statuses = [(await door.post("stripe", body, wrong | attacker)).status for _ in range(31)]
        assert statuses[-1] == 429
        right = JSON | signing.stripe(SECRETS["STRIPE_WEBHOOK_SECRET"], body, int(time.time()))
        assert (await door.post("stripe", body, right | {"X-Forwarded-For": "198.51.100.4"})).status == 200


async def test_a_rotated_secret_and_the_one_before_it(gateway_pool: Pool, admin: Any, tmp_path: Path) -> None:
    (tmp_path / "STRIPE_WEBHOOK_SECRET").write_text("old-secret-1234\n")
    async with opened(gateway_pool, {"VIOX_SECRETS_DIR": str(tmp_path)}) as door:
        assert (await door.stripe(stripe_event(1), "old-secret-1234")).status == 200
        (tmp_path / "STRIPE_WEBHOOK_SECRET").write_text("new-secret-1234, old-secret-1234")
        assert (await door.stripe(stripe_event(2), "old-secret-1234")).status == 200
        assert (await door.stripe(stripe_event(3), "new-secret-1234")).status == 200
        (tmp_path / "STRIPE_WEBHOOK_SECRET").write_text("new-secret-1234")
        assert (await door.stripe(stripe_event(4), "old-secret-1234")).status == 401
        assert (await door.stripe(stripe_event(5), "new-secret-1234")).status == 200


async def test_secrets_are_told_to_the_redactor(gateway_pool: Pool, admin: Any) -> None:
    redactor = Redactor()
    async with opened(gateway_pool, redactor=redactor) as door:
        await door.stripe(stripe_event())
    assert redactor.everywhere("x whsec_the_stripe_secret") == "x [secret STRIPE_WEBHOOK_SECRET]"


async def test_methods_kinds_codings_and_sizes(gateway_pool: Pool, admin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    big = b"x" * (intake.MAX_BODY + 1)

    async def chunks() -> Any:
        for start in range(0, len(big), 100_000):
            yield big[start : start + 100_000]

    async with opened(gateway_pool) as door:
        for method in ("GET", "PUT", "DELETE"):
            assert (await door.send(method, door.to("stripe"))).status == 405
        assert (await door.post("stripe", b"{}", {"Content-Type": "text/plain"})).status == 415
        assert (await door.post("stripe", b"{}", JSON | {"Content-Encoding": "gzip"})).status == 415
        assert (await door.post("stripe", big, JSON)).status == 413
        assert (await door.send("POST", door.to("stripe"), data=chunks(), headers=JSON)).status == 413
        monkeypatch.setattr(requests, "BODY_SECONDS", 0.1)
        assert await _slowly(door) == 408
        assert (await door.stripe(stripe_event())).status == 200


async def _slowly(door: Door) -> int:
    """A body that is announced and does not come."""
    host, port = door.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    )
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


async def test_while_it_stops_nothing_is_taken(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool) as door:
        await door.room.drain()
        assert (await door.stripe(stripe_event())).status == 503
    assert await outbox(admin) == []


# -- what does not fit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"id": "evt_1", "type": "invoice.paid", "data": {"object": {"object": "charge", "id": "ch_1"}}}', "data"),
        (b'{"id": "evt_1", "type": "invoice.paid", "data": {"object": {"object": "invoice"}}}', "data.data.object.id"),
        (b'{"type": "invoice.paid", "data": {"object": {"id": "in_1"}}}', "id"),
        (b'{"id": "evt_1", "type": "invoice.paid", "data": {"object": {"id": "in_\\u0000"}}}', "data"),
        (
            b'{"id": "evt_1", "type": "invoice.paid", "n": 123456789012345678901, "data": {"object": {"id": "in_1"}}}',
            "data",
        ),
        (b'{"object": "v2.core.event", "id": "evt_1", "type": "v1.x"}', "object"),
        (b"[]", "body"),
        (b"{", "body"),
        (b"\xff\xfe", "body"),
    ],
)
async def test_a_payload_that_does_not_fit_is_kept_and_its_sender_not_told_to_try_again(
    gateway_pool: Pool, admin: Any, body: bytes, field: str
) -> None:
    headers = JSON | signing.stripe(SECRETS["STRIPE_WEBHOOK_SECRET"], body, int(time.time()))
    async with opened(gateway_pool) as door:
        for _ in range(2):
            answer = await door.post("stripe", body, headers)
            assert answer.status == 200
            assert answer.json()["set_aside"]["field"] == field
    (letter,) = await letters(admin)
    assert (letter["service"], letter["topic"], letter["value"]) == ("gateway", "webhooks/stripe", body)
    assert "stripe-signature" not in str(letter["headers"])


@pytest.mark.parametrize("number", [b"1", b"1234567890123456789"])
@pytest.mark.parametrize("depth", [300, 990, 1020, 100_000])
async def test_a_payload_that_is_nested_too_deeply_is_kept(
    gateway_pool: Pool, admin: Any, tmp_path: Path, number: bytes, depth: int
) -> None:
    (tmp_path / "webhooks.yaml").write_text(CUSTOM + "  data: {candidate_id: $.candidate_id, name: $.deep}\n")
    deep = b"[" * depth + number + b"]" * depth
    sent = {
        "n8n": (b'{"workflow": {"id": "w"}, "deep": %s}' % deep, "the-n8n-secret"),
        "forms": (b'{"answers": [{"candidate_id": "C-1", "deep": %s}]}' % deep, "forms-secret"),
    }
    async with opened(
        gateway_pool, SECRETS | {"FORMS_SECRET": "forms-secret"}, custom=tmp_path / "webhooks.yaml"
    ) as door:
        for name, (body, secret) in sent.items():
            answer = await door.post(name, body, JSON | {"X-Viox-Secret": secret})
            assert answer.status == 200, (name, answer.text)
            assert answer.json()["set_aside"], name
    assert {letter["value"] for letter in await letters(admin)} == {body for body, _ in sent.values()}


async def test_no_more_deliveries_at_a_time_than_memory_has_room_for(
    gateway_pool: Pool, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST_AT_A_TIME", 0)
    async with opened(gateway_pool) as door:
        answer = await door.stripe(stripe_event())
        assert (answer.status, answer.json()["code"]) == (503, "webhook.busy")


async def test_one_bad_item_does_not_keep_the_others_out(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool) as door:
        bad = hubspot_item(2)
        del bad["objectId"]
        answer = await hubspot(door, [hubspot_item(1), bad, hubspot_item(3)])
        assert (answer.json()["accepted"], answer.json()["set_aside"]["field"]) == (2, "data.objectId")


async def test_events_nobody_here_listens_to_are_counted_and_not_kept(gateway_pool: Pool, admin: Any) -> None:
    async with opened(gateway_pool) as door:
        answer = await door.stripe(stripe_event(kind="customer.cre\x00ated"))
        assert answer.status == 200
        assert len(answer.json()["ignored"]) == 1
    row = await admin.fetchrow("select * from webhook_deliveries")
    assert (row["verdict"], row["detail"]) == ("ignored", "com.stripe.customer.cre?ated")
    assert await outbox(admin) == []


# -- loops -------------------------------------------------------------------------------------------------------------


async def test_too_many_events_of_one_thing_are_held_back_until_a_person_lets_them_in(
    gateway_pool: Pool, admin: Any
) -> None:
    async with opened(gateway_pool, webhook_trip_events=3) as door:
        same = {"object": {"id": "in_1", "object": "invoice", "customer": "cus_1"}}
        answers = [await door.stripe(stripe_event(n, data=same)) for n in range(5)]
        assert [answer.json()["accepted"] for answer in answers] == [1, 1, 1, 0, 0]
        assert answers[4].json()["set_aside"]["code"] == "webhook.loop"
        assert (await door.stripe(stripe_event(99))).json()["accepted"] == 1, "other things are not held up"
        kept = await letters(admin)
        assert [letter["code"] for letter in kept] == ["webhook.loop"] * 2
        for letter in kept:
            await door.room.webhooks.redrive(_record(letter))
        assert [event.id for event in door.events()][-2:] == ["evt_3", "evt_4"]
    assert (await counts(admin))["stripe", "held", "webhook.loop"] == 2


def _record(letter: Any) -> Any:
    from shared.bus.kafka import Record

    headers = tuple((name, value.encode("latin-1")) for name, value in json.loads(letter["headers"]))
    return Record(letter["topic"], -1, 1, None, letter["value"], headers)


async def test_what_a_call_of_ours_caused_is_marked(gateway_pool: Pool, admin: Any) -> None:
    await admin.execute(
        "insert into catalogue (tool, vendor, method, path, effect, risk, description, input_schema, granted_to)"
        " values ('hubspot_create_contact', 'hubspot', 'POST', '/', 'once', '{}', '', '{}', '{closer}')"
    )
    call = (
        "insert into tool_calls (call_id, run_id, step, idx, agent, conversation_id, tool, vendor, effect, state, arguments,"
        " arguments_sha256, result, closed_at) values ($1, gen_random_uuid(), 1, 0, 'closer', 'c', $2, $3, 'once', 'succeeded',"
        " '{}', '', $4, now() - $5 * interval '1 second')"
    )
    await admin.execute(call, "run.1.0", "hubspot_create_contact", "hubspot", '{"id": "7"}', 5.0)
    await admin.execute(call, "run.2.0", "hubspot_create_contact", "hubspot", '{"id": "8"}', 5000.0)
    await admin.execute(call, "run.3.0", "stripe_pay_invoice", "stripe", "{}", 5.0)
    async with opened(gateway_pool) as door:
        await hubspot(door, [hubspot_item(7), hubspot_item(8), hubspot_item(9)])
        await door.stripe(stripe_event(1, request={"id": "req_1", "idempotency_key": "run.3.0"}))
        await door.stripe(stripe_event(2, request={"id": "req_1", "idempotency_key": "somebody else's"}))
        marks = {f"{event.source}:{event.subject}": event.extensions.get("causedbycall") for event in door.events()}
    assert marks == {
        "/hubspot/62515:contact:7": "run.1.0",
        "/hubspot/62515:contact:8": None,
        "/hubspot/62515:contact:9": None,
        "/stripe:cus_1": "run.3.0",
        "/stripe:cus_2": None,
    }


# -- sources of the customer's own -------------------------------------------------------------------------------------

CUSTOM = """
shop:
  scheme: standard-webhooks
  secret: SHOP_SECRET
  type: viox.lead.created
  domain: sales
  id: $.order.id
  subject: $.order.email
  data: {email: $.order.email, phone: $.order.phone, source: shop}
desk:
  scheme: hmac-sha256
  secret: DESK_SECRET
  header: X-Hub-Signature-256
  prefix: sha256=
  type: viox.ticket.created
  domain: support
  id: header:X-Delivery
  data: {ticket_id: $.number, subject: $.title, body: $.text}
forms:
  scheme: shared-secret
  secret: FORMS_SECRET
  type: viox.candidate.applied
  domain: people
  items: $.answers
  id: $.candidate_id
"""


async def test_sources_by_configuration_alone(gateway_pool: Pool, admin: Any, tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text(CUSTOM)
    secrets = {
        "SHOP_SECRET": "whsec_c2VjcmV0IG9mIHRoZSBzaG9w",
        "DESK_SECRET": "desk-secret",
        "FORMS_SECRET": "forms-secret",
    }
    order = json.dumps({"order": {"id": 5, "email": "ana@example.com"}}).encode()
    ticket = json.dumps({"number": "T-1", "title": "Help", "text": "Please."}).encode()
    candidate = {"candidate_id": "C-1", "name": "Grace", "email": "g@example.com", "position": "Technician"}
    answers = json.dumps({"answers": [candidate, candidate | {"candidate_id": "C-2"}]}).encode()
    signed = {
        "shop": (order, signing.standard(secrets["SHOP_SECRET"], order, int(time.time()))),
        "desk": (
            ticket,
            {"X-Hub-Signature-256": "sha256=" + signing.hexed(b"desk-secret", ticket), "X-Delivery": "d-1"},
        ),
        "forms": (answers, {"X-Viox-Secret": "forms-secret"}),
    }
    async with opened(gateway_pool, secrets, custom=file) as door:
        for accepted in (True, False):
            for name, (body, headers) in signed.items():
                answer = await door.post(name, body, JSON | headers)
                assert answer.status == 200, answer.text
                assert answer.json()["set_aside"] is None
                assert bool(answer.json()["accepted"]) is accepted
            assert (await door.post("desk", ticket + b" ", JSON | signed["desk"][1])).status == 401
        assert [(event.source, event.id, event.type, event.subject) for event in door.events()] == [
            ("/webhooks/shop", "5", "viox.lead.created", "ana@example.com"),
            ("/webhooks/desk", "d-1", "viox.ticket.created", None),
            ("/webhooks/forms", "C-1", "viox.candidate.applied", None),
            ("/webhooks/forms", "C-2", "viox.candidate.applied", None),
        ]
        assert door.events()[0].data == {"email": "ana@example.com", "source": "shop"}, "what is not there is left out"

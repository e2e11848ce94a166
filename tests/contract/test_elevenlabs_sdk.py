"""ElevenLabs' own SDK takes the emulator for the real thing. All API requests come from the SDK."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from elevenlabs import ElevenLabs as Client
from elevenlabs.core.api_error import ApiError
from elevenlabs.core.request_options import RequestOptions
from elevenlabs.errors import BadRequestError, UnprocessableEntityError

from sandbox.vendors.elevenlabs import AGENT_ID, API_KEY, PHONE_NUMBER, PHONE_NUMBER_ID, WEBHOOK_SECRET, ElevenLabs
from tests.contract.emulators import Served
from tests.contract.receiver import Arrived, Receiver
from tests.contract.waiting import eventually

pytestmark = pytest.mark.filterwarnings("ignore")
ONCE: RequestOptions = {"max_retries": 0}
OPEN: list[httpx.Client] = []
PERSON = "+14155550100"


@pytest.fixture
def emulator() -> ElevenLabs:
    return ElevenLabs(answer_after=0.3, end_after=0.8)


@pytest.fixture(autouse=True)
def connections() -> Iterator[None]:
    """Closes what the SDK leaves open."""
    OPEN.clear()
    yield
    for client in OPEN:
        client.close()


def sdk(served: Served, key: str = API_KEY) -> Any:
    OPEN.append(httpx.Client())
    return Client(api_key=key, base_url=served.url, httpx_client=OPEN[-1]).conversational_ai


def verified(hook: Arrived) -> Any:
    OPEN.append(httpx.Client())
    client = Client(api_key=API_KEY, httpx_client=OPEN[-1])
    return client.webhooks.construct_event(
        rawBody=hook.body, sig_header=hook.headers["ElevenLabs-Signature"], secret=WEBHOOK_SECRET
    )


def call(served: Served, to: str = PERSON, **more: Any) -> Any:
    return sdk(served).twilio.outbound_call(
        agent_id=AGENT_ID, agent_phone_number_id=PHONE_NUMBER_ID, to_number=to, request_options=ONCE, **more
    )


def until_status(served: Served, conversation_id: str, wanted: str) -> Any:
    def found() -> Any:
        conversation = sdk(served).conversations.get(conversation_id, request_options=ONCE)
        return conversation if conversation.status == wanted else None

    return eventually(found, wanted)


def test_agent_from_create_to_delete(served: Served) -> None:
    agents = sdk(served).agents
    config = {"agent": {"first_message": "Hi {{name}}", "prompt": {"prompt": "Be brief"}}}
    made = agents.create(conversation_config=config, name="Callbacks", tags=["voice"], request_options=ONCE)
    read = agents.get(made.agent_id, request_options=ONCE)
    assert (read.name, read.tags, read.conversation_config.agent.first_message) == (
        "Callbacks",
        ["voice"],
        "Hi {{name}}",
    )
    assert read.conversation_config.tts.voice_id
    part = {"agent": {"prompt": {"prompt": "Be polite"}}}
    changed = agents.update(made.agent_id, conversation_config=part, name="Renamed", request_options=ONCE)
    assert changed.name == "Renamed"
    assert changed.conversation_config.agent.prompt.prompt == "Be polite"
    assert changed.conversation_config.agent.first_message == "Hi {{name}}"
    agents.delete(made.agent_id, request_options=ONCE)
    with pytest.raises(ApiError) as missing:
        agents.get(made.agent_id, request_options=ONCE)
    assert missing.value.status_code == 404
    assert missing.value.body["detail"]["code"] == "agent_not_found"
    assert served.operations == ["create_agent", "update_agent", "delete_agent"]


def test_agents_list_in_pages_and_by_name(served: Served) -> None:
    agents = sdk(served).agents
    for number in range(4):
        agents.create(conversation_config={}, name=f"Closer {number}", request_options=ONCE)
    names, cursor = [], None
    while True:
        page = agents.list(page_size=2, cursor=cursor, request_options=ONCE)
        names += [a.name for a in page.agents]
        if not page.has_more:
            break
        cursor = page.next_cursor
    assert names == ["Closer 3", "Closer 2", "Closer 1", "Closer 0", "Sandbox agent"]
    assert [a.agent_id for a in agents.list(search="sandbox", request_options=ONCE).agents] == [AGENT_ID]


def test_phone_numbers(served: Served) -> None:
    numbers = sdk(served).phone_numbers
    asked = {"provider": "twilio", "phone_number": "+15005550007", "label": "Second", "sid": "AC1", "token": "t"}
    made = numbers.create(request=asked, request_options=ONCE)
    assert numbers.get(made.phone_number_id, request_options=ONCE).assigned_agent is None
    changed = numbers.update(made.phone_number_id, agent_id=AGENT_ID, label="Sales", request_options=ONCE)
    assert (changed.label, changed.assigned_agent.agent_id) == ("Sales", AGENT_ID)
    assert {n.phone_number for n in numbers.list(request_options=ONCE)} == {PHONE_NUMBER, "+15005550007"}
    numbers.delete(made.phone_number_id, request_options=ONCE)
    assert [n.phone_number_id for n in numbers.list(request_options=ONCE)] == [PHONE_NUMBER_ID]
    with pytest.raises(UnprocessableEntityError) as invalid:
        numbers.create(request={"provider": "twilio", "phone_number": "+15005550008"}, request_options=ONCE)
    assert invalid.value.body["detail"][0]["loc"] == ["body", "label"]


def test_call_becomes_a_conversation_that_ends(served: Served) -> None:
    started = int(time.time())
    data = {"dynamic_variables": {"name": "Ada"}, "user_id": "lead-1"}
    sdk(served).agents.update(
        AGENT_ID, conversation_config={"agent": {"first_message": "Hi {{name}}"}}, request_options=ONCE
    )
    with served.stopped():
        answer = call(served, conversation_initiation_client_data=data)
        assert answer.success
        assert answer.call_sid.startswith("CA")
        first = sdk(served).conversations.get(answer.conversation_id, request_options=ONCE)
        assert (first.status, first.transcript, first.analysis) == ("initiated", [], None)
        served.passes(0.4)
        talking = sdk(served).conversations.get(answer.conversation_id, request_options=ONCE)
        assert talking.status == "in-progress"
        assert [(t.role, t.message) for t in talking.transcript] == [("agent", "Hi Ada")]
        served.passes(0.5)
    done = sdk(served).conversations.get(answer.conversation_id, request_options=ONCE)
    assert done.status == "done"
    assert [t.role for t in done.transcript] == ["agent", "user", "agent"]
    assert (done.user_id, done.analysis.call_successful) == ("lead-1", "success")
    assert done.metadata.start_time_unix_secs >= started
    assert done.metadata.call_duration_secs == 12
    assert (done.metadata.phone_call.external_number, done.metadata.phone_call.call_sid) == (PERSON, answer.call_sid)
    assert done.conversation_initiation_client_data.dynamic_variables["name"] == "Ada"
    assert served.operations == ["update_agent", "call", "call_ended"]


def test_conversations_list_filter_page_delete(served: Served) -> None:
    conversations = sdk(served).conversations
    with served.stopped():
        made = calls_still_going_on(served, conversations)
    until_status(served, made[0], "done")
    finished = conversations.list(call_successful="success", request_options=ONCE).conversations
    assert {c.status for c in finished} == {"done"}
    conversations.delete(made[0], request_options=ONCE)
    assert made[0] not in [c.conversation_id for c in conversations.list(request_options=ONCE).conversations]
    with pytest.raises(ApiError) as missing:
        conversations.delete(made[0], request_options=ONCE)
    assert missing.value.status_code == 404


def calls_still_going_on(served: Served, conversations: Any) -> list[str]:
    """Three, newest last, as lists, filters and pages show them."""
    made = [call(served, conversation_initiation_client_data={"user_id": f"u{n}"}).conversation_id for n in range(3)]
    first = conversations.list(agent_id=AGENT_ID, page_size=2, request_options=ONCE)
    rest = conversations.list(agent_id=AGENT_ID, page_size=2, cursor=first.next_cursor, request_options=ONCE)
    assert [c.conversation_id for c in first.conversations + rest.conversations] == made[::-1]
    assert (first.has_more, rest.has_more, rest.next_cursor) == (True, False, None)
    mine = conversations.list(user_id="u1", request_options=ONCE).conversations
    assert [c.conversation_id for c in mine] == [made[1]]
    assert conversations.list(call_successful="success", request_options=ONCE).conversations == []
    later = int(time.time()) + 60
    assert conversations.list(call_start_after_unix=later, request_options=ONCE).conversations == []
    return made


def test_knowledge_base(served: Served) -> None:
    base = sdk(served).knowledge_base
    text = base.documents.create_from_text(text="Open 9 to 5", name="Hours", request_options=ONCE)
    url = base.documents.create_from_url(url="https://example.com/prices", name="Prices", request_options=ONCE)
    file = base.documents.create_from_file(
        file=("returns.txt", b"30 days", "text/plain"), name="Returns", request_options=ONCE
    )
    read = base.documents.get(text.id, request_options=ONCE)
    assert (read.type, read.name, read.extracted_inner_html, read.metadata.size_bytes) == (
        "text",
        "Hours",
        "Open 9 to 5",
        11,
    )
    assert base.documents.get(url.id, request_options=ONCE).url == "https://example.com/prices"
    assert base.documents.get_content(file.id, request_options=ONCE) == "30 days"
    page = base.list(page_size=2, request_options=ONCE)
    rest = base.list(page_size=2, cursor=page.next_cursor, request_options=ONCE)
    assert [(d.type, d.id) for d in page.documents + rest.documents] == [
        ("file", file.id),
        ("url", url.id),
        ("text", text.id),
    ]
    assert [d.id for d in base.list(search="pric", types=["url"], request_options=ONCE).documents] == [url.id]
    assert base.documents.update(text.id, name="Opening hours", request_options=ONCE).name == "Opening hours"
    base.documents.delete(file.id, request_options=ONCE)
    with pytest.raises(ApiError) as missing:
        base.documents.get(file.id, request_options=ONCE)
    assert missing.value.status_code == 404


def test_document_in_use_is_deleted_by_force_only(served: Served) -> None:
    base, agents = sdk(served).knowledge_base, sdk(served).agents
    document = base.documents.create_from_text(text="Open 9 to 5", name="Hours", request_options=ONCE)
    used = [{"type": "text", "name": "Hours", "id": document.id}]
    agents.update(AGENT_ID, conversation_config={"agent": {"prompt": {"knowledge_base": used}}}, request_options=ONCE)
    assert [a.id for a in base.documents.get_agents(document.id, request_options=ONCE).agents] == [AGENT_ID]
    with pytest.raises(ApiError) as refused:
        base.documents.delete(document.id, request_options=ONCE)
    assert refused.value.status_code == 400
    base.documents.delete(document.id, force=True, request_options=ONCE)
    assert agents.get(AGENT_ID, request_options=ONCE).conversation_config.agent.prompt.knowledge_base == []


def test_calls_refused_with_an_error_and_with_200(served: Served) -> None:
    twilio = sdk(served).twilio
    with pytest.raises(ApiError) as missing:
        twilio.outbound_call(
            agent_id="agent_x", agent_phone_number_id=PHONE_NUMBER_ID, to_number=PERSON, request_options=ONCE
        )
    assert (missing.value.status_code, missing.value.body["detail"]["code"]) == (404, "agent_not_found")
    bad = call(served, to="12")
    assert (bad.success, bad.conversation_id, bad.call_sid) == (False, None, None)
    served.fault(kind="failed_200", path="/outbound-call")
    failed = call(served)
    assert (failed.success, failed.conversation_id) == (False, None)
    assert served.operations == []


def test_validation_wrong_key_and_throttled(served: Served) -> None:
    with pytest.raises(UnprocessableEntityError) as invalid:
        sdk(served).twilio.outbound_call(
            agent_id=AGENT_ID, agent_phone_number_id=PHONE_NUMBER_ID, to_number=None, request_options=ONCE
        )
    assert set(invalid.value.body["detail"][0]) == {"loc", "msg", "type"}
    with pytest.raises(UnprocessableEntityError):
        sdk(served).agents.list(page_size=101, request_options=ONCE)
    with pytest.raises(ApiError) as refused:
        sdk(served, "wrong").agents.list(request_options=ONCE)
    assert (refused.value.status_code, refused.value.body["detail"]["code"]) == (401, "invalid_api_key")
    served.fault(kind="429", retry_after=1)
    with pytest.raises(ApiError) as throttled:
        sdk(served).agents.list(request_options=ONCE)
    assert throttled.value.status_code == 429
    assert throttled.value.body["detail"]["code"] == "rate_limit_exceeded"


def test_limits_of_requests_and_of_calls_at_once() -> None:
    made = Served(ElevenLabs(concurrent_calls=1, per_second=2, end_after=30))
    try:
        agents = sdk(made).agents
        with made.stopped():
            agents.list(request_options=ONCE)
            agents.list(request_options=ONCE)
            with pytest.raises(ApiError) as throttled:
                agents.list(request_options=ONCE)
            made.passes(1.05)
            call(made)
            with pytest.raises(ApiError) as busy:
                call(made)
        assert (throttled.value.status_code, throttled.value.body["detail"]["code"]) == (429, "rate_limit_exceeded")
        assert (busy.value.status_code, busy.value.body["detail"]["code"]) == (429, "concurrent_limit_exceeded")
    finally:
        made.close()


def test_the_webhook_after_a_call_is_one_the_sdk_verifies(served: Served, receiver: Receiver) -> None:
    served.control("webhooks", url=receiver.url)
    script = {
        "to_number": PERSON,
        "transcript": [{"role": "agent", "message": "Hi"}, {"role": "user", "message": "Tuesday"}],
        "data_collection": {"day": "Tuesday"},
        "evaluation": {"booked": "success"},
        "summary": "Booked Tuesday.",
    }
    served.control("script", **script)
    made = call(served)
    (hook,) = receiver.wait(1)
    event = verified(hook)
    assert event["type"] == "post_call_transcription"
    assert abs(event["event_timestamp"] - time.time()) < 30
    data = event["data"]
    assert (data["conversation_id"], data["status"]) == (made.conversation_id, "done")
    assert data["analysis"]["data_collection_results"]["day"]["value"] == "Tuesday"
    assert data["analysis"]["evaluation_criteria_results"]["booked"]["result"] == "success"
    read = sdk(served).conversations.get(made.conversation_id, request_options=ONCE)
    assert [t.message for t in read.transcript] == [t["message"] for t in data["transcript"]] == ["Hi", "Tuesday"]
    with pytest.raises(BadRequestError):
        verified(replace(hook, body=hook.body + " "))


def test_nobody_answers(served: Served, receiver: Receiver) -> None:
    served.control("webhooks", url=receiver.url)
    served.control("script", failure_reason="no-answer")
    made = call(served)
    (hook,) = receiver.wait(1)
    event = verified(hook)
    assert (event["type"], event["data"]["failure_reason"]) == ("call_initiation_failure", "no-answer")
    assert event["data"]["conversation_id"] == made.conversation_id
    assert sdk(served).conversations.get(made.conversation_id, request_options=ONCE).status == "failed"

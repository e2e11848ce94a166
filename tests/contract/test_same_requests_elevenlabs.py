"""ElevenLabs: our requests equal the SDK's; a lost answer is found again; errors are short and exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from elevenlabs import ElevenLabs as Client
from elevenlabs.core.request_options import RequestOptions

from sandbox.vendors.elevenlabs import AGENT_ID, API_KEY, PHONE_NUMBER_ID, ElevenLabs
from tests.contract.side_by_side import HEADERS, TOOLS, Seen, SideBySide

pytestmark = pytest.mark.filterwarnings("ignore")
ONCE: RequestOptions = {"max_retries": 0}
TO = "+14155550123"
FOR_ADA: dict[str, Any] = {
    "user_id": "lead-17-callback-1",
    "dynamic_variables": {"name": "Ada & é", "visits": 2, "new": True},
    "conversation_config_override": {"agent": {"first_message": "Hi {{name}}", "language": "en"}},
}
CALL: dict[str, Any] = {"to_number": TO, "conversation_initiation_client_data": FOR_ADA}
TEXT: dict[str, Any] = {"name": "Hours", "text": "Open 9 to 5"}
PAGE: dict[str, Any] = {"name": "Prices", "url": "https://example.com/prices?of=all"}
FILE: dict[str, Any] = {
    "name": "Returns",
    "file": {"filename": "returns.txt", "content_type": "text/plain", "text": "30 days"},
}
# Tool → what we are asked for, and how the SDK is asked for the same. {call}, {text}: ids of what is there already.
CASES: dict[str, tuple[dict[str, Any], Callable[[Any, dict[str, str]], Any]]] = {
    "elevenlabs_call": (
        CALL,
        lambda sdk, ids: sdk.twilio.outbound_call(
            agent_id=AGENT_ID,
            agent_phone_number_id=PHONE_NUMBER_ID,
            to_number=TO,
            conversation_initiation_client_data=FOR_ADA,
            request_options=ONCE,
        ),
    ),
    "elevenlabs_list_conversations": (
        {
            "agent_id": AGENT_ID,
            "user_id": "a b&c",
            "call_successful": "success",
            "call_start_after_unix": 1_700_000_000,
            "call_start_before_unix": 1_900_000_000,
            "page_size": 5,
        },
        lambda sdk, ids: sdk.conversations.list(
            agent_id=AGENT_ID,
            user_id="a b&c",
            call_successful="success",
            call_start_after_unix=1_700_000_000,
            call_start_before_unix=1_900_000_000,
            page_size=5,
            request_options=ONCE,
        ),
    ),
    "elevenlabs_get_conversation": (
        {"conversation_id": "{call}"},
        lambda sdk, ids: sdk.conversations.get(ids["call"], request_options=ONCE),
    ),
    "elevenlabs_list_agents": (
        {"search": "sand", "page_size": 2},
        lambda sdk, ids: sdk.agents.list(search="sand", page_size=2, request_options=ONCE),
    ),
    "elevenlabs_get_agent": ({"agent_id": AGENT_ID}, lambda sdk, ids: sdk.agents.get(AGENT_ID, request_options=ONCE)),
    "elevenlabs_list_documents": (
        {"search": "Ho", "types": ["text", "url"], "page_size": 100},
        lambda sdk, ids: sdk.knowledge_base.list(
            search="Ho", types=["text", "url"], page_size=100, request_options=ONCE
        ),
    ),
    "elevenlabs_create_text_document": (
        TEXT,
        lambda sdk, ids: sdk.knowledge_base.documents.create_from_text(**TEXT, request_options=ONCE),
    ),
    "elevenlabs_create_url_document": (
        PAGE,
        lambda sdk, ids: sdk.knowledge_base.documents.create_from_url(**PAGE, request_options=ONCE),
    ),
    "elevenlabs_create_file_document": (
        FILE,
        lambda sdk, ids: sdk.knowledge_base.documents.create_from_file(
            file=("returns.txt", b"30 days", "text/plain"), name="Returns", request_options=ONCE
        ),
    ),
    "elevenlabs_get_document": (
        {"documentation_id": "{text}"},
        lambda sdk, ids: sdk.knowledge_base.documents.get(ids["text"], request_options=ONCE),
    ),
    "elevenlabs_delete_document": (
        {"documentation_id": "{text}", "force": True},
        lambda sdk, ids: sdk.knowledge_base.documents.delete(ids["text"], force=True, request_options=ONCE),
    ),
}


@pytest.fixture
def both() -> Iterator[SideBySide]:
    settings = {
        "ELEVENLABS_API_KEY": API_KEY,
        "ELEVENLABS_AGENT_ID": AGENT_ID,
        "ELEVENLABS_BASE_URL": "{url}",
        "ELEVENLABS_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
    }
    made = SideBySide(ElevenLabs(), settings, headers=(*HEADERS, "xi-api-key"))
    yield made
    made.close()


@pytest.fixture
def sdk(both: SideBySide) -> Iterator[Any]:
    with httpx.Client() as http:
        yield Client(api_key=API_KEY, base_url=both.url, httpx_client=http).conversational_ai


def same(seen: Seen) -> Seen:
    """The SDK accepts anything; we say that we read JSON."""
    return seen.without("accept")


@pytest.mark.parametrize("tool", CASES)
def test_same_request(both: SideBySide, sdk: Any, tool: str) -> None:
    asked, ask_sdk = CASES[tool]
    ids = {
        "call": both.call("elevenlabs_call", **CALL).result["conversation_id"],
        "text": both.call("elevenlabs_create_text_document", **TEXT).result["id"],
    }
    ours = both.ours(tool, **{k: v.format(**ids) if isinstance(v, str) and "{" in v else v for k, v in asked.items()})
    if tool == "elevenlabs_delete_document":
        with pytest.raises(Exception, match="not found"):  # ours has deleted it
            ask_sdk(sdk, ids)
    else:
        ask_sdk(sdk, ids)
    assert same(ours) == same(both.theirs())
    assert ours.headers["xi-api-key"] == API_KEY


def test_every_tool_is_compared() -> None:
    assert set(CASES) == {tool.name for tool in TOOLS.values() if tool.vendor == "elevenlabs"}


def test_pages_follow_the_cursor(both: SideBySide, sdk: Any) -> None:
    for _ in range(3):
        both.call("elevenlabs_call", **CALL)
    first = both.call("elevenlabs_list_conversations", page_size=2).result
    ours = both.ours("elevenlabs_list_conversations", page_size=2, cursor=first["next_cursor"])
    sdk.conversations.list(page_size=2, cursor=first["next_cursor"], request_options=ONCE)
    assert same(ours) == same(both.theirs())


def test_what_a_model_sees_of_a_call(both: SideBySide) -> None:
    made = both.call("elevenlabs_call", **CALL).result
    assert set(made) == {"success", "message", "conversation_id", "callSid"}
    read = both.call("elevenlabs_get_conversation", conversation_id=made["conversation_id"]).result
    assert (read["status"], read["user_id"]) == ("initiated", FOR_ADA["user_id"])
    assert read["metadata"]["phone_call"] == {"external_number": TO}


@pytest.mark.parametrize(
    ("tool", "arguments", "operation"),
    [
        ("elevenlabs_call", CALL, "call"),
        ("elevenlabs_create_text_document", TEXT, "create_document"),
        ("elevenlabs_create_url_document", PAGE, "create_document"),
        ("elevenlabs_create_file_document", FILE, "create_document"),
    ],
)
def test_a_lost_answer_is_found_again(both: SideBySide, tool: str, arguments: Any, operation: str) -> None:
    other = (
        {"name": arguments["name"] + " of last year"}
        if "name" in arguments
        else {"conversation_initiation_client_data": {"user_id": "lead-18"}}
    )
    assert both.call(tool, **arguments | other).state == "succeeded"
    intended = datetime.now(UTC)
    assert both.look_up(tool, intended, **arguments) == []
    both.fault(kind="cut_after", method="POST")
    assert both.call(tool, **arguments).state == "unknown"
    [found] = both.look_up(tool, intended, **arguments)
    assert len(both.effects(operation)) == 2
    mine = both.effects(operation)[-1]["id"]
    assert found == ({"conversation_id": mine} if operation == "call" else {"id": mine, "name": arguments["name"]})
    assert both.look_up(tool, intended + timedelta(minutes=1), **arguments) == [], "an older one is not this call's"


def test_a_200_that_says_no_is_a_failure(both: SideBySide) -> None:
    both.fault(kind="failed_200", path="/outbound-call")
    meaning = both.call("elevenlabs_call", **CALL)
    assert meaning.state == "failed"
    assert meaning.error is not None
    assert meaning.error["message"] == "injected fault: the call could not be placed"
    assert both.effects("call") == []


def test_errors(both: SideBySide) -> None:
    meaning = both.call("elevenlabs_list_agents", cursor="?")
    assert meaning.error == {"code": "http.422", "message": "Invalid cursor · cursor", "status": 422}
    both.call("elevenlabs_create_text_document", **TEXT)
    both.secrets = type(both.secrets)(
        {
            "ELEVENLABS_API_KEY": API_KEY,
            "ELEVENLABS_AGENT_ID": "agent_x",
            "ELEVENLABS_PHONE_NUMBER_ID": "p",
            "ELEVENLABS_BASE_URL": both.url,
        }
    )
    meaning = both.call("elevenlabs_call", **CALL)
    assert meaning.error == {"code": "http.404", "message": "Agent agent_x not found · agent_not_found", "status": 404}

"""A caller with a token, the gateway's port, and what the operator sees of it."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.conftest import Deployment

LOOKUP = "twilio_lookup_number"
NUMBER = {"PhoneNumber": "+14155550123"}


def invoke(deployment: Deployment, token: str, conversation: str, **more: str) -> tuple[int, dict[str, Any]]:
    """Voice looks a number up. (status, answer); (0, {}) when the gateway hung up or was not there."""
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "X-Conversation-Id": conversation,
        **more,
    }
    url = f"{deployment.state['gateway_url']}/v1/tools/{LOOKUP}:invoke"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, json.dumps(NUMBER).encode(), headers), timeout=60
        ) as got:
            return got.status, json.loads(got.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except OSError:
        return 0, {}


def sandbox_token(deployment: Deployment) -> str:
    return (deployment.home / "invoke-token-voice").read_text()


def test_a_stack_takes_live_calls_at_once_and_shows_them(deployment: Deployment) -> None:
    conversation = f"call:{uuid4()}"
    status, answer = invoke(deployment, sandbox_token(deployment), conversation)
    assert (status, answer["state"]) == (200, "succeeded")
    assert invoke(deployment, "nobodys", conversation)[0] == 401
    run = deployment("run", answer["run_id"], "--json").json()
    assert (run["agent"], run["conversation_id"], run["status"]) == ("voice", conversation, "running")
    assert answer["call_id"] in deployment("run", answer["run_id"], "--steps").out
    assert answer["call_id"] in [
        c["call_id"] for c in deployment("calls", "--run", run["run_id"], "--json").json()["items"]
    ]
    assert deployment("cancel", run["run_id"]).code == 0
    assert deployment("run", answer["run_id"], "--json").json()["status"] == "cancelled"
    refused = invoke(deployment, sandbox_token(deployment), conversation, **{"Idempotency-Key": "another"})
    assert (refused[0], refused[1]["code"]) == (409, "run.over")


def test_a_token_is_made_and_its_use_is_told(deployment: Deployment) -> None:
    made = deployment("invoke-token", "people_ops", "--json").json()
    assert (made["agent"], made["setting"]) == ("people-ops", "VIOX_INVOKE_TOKEN_PEOPLE_OPS")
    assert made["token"] not in made["value"]
    assert deployment("invoke-token", "nobody").code == 2
    invoke(deployment, sandbox_token(deployment), f"call:{uuid4()}")
    deadline = time.monotonic() + 120
    while True:
        told = deployment("invoke-token", "--json").json()
        if told["items"] and told["items"][0]["last_used_at"]:
            break
        assert time.monotonic() < deadline, told
        time.sleep(0.5)
    assert [item["agent"] for item in told["items"]] == ["voice"]
    logs = "".join(Path(log).read_text(errors="replace") for log in (deployment.home / "logs").glob("*.log"))
    assert sandbox_token(deployment) not in logs


def test_a_caller_whose_gateway_was_killed_asks_again_and_is_told(deployment: Deployment) -> None:
    """The request is with the vendor when the gateway dies: a read is made again, under the same call."""
    conversation, token = f"call:{uuid4()}", sandbox_token(deployment)
    deployment.fault("twilio", kind="slow", path="PhoneNumbers", seconds=10.0)
    short = {"Request-Timeout": "500", "Idempotency-Key": str(uuid4())}
    status, first = invoke(deployment, token, conversation, **short)
    assert (status, first["state"]) == (202, "executing")
    os.kill(deployment.process("gateway"), signal.SIGKILL)
    deadline = time.monotonic() + 120
    while (answer := invoke(deployment, token, conversation, **short))[0] != 200:
        assert time.monotonic() < deadline, answer
        time.sleep(0.2)
    assert answer[1]["call_id"] == first["call_id"]
    call = deployment("call", first["call_id"], "--json").json()
    assert (call["state"], call["attempts"]) == ("succeeded", 2)

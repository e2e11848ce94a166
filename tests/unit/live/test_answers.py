"""What callers are answered, and what a voice says of it."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import uuid4

import jsonschema_rs
import pytest

from services.tool_gateway.live import answers, openapi, words
from services.tool_gateway.live.waiting import Standing
from shared.errors import BadInput
from shared.ids import CallId
from shared.operations.store import CALL_STATES

ERROR = {"code": "x.y", "message": "internal words of Stripe's 10.0.0.7"}


def standing(state: str, error: dict[str, Any] | None = None, *, paused: bool = False) -> Standing:
    result = {"id": 7} if state == "succeeded" else None
    return Standing(CallId("r.1.0"), uuid4(), "voice", "stripe_refund", "stripe", state, paused, result, error)


@pytest.mark.parametrize("state", CALL_STATES)
@pytest.mark.parametrize("error", [None, ERROR, {"code": "http.502", "status": 502}])
def test_every_state_has_an_answer_that_the_description_has_too(state: str, error: dict[str, Any] | None) -> None:
    answer = answers.of_call(standing(state, error))
    assert isinstance(answer.body, bytes | bytearray)
    body = json.loads(answer.body)
    described = openapi.document()
    (path,) = described["paths"].values()
    (content,) = path["post"]["responses"][str(answer.status)]["content"].items()
    assert answer.content_type == content[0]
    schema = described["components"]["schemas"][content[1]["schema"]["$ref"].rsplit("/", 1)[1]]
    jsonschema_rs.Draft202012Validator(schema).validate(body)
    assert (answer.status == 200) == (state == "succeeded")
    assert (answer.status == 202) == (state in ("requested", "awaiting_approval", "approved", "executing", "unknown"))


@pytest.mark.parametrize(
    ("state", "code", "status"),
    [
        ("denied", "tool.not_found", 404),
        ("denied", "tool.not_granted", 403),
        ("denied", "policy.forbidden", 403),
        ("denied", "tool.invalid_arguments", 422),
        ("denied", "tool.arguments_too_large", 413),
        ("denied", "run.over", 409),
        ("denied", "credential.missing", 503),
        ("failed", "http.402", 424),
        ("rejected", "approval.rejected", 403),
        ("expired", "approval.expired", 403),
    ],
)
def test_the_status_says_whose_turn_it_is(state: str, code: str, status: int) -> None:
    assert answers.of_call(standing(state, {"code": code, "message": "m"})).status == status


SENTENCES = {
    text
    for text in (*vars(words).values(), *words.OF_STATE.values(), *words.OF_CODE.values())
    if isinstance(text, str) and " " in text
}


def test_a_voice_says_plain_sentences() -> None:
    """No code, name or number; nothing that is only written."""
    for text in SENTENCES - {words.__doc__, words.__file__}:
        assert not re.search(r"[_{}<>/0-9]|http|API|vendor|Stripe|Twilio|gateway|idempot", text, re.IGNORECASE), text
        assert text.endswith((".", "?"))


@pytest.mark.parametrize("state", [one for one in CALL_STATES if one != "succeeded"])
def test_what_is_said_has_nothing_of_the_error(state: str) -> None:
    assert answers.sentence(standing(state, ERROR)) in SENTENCES


def test_what_was_certainly_not_done_is_said_so_and_what_nobody_knows_is_not() -> None:
    assert "nothing has been done" in words.say("failed", ERROR)
    assert "nothing" not in words.say("unknown", ERROR)


def test_what_holds_a_call_up_is_said() -> None:
    assert answers.sentence(standing("requested", paused=True)) == words.PAUSED
    assert answers.sentence(standing("requested"), unanswering=True) == words.NO_ANSWER
    assert answers.sentence(standing("requested")) == words.WORKING


def test_a_refusal_is_a_problem_that_can_be_spoken() -> None:
    answer = answers.of_refusal(429, BadInput("invoke.too_often", "too often.", field="address"), 0.2)
    assert (answer.status, answer.content_type, answer.headers["Retry-After"]) == (429, "application/problem+json", "1")
    assert answer.text is not None
    assert json.loads(answer.text)["say"] == words.NOT_NOW

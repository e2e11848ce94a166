"""Rule 9 as a table: what an answer, or none, means for each effect."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.call.outcome import (
    MAX_ATTEMPTS,
    after_attempt_in_doubt,
    of_answer,
    of_maybe_sent,
    of_not_sent,
)
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.tools import Idempotency, Success
from services.tool_gateway.wire.transport import MaybeSent, NotSent

TOOLS = catalogue.load().tools
ONCE, READ, IDEMPOTENT = TOOLS["hubspot_create_deal"], TOOLS["hubspot_get_deal"], TOOLS["hubspot_update_deal"]
KEYED = replace(IDEMPOTENT, effect="keyed")


def answer(status: int, body: object = None, **headers: str) -> Answer:
    return Answer(status, list(headers.items()), orjson.dumps(body if body is not None else {}))


@pytest.mark.rule(9)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_statuses_that_prove_nothing_happened_are_final(status: int) -> None:
    result = of_answer(ONCE, answer(status, {"message": "no such stage"}), 1)
    assert result.state == "failed"
    assert result.error == {"code": f"http.{status}", "message": "no such stage", "status": status}


@pytest.mark.rule(9)
@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_uncertain_answers_make_single_effects_unknown_and_repeat_the_others(status: int) -> None:
    assert of_answer(ONCE, answer(status), 1).state == "unknown"
    for tool in (READ, IDEMPOTENT, KEYED):
        assert of_answer(tool, answer(status), 1).state == "requested"


@pytest.mark.rule(9)
def test_no_answer_makes_single_effects_unknown() -> None:
    lost = MaybeSent("http.timeout", "sent, but no answer came in time.")
    assert of_maybe_sent(ONCE, 1, lost).state == "unknown"
    assert of_maybe_sent(READ, 1, lost).state == "requested"
    assert of_maybe_sent(READ, MAX_ATTEMPTS, lost).state == "failed"
    assert of_maybe_sent(KEYED, MAX_ATTEMPTS, lost).state == "unknown", "a new key would be a second effect"


@pytest.mark.rule(9)
def test_what_never_left_is_tried_again_whatever_the_effect() -> None:
    assert of_not_sent(1, NotSent("http.not_sent", "refused")).state == "requested"
    assert of_not_sent(MAX_ATTEMPTS, NotSent("http.not_sent", "refused")).state == "failed"


def test_429_waits_as_long_as_the_vendor_says() -> None:
    result = of_answer(ONCE, answer(429, {"message": "slow down"}, **{"Retry-After": "7"}), 1)
    assert (result.state, result.wait_seconds, result.throttled) == ("requested", 7.0, True)
    without = of_answer(TOOLS["airtable_create_table"], answer(429), 1)
    assert without.wait_seconds == 30, "Airtable locks a base out for 30 s and says no Retry-After"


@pytest.mark.rule(9)
@pytest.mark.parametrize("status", [407, 416, 417, 421, 424, 425, 426])
def test_what_a_server_refused_to_begin_did_not_happen(status: int) -> None:
    assert of_answer(ONCE, answer(status), 1).state == "failed"


@pytest.mark.rule(9)
@pytest.mark.parametrize("status", [408, 418, 440, 499, 500, 520])
def test_what_says_nothing_of_what_was_done_is_unknown(status: int) -> None:
    assert of_answer(ONCE, answer(status), 1).state == "unknown"


def test_a_200_that_says_no_is_a_failure() -> None:
    tool = replace(ONCE, success=Success("success", one_of=(True,)))
    assert of_answer(tool, answer(200, {"success": False, "message": "busy"}), 1).state == "failed"
    assert of_answer(tool, answer(200, {"success": True}), 1).state == "succeeded"
    sms = of_answer(TOOLS["twilio_send_message"], answer(201, {"sid": "SM1", "status": "failed"}), 1)
    assert sms.state == "failed"


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (
            {
                "Fault": {
                    "Error": [{"Message": "Stale Object Error", "Detail": "Somebody else saved it.", "code": "5010"}]
                }
            },
            "failed",
        ),
        ({"Fault": {}}, "failed"),
        ({"Fault": None, "Invoice": {}}, "succeeded"),
        ({"Invoice": {}}, "succeeded"),
        ([], "succeeded"),
    ],
)
def test_a_200_with_what_a_success_never_has_is_a_failure(body: object, state: str) -> None:
    tool = replace(
        KEYED, success=Success("Fault", absent=True), error_paths=("Fault.Error.0.Message", "Fault.Error.0.code")
    )
    result = of_answer(tool, answer(200, body), 1)
    assert result.state == state
    if "Error" in str(body):
        assert result.error == {"code": "tool.vendor_refused", "message": "Stale Object Error · 5010", "status": 200}


def test_models_see_the_projection_only() -> None:
    body = {"id": "7", "properties": {"dealname": "x", "secret": 1}, "createdAt": "now"}
    assert of_answer(ONCE, answer(201, body), 1).result == {"id": "7", "properties": {"dealname": "x"}}


def test_a_missing_record_is_an_empty_answer_where_the_tool_says_so() -> None:
    assert of_answer(READ, answer(404), 1) == of_answer(READ, answer(404), 1)
    assert of_answer(READ, answer(404), 1).state == "succeeded"
    assert of_answer(READ, answer(404), 1).result is None


def test_huge_results_are_kept_apart() -> None:
    found = of_answer(replace(READ, projection=()), answer(200, {"x": "y" * 300_000, "n": [{"a b": 1}]}), 1).result
    assert orjson.loads(found.text) == {"x": "y" * 300_000, "n": [{"a b": 1}]}
    told = found.reference("pl_1")["$payload"]
    assert (told["id"], told["bytes"], told["whole"]) == ("pl_1", len(found.text), True)
    assert told["outline"] == {
        "$": "object",
        "$.x": "text",
        "$.n": "list of 1",
        "$.n[0]": "object",
        "$.n[0]['a b']": "number",
    }
    assert len(told["preview"]) == 2000


@pytest.mark.rule(9)
@pytest.mark.parametrize("body", [b"<html>", b"\x89\xff\x00\x01", b'{"id": '])
def test_an_unreadable_200_is_no_proof_of_anything(body: bytes) -> None:
    assert of_answer(ONCE, Answer(200, [], body), 1).state == "unknown"
    assert of_answer(READ, Answer(200, [], body), 1).state == "requested"


@pytest.mark.parametrize("body", [b"", b"null", b'"text"'])
def test_odd_bodies_never_break_the_reading(body: bytes) -> None:
    assert of_answer(ONCE, Answer(200, [], body), 1).state == "succeeded"
    assert of_answer(ONCE, Answer(400, [], body), 1).state == "failed"


@pytest.mark.rule(9)
def test_a_key_in_use_is_no_refusal() -> None:
    refund = TOOLS["stripe_create_refund"]
    for status in (400, 409, 429):  # the vendor does not document which
        result = of_answer(refund, answer(status, {"error": {"code": "idempotency_key_in_use"}}), 2)
        assert (result.state, result.in_doubt, result.throttled) == ("requested", True, False)
        last = of_answer(refund, answer(status, {"error": {"code": "idempotency_key_in_use"}}), MAX_ATTEMPTS)
        assert last.state == "unknown"
    assert of_answer(refund, answer(409, {"error": {"code": "lock_timeout"}}), 2).state == "failed"


@pytest.mark.rule(9)
@pytest.mark.parametrize(
    ("status", "state"),
    [
        (401, "unknown"),
        (403, "unknown"),
        (429, "unknown"),
        (302, "unknown"),
        (400, "failed"),
        (402, "failed"),
        (404, "failed"),
        (200, "succeeded"),
    ],
)
def test_a_repeat_that_is_not_let_in_leaves_the_doubt(status: int, state: str) -> None:
    assert after_attempt_in_doubt(KEYED, of_answer(KEYED, answer(status), MAX_ATTEMPTS)).state == state


@pytest.mark.rule(9)
@pytest.mark.parametrize("status", [409, 422])
def test_a_refusal_for_being_a_repeat_leaves_the_doubt_unless_the_document_says_how_to_tell(status: int) -> None:
    foreign = replace(KEYED, idempotency=Idempotency("header", "Idempotency-Key"))
    assert after_attempt_in_doubt(foreign, of_answer(foreign, answer(status), 2)).state == "unknown"
    stripe = TOOLS["stripe_create_refund"]
    assert after_attempt_in_doubt(stripe, of_answer(stripe, answer(status), 2)).state == "failed"


@pytest.mark.rule(9)
@pytest.mark.parametrize(
    ("status", "once", "read"),
    [
        (301, "unknown", "failed"),
        (302, "unknown", "failed"),
        (303, "unknown", "failed"),
        (304, "failed", "failed"),
        (307, "failed", "failed"),
        (308, "failed", "failed"),
    ],
)
def test_a_redirect_after_the_work_is_no_proof_that_nothing_was_done(status: int, once: str, read: str) -> None:
    assert of_answer(ONCE, answer(status), 1).state == once
    assert of_answer(READ, answer(status), 1).state == read


def test_what_no_table_takes_is_not_in_a_meaning() -> None:
    found = of_answer(replace(READ, projection=()), answer(200, {"a\x00": ["b\x00", {"c": "\x00"}], "n": 1}), 1)
    assert found.result == {"a": ["b", {"c": ""}], "n": 1}
    refused = of_answer(ONCE, Answer(400, [], "nope\x00 \ud83d".encode("utf-8", "surrogatepass")), 1)
    assert "\x00" not in str(refused.error)
    told = of_not_sent(1, NotSent("smtp.try_again", "450 r\udce9essayez"))
    assert told.error is not None
    assert told.error["message"].encode()


@pytest.mark.rule(9)
def test_a_repeat_that_never_left_leaves_the_doubt() -> None:
    assert (
        after_attempt_in_doubt(KEYED, of_not_sent(MAX_ATTEMPTS, NotSent("http.not_sent", "refused"))).state == "unknown"
    )

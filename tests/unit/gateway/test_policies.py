"""What policies decide: deny by default, forbid wins, and whatever errs denies."""

from __future__ import annotations

from typing import Any

import pytest

from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.policy.engine import Policies, Ruling
from services.tool_gateway.policy.types import NoType, projected, record_type
from shared.errors import BadInput

TOOLS = list(catalogue.load().tools.values())
SEND = "twilio_send_message"
NEVER = {
    "count_1h": 0,
    "count_24h": 0,
    "sum_24h": 0,
    "distinct_counterparties_24h": 0,
    "first_time": True,
    "last_failed": False,
}
PERMIT = '@id("texts") permit(principal == Agent::"closer", action == Action::"twilio_send_message", resource);\n'


def rule(*policies: str, agent: str = "closer", tool: str = SEND, **context: Any) -> Ruling:
    return Policies({"own.cedar": "\n".join(policies)}, TOOLS).rule(agent, tool, "call", context)


def forbid(when: str, identity: str = "no", mode: str = "") -> str:
    return f'@id("{identity}") {mode} forbid(principal, action == Action::"{SEND}", resource) when {{ {when} }};'


@pytest.mark.rule(4)
def test_what_nothing_permits_is_denied() -> None:
    assert rule(PERMIT) == Ruling(True, ("texts",))
    assert not rule(PERMIT, agent="steward").allowed
    assert not rule(PERMIT, tool="twilio_get_message").allowed
    assert rule("", agent="closer") == Ruling(False)


@pytest.mark.rule(4)
def test_a_forbid_wins_and_is_named() -> None:
    many = NEVER | {"count_1h": 3}
    limit = forbid("context.history.count_1h >= 3", "limit")
    assert rule(PERMIT, limit, history=NEVER) == Ruling(True, ("texts",))
    assert rule(PERMIT, limit, history=many) == Ruling(False, ("limit",))


@pytest.mark.rule(4)
@pytest.mark.parametrize(
    ("when", "context"),
    [
        ("context.history.count_1h > 3", {}),
        ("context.history.count_1h > 3", {"history": {"count_1h": 9}}),
        ("context.history.count_1h > 3", {"history": NEVER | {"count_1h": "9"}}),
        ("context.history.count_1h * 9223372036854775807 > 3", {"history": NEVER | {"count_1h": 9}}),
        ("context.hour > 3", {"hour": 3.5}),
        ("context.hour > 3", {"hour": None}),
        ("context.hour > 3", {"hour": {"__extn": {"fn": "decimal", "arg": "1.5"}}}),
        ("context.hour > 3", {"hour": 3, "more": 1}),
    ],
)
def test_what_cannot_be_evaluated_is_denied(when: str, context: dict[str, Any]) -> None:
    """Cedar by itself skips a forbid that errs, and the call would pass."""
    ruling = rule(PERMIT, forbid(when), **context)
    assert not ruling.allowed
    assert ruling.errors


def test_a_policy_that_watches_only_says_so() -> None:
    night = forbid("context.hour < 8", "night", '@mode("watch")')
    assert rule(PERMIT, night, hour=12) == Ruling(True, ("texts",))
    assert rule(PERMIT, night, hour=3) == Ruling(True, ("texts",), ("night",))


def test_a_person_can_be_asked_for() -> None:
    asks = f'@id("asks") forbid(principal, action == Action::"{SEND}", resource) unless {{ context.person }};'
    assert rule(PERMIT, asks, person=False) == Ruling(False, ("asks",))
    assert rule(PERMIT, asks, person=True).allowed


def test_groups_of_tools_and_their_arguments() -> None:
    reads = '@id("reads") permit(principal, action in Action::"effect:read", resource);'
    assert rule(reads, tool="stripe_get_customer").allowed
    assert not rule(reads, tool="hubspot_create_deal").allowed
    words = forbid('context.args.Body like "*password*"')
    assert rule(PERMIT, words, args={"Body": "hello"}).allowed
    assert rule(PERMIT, words, args={"Body": "my password"}) == Ruling(False, ("no",))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("garbage", "own.cedar"),
        ("permit(principal, action, resource);", "@id"),
        (PERMIT + PERMIT, "'texts'"),
        ('@id("x") permit(principal == Agent::"closr", action, resource);', "closr"),
        ('@id("x") permit(principal, action == Action::"twilio_send", resource);', "twilio_send"),
        ('@id("x") permit(principal, action in Action::"risk:none", resource);', "risk:none"),
        (forbid('context.args.Bdy == "x"'), "Bdy"),
        (forbid("context.args.Body == 5"), "own.cedar"),
        (forbid("context.histori.count_1h > 1"), "histori"),
        (forbid("true", mode='@mode("quiet")'), "quiet"),
        ('@id("x") @mode("watch") permit(principal, action, resource);', "watch"),
        ('@id("x") permit(principal == ?principal, action, resource);', "template"),
    ],
)
def test_a_mistake_is_an_error_at_load_and_never_a_hole(text: str, named: str) -> None:
    with pytest.raises(BadInput) as error:
        rule(text)
    assert error.value.code == "policy.invalid"
    assert named in error.value.message


# -- arguments ----------------------------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "required": ["to", "lines", "sum"],
    "properties": {
        "to": {"type": "string"},
        "note": {"type": ["string", "null"]},
        "if": {"type": "boolean"},
        "lines": {"type": "array", "items": {"type": "string"}},
        "sum": {"allOf": [{"$ref": "#/$defs/sum"}], "description": "what it costs"},
        "any": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    },
}
DEFS = {
    "sum": {
        "type": "object",
        "required": ["minor"],
        "properties": {"minor": {"type": "integer"}, "rate": {"type": "number"}},
    }
}
PATHS = [("to",), ("note",), ("if",), ("lines", "count"), ("sum", "minor")]


def test_arguments_have_types_and_values_in_them() -> None:
    made = record_type(SCHEMA, PATHS, DEFS)
    assert made == (
        '{"if"?: Bool, "lines": {"count": Long, "items": Set<String>}, "note"?: String, "sum": {"minor": Long}, "to": String}'
    )
    given = {"to": "é", "note": None, "lines": ["a", "a"], "sum": {"minor": 5.0, "rate": 1.5}, "more": 1}
    assert projected(given, SCHEMA, PATHS, DEFS) == {
        "to": "é",
        "lines": {"count": 2, "items": ["a", "a"]},
        "sum": {"minor": 5},
    }


@pytest.mark.parametrize("path", [("any",), ("sum", "rate"), ("sum",)])
def test_what_has_no_type_cannot_be_read(path: tuple[str, ...]) -> None:
    with pytest.raises(NoType):
        record_type(SCHEMA, [path], DEFS)


@pytest.mark.parametrize(
    "given", [{"to": "\ud800"}, {"to": 5}, {"sum": {"minor": 2**63}}, {"sum": {"minor": 1.5}}, {"lines": ["x"] * 1001}]
)
def test_values_that_cedar_has_nothing_for(given: dict[str, Any]) -> None:
    with pytest.raises(NoType):
        projected(given, SCHEMA, PATHS, DEFS)

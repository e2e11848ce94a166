"""What policies decide: deny by default, forbid wins, and whatever errs denies."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from services.tool_gateway.catalogue import catalogue, document
from services.tool_gateway.catalogue.sensitive import path_marks
from services.tool_gateway.policy import files
from services.tool_gateway.policy.context import NOTHING, Known
from services.tool_gateway.policy.engine import Policies, Ruling
from services.tool_gateway.policy.figures import Figures, Money, figures_of, moved
from services.tool_gateway.policy.types import NoType, projected, record_type
from shared.bus.topics import AGENTS
from shared.errors import BadInput

CATALOGUE = catalogue.load()
SEND = "twilio_send_message"
NEVER = {
    "count_1h": 0,
    "count_24h": 0,
    "sum_24h": 0,
    "other_currencies_24h": 0,
    "distinct_counterparties_24h": 0,
    "first_time": True,
    "last_failed": False,
}
TEXT = {"To": "+14155550123", "Body": "hello"}
PERMIT = '@id("texts") permit(principal == Agent::"closer", action == Action::"twilio_send_message", resource);\n'


def rule(*policies: str, agent: str = "closer", tool: str = SEND, **context: Any) -> Ruling:
    made = Policies({"own.cedar": "\n".join(policies)}, CATALOGUE)
    return made.ask(agent, tool, "call", context)


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
    many = {"count_1h": 3}
    limit = forbid("context.history.count_1h >= 3", "limit")
    assert rule(PERMIT, limit, history={"count_1h": 0}) == Ruling(True, ("texts",))
    assert rule(PERMIT, limit, history=many) == Ruling(False, ("limit",))


@pytest.mark.rule(4)
@pytest.mark.parametrize(
    ("when", "context"),
    [
        ("context.history.count_1h > 3", {}),
        ("context.history.count_1h > 3", {"history": {}}),
        ("context.history.count_1h > 3", {"history": {"count_1h": "9"}}),
        ("context.history.count_1h * 9223372036854775807 > 3", {"history": {"count_1h": 9}}),
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


def judged(*policies: str, known: Known = NOTHING, hour: int = 12, tool: str = SEND, **arguments: Any) -> Ruling:
    made = Policies({"own.cedar": "\n".join(policies)}, CATALOGUE)
    return made.judge("closer", tool, "call", arguments or TEXT, known, datetime(2026, 11, 30, hour))


def test_a_policy_that_watches_only_says_so() -> None:
    night = forbid("context.hour < 8", "night", '@mode("watch")')
    assert judged(PERMIT, night) == Ruling(True, ("texts",))
    assert judged(PERMIT, night, hour=3) == Ruling(True, ("texts",), watched=("night",))


def test_what_only_a_person_allows_waits_for_so_many_as_the_strictest_rule_says() -> None:
    one = f'@id("one") forbid(principal, action == Action::"{SEND}", resource) unless {{ context.person }};'
    two = f'''@id("two") @people("2") forbid(principal, action == Action::"{SEND}", resource)
        when {{ context.hour < 8 }} unless {{ context.person }};'''
    assert judged(PERMIT, one, two) == Ruling(True, ("one",), people=1)
    assert judged(PERMIT, one, two, hour=3) == Ruling(True, ("one", "two"), people=2)


def test_a_person_lifts_only_what_says_so() -> None:
    asks = f'@id("asks") forbid(principal, action == Action::"{SEND}", resource) unless {{ context.person }};'
    never = forbid("context.hour < 8", "never")
    assert judged(PERMIT, asks, never, hour=3) == Ruling(False, ("never",))


def test_a_fact_that_is_not_known_denies() -> None:
    pace = forbid("context.history.count_1h > 5", "pace")
    assert judged(PERMIT, pace, known=Known(NEVER)) == Ruling(True, ("texts",))
    unknown = judged(PERMIT, pace)
    assert not unknown.allowed
    assert unknown.errors


def test_amounts_and_counterparties_come_from_where_the_tools_document_says() -> None:
    pays = '@id("pays") permit(principal, action == Action::"stripe_create_payout", resource) when { context has amount && context.amount == {minor: 2500, currency: "eur"} };'
    assert judged(pays, tool="stripe_create_payout", amount=2500, currency="EUR").allowed
    assert not judged(pays, tool="stripe_create_payout", amount=2501, currency="EUR").allowed
    bill = {"VendorRef": {"value": "7"}, "Line": [{"Amount": 10.1}, {"Amount": 0.2}]}
    assert figures_of(CATALOGUE.tools["quickbooks_create_bill"], bill) == Figures(Money(1030, ""), ("7",))
    with pytest.raises(NoType):
        figures_of(CATALOGUE.tools["quickbooks_create_bill"], {"Line": [{"Amount": 10.001}]})
    secret = replace(CATALOGUE.tools[SEND], redact_arguments=path_marks("$.To"))
    (digest,) = figures_of(secret, TEXT).counterparties
    assert digest.startswith("sha256:")
    mail = {"to": ["Ana@X.com", "bo@x.com"], "cc": ["ana@x.com "]}
    assert figures_of(CATALOGUE.tools["email_send"], mail) == Figures(None, ("ana@x.com", "bo@x.com"))
    assert figures_of(CATALOGUE.tools[SEND], {"To": "+1 (415) 555-0123"}).counterparties == ("+14155550123",)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"amount": 700, "currency": "eur"}, Money(700, "eur")),
        ({"amount": 700, "currency": "EUR"}, Money(700, "eur")),
        ({"amount": 700}, None),
        ({"amount": 700, "currency": "money:usd"}, None),
        ({"amount": "700", "currency": "eur"}, None),
        ({"amount": 7.5, "currency": "eur"}, None),
        ({"truncated": True}, None),
        (None, None),
    ],
)
def test_what_was_moved_is_read_from_an_answer_that_says_it(answer: Any, found: Money | None) -> None:
    assert moved(CATALOGUE.tools["stripe_create_refund"], answer) == found
    assert moved(CATALOGUE.tools["stripe_create_payout"], answer) is None, "its arguments say it"
    assert moved(CATALOGUE.tools[SEND], answer) is None


def test_what_an_answer_says_was_moved_has_to_be_kept_of_it() -> None:
    given = {"path": "amount", "answered": {"path": "amount", "currency": "currency"}}
    assert document._amount(given, ["id", "amount", "currency"]).answered is not None
    with pytest.raises(ValueError, match="'currency' is not in the projection"):
        document._amount(given, ["id", "amount"])


def test_groups_of_tools_and_their_arguments() -> None:
    reads = '@id("reads") permit(principal, action in Action::"effect:read", resource);'
    assert rule(reads, tool="stripe_get_customer").allowed
    assert not rule(reads, tool="hubspot_create_deal").allowed
    granted = '@id("granted") permit(principal, action in Action::"granted:closer", resource);'
    assert rule(granted).allowed
    assert not rule(granted, tool="airtable_create_base").allowed
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
        ('@id("x") @modes("watch") forbid(principal, action, resource);', "@modes"),
        (forbid("true", mode='@people("2")'), "context.person"),
        (forbid("context.person", mode='@people("9")'), "@people"),
        (forbid("context.amount.minor > 5"), "amount"),
        ('@id("x") @people("2") permit(principal, action, resource) when { context.person };', "forbid"),
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


# -- files --------------------------------------------------------------------------------------------------------------


def test_our_own_policies_fit_our_own_catalogue() -> None:
    made = Policies(files.texts(None), CATALOGUE)
    assert {rule.file for rule in made.rules} == {f"{name}.cedar" for name in ("common", "gateway", *AGENTS)}


def test_files_of_a_deployment_add_and_replace_by_name(tmp_path: Path) -> None:
    (tmp_path / "closer.cedar").write_text("// nothing is permitted to Closer\n")
    (tmp_path / "house.cedar").write_text(PERMIT)
    given = files.texts(str(tmp_path))
    assert given["closer.cedar"].startswith("// nothing")
    assert given.keys() == files.own().keys() | {"house.cedar"}
    assert Policies(given, CATALOGUE).version != Policies(files.texts(None), CATALOGUE).version


@pytest.mark.parametrize("made", [[], ["empty/"], ["rules.txt"], ["a/x.cedar", "b/x.cedar"]])
def test_a_setting_that_names_nothing_of_use_is_an_error(tmp_path: Path, made: list[str]) -> None:
    for name in made:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_text("")
    setting = ":".join(str(tmp_path / name) for name in made or ["gone"])
    with pytest.raises(BadInput, match="VIOX_POLICIES"):
        files.texts(setting)

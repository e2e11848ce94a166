"""The ACLs that the table of topics asks for, and what is said of a cluster whose ACLs differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox import kafka_users
from shared.bus import acls, topics
from shared.bus.acls import EVERYBODY, Acl, Operation, Pattern, Permission, Principals, Resource, compare, wanted
from shared.errors import BadInput
from shared.settings import Settings

PRINCIPALS = Principals("User:viox-{service}")
WANTED = wanted(PRINCIPALS)


def topic(principal: str, name: str, operation: Operation, pattern: Pattern = Pattern.LITERAL) -> Acl:
    return Acl(principal, Resource.TOPIC, name, pattern, operation)


def group(principal: str, name: str, pattern: Pattern = Pattern.LITERAL) -> Acl:
    return Acl(principal, Resource.GROUP, name, pattern, Operation.READ)


def may(operation: Operation, name: str) -> set[str]:
    return {
        rule.principal.removeprefix("User:viox-")
        for rule in WANTED
        if rule.operation is operation and rule.covers(Resource.TOPIC, name)
    }


@pytest.mark.parametrize("agent", topics.AGENTS)
def test_only_an_agent_writes_its_calls_and_only_the_gateway_its_results(agent: str) -> None:
    assert may(Operation.WRITE, topics.tool_calls(agent)) == {agent}
    assert may(Operation.READ, topics.tool_calls(agent)) == {"gateway"}
    assert may(Operation.WRITE, topics.tool_results(agent)) == {"gateway"}
    assert may(Operation.READ, topics.tool_results(agent)) == {agent}


def test_what_goes_out_is_read_outside_and_not_by_other_agents() -> None:
    assert may(Operation.WRITE, topics.APPROVALS) == {"gateway"}
    for name in (topics.RUNS, topics.APPROVALS, topics.DEAD_LETTERS):
        assert may(Operation.READ, name) == {"upstream", "operator-cli"}


def test_no_service_takes_a_run_or_an_approval_from_the_bus() -> None:
    """Whoever writes one there deceives readers outside at most: ours read the tables."""
    out = {topics.RUNS, topics.APPROVALS, topics.DEAD_LETTERS}
    assert not out & {name for service in acls.SERVICES for name in topics.consumed_by(service)}


def test_whoever_is_no_service_gets_in_by_the_doors_only() -> None:
    written = {name.name for name in topics.all_topics() if "upstream" in may(Operation.WRITE, name.name)}
    assert written == {*map(topics.events, topics.DOMAINS), *map(topics.tasks, topics.AGENTS)}


def test_nobody_but_super_users_may_change_acls_or_use_another_group() -> None:
    assert not [rule for rule in WANTED if rule.operation in (Operation.ALTER, Operation.ALL, Operation.DELETE)]
    for service in acls.SERVICES:
        name = topics.group_of(service)
        readers = [r.principal for r in WANTED if r.operation is Operation.READ and r.covers(Resource.GROUP, name)]
        assert readers == [PRINCIPALS.of(service)]


def test_names_of_super_users_can_be_no_service() -> None:
    assert len(set(PRINCIPALS.all.values())) == len(acls.CLIENTS)
    assert not {f"User:{user}" for user in kafka_users.SUPER_USERS} & set(PRINCIPALS.all.values())
    assert PRINCIPALS.all == {name: f"User:{kafka_users.user_of(name)}" for name in acls.CLIENTS}


def test_another_naming_is_a_setting() -> None:
    template = Settings.load(kafka_principal="User:CN={service},O=Acme").kafka_principal
    assert {rule.principal for rule in wanted(Principals(template))} >= {"User:CN=closer,O=Acme"}


@pytest.mark.parametrize("given", ["viox-{service}", "User:viox", ":{service}", "User:", "User:{service}{service}", ""])
def test_a_naming_that_tells_no_services_apart_is_refused(given: str) -> None:
    with pytest.raises(BadInput) as error:
        Settings.load(kafka_principal=given)
    assert error.value.field == "VIOX_KAFKA_PRINCIPAL"


def test_a_cluster_with_what_is_wanted_and_no_more_enforces_identity() -> None:
    assert compare(WANTED, PRINCIPALS).problems == {}


def test_what_is_missing_is_named() -> None:
    assert compare(WANTED[1:], PRINCIPALS).problems == {"missing": (WANTED[0],)}


@pytest.mark.parametrize(
    "rule",
    [
        topic("User:viox-closer", topics.tool_calls("voice"), Operation.WRITE),
        topic("User:viox-closer", "viox.tool-calls.", Operation.WRITE, Pattern.PREFIXED),
        topic("User:viox-upstream", topics.RUNS, Operation.ALL),
        group("User:viox-closer", "viox.voice"),
        Acl("User:viox-closer", Resource.CLUSTER, acls.CLUSTER_NAME, Pattern.LITERAL, Operation.ALTER),
    ],
)
def test_more_for_one_of_ours_than_the_topics_want_is_stale(rule: Acl) -> None:
    assert compare([*WANTED, rule], PRINCIPALS).problems == {"stale": (rule,)}


@pytest.mark.parametrize(
    "rule",
    [
        topic(EVERYBODY, "*", Operation.WRITE),
        topic(EVERYBODY, "viox.tool-results.", Operation.READ, Pattern.PREFIXED),
        topic("User:partner", topics.APPROVALS, Operation.WRITE),
        topic("User:partner", "vio", Operation.ALL, Pattern.PREFIXED),
        topic("User:viox-closer", "*", Operation.READ),
        group(EVERYBODY, "*"),
        group("User:viox-closer", "vi", Pattern.PREFIXED),
        Acl(EVERYBODY, Resource.CLUSTER, acls.CLUSTER_NAME, Pattern.LITERAL, Operation.ALL),
    ],
)
def test_a_rule_of_somebody_else_that_lets_anyone_pass_for_a_service_is_a_breach(rule: Acl) -> None:
    assert compare([*WANTED, rule], PRINCIPALS).problems == {"breaches": (rule,)}


@pytest.mark.parametrize(
    "rule",
    [
        topic("User:partner", topics.events("sales"), Operation.WRITE),
        topic("User:partner", topics.tasks("closer"), Operation.WRITE),
        topic("User:audit", "viox.", Operation.READ, Pattern.PREFIXED),
        topic("User:partner", "orders", Operation.ALL),
        topic("User:viox-upstream", "orders", Operation.READ),
        group("User:partner", "partner"),
        replace(topic("User:partner", topics.APPROVALS, Operation.WRITE), permission=Permission.DENY),
        Acl("User:them", Resource.CLUSTER, acls.CLUSTER_NAME, Pattern.LITERAL, Operation.ALTER),
    ],
)
def test_what_others_grant_among_themselves_is_no_concern_of_ours(rule: Acl) -> None:
    differs = compare([*WANTED, rule], PRINCIPALS)
    assert (differs.problems, differs.foreign) == ({}, (rule,))


@pytest.mark.parametrize("principal", ["User:viox-closer", EVERYBODY])
def test_a_denial_of_what_a_service_needs_is_named(principal: str) -> None:
    rule = replace(topic(principal, topics.tool_calls("closer"), Operation.WRITE), permission=Permission.DENY)
    assert compare([*WANTED, rule], PRINCIPALS).problems == {"blocking": (rule,)}


def test_a_rule_reads_as_a_sentence_and_as_a_command() -> None:
    rule = topic("User:viox-operator-cli", "viox.", Operation.DESCRIBE_CONFIGS, Pattern.PREFIXED)
    assert str(rule) == "User:viox-operator-cli allow describe_configs topic viox.*"
    assert acls.command(rule, "k:9092") == (
        "kafka-acls.sh --bootstrap-server k:9092 --command-config admin.properties --add --allow-principal "
        "User:viox-operator-cli --operation DescribeConfigs --resource-pattern-type prefixed --topic viox."
    )
    assert "'User:CN=a b'" in acls.command(replace(rule, principal="User:CN=a b"), "k:9092")

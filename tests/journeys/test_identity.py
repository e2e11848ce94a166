"""Who is who on a stack's broker, as an operator sees it and as an agent that misbehaves meets it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from sandbox import kafka_users
from shared.bus import topics
from shared.settings import Settings
from tests.conftest import BROKER, Deployment
from tests.integration.bus.desk import foreign_producer

on_apache = pytest.mark.skipif(BROKER != "apache", reason="the embedded broker has no users and no ACLs")


def test_status_says_whether_the_broker_proves_who_calls(deployment: Deployment) -> None:
    wanted = "enforced" if BROKER == "apache" else "not enforced"
    assert deployment("status", "--json").json()["identity"] == wanted
    assert f"identity: {wanted}\n" in deployment("status").out


def test_the_rules_can_be_read_without_a_broker(deployment: Deployment) -> None:
    rules = deployment("kafka", "acls", "--json").json()["items"]
    calls = [r for r in rules if r["resource_name"] == "viox.tool-calls.closer" and r["operation"] == "write"]
    assert [rule["principal"] for rule in calls] == ["User:viox-closer"]
    commands = deployment("kafka", "acls", "--commands").out.splitlines()
    assert len(commands) == len(rules)
    assert len(deployment("kafka", "acls").out.splitlines()) == len(rules) + 1


@pytest.mark.parametrize("options", [["--prune"], ["--apply", "--check"], ["--check", "--commands"]])
def test_options_that_contradict_each_other_are_refused(deployment: Deployment, options: list[str]) -> None:
    assert deployment("kafka", "acls", *options).code == 2


@pytest.mark.skipif(BROKER == "apache", reason="the embedded broker has no users and no ACLs")
@pytest.mark.parametrize("option", ["--check", "--apply"])
def test_the_embedded_broker_has_no_rules_to_compare_or_apply(deployment: Deployment, option: str) -> None:
    answer = deployment("kafka", "acls", option, "--json")
    assert (answer.code, answer.json()["error"]["code"]) == (1, "kafka.no_acls")


@on_apache
def test_the_rules_of_the_stack_are_those_of_the_topics(deployment: Deployment) -> None:
    checked = deployment("kafka", "acls", "--check", "--json")
    assert (checked.code, checked.json()["identity"], checked.json()["missing"]) == (0, "enforced", [])
    assert deployment("kafka", "acls", "--apply").out == "nothing to change\n"


@on_apache
def test_no_password_is_shown_or_lies_about(deployment: Deployment) -> None:
    told = deployment("status", "--json").out + (deployment.home / "state.json").read_text()
    told += "".join(file.read_text(errors="replace") for file in (deployment.home / "logs").iterdir())
    told += "".join(file.read_text(errors="replace") for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists())
    passwords = [file.read_text() for file in kafka_users.folder(deployment.home).iterdir()]
    assert len(passwords) == 13
    assert [password for password in passwords if password in told] == []


@on_apache
@pytest.mark.parametrize(
    "topic", [topics.tool_calls("voice"), topics.tool_results("closer"), topics.APPROVALS, topics.events("sales")]
)
def test_an_agent_that_writes_what_is_anothers_is_refused_by_the_broker(deployment: Deployment, topic: str) -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        asyncio.run(write(deployment.kafka("closer"), topic))
    refusals = [line for line in (deployment.home / "logs" / "broker.log").read_text().splitlines() if topic in line]
    assert any("Principal = User:viox-closer is Denied" in line for line in refusals), "the audit of identity"


async def write(settings: Settings, topic: str) -> None:
    async with foreign_producer(settings, enable_idempotence=True) as producer:
        await producer.send_and_wait(topic, json.dumps({"forged": True}).encode(), key=b"k")

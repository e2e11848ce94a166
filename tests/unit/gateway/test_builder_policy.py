"""What Builder's own policy holds back: activation, other people's webhooks, switching off at a stranger's word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import services.builder
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.policy.engine import Policies, Ruling

POLICY = (Path(services.builder.__file__).parent / "policy.cedar").read_text()
POLICIES = Policies({"builder.cedar": POLICY}, catalogue.load())


def asks(tool: str, **context: Any) -> Ruling:
    return POLICIES.ask("builder", tool, "call", context)


@pytest.mark.rule(4)
def test_a_workflow_is_activated_when_a_person_agrees() -> None:
    assert asks("n8n_create_workflow").allowed
    assert asks("n8n_activate_workflow", person=False) == Ruling(False, ("builder.activation",))
    assert asks("n8n_activate_workflow", person=True).allowed


@pytest.mark.rule(4)
@pytest.mark.parametrize(("path", "allowed"), [("viox-1", True), ("orders", False), ("x-viox-1", False)])
def test_only_webhooks_of_its_own_are_called(path: str, allowed: bool) -> None:
    assert asks("n8n_call_webhook", person=False, args={"path": path}).allowed is allowed


@pytest.mark.rule(4)
@pytest.mark.parametrize(
    ("kind", "ours", "allowed"),
    [
        ("viox.automation.requested", False, True),
        ("com.n8n.execution.failed", False, False),
        ("viox.task.requested", True, True),
        ("viox.task.requested", False, False),
    ],
)
def test_news_of_a_failure_switches_nothing_off(kind: str, ours: bool, allowed: bool) -> None:
    given = {"person": False, "trigger": {"type": kind, "ours": ours}}
    assert asks("n8n_deactivate_workflow", **given).allowed is allowed

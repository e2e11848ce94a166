"""The same day through the real adapters, and a stack with one provider's key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.credentials import MODEL_NAMES
from sandbox.models import addresses
from sandbox.net import free_ports, ready
from shared.bus.topics import AGENTS
from shared.models import registry
from tests.conftest import Deployment

# What passes by itself: the day ends as it would have.
FAULTS: list[dict[str, Any]] = [
    {"kind": "529", "agent": "sales", "request": 3},
    {"kind": "429", "agent": "people", "retry_after": 0.2},
    {"kind": "cut", "agent": "care"},
    {"kind": "cut_after", "agent": "operations"},
    {"kind": "500", "agent": "planning"},
    {"kind": "empty", "agent": "money", "request": 2},
    {"kind": "slow", "agent": "building", "seconds": 0.5},
]


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("VIOX_") and k not in MODEL_NAMES}
    return kept | {"VIOX_HOME": str(folder), "VIOX_PORT_BASE": "0", "COLUMNS": "250"} | more


def test_the_day_is_the_same_through_the_providers_interfaces(tmp_path: Path) -> None:
    """All eight roles, each answered by its configured provider, with faults on the way; checked in the vendors' state."""
    faults, summary = tmp_path / "faults.json", tmp_path / "summary.json"
    faults.write_text(json.dumps(FAULTS))
    demo = Deployment(tmp_path, environment(tmp_path))(
        "demo", "--models", "wire", "--model-faults", str(faults), "--json", str(summary), timeout=1200
    )
    assert demo.code == 0, demo.out + demo.err
    assert "models: wire (sandbox)" in demo.out
    told = json.loads(summary.read_text())
    assert (told["problems"], told["models_mode"]) == ([], "wire")
    configured = {choice.agent: choice.configured for choice in registry.choices(None, addresses.settings(0))}
    answered = {row["agent"]: f"{row['provider']}/{row['model']}" for row in told["model_turns"]}
    assert set(answered) == set(AGENTS)
    assert all(answered[agent].startswith(model) for agent, model in configured.items())
    assert f"{sum(row['turns'] for row in told['model_turns'])} model turns" in demo.out


@pytest.fixture
def model_servers() -> Iterator[int]:
    """Model servers of nobody's stack."""
    (port,) = free_ports(1)
    process = subprocess.Popen([sys.executable, "-m", "sandbox.role_players", "--port", str(port)])
    try:
        deadline = time.monotonic() + 60
        while not ready(port):
            assert time.monotonic() < deadline, "the model servers do not answer"
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(60)


def test_one_key_is_enough_and_what_is_missing_is_said(tmp_path: Path, model_servers: int) -> None:
    """Every role is answered by the one provider there is; the doctor asks it, and no other."""
    ours = {n: v for n, v in addresses.settings(model_servers).items() if n.startswith("ANTHROPIC")}
    stack = Deployment(tmp_path, environment(tmp_path, **ours))
    started = stack("up", "--only", "gateway,closer,voice")
    try:
        assert started.code == 0, started.err
        assert "models: real" in started.out
        assert (
            "voice           anthropic/claude-sonnet-4-6 instead of openai/gpt-4o (OPENAI_API_KEY is not set)"
            in started.out
        )
        assert "no fallback; not openai/gpt-5.5, because OPENAI_API_KEY is not set" in started.out
        asked = stack("ask", "closer", "New lead: Ada, ada@leads.example, wants tea for $50", "--wait", "--json")
        assert asked.json()["model"] == "claude-sonnet-4-6", asked.err
        told = {f["what"]: f for f in stack("doctor", "--json").json()["findings"] if f["what"].startswith("model ")}
    finally:
        assert stack("down").code == 0
    asked_for = {what: found for what, found in told.items() if "/" in what}
    states = {what: found["state"] for what, found in asked_for.items()}
    assert states.pop("model anthropic/claude-sonnet-4-6") == "ok"
    assert set(states.values()) == {"not tried"}
    with urllib.request.urlopen(f"http://127.0.0.1:{model_servers}/_sandbox/problems") as answer:
        assert json.load(answer) == []

"""`viox doctor` asks each model over its own wire, and says in plain words what is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.credentials import MODEL_NAMES
from sandbox.models import addresses
from sandbox.models.turns import Turn
from shared.models.registry import ROLES
from tests.contract.model_servers import Servers, serving
from viox import doctor_models

CHAIN = "{model: anthropic/claude-sonnet-4-6, fallbacks: [openai/my-own-model]}"
OWN = "\n".join(["roles:", *(f"  {role}: {CHAIN}" for role in ROLES.values())])
OWN += "\nquestions: {closer.intent: {model: gemini/gemini-3.8-flash}}\n"


@pytest.fixture
async def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Servers]:
    """Model servers that the environment leads to, and no stack."""
    for name in (*MODEL_NAMES, "VIOX_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VIOX_HOME", str(tmp_path / "none"))
    async with serving(lambda question: Turn("Yes, I am.")) as made:
        for name, value in addresses.settings(int(made.url.rpartition(":")[2])).items():
            monkeypatch.setenv(name, value)
        yield made


async def told() -> dict[str, dict[str, Any]]:
    """Findings of models by name: of two the worse."""
    worse = ("ok", "not tried", "warning", "failed")
    found = sorted(await doctor_models.findings(), key=lambda one: worse.index(one["state"]))
    return {one["what"]: one for one in found}


async def test_every_model_is_asked_for_one_token_and_says_how_long_it_took(servers: Servers) -> None:
    found = await told()
    for name in ("anthropic/claude-sonnet-4-6", "openai/gpt-4o", "openai/gpt-5.5", "gemini/gemini-3.8-flash"):
        assert found[f"model {name}"]["state"] == "ok"
        assert found[f"model {name}"]["latency_ms"] > 0
    assert found["model openai/gpt-4o"]["message"] == "answers as gpt-4o-2024-08-06 (for voice, steward)"
    assert found["model of closer"]["message"] == "anthropic/claude-sonnet-4-6, then openai/gpt-5.5"
    limits = sorted(body.get("max_tokens") or body["max_completion_tokens"] for body in servers.bodies)
    assert limits == [1, 1, 16, 16]
    assert servers.servers.problems == []


async def test_a_key_that_is_refused_is_named_and_not_shown(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-0123456789abcdef")
    found = (await told())["model openai/gpt-5.5"]
    assert (found["state"], found["field"], found["code"]) == ("failed", "OPENAI_API_KEY", "model.authentication")
    assert "openai refuses the key" in found["message"]
    assert "0123456789" not in str(found)
    assert found["remedy"]


@pytest.mark.parametrize(
    ("kind", "code"), [("529", "model.unavailable"), ("429", "model.rate_limited"), ("cut", "model.unavailable")]
)
async def test_what_is_wrong_is_said_after_one_try(servers: Servers, kind: str, code: str) -> None:
    servers.servers.faults.add({"kind": kind, "provider": "anthropic"})
    found = (await told())["model anthropic/claude-sonnet-4-6"]
    assert (found["state"], found["code"]) == ("failed", code)
    assert "for closer, controller" in found["message"]
    assert sum(e.provider == "anthropic" for e in servers.servers.exchanges) == 1


async def test_who_does_not_answer_at_all_is_unreachable(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_BASE_URL", "http://127.0.0.1:1/")
    found = (await told())["model gemini/gemini-3.8-flash"]
    assert found["state"] == "failed"
    assert "gemini cannot be reached" in found["message"]


async def test_with_one_key_the_rest_is_not_tried_and_named(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in ("OPENAI", "GEMINI", "MISTRAL"):
        monkeypatch.delenv(f"{provider}_API_KEY")
    found = await told()
    assert found["model anthropic/claude-sonnet-4-6"]["state"] == "ok"
    assert (found["model openai/gpt-4o"]["state"], found["model openai/gpt-4o"]["field"]) == (
        "not tried",
        "OPENAI_API_KEY",
    )
    voice = [one["message"] for one in await doctor_models.findings() if one["what"] == "model of voice"]
    assert voice[0].startswith("anthropic/claude-sonnet-4-6 instead of openai/gpt-4o (OPENAI_API_KEY is not set")
    assert not any(one["state"] == "failed" for one in found.values())


async def test_models_of_a_file_of_yours_are_asked_too(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not there, one whose window nobody knows, one for a single question."""
    file = tmp_path / "models.yaml"
    file.write_text(OWN)
    monkeypatch.setenv("VIOX_MODELS", str(file))
    findings = await doctor_models.findings()
    of_mine = [one for one in findings if one["what"] == "model openai/my-own-model"]
    assert [one["state"] for one in of_mine] == ["failed", "warning"]
    assert of_mine[0]["code"] == "model.ended"
    assert of_mine[1]["message"] == "its window is not known: it is taken for one of 32,000 tokens"
    assert "windows" in of_mine[1]["remedy"]
    (gemini,) = [one for one in findings if one["what"] == "model gemini/gemini-3.8-flash"]
    assert gemini["message"] == "answers (for closer)"
    file.write_text(file.read_text() + "windows: {openai/my-own-model: 64000}\n")
    assert [one["state"] for one in await doctor_models.findings() if "my-own" in one["what"]] == ["failed"]


async def test_without_any_key_it_says_offline_and_asks_nobody(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in MODEL_NAMES:
        monkeypatch.delenv(name)
    found = await told()
    assert {one["message"] for one in found.values()} == {"offline: rules of the role, no AI"}
    assert servers.bodies == []


async def test_a_file_that_cannot_be_used_is_one_finding(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIOX_MODELS", str(tmp_path / "nowhere.yaml"))
    (found,) = await doctor_models.findings()
    assert (found["what"], found["state"], found["field"]) == ("models", "failed", "VIOX_MODELS")

"""Which model answers for whom, with the keys there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.errors import BadInput
from shared.models import registry
from shared.models.port import ChatRequest
from shared.models.registry import ROLES, Limits, check, choices, ends, limits_for, model_for, preload
from shared.redaction import Redactor
from shared.settings import Settings

ALL = {key: "k" for key, _, _ in registry.PROVIDERS.values()}
OWN = """
roles:
  sales: {model: anthropic/claude-sonnet-4-6, fallbacks: [openai/gpt-5.5, offline]}
  voice: {model: gemini/gemini-3.8-flash}
windows: {gemini/gemini-3.8-flash: 1000}
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    file = tmp_path / "models.yaml"
    file.write_text(OWN)
    return str(file)


def test_with_all_keys_everybody_has_what_is_configured() -> None:
    found = choices(None, ALL)
    assert [c.agent for c in found] == list(ROLES)
    assert not any(c.replaced or c.missing for c in found)


@pytest.mark.parametrize("key", list(ALL))
def test_one_key_of_any_provider_is_enough_for_everybody(key: str) -> None:
    for choice in check(None, {key: "k"}, ROLES):
        assert choice.model is not None
        assert registry.PROVIDERS[choice.model.partition("/")[0]][0] == key
        assert choice.replaced == (choice.model != choice.configured)


@pytest.mark.parametrize("environment", [{}, {"OPENAI_API_KEY": ""}, {"OPENAI_API_KEY": "  "}])
def test_no_key_at_all_is_said_at_once_with_what_to_set(environment: dict[str, str]) -> None:
    with pytest.raises(BadInput) as error:
        check(None, environment, ["closer", "people-ops"])
    assert error.value.code == "credential.missing"
    assert "closer, people-ops" in error.value.message
    assert "GEMINI_API_KEY" in (error.value.remedy or "")


def test_a_files_own_fallbacks_are_all_that_is_asked(own: str) -> None:
    closer, voice = choices(own, {"OPENAI_API_KEY": "k"}, ["closer", "voice"])
    assert (closer.model, closer.fallbacks, closer.missing) == ("openai/gpt-5.5", ("offline",), ("ANTHROPIC_API_KEY",))
    told = "openai/gpt-5.5 instead of anthropic/claude-sonnet-4-6 (ANTHROPIC_API_KEY is not set), then offline"
    assert closer.sentence() == told
    assert (voice.model, voice.missing) == (None, ("GEMINI_API_KEY",))
    with pytest.raises(BadInput) as error:
        check(own, {"OPENAI_API_KEY": "k"}, ["closer", "voice"])
    assert error.value.field == "GEMINI_API_KEY"
    assert check(own, {"OPENAI_API_KEY": "k"}, ["closer"]) == [closer]


def test_what_stands_in_and_what_cannot_is_said() -> None:
    """With one key: who has its own model lacks a fallback, who has not has another model."""
    said = {c.agent: c.sentence() for c in choices(None, {"ANTHROPIC_API_KEY": "k"}, ["closer", "voice"])}
    assert said == {
        "closer": "anthropic/claude-sonnet-4-6, no fallback; not openai/gpt-5.5, because OPENAI_API_KEY is not set",
        "voice": "anthropic/claude-sonnet-4-6 instead of openai/gpt-4o (OPENAI_API_KEY is not set), no fallback",
    }
    (whole,) = choices(None, ALL, ["closer"])
    assert whole.sentence() == "anthropic/claude-sonnet-4-6, then openai/gpt-5.5"
    assert registry.Choice.of(whole.document()) == whole


def test_offline_needs_nothing() -> None:
    assert {c.model for c in check("offline", {}, ROLES)} == {"offline"}
    assert preload("offline", {}, ROLES) == []


def test_only_the_adapters_that_are_started_with_are_imported_before(own: str) -> None:
    assert preload(None, ALL, ["closer"]) == ["shared.models.anthropic"]
    assert preload(own, {"OPENAI_API_KEY": "k"}, ["closer"]) == ["shared.models.openai"]


async def test_an_agent_starts_with_what_is_reachable(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ALL:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    model = model_for("sales", lambda request: None, Settings(models=own), Redactor())
    assert (model.provider, model.model) == ("openai", "gpt-5.5")
    await model.aclose()
    with pytest.raises(BadInput) as error:
        model_for("voice", lambda request: None, Settings(models=own), Redactor())
    assert error.value.field == "GEMINI_API_KEY"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "no `roles`"),
        ("roles: {sales: {}}", "'sales'"),
        ("roles: {sales: {model: claude}}", "'claude'"),
        ("roles: {sales: {model: openai/gpt-5.5, fallbacks: [7]}}", "'sales'"),
        ("roles: {}", "'sales'"),
        ("roles: {sales: {model: openai/gpt-5.5}}\nwindows: [1]", "`windows`"),
        ("roles: {sales: {model: openai/gpt-5.5}}\nwindows: {openai/x: lots}", "'lots'"),
        ("roles: {sales: {model: openai/gpt-5.5}}\nwindow: {}", "`window`"),
        ("roles: {sales: {model: openai/gpt-5.5}}\nquestions: {closer: {}}", "'closer' is no agent.question"),
        ("roles: {sales: {model: openai/gpt-5.5}}\nquestions: {chef.soup: {}}", "'chef.soup' is no agent.question"),
        ("roles: {sales: {model: openai/gpt-5.5}}\nquestions: {closer.intent: 5}", "closer.intent is no mapping"),
        ("roles: {sales: {model: openai/gpt-5.5}}\nquestions: {closer.intent: {tokens: 5}}", "has 'tokens'"),
        ("roles: {sales: {model: openai/gpt-5.5}}\nquestions: {closer.intent: {model: gpt}}", "'gpt'"),
        (
            "roles: {sales: {model: openai/gpt-5.5}}\nquestions: {closer.intent: {max_output_tokens: 0}}",
            "max_output_tokens of closer.intent is 0",
        ),
        (
            "roles: {sales: {model: openai/gpt-5.5}}\nquestions: {closer.intent: {thinking: deep}}",
            "thinking of closer.intent is 'deep'",
        ),
        ("roles: [", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(text)
    with pytest.raises(BadInput) as error:
        choices(str(file), ALL, ["closer"])
    assert error.value.field == "VIOX_MODELS"
    assert said in error.value.message


def test_announced_ends_are_those_of_the_models_in_use() -> None:
    assert {model for _, model, _ in ends(None)} == {"openai/gpt-4o"}
    assert ends("offline") == []


def test_up_says_at_once_when_no_model_can_be_used(monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    from viox import lifecycle

    for name in ALL:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VIOX_MODELS", own)
    with pytest.raises(BadInput) as error:
        lifecycle.plan("voice", None, "embedded", foreground=False)
    assert error.value.code == "credential.missing"
    plan: dict[str, Any] = lifecycle.plan("gateway,closer", None, "embedded", foreground=False)
    assert plan["only"] == ["gateway", "closer"]


def test_a_file_named_from_here_is_found_from_elsewhere(monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    from viox import lifecycle

    monkeypatch.chdir(Path(own).parent)
    monkeypatch.setenv("VIOX_MODELS", "models.yaml")
    assert lifecycle._models_file() == {"VIOX_MODELS": own}
    monkeypatch.setenv("VIOX_MODELS", "offline")
    assert lifecycle._models_file() == {}


QUESTIONS = """
roles:
  sales: {model: anthropic/claude-sonnet-4-6}
questions:
  closer.intent: {model: openai/gpt-4o, max_output_tokens: 200}
  closer.first-message: {thinking: off}
  people_ops.rubric: {thinking: high, model: gemini/gemini-3.8-flash}
"""


@pytest.fixture
def with_questions(tmp_path: Path) -> str:
    file = tmp_path / "questions.yaml"
    file.write_text(QUESTIONS)
    return str(file)


def test_a_question_has_limits_of_its_own(with_questions: str) -> None:
    assert limits_for("closer", "intent", with_questions) == Limits("openai/gpt-4o", 200)
    assert limits_for("closer", "first_message", with_questions) == Limits(thinking="off")
    assert limits_for("people-ops", "rubric", with_questions) == Limits("gemini/gemini-3.8-flash", thinking="high")
    for nothing in (
        limits_for("voice", "intent", with_questions),
        limits_for("closer", "x"),
        limits_for("closer", "x", "offline"),
    ):
        assert nothing == Limits()


async def test_a_question_is_asked_of_the_model_that_is_named_for_it(
    with_questions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name in the request. Where its key is missing the role's own model answers."""
    from shared.models.routed import RoutedModel

    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    plain = model_for("sales", lambda request: None, Settings(models=with_questions), Redactor())
    assert isinstance(plain, RoutedModel)
    assert list(plain._routes) == []
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    routed = model_for("sales", lambda request: None, Settings(models=with_questions), Redactor())
    assert isinstance(routed, RoutedModel)
    assert list(routed._routes) == ["openai/gpt-4o"]
    assert (routed.provider, routed.model) == ("anthropic", "claude-sonnet-4-6")
    for model in (plain, routed):
        await model.aclose()


async def test_any_model_with_a_key_can_be_asked_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    model = model_for("sales", lambda request: None, Settings(), Redactor())
    with pytest.raises(BadInput) as refused:
        await model.complete(ChatRequest("mistral/mistral-large", "", ()))
    assert (refused.value.code, refused.value.field) == ("credential.missing", "MISTRAL_API_KEY")
    await model.aclose()


def test_every_model_that_is_named_is_known_with_its_agents(with_questions: str) -> None:
    assert registry.named(with_questions) == {"anthropic/claude-sonnet-4-6": ["closer"], "openai/gpt-4o": ["closer"]}
    assert registry.named(None)["openai/gpt-5.5"] == list(ROLES)
    assert registry.named("offline") == {}


@pytest.mark.parametrize(
    ("models", "faults", "field"),
    [
        ("fake", None, "--models"),
        ("offline", "[]", "--model-faults"),
        ("wire", "{", "--model-faults"),
        ("wire", "[1]", "--model-faults"),
    ],
)
def test_up_refuses_what_the_model_servers_could_not_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, models: str, faults: str | None, field: str
) -> None:
    from viox import lifecycle

    file = tmp_path / "faults.json"
    file.write_text(faults or "")
    for name in (*ALL, "VIOX_MODELS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadInput) as error:
        lifecycle.plan(None, None, "embedded", foreground=False, models=models, model_faults=file if faults else None)
    assert error.value.field == field


def test_up_on_the_wire_needs_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from viox import lifecycle

    for name in (*ALL, "VIOX_MODELS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "faults.json").write_text('[{"kind": "529"}]')
    monkeypatch.chdir(tmp_path)
    plan = lifecycle.plan(None, None, "embedded", foreground=False, models="wire", model_faults=Path("faults.json"))
    assert (plan["models"], plan["model_faults"]) == ("wire", str(tmp_path / "faults.json"))

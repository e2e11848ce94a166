"""The file that says which model is for which role (`VIOX_MODELS`), read and checked whole.

roles:      role → {model, fallbacks}           defaults:   models for roles none of whose own has a key
windows:    model → tokens it takes in          ends:       model → day on which its service ends
questions:  agent.question → {model?, max_output_tokens?, thinking?}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import yaml

from shared.bus.topics import MANIFESTS
from shared.errors import BadInput
from shared.models.port import Thinking

DEFAULT_FILE = Path(__file__).with_name("models.yaml")
OFFLINE = "offline"

# provider prefix in the file → (environment variable of the key, of the base URL, default base URL)
PROVIDERS: dict[str, tuple[str, str, str]] = {
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1"),
    "gemini": ("GEMINI_API_KEY", "GEMINI_BASE_URL", "https://generativelanguage.googleapis.com/v1beta/openai/"),
    "mistral": ("MISTRAL_API_KEY", "MISTRAL_BASE_URL", "https://api.mistral.ai/v1"),
}
# agent → its role in the file
ROLES: dict[str, str] = {agent: told["model"] for agent, told in MANIFESTS.items()}
MEMBERS = {"roles", "defaults", "windows", "ends", "questions"}
QUESTION = re.compile(r"([a-z][a-z_-]*)\.([a-z][a-z0-9_-]*)")
LARGEST_OUTPUT = 200_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What the file says of one question of an agent: another model (`provider/model`), the most of an answer, how much thought.

    None where it says nothing: then it is the role's model, and what the asking code has.
    """

    model: str | None = None
    max_output_tokens: int | None = None
    thinking: Thinking | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True)
class ModelsFile:
    """A file that was read. `roles` are chains of models."""

    roles: Mapping[str, Any]
    defaults: tuple[str, ...] = ()
    windows: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[str, date] = field(default_factory=dict)
    questions: Mapping[tuple[str, str], Limits] = field(default_factory=dict)

    def chain(self, role: str) -> list[str]:
        """The models of a role in order. Raises BadInput naming the role."""
        entry = self.roles.get(role)
        chain = [entry.get("model"), *(entry.get("fallbacks") or [])] if isinstance(entry, dict) else []
        if not chain or not all(isinstance(name, str) for name in chain):
            raise _invalid(f"there is no usable entry for role {role!r}.")
        for name in chain:
            provider_of(name)
        return chain

    def models_of_questions(self, agent: str) -> list[str]:
        """Models that the file names for single questions of an agent."""
        named = (limits.model for (of, _), limits in self.questions.items() if of == agent)
        return list(dict.fromkeys(name for name in named if name))


def read(setting: str | None) -> ModelsFile:
    """The file that a setting names, or ours. Raises BadInput with what is wrong in it."""
    path = Path(setting) if setting else DEFAULT_FILE
    try:
        given = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _invalid(f"{path} cannot be read: {error}.") from error
    if not isinstance(given, dict) or not isinstance(given.get("roles"), dict):
        raise _invalid(f"{path} has no `roles`.")
    if strange := sorted(str(name) for name in given.keys() - MEMBERS):
        raise _invalid(f"`{strange[0]}` in {path} is not known; known are {', '.join(sorted(MEMBERS))}.")
    for member in ("ends", "windows", "questions"):
        if not isinstance(given.get(member) or {}, dict):
            raise _invalid(f"`{member}` in {path} is no mapping.")
    if not isinstance(given.get("defaults") or [], list):
        raise _invalid(f"`defaults` in {path} is no list of models.")
    return ModelsFile(
        given["roles"],
        tuple(given.get("defaults") or ()),
        _windows(given.get("windows") or {}),
        given.get("ends") or {},
        dict(_question(str(name), entry) for name, entry in (given.get("questions") or {}).items()),
    )


@lru_cache(maxsize=8)
def _read_once(setting: str | None) -> ModelsFile:
    return read(setting)


def limits_for(agent: str, question: str, setting: str | None = None) -> Limits:
    """What the file says of a question of an agent; nothing when it does not say. `setting` is `Settings.models`.

    The file is read once a process, as when the agent's models are chosen.
    """
    if setting == OFFLINE:
        return NO_LIMITS
    return _read_once(setting or None).questions.get((agent.replace("_", "-"), _plain(question)), NO_LIMITS)


def provider_of(name: Any) -> str:
    """The provider of a model's name in the file. Raises BadInput when there is none."""
    provider, _, model = str(name).partition("/")
    if provider == OFFLINE or (provider in PROVIDERS and model):
        return provider
    raise BadInput(
        "settings.invalid",
        f"{name!r} is not a model of a known provider.",
        field="VIOX_MODELS",
        remedy=f"Write provider/model with one of {', '.join(PROVIDERS)}.",
    )


def _windows(given: Mapping[Any, Any]) -> dict[str, int]:
    for name, tokens in given.items():
        if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1000:
            raise _invalid(
                f"`windows`: {name!r} has {tokens!r}; write the tokens that the model takes in, 1000 or more."
            )
    return {str(name): tokens for name, tokens in given.items()}


def _question(name: str, entry: Any) -> tuple[tuple[str, str], Limits]:
    """One entry of `questions`. Raises BadInput naming it."""
    found = QUESTION.fullmatch(name)
    agent = found[1].replace("_", "-") if found else ""
    if found is None or agent not in ROLES:
        raise _invalid(f"`questions`: {name!r} is no agent.question; agents are {', '.join(ROLES)}.")
    if not isinstance(entry, dict):
        raise _invalid(f"`questions`: {name} is no mapping of model, max_output_tokens and thinking.")
    if strange := sorted(str(key) for key in entry.keys() - {"model", "max_output_tokens", "thinking"}):
        raise _invalid(f"`questions`: {name} has {strange[0]!r}; known are model, max_output_tokens and thinking.")
    if (model := entry.get("model")) is not None:
        provider_of(model)
    tokens = entry.get("max_output_tokens")
    if tokens is not None and (
        isinstance(tokens, bool) or not isinstance(tokens, int) or not 1 <= tokens <= LARGEST_OUTPUT
    ):
        raise _invalid(
            f"`questions`: max_output_tokens of {name} is {tokens!r}; write a number from 1 to {LARGEST_OUTPUT}."
        )
    thinking: Any = "off" if entry.get("thinking") is False else entry.get("thinking")  # YAML reads `off` as false
    if thinking is not None and thinking not in get_args(Thinking):
        raise _invalid(
            f"`questions`: thinking of {name} is {thinking!r}; write one of {', '.join(get_args(Thinking))}."
        )
    return (agent, _plain(found[2])), Limits(model, tokens, thinking)


def _plain(question: str) -> str:
    """Hyphens or underscores."""
    return question.replace("-", "_")


def _invalid(message: str) -> BadInput:
    remedy = "See shared/models/models.yaml for the form, or set VIOX_MODELS=offline."
    return BadInput("settings.invalid", message, field="VIOX_MODELS", remedy=remedy)

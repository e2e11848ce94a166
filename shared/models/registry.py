"""Which model answers for which role, and what stands in when it cannot: one YAML file says so (`VIOX_MODELS`).

One provider's key is enough. A role whose own model has no key takes its first fallback that has one, then the file's
`defaults`; `choices` says for every role what was chosen and why, for the log, `viox up`, `status` and `doctor`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from shared.bus.topics import MANIFESTS
from shared.errors import BadInput
from shared.models.discreet import DiscreetModel
from shared.models.port import ChatModel
from shared.redaction import Redactor
from shared.settings import Settings
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

DEFAULT_FILE = Path(__file__).with_name("models.yaml")
OFFLINE = "offline"

# provider prefix in the file → (environment variable of the key, of the base URL, default base URL)
PROVIDERS: dict[str, tuple[str, str, str]] = {
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1"),
    "gemini": ("GEMINI_API_KEY", "GEMINI_BASE_URL", "https://generativelanguage.googleapis.com/v1beta/openai/"),
    "mistral": ("MISTRAL_API_KEY", "MISTRAL_BASE_URL", "https://api.mistral.ai/v1"),
}
ADAPTERS = {"anthropic": "shared.models.anthropic"}
CHAT_ADAPTER = "shared.models.openai"

# agent → its role in the file
ROLES: dict[str, str] = {agent: told["model"] for agent, told in MANIFESTS.items()}


@dataclass(frozen=True, slots=True)
class Choice:
    """What answers for an agent: `model` and then `fallbacks`, or nothing when no key is there. `missing` are those keys."""

    agent: str
    role: str
    configured: str
    model: str | None
    fallbacks: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def replaced(self) -> bool:
        return self.model is not None and self.model != self.configured

    def document(self) -> dict[str, Any]:
        return {
            "agent": self.agent,
            "role": self.role,
            "configured": self.configured,
            "model": self.model,
            "fallbacks": list(self.fallbacks),
            "missing": list(self.missing),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Choice:
        """The inverse of `document`."""
        parts: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
        }
        return cls(**parts)

    def sentence(self) -> str:
        """For people: which model, and why not the configured one."""
        keys = " and ".join(f"{key} is not set" for key in self.missing)
        if self.model is None:
            return f"no model for {self.agent}: {keys}"
        return f"{self.model} instead of {self.configured}: {keys}" if self.replaced else self.model


def choices(setting: str | None, environment: Mapping[str, str], agents: Iterable[str] = tuple(ROLES)) -> list[Choice]:
    """What answers for these agents with the keys of this environment. Raises BadInput when the file cannot be used."""
    if setting == OFFLINE:
        return [Choice(agent, ROLES[agent], OFFLINE, OFFLINE) for agent in agents]
    given = _read(setting)
    return [_choice(given, agent, ROLES[agent], environment) for agent in agents]


def check(setting: str | None, environment: Mapping[str, str], agents: Iterable[str]) -> list[Choice]:
    """As `choices`. Raises BadInput when an agent would have no model at all: it could not start."""
    found = choices(setting, environment, agents)
    without = [choice for choice in found if choice.model is None]
    if without:
        missing = list(dict.fromkeys(key for choice in without for key in choice.missing))
        raise BadInput(
            "credential.missing",
            f"no model can be used for {', '.join(choice.agent for choice in without)}: no key is set for "
            f"{', '.join(dict.fromkeys(choice.configured for choice in without))} or a fallback.",
            field=missing[0],
            remedy=f"Set one of {', '.join(missing)}, or VIOX_MODELS=offline to run without a model.",
        )
    return found


def model_for(role: str, offline: Any, settings: Settings, redactor: Redactor) -> ChatModel:
    """The model of a role; `redactor` learns its keys.

    Raises BadInput naming the setting when the file or every credential is missing.
    """
    if settings.models == OFFLINE:
        return _offline(offline)
    agent = next((agent for agent, known in ROLES.items() if known == role), role)
    given = _read(settings.models)
    choice = _choice(given, agent, role, os.environ)
    if choice.model is None:
        raise BadInput(
            "credential.missing",
            f"no key for {choice.configured}, nor for a fallback.",
            field=choice.missing[0],
            remedy=f"Set one of {', '.join(choice.missing)}, or VIOX_MODELS=offline to run without a model.",
        )
    if choice.replaced:
        log.warning(
            "model.replaced", role=role, configured=choice.configured, used=choice.model, missing=choice.missing
        )
    windows: dict[str, int] = given.get("windows") or {}
    first = _adapter(choice.model, offline, windows, redactor)
    if not choice.fallbacks:
        return first
    from shared.models.failover import FailoverModel

    return FailoverModel([first, *(_lazy(name, offline, windows, redactor) for name in choice.fallbacks)])


def preload(setting: str | None, environment: Mapping[str, str], agents: Iterable[str]) -> list[str]:
    """Modules of the adapters that these agents start with; a process that forks them imports each once."""
    names = [choice.model for choice in choices(setting, environment, agents) if choice.model]
    providers = dict.fromkeys(name.partition("/")[0] for name in names)
    return list(dict.fromkeys(ADAPTERS.get(p, CHAT_ADAPTER) for p in providers if p != OFFLINE))


def ends(setting: str | None) -> list[tuple[str, str, date]]:
    """(role, model, end) of every model in use whose end is announced. Raises BadInput when the file cannot be read."""
    if setting == OFFLINE:
        return []
    given = _read(setting)
    known = _read(None)["ends"] | (given.get("ends") or {})
    used = [(role, name) for role in given["roles"] for name in _chain(given, role)]
    return [(role, model, known[model]) for role, model in used if model in known]


def _read(setting: str | None) -> dict[str, Any]:
    path = Path(setting) if setting else DEFAULT_FILE
    try:
        given = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _invalid(f"{path} cannot be read: {error}.") from error
    if not isinstance(given, dict) or not isinstance(given.get("roles"), dict):
        raise _invalid(f"{path} has no `roles`.")
    for member in ("ends", "windows"):
        if not isinstance(given.get(member) or {}, dict):
            raise _invalid(f"`{member}` in {path} is no mapping of models.")
    return given


def _chain(given: Mapping[str, Any], role: str) -> list[str]:
    """The models of a role in order. Raises BadInput naming the role."""
    entry = given["roles"].get(role)
    chain = [entry.get("model"), *(entry.get("fallbacks") or [])] if isinstance(entry, dict) else []
    if not chain or not all(isinstance(name, str) for name in chain):
        raise _invalid(f"there is no usable entry for role {role!r}.")
    for name in chain:
        _provider_of(name)
    return chain


def _choice(given: Mapping[str, Any], agent: str, role: str, environment: Mapping[str, str]) -> Choice:
    chain = _chain(given, role)
    usable = [name for name in chain if _key_missing(name, environment) is None]
    tried = chain if usable else [*chain, *(given.get("defaults") or [])]
    usable = usable or [name for name in tried if _key_missing(name, environment) is None]
    missing = tuple(dict.fromkeys(key for name in tried if (key := _key_missing(name, environment))))
    return Choice(agent, role, chain[0], usable[0] if usable else None, tuple(usable[1:]), missing)


def _key_missing(name: str, environment: Mapping[str, str]) -> str | None:
    """The variable that has to be set for this model, when it is not."""
    provider = _provider_of(name)
    if provider == OFFLINE:
        return None
    key = PROVIDERS[provider][0]
    return None if environment.get(key, "").strip() else key


def _provider_of(name: str) -> str:
    provider, _, model = str(name).partition("/")
    if provider == OFFLINE or (provider in PROVIDERS and model):
        return provider
    raise BadInput(
        "settings.invalid",
        f"{name!r} is not a model of a known provider.",
        field="VIOX_MODELS",
        remedy=f"Write provider/model with one of {', '.join(PROVIDERS)}.",
    )


def _invalid(message: str) -> BadInput:
    remedy = "See shared/models/models.yaml for the form, or set VIOX_MODELS=offline."
    return BadInput("settings.invalid", message, field="VIOX_MODELS", remedy=remedy)


def _offline(offline: Any) -> ChatModel:
    from shared.models.offline import OfflineModel

    return OfflineModel(offline)


def _lazy(name: str, offline: Any, windows: Mapping[str, int], redactor: Redactor) -> ChatModel:
    from shared.models.failover import LazyModel

    provider, _, model = name.partition("/")
    return LazyModel(provider, model or provider, lambda: _adapter(name, offline, windows, redactor))


def _adapter(name: str, offline: Any, windows: Mapping[str, int], redactor: Redactor) -> ChatModel:
    provider, _, model = name.partition("/")
    if provider == OFFLINE:
        return _offline(offline)
    key_name, url_name, default_url = PROVIDERS[provider]
    key, base_url = os.environ[key_name].strip(), os.environ.get(url_name) or default_url
    window = windows.get(name)
    redactor.tell(provider, key_name, key)
    if provider == "anthropic":
        from shared.models.anthropic import AnthropicModel

        made: ChatModel = AnthropicModel(model, api_key=key, base_url=base_url, window=window)
    else:
        from shared.models.openai import OpenAIModel

        made = OpenAIModel(model, provider=provider, api_key=key, base_url=base_url, window=window)
    return DiscreetModel(made, redactor.of(provider))

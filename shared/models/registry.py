"""Which model answers for which role, and what stands in when it cannot: one YAML file says so (`VIOX_MODELS`).

One provider's key is enough. A role whose own model has no key takes its first fallback that has one, then the file's
`defaults`; `choices` says for every role what was chosen and why, for the log, `viox up`, `status` and `doctor`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from shared.errors import BadInput
from shared.models.choice import Choice
from shared.models.discreet import DiscreetModel
from shared.models.models_file import OFFLINE, PROVIDERS, ROLES, Limits, ModelsFile, limits_for, provider_of, read
from shared.models.port import ChatModel
from shared.models.retry import ATTEMPTS
from shared.models.traced import TracedModel
from shared.redaction import Redactor
from shared.settings import Settings
from shared.telemetry.logs import get_logger

__all__ = [
    "OFFLINE",
    "PROVIDERS",
    "ROLES",
    "Choice",
    "Limits",
    "adapter",
    "check",
    "choices",
    "ends",
    "key_missing",
    "limits_for",
    "model_for",
    "named",
    "preload",
]

log = get_logger(__name__)

ADAPTERS = {"anthropic": "shared.models.anthropic"}
CHAT_ADAPTER = "shared.models.openai"
TIMEOUT_SECONDS = 120.0


def choices(setting: str | None, environment: Mapping[str, str], agents: Iterable[str] = tuple(ROLES)) -> list[Choice]:
    """What answers for these agents with the keys of this environment. Raises BadInput when the file cannot be used."""
    if setting == OFFLINE:
        return [Choice(agent, ROLES[agent], OFFLINE, OFFLINE) for agent in agents]
    given = read(setting)
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


def named(setting: str | None) -> dict[str, list[str]]:
    """Every model that the file names for roles and their questions → the agents it is for, in the order of the file."""
    if setting == OFFLINE:
        return {}
    given = read(setting)
    found: dict[str, list[str]] = {}
    for agent, role in ROLES.items():
        if role in given.roles:
            for name in dict.fromkeys([*given.chain(role), *given.models_of_questions(agent)]):
                found.setdefault(name, []).append(agent)
    return {name: agents for name, agents in found.items() if name != OFFLINE}


def windows(setting: str | None) -> Mapping[str, int]:
    """Tokens that models take in, as far as the file says."""
    return {} if setting == OFFLINE else read(setting).windows


def model_for(role: str, offline: Any, settings: Settings, redactor: Redactor) -> ChatModel:
    """The model of a role; `redactor` learns its keys.

    Raises BadInput naming the setting when the file or every credential is missing.
    """
    if settings.models == OFFLINE:
        return _offline(offline)
    agent = next((agent for agent, known in ROLES.items() if known == role), role)
    given = read(settings.models)
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
    made = _Maker(given, offline, redactor)
    own = made.chain(choice)
    others = [name for name in given.models_of_questions(agent) if key_missing(name, os.environ) is None]
    from shared.models.routed import RoutedModel

    return RoutedModel(own, {name: made.later(name) for name in others}, made.wished)


def preload(setting: str | None, environment: Mapping[str, str], agents: Iterable[str]) -> list[str]:
    """Modules of the adapters that these agents start with; a process that forks them imports each once."""
    names = [choice.model for choice in choices(setting, environment, agents) if choice.model]
    providers = dict.fromkeys(name.partition("/")[0] for name in names)
    return list(dict.fromkeys(ADAPTERS.get(p, CHAT_ADAPTER) for p in providers if p != OFFLINE))


def ends(setting: str | None) -> list[tuple[str, str, date]]:
    """(role, model, end) of every model in use whose end is announced. Raises BadInput when the file cannot be read."""
    if setting == OFFLINE:
        return []
    given = read(setting)
    known = {**read(None).ends, **given.ends}
    used = [(role, name) for role in given.roles for name in given.chain(role)]
    return [(role, model, known[model]) for role, model in used if model in known]


def key_missing(name: str, environment: Mapping[str, str]) -> str | None:
    """The variable that has to be set for this model, when it is not."""
    provider = provider_of(name)
    if provider == OFFLINE:
        return None
    key = PROVIDERS[provider][0]
    return None if environment.get(key, "").strip() else key


def adapter(
    name: str,
    environment: Mapping[str, str],
    redactor: Redactor,
    *,
    window: int | None = None,
    attempts: int = ATTEMPTS,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> ChatModel:
    """The adapter of a model of a provider, whose key is in the environment; `redactor` learns it."""
    provider, _, model = name.partition("/")
    key_name, url_name, default_url = PROVIDERS[provider]
    key, base_url = environment[key_name].strip(), environment.get(url_name) or default_url
    redactor.tell(provider, key_name, key)
    more: dict[str, Any] = {"api_key": key, "base_url": base_url, "window": window, "attempts": attempts}
    if provider == "anthropic":
        from shared.models.anthropic import AnthropicModel

        made: ChatModel = AnthropicModel(model, timeout_seconds=timeout_seconds, **more)
    else:
        from shared.models.openai import OpenAIModel

        made = OpenAIModel(model, provider=provider, timeout_seconds=timeout_seconds, **more)
    return TracedModel(DiscreetModel(made, redactor.of(provider)))


class _Maker:
    """Makes the models of one agent."""

    def __init__(self, given: ModelsFile, offline: Any, redactor: Redactor) -> None:
        self._given = given
        self._offline = offline
        self._redactor = redactor

    def chain(self, choice: Choice) -> ChatModel:
        """The model chosen, and what stands in for it."""
        assert choice.model is not None  # noqa: S101  # the caller has looked
        first = self.now(choice.model)
        if not choice.fallbacks:
            return first
        from shared.models.failover import FailoverModel

        return FailoverModel([first, *(self.later(name) for name in choice.fallbacks)])

    def now(self, name: str) -> ChatModel:
        if name.partition("/")[0] == OFFLINE:
            return _offline(self._offline)
        return adapter(name, os.environ, self._redactor, window=self._given.windows.get(name))

    def wished(self, name: str) -> ChatModel | None:
        """A model that somebody names as `provider/model`; None for another name. Raises BadInput when its key is missing."""
        provider, _, model = name.partition("/")
        if not model or provider not in PROVIDERS:
            return None
        if missing := key_missing(name, os.environ):
            remedy = f"Set {missing}, or name a model whose key is set."
            raise BadInput("credential.missing", f"no key for {name}.", field=missing, remedy=remedy)
        return self.later(name)

    def later(self, name: str) -> ChatModel:
        """A model that is made when it is asked for the first time."""
        from shared.models.failover import LazyModel

        provider, _, model = name.partition("/")
        return LazyModel(provider, model or provider, lambda: self.now(name))


def _choice(given: ModelsFile, agent: str, role: str, environment: Mapping[str, str]) -> Choice:
    chain = given.chain(role)
    own = [name for name in chain if key_missing(name, environment) is None]
    usable = own or [name for name in given.defaults if key_missing(name, environment) is None]
    wanted = chain if usable else [*chain, *given.defaults]
    missing = tuple(dict.fromkeys(key for name in wanted if (key := key_missing(name, environment))))
    absent = tuple(name for name in chain[1:] if key_missing(name, environment))
    return Choice(agent, role, chain[0], usable[0] if usable else None, tuple(usable[1:]), missing, absent)


def _offline(offline: Any) -> ChatModel:
    from shared.models.offline import OfflineModel

    return TracedModel(OfflineModel(offline))

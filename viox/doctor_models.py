"""What `viox doctor` says of models: which answers for whom, whether each one does, and what will end soon."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sandbox import credentials
from shared.errors import BadInput
from shared.models import registry
from shared.models.abilities import abilities_of
from shared.models.models_file import provider_of
from viox import deployment

if TYPE_CHECKING:
    from shared.models.trial import Trial

SOON_DAYS = 120


def finding(what: str, state: str, message: str, **more: Any) -> dict[str, Any]:
    return {"what": what, "state": state, "message": message, "field": None, "remedy": None, "latency_ms": None} | more


async def findings() -> list[dict[str, Any]]:
    """Of every agent's choice and of every model that the file names."""
    environment = agents_environment()
    setting = environment.get("VIOX_MODELS")
    try:
        chosen = _chosen(setting, environment)
        named, windows = registry.named(setting), registry.windows(setting)
        ends = _ends(setting)
    except BadInput as error:
        return [finding("models", "failed", error.message, field=error.field, remedy=error.remedy)]
    tried = await _tried(named, environment, windows)
    return [*map(of_choice, chosen), *tried, *_unknown_windows(named, windows), *ends]


def agents_environment() -> dict[str, str]:
    """Settings as agents have them: of the stack that runs here, else of one that would be started from here."""
    running = deployment.state() or {}
    ports = {credentials.MODELS: urlsplit(running["models_url"]).port or 0} if running.get("models_url") else {}
    return credentials.agents_see(os.environ, running.get("models_mode"), ports)


def _chosen(setting: str | None, environment: Mapping[str, str]) -> list[registry.Choice]:
    if started := (deployment.state() or {}).get("models"):  # what its agents chose when they started
        return [registry.Choice.of(one) for one in started]
    return registry.choices(setting, environment)


def of_choice(choice: registry.Choice) -> dict[str, Any]:
    what = f"model of {choice.agent}"
    if choice.model is None:
        remedy = f"Set one of {', '.join(choice.missing)}, or VIOX_MODELS=offline to run without a model."
        return finding(what, "failed", choice.sentence(), field=choice.missing[0], remedy=remedy)
    if choice.replaced:
        remedy = f"Set {choice.missing[0]} to use the configured model."
        return finding(what, "warning", choice.sentence(), field=choice.missing[0], remedy=remedy)
    return finding(what, "ok", choice.sentence())


async def _tried(
    named: Mapping[str, list[str]], environment: Mapping[str, str], windows: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Ask every model for one token. Without its key it is not asked."""
    from shared.models.trial import try_models

    keys = {name: registry.key_missing(name, environment) for name in named}
    trials = {
        trial.model: trial
        for trial in await try_models([n for n, key in keys.items() if key is None], environment, windows)
    }
    return [
        _not_tried(name, key, agents) if (key := keys[name]) else _of_trial(trials[name], agents)
        for name, agents in named.items()
    ]


def _not_tried(name: str, key: str, agents: list[str]) -> dict[str, Any]:
    told = f"{key} is not set (for {', '.join(agents)})"
    return finding(f"model {name}", "not tried", told, field=key, remedy=f"Set {key} to have it, also as a fallback.")


def _of_trial(trial: Trial, agents: list[str]) -> dict[str, Any]:
    what, whose = f"model {trial.model}", f"for {', '.join(agents)}"
    if error := trial.error:
        remedy = error.remedy or "See the provider's status page; another model answers meanwhile where one is named."
        told = f"{error.message} ({whose})"
        more = {"field": error.field, "remedy": remedy, "latency_ms": trial.latency_ms, "code": error.code}
        return finding(what, "failed", told, **more)
    asked_for = trial.answering_model == trial.model.partition("/")[2]
    answered = "answers" if asked_for else f"answers as {trial.answering_model}"
    return finding(what, "ok", f"{answered} ({whose})", latency_ms=trial.latency_ms)


def _unknown_windows(named: Mapping[str, list[str]], windows: Mapping[str, int]) -> list[dict[str, Any]]:
    """Models of which we do not know how much they take in."""
    found = []
    for name in named:
        taken_for = abilities_of(provider_of(name), name.partition("/")[2], windows.get(name))
        if not taken_for.known:
            told = f"its window is not known: it is taken for one of {taken_for.window:,} tokens"
            remedy = f"Say under `windows` in the file of VIOX_MODELS how much it takes in: {{{name}: 131072}}."
            found.append(finding(f"model {name}", "warning", told, field="VIOX_MODELS", remedy=remedy))
    return found


def _ends(setting: str | None) -> list[dict[str, Any]]:
    """Models that will be withdrawn soon, or have been."""
    found = []
    for role, model, end in registry.ends(setting):
        days = (end - date.today()).days
        if days <= SOON_DAYS:
            agent = next((agent for agent, known in registry.ROLES.items() if known == role), role)
            told = f"{model} ends {end.isoformat()}" if days >= 0 else f"{model} ended {end.isoformat()}"
            remedy = "Name another model for the role in the file of VIOX_MODELS."
            found.append(finding(f"model of {agent}", "warning", told, field="VIOX_MODELS", remedy=remedy))
    return found

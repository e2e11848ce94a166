"""Which model answers for which role, and what stands in when it cannot: one YAML file says so (`VIOX_MODELS`)."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from shared.errors import BadInput
from shared.models.offline import OfflineModel
from shared.models.port import ChatModel
from shared.settings import Settings

DEFAULT_FILE = Path(__file__).with_name("models.yaml")
OFFLINE = "offline"

# provider prefix in the file → (environment variable of the key, of the base URL, default base URL)
PROVIDERS: dict[str, tuple[str, str, str]] = {
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1"),
    "gemini": ("GEMINI_API_KEY", "GEMINI_BASE_URL", "https://generativelanguage.googleapis.com/v1beta/openai/"),
    "mistral": ("MISTRAL_API_KEY", "MISTRAL_BASE_URL", "https://api.mistral.ai/v1"),
}


def model_for(role: str, offline: Any, settings: Settings) -> ChatModel:
    """The model of a role. Raises BadInput naming the setting when the file or a credential is missing."""
    if settings.models == OFFLINE:
        return OfflineModel(offline)
    path = Path(settings.models) if settings.models else DEFAULT_FILE
    try:
        roles: dict[str, Any] = yaml.safe_load(path.read_text())["roles"]
        chain = [roles[role]["model"], *roles[role].get("fallbacks", [])]
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise BadInput(
            "settings.invalid",
            f"{path} has no usable entry for role {role!r}: {error!r}.",
            field="VIOX_MODELS",
            remedy="See shared/models/models.yaml for the form, or set VIOX_MODELS=offline.",
        ) from error
    models = [_adapter(name, offline) for name in chain]
    if len(models) == 1:
        return models[0]
    from shared.models.failover import FailoverModel

    return FailoverModel(models)


def ends(setting: str | None) -> list[tuple[str, str, date]]:
    """(role, model, end) of every model in use whose end is announced. Raises BadInput when the file cannot be read."""
    if setting == OFFLINE:
        return []
    path = Path(setting) if setting else DEFAULT_FILE
    try:
        given = yaml.safe_load(path.read_text())
        known = yaml.safe_load(DEFAULT_FILE.read_text())["ends"] | (given.get("ends") or {})
        used = [
            (role, m) for role, entry in given["roles"].items() for m in (entry["model"], *entry.get("fallbacks", []))
        ]
    except (OSError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise BadInput("settings.invalid", f"{path} cannot be read: {error!r}.", field="VIOX_MODELS") from error
    return [(role, model, known[model]) for role, model in used if model in known]


def _adapter(name: str, offline: Any) -> ChatModel:
    provider, _, model = name.partition("/")
    if provider == OFFLINE:
        return OfflineModel(offline)
    if provider not in PROVIDERS or not model:
        raise BadInput(
            "settings.invalid",
            f"{name!r} is not a model of a known provider.",
            field="VIOX_MODELS",
            remedy=f"Write provider/model with one of {', '.join(PROVIDERS)}.",
        )
    key_name, url_name, default_url = PROVIDERS[provider]
    key = os.environ.get(key_name)
    if not key:
        raise BadInput(
            "credential.missing",
            f"no key for {name}.",
            field=key_name,
            remedy=f"Set {key_name}, or VIOX_MODELS=offline to run without a model.",
        )
    base_url = os.environ.get(url_name, default_url)
    if provider == "anthropic":
        from shared.models.anthropic import AnthropicModel

        return AnthropicModel(model, api_key=key, base_url=base_url)
    from shared.models.openai import OpenAIModel

    return OpenAIModel(model, provider=provider, api_key=key, base_url=base_url)

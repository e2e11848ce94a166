"""What models take in and give out, and how many tokens a text has, by the rule of thumb of four bytes each.

Windows and limits are those of the providers' model pages of November 2026. Where sources differ it is the smaller one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BYTES_PER_TOKEN = 4
CACHE_FROM_TOKENS = 1024  # shorter beginnings are not cached


@dataclass(frozen=True, slots=True)
class Limits:
    """Tokens of a model: all it can hold, and all it gives out in one turn."""

    window: int
    output: int


# The beginning of a model's name → its limits. A model that is not here does not exist for these servers.
MODELS: Mapping[str, Mapping[str, Limits]] = {
    "anthropic": {
        "claude-haiku-4-5": Limits(200_000, 64_000),
        "claude-sonnet-4-6": Limits(200_000, 64_000),
        "claude-sonnet-5": Limits(200_000, 64_000),
        "claude-opus-5": Limits(200_000, 64_000),
        "claude-haiku-5": Limits(200_000, 64_000),
    },
    "openai": {"gpt-4o": Limits(128_000, 16_384), "gpt-5": Limits(272_000, 128_000), "gpt-6": Limits(272_000, 128_000)},
    "gemini": {"gemini-": Limits(1_048_576, 65_536)},
    "mistral": {"mistral-": Limits(128_000, 32_768)},
}


def limits_of(provider: str, model: str) -> Limits | None:
    return next((limits for start, limits in MODELS[provider].items() if model.startswith(start)), None)


def tokens(value: Any) -> int:
    """Tokens of a text, or of a value as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return -(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN)

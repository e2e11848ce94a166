"""What each model takes and gives: its window, its longest answer, and how it is told to think. Facts of November 2026.

Found by the provider and the beginning of the model's name. Where sources differ it is the smaller figure: less is sent than
could be, and never more. A model that is not here is taken for a small one, and `viox doctor` says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

# How a model is told to think: in an amount of tokens, in a degree of effort, or not at all.
ThinkingStyle = Literal["none", "budget", "adaptive", "effort"]


@dataclass(frozen=True, slots=True)
class Abilities:
    """Of one model. `window` are the tokens of a request and its answer, `output` the most of an answer.

    `effort_with_tools`: the only effort that it takes when it is given tools. `least_effort`: what "off" is called.
    `known`: whether the figures are of this model, and not of the small one that an unknown model is taken for.
    """

    window: int
    output: int
    thinking: ThinkingStyle = "none"
    effort_with_tools: str | None = None
    least_effort: str = "none"
    known: bool = True


UNKNOWN = Abilities(32_000, 16_384, known=False)
CLAUDE = Abilities(200_000, 64_000, "adaptive")
GPT_5 = Abilities(272_000, 128_000, "effort")
# OpenAI: from GPT-5.4 on a model with tools does not think in Chat Completions, and has to be told so.
GPT_5_4 = replace(GPT_5, effort_with_tools="none")
GEMINI = Abilities(1_000_000, 65_536, "effort", least_effort="minimal")

MODELS: tuple[tuple[str, str, Abilities], ...] = (
    ("anthropic", r"claude-(haiku|sonnet|opus)-4-5\b", replace(CLAUDE, thinking="budget")),
    ("anthropic", r"claude-(sonnet|opus)-4-[6-9]\b", CLAUDE),
    ("anthropic", r"claude-(haiku|sonnet|opus|fable|mythos)-5\b", CLAUDE),
    ("openai", r"gpt-4o\b", Abilities(128_000, 16_384)),
    ("openai", r"gpt-4\.1\b", Abilities(1_000_000, 32_768)),
    ("openai", r"gpt-5\.[4-9]\b", GPT_5_4),
    ("openai", r"gpt-6\b", GPT_5_4),
    ("openai", r"gpt-5\.[1-3]\b", GPT_5),
    ("openai", r"gpt-5\b", replace(GPT_5, least_effort="minimal")),
    ("gemini", r"gemini-2\.5\b", replace(GEMINI, least_effort="none")),
    ("gemini", r"gemini-([3-9]|flash)", GEMINI),
    ("mistral", r"mistral-(large|medium|small)\b", Abilities(128_000, 32_768)),
)


def abilities_of(provider: str, model: str, window: int | None = None) -> Abilities:
    """Of a model; with `window`, the tokens that a deployment says it takes in."""
    found = next((a for of, name, a in MODELS if of == provider and re.match(name, model)), UNKNOWN)
    if window is None:
        return found
    return replace(found, window=window, known=True)

"""One token of a model's, over its own wire: does the key work, is the model there, how long does it take?"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.models.abilities import abilities_of
from shared.models.port import ChatModel, ChatRequest, ModelError, UserMessage
from shared.models.registry import adapter
from shared.redaction import Redactor

TIMEOUT_SECONDS = 20.0
LEAST_OF_THINKERS = 16  # models that think first refuse less
# A model that thought its few tokens away is there all the same, and the key was taken.
THOUGHT_AWAY = re.compile(r"could not finish the message because max_tokens", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it. `error` says why there was no answer."""

    model: str
    latency_ms: float
    answering_model: str | None = None
    error: ModelError | None = None


async def try_models(
    names: Iterable[str],
    environment: Mapping[str, str],
    windows: Mapping[str, int],
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> list[Trial]:
    """Ask each of these models once, all at the same time, and never again. Their keys are in the environment."""
    made = [
        (
            name,
            adapter(
                name, environment, Redactor(), window=windows.get(name), attempts=1, timeout_seconds=timeout_seconds
            ),
        )
        for name in names
    ]  # all of them first: an SDK takes seconds to import, which no model needs to answer for
    return list(await asyncio.gather(*(_tried(name, model) for name, model in made)))


async def _tried(name: str, model: ChatModel) -> Trial:
    started = time.perf_counter()
    try:
        reply = await model.complete(_question(model))
        return Trial(name, _since(started), reply.answering_model)
    except ModelError as error:
        if THOUGHT_AWAY.search(error.message):
            return Trial(name, _since(started), model.model)
        return Trial(name, _since(started), error=error)
    finally:
        await model.aclose()


def _question(model: ChatModel) -> ChatRequest:
    thinks = abilities_of(model.provider, model.model).thinking == "effort"
    limit = LEAST_OF_THINKERS if thinks else 1
    asked = (UserMessage("Are you there?"),)
    return ChatRequest(model.model, "Answer with one word.", asked, max_output_tokens=limit)


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)

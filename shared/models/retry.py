"""Trying a model again: counted by us, because the SDKs' own retries are off. A retry costs tokens, never an effect."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

from shared.models.port import ChatReply, ModelError

ATTEMPTS = 3
LONGEST_WAIT_SECONDS = 8.0  # a provider that wants more is asked again by the runtime, which frees the thread meanwhile

Sleep = Callable[[float], Awaitable[None]]


async def with_retries(once: Callable[[], Awaitable[ChatReply]], *, sleep: Sleep) -> ChatReply:
    """Ask up to three times. The reply says how often. Raises the last ModelError, with `attempts`."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return replace(await once(), attempts=attempt)
        except ModelError as error:
            error.attempts = attempt
            wait = error.retry_after if error.retry_after is not None else 0.5 * 2**attempt
            if not error.retryable or attempt == ATTEMPTS or wait > LONGEST_WAIT_SECONDS:
                raise
            await sleep(wait * (1 + random.random() * 0.1))  # noqa: S311  # jitter, not a secret
    raise AssertionError("unreachable")


def retry_after(value: str | None) -> float | None:
    """What a Retry-After header says in seconds, or None when it is absent or a date. ModelError keeps it in bounds."""
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None


def error_of_status(provider: str, status: int, code: str, message: str, wait: float | None) -> ModelError:
    """What a provider's error status means for us."""
    if status in (401, 403):
        return ModelError(
            "model.authentication",
            f"{provider} refuses the key: {message}",
            retryable=False,
            field=f"{provider.upper()}_API_KEY",
            remedy="Check the key and what it may use.",
        )
    if status in (408, 409, 429) or status >= 500:
        kind = "model.rate_limited" if status == 429 else "model.unavailable"
        return ModelError(kind, f"{provider} answers {status} {code}: {message}", retryable=True, retry_after=wait)
    return ModelError("model.bad_request", f"{provider} answers {status} {code}: {message}", retryable=False)

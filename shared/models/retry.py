"""Trying a model again, and what a provider's error means for us.

Attempts are counted by us, because the SDKs' own retries are off. A retry costs tokens, never an effect. Providers say the
same thing with different statuses, codes and sentences: an empty account is a 400, a 402, a 403 or a 429.
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from shared.models.port import ChatReply, ModelError
from shared.models.turns import CONTEXT_EXCEEDED, REFUSED

ATTEMPTS = 3
LONGEST_WAIT_SECONDS = 8.0  # a provider that wants more is asked again by the runtime, which frees the thread meanwhile
NO_CREDIT_SECONDS = 60.0  # a person has to pay; asking more often helps nobody

Sleep = Callable[[float], Awaitable[None]]

NO_CREDIT_CODES = {"insufficient_quota", "billing_error", "billing_hard_limit_reached", "billing_not_active"}
NO_CREDIT = re.compile(
    r"credit balance|(insufficient|no|not enough|out of|ran out of) (available )?(credits?|balance|funds|quota)\b"
    r"|billing (hard limit|is not active|account)|check your plan and billing|payment (is )?required|prepa(id|yment) "
    r"|(spend|spending|usage|budget) limit (has been |was )?(reached|exceeded)|arrears",
    re.IGNORECASE,
)
CONTEXT_CODES = {"context_length_exceeded", "request_too_large", "context_window_exceeded"}
CONTEXT = re.compile(
    r"(prompt|input|request|conversation|messages?)\b.{0,60}\b(too long|too large|too many tokens)"
    r"|(maximum|max|model'?s?|exceeds?( the)?) context|context[ _](length|window|size)|too many tokens|reduce the length"
    r"|(token count|tokens?)\b.{0,60}\bexceeds? the (maximum|limit)|tokens? \+ .{0,60}exceeds?",
    re.IGNORECASE,
)
GONE_CODES = {"model_not_found", "model_not_available", "model_deprecated", "unknown_model", "invalid_model"}
GONE = re.compile(
    r"\bmodels?\b.{0,120}\b(not found|does not exist|doesn't exist|not exist|no longer|deprecated|decommissioned|retired|"
    r"shut ?down|not available|not supported for|unknown)|(unknown|invalid|no such|unsupported) model\b|^model: ",
    re.IGNORECASE | re.DOTALL,
)
KEY = re.compile(
    r"api[ _-]?key (is )?(not valid|invalid|expired)|(invalid|incorrect|missing) api[ _-]?key", re.IGNORECASE
)
FILTER_CODES = {"content_filter", "content_policy_violation", "invalid_prompt", "moderation_blocked"}
FILTER = re.compile(
    r"content (management )?policy|usage polic|flagged (by|as)|safety (system|filter|reasons)", re.IGNORECASE
)
SOON = re.compile(r"(?:retry|try again) in (?:(\d+)m)?(\d+(?:\.\d+)?)(ms|s)", re.IGNORECASE)

# Kinds of errors that come without a status of their own, in a body with status 200.
STATUS_OF = {
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "failed_precondition": 400,
    "authentication_error": 401,
    "unauthenticated": 401,
    "billing_error": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "resource_exhausted": 429,
    "insufficient_quota": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


async def with_retries(
    once: Callable[[], Awaitable[ChatReply]], *, sleep: Sleep, attempts: int = ATTEMPTS
) -> ChatReply:
    """Ask up to three times. The reply says how often. Raises the last ModelError, with `attempts`."""
    made = False
    for attempt in range(1, attempts + 1):
        try:
            return replace(await once(), attempts=attempt)
        except ModelError as error:
            error.attempts = attempt
            error.may_have_been_made = made = made or error.may_have_been_made
            wait = error.retry_after if error.retry_after is not None else 0.5 * 2**attempt
            if not error.retryable or attempt == attempts or wait > LONGEST_WAIT_SECONDS:
                raise
            await sleep(wait * (1 + random.random() * 0.1))  # noqa: S311  # jitter, not a secret
    raise AssertionError("unreachable")


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header says, as a number or until a date. ModelError keeps them in bounds.

    None when it says nothing to go by: a date that is past asks for no wait, which would use up the attempts at once.
    """
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    seconds = (until - (now or datetime.now(UTC))).total_seconds()
    return seconds if seconds > 0 else None


def wait_of(headers: Mapping[str, str], message: str) -> float | None:
    """How long a provider asks us to wait: by header, else in its message."""
    if (milliseconds := retry_after(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    if (seconds := retry_after(headers.get("retry-after"))) is not None:
        return seconds
    if found := SOON.search(message):
        return int(found[1] or 0) * 60 + float(found[2]) / (1000 if found[3].lower() == "ms" else 1)
    return None


def error_in_body(provider: str, error: Any) -> ModelError:
    """An `error` member in a body whose status says that all is well."""
    told = error if isinstance(error, dict) else {"message": str(error)}
    code, kind = told.get("code"), str(told.get("type") or told.get("status") or "")
    status = code if isinstance(code, int) and 400 <= code < 600 else STATUS_OF.get(str(code or kind).lower(), 502)
    return error_of_status(provider, status, str(code or kind), str(told.get("message") or told), None)


def error_of_status(provider: str, status: int, code: str, message: str, wait: float | None) -> ModelError:
    """What a provider's error status means for us. `message` is all that it said, the body included."""
    said = f"{provider} answers {status} {code}: {message[:600]}"
    key = f"{provider.upper()}_API_KEY"
    if _no_credit(status, code, message):
        return ModelError(
            "model.no_credit",
            f"the account at {provider} has no credit: {message[:300]}",
            retryable=True,
            retry_after=max(wait or 0.0, NO_CREDIT_SECONDS),
            field=key,
            remedy="Add credit at the provider; what waits goes on by itself.",
        )
    if _gone(status, code, message):
        remedy = "Name another model for the role in the file of VIOX_MODELS."
        return ModelError("model.ended", said, retryable=False, field="VIOX_MODELS", remedy=remedy)
    if status in (401, 403) or (status == 400 and KEY.search(message)):
        remedy = "Check the key and what it may use."
        told = f"{provider} refuses the key: {message[:600]}"
        return ModelError("model.authentication", told, retryable=False, field=key, remedy=remedy)
    if status == 413 or code in CONTEXT_CODES or (status in (400, 422, 429) and CONTEXT.search(message)):
        remedy = "Start another conversation, or name a model with a larger window in the file of VIOX_MODELS."
        return ModelError(CONTEXT_EXCEEDED, said, retryable=False, remedy=remedy)
    if status in (408, 409, 425, 429) or status >= 500:
        return ModelError(
            "model.rate_limited" if status == 429 else "model.unavailable", said, retryable=True, retry_after=wait
        )
    if code in FILTER_CODES or (status == 400 and FILTER.search(message)):
        remedy = "Rephrase the task, or name another model for the role in the file of VIOX_MODELS."
        return ModelError(REFUSED, said, retryable=False, remedy=remedy)
    if status == 404:
        return ModelError("model.bad_request", said, retryable=False, field=f"{provider.upper()}_BASE_URL")
    return ModelError("model.bad_request", said, retryable=False)


def _no_credit(status: int, code: str, message: str) -> bool:
    """A rate limit may speak of the plan too; it says when to come back."""
    if status == 402 or code in NO_CREDIT_CODES:
        return True
    if not 400 <= status < 500 or not NO_CREDIT.search(message):
        return False
    return status != 429 or not SOON.search(message)


def _gone(status: int, code: str, message: str) -> bool:
    if status == 410 or code in GONE_CODES:
        return True
    return status in (400, 403, 404, 422) and bool(GONE.search(message))

"""What a voice can say of a call that has not succeeded. Plain sentences: no names of vendors, no codes, nothing of ours.

By the error's code where there is something particular to say, else by the call's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

WORKING: Final = "I am still working on it. One moment, please."
PAUSED: Final = "I cannot do this right now. It is noted, and will be done as soon as it is possible again."
NO_ANSWER: Final = "The system I need for this is not answering. It is noted, and will be done as soon as it answers."
NOT_NOW: Final = "I cannot do that right now. Please try again in a moment."
NOT_FOUND: Final = "I could not find that."
NO_EFFECT: Final = "The system I need for this is not answering, so nothing has been done. Please try later."
NOT_UNDERSTOOD: Final = "Something about the details was not right. Could you tell me once more?"
NOT_ALLOWED: Final = "I am not allowed to do that myself. A colleague can help with it."

OF_STATE: Final[Mapping[str, str]] = {
    "requested": WORKING,
    "executing": WORKING,
    "approved": "A colleague has confirmed it. It is being done now.",
    "awaiting_approval": "I need a colleague to confirm this first. We will call you back.",
    "unknown": "I cannot tell yet whether it worked. We are checking, and it will not be done twice.",
    "failed": "That did not work, so nothing has been done.",
    "denied": NOT_ALLOWED,
    "rejected": "A colleague has decided against it, so nothing has been done.",
    "expired": "Nobody could confirm it in time, so nothing has been done.",
}
OF_CODE: Final[Mapping[str, str]] = {
    "tool.not_found": "I cannot do that. A colleague can help with it.",
    "tool.invalid_arguments": NOT_UNDERSTOOD,
    "tool.arguments_too_large": "That is too much at once. Please make it shorter.",
    "tool.vendor_refused": "That was declined, so nothing has been done.",
    "tool.attempts_exhausted": NO_EFFECT,
    "vendor.not_answering": NO_EFFECT,
    "tool.duplicate_in_doubt": "I am still checking whether that was done already, so I am not doing it again yet.",
    "recipient.opted_out": "They asked us not to write to them, so I cannot send that.",
    "run.over": "A colleague has stopped this, so nothing has been done.",
    "call.deadline": "It took too long, so nothing has been done.",
    "call.conflict": "I am already doing something else under this request. Please ask me once more.",
    "invoke.malformed": NOT_UNDERSTOOD,
    "invoke.too_large": "That is too much at once. Please make it shorter.",
}


def say(state: str, error: Mapping[str, Any] | None) -> str:
    """A sentence for a call in this state, or for a request that became none."""
    code = str((error or {}).get("code"))
    if state in ("failed", "denied", "refused") and code in OF_CODE:
        return OF_CODE[code]
    if state == "failed" and code.startswith("http."):
        return _of_answer(str((error or {}).get("status")))
    if state == "denied" and code.startswith("credential."):
        return NOT_NOW
    return OF_STATE.get(state, NOT_NOW)


def _of_answer(status: str) -> str:
    """Of an answer that was an error: the vendor's own, or ours for there was none."""
    if status == "404":
        return NOT_FOUND
    return "That was not accepted, so nothing has been done." if status.startswith("4") else NO_EFFECT

"""What is wrong with a model's turn, if anything, and whether it is asked again. Pure functions.

A turn with a problem stays on record and is paid for, but no call of it is made and no model is shown it again: a refused,
empty or half-written turn in the history makes providers refuse every later request. The model is told once what was wrong;
then the fallback models are asked; then the run fails with the problem's code.

    model.refused           a filter or the model itself withheld the answer
    model.context_exceeded  the window was full before the answer was complete
    model.cut_off           the limit of output tokens was reached first
    model.malformed_call    no call of the turn can be carried out: bad arguments, impossible names, a call written as text
    model.empty             neither text nor calls
    model.unable_offline    the offline policy has no rule for what is asked; asking it again would change nothing
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.models.port import TOOL_NAME, ChatReply, ModelToolCall

REFUSED = "model.refused"
CONTEXT_EXCEEDED = "model.context_exceeded"
CUT_OFF = "model.cut_off"
MALFORMED_CALL = "model.malformed_call"
EMPTY = "model.empty"
UNABLE_OFFLINE = "model.unable_offline"

RETRY_OUTPUT_TOKENS = (
    16_384  # room for a second try when the first was cut off: a reasoning model may have thought it away
)
SHOWN_CALLS = 3
# How open models write calls (Hermes and Qwen, Anthropic's older form, Llama, Mistral, DeepSeek, gpt-oss), where the server
# in front of them does not read it. At an end of the text: whoever quotes one in its middle has an answer.
CALL_AS_TEXT = re.compile(
    r"<(tool_call|function_calls?|invoke)\b.*</\1>\s*\Z"
    r"|<function=[\w.-]+>.*</function>\s*\Z"
    r"|\A\s*(?:<\|python_tag\|>|\[TOOL_CALLS\]|<[|｜]tool[_▁]calls?[_▁]begin[|｜]>)"
    r"|\A\s*(?:<\|\w+\|>\w*)*<\|channel\|>commentary to=\S",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a turn cannot be used. `message` and `remedy` are for people, `told` is for the model."""

    code: str
    message: str
    told: str
    remedy: str


def problem_of(reply: ChatReply) -> Problem | None:
    """None for a turn that the run can go on with: one with a call that can be sent, or with a whole text."""
    calls = reply.message.calls
    if reply.stop == "refusal":
        return _refused(reply)
    if reply.stop == "unable":
        return _unable(reply)
    if any(unsendable(call) is None for call in calls):
        return None
    if reply.stop == "context_exceeded":
        return _context_exceeded()
    if reply.stop == "max_tokens":
        return _cut_off(reply)
    if calls or reply.stop == "malformed":
        return _malformed(calls)
    if CALL_AS_TEXT.search(reply.message.text):
        return _written_out()
    return None if reply.message.text.strip() else _empty()


def may_try_again(tries: int, reply: ChatReply) -> bool:
    """After `tries` + 1 unusable turns in a row: the same model gets a second chance, then each fallback one."""
    return reply.has_fallback or (tries == 0 and reply.stop != "unable")


def unsendable(call: ModelToolCall) -> dict[str, str] | None:
    """Why no message can carry a call, as the error that its model is told; None when one can."""
    if not TOOL_NAME.fullmatch(call.tool):
        return {
            "code": "tool.unknown",
            "message": f"there is no tool named {call.tool[:64]!r}.",
            "remedy": "Call one of the tools you were given, by its exact name.",
        }
    if call.arguments is None:
        return {
            "code": "tool.malformed_arguments",
            "message": f"the arguments are not a JSON object: {(call.raw_arguments or '')[:200]}",
            "remedy": "Call the tool again with a JSON object of plain text.",
        }
    return None


def _refused(reply: ChatReply) -> Problem:
    why = (reply.refusal or reply.message.text or "no reason was given").strip()[:300]
    return Problem(
        REFUSED,
        f"{reply.answering_model} refused to answer: {why}",
        f"Your last answer was withheld ({why}) and none of its calls was made. Do what is asked as far as you may, or say "
        "in plain words what you will not do and why.",
        "Read the run's trigger; rephrase the task, or name another model for the role in VIOX_MODELS.",
    )


def _unable(reply: ChatReply) -> Problem:
    return Problem(
        UNABLE_OFFLINE,
        reply.message.text,
        "The offline policy has no rule for this. Do what is asked.",
        "Set a model's key (docs/reference/settings.md) and start again, or give the agent what its rules cover.",
    )


def _context_exceeded() -> Problem:
    return Problem(
        CONTEXT_EXCEEDED,
        "the model's window was full before its answer was complete.",
        "The conversation became too long for your last answer, which was not used. Older parts are left out now. Answer "
        "again, briefly.",
        "Start another conversation, or name a model with a larger window for the role in VIOX_MODELS.",
    )


def _cut_off(reply: ChatReply) -> Problem:
    return Problem(
        CUT_OFF,
        f"the answer was cut off at the limit of output tokens ({reply.usage.output} used, {reply.usage.reasoning} of them "
        "for thinking).",
        "Your last answer was cut off at the limit of output tokens and was not used. Answer again with less: think shorter, "
        "and split long content over several calls.",
        "Split the task, or name a model that thinks less for the role in VIOX_MODELS.",
    )


def _malformed(calls: tuple[ModelToolCall, ...]) -> Problem:
    wrong = [f"{call.tool[:64]}: {found['message']}" for call in calls[:SHOWN_CALLS] if (found := unsendable(call))]
    said = " ".join(wrong) or "the provider could not read them."
    return Problem(
        MALFORMED_CALL,
        f"no call of the turn can be made. {said}",
        f"None of the calls of your last answer was made. {said} Call only tools you were given, by their exact names, each "
        "with one JSON object as its arguments.",
        "Name another model for the role in VIOX_MODELS.",
    )


def _written_out() -> Problem:
    return Problem(
        MALFORMED_CALL,
        "the model wrote a call as text, which nothing carries out.",
        "You wrote a call of a tool as text, and nothing was done. Call the tool through the interface that you were given.",
        "Switch on the tool parser of the model's server, or name another model for the role in VIOX_MODELS.",
    )


def _empty() -> Problem:
    return Problem(
        EMPTY,
        "the model answered with neither text nor a call.",
        "Your last answer was empty. Call a tool, or say in a sentence what came of the task.",
        "Try the task again, or name another model for the role in VIOX_MODELS.",
    )

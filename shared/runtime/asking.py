"""A model's turns: ask, and when a turn cannot be used, tell the model why and ask again, as `shared.models.turns` says."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.models.port import ChatReply, ChatRequest, Messages, ModelError, sha256_json
from shared.models.prices import cost_microusd
from shared.models.turns import CUT_OFF, RETRY_OUTPUT_TOKENS, Problem, may_try_again, problem_of
from shared.runtime.calls import calls_of, has_answered, record_results, sendable
from shared.runtime.context import RunContext, TooManyTurns
from shared.runtime.history import Step, conversation, exchange, is_summary
from shared.runtime.questions import Question, rendered, toolbox

MAX_OUTPUT_TOKENS = 4096
NO_ANSWER = "model.no_answer"
OPEN_LOOP = "open-loop"  # stands for a question where limits are looked up
SUMMARISED_ABOVE = 150_000  # bytes of a conversation's messages: about 50,000 tokens
HISTORY = Question(
    "history",
    """\
This conversation has become long. Write down what you need to go on with it; the rest will be left out from now on. Keep who
is who, with addresses and ids; what was agreed, promised, sent, booked and paid, with ids and amounts; what is still open.
Mark what people outside the business said as said by them. At most 600 words.""",
    str,
    optional=True,
    conversation=True,
)


@dataclass(frozen=True, slots=True)
class Turned:
    """What turns of a model came to: `calls` it waits for, or its `text`, or a `problem` after which nothing is left to try."""

    steps: list[Step]
    text: str = ""
    waits: bool = False
    problem: dict[str, Any] | None = None


async def ask_model(context: RunContext, steps: list[Step], node: str, question: Question[Any] | None) -> Turned:
    """Ask until there is an answer, calls to wait for, or nothing left to try. Without a question: an open loop's next turn."""
    while True:
        turned = await _usable_turn(context, steps, node, question)
        steps, turn = turned.steps, turned.steps[-1]
        if turned.problem or has_answered(turn):
            return turned
        calls = calls_of(turn)
        if not calls or sendable(calls):
            return Turned(steps, turned.text, waits=bool(calls))
        steps = record_results(context, steps, calls, {}, turn)  # the model is told why none of them can be sent


async def shorten_history(context: RunContext, steps: list[Step], node: str) -> list[Step]:
    """Where a run begins in a long conversation, have the model write down what it needs of it. Nothing is pending then."""
    if context.own or context.messages.size < SUMMARISED_ABOVE:
        return steps
    asked = {"node": node, "question": HISTORY.name, "text": rendered(HISTORY.name, {}, {})}
    turned = await ask_model(context, context.step(steps, "ask", asked), node, HISTORY)
    if turned.problem or not turned.text.strip():
        return turned.steps
    return context.step(turned.steps, "note", {"text": turned.text, "summary": True})


async def _usable_turn(context: RunContext, steps: list[Step], node: str, question: Question[Any] | None) -> Turned:
    problem: Problem | None = None
    for tries in itertools.count():
        _check_turns(context, steps)
        request = _request(context, steps, question, tries, problem.code if problem else None)
        context.failpoint("agent.mid_model_call")
        try:
            reply = await context.model.complete(request)
        except ModelError as error:
            if error.retryable or not tries:
                raise
            return Turned(steps, problem=error.as_dict())  # what the models before it said stays on record
        problem = problem_of(reply) or _problem_with_answer(context, steps, question, reply)
        steps = context.step(steps, "model", _asked_by(node, question) | _model_body(request, reply, problem))
        if problem is None:
            return Turned(steps, reply.message.text.replace("\x00", ""))
        if not may_try_again(tries, reply):
            break
        note = {"text": problem.told, "retry": problem.code} | ({"question": question.name} if question else {})
        steps = context.step(steps, "note", note)
    return Turned(steps, problem=steps[-1].body["problem"])


def _check_turns(context: RunContext, steps: Sequence[Step]) -> None:
    made = context.turns + sum(step.kind == "model" for step in steps)
    if made >= context.max_turns:
        told = f"{made} model turns without an end."
        raise TooManyTurns("run.too_many_turns", told, remedy="Split the task.")


def _request(
    context: RunContext, steps: Sequence[Step], question: Question[Any] | None, tries: int, after: str | None
) -> ChatRequest:
    """What to ask the model next. `tries` unusable turns went before; `after` is what was wrong with the last."""
    messages = _conversation(context, steps) if question is None or question.conversation else Messages()
    system, tools, most = context.prompt, context.pick_tools(context.tools), MAX_OUTPUT_TOKENS
    limits = context.limits(question.name if question else OPEN_LOOP)
    if question is not None:
        messages.extend(exchange(_since_asked(context, steps, question)))
        system, most = (
            question.system(context.prompt, context.question_prompts.get(question.name)),
            question.max_output_tokens,
        )
        tools = context.pick_tools(toolbox(question, context.tools))
    context.remember(system, tools)
    return ChatRequest(
        limits.model or context.model.model,
        system,
        messages.all(),
        tools,
        RETRY_OUTPUT_TOKENS if after == CUT_OFF else limits.max_output_tokens or most,
        messages_sha256=messages.sha256(),
        messages_bytes=messages.size,
        tries=tries,
        after=after,
        must_call=question is not None and question.is_typed,
        thinking=limits.thinking,
    )


def _conversation(context: RunContext, steps: Sequence[Step]) -> Messages:
    messages = Messages() if any(map(is_summary, steps)) else context.messages.copy()
    messages.extend(conversation(steps))
    return messages


def _since_asked(context: RunContext, steps: Sequence[Step], question: Question[Any]) -> Sequence[Step]:
    own = [*context.own, *steps]
    asked = next(
        i for i in reversed(range(len(own))) if own[i].kind == "ask" and own[i].body["question"] == question.name
    )
    return own[asked:]


def _problem_with_answer(
    context: RunContext, steps: Sequence[Step], question: Question[Any] | None, reply: ChatReply
) -> Problem | None:
    """A turn that should have been the answer. The last turn that a question has must be it."""
    if question is None:
        return None
    if found := question.problem_of(reply.message):
        return found
    used = sum(s.kind == "model" and "problem" not in s.body for s in _since_asked(context, steps, question))
    answers = not question.is_typed and not reply.message.calls
    if used + 1 < question.turns or answers or (question.is_typed and _calls_answer(question, reply)):
        return None
    told = "You have used tools as often as you may for this question. Give your answer now, with what you know."
    return Problem(
        NO_ANSWER,
        f"no answer to {question.name} within {question.turns} turns.",
        told,
        "Give the question more turns, or name another model for the role in VIOX_MODELS.",
    )


def _calls_answer(question: Question[Any], reply: ChatReply) -> bool:
    tool = question.answer_tool
    return tool is not None and any(call.tool == tool.name for call in reply.message.calls)


def _asked_by(node: str, question: Question[Any] | None) -> dict[str, Any]:
    return {"node": node} | ({"question": question.name} if question else {})


def _model_body(request: ChatRequest, reply: ChatReply, problem: Problem | None) -> dict[str, Any]:
    message = reply.message
    body: dict[str, Any] = {
        "text": message.text,
        "calls": [
            {"provider_id": c.provider_id, "tool": c.tool, "arguments": c.arguments}
            | ({"raw_arguments": c.raw_arguments} if c.raw_arguments is not None else {})
            | ({"provider_extra": c.provider_extra} if c.provider_extra is not None else {})
            for c in message.calls
        ],
        "provider": message.provider,
        "model": reply.answering_model,
        "requested_model": request.model,
        "usage": {
            name: getattr(reply.usage, name)
            for name in ("input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning")
        },
        "cost_microusd": cost_microusd(reply.answering_model, reply.usage),
        "latency_ms": round(reply.latency_ms, 1),
        "attempts": reply.attempts,
        "stop": reply.stop,
        "request_sha256": request.digest(),
        "prompt_sha256": sha256_json(request.system),
        "tools_sha256": request.toolbox.sha256,
    }
    if message.provider_extra is not None:
        body["provider_extra"] = message.provider_extra
    if reply.refusal:
        body["refusal"] = reply.refusal
    if reply.request_id:
        body["request_id"] = reply.request_id
    if reply.shortened:
        body["shortened"] = reply.shortened
    if problem:
        body["problem"] = {"code": problem.code, "message": problem.message, "remedy": problem.remedy}
        body["has_fallback"] = reply.has_fallback
    return body

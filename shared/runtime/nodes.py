"""The nodes every agent's graph is built around, and what the end of a graph means.

Nodes are pure apart from the model: what they want done is state, which the runtime commits and sends. A graph is invoked
once per activation: it is entered with what happened (a trigger, or the results of its calls) already on record, and ends
at the calls it wants made, or at a turn without calls, which ends the run. What a thread waits for lies in the runtime's own
tables, so nothing of LangGraph's is stored. All nodes and edges are async, because LangGraph hands plain functions to a thread.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict
from uuid import UUID

import orjson
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from shared.bus.envelope import has_nul
from shared.errors import VioxError
from shared.ids import RunId, call_id
from shared.models.port import ChatModel, ChatReply, ChatRequest, Messages, ModelToolCall, Toolbox, sha256_json
from shared.models.prices import cost_microusd
from shared.models.turns import CUT_OFF, RETRY_OUTPUT_TOKENS, Problem, may_try_again, problem_of, unsendable
from shared.runtime.history import Call, Step, conversation

MAX_OUTPUT_TOKENS = 4096


class AgentState(TypedDict, total=False):
    """State of one activation. `steps` are all it adds to the record; a model turn as the last one wants its calls made."""

    steps: list[Step]
    turns: int
    text: str


@dataclass(frozen=True, slots=True)
class RunContext:
    """What an activation gives its nodes: who runs, what happened before, the model and the tools.

    `messages` is the conversation made of `history`; `first_step` numbers the run's next step.
    """

    run_id: RunId
    history: Sequence[Step]
    messages: Messages
    first_step: int
    model: ChatModel
    prompt: str
    tools: Toolbox
    max_turns: int
    failpoint: Callable[[str], None] = lambda name: None

    def step(self, steps: Sequence[Step], kind: str, body: dict[str, Any]) -> list[Step]:
        """The activation's steps with one more."""
        return [*steps, Step(self.run_id, self.first_step + len(steps), kind, body)]

    def request(self, steps: Sequence[Step], tries: int = 0, after: str | None = None) -> ChatRequest:
        """What to ask the model next. `steps` are all of this activation so far.

        `tries` unusable turns went before; `after` is what was wrong with the last.
        """
        messages = self.messages.copy()
        messages.extend(conversation(steps))
        return ChatRequest(
            self.model.model,
            self.prompt,
            messages.all(),
            self.tools,
            RETRY_OUTPUT_TOKENS if after == CUT_OFF else MAX_OUTPUT_TOKENS,
            messages_sha256=messages.sha256(),
            messages_bytes=messages.size,
            tries=tries,
            after=after,
        )


class TooManyTurns(VioxError):
    """A run that does not come to an end is stopped rather than paid for without limit."""


def wanted_calls(steps: Sequence[Step]) -> list[Call]:
    """The calls that an activation with these steps ended at."""
    return sendable(turn_calls(steps[-1])) if steps[-1].kind == "model" else []


def entered(
    context: RunContext,
    triggers: Sequence[dict[str, Any]],
    calls: Sequence[Call] = (),
    results: Mapping[str, dict[str, Any]] | None = None,
) -> list[Step]:
    """The steps an activation begins with: the results of the calls that were awaited, then what triggered or joined it."""
    steps = record_results(context, [], calls, results or {}) if calls else []
    for body in triggers:
        steps = context.step(steps, "trigger", body)
    return steps


async def think(state: AgentState, runtime: Runtime[RunContext]) -> AgentState:
    """Ask the model what to do next; when its turn cannot be used, tell it why and ask again, as `shared.models.turns` says."""
    context, steps, turns = runtime.context, state["steps"], state["turns"]
    problem: Problem | None = None
    for tries in itertools.count():
        turns += 1
        if turns > context.max_turns:
            told = f"{turns - 1} model turns without an end."
            raise TooManyTurns("run.too_many_turns", told, remedy="Split the task.")
        request = context.request(steps, tries, problem.code if problem else None)
        context.failpoint("agent.mid_model_call")
        reply = await context.model.complete(request)
        problem = problem_of(reply)
        steps = context.step(steps, "model", _model_body(request, reply, problem))
        if problem is None or not may_try_again(tries, reply):
            break
        steps = context.step(steps, "note", {"text": problem.told, "retry": problem.code})
    return {"steps": steps, "turns": turns, "text": reply.message.text.replace("\x00", "")}


async def refuse_calls(state: AgentState, runtime: Runtime[RunContext]) -> AgentState:
    """Answer a turn of which no call can be sent: the model is told why, and goes on."""
    return {"steps": record_results(runtime.context, state["steps"], turn_calls(state["steps"][-1]), {})}


def record_results(
    context: RunContext, steps: Sequence[Step], calls: Sequence[Call], results: Mapping[str, dict[str, Any]]
) -> list[Step]:
    """The activation's steps with the results of a turn's calls. `results` are {state, result, error} by call id."""
    return context.step(steps, "results", {"results": [_result(call, results) for call in calls]})


def concluded(context: RunContext, state: AgentState) -> list[Step]:
    """All steps of an activation whose graph has ended. Where it wants no calls made the run's end is the last of them:
    finished, or failed when its last turn could not be used."""
    steps = state["steps"]
    if wanted_calls(steps):
        return steps
    problem = steps[-1].body.get("problem")
    body = {"status": "finished", "text": state["text"]}
    if problem:
        body = {"status": "failed", "text": problem["message"], "error": {"retryable": False, "field": None} | problem}
    return context.step(steps, "outcome", body)


async def after_thinking(state: AgentState) -> Literal["refuse_calls", "__end__"]:
    """A turn ends the activation: its calls are sent after the commit, and the graph is entered with their results.

    Unless it has calls and none of them can be sent: then nothing would wake the thread again.
    """
    calls = turn_calls(state["steps"][-1])
    return "refuse_calls" if calls and not sendable(calls) else "__end__"


def add_loop(graph: StateGraph[Any, Any, Any, Any], *, entry: str | None = None) -> StateGraph[Any, Any, Any, Any]:
    """Close a role's graph with the loop they all share: entry → think, again with the results of each turn's calls.

    `entry` is the role's deterministic node, for events and tasks that are new; results alone go straight to the model.
    """

    async def where_to_begin(state: AgentState) -> str:
        return entry if entry and last_trigger(state) else "think"

    graph.add_node("think", think)
    graph.add_node("refuse_calls", refuse_calls)
    if entry:
        graph.add_conditional_edges(START, where_to_begin, [entry, "think"])
        graph.add_edge(entry, "think")
    else:
        graph.add_edge(START, "think")
    graph.add_conditional_edges("think", after_thinking, ["refuse_calls", END])
    graph.add_edge("refuse_calls", "think")
    return graph


def last_trigger(state: AgentState) -> dict[str, Any] | None:
    """The newest event or task the model has not seen yet, for a role's deterministic node."""
    for step in reversed(state["steps"]):
        if step.kind in ("model", "note"):
            return None
        if step.kind == "trigger":
            return step.body
    return None


def rules(facts: Callable[[dict[str, Any]], str | None]) -> Any:
    """The deterministic node of a role: what its rules say about a new trigger, as a note for the model to see."""

    async def node(state: AgentState, runtime: Runtime[RunContext]) -> AgentState:
        trigger = last_trigger(state)
        found = facts(trigger) if trigger else None
        if found is None:
            return {}
        return {"steps": runtime.context.step(state["steps"], "note", {"text": found})}

    return node


def turn_calls(turn: Step) -> list[Call]:
    """The calls of a model turn, each with its identity. None of a turn that could not be used is made."""
    if "problem" in turn.body:
        return []
    return [identified_call(turn.run_id, turn.step, index, given) for index, given in enumerate(turn.body["calls"])]


def sendable(calls: Sequence[Call]) -> list[Call]:
    """Those that a message can carry."""
    return [call for call in calls if call["error"] is None]


def identified_call(run: UUID, step: int, index: int, given: dict[str, Any]) -> Call:
    """A call of a model turn with its identity. `given` is an entry of the turn's `calls`."""
    error = _unsendable(given)
    return Call(
        index=index,
        call_id=call_id(RunId(run), step, index),
        tool=given["tool"],
        provider_id=given["provider_id"],
        arguments=given["arguments"],
        error=error,
    )


def _unsendable(given: dict[str, Any]) -> dict[str, Any] | None:
    """Why no message can carry this call; the model is told and may ask again."""
    call = ModelToolCall(given["provider_id"], given["tool"], given["arguments"], given.get("raw_arguments"))
    error = unsendable(call)
    if error is None and has_nul(orjson.dumps(given["arguments"])):
        error = {
            "code": "tool.malformed_arguments",
            "message": "the arguments contain a NUL character.",
            "remedy": "Call the tool again with a JSON object of plain text.",
        }
    return {key: text.replace("\x00", "") for key, text in error.items()} if error else None


def _result(call: Call, results: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    closed = {"state": "failed", "result": None, "error": call["error"]} if call["error"] else results[call["call_id"]]
    return {key: call[key] for key in ("index", "call_id", "tool", "provider_id")} | {
        "state": closed["state"],
        "result": closed["result"],
        "error": closed["error"],
    }


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

"""The nodes every agent's graph is built around: think, act, wait, conclude.

Nodes are pure apart from the model: what they want done is state, which the runtime commits and sends. `wait` does
nothing but interrupt, because LangGraph runs an interrupted node again from its start when it resumes. All are async,
because LangGraph hands plain functions to a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

import orjson
from langgraph.channels import UntrackedValue
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from shared.bus.envelope import has_nul
from shared.errors import VioxError
from shared.ids import RunId, call_id
from shared.models.port import ChatModel, ChatReply, ChatRequest, Messages, Toolbox, sha256_json
from shared.models.prices import cost_microusd
from shared.runtime.history import Step, conversation


class Call(TypedDict):
    """A tool call of the last model turn. `error` is set when it cannot be sent (arguments no message can carry)."""

    index: int
    call_id: str
    tool: str
    provider_id: str
    arguments: dict[str, Any] | None
    error: dict[str, Any] | None


class AgentState(TypedDict, total=False):
    """State of a graph. `steps` and `outgoing` live for one activation; the rest is kept while the thread waits."""

    steps: Annotated[list[Step], UntrackedValue]
    outgoing: Annotated[list[Call], UntrackedValue]
    turns: int
    calls: list[Call]
    text: str
    facts: dict[str, Any]


@dataclass(slots=True)
class RunContext:
    """What an activation gives its nodes: who runs, what was said before, the model and the tools.

    `messages` is the conversation so far and grows with the activation; `first_step` numbers the run's next step.
    """

    run_id: RunId
    history: Sequence[Step]
    messages: Messages
    first_step: int
    model: ChatModel
    prompt: str
    tools: Toolbox
    max_turns: int
    replies: list[ChatReply] = field(default_factory=list)
    failpoint: Callable[[str], None] = lambda name: None
    heard: int = 0

    def step(self, state: AgentState, kind: str, body: dict[str, Any]) -> list[Step]:
        """The activation's steps with one more."""
        steps = state.get("steps", [])
        return [*steps, Step(self.run_id, self.first_step + len(steps), kind, body)]

    def request(self, steps: Sequence[Step] = ()) -> ChatRequest:
        """What to ask the model next. `steps` are all of this activation so far; they only ever grow."""
        self.messages.extend(conversation(steps[self.heard :]))
        self.heard = len(steps)
        return ChatRequest(
            self.model.model, self.prompt, self.messages.all(), self.tools, messages_sha256=self.messages.sha256()
        )


class TooManyTurns(VioxError):
    """A run that does not come to an end is stopped rather than paid for without limit."""


async def think(state: AgentState, runtime: Runtime[RunContext]) -> AgentState:
    """Ask the model what to do next."""
    context = runtime.context
    turns = state.get("turns", 0) + 1
    if turns > context.max_turns:
        raise TooManyTurns("run.too_many_turns", f"{turns - 1} model turns without an end.", remedy="Split the task.")
    request = context.request(state.get("steps", ()))
    context.failpoint("agent.mid_model_call")
    reply = await context.model.complete(request)
    context.replies.append(reply)
    steps = context.step(state, "model", _model_body(request, reply))
    return {"steps": steps, "turns": turns, "text": reply.message.text.replace("\x00", ""), "calls": []}


async def act(state: AgentState, runtime: Runtime[RunContext]) -> AgentState:
    """Give each call of the turn its identity. The runtime sends them after the commit."""
    turn = state["steps"][-1]
    calls = [identified_call(runtime.context.run_id, turn.step, index, c) for index, c in enumerate(turn.body["calls"])]
    return {"calls": calls, "outgoing": [call for call in calls if call["error"] is None]}


async def wait(state: AgentState, runtime: Runtime[RunContext]) -> AgentState:
    """Stand still until every call of the turn has its result, then put results and what else arrived on record."""
    sent = [call["call_id"] for call in state["calls"] if call["error"] is None]
    resumed: dict[str, Any] = interrupt({"calls": sent}) if sent else {"results": {}, "joined": []}
    return {"steps": record_results(runtime.context, state, state["calls"], resumed), "outgoing": []}


def record_results(
    context: RunContext, state: AgentState, calls: Sequence[Call], resumed: dict[str, Any]
) -> list[Step]:
    """Steps for the results of a turn and for the events that joined meanwhile."""
    results = [_result(call, resumed["results"]) for call in calls]
    steps = context.step(state, "results", {"results": results})
    for body in resumed["joined"]:
        steps = context.step({"steps": steps}, "trigger", body)
    return steps


async def conclude(state: AgentState, runtime: Runtime[RunContext]) -> AgentState:
    """Put the run's end on record."""
    body = {"status": "finished", "text": state.get("text", "")}
    return {"steps": runtime.context.step(state, "outcome", body)}


def wants_tools(state: AgentState) -> Literal["act", "conclude"]:
    return "act" if state["steps"][-1].kind == "model" and state["steps"][-1].body["calls"] else "conclude"


def add_loop(graph: StateGraph[Any, Any, Any, Any], *, entry: str) -> StateGraph[Any, Any, Any, Any]:
    """Close a role's graph with the loop they all share: entry → think → (act → wait → entry → think)* → conclude.

    `entry` is the role's deterministic node; after a wait it sees the events that joined meanwhile, if any.
    """
    graph.add_node("think", think)
    graph.add_node("act", act)
    graph.add_node("wait", wait)
    graph.add_node("conclude", conclude)
    graph.add_edge(START, entry)
    graph.add_edge(entry, "think")
    graph.add_conditional_edges("think", wants_tools, ["act", "conclude"])
    graph.add_edge("act", "wait")
    graph.add_edge("wait", entry)
    graph.add_edge("conclude", END)
    return graph


def last_trigger(state: AgentState) -> dict[str, Any] | None:
    """The newest event or task the model has not seen yet, for a role's deterministic node."""
    for step in reversed(state.get("steps", [])):
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
            return {"steps": state.get("steps", [])}
        return {"steps": runtime.context.step(state, "note", {"text": found})}

    return node


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
    """Why no message can carry these arguments; the model is told and may ask again."""
    if given["arguments"] is None:
        wrong = f"the arguments are not a JSON object: {(given.get('raw_arguments') or '')[:200]}"
    elif has_nul(orjson.dumps(given["arguments"])):
        wrong = "the arguments contain a NUL character."
    else:
        return None
    return {
        "code": "tool.malformed_arguments",
        "message": wrong.replace("\x00", ""),
        "remedy": "Call the tool again with a JSON object of plain text.",
    }


def _result(call: Call, results: dict[str, Any]) -> dict[str, Any]:
    closed = {"state": "failed", "result": None, "error": call["error"]} if call["error"] else results[call["call_id"]]
    return {key: call[key] for key in ("index", "call_id", "tool", "provider_id")} | {
        "state": closed["state"],
        "result": closed["result"],
        "error": closed["error"],
    }


def _model_body(request: ChatRequest, reply: ChatReply) -> dict[str, Any]:
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
    return body

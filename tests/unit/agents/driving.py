"""Drives a role's graph in memory, as the runtime does: one activation a step, results handed in."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

from shared.business import Business
from shared.ids import RunId
from shared.models.offline import OfflineModel
from shared.models.port import AssistantMessage, ChatReply, ChatRequest, ModelToolCall, Toolbox
from shared.runtime.agent import AgentSpec
from shared.runtime.calls import wanted_calls
from shared.runtime.context import RunContext
from shared.runtime.flow import concluded, entered
from shared.runtime.history import Step

RUN = RunId(UUID(int=7))


def spec_of(agent: str) -> AgentSpec:
    module = importlib.import_module(f"services.{agent.replace('-', '_')}.agent")
    found = getattr(module, agent.replace("-", "_").upper())
    assert isinstance(found, AgentSpec)
    return found


def trigger(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "source": "/x", "id": "1", "time": "2026-11-20T15:00:00+00:00", "data": data}


class Graph:
    """A compiled graph, driven as the runtime drives it: one activation a call."""

    def __init__(self, spec: AgentSpec, model: Any = None, business: Business | None = None) -> None:
        self._business = business or Business()
        self._graph = spec.graph().compile()
        self._model = model or OfflineModel(spec.offline)
        self._spec = spec
        self._asked: Step | None = None
        self.run = RUN
        self.asked_with: dict[str, Any] = {}
        self.history: list[Step] = []

    def next_run(self) -> Graph:
        """The same conversation; what comes next is a run of its own."""
        self.run = RunId(UUID(int=self.run.int + 1))
        return self

    async def go(self, *triggers: dict[str, Any], results: dict[str, Any] | None = None) -> Any:
        """Enter with triggers or, where calls are out, with their results and the triggers that joined."""
        context = RunContext(
            self.run,
            list(self.history),
            sum(step.run_id == self.run for step in self.history),
            self._model,
            self._spec.prompt,
            Toolbox(),
            self._spec.max_turns,
            business=self._business,
            asked_with=self.asked_with,
        )
        steps = entered(context, triggers, self._asked, results)
        state = await self._graph.ainvoke({"steps": steps, "end": None}, context=context)
        state["steps"] = steps = concluded(context, state)
        self._asked = steps[-1] if wanted_calls(steps) else None
        self.history += steps
        return state | {"outgoing": wanted_calls(steps), "text": steps[-1].body.get("text", "")}


class Scripted:
    """A model that answers from a list."""

    provider, model = "scripted", "scripted"

    def __init__(self, *turns: AssistantMessage) -> None:
        self.turns = list(turns)
        self.requests: list[ChatRequest] = []

    async def aclose(self) -> None:
        """Nothing is open."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        turn = self.turns.pop(0)
        return ChatReply(turn, "tool_calls" if turn.calls else "end", self.model, self.model)


def calls(*tools: str) -> AssistantMessage:
    return AssistantMessage("", tuple(ModelToolCall("same-id", tool, {"n": n}) for n, tool in enumerate(tools)))


def closed(state: Any, result: Any = None) -> dict[str, Any]:
    return {c["call_id"]: {"state": "succeeded", "result": result, "error": None} for c in state["outgoing"]}


def answered(state: Any, answer: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Results of the calls that are out: what `answer` gives for each; an exception is a call that failed."""
    found = {}
    for call in state["outgoing"]:
        try:
            found[call["call_id"]] = {"state": "succeeded", "result": answer(call), "error": None}
        except Exception as error:  # noqa: BLE001  # that is how a test says that a call fails
            told = {"code": "vendor.refused", "message": str(error), "remedy": None}
            found[call["call_id"]] = {"state": "failed", "result": None, "error": told}
    return found

"""Plays a role's graph to the end of a run: calls are answered by a table, arguments held against the tools' own schemas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.tool_gateway.catalogue import catalogue
from shared.models.port import canonical_json, sha256_json
from shared.runtime.replay import Report, replay_run
from tests.unit.agents.driving import Graph, spec_of

CATALOGUE = catalogue.load()
Answer = Callable[[dict[str, Any]], Any]


class Ends(Exception):
    """A call that does not succeed: its state, and why."""

    def __init__(self, state: str, message: str, /, **more: Any) -> None:
        super().__init__(message)
        self.state = state
        self.error = {"code": f"test.{state}", "message": message, "remedy": None} | more


def refused(message: str) -> Ends:
    return Ends("failed", message)


@dataclass
class Stage:
    """One conversation of an agent. `tools`: name → the answer, or a function of the arguments; what is not named answers null."""

    agent: str
    tools: Mapping[str, Any] = field(default_factory=dict)
    model: Any = None

    def __post_init__(self) -> None:
        self.graph = Graph(spec_of(self.agent), self.model)
        self.made: list[dict[str, Any]] = []
        self._begun = False

    async def play(self, *triggers: dict[str, Any]) -> dict[str, Any]:
        """A run from its trigger to its outcome. What is called is in `made`, of this run alone."""
        if self._begun:
            self.graph.next_run()
        self._begun, self.made = True, []
        state = await self.graph.go(*triggers)
        while state["outgoing"]:
            self.made += state["outgoing"]
            state = await self.graph.go(results={one["call_id"]: self._answer(one) for one in state["outgoing"]})
        return dict(self.graph.history[-1].body)

    def _answer(self, call: dict[str, Any]) -> dict[str, Any]:
        tool = CATALOGUE.tools.get(call["tool"])
        if tool is not None:
            problem = tool.problem_with(call["arguments"])
            assert problem is None, (call["tool"], problem, call["arguments"])
            assert CATALOGUE.may_ask(self.agent, call["tool"]), f"{call['tool']} is not granted"
        found = self.tools.get(call["tool"])
        try:
            value = found(call["arguments"]) if callable(found) else found
            if isinstance(value, Exception):
                raise value
        except Ends as end:
            return {"state": end.state, "result": None, "error": end.error}
        return {"state": "succeeded", "result": value, "error": None}

    # -- what is looked at ------------------------------------------------------------------------------------------------

    def called(self, tool: str) -> list[dict[str, Any]]:
        return [one["arguments"] for one in self.made if one["tool"] == tool]

    @property
    def tools_called(self) -> list[str]:
        return [one["tool"] for one in self.made]

    @property
    def turns(self) -> int:
        """Model turns of the newest run."""
        return sum(s.kind == "model" and s.run_id == self.graph.run for s in self.graph.history)

    @property
    def asked(self) -> list[str]:
        """The texts of the questions that were put."""
        return [step.body["text"] for step in self.graph.history if step.kind == "ask"]

    async def replayed(self) -> Report:
        stored = {sha256_json(one): canonical_json(one).decode() for one in self.graph.asked_with.values()}
        return await replay_run(spec_of(self.agent), self.graph.run, self.graph.history, stored)


def event(
    kind: str, data: dict[str, Any], at: str = "2026-11-20T15:00:00+00:00", source: str = "/vendor"
) -> dict[str, Any]:
    return {"type": kind, "source": source, "id": f"{kind}@{at}", "time": at, "data": data}


def task(instruction: str = "Do it.", at: str = "2026-11-20T15:00:00+00:00", **context: Any) -> dict[str, Any]:
    return event("viox.task.requested", {"instruction": instruction, "context": context}, at, "/viox/cli")


def stripe_event(kind: str, thing: dict[str, Any], at: str = "2026-11-20T15:00:00+00:00") -> dict[str, Any]:
    return event(f"com.stripe.{kind}", {"type": kind, "data": {"object": thing}}, at)

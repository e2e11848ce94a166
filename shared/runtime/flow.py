"""A role's graph: its nodes, and the ways between them. Compiled to a LangGraph graph.

    flow = Flow()
    flow.add_node("look_up", look_up)                        a plain function of one `Work` (`shared.runtime.work`)
    flow.add_node("judge", judge, asks=[FIT])                one that may put questions to the model
    flow.add_open_loop("improvise")                          the model works with all granted tools, for what nobody foresaw
    flow.begin(by_trigger, ["look_up", "improvise"])         a function of the `Work` names the first node
    flow.add_edge("look_up", "judge")
    flow.add_conditional_edges("judge", by_fit, ["enter", "decline"])

A graph is invoked once per activation: it is entered with what happened already on record, and ends at the calls it wants
made, or at the run's end. Where its work goes on is read from the record (`standing`): behind the node whose calls came
back, or at the node whose question is still open. A record whose node this graph does not have (one of an older version)
goes on in the open loop, which is shown the whole conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command
from langsmith import configure

from shared.errors import VioxError
from shared.models.port import sha256_json
from shared.runtime.asking import ask_model, shorten_history
from shared.runtime.calls import calls_of, record_results, sendable, wanted_calls
from shared.runtime.context import AgentState, RunContext
from shared.runtime.forks import fork_of, rules_failed
from shared.runtime.history import ENTERING, Step
from shared.runtime.questions import Question
from shared.runtime.standing import Standing, standing
from shared.runtime.work import Work

MOST_NODES = 1000  # that one activation passes through
Act = Callable[[Work], None]
Route = Callable[[Work], str]


@dataclass(frozen=True, slots=True)
class _Way:
    """Where it goes from a node: `route` names one of `to`; without it to the only one."""

    to: tuple[str, ...]
    route: Route | None = None

    def next(self, work: Work) -> str:
        chosen = self.route(work) if self.route else self.to[0]
        if chosen not in self.to:
            raise LookupError(f"{chosen!r} is none of {self.to}")
        return chosen


class Flow:
    """The graph of one role."""

    def __init__(self) -> None:
        self._acts: dict[str, Act | None] = {}  # None: an open loop
        self._questions: dict[str, dict[str, Question[Any]]] = {}
        self._ways: dict[str, _Way] = {}
        self._loop: str | None = None

    def add_node(self, name: str, act: Act, *, asks: Iterable[Question[Any]] = ()) -> None:
        self._acts[name] = act
        self._questions[name] = {question.name: question for question in asks}

    def add_open_loop(self, name: str) -> None:
        """The node where the model works freely, with all granted tools. Its last text ends the work."""
        self._acts[name], self._questions[name], self._loop = None, {}, name
        self._ways[name] = _Way((END,))

    def begin(self, route: Route | str, to: Iterable[str] = ()) -> None:
        """Where the work on a trigger begins."""
        self._ways[START] = _Way((route,)) if isinstance(route, str) else _Way(tuple(to), route)

    def add_edge(self, source: str, target: str) -> None:
        self._ways[source] = _Way((target,))

    def add_conditional_edges(self, source: str, route: Route, to: Iterable[str]) -> None:
        self._ways[source] = _Way(tuple(to), route)

    # -- compiled -----------------------------------------------------------------------------------------------------

    def compile(self) -> Any:
        """The LangGraph graph that the runtime invokes. Raises ValueError naming what does not fit together."""
        self._check()
        # Else `LANGSMITH_TRACING` has LangChain send whole states, past what may leave (docs/traces.md).
        configure(enabled=False)
        graph: StateGraph[Any, Any, Any, Any] = StateGraph(AgentState, context_schema=RunContext)
        everywhere = [*self._acts, END]
        graph.add_conditional_edges(START, self._enter, everywhere)
        for name, act in self._acts.items():
            graph.add_node(name, self._node(name, act), destinations=tuple(everywhere))
        return graph.compile()

    def drawing(self) -> Any:
        """The graph as a reader sees it: without the ways back in after a wait."""
        graph: StateGraph[Any, Any, Any, Any] = StateGraph(AgentState, context_schema=RunContext)
        for name in self._acts:
            asks = "whatever it takes" if name == self._loop else ", ".join(self._questions[name])
            graph.add_node(name, _nothing, metadata={"asks the model": asks} if asks else None)
        for source, way in self._ways.items():
            if len(way.to) == 1:
                graph.add_edge(source, way.to[0])
            else:
                graph.add_conditional_edges(source, _nowhere, list(way.to))
        for name in self._acts.keys() - self._ways.keys():
            graph.add_edge(name, END)
        return graph.compile().get_graph()

    @property
    def version(self) -> str:
        """A digest of nodes and ways. It says which graph a thread was last moved by."""
        asked = {name: sorted(questions) for name, questions in self._questions.items()}
        return sha256_json([asked, {source: way.to for source, way in self._ways.items()}])[:12]

    def _check(self) -> None:
        if START not in self._ways:
            raise ValueError("the flow has no beginning: call begin()")
        if self._loop is None:
            raise ValueError("the flow has no open loop: call add_open_loop()")
        named = {one for source, way in self._ways.items() for one in (source, *way.to)}
        if unknown := named - self._acts.keys() - {START, END}:
            raise ValueError(f"the flow has ways to nodes it does not have: {', '.join(sorted(unknown))}")
        if lost := self._acts.keys() - {one for way in self._ways.values() for one in way.to} - {self._loop}:
            raise ValueError(f"nothing leads to {', '.join(sorted(lost))}")

    # -- one activation -----------------------------------------------------------------------------------------------

    async def _enter(self, state: AgentState, runtime: Runtime[RunContext]) -> str:
        """Where an activation begins: at the beginning of the work, or where the record says that it goes on."""
        context, steps = runtime.context, state["steps"]
        at = _standing(context, steps)
        if not at.has_begun:
            return self._first(context, steps, at)
        if not self._knows(at):
            return self._open_loop
        if at.turn is not None:
            return at.node or self._open_loop
        return self._after(at.node or self._open_loop, context, steps, at)

    def _left(self, name: str, context: RunContext, state: AgentState, added: Sequence[Step]) -> Any:
        """What a node did, and where it goes from there. `added` are the steps that it added."""
        steps = state["steps"]
        if state.get("end") or wanted_calls(steps):
            return Command(update=state, goto=END)
        at = _standing(context, steps)
        if added and added[-1].kind == "note" and "concluded" in added[-1].body:
            return Command(update=state, goto=self._first(context, steps, at))
        return Command(update=state, goto=self._after(name, context, steps, at))

    def _first(self, context: RunContext, steps: Sequence[Step], at: Standing) -> str:
        with _rules("the beginning", context, steps):
            return self._ways[START].next(Work(context, steps, at))

    def _after(self, name: str, context: RunContext, steps: Sequence[Step], at: Standing) -> str:
        way = self._ways.get(name)
        with _rules(name, context, steps):
            return way.next(Work(context, steps, at)) if way else END

    def _knows(self, at: Standing) -> bool:
        """Whether this graph has the node, and the question, at which the record stands."""
        if at.node not in self._acts:
            return False
        return at.turn is None or at.question is None or at.question in self._questions[at.node]

    @property
    def _open_loop(self) -> str:
        assert self._loop is not None  # noqa: S101  # checked when the flow was compiled
        return self._loop

    def _node(self, name: str, act: Act | None) -> Any:
        async def node(state: AgentState, runtime: Runtime[RunContext]) -> Any:
            context, steps = runtime.context, state["steps"]
            done = await self._done(name, act, context, steps)
            return self._left(name, context, done, done["steps"][len(steps) :])

        return node

    async def _done(self, name: str, act: Act | None, context: RunContext, steps: list[Step]) -> AgentState:
        at = _standing(context, steps)
        if act is None:
            steps = await shorten_history(context, steps, name) if not at.has_begun else steps
            return await self._asked(context, steps, name, None, at)
        if question := self._open_question(name, context, steps, at):
            return await self._asked(context, steps, name, question, at)
        work = Work(context, steps, at, name)
        with _rules(name, context, steps):
            act(work)
        return await self._carried_out(work, context, steps, at)

    def _open_question(
        self, name: str, context: RunContext, steps: Sequence[Step], at: Standing
    ) -> Question[Any] | None:
        """The question of this node that the record leaves open: the activation was entered with results for it."""
        entered = all(step.kind in ENTERING for step in steps)
        if not entered or at.node != name or at.turn is None or at.question is None:
            return None
        return self._questions[name].get(at.question)

    async def _carried_out(self, work: Work, context: RunContext, steps: list[Step], at: Standing) -> AgentState:
        """Put on record what a node wants, and ask the model where it does."""
        if work.kept_now:
            steps = context.step(steps, "record", {"values": work.kept_now})
        for text in work.notes:
            steps = context.step(steps, "note", {"text": text})
        if work.end:
            return _ended(context, steps, work.end, at, upto=work.trigger.step)
        if work.calls:
            steps = context.step(steps, "plan", {"node": work.node, "calls": work.calls})
            calls = calls_of(steps[-1])
            return {"steps": steps if sendable(calls) else record_results(context, steps, calls, {}, steps[-1])}
        if work.asked:
            question, text = work.asked
            if question.name not in self._questions[work.node]:
                raise LookupError(f"{work.node} does not ask {question.name}: add it to `asks` of the node")
            steps = context.step(steps, "ask", {"node": work.node, "question": question.name, "text": text})
            return await self._asked(context, steps, work.node, question, at)
        return {"steps": steps}

    async def _asked(
        self, context: RunContext, steps: list[Step], name: str, question: Question[Any] | None, at: Standing
    ) -> AgentState:
        turned = await ask_model(context, steps, name, question)
        if turned.waits:
            return {"steps": turned.steps}
        newest = at.triggers[-1].step if at.triggers else 0
        if turned.problem and not (question and question.optional):
            error = {"retryable": False, "field": None} | turned.problem
            end = {"status": "failed", "text": turned.problem["message"], "error": error}
            return _ended(context, turned.steps, end, at, upto=newest)
        if question is None:
            return _ended(context, turned.steps, {"status": "finished", "text": turned.text}, at, upto=newest)
        return {"steps": turned.steps}


@contextmanager
def _rules(name: str, context: RunContext, steps: Sequence[Step]) -> Iterator[None]:
    """A role's rules at work. They are pure: on the record of a fork, which somebody may have edited, they fail for good."""
    try:
        yield
    except VioxError:
        raise
    except Exception as error:
        fork = fork_of([*context.own, *steps])
        if fork is None:
            raise  # another version may be on its way
        raise rules_failed(name, fork, error) from error


def _ended(context: RunContext, steps: list[Step], end: dict[str, Any], at: Standing, upto: int) -> AgentState:
    """The work on triggers up to one step is done. What came meanwhile and is not is worked on next."""
    left = [trigger for trigger in at.triggers if trigger.step > upto]
    if not left:
        return {"steps": steps, "end": end}
    return {"steps": context.step(steps, "note", end | {"concluded": upto})}


def concluded(context: RunContext, state: AgentState) -> list[Step]:
    """All steps of an activation whose graph has ended. Where it wants no calls made, the run's end is the last of them."""
    steps = state["steps"]
    if wanted_calls(steps) and not state.get("end"):
        return steps
    end = state.get("end") or {"status": "finished", "text": ""}
    done = [s.body for s in (*context.own, *steps) if s.kind == "note" and "concluded" in s.body]
    failed = next((one for one in [*done, end] if one["status"] == "failed"), None)
    text = "\n\n".join(one["text"] for one in [*done, end] if one["text"])
    body: dict[str, Any] = {"status": "failed" if failed else "finished", "text": text}
    if steps[-1].kind != "model" or "question" in steps[-1].body:
        body["said"] = True  # by the role's rules: no turn of a model has it
    return context.step(steps, "outcome", body | ({"error": failed["error"]} if failed else {}))


def entered(
    context: RunContext,
    triggers: Sequence[dict[str, Any]],
    asked: Any | None = None,
    results: dict[str, dict[str, Any]] | None = None,
    at: str | None = None,
) -> list[Step]:
    """The steps an activation begins with: the results of the calls of the step `asked`, then what triggered or joined it."""
    steps: list[Step] = []
    if asked is not None:
        steps = record_results(context, [], calls_of(asked), results or {}, asked)
        if at:
            steps[0].body["at"] = at
    for body in triggers:
        steps = context.step(steps, "trigger", body | ({"at": at} if at else {}))
    return steps


def _standing(context: RunContext, steps: Sequence[Step]) -> Standing:
    return standing([*context.own, *steps])


async def _nothing(state: AgentState) -> AgentState:
    return {}


def _nowhere(state: AgentState) -> str:
    return END

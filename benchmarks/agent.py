"""An agent that does what its task says: `calls N` makes N tool calls, one after another. No model time of its own."""

from __future__ import annotations

from functools import partial

from shared.bus.app import App
from shared.bus.envelope import Message
from shared.models.offline import call, say
from shared.models.port import AssistantMessage, ChatRequest, ToolMessage, UserMessage
from shared.runtime.agent import AgentSpec
from shared.runtime.flow import Flow
from shared.runtime.service import agent_service


def policy(request: ChatRequest) -> AssistantMessage:
    first = request.messages[0]
    assert isinstance(first, UserMessage)
    wanted = int(first.text.rsplit(" ", 1)[1])
    done = sum(isinstance(m, ToolMessage) for m in request.messages)
    if done >= wanted:
        return say("done")
    return call(request, ("bench_echo", {"n": done, "text": "x" * 100}))


def graph() -> Flow:
    flow = Flow()
    flow.add_open_loop("work")
    flow.begin("work")
    return flow


def conversation(event: Message) -> str:
    return event.id


BENCH = AgentSpec("builder", "Do what the task says.", conversation, graph, policy, max_turns=200)


app = App(BENCH.name, partial(agent_service, BENCH))

if __name__ == "__main__":
    app.serve()

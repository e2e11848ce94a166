"""LangSmith's switch is ours to read: with it LangChain's own code, on which graphs run, would send their whole state."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import ROOT
from tests.traces.receivers import receiving

MARKER = "what-the-customer-wrote"
GRAPH = """
import sys
from typing import TypedDict
from langchain_core.tracers.langchain import wait_for_all_tracers
from langgraph.graph import END, START, StateGraph

if sys.argv[1] == "ours":
    from tests.plain_agent import PLAIN

    PLAIN.graph().compile()

class State(TypedDict):
    said: str

graph = StateGraph(State)
graph.add_node("node", lambda state: state)
graph.add_edge(START, "node")
graph.add_edge("node", END)
graph.compile().invoke({"said": sys.argv[2]})
wait_for_all_tracers()
"""


def sent(mode: str) -> bytes:
    """What a graph that has run with LangSmith's switch on has sent."""
    with receiving() as receiver:
        environment = {
            "PATH": os.environ["PATH"],
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_API_KEY": "lsv2_x",
            "LANGSMITH_ENDPOINT": receiver.url,
            "LANGSMITH_DISABLE_RUN_COMPRESSION": "true",
        }
        subprocess.run([sys.executable, "-c", GRAPH, mode, MARKER], env=environment, check=True, cwd=ROOT, timeout=300)
        return receiver.everything()


def test_graphs_send_nothing_by_themselves() -> None:
    assert sent("ours") == b""


def test_without_that_they_would() -> None:
    assert MARKER.encode() in sent("as LangChain would")

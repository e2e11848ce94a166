"""An agent with nothing of a role in it: one rule that notes something about an event, then the open loop."""

from __future__ import annotations

from shared.bus.envelope import Message
from shared.models.offline import answers
from shared.runtime.agent import AgentSpec
from shared.runtime.flow import Flow
from shared.runtime.work import Work

SYSTEM = "You are Plain, an agent of a small business.\nNever promise prices or dates.\n"
SUBJECTS = {"invoice": "money", "broken": "care"}


def note_subject(work: Work) -> None:
    text = str(work.trigger.data.get("Body", ""))
    for word, subject in SUBJECTS.items():
        if word in text:
            work.note(f"subject: {subject}")


def graph() -> Flow:
    flow = Flow()
    flow.add_node("note_subject", note_subject)
    flow.add_open_loop("work")
    flow.begin("note_subject")
    flow.add_edge("note_subject", "work")
    return flow


def conversation(event: Message) -> str:
    return f"sms:{event.data.get('From', event.id)}"


PLAIN = AgentSpec("closer", SYSTEM, conversation, graph, answers({}, otherwise="Plain has no rules."))

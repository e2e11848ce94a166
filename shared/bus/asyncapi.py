"""The AsyncAPI document: every topic with the CloudEvents it may carry, made from the tables of topics and event types."""

from __future__ import annotations

from typing import Any

from shared.bus import messages, topics
from shared.bus.events import REGISTRY, TASK_TYPE, EventData, TaskRequested

TITLE = "VioX OS"
VERSION = "0.1.0"
DESCRIPTION = "CloudEvents 1.0 over Kafka, binary or structured."

# Our own types: name → (model of the data, what it says)
OWN: dict[str, tuple[type[EventData], str]] = {
    TASK_TYPE: (TaskRequested, "do this: a command to one agent"),
    **{e.type: (e.data, e.about) for e in REGISTRY.values() if e.data},
    messages.RUN_STARTED: (messages.Run, "a run began"),
    messages.RUN_WAITING: (messages.Run, "a run waits for somebody"),
    messages.RUN_FINISHED: (messages.Run, "a run ended"),
    messages.CALL_REQUESTED: (messages.ToolCallRequested, "an agent wants a tool run"),
    messages.CALL_CLOSED: (messages.ToolCallClosed, "a tool call ended"),
    messages.APPROVAL_REQUESTED: (messages.Approval, "a call waits for people"),
    messages.APPROVAL_DECIDED: (messages.Approval, "people decided on a call, or did not in time"),
    messages.CHECKPOINT_SIGNED: (messages.CheckpointSigned, "the audit's log has come to this"),
    messages.DEAD_LETTER: (messages.DeadLetterRecorded, "a message was set aside"),
}


def document() -> dict[str, Any]:
    """AsyncAPI 3.0: every channel with the messages it may carry."""
    carried = {topic.name: _types_on(topic.name) for topic in topics.all_topics()}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": TITLE, "version": VERSION, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {
            topic.name: {
                "address": topic.name,
                "description": f"{topic.about}. Keyed by {topic.key}. Written by {', '.join(topic.writers)}; "
                f"read by {', '.join(topic.readers)}.",
                "messages": {_key(t): {"$ref": f"#/components/messages/{_key(t)}"} for t in carried[topic.name]},
            }
            for topic in topics.all_topics()
        },
        "operations": {
            f"{action}-{agent}-{topic.name}".replace(".", "-"): {
                "action": action,
                "channel": {"$ref": f"#/channels/{topic.name}"},
            }
            for topic in topics.all_topics()
            for action, agents in (("receive", topic.readers), ("send", topic.writers))
            for agent in agents
        },
        "components": {"messages": {_key(t): _message(t) for t in sorted({t for ts in carried.values() for t in ts})}},
    }


def _types_on(topic: str) -> list[str]:
    if topic.startswith(topics.EVENTS):
        return sorted(e.type for e in REGISTRY.values() if e.topic == topic)
    if topic.startswith(topics.TASKS):
        return [TASK_TYPE]
    if topic.startswith(topics.TOOL_CALLS):
        return [messages.CALL_REQUESTED]
    if topic.startswith(topics.TOOL_RESULTS):
        return [messages.CALL_CLOSED]
    fixed = {
        topics.RUNS: [messages.RUN_STARTED, messages.RUN_WAITING, messages.RUN_FINISHED],
        topics.APPROVALS: [messages.APPROVAL_REQUESTED, messages.APPROVAL_DECIDED],
        topics.DEAD_LETTERS: [messages.DEAD_LETTER],
        topics.AUDIT_CHECKPOINTS: [messages.CHECKPOINT_SIGNED],
    }
    return fixed.get(topic, [])


def _message(name: str) -> dict[str, Any]:
    entry = REGISTRY.get(name)
    about = OWN[name][1] if name in OWN else entry.about if entry else ""
    payload = (
        schema(name, OWN[name][0]) if name in OWN else {"type": "object", "description": "the vendor's own payload"}
    )
    return {"name": name, "summary": about, "contentType": "application/json", "payload": payload}


def schema(name: str, model: type[EventData]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"viox:{name}",
        **model.model_json_schema(),
    }


def _key(name: str) -> str:
    return name.replace(".", "_")

"""Every topic: its name, what its records are keyed by, who may write it and who reads it. Imports no code of ours.

`docs/reference/topics.md`, the AsyncAPI document and the broker's ACLs are made from this table.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SERVICES: Final = Path(__file__).parents[2] / "services"


def _manifests() -> dict[str, dict[str, Any]]:
    """agent → what its `agent.toml` says, in the order of listings. A folder with that file is an agent."""
    found = [
        (file.parent.name.replace("_", "-"), tomllib.loads(file.read_text())) for file in SERVICES.glob("*/agent.toml")
    ]
    return dict(sorted(found, key=lambda one: (one[1].get("place", 1000), one[0])))


MANIFESTS: Final = _manifests()
AGENTS: Final = tuple(MANIFESTS)
GATEWAY: Final = "gateway"

# Kafka header names. CloudEvents attributes travel as `ce_<name>` (Kafka protocol binding 1.0, section 3.2).
HEADER_TRACEPARENT: Final = "traceparent"
CE_PREFIX: Final = "ce_"
CONTENT_TYPE: Final = "content-type"
STRUCTURED_CONTENT_TYPE: Final = "application/cloudevents+json"

# A record larger than this is refused before it is stored (Kafka's own default is 1,048,588 bytes with headers).
MAX_RECORD_BYTES: Final = 1_000_000
# Tool arguments and results above this travel by reference to the ledger.
MAX_INLINE_BYTES: Final = 256_000

# Who is no service: systems that bring events and tasks in and read what goes out, and the command line. `anyone` is
# either of them, and whoever a deployment grants more (see acls.py).
UPSTREAM: Final = "upstream"
OPERATOR_CLI: Final = "operator-cli"
ANYONE: Final = "anyone"


@dataclass(frozen=True, slots=True)
class Topic:
    """A Kafka topic. `key` says what keeps records in order; nothing relies on that order for correctness."""

    name: str
    key: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    about: str


EVENTS: Final = "viox.events."
TASKS: Final = "viox.tasks."
TOOL_CALLS: Final = "viox.tool-calls."
TOOL_RESULTS: Final = "viox.tool-results."
RUNS: Final = "viox.runs"
APPROVALS: Final = "viox.approvals"
DEAD_LETTERS: Final = "viox.dead-letters"
AUDIT_CHECKPOINTS: Final = "viox.audit.checkpoints"

# Where a dead letter came from that came by no topic: a webhook of this source.
WEBHOOKS: Final = "webhooks/"

DOMAINS: Final = ("sales", "telephony", "finance", "support", "people", "operations", "platform")

# Which agents listen to which domain. An SMS belongs to whoever owns the conversation with that number, so every agent that
# may own one listens to telephony. Who handles which event type is in events.py.
LISTENERS: Final[dict[str, tuple[str, ...]]] = {
    domain: tuple(agent for agent, told in MANIFESTS.items() if domain in told["listens_to"]) for domain in DOMAINS
}


def events(domain: str) -> str:
    return EVENTS + domain


def tasks(agent: str) -> str:
    return TASKS + agent


def tool_calls(agent: str) -> str:
    return TOOL_CALLS + agent


def tool_results(agent: str) -> str:
    return TOOL_RESULTS + agent


def caller(topic: str) -> str:
    """The agent that a tool call comes from: the topic says so, because the broker lets no other agent write there."""
    return topic.removeprefix(TOOL_CALLS)


def of(agent: str) -> list[str]:
    """All topics that one agent consumes."""
    domains = [domain for domain, listeners in LISTENERS.items() if agent in listeners]
    return [*(events(domain) for domain in domains), tasks(agent), tool_results(agent)]


def of_gateway() -> list[str]:
    return [tool_calls(agent) for agent in AGENTS]


def consumed_by(service: str) -> list[str]:
    """All topics that a service consumes: the gateway or an agent."""
    return of_gateway() if service == GATEWAY else of(service) if service in AGENTS else []


def group_of(service: str) -> str:
    """The consumer group of a service's replicas."""
    return f"viox.{service}"


def service_of(folder: str) -> str:
    """The service whose code lies in a folder of `services/`."""
    return GATEWAY if folder == "tool_gateway" else folder.replace("_", "-")


def canonical_agent(name: str) -> str | None:
    """`chief_of_staff` and `chief-of-staff` are the same agent. None when there is no such agent."""
    candidate = name.strip().lower().replace("_", "-")
    return candidate if candidate in AGENTS else None


def all_topics() -> list[Topic]:
    """Every topic of a deployment, in the order of the path."""
    return [
        *(
            Topic(events(d), "conversation or subject", (UPSTREAM, GATEWAY), LISTENERS[d], f"what happened in {d}")
            for d in DOMAINS
        ),
        *(
            Topic(tasks(a), "conversation or agent", (ANYONE, GATEWAY, *AGENTS), (a,), f"commands to {a}")
            for a in AGENTS
        ),
        *(
            Topic(tool_calls(a), "conversation", (a,), (GATEWAY,), f"tool calls of {a}; no other may write")
            for a in AGENTS
        ),
        *(Topic(tool_results(a), "conversation", (GATEWAY,), (a,), f"results for {a}") for a in AGENTS),
        Topic(RUNS, "conversation", (*AGENTS, GATEWAY), (ANYONE,), "runs that started, wait or finished"),
        Topic(APPROVALS, "call", (GATEWAY,), (ANYONE,), "approvals asked for and decided"),
        Topic(DEAD_LETTERS, "dead letter", (*AGENTS, GATEWAY), (ANYONE,), "messages that could not be handled"),
        Topic(AUDIT_CHECKPOINTS, "log", (GATEWAY,), (GATEWAY, ANYONE), "signed checkpoints of the audit's log"),
    ]

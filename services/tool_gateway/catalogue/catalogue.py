"""The catalogue: every tool of a deployment, and whom each is granted to.

Tools come from our vendors' documents, from further files (VIOX_CATALOGUE) and from documents that were imported into
the database. Granted is what an agent's tools.yaml lists, and what a business's own document says of itself. What it lists
under `rules` is for the role's rules alone: its models are not shown it, and are denied it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from services.tool_gateway.answers.paths import parts
from services.tool_gateway.catalogue import reading
from services.tool_gateway.catalogue.document import read_tools
from services.tool_gateway.catalogue.schema import with_plain_references
from services.tool_gateway.catalogue.tools import Tool
from shared.bus import topics
from shared.bus.events import unheard_contacts
from shared.bus.topics import AGENTS
from shared.errors import BadInput

HERE = Path(__file__).parent / "documents"
Grants = Mapping[str, frozenset[str]]
RULES = "rules:"  # before an agent's name: what only its rules ask for


@dataclass(frozen=True, slots=True)
class Document:
    """An OpenAPI document with `x-viox`, and where it came from."""

    name: str
    content: Mapping[str, Any]


class Catalogue:
    """All tools of a deployment, by name. Its content can be exchanged while it is in use."""

    def __init__(self, tools: Iterable[Tool], grants: Grants) -> None:
        self.tools: dict[str, Tool] = {}
        for tool in tools:
            if tool.name in self.tools:
                raise BadInput(
                    "catalogue.invalid", f"two tools are called {tool.name!r}.", field=tool.name, remedy="Rename one."
                )
            self.tools[tool.name] = tool
        self._grants = grants
        for agent, names in grants.items():
            for name in names - self.tools.keys():
                raise BadInput(
                    "tool.not_found",
                    f"{agent} is granted {name!r}, which no document of the catalogue has.",
                    field=f"services/{agent.removeprefix(RULES).replace('-', '_')}/tools.yaml",
                    remedy="Correct the name, or add the tool.",
                )
        for tool in self.tools.values():
            for name in _look_ups(tool):
                _check_look_up(tool, self.tools.get(name), name)

        self._check_answers()

    def _check_answers(self) -> None:
        """Whoever opens a conversation with an address has to hear the answer: it goes to nobody else. Raises BadInput."""
        for agent, names in self._grants.items():
            agent = agent.removeprefix(RULES)
            for name in sorted(names) if agent in AGENTS else ():
                address = self.tools[name].address
                if address and (deaf := unheard_contacts(address.channel, agent)):
                    raise BadInput(
                        "grant.unheard",
                        f"{agent} is granted {name}, and does not consume {', '.join(deaf)}, where the answers come.",
                        field=f"services/{agent.replace('-', '_')}/tools.yaml",
                        remedy="Add it to the listeners of the domain in shared/bus/topics.py, or take the grant away.",
                    )

    def granted(self, agent: str, tool: str) -> bool:
        return tool in self.tools_of(agent)

    def granted_to(self, tool: str) -> list[str]:
        return sorted(agent for agent, names in self._grants.items() if tool in names and not agent.startswith(RULES))

    def ruled_by(self, tool: str) -> list[str]:
        """Agents whose rules alone ask for a tool."""
        found = (agent for agent, names in self._grants.items() if tool in names and agent.startswith(RULES))
        return sorted(agent.removeprefix(RULES) for agent in found)

    def may_ask(self, agent: str, tool: str) -> bool:
        """Whether the agent, or its rules alone, may ask for a tool at all; policies say when."""
        return tool in self.tools_of(agent) or tool in self.rules_of(agent)

    def tools_of(self, agent: str) -> frozenset[str]:
        return self._grants.get(agent, frozenset())

    def rules_of(self, agent: str) -> frozenset[str]:
        return self._grants.get(RULES + agent, frozenset())

    def take(self, other: Catalogue) -> None:
        """Become the other one, for everybody who holds this."""
        self.tools, self._grants = other.tools, other._grants

    def with_rates(self, settings: Mapping[str, str]) -> Catalogue:
        """Rates follow the plan a business pays for: `<VENDOR>_RATE_PER_SECOND` replaces a vendor's. Raises BadInput."""
        return Catalogue([_with_rate(tool, settings) for tool in self.tools.values()], self._grants)


def load(paths: Iterable[Path] = (), grants: Grants | None = None, imported: Iterable[Document] = ()) -> Catalogue:
    """Read our vendors' documents and further ones. Raises BadInput naming document and operation at fault."""
    tools = list(_own_tools())
    given = dict(grants if grants is not None else read_grants())
    further = [Document(file.name, _parsed(file)) for path in paths for file in _files(path)]
    for document in [*further, *imported]:
        added = read_tools(document.content, document.name)
        for agent in _granted_by(document):
            given[agent] = given.get(agent, frozenset()) | {tool.name for tool in added}
        tools += added
    return Catalogue(tools, given)


def read_document(file: Path) -> list[Tool]:
    """The tools of one file."""
    return read_tools(_parsed(file), file.name)


def read_grants(services: Path | None = None) -> dict[str, frozenset[str]]:
    """Each agent's tools.yaml, read as data. An agent without one is granted nothing."""
    found: dict[str, frozenset[str]] = {}
    for file in sorted((services or Path(__file__).parents[2]).glob("*/tools.yaml")):
        listed = reading.read(file.read_bytes()) or {}
        agent = topics.service_of(file.parent.name)
        found[agent] = frozenset(listed.get("grants") or [])
        if rules := listed.get("rules"):
            found[RULES + agent] = frozenset(rules)
    return found


def extra_documents(setting: str | None) -> list[Path]:
    """Paths of the setting VIOX_CATALOGUE (files or folders, separated as in PATH). Raises BadInput when one is missing."""
    paths = [Path(part) for part in (setting or "").split(os.pathsep) if part]
    for path in paths:
        if not path.exists():
            raise BadInput("settings.invalid", f"{path} does not exist.", field="VIOX_CATALOGUE")
    return paths


@cache
def _own_tools() -> tuple[Tool, ...]:
    return tuple(tool for file in sorted(HERE.glob("*.yaml")) for tool in read_document(file))


def _look_ups(tool: Tool) -> list[str]:
    """Names of the tools by which lost calls of this one are settled."""
    if tool.settle is None:
        return []
    return [tool.settle.tool, *([tool.settle.absence.tool] if tool.settle.absence else [])]


def _check_look_up(tool: Tool, by: Tool | None, name: str) -> None:
    """A look-up is made without a grant: it may only read, and only at the vendor of the call that is looked up."""
    if by is None:
        raise BadInput("tool.not_found", f"{tool.name} is settled by unknown {name!r}.", field=tool.name)
    if by.effect != "read" or by.vendor != tool.vendor:
        raise BadInput(
            "catalogue.invalid",
            f"{tool.name} is settled by {name!r}, which is no reading tool of {tool.vendor}.",
            field=tool.name,
            remedy="Name a tool of the same vendor with effect read.",
        )
    settle = tool.settle
    assert settle is not None  # noqa: S101  # the look-up comes from there
    read = [f"{settle.items}.*.{path}" for path in (*settle.match, settle.unique, settle.created) if path]
    for path in read if name == settle.tool else ():
        if by.redact.hides(parts(path)):
            raise BadInput(
                "catalogue.invalid",
                f"{tool.name} is settled by {path}, which is taken out of the answers of {name}.",
                field=tool.name,
                remedy="Settle it by something that is not sensitive.",
            )


def _parsed(file: Path) -> Mapping[str, Any]:
    try:
        content = reading.read(file.read_bytes())
    except (OSError, *reading.UNREADABLE) as error:
        raise BadInput("catalogue.invalid", f"{file.name} cannot be read: {error}.", field=str(file)) from error
    return with_plain_references(content) if isinstance(content, dict) else {}


def _granted_by(document: Document) -> list[str]:
    """A business's own document may say itself whom its tools are for: `granted_to` under info.x-viox."""
    named = document.content["info"]["x-viox"].get("granted_to", [])
    for agent in named:
        if agent not in AGENTS:
            raise BadInput(
                "agent.unknown",
                f"{document.name} grants to {agent!r}, which is no agent.",
                field="info.x-viox.granted_to",
            )
    return list(named)


def _with_rate(tool: Tool, settings: Mapping[str, str]) -> Tool:
    name = f"{tool.vendor.upper().replace('-', '_')}_RATE_PER_SECOND"
    if name not in settings or not tool.rate:
        return tool
    try:
        rate = float(settings[name])
    except ValueError:
        rate = 0.0
    if rate <= 0:
        raise BadInput("settings.invalid", f"{settings[name]!r} is not a rate.", field=name, remedy="For instance 19.")
    return replace(tool, rate=replace(tool.rate, per_second=rate, burst=max(1, round(rate))))


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.yaml")) if path.is_dir() else [path]

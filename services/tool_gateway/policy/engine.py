"""The one place that asks Cedar. Deny by default, a forbid wins, and whatever goes wrong is a denial.

Cedar skips a policy that errs, so that a forbid over a missing field would let everything through: a decision with any
error is none. Policies and schema are validated together once, when they are read.

Cedar is asked twice where a policy reads `context.person`: as things are, and as if a person had agreed to exactly this
call. What only the second answer allows waits for a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import cedarpy

from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.policy.context import Known, context_of
from services.tool_gateway.policy.figures import figures_of, party
from services.tool_gateway.policy.reads import Path
from services.tool_gateway.policy.rules import Rule, read_rules, validate
from services.tool_gateway.policy.schema import groups_of, history_fields, schema_text, wanted_facts
from services.tool_gateway.policy.types import NoType
from shared.business import Business
from shared.errors import BadInput
from shared.telemetry.digest import sha256_bytes

LONGEST_ERROR = 300


@dataclass(frozen=True, slots=True)
class Ruling:
    """`rules` are the ids of the policies that decided: of the forbids, else of the permits. None: nothing permits it.

    `people`: so many have to agree to it first. `watched` are forbids that only watch and would have denied. `errors` say what
    kept Cedar from deciding.
    """

    allowed: bool
    rules: tuple[str, ...] = ()
    people: int = 0
    watched: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sets:
    """The policies that can be about one tool; `watching` has those that only watch, too, where there are any."""

    enforced: Any
    watching: Any | None


class Policies:
    """All policies of a deployment, for the tools of its catalogue."""

    def __init__(
        self,
        texts: Mapping[str, str],
        catalogue: Catalogue,
        insiders: Iterable[str] = (),
        business: Business | None = None,
    ) -> None:
        """`texts`: name of a file → its policies; `insiders`: numbers and mail addresses of the business's own people;
        `business` says when people are left alone.

        Raises BadInput naming the file and what is wrong.
        """
        self.insiders = frozenset(party(one) for one in insiders)
        self.business = business or Business()
        self.rules: tuple[Rule, ...] = read_rules(texts)
        self.version = sha256_bytes("\0".join(f"{name}\0{texts[name]}" for name in sorted(texts)).encode())[:16]
        self._rule = {rule.id: rule for rule in self.rules}
        self._tools = dict(catalogue.tools)
        self._groups = {
            name: groups_of(tool, catalogue.granted_to(name), catalogue.ruled_by(name))
            for name, tool in self._tools.items()
        }
        self._about = {name: self._rules_about(name) for name in self._tools}
        self.reads: dict[str, frozenset[Path]] = {
            name: frozenset(path for rule in rules for path in rule.reads.paths) for name, rules in self._about.items()
        }
        self._history = {name: history_fields(paths) for name, paths in self.reads.items()}
        self._wants = {name: wanted_facts(paths) for name, paths in self.reads.items()}
        try:
            schema = schema_text(self._tools.values(), self._groups, self.reads)
        except NoType as error:
            raise BadInput("policy.invalid", f"{error}.", field="VIOX_POLICIES") from error
        self._schema = cedarpy.Schema.from_str(schema)
        for name, text in texts.items():
            validate(name, text, self._schema)
        self._entities = cedarpy.Entities.from_json_str("[]", self._schema)
        self._made: dict[tuple[str, ...], Any] = {}
        self._known: dict[tuple[str, str], Ruling] = {}  # of tools about which no policy reads anything of a call
        self._sets = {name: self._sets_of(rules) for name, rules in self._about.items()}

    def history(self, tool: str) -> frozenset[str]:
        """What of a call's history policies about a tool read."""
        return self._history.get(tool, frozenset())

    def tool(self, name: str) -> Tool:
        return self._tools[name]

    def wants(self, tool: str) -> frozenset[str]:
        """The facts that policies about a tool read."""
        return self._wants.get(tool, frozenset())

    def rules_about(self, tool: str, agent: str | None = None) -> tuple[Rule, ...]:
        """The policies that can be about a tool, and an agent."""
        return tuple(rule for rule in self._about[tool] if agent is None or rule.reads.principal in (None, agent))

    def reason(self, rule: str) -> str:
        """Why a policy decides as it does, in words."""
        return self._rule[rule].why if rule in self._rule else rule

    def read_by(self, rule: str) -> frozenset[str]:
        """The facts that a policy reads."""
        return wanted_facts(self._rule[rule].reads.paths) if rule in self._rule else frozenset()

    def judge(
        self, agent: str, tool: str, call: str, arguments: Mapping[str, Any], known: Known, at: datetime
    ) -> Ruling:
        """May the agent make this call, and do people have to agree? `at`: the business's local time."""
        if self._is_fixed(tool):
            if (agent, tool) not in self._known:
                self._known[agent, tool] = self._judge({}, agent, tool, call)
            return self._known[agent, tool]
        try:
            context = self._context(tool, arguments, known, at)
        except NoType as error:
            return Ruling(False, errors=(str(error),))
        return self._judge(context, agent, tool, call)

    def _is_fixed(self, tool: str) -> bool:
        return not self.reads[tool] and not any(rule.reads.resource for rule in self._about[tool])

    def _judge(self, context: dict[str, Any], agent: str, tool: str, call: str) -> Ruling:
        ruling = self.ask(agent, tool, call, context)
        if not ruling.allowed and "person" in context:
            ruling = self._with_people(ruling, self.ask(agent, tool, call, context | {"person": True}))
        if self._sets[tool].watching is None or not ruling.allowed:
            return ruling
        context |= {"person": True} if ruling.people else {}
        watching = self.ask(agent, tool, call, context, watching=True)
        return ruling if watching.allowed else replace(ruling, watched=watching.rules or ("(error)",))

    def _context(self, tool: str, arguments: Mapping[str, Any], known: Known, at: datetime) -> dict[str, Any]:
        if not self.reads[tool]:
            return {}
        found = self._tools[tool]
        figures = figures_of(found, arguments)
        return context_of(found, arguments, self.reads[tool], figures, known, at, person=False)

    def _with_people(self, without: Ruling, agreed: Ruling) -> Ruling:
        """What only a person's agreement allows. An error is an error, whoever agrees."""
        if not agreed.allowed or without.errors:
            return without if without.errors else agreed
        return Ruling(True, without.rules, max((self._rule[rule].people for rule in without.rules), default=1))

    def ask(self, agent: str, tool: str, call: str, context: Mapping[str, Any], *, watching: bool = False) -> Ruling:
        """One question to Cedar. `context` has what the schema says of the tool. `watching`: as if every rule were enforced."""
        sets = self._sets[tool]
        policies = sets.watching if watching and sets.watching is not None else sets.enforced
        request = {
            "principal": {"type": "Agent", "id": agent},
            "action": {"type": "Action", "id": tool},
            "resource": {"type": "Call", "id": call},
            "context": context,
        }
        try:
            result = cedarpy.is_authorized(request, policies, self._entities, self._schema)
        except Exception as error:  # noqa: BLE001  # whatever it is, nothing has been permitted
            return Ruling(False, errors=(repr(error)[:LONGEST_ERROR],))
        said = result.diagnostics
        ids = said.id_annotations_by_reason
        rules = tuple(sorted(ids.get(reason, reason) for reason in said.reasons))
        errors = tuple(str(error)[:LONGEST_ERROR] for error in said.errors)
        return Ruling(result.decision is cedarpy.Decision.Allow and not errors, rules, errors=errors)

    def _rules_about(self, tool: str) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.reads.concern(tool, self._groups[tool]))

    def _sets_of(self, rules: Iterable[Rule]) -> _Sets:
        rules = tuple(rules)
        enforced = tuple(rule for rule in rules if rule.mode == "enforce")
        return _Sets(self._set(enforced), self._set(rules) if len(rules) > len(enforced) else None)

    def _set(self, rules: tuple[Rule, ...]) -> Any:
        """Many tools have the same policies."""
        key = tuple(rule.id for rule in rules)
        if key not in self._made:
            self._made[key] = cedarpy.PolicySet.from_str("\n".join(rule.text for rule in rules))
        return self._made[key]

"""The one place that asks Cedar. Deny by default, a forbid wins, and whatever goes wrong is a denial.

Cedar skips a policy that errs, so that a forbid over a missing field would let everything through: a decision with any
error is none. Policies and schema are read and validated together once. A policy with `@mode("watch")` only says what it
would have denied.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cedarpy

from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.policy.reads import Path, Reads, reads_of
from services.tool_gateway.policy.schema import groups_of, schema_text
from services.tool_gateway.policy.types import NoType
from shared.errors import BadInput

MODES = ("enforce", "watch")


@dataclass(frozen=True, slots=True)
class Ruling:
    """`rules` are the ids of the policies that decided: of the forbids, else of the permits. None: nothing permits it.

    `watched` are forbids that only watch and would have denied. `errors` say what kept Cedar from deciding.
    """

    allowed: bool
    rules: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rules:
    """The policies that can be about one tool."""

    enforced: Any
    watched: Any | None


class Policies:
    """All policies of a deployment, for the tools of its catalogue."""

    def __init__(self, texts: Mapping[str, str], tools: Iterable[Tool]) -> None:
        """`texts`: name of a file → its policies. Raises BadInput naming the file and what is wrong."""
        self._tools = {tool.name: tool for tool in tools}
        found = [rule for name, text in texts.items() for rule in _read(name, text)]
        _check_ids(found)
        self.reads: dict[str, frozenset[Path]] = {
            name: self._read_about(found, tool) for name, tool in self._tools.items()
        }
        try:
            schema = schema_text(self._tools.values(), self.reads)
        except NoType as error:
            raise BadInput("policy.invalid", f"{error}.", field="VIOX_POLICIES") from error
        self._schema = cedarpy.Schema.from_str(schema)
        for name, text in texts.items():
            _validate(name, text, self._schema)
        self._entities = cedarpy.Entities.from_json_str("[]", self._schema)
        self._rules = {name: self._rules_about(found, tool) for name, tool in self._tools.items()}

    def rule(self, agent: str, tool: str, call: str, context: Mapping[str, Any]) -> Ruling:
        """May the agent make this call? `context` has what the schema says of the tool."""
        rules = self._rules[tool]
        request = {
            "principal": {"type": "Agent", "id": agent},
            "action": {"type": "Action", "id": tool},
            "resource": {"type": "Call", "id": call},
            "context": dict(context),
        }
        ruling = self._ask(request, rules.enforced)
        if not ruling.allowed or rules.watched is None:
            return ruling
        watching = self._ask(request, rules.watched)
        if watching.allowed:
            return ruling
        return Ruling(True, ruling.rules, watching.rules or ("(error)",), ())

    def _ask(self, request: Mapping[str, Any], policies: Any) -> Ruling:
        try:
            result = cedarpy.is_authorized(dict(request), policies, self._entities, self._schema)
        except Exception as error:  # noqa: BLE001  # whatever it is, nothing has been permitted
            return Ruling(False, errors=(repr(error),))
        said = result.diagnostics
        ids = said.id_annotations_by_reason
        rules = tuple(sorted(ids.get(reason, reason) for reason in said.reasons))
        errors = tuple(map(str, said.errors))
        return Ruling(result.decision is cedarpy.Decision.Allow and not errors, rules, errors=errors)

    def _read_about(self, rules: Iterable[_Rule], tool: Tool) -> frozenset[Path]:
        groups = groups_of(tool)
        return frozenset(path for rule in rules if rule.reads.concern(tool.name, groups) for path in rule.reads.paths)

    def _rules_about(self, rules: Iterable[_Rule], tool: Tool) -> _Rules:
        groups = groups_of(tool)
        about = [rule for rule in rules if rule.reads.concern(tool.name, groups)]
        enforced = cedarpy.PolicySet.from_str("\n".join(rule.text for rule in about if rule.mode == "enforce"))
        watched = any(rule.mode == "watch" for rule in about)
        return _Rules(enforced, cedarpy.PolicySet.from_str("\n".join(rule.text for rule in about)) if watched else None)


@dataclass(frozen=True, slots=True)
class _Rule:
    file: str
    id: str
    mode: str
    text: str
    reads: Reads


def _read(name: str, text: str) -> list[_Rule]:
    try:
        given = cedarpy.PolicySet.from_str(text)
        parsed = given.to_pst()
    except Exception as error:
        raise BadInput("policy.invalid", f"{name} cannot be read: {error}.", field="VIOX_POLICIES") from error
    if parsed.templates:
        raise BadInput(
            "policy.invalid", f"{name} has a template: slots are filled by approvals only.", field="VIOX_POLICIES"
        )
    texts = _texts(given)
    return [_rule(name, key, policy, texts[key]) for key, policy in parsed.static_policies.items()]


def _rule(name: str, key: str, policy: Any, text: str) -> _Rule:
    identity, mode = policy.annotations.get("id"), policy.annotations.get("mode", "enforce")
    if not identity:
        raise BadInput("policy.invalid", f"a policy of {name} has no @id: {text[:80]}…", field="VIOX_POLICIES")
    if mode not in MODES:
        raise BadInput(
            "policy.invalid",
            f"{identity} in {name}: @mode is {mode!r}, not {' or '.join(MODES)}.",
            field="VIOX_POLICIES",
        )
    if mode == "watch" and policy.effect != "forbid":
        raise BadInput("policy.invalid", f"{identity} in {name}: only a forbid can watch.", field="VIOX_POLICIES")
    return _Rule(name, identity, mode, text, reads_of(policy))


def _texts(policies: Any) -> dict[str, str]:
    """Each policy by itself, by Cedar's number."""
    whole = cedarpy.policies_to_json_str(str(policies))
    held = json.loads(whole)["staticPolicies"]
    return {
        key: cedarpy.policies_from_json_str(
            json.dumps({"staticPolicies": {key: one}, "templates": {}, "templateLinks": []})
        )
        for key, one in held.items()
    }


def _check_ids(rules: Iterable[_Rule]) -> None:
    seen: dict[str, str] = {}
    for rule in rules:
        if rule.id in seen:
            raise BadInput(
                "policy.invalid", f"@id {rule.id!r} is in {seen[rule.id]} and in {rule.file}.", field="VIOX_POLICIES"
            )
        seen[rule.id] = rule.file


def _validate(name: str, text: str, schema: Any) -> None:
    checked = cedarpy.validate_policies(text, schema)
    if not checked.validation_passed:
        told = "; ".join(str(error) for error in checked.errors)
        raise BadInput("policy.invalid", f"{name}: {told}", field="VIOX_POLICIES", remedy="See docs/policies.md.")

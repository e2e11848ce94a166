"""Policy files as people write them: each policy has an id of its own, and may say how it is meant.

@id("refunds.second-look")   its name on record; required
@mode("watch")               a forbid that only notes what it would deny; else it is enforced
@people("2")                 a forbid that a person can lift: so many people; else one
@why("…")                    what the people who are asked, and the model, are told; else the id
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cedarpy

from services.tool_gateway.policy.reads import Reads, reads_of
from shared.errors import BadInput

MODES = ("enforce", "watch")
ANNOTATIONS = ("id", "mode", "people", "why")
MOST_PEOPLE = 5
MOST_MISTAKES = 5  # of one file, told at once


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy of a file."""

    file: str
    id: str
    effect: str
    mode: str
    people: int
    why: str
    text: str
    reads: Reads
    conditions: int = 0

    @property
    def lifted_by_person(self) -> bool:
        return self.effect == "forbid" and ("person",) in self.reads.paths


def read_rules(texts: Mapping[str, str]) -> tuple[Rule, ...]:
    """All policies of some files, by their names. Raises BadInput naming the file and what is wrong."""
    rules = tuple(rule for name, text in texts.items() for rule in _read(name, text))
    seen: dict[str, str] = {}
    for rule in rules:
        if rule.id in seen:
            raise _invalid(f"@id {rule.id!r} is in {seen[rule.id]} and in {rule.file}.")
        seen[rule.id] = rule.file
    return rules


def validate(name: str, text: str, schema: Any) -> None:
    """Raises BadInput when policies read or name what the schema does not have."""
    checked = cedarpy.validate_policies(text, schema)
    if not checked.validation_passed:
        told = dict.fromkeys(_with_ids(str(error), checked.id_annotations_by_policy_id) for error in checked.errors)
        raise _invalid(f"{name}: {'; '.join(list(told)[:MOST_MISTAKES])}.")


def _with_ids(error: str, ids: Mapping[str, str]) -> str:
    """An error of Cedar's with the policy's own name in the place of its number."""
    return re.sub(r"^\[(\w+)\] ", "", re.sub(r"`(policy\d+)`", lambda found: ids.get(found[1], found[1]), error))


def _read(name: str, text: str) -> list[Rule]:
    try:
        given = cedarpy.PolicySet.from_str(text)
        parsed = given.to_pst()
    except Exception as error:
        raise _invalid(f"{name} cannot be read: {error}.") from error
    if parsed.templates:
        raise _invalid(f"{name} has a template, whose slots nothing would fill.")
    texts = _texts(given)
    return [_rule(name, policy, texts[key]) for key, policy in parsed.static_policies.items()]


def _rule(name: str, policy: Any, text: str) -> Rule:
    notes = dict(policy.annotations)
    identity, mode, people = notes.get("id"), notes.get("mode", "enforce"), notes.get("people", "1")
    if not identity:
        raise _invalid(f"a policy of {name} has no @id: {text[:80]}…")
    place = f"{identity} in {name}"
    if unknown := sorted(notes.keys() - set(ANNOTATIONS)):
        raise _invalid(f"{place}: @{unknown[0]} means nothing; known are @{', @'.join(ANNOTATIONS)}.")
    if mode not in MODES:
        raise _invalid(f"{place}: @mode is {mode!r}, not {' or '.join(MODES)}.")
    if mode == "watch" and policy.effect != "forbid":
        raise _invalid(f"{place}: only a forbid can watch.")
    if not (people.isdecimal() and 1 <= int(people) <= MOST_PEOPLE):
        raise _invalid(f"{place}: @people is {people!r}, not a number from 1 to {MOST_PEOPLE}.")
    reads = reads_of(policy)
    if "people" in notes and policy.effect != "forbid":
        raise _invalid(f"{place}: only a forbid can say how many @people lift it.")
    if "people" in notes and not reads.paths & {("person",), ()}:
        raise _invalid(f"{place}: @people says how many can lift it, but it does not read context.person.")
    return Rule(
        name, identity, policy.effect, mode, int(people), notes.get("why") or identity, text, reads, len(policy.clauses)
    )


def _texts(policies: Any) -> dict[str, str]:
    """Each policy by itself, by Cedar's number."""
    held = json.loads(cedarpy.policies_to_json_str(str(policies)))["staticPolicies"]
    return {
        key: cedarpy.policies_from_json_str(
            json.dumps({"staticPolicies": {key: one}, "templates": {}, "templateLinks": []})
        )
        for key, one in held.items()
    }


def _invalid(message: str) -> BadInput:
    return BadInput("policy.invalid", message, field="VIOX_POLICIES", remedy="See docs/policies.md.")

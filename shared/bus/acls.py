"""Who may do what on the broker: the ACLs that the table of topics asks for, and how those of a cluster differ from them.

Nothing here talks to a broker (`authorizer.py` does). A principal stands for one service; how it is called is the
setting VIOX_KAFKA_PRINCIPAL. `viox kafka acls` prints, compares and applies them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from shared.bus import topics

PREFIX: Final = "viox."
UPSTREAM_GROUPS: Final = "upstream."  # integrators name their consumer groups with this in front
CLUSTER_NAME: Final = "kafka-cluster"
EVERYBODY: Final = "User:*"
ANY_HOST: Final = "*"
SERVICES: Final = (*topics.AGENTS, topics.GATEWAY)
# Everyone with a principal of our making.
CLIENTS: Final = (*SERVICES, topics.UPSTREAM, topics.OPERATOR_CLI)


class Resource(IntEnum):
    """Codes of Kafka's protocol, as are those below."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5
    DELEGATION_TOKEN = 6
    USER = 7


class Pattern(IntEnum):
    LITERAL = 3
    PREFIXED = 4


class Operation(IntEnum):
    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12
    CREATE_TOKENS = 13
    DESCRIBE_TOKENS = 14
    TWO_PHASE_COMMIT = 15


class Permission(IntEnum):
    DENY = 2
    ALLOW = 3


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One rule of the broker."""

    principal: str
    resource: Resource
    name: str
    pattern: Pattern
    operation: Operation
    permission: Permission = Permission.ALLOW
    host: str = ANY_HOST

    def covers(self, resource: Resource, name: str) -> bool:
        """Whether it speaks of this topic or group."""
        if self.resource is not resource:
            return False
        if self.pattern is Pattern.PREFIXED:
            return name.startswith(self.name)
        return self.name in (name, "*")

    def document(self) -> dict[str, str]:
        return {
            "principal": self.principal,
            "resource_type": self.resource.name.lower(),
            "resource_name": self.name,
            "pattern_type": self.pattern.name.lower(),
            "operation": self.operation.name.lower(),
            "permission": self.permission.name.lower(),
            "host": self.host,
        }

    def __str__(self) -> str:
        many = "*" if self.pattern is Pattern.PREFIXED else ""
        verb, what = self.operation.name.lower(), self.resource.name.lower().replace("_", " ")
        return f"{self.principal} {self.permission.name.lower()} {verb} {what} {self.name}{many}"


class Principals:
    """The principals of a deployment, from a template such as `User:viox-{service}`."""

    def __init__(self, template: str) -> None:
        self._template = template
        self.all: Final = {name: self.of(name) for name in CLIENTS}

    def of(self, service: str) -> str:
        return self._template.replace("{service}", service)


def wanted(principals: Principals) -> list[Acl]:
    """Every rule that the topics, the consumer groups and the command line need, and none more.

    Reading and writing imply describing. An idempotent producer needs nothing beside its topics, and nothing of ours
    uses transactions, so that there are no rules for transactional ids.
    """
    rules = set(_of_command_line(principals.of(topics.OPERATOR_CLI)))
    for topic in topics.all_topics():
        for operation, names in ((Operation.WRITE, topic.writers), (Operation.READ, topic.readers)):
            rules |= {_on_topic(principals.of(name), topic.name, operation) for name in _named(names)}
    for service in SERVICES:
        rules.add(_group(principals.of(service), topics.group_of(service), Pattern.LITERAL, Operation.READ))
    rules.add(_group(principals.of(topics.UPSTREAM), UPSTREAM_GROUPS, Pattern.PREFIXED, Operation.READ))
    return sorted(rules)


def _named(names: Iterable[str]) -> set[str]:
    found = set(names)
    return found - {topics.ANYONE} | ({topics.UPSTREAM, topics.OPERATOR_CLI} if topics.ANYONE in found else set())


def _on_topic(principal: str, name: str, operation: Operation, pattern: Pattern = Pattern.LITERAL) -> Acl:
    """Literal where a prefix would do as well: `viox.tool-calls.voice` as a prefix would be that of `voice2` too."""
    return Acl(principal, Resource.TOPIC, name, pattern, operation)


def _group(principal: str, name: str, pattern: Pattern, operation: Operation) -> Acl:
    return Acl(principal, Resource.GROUP, name, pattern, operation)


def _of_command_line(principal: str) -> list[Acl]:
    """It creates our topics, and looks at topics, groups and ACLs. Changing ACLs would be as good as being super user."""
    on_topics = (Operation.CREATE, Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS)
    return [
        *(_on_topic(principal, PREFIX, operation, Pattern.PREFIXED) for operation in on_topics),
        _group(principal, PREFIX, Pattern.PREFIXED, Operation.DESCRIBE),
        Acl(principal, Resource.CLUSTER, CLUSTER_NAME, Pattern.LITERAL, Operation.DESCRIBE),
    ]


@dataclass(frozen=True, slots=True)
class Difference:
    """How a cluster's rules differ from the wanted ones. `foreign` rules are those of others that do no harm."""

    missing: tuple[Acl, ...]
    stale: tuple[Acl, ...]
    breaches: tuple[Acl, ...]
    blocking: tuple[Acl, ...]
    foreign: tuple[Acl, ...]

    @property
    def problems(self) -> Mapping[str, tuple[Acl, ...]]:
        """What keeps a service from its work, or lets somebody pass for one. Empty when identity is enforced."""
        every = {"missing": self.missing, "stale": self.stale, "breaches": self.breaches, "blocking": self.blocking}
        return {name: rules for name, rules in every.items() if rules}

    def document(self) -> dict[str, Any]:
        names = ("missing", "stale", "breaches", "blocking", "foreign")
        return {name: [rule.document() for rule in getattr(self, name)] for name in names}


def compare(found: Iterable[Acl], principals: Principals) -> Difference:
    """Judge the rules of a cluster."""
    have, want = set(found), set(wanted(principals))
    others = sorted(have - want)
    ours = set(principals.all.values())
    stale = [rule for rule in others if rule.permission is Permission.ALLOW and _of_our_making(rule, ours)]
    blocking = [rule for rule in others if rule.permission is Permission.DENY and _blocks(rule, ours, want)]
    rest = [rule for rule in others if rule not in stale and rule not in blocking]
    breaches = [rule for rule in rest if _breaks(rule, ours)]
    foreign = [rule for rule in rest if rule not in breaches]
    return Difference(tuple(sorted(want - have)), tuple(stale), tuple(breaches), tuple(blocking), tuple(foreign))


def _of_our_making(rule: Acl, ours: set[str]) -> bool:
    """A rule of one of our principals about what is called after us. Anything else somebody else has made."""
    about_us = (
        rule.resource is Resource.CLUSTER
        or rule.name.startswith(PREFIX)
        or (rule.resource is Resource.GROUP and rule.name.startswith(UPSTREAM_GROUPS))
    )
    return rule.principal in ours and about_us


def _blocks(rule: Acl, ours: set[str], want: set[Acl]) -> bool:
    return (rule.principal in ours or rule.principal == EVERYBODY) and any(
        rule.covers(each.resource, each.name) and rule.operation in (each.operation, Operation.ALL, Operation.DESCRIBE)
        for each in want
        if rule.principal in (each.principal, EVERYBODY)
    )


def _breaks(rule: Acl, ours: set[str]) -> bool:
    """Whether a rule of somebody else lets anyone write what only a service may, or lets our services read each other's.

    Events and tasks are doors: a deployment may let others of its own through them.
    """
    if rule.permission is Permission.DENY:
        return False
    if rule.resource is Resource.CLUSTER:  # who changes ACLs may do everything
        return rule.principal == EVERYBODY and rule.operation in (Operation.ALTER, Operation.ALL)
    if rule.operation not in (Operation.READ, Operation.WRITE, Operation.ALL):
        return False
    written = rule.operation is not Operation.READ
    services = rule.principal in ours or rule.principal == EVERYBODY
    if services and any(rule.covers(Resource.GROUP, topics.group_of(name)) for name in SERVICES):
        return True
    return any(
        rule.covers(Resource.TOPIC, topic.name)
        for topic in topics.all_topics()
        if (written and topics.ANYONE not in topic.writers and topics.UPSTREAM not in topic.writers)
        or (services and topics.ANYONE not in topic.readers)
    )


def command(rule: Acl, servers: str) -> str:
    """A wanted rule as a command of Kafka's own tool, which logs in as `admin.properties` says."""
    where = {
        Resource.TOPIC: ["--topic", rule.name],
        Resource.GROUP: ["--group", rule.name],
        Resource.CLUSTER: ["--cluster"],
    }[rule.resource]
    operation = "".join(part.capitalize() for part in rule.operation.name.split("_"))
    pattern = rule.pattern.name.lower()
    cluster = ["--bootstrap-server", servers, "--command-config", "admin.properties"]
    arguments = ["--allow-principal", rule.principal, "--operation", operation, "--resource-pattern-type", pattern]
    return shlex.join(["kafka-acls.sh", *cluster, "--add", *arguments, *where])

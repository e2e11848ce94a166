"""`viox kafka acls`: the ACLs that the topics want, how those of the cluster differ, and bringing them there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from shared.bus import authorizer, topics
from shared.bus.acls import Acl, Principals, command, wanted
from shared.errors import VioxError
from shared.settings import Settings
from viox import deployment, output

COLUMNS = ("principal", "operation", "resource", "name", "pattern")
# What `--check` says of each kind of difference.
MEANING = {
    "missing": "missing, so that a service cannot do its work",
    "stale": "of ours, but nothing asks for it",
    "breaches": "lets somebody pass for a service, or read what is another's",
    "blocking": "forbids what a service needs",
}


def show(*, commands: bool, as_json: bool) -> int:
    """Print what is wanted. Asks no broker."""
    settings = _settings(topics.OPERATOR_CLI, offline=True)
    rules = wanted(Principals(settings.kafka_principal))
    typed = {rule: command(rule, settings.kafka_bootstrap_servers) for rule in rules} if commands else {}
    if as_json:
        told = [rule.document() | ({"command": typed[rule]} if commands else {}) for rule in rules]
        output.emit(output.listing(told, None))
    elif commands:
        for line in typed.values():
            output.say(line)
    else:
        _table(rules)
    return output.OK


async def check(*, as_json: bool) -> int:
    """Compare the cluster with what is wanted. Exit code 1 unless the broker enforces it, as far as can be seen."""
    _need_users()
    differs, found, why = await authorizer.examine(_settings(topics.OPERATOR_CLI))
    if as_json:
        output.emit({"identity": found, "why": why or None, **differs.document()})
    else:
        for name, rules in differs.problems.items():
            for rule in rules:
                output.say(f"{rule}: {MEANING[name]}")
        output.say(f"{len(differs.foreign)} rules of others are no concern of ours")
        output.say(f"identity: {found}" + f": {why}" * bool(why and not differs.problems))
    return output.OK if found == authorizer.ENFORCED else output.ERROR


async def apply(*, prune: bool, as_json: bool) -> int:
    """Add what is missing, with `prune` remove what is stale, and say how the cluster stands then."""
    _need_users()
    settings = _settings(deployment.KAFKA_ADMIN)
    created, removed = await authorizer.apply(settings, prune=prune)
    differs = await authorizer.difference(settings)
    left = {name: rules for name, rules in differs.problems.items() if name != "missing"}
    if as_json:
        changed = {"created": created, "removed": removed}
        told: dict[str, Any] = {name: [rule.document() for rule in rules] for name, rules in changed.items()}
        output.emit(told | {"left": {name: [rule.document() for rule in rules] for name, rules in left.items()}})
        return output.OK
    _say_all("created", created)
    _say_all("removed", removed)
    if not created and not removed:
        output.say("nothing to change")
    for name, rules in left.items():
        for rule in rules:
            output.warn(f"{rule}: {MEANING[name]}" + (" (--prune removes it)" if name == "stale" else ""))
    return output.OK


def _need_users() -> None:
    running = deployment.state()
    if running is not None and running["kafka_settings"] and running["broker"] == "embedded":
        raise VioxError(
            "kafka.no_acls",
            "the embedded broker knows no users and no ACLs.",
            remedy="Start the stack with `viox up --broker apache`, or on a Kafka of yours.",
        )


def _settings(service: str, *, offline: bool = False) -> Settings:
    names = {} if offline and deployment.state() is None else deployment.kafka_settings(service)
    return Settings.load(**{name.removeprefix("VIOX_").lower(): value for name, value in names.items()})


def _say_all(verb: str, rules: Iterable[Acl]) -> None:
    for rule in rules:
        output.say(f"{verb} {rule}")


def _table(rules: Sequence[Acl]) -> None:
    rows = [
        (rule.principal, rule.operation.name.lower(), rule.resource.name.lower(), rule.name, rule.pattern.name.lower())
        for rule in rules
    ]
    output.table(list(COLUMNS), rows, empty="no rules")

"""The ACLs of a cluster, read and changed through aiokafka's client, whose own admin client knows only topics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaConnectionError,
    SecurityDisabled,
    TopicAuthorizationFailedError,
    UnsupportedVersionError,
    for_code,
)
from aiokafka.protocol.admin import CreateAclsRequest_v1, DeleteAclsRequest_v1, DescribeAclsRequest
from aiokafka.protocol.api import Request
from aiokafka.protocol.metadata import MetadataRequest

from shared.bus import acls
from shared.bus.acls import Acl, Operation, Pattern, Permission, Principals, Resource
from shared.bus.cluster import client_settings, explained, unavailable
from shared.errors import VioxError
from shared.settings import Settings

ANY: Final = 1  # of resources, patterns, operations and permissions alike
UNSEEN: Final = "no-principal-of-viox-may-see-this"
ENFORCED, NOT_ENFORCED, NOT_CHECKED = "enforced", "not enforced", "not checked"
# A broker without ACLs says SecurityDisabled, one that has never heard of them does not know the request.
NO_AUTHORIZER = (SecurityDisabled, UnsupportedVersionError)


class _CreateAcls(Request[CreateAclsRequest_v1]):  # type: ignore[misc]  # aiokafka carries no types
    """aiokafka's own request creates one a time."""

    API_KEY = CreateAclsRequest_v1.API_KEY

    def __init__(self, rules: Iterable[Acl]) -> None:
        self._rules = [_wire(rule) for rule in rules]

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._rules)


class _DeleteAcls(Request[DeleteAclsRequest_v1]):  # type: ignore[misc]
    API_KEY = DeleteAclsRequest_v1.API_KEY

    def __init__(self, rules: Iterable[Acl]) -> None:
        self._rules = [_wire(rule) for rule in rules]

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._rules)


def _wire(rule: Acl) -> tuple[Any, ...]:
    who = (rule.principal, rule.host)
    return (int(rule.resource), rule.name, int(rule.pattern), *who, int(rule.operation), int(rule.permission))


class Authorizer:
    """The part of a broker that holds ACLs. Errors are aiokafka's; `problem` puts them in words."""

    def __init__(self, connection: AIOKafkaClient) -> None:
        self._connection = connection

    async def rules(self) -> list[Acl]:
        """All of the cluster's, whoever made them. What a newer Kafka may hold and we do not know is left out."""
        answer = await self._ask(DescribeAclsRequest(ANY, None, ANY, None, None, ANY, ANY))
        _check(answer.error_code, answer.error_message)
        return [
            Acl(principal, Resource(kind), name, Pattern(pattern), Operation(operation), Permission(permission), host)
            for kind, name, pattern, held in answer.resources
            for principal, host, operation, permission in held
            if _known(kind, pattern, operation, permission)
        ]

    async def create(self, rules: Iterable[Acl]) -> None:
        """Add rules. One that is there already stays as it is."""
        answer = await self._ask(_CreateAcls(rules))
        for code, message in answer.creation_responses:
            _check(code, message)

    async def delete(self, rules: Iterable[Acl]) -> None:
        """Remove exactly these rules."""
        answer = await self._ask(_DeleteAcls(rules))
        for code, message, _matching in answer.filter_responses:
            _check(code, message)

    async def refuses_what_nothing_allows(self) -> bool:
        """Whether the rules are applied to us: a topic that no rule lets us see looks forbidden, not merely missing."""
        answer = await self._ask(MetadataRequest([UNSEEN], allow_auto_topic_creation=False))
        return [topic[0] for topic in answer.topics] == [TopicAuthorizationFailedError.errno]

    async def _ask(self, request: Any) -> Any:
        return await self._connection.send(self._connection.get_random_node(), request)


def _known(kind: int, pattern: int, operation: int, permission: int) -> bool:
    codes = ((Resource, kind), (Pattern, pattern), (Operation, operation), (Permission, permission))
    return all(code in set(known) for known, code in codes)


def _check(code: int, message: str | None) -> None:
    if code:
        raise for_code(code)(message or "")


@asynccontextmanager
async def authorizer(settings: Settings) -> AsyncIterator[Authorizer]:
    """Connected as the settings say. Raises Unavailable when there is no broker, or it refuses the credentials."""
    connection = AIOKafkaClient(**client_settings(settings))
    try:
        await _log_in(connection, settings)
        yield Authorizer(connection)
    except (KafkaConnectionError, OSError) as error:
        raise unavailable(settings, error) from error
    except ClusterAuthorizationFailedError as error:
        raise _refused(settings) from error
    except NO_AUTHORIZER as error:
        raise VioxError(
            "kafka.no_acls",
            "this broker has no ACLs.",
            field="VIOX_KAFKA_BOOTSTRAP_SERVERS",
            remedy="Give it an authorizer (authorizer.class.name), or use `viox up --broker apache`.",
        ) from error
    finally:
        await connection.close()


async def _log_in(connection: AIOKafkaClient, settings: Settings) -> None:
    try:
        await connection.bootstrap()
    except (KafkaConnectionError, OSError) as error:
        raise await explained(settings, error) from error


def _refused(settings: Settings) -> VioxError:
    who = settings.kafka_sasl_plain_username or "an anonymous client"
    return VioxError(
        "kafka.acls_refused",
        f"the broker does not let {who} see or change its ACLs.",
        field="VIOX_KAFKA_SASL_PLAIN_USERNAME",
        remedy="To see them a principal needs DESCRIBE on the cluster, to change them ALTER.",
    )


async def difference(settings: Settings) -> acls.Difference:
    """How the cluster's ACLs differ from those that the topics want."""
    async with authorizer(settings) as held:
        return acls.compare(await held.rules(), Principals(settings.kafka_principal))


async def apply(settings: Settings, *, prune: bool = False) -> tuple[list[Acl], list[Acl]]:
    """Bring the cluster's ACLs to what the topics want; returns what was created and removed.

    Rules of our principals that nothing asks for are removed with `prune` only, those of others never.
    """
    async with authorizer(settings) as held:
        differs = acls.compare(await held.rules(), Principals(settings.kafka_principal))
        if differs.missing:
            await held.create(differs.missing)
        removed = list(differs.stale) if prune else []
        if removed:
            await held.delete(removed)
        return list(differs.missing), removed


async def examine(settings: Settings) -> tuple[acls.Difference, str, str]:
    """How the rules differ, whether the broker tells our services apart by them, and if not, why.

    Brokers exist that keep rules and never look at them, so the last word has what the broker does.
    """
    async with authorizer(settings) as held:
        differs = acls.compare(await held.rules(), Principals(settings.kafka_principal))
        if not (settings.kafka_sasl_mechanism or settings.kafka_ssl_certfile):
            return differs, NOT_ENFORCED, "clients do not log in, so that the broker cannot tell them apart"
        if differs.problems:
            first = {name: str(rules[0]) for name, rules in differs.problems.items()}
            return differs, NOT_ENFORCED, "; ".join(f"{name}: {rule}" for name, rule in first.items())
        if not await held.refuses_what_nothing_allows():
            return differs, NOT_CHECKED, "the broker refuses this user nothing: a super user, or it ignores the rules"
        return differs, ENFORCED, ""


async def identity(settings: Settings) -> tuple[str, str]:
    """Whether the broker tells our services apart, as far as these settings may see it; and if not, why."""
    try:
        _differs, found, why = await examine(settings)
    except VioxError as error:
        return NOT_ENFORCED if error.code == "kafka.no_acls" else NOT_CHECKED, error.message
    return found, why

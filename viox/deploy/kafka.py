"""Strimzi's objects: the cluster, a topic for each of ours, a user for each client with exactly its rights."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from shared.bus import acls, topics
from shared.bus.acls import Acl, Pattern, Principals, Resource
from viox.deploy.documents import PART_OF, Object, dump, kustomization, made
from viox.deploy.facts import PARTITIONS

API: Final = "kafka.strimzi.io/v1"
CLUSTER: Final = "viox"
VERSION: Final = "4.3.1"
REPLICAS: Final = 3
IN_SYNC: Final = 2
PRINCIPAL: Final = "User:viox-{service}"  # the setting VIOX_KAFKA_PRINCIPAL, as it is by default
SCALER: Final = "viox-scaler"
WEEK_MS: Final = 7 * 24 * 3600 * 1000
KINDS: Final = {Resource.TOPIC: "topic", Resource.GROUP: "group", Resource.CLUSTER: "cluster"}
LISTENER: Final = 9093
# What Pod Security's `restricted` asks of a container; by itself Strimzi's operator writes less.
RESTRICTED: Final = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def files() -> Iterator[tuple[str, str]]:
    """(path below deploy/k8s/base, content)."""
    for service in acls.SERVICES:
        yield f"{service}/kafka-user.yaml", dump(user(service))
    yield "kafka/cluster.yaml", dump(cluster())
    yield "kafka/node-pools.yaml", dump(*node_pools())
    yield "kafka/topics.yaml", dump(*(topic(each) for each in topics.all_topics()))
    yield "kafka/users.yaml", dump(user(topics.UPSTREAM), user(topics.OPERATOR_CLI))
    names = ["cluster.yaml", "node-pools.yaml", "topics.yaml", "users.yaml"]
    yield "kafka/kustomization.yaml", kustomization(names)


def cluster() -> Object:
    """Clients come in over TLS only, prove who they are, and may do what their user says. There is no super user of ours."""
    kafka = {
        "version": VERSION,
        "listeners": [
            {
                "name": "tls",
                "port": LISTENER,
                "type": "internal",
                "tls": True,
                "authentication": {"type": "scram-sha-512"},
                "networkPolicyPeers": [
                    {"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": PART_OF}}},
                    {"namespaceSelector": {"matchLabels": {"viox.dev/operators": "allowed"}}},  # KEDA's
                ],
            }
        ],
        "authorization": {"type": "simple"},
        "config": {
            "auto.create.topics.enable": False,
            "allow.everyone.if.no.acl.found": False,
            "default.replication.factor": REPLICAS,
            "min.insync.replicas": IN_SYNC,
            "offsets.topic.replication.factor": REPLICAS,
            # Open connections of a user who lost access end within this time.
            "connections.max.reauth.ms": 3600000,
        },
    }
    names = ("topicOperator", "userOperator")
    secure = {f"{name}Container": {"securityContext": RESTRICTED} for name in names}
    operator = {name: {"resources": _small()} for name in names} | {"template": secure}
    spec = {"kafka": kafka, "entityOperator": operator}
    return made(API, "Kafka", CLUSTER, "kafka", spec)


def _small() -> Object:
    return {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}


def node_pools() -> list[Object]:
    return [_pool("controllers", "controller", "10Gi", "1Gi"), _pool("brokers", "broker", "100Gi", "4Gi")]


def _pool(name: str, role: str, disk: str, memory: str) -> Object:
    volume = {"id": 0, "type": "persistent-claim", "size": disk, "deleteClaim": False, "kraftMetadata": "shared"}
    spec = {
        "replicas": REPLICAS,
        "roles": [role],
        "storage": {"type": "jbod", "volumes": [volume]},
        "resources": {"requests": {"cpu": "250m", "memory": memory}, "limits": {"memory": memory}},
        "template": {
            "pod": {"topologySpreadConstraints": [_spread(name)]},
            "kafkaContainer": {"securityContext": RESTRICTED},
        },
    }
    found = made(API, "KafkaNodePool", name, "kafka", spec)
    found["metadata"]["labels"]["strimzi.io/cluster"] = CLUSTER
    return found


def _spread(pool: str) -> Object:
    return {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"strimzi.io/pool-name": pool}},
    }


def topic(one: topics.Topic) -> Object:
    """Postgres remembers, Kafka carries: a week is longer than any outage. Signed checkpoints are the one thing kept for good."""
    kept = -1 if one.name == topics.AUDIT_CHECKPOINTS else WEEK_MS
    config = {"retention.ms": kept, "min.insync.replicas": IN_SYNC, "max.message.bytes": 2 * topics.MAX_RECORD_BYTES}
    spec = {"partitions": PARTITIONS, "replicas": REPLICAS, "config": config}
    return _of_cluster(made(API, "KafkaTopic", one.name, "kafka", spec))


def user(service: str) -> Object:
    """A client that logs in with a password of Strimzi's making, which is in the Secret of the same name."""
    principals = Principals(PRINCIPAL)
    name = principals.of(service)
    mine = [rule for rule in acls.wanted(principals) if rule.principal == name]
    return _user(name.removeprefix("User:"), service, _rules(mine))


def scaler() -> Object:
    """Who looks at lags: sees topics and groups, reads and writes nothing."""
    prefixes = (("topic", acls.PREFIX), ("group", acls.PREFIX))
    return _user(
        SCALER,
        "scaler",
        [
            {"resource": {"type": kind, "name": name, "patternType": "prefix"}, "operations": ["Describe"]}
            for kind, name in prefixes
        ],
    )


def _user(name: str, of: str, rules: list[Object]) -> Object:
    spec = {"authentication": {"type": "scram-sha-512"}, "authorization": {"type": "simple", "acls": rules}}
    return _of_cluster(made(API, "KafkaUser", name, of, spec))


def _rules(mine: list[Acl]) -> list[Object]:
    """One entry for each thing, with all that may be done with it."""
    return [
        {"resource": _resource(*thing), "operations": [_named(rule) for rule in rules]}
        for thing, rules in groupby(sorted(mine), key=lambda rule: (rule.resource, rule.name, rule.pattern))
    ]


def _resource(kind: Resource, name: str, pattern: Pattern) -> Object:
    if kind is Resource.CLUSTER:
        return {"type": "cluster"}
    return {"type": KINDS[kind], "name": name, "patternType": "prefix" if pattern is Pattern.PREFIXED else "literal"}


def _named(rule: Acl) -> str:
    return "".join(part.capitalize() for part in rule.operation.name.split("_"))


def _of_cluster(found: Object) -> Object:
    found["metadata"]["labels"]["strimzi.io/cluster"] = CLUSTER
    return found


def acls_of(user: Object) -> list[Acl]:
    """A KafkaUser's rights as rules of a broker: what Strimzi's user operator makes of it."""
    principal = f"User:{user['metadata']['name']}"
    kinds = {name: kind for kind, name in KINDS.items()}
    return sorted(
        Acl(
            principal,
            kinds[entry["resource"]["type"]],
            entry["resource"].get("name", acls.CLUSTER_NAME),
            Pattern.PREFIXED if entry["resource"].get("patternType") == "prefix" else Pattern.LITERAL,
            _operation(operation),
        )
        for entry in user["spec"]["authorization"]["acls"]
        for operation in entry["operations"]
    )


def _operation(name: str) -> acls.Operation:
    """`DescribeConfigs` → DESCRIBE_CONFIGS."""
    plain = {"".join(part.capitalize() for part in one.name.split("_")): one for one in acls.Operation}
    return plain[name]

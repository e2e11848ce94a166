"""What operators would make of our objects, as far as our services and policies have to do with it. None of them runs here.

Strimzi: pods, Services, its network policy, Secrets of users and of its authority. CloudNativePG: pods, Services, the Secret
of its authority. External Secrets: the Secrets. KEDA: the least number of replicas.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from viox.deploy import kafka, postgres
from viox.deploy.documents import PART_OF, Object, made
from viox.deploy.reading import of_kind

MADE_UP = "made-up"
BROKERS = 9091  # Strimzi's own listener


def play(objects: list[Object]) -> Iterator[Object]:
    yield from external_secrets(objects)
    yield from strimzi(objects)
    yield from cloudnative_pg(objects)


def external_secrets(objects: list[Object]) -> Iterator[Object]:
    for one in of_kind(objects, "ExternalSecret"):
        target = one["spec"]["target"]
        template = target.get("template", {})
        keys = template.get("data") or {each["secretKey"]: "" for each in one["spec"].get("data", [])}
        yield _secret(target["name"], *keys, kind=template.get("type", "Opaque"))


def strimzi(objects: list[Object]) -> Iterator[Object]:
    for one in of_kind(objects, "KafkaUser"):
        yield _secret(one["metadata"]["name"], "password", "sasl.jaas.config")
    for one in of_kind(objects, "Kafka"):
        name = one["metadata"]["name"]
        yield _secret(f"{name}-cluster-ca-cert", "ca.crt", "ca.p12", "ca.password")
        brokers = _strimzi_labels(name, "kafka")
        ports = [listener["port"] for listener in one["spec"]["kafka"]["listeners"]]
        yield _service(f"{name}-kafka-bootstrap", brokers | {"strimzi.io/broker-role": "true"}, BROKERS, *ports)
        yield _policy_of_strimzi(one)
        yield _entity_operator(one)
        for pool in of_kind(objects, "KafkaNodePool"):
            yield from _kafka_pods(name, pool)


def _strimzi_labels(cluster: str, part: str) -> dict[str, str]:
    return {"strimzi.io/cluster": cluster, "strimzi.io/kind": "Kafka", "strimzi.io/name": f"{cluster}-{part}"}


def _kafka_pods(cluster: str, pool: Object) -> Iterator[Object]:
    """Pod Security is asked about what the pool's template says of containers: Strimzi's own defaults are less."""
    name, roles = pool["metadata"]["name"], pool["spec"]["roles"]
    labels = _strimzi_labels(cluster, "kafka") | {"strimzi.io/pool-name": name}
    labels |= {f"strimzi.io/{role}-role": str(role in roles).lower() for role in ("broker", "controller")}
    template = pool["spec"].get("template", {}).get("kafkaContainer", {})
    for number in range(pool["spec"]["replicas"]):
        yield _pod(f"{cluster}-{name}-{number}", labels, template.get("securityContext", {}))


def _entity_operator(one: Object) -> Object:
    name = one["metadata"]["name"]
    template = one["spec"]["entityOperator"].get("template", {})
    own = template.get("topicOperatorContainer", {}).get("securityContext", {})
    return _pod(f"{name}-entity-operator", _strimzi_labels(name, "entity-operator"), own)


def _policy_of_strimzi(one: Object) -> Object:
    """Who may come in: to its own ports itself and its operators, to each listener whom that names."""
    name = one["metadata"]["name"]
    own = [{"podSelector": {"matchLabels": _strimzi_labels(name, part)}} for part in ("kafka", "entity-operator")]
    rules = [{"from": own, "ports": [{"protocol": "TCP", "port": BROKERS}]}]
    for listener in one["spec"]["kafka"]["listeners"]:
        peers = {"from": listener["networkPolicyPeers"]} if "networkPolicyPeers" in listener else {}
        rules.append({"ports": [{"protocol": "TCP", "port": listener["port"]}], **peers})
    selector = {"matchLabels": _strimzi_labels(name, "kafka")}
    spec = {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": rules}
    return made("networking.k8s.io/v1", "NetworkPolicy", f"{name}-network-policy-kafka", "kafka", spec)


def cloudnative_pg(objects: list[Object]) -> Iterator[Object]:
    restricted = kafka.RESTRICTED  # its pods are, by themselves
    for one in (each for each in of_kind(objects, "Cluster") if each["apiVersion"] == postgres.API):
        name = one["metadata"]["name"]
        yield _secret(f"{name}-ca", "ca.crt", "ca.key")
        labels = {"cnpg.io/cluster": name, "cnpg.io/podRole": "instance"}
        yield _service(f"{name}-rw", labels | {"cnpg.io/instanceRole": "primary"}, 5432)
        for number in range(1, one["spec"]["instances"] + 1):
            role = {"cnpg.io/instanceRole": "primary" if number == 1 else "replica"}
            yield _pod(f"{name}-{number}", labels | role, restricted)


def _secret(name: str, *keys: str, kind: str = "Opaque") -> Object:
    return made("v1", "Secret", name, PART_OF, type=kind, stringData=dict.fromkeys(keys, MADE_UP))


def _service(name: str, selector: dict[str, str], *ports: int) -> Object:
    spec = {"selector": selector, "ports": [{"name": f"port-{port}", "port": port} for port in ports]}
    return made("v1", "Service", name, PART_OF, spec)


def _pod(name: str, labels: dict[str, str], security: Any) -> Object:
    container = {"name": "main", "image": f"example.com/{MADE_UP}:1", "securityContext": security}
    spec = {"containers": [container], "automountServiceAccountToken": False}
    found = made("v1", "Pod", name, PART_OF, spec)
    found["metadata"]["labels"] = labels
    return found


def least_replicas(objects: list[Object]) -> dict[str, int]:
    """What KEDA would see to: Deployment → replicas."""
    return {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]["minReplicaCount"]
        for one in of_kind(objects, "ScaledObject")
    }

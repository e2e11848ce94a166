"""KEDA's objects: replicas by the lag of what a service consumes, never more than there are partitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from shared.bus import topics
from viox.deploy import kafka
from viox.deploy.documents import PART_OF, Object, component, dump, made
from viox.deploy.facts import MOST_REPLICAS, NAMESPACE, Service, every_service

API: Final = "keda.sh/v1alpha1"
# KEDA asks from a namespace of its own, where a short name would be another service's.
KAFKA: Final = f"{kafka.CLUSTER}-kafka-bootstrap.{NAMESPACE}.svc:{kafka.LISTENER}"
LOGIN: Final = "viox-kafka"
LAG_OF_A_REPLICA: Final = 50
LEAST: Final = 2
NO_REPLICAS: Final = "- op: remove\n  path: /spec/replicas\n"
CALM_SECONDS: Final = 300  # before replicas are taken away, each of which hands its partitions over


def files() -> Iterator[tuple[str, str]]:
    """(path below deploy/k8s/components, content)."""
    scaled = [one for one in every_service() if one.on_kafka]
    for one in scaled:
        yield f"keda/{one.name}.yaml", dump(scaled_object(one))
    yield "keda/login.yaml", dump(login(), login_name(), kafka.scaler())
    # KEDA decides how many there are, so that the manifest does not say it.
    taken = [{"target": {"kind": "Deployment", "name": one.name}, "patch": NO_REPLICAS} for one in scaled]
    yield "keda/kustomization.yaml", component(["login.yaml", *(f"{one.name}.yaml" for one in scaled)], patches=taken)


def scaled_object(one: Service) -> Object:
    """A trigger for each topic; the one that asks for most replicas decides."""
    spec = {
        "scaleTargetRef": {"name": one.name},
        "minReplicaCount": LEAST,
        "maxReplicaCount": MOST_REPLICAS,
        "pollingInterval": 15,
        # Where Kafka cannot be asked, what runs goes on.
        "fallback": {"failureThreshold": 4, "replicas": LEAST, "behavior": "currentReplicasIfHigher"},
        "advanced": {
            "horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": CALM_SECONDS}}}
        },
        "triggers": [_trigger(one.name, topic) for topic in topics.consumed_by(one.name)],
    }
    return made(API, "ScaledObject", one.name, one.name, spec)


def _trigger(service: str, topic: str) -> Object:
    return {
        "type": "kafka",
        "metadata": {
            "bootstrapServers": KAFKA,
            "consumerGroup": topics.group_of(service),
            "topic": topic,
            "lagThreshold": str(LAG_OF_A_REPLICA),
            "offsetResetPolicy": "earliest",
            "sasl": "scram_sha512",
            "tls": "enable",
        },
        "authenticationRef": {"name": LOGIN},
    }


def login() -> Object:
    """KEDA's operator logs in as a user who sees lags and nothing else."""
    secrets = [
        {"parameter": "password", "name": kafka.SCALER, "key": "password"},
        {"parameter": "ca", "name": f"{kafka.CLUSTER}-cluster-ca-cert", "key": "ca.crt"},
    ]
    names = [{"parameter": "username", "name": kafka.SCALER, "key": "username"}]
    return made(API, "TriggerAuthentication", LOGIN, PART_OF, {"secretTargetRef": secrets, "configMapTargetRef": names})


def login_name() -> Object:
    return made("v1", "ConfigMap", kafka.SCALER, PART_OF, data={"username": kafka.SCALER})

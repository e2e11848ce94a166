"""Manifests keep every rule, and each rule finds what breaks it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from shared.bus import topics
from viox.deploy import network, rules
from viox.deploy.facts import DEPLOY
from viox.deploy.rules import Rule

Objects = list[dict[str, Any]]
Break = Callable[[Objects], object]
NO_OBJECTS = ("Kustomization", "Component")


def written() -> Objects:
    """Every object of base and components, as it is before overlays."""
    files = [*(DEPLOY / "k8s" / "base").rglob("*.yaml"), *(DEPLOY / "k8s" / "components").rglob("*.yaml")]
    found = [one for file in sorted(files) for one in yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader)]
    return [one for one in found if one["kind"] not in NO_OBJECTS and one["spec" if "spec" in one else "kind"]]


def optional(one: dict[str, Any]) -> bool:
    """What an overlay has for a purpose of its own, and a patch that is no whole object."""
    return one["metadata"]["name"] == network.OIDC or (one["kind"] == "Cluster" and "instances" not in one["spec"])


ALL = [one for one in written() if not optional(one)]


def get(objects: Objects, kind: str, name: str) -> Any:
    return next(one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name)


def closer(objects: Objects) -> Any:
    return get(objects, "Deployment", "closer")["spec"]["template"]["spec"]


def put(path: str, value: Any) -> Break:
    """A case: put a value at `Kind/name/path`, where numbers are places in lists. `+` adds to a list; None takes away."""
    kind, name, *steps = path.split("/")

    def act(objects: Objects) -> None:
        here = get(objects, kind, name)
        steps_ = [step.replace("~", "/") for step in steps]
        for step in steps_[:-1]:
            here = here[int(step)] if step.isdigit() else here[step]
        last = steps_[-1]
        if last == "+":
            here.append(value)
        elif value is None:
            here.pop(int(last) if last.isdigit() else last)
        else:
            here[int(last) if last.isdigit() else last] = value

    return act


def without(kind: str, name: str) -> Break:
    return lambda objects: objects.remove(get(objects, kind, name))


POD = "Deployment/closer/spec/template/spec"
CONTAINER = f"{POD}/containers/0"
ENV = f"{CONTAINER}/env/+"
READ_ALL = {"resource": {"type": "topic", "name": "viox.", "patternType": "prefix"}, "operations": ["Read"]}
WRITE_OTHER = {
    "resource": {"type": "topic", "name": "viox.tool-calls.voice", "patternType": "literal"},
    "operations": ["Write"],
}
ALERTS = "PrometheusRule/viox/spec/groups/0/rules/0/expr"
ANY = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}

PROVIDER = put(
    "Deployment/console/spec/template/spec/containers/0/env/+", {"name": "VIOX_OIDC_ISSUER", "value": "https://x"}
)

CASES: list[tuple[Rule, Break]] = [
    (rules.services_are_all_there, without("Deployment", "voice")),
    (rules.services_are_all_there, without("PodDisruptionBudget", "console")),
    (rules.every_topic_and_none_besides, without("KafkaTopic", "viox.tasks.voice")),
    (rules.every_topic_and_none_besides, put("KafkaTopic/viox.runs/metadata/name", "viox.walks")),
    (rules.every_user_has_its_rights_and_no_more, without("KafkaUser", "viox-upstream")),
    (rules.every_user_has_its_rights_and_no_more, put("KafkaUser/viox-closer/spec/authorization/acls/+", WRITE_OTHER)),
    (rules.every_user_has_its_rights_and_no_more, put("KafkaUser/viox-scaler/spec/authorization/acls/+", READ_ALL)),
    (rules.every_user_has_its_rights_and_no_more, put("KafkaUser/viox-voice/spec/authorization/acls/0", None)),
    (rules.every_user_has_its_rights_and_no_more, put("KafkaUser/viox-voice/metadata/name", "viox-thief")),
    (rules.everyone_proves_who_they_are, put("Kafka/viox/spec/kafka/listeners/0/tls", False)),
    (rules.everyone_proves_who_they_are, put("Kafka/viox/spec/kafka/listeners/0/authentication", None)),
    (rules.everyone_proves_who_they_are, put("Kafka/viox/spec/kafka/authorization/superUsers", ["viox-closer"])),
    (rules.partitions_for_every_replica, put("ScaledObject/closer/spec/maxReplicaCount", 7)),
    (rules.partitions_for_every_replica, put("KafkaTopic/viox.tool-calls.voice/spec/partitions", 5)),
    (rules.partitions_for_every_replica, put("Deployment/closer/spec/replicas", 9)),
    (rules.scaling_looks_at_what_is_consumed, put("ScaledObject/closer/spec/triggers/0", None)),
    (rules.scaling_looks_at_what_is_consumed, put("ScaledObject/closer/spec/minReplicaCount", 0)),
    (rules.every_pod_is_in_a_policy_of_its_own, without("NetworkPolicy", "default-deny")),
    (rules.every_pod_is_in_a_policy_of_its_own, without("NetworkPolicy", "gateway")),
    (rules.every_pod_is_in_a_policy_of_its_own, without("NetworkPolicy", "closer")),
    (rules.every_pod_is_in_a_policy_of_its_own, without("NetworkPolicy", "migrate")),
    (
        rules.every_pod_is_in_a_policy_of_its_own,
        put("NetworkPolicy/gateway/spec/podSelector/matchLabels/app.kubernetes.io~name", "gatewya"),
    ),
    (rules.only_the_gateway_goes_where_it_likes, put("NetworkPolicy/closer/spec/egress/+", ANY)),
    (
        rules.only_the_gateway_goes_where_it_likes,
        put("NetworkPolicy/console/spec/egress/+", {"ports": [{"port": 443}]}),
    ),
    (rules.only_the_gateway_goes_where_it_likes, put("NetworkPolicy/model-apis/spec/egress/0/ports/+", {"port": 80})),
    (rules.only_the_gateway_goes_where_it_likes, lambda objects: objects.append(network.of_sign_in())),
    (rules.signing_in_has_a_way_out, PROVIDER),
    (rules.only_the_doors_are_open, put("HTTPRoute/gateway/spec/rules/0/matches/0/path/value", "/")),
    (rules.only_the_doors_are_open, put("HTTPRoute/console/spec/rules/0/backendRefs/0/name", "closer")),
    (rules.only_the_doors_are_open, put("Service/gateway/spec/type", "LoadBalancer")),
    (rules.every_container_is_restricted, put(f"{CONTAINER}/securityContext/readOnlyRootFilesystem", False)),
    (rules.every_container_is_restricted, put(f"{CONTAINER}/securityContext/capabilities/add", ["NET_RAW"])),
    (rules.every_container_is_restricted, put(f"{CONTAINER}/securityContext/allowPrivilegeEscalation", None)),
    (rules.every_container_is_restricted, put(f"{POD}/initContainers/0/securityContext", None)),
    (rules.every_container_is_restricted, put(f"{POD}/securityContext/runAsNonRoot", False)),
    (rules.every_container_is_restricted, put(f"{POD}/automountServiceAccountToken", None)),
    (rules.every_container_is_restricted, put(f"{POD}/hostNetwork", True)),
    (rules.every_container_is_restricted, put(f"{POD}/volumes/+", {"name": "node", "hostPath": {"path": "/"}})),
    (rules.every_container_is_restricted, put(f"{CONTAINER}/resources", None)),
    (rules.pods_of_kafka_are_restricted, put("KafkaNodePool/brokers/spec/template/kafkaContainer", None)),
    (rules.pods_of_kafka_are_restricted, put("Kafka/viox/spec/entityOperator/template/userOperatorContainer", None)),
    (
        rules.namespaces_are_restricted,
        put("Namespace/viox/metadata/labels/pod-security.kubernetes.io~enforce", "baseline"),
    ),
    (rules.images_are_pinned, put(f"{CONTAINER}/image", "ghcr.io/viox-os/viox:latest")),
    (rules.images_are_pinned, put(f"{CONTAINER}/image", "localhost:5000/viox")),
    (rules.images_are_pinned, put(f"{CONTAINER}/image", "ghcr.io/viox-os/viox:0.0.9")),
    (rules.images_are_pinned, put("Cluster/viox-postgres/spec/imageName", "ghcr.io/cloudnative-pg/postgresql")),
    (rules.secrets_are_references, put(ENV, {"name": "OPENAI_API_KEY", "value": "x"})),
    (rules.secrets_are_references, put(ENV, {"name": "HINT", "value": "sk_live_4eC39HqLyjWDarjtT1zdp7dc"})),
    (
        rules.secrets_are_references,
        put(ENV, {"name": "VIOX_POSTGRES_DSN", "value": "postgresql://viox:hunter2@db/viox"}),
    ),
    (
        rules.secrets_are_references,
        lambda objects: objects.append({"kind": "Secret", "metadata": {"name": "x"}, "stringData": {"a": "b"}}),
    ),
    (rules.only_who_needs_a_secret_gets_it, put(f"{CONTAINER}/envFrom", [{"secretRef": {"name": "viox-vendors"}}])),
    (
        rules.only_who_needs_a_secret_gets_it,
        put(f"{POD}/volumes/+", {"name": "keys", "secret": {"secretName": "viox-gateway-keys"}}),
    ),
    (
        rules.pods_stop_after_their_longest_call,
        put("Deployment/gateway/spec/template/spec/terminationGracePeriodSeconds", 600),
    ),
    (rules.pods_stop_after_their_longest_call, put(f"{POD}/terminationGracePeriodSeconds", None)),
    (rules.probes_ask_what_is_served, put(f"{CONTAINER}/readinessProbe/httpGet/path", "/healthz")),
    (rules.probes_ask_what_is_served, put(f"{CONTAINER}/ports/0/containerPort", 8081)),
    (rules.probes_ask_what_is_served, put(f"{CONTAINER}/startupProbe", None)),
    (rules.metrics_in_rules_exist, put(ALERTS, "viox_mood < 1")),
    (rules.budgets_let_nodes_be_drained, put("PodDisruptionBudget/voice/spec/maxUnavailable", 0)),
]


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_manifests_keep_every_rule(rule: Rule) -> None:
    assert list(rule(ALL)) == []


@pytest.mark.parametrize(("rule", "act"), CASES, ids=[f"{rule.__name__}-{n}" for n, (rule, _) in enumerate(CASES)])
def test_what_breaks_a_rule_is_found(rule: Rule, act: Break) -> None:
    objects = copy.deepcopy(ALL)
    act(objects)
    assert list(rule(objects))


def test_every_rule_has_a_case_that_breaks_it() -> None:
    assert {rule for rule, _ in CASES} == set(rules.RULES)


def test_a_console_with_a_provider_may_ask_it_and_no_more() -> None:
    objects = copy.deepcopy(ALL)
    PROVIDER(objects)
    objects.append(network.of_sign_in())
    assert rules.broken(objects) == []
    objects[-1]["spec"]["egress"][0].pop("ports")
    assert list(rules.only_the_gateway_goes_where_it_likes(objects))


def test_topics_are_those_of_the_code() -> None:
    found = {one["metadata"]["name"] for one in ALL if one["kind"] == "KafkaTopic"}
    assert found == {one.name for one in topics.all_topics()}
    assert len(found) > 30

"""Rules that rendered manifests keep, beyond what schemas say. Each takes all objects and yields what breaks it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from prometheus_client.metrics import MetricWrapperBase

from shared.bus import acls, topics
from shared.bus.acls import Principals
from shared.telemetry import metrics
from viox.deploy import kafka, settings, sign_in
from viox.deploy.documents import Object
from viox.deploy.facts import CONSOLE, SERVICES, service
from viox.deploy.reading import containers, matches, name_of, of_kind, pods

Rule = Callable[[list[Object]], Iterator[str]]
METRIC: Final = re.compile(r"\bviox_[a-z0-9_]+\b")
# What looks like a secret in a plain value: a password in an address, or keys as vendors and we make them.
SECRET_VALUE: Final = re.compile(
    r"://[^/\s:@]+:(?!\$[({])[^/\s@]+@|\b(sk|pk|rk)[-_](live|test|ant)?[-_]?[A-Za-z0-9]{16,}|-----BEGIN [A-Z ]*PRIVATE KEY"
)
SECRET_NAME: Final = re.compile(r"(PASSWORD|SECRET|TOKEN|API_KEY|_KEY|CREDENTIAL)S?(_[A-Z]+)?$")
# Named like secrets, and none: files and folders.
PLAIN_NAMES: Final = ("VIOX_AUDIT_KEY", "VIOX_SECRETS_DIR")


def every_topic_and_none_besides(objects: list[Object]) -> Iterator[str]:
    wanted = {one.name for one in topics.all_topics()}
    found = [one["spec"].get("topicName", one["metadata"]["name"]) for one in of_kind(objects, "KafkaTopic")]
    for name in sorted(wanted - set(found)):
        yield f"there is no KafkaTopic for {name}, which the code has"
    for name in sorted(set(found) - wanted):
        yield f"KafkaTopic {name} is no topic of the code"


def every_user_has_its_rights_and_no_more(objects: list[Object]) -> Iterator[str]:
    users = {f"User:{one['metadata']['name']}": one for one in of_kind(objects, "KafkaUser")}
    principals = Principals(kafka.PRINCIPAL)
    wanted = acls.wanted(principals)
    for principal in principals.all.values():
        if principal not in users:
            yield f"there is no KafkaUser for {principal}"
    for principal, one in users.items():
        mine = {rule for rule in wanted if rule.principal == principal}
        found = set(kafka.acls_of(one))
        if one["metadata"]["name"] == kafka.SCALER:
            mine = set(kafka.acls_of(kafka.scaler()))
        yield from (f"{name_of(one)} may not do what its service has to: {rule}" for rule in sorted(mine - found))
        yield from (f"{name_of(one)} may do more than its service has to: {rule}" for rule in sorted(found - mine))


def everyone_proves_who_they_are(objects: list[Object]) -> Iterator[str]:
    """Kafka takes nobody without TLS and a password; nobody is a super user."""
    for one in of_kind(objects, "Kafka"):
        spec = one["spec"]["kafka"]
        if spec.get("authorization", {}).get("type") != "simple" or spec["authorization"].get("superUsers"):
            yield f"{name_of(one)}: authorization is not `simple` without super users"
        for listener in spec["listeners"]:
            if not listener.get("tls") or listener.get("authentication", {}).get("type") != "scram-sha-512":
                yield f"{name_of(one)}: listener {listener['name']} takes clients without TLS or SCRAM-SHA-512"


def partitions_for_every_replica(objects: list[Object]) -> Iterator[str]:
    partitions = {one["metadata"]["name"]: one["spec"]["partitions"] for one in of_kind(objects, "KafkaTopic")}
    most = {one["metadata"]["name"]: one["spec"].get("replicas", 1) for one in of_kind(objects, "Deployment")}
    for one in of_kind(objects, "ScaledObject"):
        target = one["spec"]["scaleTargetRef"]["name"]
        most[target] = max(most.get(target, 0), one["spec"]["maxReplicaCount"])
    for name, replicas in most.items():
        for topic in topics.consumed_by(name):
            if partitions.get(topic, 0) < replicas:
                yield f"{name} may have {replicas} replicas, {topic} has {partitions.get(topic, 0)} partitions"


def scaling_looks_at_what_is_consumed(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "ScaledObject"):
        target = one["spec"]["scaleTargetRef"]["name"]
        looked = {trigger["metadata"].get("topic") for trigger in one["spec"]["triggers"]}
        groups = {trigger["metadata"].get("consumerGroup") for trigger in one["spec"]["triggers"]}
        if looked != set(topics.consumed_by(target)) or groups != {topics.group_of(target)}:
            yield f"{name_of(one)} looks at {sorted(map(str, looked))} of {sorted(map(str, groups))}"
        if one["spec"].get("minReplicaCount", 0) < 1:
            yield f"{name_of(one)} may end the last replica"


def every_pod_is_in_a_policy_of_its_own(objects: list[Object]) -> Iterator[str]:
    """Beside those that select every pod, of which one denies everything."""
    policies = of_kind(objects, "NetworkPolicy")
    general = [one["spec"] for one in policies if not one["spec"]["podSelector"]]
    if not any(_denies_all(spec) for spec in general):
        yield "no NetworkPolicy denies everything that none allows"
    for whose, labels, _ in pods(objects):
        if not any(_names(one["spec"]["podSelector"], labels) for one in policies):
            yield f"{whose} is selected by no NetworkPolicy of its own"
    selected = [labels for _, labels, _ in pods(objects)]
    foreign = (kafka.CLUSTER, "viox-postgres")  # pods that operators make
    for one in policies:
        selector = one["spec"]["podSelector"]
        theirs = set(selector.get("matchLabels", {}).values()) & set(foreign)
        if selector and not theirs and not any(matches(selector, labels) for labels in selected):
            yield f"{name_of(one)} selects no pod"


def _names(selector: Object, labels: dict[str, str]) -> bool:
    """Beside policies for everybody and for groups."""
    return bool(selector.get("matchLabels")) and matches(selector, labels)


def _denies_all(spec: Object) -> bool:
    both = set(spec["policyTypes"]) == {"Ingress", "Egress"}
    return both and not spec.get("ingress") and not spec.get("egress")


def only_the_gateway_goes_where_it_likes(objects: list[Object]) -> Iterator[str]:
    """Agents get out by HTTPS, to models; the console too where it has a provider to sign in with; migrations do not."""
    by_https = set(topics.AGENTS) | ({CONSOLE} if _has_a_provider(objects) else set())
    labelled = list(pods(objects))
    for one in of_kind(objects, "NetworkPolicy"):
        for rule in one["spec"].get("egress") or []:
            if not _reaches_outside(rule):
                continue
            for whose, labels, _ in labelled:
                if matches(one["spec"]["podSelector"], labels):
                    name = labels.get("app.kubernetes.io/name", whose)
                    only_https = [port.get("port") for port in rule.get("ports", [])] == [443]
                    if name != topics.GATEWAY and not (name in by_https and only_https):
                        yield f"{name_of(one)} lets {whose} reach the internet"


def signing_in_has_a_way_out(objects: list[Object]) -> Iterator[str]:
    """A console with a provider asks it for its keys."""
    labels = {"app.kubernetes.io/name": CONSOLE}
    mine = [one["spec"] for one in of_kind(objects, "NetworkPolicy") if matches(one["spec"]["podSelector"], labels)]
    ways = [rule for spec in mine for rule in spec.get("egress") or [] if _reaches_outside(rule)]
    if _has_a_provider(objects) and not ways:
        yield f"the console has {sign_in.ISSUER} and no NetworkPolicy lets it out: add components/oidc"


def _has_a_provider(objects: list[Object]) -> bool:
    names = {
        each["name"]
        for one in of_kind(objects, "Deployment")
        if one["metadata"]["name"] == CONSOLE
        for each in one["spec"]["template"]["spec"]["containers"][0].get("env", [])
    }
    return sign_in.ISSUER in names


def _reaches_outside(rule: Object) -> bool:
    return not rule.get("to") or any("ipBlock" in peer for peer in rule["to"])


def only_the_doors_are_open(objects: list[Object]) -> Iterator[str]:
    """Routes lead to the gateway's webhooks and live calls, and to the console; agents are asked by nobody outside."""
    open_paths = {topics.GATEWAY: {"/webhooks", "/v1/tools"}, "console": {"/"}}
    for one in of_kind(objects, "HTTPRoute"):
        for rule in one["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                paths = {match["path"]["value"] for match in rule.get("matches", [{"path": {"value": "/"}}])}
                if not paths <= open_paths.get(backend["name"], set()):
                    yield f"{name_of(one)} leads {', '.join(sorted(paths))} to {backend['name']}"
    for one in of_kind(objects, "Service"):
        if one["spec"].get("type", "ClusterIP") != "ClusterIP":
            yield f"{name_of(one)} is open as {one['spec']['type']}"


def every_container_is_restricted(objects: list[Object]) -> Iterator[str]:
    """As Pod Security's `restricted` wants it, a root file system that cannot be written, limits, and no token."""
    for whose, _, spec in pods(objects):
        whole = spec.get("securityContext", {})
        if not whole.get("runAsNonRoot") or whole.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{whose} may run as root, or without seccomp"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{whose} gets a token for the API server"
        if any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{whose} shares the node's network or processes"
        if any("hostPath" in volume for volume in spec.get("volumes", [])):
            yield f"{whose} mounts the node's files"
        for one in containers(spec):
            yield from _of_container(f"{whose}/{one['name']}", one)


def _of_container(where: str, one: Object) -> Iterator[str]:
    own = one.get("securityContext", {})
    if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
        yield f"{where} may gain privileges"
    if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
        yield f"{where} keeps capabilities"
    if own.get("readOnlyRootFilesystem") is not True:
        yield f"{where} may write its root file system"
    resources = one.get("resources", {})
    if not resources.get("limits", {}).get("memory") or set(resources.get("requests", {})) < {"cpu", "memory"}:
        yield f"{where} has no limit of memory, or requests nothing"


def pods_of_kafka_are_restricted(objects: list[Object]) -> Iterator[str]:
    """Strimzi makes them; what these say, it takes over."""
    for one in of_kind(objects, "KafkaNodePool"):
        yield from _as_restricted(one, one["spec"].get("template", {}), "kafkaContainer")
    for one in of_kind(objects, "Kafka"):
        template = one["spec"]["entityOperator"].get("template", {})
        yield from _as_restricted(one, template, "topicOperatorContainer", "userOperatorContainer")


def _as_restricted(one: Object, template: Object, *names: str) -> Iterator[str]:
    for name in names:
        if template.get(name, {}).get("securityContext") != kafka.RESTRICTED:
            yield f"{name_of(one)}: {name} is not as Pod Security's `restricted` wants it"


def namespaces_are_restricted(objects: list[Object]) -> Iterator[str]:
    spaces = of_kind(objects, "Namespace")
    if not spaces:
        yield "there is no Namespace"
    for one in spaces:
        if one["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{name_of(one)} does not enforce restricted pods"


def images_are_pinned(objects: list[Object]) -> Iterator[str]:
    images = [(whose, one["image"]) for whose, _, spec in pods(objects) for one in containers(spec)]
    images += [(name_of(one), one["spec"]["imageName"]) for one in objects if "imageName" in (one.get("spec") or {})]
    for whose, image in images:
        tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
        if "@sha256:" not in image and (not tag or tag == "latest"):
            yield f"{whose} runs {image}, which may be another one tomorrow"
    ours = {image for whose, image in images if "/viox:" in image or "/viox@" in image}
    if len(ours) > 1:
        yield f"services run different images: {', '.join(sorted(ours))}"


def secrets_are_references(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "Secret"):
        if one.get("data") or one.get("stringData"):
            yield f"{name_of(one)} has its values in the manifest"
    for whose, _, spec in pods(objects):
        for container in containers(spec):
            for each in container.get("env", []):
                if "value" in each and SECRET_NAME.search(each["name"]) and each["name"] not in PLAIN_NAMES:
                    yield f"{whose}: {each['name']} is written out"
    for one in objects:
        for text in _texts(one):
            if SECRET_VALUE.search(text):
                yield f"{name_of(one)} holds what looks like a secret"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def only_who_needs_a_secret_gets_it(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "Deployment"):
        name = one["metadata"]["name"]
        if name not in SERVICES:
            continue
        may = {secret for secret, _, _ in settings.secrets(service(name)).values()}
        may |= {secret for _, secret, _ in settings.files(service(name)).values()}
        may |= {sign_in.SECRET} if name == CONSOLE else set()
        spec = one["spec"]["template"]["spec"]
        for secret in sorted(_secrets_of(spec) - may):
            yield f"{name_of(one)} is given the Secret {secret}"


def _secrets_of(spec: Object) -> set[str]:
    found = {volume["secret"]["secretName"] for volume in spec.get("volumes", []) if "secret" in volume}
    for container in containers(spec):
        found |= {each["secretRef"]["name"] for each in container.get("envFrom", []) if "secretRef" in each}
        for each in container.get("env", []):
            reference = each.get("valueFrom", {}).get("secretKeyRef")
            found |= {reference["name"]} if reference else set()
    return found


def services_are_all_there(objects: list[Object]) -> Iterator[str]:
    for kind in ("Deployment", "Service", "PodDisruptionBudget"):
        found = {one["metadata"]["name"] for one in of_kind(objects, kind)}
        for name in sorted(set(SERVICES) - found):
            yield f"there is no {kind} of {name}"


def pods_stop_after_their_longest_call(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "Deployment"):
        name, spec = one["metadata"]["name"], one["spec"]["template"]["spec"]
        if name not in SERVICES or not service(name).on_kafka:
            continue
        given = {each["name"]: each.get("value") for each in spec["containers"][0]["env"]}
        drain = float(given.get("VIOX_DRAIN_SECONDS") or 0)
        longest = service(name).drain_seconds
        if drain < longest or spec.get("terminationGracePeriodSeconds", 30) <= drain:
            yield f"{name_of(one)} is killed before its longest call ({longest} s) has come back"


def probes_ask_what_is_served(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "Deployment"):
        spec = one["spec"]["template"]["spec"]["containers"][0]
        ports = {port["name"]: port["containerPort"] for port in spec.get("ports", [])}
        served = {each["name"]: each.get("value") for each in spec.get("env", [])}.get("VIOX_HTTP_PORT")
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            asked = spec.get(probe, {}).get("httpGet", {})
            if asked.get("path") != path or str(ports.get(asked.get("port"))) != served:
                yield f"{name_of(one)}: {probe} does not ask {path} on the port that is served ({served})"


def metrics_in_rules_exist(objects: list[Object]) -> Iterator[str]:
    known = known_metrics()
    for one in of_kind(objects, "PrometheusRule"):
        for group in one["spec"]["groups"]:
            for rule in group["rules"]:
                for name in METRIC.findall(rule["expr"]):
                    if name not in known:
                        yield f"{name_of(one)}: {rule.get('alert') or rule.get('record')} asks for {name}, which nothing has"


def known_metrics() -> set[str]:
    found: set[str] = set()
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            for family in metric.describe():
                found |= {family.name + end for end in ("", "_total", "_bucket", "_count", "_sum")}
    return found


def budgets_let_nodes_be_drained(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "PodDisruptionBudget"):
        if one["spec"].get("maxUnavailable") in (0, "0%") or one["spec"].get("minAvailable") == "100%":
            yield f"{name_of(one)} lets no node be drained"


RULES: Final[tuple[Rule, ...]] = (
    services_are_all_there,
    every_topic_and_none_besides,
    every_user_has_its_rights_and_no_more,
    everyone_proves_who_they_are,
    partitions_for_every_replica,
    scaling_looks_at_what_is_consumed,
    every_pod_is_in_a_policy_of_its_own,
    only_the_gateway_goes_where_it_likes,
    signing_in_has_a_way_out,
    only_the_doors_are_open,
    every_container_is_restricted,
    pods_of_kafka_are_restricted,
    namespaces_are_restricted,
    images_are_pinned,
    secrets_are_references,
    only_who_needs_a_secret_gets_it,
    pods_stop_after_their_longest_call,
    probes_ask_what_is_served,
    metrics_in_rules_exist,
    budgets_let_nodes_be_drained,
)


def broken(objects: list[Object]) -> list[str]:
    """What breaks any rule."""
    return [f"{rule.__name__}: {problem}" for rule in RULES for problem in rule(objects)]

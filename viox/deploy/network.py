"""Network policies: everything is forbidden, and then what each part needs is allowed.

Only the gateway reaches the internet as it likes, because businesses' endpoints are anywhere. Agents reach models over
HTTPS; a NetworkPolicy cannot tell a model's address from another, so that the component `model-names` says it by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from shared.models.models_file import PROVIDERS
from viox.deploy import kafka, postgres
from viox.deploy.documents import PART_OF, Object, component, dump, made
from viox.deploy.facts import CONSOLE, GATEWAY, PORT, RETENTION, SERVICES, Service, every_service
from viox.deploy.workloads import MIGRATE

API: Final = "networking.k8s.io/v1"
# Networks that are not the internet: private and shared addresses, the node's own, and those of clouds' metadata.
INSIDE: Final = ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
INSIDE_V6: Final = ("::1/128", "fc00::/7", "fe80::/10")
INGRESS: Final = {"namespaceSelector": {"matchLabels": {"viox.dev/ingress": "allowed"}}}
MONITORING: Final = {"namespaceSelector": {"matchLabels": {"viox.dev/monitoring": "allowed"}}}
OPERATORS: Final = {"namespaceSelector": {"matchLabels": {"viox.dev/operators": "allowed"}}}
TELEMETRY: Final = {"namespaceSelector": {"matchLabels": {"viox.dev/telemetry": "allowed"}}}
KAFKA_PODS: Final = {"strimzi.io/cluster": kafka.CLUSTER}
POSTGRES_PODS: Final = {"cnpg.io/cluster": postgres.CLUSTER}
MODELS: Final = "model-apis"
OIDC: Final = "console-oidc"
HTTPS: Final = 443
OTLP: Final = 4318  # over HTTP


def files() -> Iterator[tuple[str, str]]:
    """(path below deploy/k8s/components, content)."""
    written = {f"{one.name}.yaml": dump(of_service(one)) for one in every_service()}
    written |= {
        "default-deny.yaml": dump(default_deny()),
        "dns.yaml": dump(dns()),
        f"{MODELS}.yaml": dump(model_apis()),
        "migrate.yaml": dump(to_postgres(MIGRATE)),
        "kafka.yaml": dump(of_kafka()),
        "telemetry.yaml": dump(telemetry()),
        "postgres.yaml": dump(of_postgres()),
    }
    for name, text in written.items():
        yield f"network-policies/{name}", text
    yield "network-policies/kustomization.yaml", component(sorted(written))
    yield "model-names/policy.yaml", dump(model_names())
    without = {"apiVersion": API, "kind": "NetworkPolicy", "metadata": {"name": MODELS}, "$patch": "delete"}
    yield "model-names/kustomization.yaml", component(["policy.yaml"], patches=[{"patch": _inline(without)}])


def _inline(patch: Object) -> str:
    return dump(patch).partition("\n")[2]


def _policy(name: str, of: str, selector: Object, **rules: Any) -> Object:
    types = [kind for kind, given in (("Ingress", "ingress"), ("Egress", "egress")) if given in rules]
    return made(API, "NetworkPolicy", name, of, {"podSelector": selector, "policyTypes": types, **rules})


def _named(name: str) -> Object:
    return {"podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}}


def _labelled(wanted: dict[str, str]) -> Object:
    return {"podSelector": {"matchLabels": wanted}}


def _ports(*numbers: int, protocol: str = "TCP") -> list[Object]:
    return [{"protocol": protocol, "port": number} for number in numbers]


def _to(*peers: Object, ports: list[Object]) -> Object:
    return {"to": list(peers), "ports": ports}


def _from(*peers: Object, ports: list[Object]) -> Object:
    return {"from": list(peers), "ports": ports}


def internet() -> list[Object]:
    return [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(INSIDE)}},
        {"ipBlock": {"cidr": "::/0", "except": list(INSIDE_V6)}},
    ]


def default_deny() -> Object:
    """Without lists of rules: an empty one is dropped by the API server, so that each apply would change it again."""
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    return made(API, "NetworkPolicy", "default-deny", PART_OF, spec)


def dns() -> Object:
    names = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    return _policy("dns", PART_OF, {}, egress=[_to(names, ports=[*_ports(53, protocol="UDP"), *_ports(53)])])


def of_service(one: Service) -> Object:
    """Who may ask a service, and what it may ask: its database, Kafka, and what is its own."""
    asked = [MONITORING]
    asked += [INGRESS] if not one.is_agent else []
    asked += [_named(CONSOLE)] if one.name != CONSOLE else []
    reached = [_to(_labelled(POSTGRES_PODS), ports=_ports(5432))]
    if one.on_kafka:
        reached.append(_to(_labelled(KAFKA_PODS), ports=_ports(kafka.LISTENER)))
    if one.name == CONSOLE:
        reached.append(_to(*(_named(name) for name in SERVICES if name != CONSOLE), ports=_ports(PORT)))
    if one.name == GATEWAY:
        reached.append({"to": internet()})
    selector = {"matchLabels": {"app.kubernetes.io/name": one.name}}
    return _policy(one.name, one.name, selector, ingress=[_from(*asked, ports=_ports(PORT))], egress=reached)


def model_apis() -> Object:
    """Agents' way to their models."""
    agents = [one.name for one in every_service() if one.is_agent]
    selector = {"matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": agents}]}
    return _policy(MODELS, PART_OF, selector, egress=[{"to": internet(), "ports": _ports(HTTPS)}])


def telemetry() -> Object:
    """Traces go to a collector of the cluster, where a namespace is named for it."""
    names = [one.name for one in every_service() if one.on_kafka]
    selector = {"matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": names}]}
    return _policy("telemetry", PART_OF, selector, egress=[_to(TELEMETRY, ports=_ports(OTLP))])


def of_sign_in() -> Object:
    """The console's way to a provider of OpenID Connect, which may be anywhere: for deployments that have one."""
    selector = {"matchLabels": {"app.kubernetes.io/name": CONSOLE}}
    return _policy(OIDC, CONSOLE, selector, egress=[{"to": internet(), "ports": _ports(HTTPS)}])


def model_names() -> Object:
    """The same by names, where Cilium is the network: an agent reaches its models and nothing else outside."""
    agents = [one.name for one in every_service() if one.is_agent]
    hosts = sorted({str(urlsplit(url).hostname) for _, _, url in PROVIDERS.values()})
    lookups = {
        "toEndpoints": [{"matchLabels": {"k8s:io.kubernetes.pod.namespace": "kube-system", "k8s:k8s-app": "kube-dns"}}],
        "toPorts": [{"ports": [{"port": "53", "protocol": "ANY"}], "rules": {"dns": [{"matchPattern": "*"}]}}],
    }
    models = {
        "toFQDNs": [{"matchName": host} for host in hosts],
        "toPorts": [{"ports": [{"port": "443", "protocol": "TCP"}]}],
    }
    selector = {"matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": agents}]}
    spec = {"endpointSelector": selector, "egress": [lookups, models]}
    return made("cilium.io/v2", "CiliumNetworkPolicy", MODELS, PART_OF, spec)


def to_postgres(name: str) -> Object:
    """Of a job that asks Postgres, and nobody else."""
    selector = {"matchLabels": {"app.kubernetes.io/name": name}}
    return _policy(name, name, selector, egress=[_to(_labelled(POSTGRES_PODS), ports=_ports(5432))])


def of_kafka() -> Object:
    """Strimzi writes who may come in. Going out is ours to allow: to each other, and to the API server, from where brokers
    read their certificates and the entity operator its topics and users."""
    cluster = {"matchLabels": KAFKA_PODS}
    return _policy("kafka", "kafka", cluster, egress=[{"to": [{"podSelector": cluster}]}, _api_server()])


def of_postgres() -> Object:
    """Our services and its own replicas come in; its instance managers go to the API server and to the store of backups."""
    cluster = {"matchLabels": POSTGRES_PODS}
    ours = [_named(name) for name in (*SERVICES, MIGRATE, RETENTION)]
    ingress = [
        _from(*ours, {"podSelector": cluster}, ports=_ports(5432)),
        _from({"podSelector": cluster}, OPERATORS, ports=_ports(5432, 8000)),
        _from(MONITORING, ports=_ports(9187)),
    ]
    egress = [{"to": [{"podSelector": cluster}]}, _api_server(), {"to": internet(), "ports": _ports(HTTPS)}]
    return _policy("postgres", "postgres", cluster, ingress=ingress, egress=egress)


def _api_server() -> Object:
    """Its address differs from cluster to cluster, and no pod carries it."""
    return {"ports": _ports(HTTPS, 6443)}

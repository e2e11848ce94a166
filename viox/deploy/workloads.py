"""Deployments, Services, budgets for disruptions, and the job that migrates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from viox.deploy import settings
from viox.deploy.documents import Object, dump, kustomization, labels, made
from viox.deploy.facts import BUSINESS, IMAGE, OWNER, PORT, USER, VERSION, Service, every_service

KAFKA: Final = "viox-kafka-bootstrap:9093"
POSTGRES: Final = f"viox-postgres-rw:5432?sslmode=verify-full&sslrootcert={settings.POSTGRES_CA}"
IMAGE_OF: Final = f"{IMAGE}:{VERSION}"
MIGRATE: Final = "migrate"
WAIT_SECONDS: Final = 600  # for the job; a pod that waits longer is started again
ENDPOINTS_SECONDS: Final = 5  # until no route leads to a pod any more that has to stop
RESTRICTED: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
POD_SECURITY: Final = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def files() -> Iterator[tuple[str, str]]:
    """(path below deploy/k8s/base, content)."""
    for one in every_service():
        yield from _of(one)
    yield "migrations/job.yaml", dump(job())
    yield "migrations/kustomization.yaml", kustomization(["job.yaml"])


def _of(one: Service) -> Iterator[tuple[str, str]]:
    yield f"{one.name}/deployment.yaml", dump(deployment(one))
    yield f"{one.name}/service.yaml", dump(service(one))
    yield f"{one.name}/service-account.yaml", dump(service_account(one.name))
    yield f"{one.name}/disruption-budget.yaml", dump(disruption_budget(one))
    names = ["deployment.yaml", "service.yaml", "service-account.yaml", "disruption-budget.yaml"]
    if one.on_kafka:  # viox.deploy.kafka writes it
        names.append("kafka-user.yaml")
    yield f"{one.name}/kustomization.yaml", kustomization(sorted(names))


def deployment(one: Service) -> Object:
    spec: Object = {
        "replicas": 2,
        "revisionHistoryLimit": 5,
        "progressDeadlineSeconds": 900,
        "selector": {"matchLabels": {"app.kubernetes.io/name": one.name}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": labels(one.name)}, "spec": _pod(one)},
    }
    return made("apps/v1", "Deployment", one.name, one.name, spec)


def _pod(one: Service) -> Object:
    volumes = _volumes(one)
    return {
        "serviceAccountName": one.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # they would be settings that begin with the names of services
        "terminationGracePeriodSeconds": one.grace_seconds,
        "securityContext": POD_SECURITY,
        "topologySpreadConstraints": [
            _spread(one.name, "topology.kubernetes.io/zone"),
            _spread(one.name, "kubernetes.io/hostname"),
        ],
        "initContainers": [_wait_for_schema(one)],
        "containers": [_container(one)],
        "volumes": volumes,
    }


def _spread(name: str, key: str) -> Object:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app.kubernetes.io/name": name}},
    }


def _wait_for_schema(one: Service) -> Object:
    """New code starts when the job has brought the schema up. It logs in as the service, and needs no further right."""
    names = (settings.PASSWORD, "VIOX_POSTGRES_DSN")
    return {
        "name": "schema",
        "image": IMAGE_OF,
        "args": ["shared.store.migrate", "--wait", str(WAIT_SECONDS)],
        "env": [each for each in _environment(one) if each["name"] in names],
        "resources": _resources("50m", "96Mi", "256Mi"),
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "postgres-ca", "mountPath": "/etc/viox/postgres", "readOnly": True}],
    }


def _container(one: Service) -> Object:
    found: Object = {
        "name": "service",
        "image": IMAGE_OF,
        "args": [one.module],
        "env": _environment(one),
        "ports": [{"name": "http", "containerPort": PORT}],
        # Importing takes seconds, on a node that is busy more of them.
        "startupProbe": _probe("/healthz", period=2, failures=60),
        "livenessProbe": _probe("/healthz", period=10, failures=6),
        "readinessProbe": _probe("/readyz", period=5, failures=2),
        "resources": _resources(one.cpu, one.memory, one.memory_limit),
        "securityContext": RESTRICTED,
        "volumeMounts": _mounts(one),
    }
    if not one.is_agent:  # agents are asked by nobody who would miss them
        found["lifecycle"] = {"preStop": {"sleep": {"seconds": ENDPOINTS_SECONDS}}}
    return found


def _probe(path: str, *, period: int, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _resources(cpu: str, memory: str, limit: str) -> Object:
    """No limit of CPU: it would hold up what the node has time for."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": limit}}


def _environment(one: Service) -> list[Object]:
    """Secrets come first, because settings after them may contain them."""
    secret = [
        {"name": name, "valueFrom": {"secretKeyRef": _key(*where)}} for name, where in settings.secrets(one).items()
    ]
    return [*secret, *({"name": n, "value": v} for n, v in settings.plain(one, KAFKA, POSTGRES).items())]


def _key(secret: str, key: str, optional: bool) -> Object:
    return {"name": secret, "key": key} | ({"optional": True} if optional else {})


def _volumes(one: Service) -> list[Object]:
    shown = [
        {"name": name, "secret": {"secretName": secret} | _items(keys)}
        for name, (_, secret, keys) in settings.files(one).items()
    ]
    return [
        {"name": "home", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "business", "configMap": {"name": "viox-business"}},
        *shown,
    ]


def _items(keys: dict[str, str] | None) -> Object:
    """Only these keys of it: the Secret of Postgres's authority has the authority's key as well."""
    return {} if keys is None else {"items": [{"key": key, "path": path} for key, path in keys.items()]}


def _mounts(one: Service) -> list[Object]:
    shown: list[Object] = [
        {"name": name, "mountPath": folder, "readOnly": True} for name, (folder, _, _) in settings.files(one).items()
    ]
    return [
        {"name": "home", "mountPath": settings.HOME},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # of the pod alone
        {"name": "business", "mountPath": BUSINESS, "readOnly": True},
        *shown,
    ]


def service(one: Service) -> Object:
    ports = [{"name": "http", "port": PORT, "targetPort": "http"}]
    return made("v1", "Service", one.name, one.name, {"selector": {"app.kubernetes.io/name": one.name}, "ports": ports})


def service_account(name: str) -> Object:
    """An identity with no rights and no token: no service of ours talks to the API server."""
    return made("v1", "ServiceAccount", name, name, automountServiceAccountToken=False)


def disruption_budget(one: Service) -> Object:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": one.name}}}
    return made("policy/v1", "PodDisruptionBudget", one.name, one.name, spec)


def job() -> Object:
    """Its name has the version, because the pod of a job cannot be changed: each release brings its own."""
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "OnFailure",
        "securityContext": POD_SECURITY,
        "containers": [
            {
                "name": "migrate",
                "image": IMAGE_OF,
                "args": ["shared.store.migrate"],
                "env": [
                    {
                        "name": settings.PASSWORD,
                        "valueFrom": {"secretKeyRef": _key(settings.postgres_secret(OWNER), "password", False)},
                    },
                    {"name": "VIOX_POSTGRES_DSN", "value": settings.dsn(OWNER, settings.PASSWORD, POSTGRES)},
                ],
                "resources": _resources("100m", "128Mi", "512Mi"),
                "securityContext": RESTRICTED,
                "volumeMounts": [
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
                    {"name": "postgres-ca", "mountPath": "/etc/viox/postgres", "readOnly": True},
                ],
            }
        ],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "postgres-ca", "secret": {"secretName": "viox-postgres-ca"} | _items({"ca.crt": "ca.crt"})},
        ],
    }
    spec = {"backoffLimit": 20, "template": {"metadata": {"labels": labels(MIGRATE)}, "spec": pod}}
    return made("batch/v1", "Job", f"{MIGRATE}-{VERSION.replace('.', '-')}", MIGRATE, spec)

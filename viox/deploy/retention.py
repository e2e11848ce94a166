"""Retention as a job of the night: its own login, a volume for its archives, and no way to anything but Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from viox.deploy import network, settings
from viox.deploy.documents import Object, component, dump, labels, made
from viox.deploy.facts import ARCHIVIST, RETENTION
from viox.deploy.workloads import IMAGE_OF, POD_SECURITY, POSTGRES, RESTRICTED

ARCHIVES: Final = "/archives"
VOLUME: Final = "viox-archives"
DISK: Final = "100Gi"
MONTHS: Final = "12"


def files() -> Iterator[tuple[str, str]]:
    """(path below deploy/k8s/components, content)."""
    written = {"cron-job.yaml": cron_job(), "volume.yaml": volume(), "policy.yaml": policy()}
    for name, one in written.items():
        yield f"retention/{name}", dump(one)
    yield "retention/kustomization.yaml", component(sorted(written))


def cron_job() -> Object:
    """One at a time; one that was killed is gone on with by the next."""
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": POD_SECURITY,
        "containers": [_container()],
        "volumes": [
            {"name": "archives", "persistentVolumeClaim": {"claimName": VOLUME}},
            {"name": "home", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            {
                "name": "postgres-ca",
                "secret": {"secretName": "viox-postgres-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]},
            },
        ],
    }
    job = {"backoffLimit": 0, "template": {"metadata": {"labels": labels(RETENTION)}, "spec": pod}}
    spec = {
        "schedule": "15 3 * * *",
        "concurrencyPolicy": "Forbid",
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {"spec": job},
    }
    return made("batch/v1", "CronJob", RETENTION, RETENTION, spec)


def _container() -> Object:
    password = {"name": settings.postgres_secret(ARCHIVIST), "key": "password"}
    plain = {
        "VIOX_HOME": settings.HOME,
        "VIOX_POSTGRES_DSN": settings.dsn(ARCHIVIST, settings.PASSWORD, POSTGRES),
        "VIOX_RETENTION_MONTHS": MONTHS,
        "VIOX_ARCHIVES": ARCHIVES,
    }
    return {
        "name": RETENTION,
        "image": IMAGE_OF,
        "args": ["viox", "retention", "--yes"],
        "env": [
            {"name": settings.PASSWORD, "valueFrom": {"secretKeyRef": password}},
            *({"name": name, "value": value} for name, value in plain.items()),
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": RESTRICTED,
        "volumeMounts": [
            {"name": "archives", "mountPath": ARCHIVES},
            {"name": "home", "mountPath": settings.HOME},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # of the pod alone
            {"name": "postgres-ca", "mountPath": "/etc/viox/postgres", "readOnly": True},
        ],
    }


def volume() -> Object:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": DISK}}}
    return made("v1", "PersistentVolumeClaim", VOLUME, RETENTION, spec)


def policy() -> Object:
    """Postgres, and nothing else."""
    return network.to_postgres(RETENTION)

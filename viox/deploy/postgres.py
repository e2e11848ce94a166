"""CloudNativePG's objects: the cluster with pgvector and a login role for each service, and its backups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from shared.settings import Settings
from viox.deploy import settings
from viox.deploy.documents import Object, component, dump, kustomization, made
from viox.deploy.facts import DATABASE, GATEWAY, GROUPS, LOGINS, MOST_REPLICAS, OWNER, SERVICES

API: Final = "postgresql.cnpg.io/v1"
CLUSTER: Final = "viox-postgres"
# CloudNativePG's `standard` images carry pgvector.
IMAGE: Final = "ghcr.io/cloudnative-pg/postgresql:18.4-standard-trixie"
STORE: Final = "viox-backups"
PLUGIN: Final = "barman-cloud.cloudnative-pg.io"
BACKUP_SECRET: Final = "viox-backup-store"  # noqa: S105  # a name
INSTANCES: Final = 3
POOL: Final = int(Settings.model_fields["postgres_pool_size"].default)
TOKEN_CONNECTIONS: Final = 4  # of the gateway, beside its pool
OTHERS: Final = 30  # connections of the operator, of people and of who reads dashboards
DISK, WAL_DISK = "100Gi", "20Gi"
QUERY_TEMP_FILES: Final = "256MB"


def connections(replicas: int = MOST_REPLICAS) -> int:
    """What so many replicas together may open: each its pool and a session for its leases, the gateway some for tokens."""
    each = dict.fromkeys(SERVICES, POOL + 1) | {GATEWAY: POOL + 1 + TOKEN_CONNECTIONS}
    return replicas * sum(each.values()) + OTHERS


def files() -> Iterator[tuple[str, str]]:
    """(path below deploy/k8s, content)."""
    yield "base/postgres/cluster.yaml", dump(cluster())
    yield "base/postgres/kustomization.yaml", kustomization(["cluster.yaml"])
    yield "components/backups/object-store.yaml", dump(object_store())
    yield "components/backups/scheduled-backup.yaml", dump(scheduled_backup())
    patch = dump({"apiVersion": API, "kind": "Cluster", "metadata": {"name": CLUSTER}, "spec": archiving()})
    written = ["object-store.yaml", "scheduled-backup.yaml"]
    yield "components/backups/archiving.yaml", patch
    yield "components/backups/kustomization.yaml", component(written, patches=[{"path": "archiving.yaml"}])
    yield "restore/cluster.yaml", dump(restored())


def cluster() -> Object:
    spec: Object = {
        "imageName": IMAGE,
        "instances": INSTANCES,
        "enableSuperuserAccess": False,
        "bootstrap": {
            "initdb": {
                "database": DATABASE,
                "owner": OWNER,
                "secret": {"name": settings.postgres_secret(OWNER)},
                "encoding": "UTF8",
                "localeCType": "C",
                "localeCollate": "C",
                # Not a trusted extension: only a superuser brings it in.
                "postInitApplicationSQL": ["create extension if not exists vector"],
            }
        },
        "managed": {"roles": [*map(_group, GROUPS), *(_login(name, group) for name, group in LOGINS.items())]},
        "postgresql": {
            "parameters": {
                "max_connections": str(connections()),
                "shared_buffers": "2GB",
                "synchronous_commit": "on",
                "wal_compression": "on",
                "max_wal_size": "4GB",
                "jit": "off",
            },
            # What was acknowledged is on two machines. Where only one is left, writing goes on.
            "synchronous": {"method": "any", "number": 1, "dataDurability": "preferred"},
            "pg_hba": ["hostssl all all all scram-sha-256", "hostnossl all all all reject"],
        },
        "storage": {"size": DISK},
        "walStorage": {"size": WAL_DISK},
        "resources": {"requests": {"cpu": "1", "memory": "8Gi"}, "limits": {"memory": "8Gi"}},
        "affinity": {"enablePodAntiAffinity": True, "topologyKey": "topology.kubernetes.io/zone"},
        "primaryUpdateStrategy": "unsupervised",
        "monitoring": {"disableDefaultQueries": False},
    }
    return made(API, "Cluster", CLUSTER, "postgres", spec)


def _group(name: str) -> Object:
    """Rights are the groups'. Migrations make those that are missing; here they are made first, so that logins can join."""
    return {"name": name, "ensure": "present", "login": False}


def _login(name: str, group: str) -> Object:
    return {
        "name": name,
        "ensure": "present",
        "login": True,
        "inherit": True,
        "inRoles": [group],
        "passwordSecret": {"name": settings.postgres_secret(name)},
    }


def object_store() -> Object:
    """Where backups go. Bucket and login are the deployment's: this names a Secret."""
    keys = {
        "accessKeyId": {"name": BACKUP_SECRET, "key": "ACCESS_KEY_ID"},
        "secretAccessKey": {"name": BACKUP_SECRET, "key": "SECRET_ACCESS_KEY"},
    }
    spec = {
        "retentionPolicy": "30d",
        "configuration": {
            "destinationPath": "s3://viox-backups/postgres",
            "endpointURL": "https://s3.example.com",
            "s3Credentials": keys,
            "wal": {"compression": "zstd", "maxParallel": 4},
            "data": {"compression": "snappy", "jobs": 2},
        },
    }
    return made("barmancloud.cnpg.io/v1", "ObjectStore", STORE, "postgres", spec)


def scheduled_backup() -> Object:
    spec = {
        "schedule": "0 30 2 * * *",  # seconds first
        "backupOwnerReference": "self",
        "immediate": True,
        "cluster": {"name": CLUSTER},
        "method": "plugin",
        "pluginConfiguration": {"name": PLUGIN},
    }
    return made(API, "ScheduledBackup", "viox-nightly", "postgres", spec)


def archiving() -> Object:
    """The cluster's part of its backups."""
    return {"plugins": [{"name": PLUGIN, "isWALArchiver": True, "parameters": {"barmanObjectName": STORE}}]}


def restored() -> Object:
    """Another cluster from the backups, as of a point in time. It archives under a name of its own."""
    source = "origin"
    found = cluster()
    found["metadata"]["name"] = "viox-postgres-restored"
    spec: dict[str, Any] = found["spec"]
    spec["bootstrap"] = {
        "recovery": {
            "source": source,
            "database": DATABASE,
            "owner": OWNER,
            "secret": {"name": settings.postgres_secret(OWNER)},
            "recoveryTarget": {"targetTime": "2026-11-30T12:00:00Z"},
        }
    }
    parameters = {"barmanObjectName": STORE, "serverName": CLUSTER}
    spec["externalClusters"] = [{"name": source, "plugin": {"name": PLUGIN, "parameters": parameters}}]
    spec["plugins"] = [
        {
            "name": PLUGIN,
            "isWALArchiver": True,
            "parameters": {"barmanObjectName": STORE, "serverName": "viox-postgres-restored"},
        }
    ]
    return found

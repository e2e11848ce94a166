"""Kafka, Postgres, Prometheus and Grafana as Compose has them, and the networks that all containers are in."""

from __future__ import annotations

from typing import Any, Final

from sandbox.kafka_users import ADMIN, CONTROLLER
from viox.deploy import postgres
from viox.deploy.compose import names, services
from viox.deploy.compose.names import (
    GRAFANA,
    GRAFANA_PORT,
    IMAGES,
    KAFKA,
    KAFKA_PORT,
    POSTGRES,
    PROMETHEUS,
    PROMETHEUS_PORT,
    choice,
    needed,
)
from viox.deploy.compose.services import TMP, checked, hardened, on_health
from viox.deploy.documents import Object
from viox.kafka_setup import password_setting

REPLICAS: Final = 2  # of each service, as far as connections to Postgres go
MONITORING: Final = "../monitoring"
INTERNAL: Final = {"internal": True}
# Ports of a container are published only from a network that is not internal. Without masquerading nothing answers what goes out.
DOORS: Final = {"driver_opts": {"com.docker.network.bridge.enable_ip_masquerade": "false"}}
# Agents reach the internet by it, and not each other.
MODELS: Final = {"driver_opts": {"com.docker.network.bridge.enable_icc": "false"}}
NETWORKS: Final[dict[str, dict[str, Any]]] = {
    "postgres": INTERNAL,
    "kafka": INTERNAL,
    "services": INTERNAL,
    "grafana": INTERNAL,
    "models": MODELS,
    "outside": {},
    "doors": DOORS,
}
VOLUMES: Final = (KAFKA, POSTGRES, PROMETHEUS, GRAFANA, "gateway")
CONFIGS: Final = {
    "business": "./business.yaml",
    "kafka": "./kafka/server.properties",
    "kafka-log": "./kafka/log4j2.xml",
    "roles": "./postgres/roles.sql",
    "prometheus": "./prometheus.yaml",
    "alerts": f"{MONITORING}/rules.yaml",
    "grafana-source": "./grafana/datasources.yaml",
    "grafana-boards": "./grafana/dashboards.yaml",
}
BOARDS: Final = "/etc/viox/dashboards"
BROKER: Final = "/etc/viox/server.properties"


def servers() -> dict[str, Object]:
    return {KAFKA: kafka(), POSTGRES: database(), PROMETHEUS: prometheus(), GRAFANA: grafana()}


def document() -> Object:
    """compose.yaml."""
    return {
        "name": "viox",
        "services": services.ours() | services.once() | servers() | {names.CLI: services.cli()},
        "networks": NETWORKS,
        "volumes": {name: {} for name in VOLUMES},
        "secrets": {name: {"file": f"{names.PRIVATE}/{name}"} for name in names.FILES},
        "configs": {name: {"file": path} for name, path in CONFIGS.items()},
    }


def grafana_port() -> Object:
    """grafana-port.yaml, for who wants to look at dashboards: beside compose.yaml it opens Grafana's port."""
    ports = [f"{choice('VIOX_BIND')}:{choice('VIOX_GRAFANA_PORT')}:{GRAFANA_PORT}"]
    return {"services": {GRAFANA: {"ports": ports, "networks": ["grafana", "doors"]}}}


def _volume(name: str, target: str) -> Object:
    return {"type": "volume", "source": name, "target": target}


def kafka() -> Object:
    """One node, with the settings of the tests' broker. Its image's own start writes settings into a root that is read-only here."""
    start = (
        f"/opt/kafka/bin/kafka-storage.sh format --ignore-formatted --cluster-id viox --config {BROKER}"
        f" && exec /opt/kafka/bin/kafka-server-start.sh {BROKER}"
    )
    return {
        "image": IMAGES[KAFKA],
        "entrypoint": ["/bin/bash", "-ec"],
        "command": [start],
        "restart": "unless-stopped",
        **hardened(names.USERS[KAFKA], "1g", "512m"),
        "environment": {
            # Whoever is super user is known to the broker by these; server.properties reads them.
            "VIOX_KAFKA_ADMIN": needed(password_setting(ADMIN)),
            "VIOX_KAFKA_CONTROLLER": needed(password_setting(CONTROLLER)),
            "KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m",
            "KAFKA_LOG4J_OPTS": "-Dlog4j2.configurationFile=file:/etc/viox/log4j2.xml -Dlog4j2.disableJmx=true",
            "LOG_DIR": "/tmp/kafka",  # noqa: S108
            "EXTRA_ARGS": "",  # no log of the garbage collector
        },
        "configs": [{"source": "kafka", "target": BROKER}, {"source": "kafka-log", "target": "/etc/viox/log4j2.xml"}],
        "volumes": [_volume(KAFKA, "/var/lib/kafka/data")],
        "tmpfs": [f"{TMP},exec"],  # libraries that unpack records lie there
        "networks": ["kafka"],
        "healthcheck": checked(["CMD", "/bin/bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{KAFKA_PORT}"], start=120),
        "stop_grace_period": "60s",
    }


def database() -> Object:
    parameters = {
        "max_connections": str(postgres.connections(REPLICAS)),
        "shared_buffers": "256MB",
        "synchronous_commit": "on",
        "wal_compression": "on",
        "max_wal_size": "2GB",
        "jit": "off",
    }
    return {
        "image": IMAGES[POSTGRES],
        "command": ["postgres", *(word for each in parameters.items() for word in ("-c", "=".join(each)))],
        "restart": "unless-stopped",
        **hardened(names.USERS[POSTGRES], "2g", "512m"),
        "environment": {
            "POSTGRES_PASSWORD_FILE": f"{names.SECRETS_FOLDER}/postgres-superuser",
            "POSTGRES_INITDB_ARGS": "--encoding=UTF8 --locale=C --auth-host=scram-sha-256 --data-checksums",
        },
        "secrets": ["postgres-superuser"],
        "volumes": [_volume(POSTGRES, "/var/lib/postgresql")],  # the folder of its data is below, by version
        "tmpfs": [TMP, "/var/run/postgresql:uid=999,gid=999,mode=0770"],
        "shm_size": "256m",
        "networks": ["postgres"],
        # By TCP: while the image's first start sets up, the server answers on its socket only.
        "healthcheck": checked(
            ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(names.POSTGRES_PORT)], start=120
        ),
        "stop_grace_period": "60s",
    }


def prometheus() -> Object:
    return {
        "image": IMAGES[PROMETHEUS],
        "command": [
            "--config.file=/etc/prometheus/prometheus.yaml",
            "--storage.tsdb.path=/prometheus",
            "--storage.tsdb.retention.time=30d",
        ],
        "restart": "unless-stopped",
        **hardened(names.USERS[PROMETHEUS], "512m"),
        "configs": [
            {"source": "prometheus", "target": "/etc/prometheus/prometheus.yaml"},
            {"source": "alerts", "target": "/etc/prometheus/rules.yaml"},
        ],
        "volumes": [_volume(PROMETHEUS, "/prometheus")],
        "tmpfs": [TMP],
        "networks": ["services", "grafana"],
        "healthcheck": _asked(PROMETHEUS_PORT, "/-/ready"),
        "stop_grace_period": "60s",
    }


def grafana() -> Object:
    provisioning = "/etc/grafana/provisioning"
    boards = {"type": "bind", "source": f"{MONITORING}/grafana", "target": BOARDS, "read_only": True}
    return {
        "image": IMAGES[GRAFANA],
        "restart": "unless-stopped",
        **hardened(names.USERS[GRAFANA], "512m"),
        "environment": {
            "GF_SECURITY_ADMIN_PASSWORD__FILE": f"{names.SECRETS_FOLDER}/grafana-admin",
            "GF_LOG_MODE": "console",
            "GF_USERS_ALLOW_SIGN_UP": "false",
            # It reaches nothing outside, and need not try.
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
            "GF_PLUGINS_PREINSTALL_DISABLED": "true",
        },
        "secrets": ["grafana-admin"],
        "configs": [
            {"source": "grafana-source", "target": f"{provisioning}/datasources/viox.yaml"},
            {"source": "grafana-boards", "target": f"{provisioning}/dashboards/viox.yaml"},
        ],
        "volumes": [_volume(GRAFANA, "/var/lib/grafana"), boards],
        "tmpfs": [TMP],
        "networks": ["grafana"],
        "depends_on": on_health(PROMETHEUS),
        "healthcheck": _asked(GRAFANA_PORT, "/api/health"),
        "stop_grace_period": "30s",
    }


def _asked(port: int, path: str) -> Object:
    return checked(["CMD", "wget", "-q", "-O", "/dev/null", f"http://127.0.0.1:{port}{path}"])

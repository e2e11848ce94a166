"""What the parts of `deploy/compose` call each other by: images, addresses, networks, secrets. No value is secret here."""

from __future__ import annotations

from typing import Final

from sandbox.broker import KAFKA_VERSION
from sandbox.kafka_users import CONTROLLER
from viox.deploy import settings
from viox.deploy.facts import LOGINS, MODEL_KEYS, OWNER
from viox.deploy.workloads import IMAGE_OF
from viox.kafka_setup import CLIENTS, password_setting

KAFKA, POSTGRES, PROMETHEUS, GRAFANA = "kafka", "postgres", "prometheus", "grafana"
ROLES, MIGRATE, KAFKA_SETUP = "postgres-setup", "migrate", "kafka-setup"  # run once at each `up`
CLI: Final = "cli"
KAFKA_PORT, CONTROLLER_PORT, POSTGRES_PORT, PROMETHEUS_PORT, GRAFANA_PORT = 9092, 9093, 5432, 9090, 3000
BOOTSTRAP: Final = f"{KAFKA}:{KAFKA_PORT}"
IMAGES: Final = {
    KAFKA: f"docker.io/apache/kafka:{KAFKA_VERSION}",  # what the tests run on
    POSTGRES: "docker.io/pgvector/pgvector:0.8.2-pg18-trixie",
    PROMETHEUS: "docker.io/prom/prometheus:v3.14.0",
    GRAFANA: "docker.io/grafana/grafana:13.2.3",
}
OURS: Final = IMAGE_OF
# As their images have it: `appuser`, `postgres`, `nobody`, `grafana` (whose folders belong to group 0).
USERS: Final = {KAFKA: "1000:1000", POSTGRES: "999:999", PROMETHEUS: "65534:65534", GRAFANA: "472:0"}

# Files that secrets.sh makes. Their folder is closed for others; containers see each file by itself.
PRIVATE: Final = "./private"
FILES: Final = {
    "secret-key": "what the gateway encrypts with",
    "audit-key": "what the audit is signed with",
    "people.yaml": "who decides",
    "postgres-superuser": "the superuser's password",
    "grafana-admin": "the password of Grafana's `admin`",
}
VENDORS: Final = f"{PRIVATE}/vendors"
SECRETS_FOLDER: Final = "/run/secrets"

# Settings in `.env` that may be changed, with what holds without them.
CHOICES: Final = {
    "VIOX_BIND": "127.0.0.1",
    "VIOX_GATEWAY_PORT": "8080",
    "VIOX_CONSOLE_PORT": "8090",
    "VIOX_GRAFANA_PORT": "3000",
    "VIOX_PUBLIC_URL": "http://127.0.0.1:8080",
    "VIOX_TRUSTED_PROXIES": "",
    "VIOX_MODELS": "",
}


def postgres_password(login: str) -> str:
    word = "owner" if login == OWNER else login.removeprefix("viox_")
    return f"VIOX_POSTGRES_{word.upper()}_PASSWORD"


def generated() -> list[str]:
    """Settings in `.env` that secrets.sh fills with random text."""
    return [
        settings.OPERATOR_TOKEN,
        *(postgres_password(login) for login in (OWNER, *LOGINS)),
        *(password_setting(client) for client in (CONTROLLER, *CLIENTS)),
    ]


def known() -> set[str]:
    """Everything that a `${…}` may name."""
    return {*generated(), *CHOICES, *MODEL_KEYS}


def needed(name: str) -> str:
    """A setting of `.env` without which nothing is started."""
    return f"${{{name}:?run secrets.sh}}"


def choice(name: str) -> str:
    return f"${{{name}:-{CHOICES.get(name, '')}}}"

"""Every generated file of `deploy/compose`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sandbox.broker import PROPERTIES
from sandbox.kafka_users import ADMIN, CONTROLLER, SUPER_USERS
from shared.bus import topics
from viox.deploy import kafka, monitoring, postgres
from viox.deploy.compose import names, servers
from viox.deploy.documents import HEAD, dump
from viox.deploy.facts import DATABASE, GROUPS, LOGINS, MODEL_KEYS, OWNER, PORT, SERVICES

CLIENTS: Final = f"CLIENTS://0.0.0.0:{names.KAFKA_PORT}"
# What differs from the broker of one machine: where it listens, and that records go after a week.
OF_COMPOSE: Final = {
    "listeners": f"{CLIENTS},CONTROLLER://127.0.0.1:{names.CONTROLLER_PORT}",
    "advertised.listeners": f"CLIENTS://{names.BOOTSTRAP}",
    "log.retention.ms": str(kafka.WEEK_MS),
    "message.max.bytes": str(2 * topics.MAX_RECORD_BYTES),
}
# That broker is killed and comes back in tests, in little memory; here Kafka's own values hold.
LEFT_OUT: Final = (
    "broker.heartbeat.interval.ms",
    "broker.session.timeout.ms",
    "group.min.session.timeout.ms",
    "num.network.threads",
    "num.io.threads",
    "log.cleaner.dedupe.buffer.size",
)
QUIET: Final = "set client_min_messages = warning;  -- nothing of what is there already"


def files() -> Iterator[tuple[str, str]]:
    """(path below deploy/compose, content)."""
    yield "compose.yaml", dump(servers.document())
    yield "grafana-port.yaml", dump(servers.grafana_port())
    yield "env.example", HEAD + env_example()
    yield "kafka/server.properties", HEAD + "".join(f"{name}={value}\n" for name, value in broker().items())
    yield "postgres/roles.sql", HEAD.replace("#", "--") + roles()
    yield "prometheus.yaml", dump(scraped())
    yield "grafana/datasources.yaml", dump(_source())
    yield "grafana/dashboards.yaml", dump(_boards())


def properties(text: str) -> dict[str, str]:
    """Of a file of properties; a line that ends with a backslash goes on in the next."""
    lines = [line for line in text.replace("\\\n", "").splitlines() if line and not line.startswith("#")]
    return {name: " ".join(value.split()) for name, _, value in (line.partition("=") for line in lines)}


def broker() -> dict[str, str]:
    """The settings of the broker that the tests run on, identity and rights included."""
    found = properties(
        PROPERTIES.format(
            port=names.KAFKA_PORT,
            controller=names.CONTROLLER_PORT,
            data="/var/lib/kafka/data",
            admin=ADMIN,
            kraft=CONTROLLER,
            super_users=";".join(f"User:{user}" for user in SUPER_USERS),
        )
    )
    return {name: value for name, value in found.items() if name not in LEFT_OUT} | OF_COMPOSE


def roles() -> str:
    """For psql. It may run again: passwords become those of the settings, all else stays."""
    return "\n".join(
        [
            r"\set ON_ERROR_STOP on",
            "set log_min_error_statement = panic;  -- the server's log is no place for passwords",
            QUIET,
            *(_role(group, "nologin") for group in GROUPS),
            *(line for login in (OWNER, *LOGINS) for line in _login(login)),
            *(f'grant "{group}" to "{login}";' for login, group in LOGINS.items()),
            f"alter role \"viox_query\" set temp_file_limit = '{postgres.QUERY_TEMP_FILES}';",
            f'select \'create database "{DATABASE}" owner "{OWNER}"\'',
            f"  where not exists (select from pg_database where datname = '{DATABASE}') \\gexec",
            rf"\connect {DATABASE}",
            QUIET,
            "create extension if not exists vector;  -- not a trusted extension: only a superuser brings it in",
            "",
        ]
    )


def _role(name: str, rights: str) -> str:
    missing = f"where not exists (select from pg_roles where rolname = '{name}')"
    return f"select 'create role \"{name}\" {rights}' {missing} \\gexec"


def _login(name: str) -> list[str]:
    """Migrations may make groups, so that the owner of the schema creates roles."""
    setting = names.postgres_password(name)
    rights = "login createrole" if name == OWNER else "login"
    return [_role(name, rights), rf"\getenv {setting} {setting}", f"alter role \"{name}\" password :'{setting}';"]


def scraped() -> dict[str, object]:
    """Every service under one job, as on one machine and on Kubernetes."""
    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {"job_name": monitoring.JOB, "static_configs": [{"targets": [f"{name}:{PORT}" for name in SERVICES]}]}
        ],
    }


def _source() -> dict[str, object]:
    url = f"http://{names.PROMETHEUS}:{names.PROMETHEUS_PORT}"
    source = {
        "name": "Prometheus",
        "uid": "viox",
        "type": "prometheus",
        "access": "proxy",
        "url": url,
        "isDefault": True,
    }
    return {"apiVersion": 1, "datasources": [source]}


def _boards() -> dict[str, object]:
    provider = {"name": "viox", "folder": "VioX OS", "type": "file", "options": {"path": servers.BOARDS}}
    return {"apiVersion": 1, "providers": [provider | {"allowUiUpdates": False, "disableDeletion": True}]}


def env_example() -> str:
    """What secrets.sh makes `.env` from."""
    chosen = (f"{name}={value}" for name, value in names.CHOICES.items())
    return "\n".join(
        [
            "# secrets.sh makes .env from this: it fills what is empty below `generated` and changes nothing that has a value.",
            *chosen,
            "# Keys of models, as many as you have. VIOX_MODELS=offline does without.",
            *(f"{name}=" for name in MODEL_KEYS),
            "# generated",
            *(f"{name}=" for name in names.generated()),
            "",
        ]
    )

"""Our services, what runs once before them, and the command line, as Compose has them."""

from __future__ import annotations

import re
from typing import Any, Final

from sandbox.kafka_users import CONTROLLER
from viox.deploy import settings
from viox.deploy.compose import names
from viox.deploy.compose.names import IMAGES, KAFKA, KAFKA_SETUP, MIGRATE, POSTGRES, ROLES, choice, needed
from viox.deploy.documents import Object
from viox.deploy.facts import BUSINESS, CONSOLE, GATEWAY, OWNER, PARTITIONS, PORT, USER, Service, every_service
from viox.kafka_setup import ADDRESS, CLIENTS, password_setting

DOCKERFILE: Final = {"context": "../..", "dockerfile": "deploy/image/Dockerfile"}
TMP: Final = "/tmp:mode=1777,size=256m"  # noqa: S108  # of the container alone
HOME_IN_MEMORY: Final = f"{settings.HOME}:uid={USER},gid={USER},mode=0700,size=64m"
SERVER: Final = f"{POSTGRES}:{names.POSTGRES_PORT}"
INNER: Final = re.compile(r"\$\((\w+)\)")  # how a manifest puts a secret into a setting
HEALTHY, COMPLETED = "service_healthy", "service_completed_successfully"


def hardened(user: str, memory: str, reserved: str = "", *, processes: int = 512) -> Object:
    """What every container has. As on Kubernetes CPU has no limit: it would hold up what the machine has time for."""
    resources: Object = {"limits": {"memory": memory, "pids": processes}}
    if reserved:
        resources["reservations"] = {"memory": reserved}
    return {
        "user": user,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "deploy": {"resources": resources},
        "logging": {"driver": "local"},  # which keeps 100 MB
    }


def size(quantity: str) -> str:
    """`768Mi` → `768m`: Compose's letters are powers of 1024."""
    return quantity.removesuffix("i").lower()


def on_health(*others: str) -> Object:
    return {name: {"condition": HEALTHY} for name in others}


def completed(*others: str) -> Object:
    return {name: {"condition": COMPLETED} for name in others}


def ours() -> dict[str, Object]:
    return {one.name: service(one) for one in every_service()}


def service(one: Service) -> Object:
    found: Object = {"image": names.OURS, "command": [one.module], "restart": "unless-stopped"}
    found |= hardened(f"{USER}:{USER}", size(one.memory_limit), size(one.memory))
    found |= {
        "environment": environment(one),
        "configs": [{"source": "business", "target": f"{BUSINESS}/business.yaml"}],
        "tmpfs": [TMP] + ([HOME_IN_MEMORY] if one.name != GATEWAY else []),
        "networks": networks(one),
        "depends_on": on_health(*_servers(one)) | completed(MIGRATE, *([KAFKA_SETUP] if one.on_kafka else [])),
        "healthcheck": _healthcheck(),
        "stop_grace_period": f"{one.grace_seconds}s",
    }
    if not one.is_agent:
        published = choice("VIOX_GATEWAY_PORT" if one.name == GATEWAY else "VIOX_CONSOLE_PORT")
        found["ports"] = [f"{choice('VIOX_BIND')}:{published}:{PORT}"]
        found["secrets"] = ["people.yaml"]
    return found | (_of_gateway(found) if one.name == GATEWAY else {})


def _of_gateway(found: Object) -> Object:
    """Its checkpoints of the audit outlive the container; vendors' credentials are files that it reads anew."""
    vendors = {"type": "bind", "source": names.VENDORS, "target": settings.VENDORS, "read_only": True}
    home = {"type": "volume", "source": "gateway", "target": settings.HOME}
    return {"secrets": [*found["secrets"], "secret-key", "audit-key"], "volumes": [home, vendors]}


def _servers(one: Service) -> tuple[str, ...]:
    return (POSTGRES, KAFKA) if one.on_kafka else (POSTGRES,)


def networks(one: Service) -> list[str]:
    """`services` is for the console and Prometheus, who ask every service. Agents leave by `models`, the gateway by `outside`."""
    found = ["postgres", "services", *(["kafka"] if one.on_kafka else [])]
    return [*found, "outside" if one.name == GATEWAY else "doors" if one.name == CONSOLE else "models"]


def environment(one: Service) -> dict[str, str]:
    """Settings as on Kubernetes, but for what differs on one machine: no TLS between containers, other ways for secrets."""
    found = settings.plain(one, names.BOOTSTRAP, SERVER)
    if one.on_kafka:
        found["VIOX_KAFKA_SECURITY_PROTOCOL"] = "SASL_PLAINTEXT"
        del found["VIOX_KAFKA_SSL_CAFILE"]
    inside = {settings.PASSWORD: one.login, settings.QUERY_PASSWORD: "viox_query"}
    found = {name: _filled(value, inside) for name, value in found.items()}
    for name in settings.secrets(one):
        if name not in inside:
            found |= _secret(one, name)
    return found | _changed(one)


def _filled(value: str, logins: dict[str, str]) -> str:
    return INNER.sub(lambda found: needed(names.postgres_password(logins[found[1]])), value)


def _secret(one: Service, name: str) -> dict[str, str]:
    if name == settings.KAFKA_PASSWORD:
        return {name: needed(password_setting(one.name))}
    if name == settings.SECRET_KEY:
        return {f"{name}_FILE": f"{names.SECRETS_FOLDER}/secret-key"}
    return {name: needed(name) if name in names.generated() else choice(name)}


def _changed(one: Service) -> dict[str, str]:
    if one.is_agent:
        return {"VIOX_MODELS": choice("VIOX_MODELS")}
    found = {
        "VIOX_PEOPLE": f"{names.SECRETS_FOLDER}/people.yaml",
        "VIOX_TRUSTED_PROXIES": choice("VIOX_TRUSTED_PROXIES"),
    }
    if one.name == GATEWAY:
        found["VIOX_AUDIT_KEY"] = f"{names.SECRETS_FOLDER}/audit-key"
        found["VIOX_PUBLIC_URL"] = choice("VIOX_PUBLIC_URL")
    return found


def _healthcheck() -> Object:
    ask = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}/readyz', timeout=3)"
    return checked(["CMD", "python", "-IS", "-c", ask], seconds=15, start=120)


def checked(test: list[str], *, seconds: int = 10, start: int = 60) -> Object:
    return {
        "test": test,
        "interval": f"{seconds}s",
        "timeout": "5s",
        "retries": 3,
        "start_period": f"{start}s",
        "start_interval": "2s",
    }


def once() -> dict[str, Object]:
    """What brings Postgres, its schema and Kafka to where the services need them. Each may run again and again."""
    return {ROLES: _roles(), MIGRATE: _migrate(), KAFKA_SETUP: _kafka_setup()}


def _roles() -> Object:
    """Roles, their passwords and the extension that only a superuser may bring in."""
    run = (
        'PGPASSWORD="$$(cat /run/secrets/postgres-superuser)" exec psql --no-psqlrc --quiet --file=/etc/viox/roles.sql'
    )
    passwords = {name: needed(name) for name in names.generated() if name.startswith("VIOX_POSTGRES_")}
    return {
        "image": IMAGES[POSTGRES],
        "entrypoint": ["/bin/sh", "-ec"],
        "command": [run],
        "restart": "no",
        **hardened(names.USERS[POSTGRES], "128m"),
        "environment": {"PGHOST": POSTGRES, "PGUSER": "postgres", "PGDATABASE": "postgres", **passwords},
        "secrets": ["postgres-superuser"],
        "configs": [{"source": "roles", "target": "/etc/viox/roles.sql"}],
        "tmpfs": [TMP],
        "networks": ["postgres"],
        "depends_on": on_health(POSTGRES),
    }


def _migrate() -> Object:
    dsn = _filled(settings.dsn(OWNER, settings.PASSWORD, SERVER), {settings.PASSWORD: OWNER})
    return {
        "image": names.OURS,
        "build": DOCKERFILE,
        "command": ["shared.store.migrate"],
        "restart": "no",
        **hardened(f"{USER}:{USER}", "512m"),
        "environment": {"VIOX_POSTGRES_DSN": dsn},
        "tmpfs": [TMP],
        "networks": ["postgres"],
        "depends_on": on_health(POSTGRES) | completed(ROLES),
    }


def _kafka_setup() -> Object:
    """It shares Kafka's network, because the controller listens on loopback only."""
    passwords = {name: needed(name) for name in map(password_setting, (CONTROLLER, *CLIENTS))}
    return {
        "image": names.OURS,
        "command": ["viox.kafka_setup"],
        "restart": "no",
        **hardened(f"{USER}:{USER}", "512m"),
        "environment": _kafka() | {ADDRESS: f"127.0.0.1:{names.CONTROLLER_PORT}"} | passwords,
        "tmpfs": [TMP],
        "network_mode": f"service:{KAFKA}",
        "depends_on": on_health(KAFKA),
    }


def _kafka() -> dict[str, str]:
    return {
        "VIOX_KAFKA_BOOTSTRAP_SERVERS": names.BOOTSTRAP,
        "VIOX_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "VIOX_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "VIOX_KAFKA_PARTITIONS": str(PARTITIONS),
    }


def cli() -> Object:
    """`docker compose run --rm cli status`: the operator's command line, which is started by nothing else."""
    dsn = _filled(
        settings.dsn("viox_operator_cli", settings.PASSWORD, SERVER), {settings.PASSWORD: "viox_operator_cli"}
    )
    login: dict[str, Any] = {
        "VIOX_KAFKA_SASL_PLAIN_USERNAME": "viox-operator-cli",
        settings.KAFKA_PASSWORD: needed(password_setting("operator-cli")),
        "VIOX_POSTGRES_DSN": dsn,
        "VIOX_GATEWAY_URL": f"http://{GATEWAY}:{PORT}",
        settings.OPERATOR_TOKEN: needed(settings.OPERATOR_TOKEN),
        "VIOX_PEOPLE": f"{names.SECRETS_FOLDER}/people.yaml",
        "VIOX_BUSINESS": f"{BUSINESS}/business.yaml",
    }
    return {
        "image": names.OURS,
        "profiles": [names.CLI],
        "entrypoint": ["python", "-m", "viox"],
        "command": ["status"],
        "restart": "no",
        **hardened(f"{USER}:{USER}", "512m"),
        "environment": _kafka() | login,
        "secrets": ["people.yaml"],
        "configs": [{"source": "business", "target": f"{BUSINESS}/business.yaml"}],
        "tmpfs": [TMP, HOME_IN_MEMORY],
        "networks": ["postgres", "services", "kafka"],
        "depends_on": completed(MIGRATE, KAFKA_SETUP),
    }

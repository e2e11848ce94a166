"""The environment of each service: which settings, and which secrets it is given by reference. No value is secret here."""

from __future__ import annotations

from typing import Final

from viox.deploy.facts import BUSINESS, CONSOLE, DATABASE, GATEWAY, MODEL_KEYS, OWNER, PORT, SERVICES, Service

HOME: Final = "/var/lib/viox"
KAFKA_CA: Final = "/etc/viox/kafka/ca.crt"
POSTGRES_CA: Final = "/etc/viox/postgres/ca.crt"
AUDIT: Final = "/etc/viox/audit"
PEOPLE: Final = "/etc/viox/people"
VENDORS: Final = "/etc/viox/secrets"

# What only the gateway and the console know. A secret of a name is a key of the Secret `viox-gateway`.
OPERATOR_TOKEN: Final = "VIOX_OPERATOR_TOKEN"  # noqa: S105  # a name
SECRET_KEY: Final = "VIOX_SECRET_KEY"  # noqa: S105
PASSWORD: Final = "VIOX_POSTGRES_PASSWORD"  # noqa: S105  # no document may name a setting that begins with VIOX_
QUERY_PASSWORD: Final = "VIOX_QUERY_PASSWORD"  # noqa: S105
KAFKA_PASSWORD: Final = "VIOX_KAFKA_SASL_PLAIN_PASSWORD"  # noqa: S105


def plain(one: Service, kafka: str, postgres: str) -> dict[str, str]:
    """Settings without secrets. `$(NAME)` in a DSN is put there by Kubernetes."""
    found = {
        "VIOX_HOME": HOME,
        "VIOX_HTTP_HOST": "0.0.0.0",  # noqa: S104  # in a pod's own network, behind its policy
        "VIOX_HTTP_PORT": str(PORT),
        "VIOX_LOG_FORMAT": "json",
        "VIOX_BUSINESS": f"{BUSINESS}/business.yaml",
        "VIOX_POSTGRES_DSN": dsn(one.login, PASSWORD, postgres),
    }
    if one.on_kafka:
        found |= {
            "VIOX_DRAIN_SECONDS": str(one.drain_seconds),
            "VIOX_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "VIOX_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "VIOX_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "VIOX_KAFKA_SASL_PLAIN_USERNAME": f"viox-{one.name}",
            "VIOX_KAFKA_SSL_CAFILE": KAFKA_CA,
        }
    return found | _own(one, postgres)


def _own(one: Service, postgres: str) -> dict[str, str]:
    if one.name == GATEWAY:
        return {
            "VIOX_PEOPLE": f"{PEOPLE}/people.yaml",
            "VIOX_AUDIT_KEY": f"{AUDIT}/key",
            "VIOX_SECRETS_DIR": VENDORS,
            "VIOX_QUERY_DSN": dsn("viox_query", QUERY_PASSWORD, postgres),
            "VIOX_PUBLIC_URL": "https://hooks.example.com",
        }
    if one.name == CONSOLE:
        at = ",".join(f"{name}=http://{name}:{PORT}" for name in SERVICES if name != CONSOLE)
        return {
            "VIOX_PEOPLE": f"{PEOPLE}/people.yaml",
            "VIOX_GATEWAY_URL": f"http://{GATEWAY}:{PORT}",
            "VIOX_CONSOLE_SERVICES": at,
        }
    return {}


def dsn(login: str, password: str, postgres: str) -> str:
    """Of a server `host:port?parameters`. The password's setting stands in it by name."""
    host, _, parameters = postgres.partition("?")
    return f"postgresql://{login}:$({password})@{host}/{DATABASE}" + (f"?{parameters}" if parameters else "")


def secrets(one: Service) -> dict[str, tuple[str, str, bool]]:
    """Setting → (Secret, key, whether it may be missing)."""
    found = {PASSWORD: (postgres_secret(one.login), "password", False)}
    if one.on_kafka:
        found[KAFKA_PASSWORD] = (f"viox-{one.name}", "password", False)
    if one.is_agent:
        return found | {name: ("viox-models", name, True) for name in MODEL_KEYS}
    if one.name == GATEWAY:
        found[QUERY_PASSWORD] = (postgres_secret("viox_query"), "password", False)
        found[SECRET_KEY] = ("viox-gateway-keys", SECRET_KEY, False)
    return found | {OPERATOR_TOKEN: ("viox-operator-token", OPERATOR_TOKEN, False)}


def postgres_secret(login: str) -> str:
    return f"viox-postgres-{'owner' if login == OWNER else login.removeprefix('viox_').replace('_', '-')}"


def files(one: Service) -> dict[str, tuple[str, str, dict[str, str] | None]]:
    """Volume → (folder, the Secret it shows, which keys of it as which files; None: all)."""
    found: dict[str, tuple[str, str, dict[str, str] | None]] = {
        "postgres-ca": ("/etc/viox/postgres", "viox-postgres-ca", {"ca.crt": "ca.crt"})
    }
    if one.on_kafka:
        found["kafka-ca"] = ("/etc/viox/kafka", "viox-cluster-ca-cert", {"ca.crt": "ca.crt"})
    if not one.is_agent:
        found["people"] = (PEOPLE, "viox-people", {"people.yaml": "people.yaml"})
    if one.name == GATEWAY:
        found["audit-key"] = (AUDIT, "viox-audit-key", {"key": "key"})
        found["vendors"] = (VENDORS, "viox-vendors", None)
    return found

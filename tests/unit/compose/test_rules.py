"""What is in deploy/compose keeps every rule, and each rule finds what breaks it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from viox.deploy.compose import reading, rules
from viox.deploy.compose.reading import Written
from viox.deploy.compose.rules import Rule

Break = Callable[[Written], object]
WRITTEN = reading.read()
MISSING = object()


def put(path: str, value: Any = MISSING) -> Break:
    """A case: put a value at a path below a part of what is written; numbers are places in lists, `+` adds, no value takes away."""
    part, *steps = path.split("/")

    def act(written: Written) -> None:
        here: Any = getattr(written, part)
        keys: list[Any] = [int(step) if step.isdigit() else step for step in steps]
        for key in keys[:-1]:
            here = here[key]
        if keys[-1] == "+":
            here.append(value)
        elif value is MISSING:
            del here[keys[-1]]
        else:
            here[keys[-1]] = value

    return act


def service(path: str, value: Any = MISSING) -> Break:
    return put(f"services/{path}", value)


def password_in_sql(written: Written) -> None:
    object.__setattr__(written, "roles", written.roles + "alter role \"viox\" password 'x1';\n")


def more_in_example(written: Written) -> None:
    object.__setattr__(written, "example", (*written.example, "VIOX_FORGOTTEN"))


def left_out_of_example(written: Written) -> None:
    object.__setattr__(written, "example", tuple(name for name in written.example if "CLOSER" not in name))


VOICE_PASSWORD = "${VIOX_POSTGRES_VOICE_PASSWORD:?run secrets.sh}"
OWN_PASSWORD = "${VIOX_KAFKA_CLOSER_PASSWORD:-}"
BOTTOM = {"condition": "service_healthy"}
MASQUERADED = "com.docker.network.bridge.enable_ip_masquerade"

CASES: list[tuple[Rule, Break]] = [
    (rules.keys_are_those_of_compose, put("compose/version", "3")),
    (rules.keys_are_those_of_compose, service("closer/readonly", True)),
    (rules.keys_are_those_of_compose, service("closer/restart", False)),
    (rules.keys_are_those_of_compose, service("closer/healthcheck/period", "5s")),
    (rules.keys_are_those_of_compose, service("closer/deploy/replicas", 2)),
    (rules.keys_are_those_of_compose, service("kafka-setup/networks", ["kafka"])),
    (rules.keys_are_those_of_compose, service("gateway/volumes/+", "./x:/x")),
    (rules.keys_are_those_of_compose, service("closer/environment/VIOX_HTTP_PORT", 8080)),
    (rules.services_are_those_of_the_code, service("voice")),
    (rules.services_are_those_of_the_code, service("redis", {"image": "docker.io/library/redis:8.0.0"})),
    (rules.services_are_those_of_the_code, service("voice/command", ["services.closer.main"])),
    (rules.images_are_pinned, service("kafka/image", "docker.io/apache/kafka:latest")),
    (rules.images_are_pinned, service("grafana/image", "docker.io/grafana/grafana")),
    (rules.images_are_pinned, service("closer/image", "ghcr.io/viox-os/viox:0.0.9")),
    (rules.images_are_pinned, service("prometheus/image", "ghcr.io/viox-os/viox:0.1.0")),
    (rules.images_are_pinned, service("closer/build", {"context": "."})),
    (rules.containers_are_restricted, service("closer/read_only", False)),
    (rules.containers_are_restricted, service("kafka/cap_drop")),
    (rules.containers_are_restricted, service("postgres/security_opt", [])),
    (rules.containers_are_restricted, service("grafana/user", "0:0")),
    (rules.containers_are_restricted, service("migrate/user")),
    (rules.containers_are_restricted, service("voice/deploy/resources/limits/memory")),
    (rules.containers_are_restricted, service("voice/deploy/resources/limits/pids")),
    (rules.containers_are_restricted, service("gateway/volumes/1/read_only")),
    (rules.secrets_have_no_values, service("closer/environment/VIOX_KAFKA_SASL_PLAIN_PASSWORD", "hunter2")),
    (rules.secrets_have_no_values, service("closer/environment/OPENAI_API_KEY", "x${OPENAI_API_KEY:-}")),
    (
        rules.secrets_have_no_values,
        service("closer/environment/VIOX_POSTGRES_DSN", "postgresql://viox:pw@postgres/viox"),
    ),
    (rules.secrets_have_no_values, service("closer/environment/HINT", "sk_live_4eC39HqLyjWDarjtT1zdp7dc")),
    (rules.secrets_have_no_values, service("kafka/command/0", "connect postgresql://viox:pw@postgres/viox")),
    (rules.secrets_have_no_values, password_in_sql),
    (rules.secrets_have_no_values, put("broker/x.jaas.config", 'Module required username="admin" password="admin";')),
    (rules.what_stands_in_is_known, service("closer/environment/VIOX_LOG_LEVEL", "${LEVEL:-INFO}")),
    (rules.what_stands_in_is_known, service("closer/environment/VIOX_KAFKA_SASL_PLAIN_PASSWORD", OWN_PASSWORD)),
    (rules.what_stands_in_is_known, put("grafana_port/services/grafana/ports/+", "${GRAFANA}:3000")),
    (rules.what_stands_in_is_known, more_in_example),
    (rules.what_stands_in_is_known, left_out_of_example),
    (rules.only_who_needs_a_secret_gets_it, service("closer/environment/MORE", VOICE_PASSWORD)),
    (rules.only_who_needs_a_secret_gets_it, service("gateway/environment/OPENAI_API_KEY", "${OPENAI_API_KEY:-}")),
    (
        rules.only_who_needs_a_secret_gets_it,
        service("closer/environment/MORE", "${VIOX_OPERATOR_TOKEN:?run secrets.sh}"),
    ),
    (rules.only_who_needs_a_secret_gets_it, service("closer/secrets", ["audit-key"])),
    (rules.only_who_needs_a_secret_gets_it, service("console/secrets/+", "secret-key")),
    (
        rules.only_who_needs_a_secret_gets_it,
        service("closer/volumes", [{"type": "bind", "source": "./private/vendors", "target": "/v", "read_only": True}]),
    ),
    (rules.settings_are_known, service("closer/environment/VIOX_MOOD", "good")),
    (rules.settings_are_known, service("migrate/environment/VIOX_POSTGRES_DNS", "x")),
    (rules.settings_are_known, service("closer/environment/VIOX_KAFKA_ADMIN_PASSWORD", "x")),
    (rules.what_is_needed_can_be_reached, service("closer/networks", ["postgres", "services", "models"])),
    (rules.what_is_needed_can_be_reached, service("console/networks", ["postgres", "doors"])),
    (rules.what_is_needed_can_be_reached, service("prometheus/networks", ["grafana"])),
    (rules.what_is_needed_can_be_reached, service("migrate/networks", ["kafka"])),
    (rules.what_is_needed_can_be_reached, service("grafana/networks", ["services-of-others"])),
    (rules.what_is_needed_can_be_reached, service("closer/environment/VIOX_KAFKA_BOOTSTRAP_SERVERS", "kafka:9093")),
    (
        rules.what_is_needed_can_be_reached,
        put("broker/listeners", "CLIENTS://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"),
    ),
    (rules.what_is_needed_can_be_reached, put("broker/listeners", "CLIENTS://0.0.0.0:9092,CONTROLLER://0.0.0.0:9093")),
    (rules.what_is_needed_can_be_reached, put("broker/advertised.listeners", "CLIENTS://localhost:9092")),
    (rules.only_who_has_to_goes_outside, put("compose/networks/postgres/internal", False)),
    (rules.only_who_has_to_goes_outside, put("compose/networks/elsewhere", {})),
    (rules.only_who_has_to_goes_outside, put(f"compose/networks/doors/driver_opts/{MASQUERADED}", "true")),
    (rules.only_who_has_to_goes_outside, service("closer/networks/+", "outside")),
    (rules.only_who_has_to_goes_outside, service("console/networks/+", "outside")),
    (rules.only_who_has_to_goes_outside, service("postgres/networks/+", "models")),
    (rules.only_who_has_to_goes_outside, service("grafana/networks")),
    (rules.only_who_has_to_goes_outside, service("kafka-setup/network_mode", "host")),
    (rules.only_the_doors_are_open, service("kafka/ports", ["127.0.0.1:9092:9092"])),
    (rules.only_the_doors_are_open, service("gateway/ports/0", "${VIOX_GATEWAY_PORT:-8080}:8080")),
    (
        rules.only_the_doors_are_open,
        service("console/ports/0", "${VIOX_BIND:-0.0.0.0}:${VIOX_CONSOLE_PORT:-8090}:8080"),
    ),
    (rules.healthchecks_ask_what_is_served, service("closer/healthcheck")),
    (rules.healthchecks_ask_what_is_served, service("kafka/healthcheck/test/3", "exec 3<>/dev/tcp/127.0.0.1/9093")),
    (rules.healthchecks_ask_what_is_served, service("postgres/healthcheck/test/6", "5433")),
    (rules.healthchecks_ask_what_is_served, service("closer/environment/VIOX_HTTP_PORT", "8081")),
    (rules.healthchecks_ask_what_is_served, service("closer/healthcheck/test/4", "urlopen('http://127.0.0.1:8080/')")),
    (rules.services_wait_for_what_they_need, service("closer/depends_on/migrate")),
    (rules.services_wait_for_what_they_need, service("closer/depends_on/kafka-setup/condition", "service_started")),
    (rules.services_wait_for_what_they_need, service("migrate/depends_on/postgres-setup")),
    (rules.services_wait_for_what_they_need, service("grafana/depends_on/migrate", BOTTOM)),
    (rules.services_wait_for_what_they_need, service("migrate/restart", "always")),
    (rules.services_wait_for_what_they_need, service("voice/restart", "no")),
    (rules.services_stop_after_their_longest_call, service("gateway/stop_grace_period", "600s")),
    (rules.services_stop_after_their_longest_call, service("closer/environment/VIOX_DRAIN_SECONDS", "20")),
    (rules.services_stop_after_their_longest_call, service("kafka/stop_grace_period")),
    (rules.prometheus_asks_every_service, put("prometheus/scrape_configs/0/static_configs/0/targets/0")),
    (rules.prometheus_asks_every_service, put("prometheus/scrape_configs/0/static_configs/0/targets/+", "redis:6379")),
    (rules.prometheus_asks_every_service, put("prometheus/scrape_configs/0/job_name", "services")),
    (rules.prometheus_asks_every_service, put("prometheus/rule_files", [])),
    (rules.files_are_there, put("compose/configs/alerts/file", "../monitoring/alerts.yaml")),
    (rules.files_are_there, put("compose/secrets/audit-key/file", "./private/audit.key")),
    (rules.files_are_there, service("grafana/volumes/1/source", "../monitoring/dashboards")),
    (rules.files_are_there, put("compose/volumes/more", {})),
    (rules.files_are_there, put("compose/secrets/people.yaml")),
    (rules.kafka_knows_everybody, put("broker/authorizer.class.name")),
    (rules.kafka_knows_everybody, put("broker/allow.everyone.if.no.acl.found", "true")),
    (rules.kafka_knows_everybody, put("broker/super.users", "User:admin;User:viox-closer")),
]


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_every_rule_is_kept(rule: Rule) -> None:
    assert list(rule(WRITTEN)) == []


@pytest.mark.parametrize(("rule", "act"), CASES, ids=[f"{rule.__name__}-{n}" for n, (rule, _) in enumerate(CASES)])
def test_what_breaks_a_rule_is_found(rule: Rule, act: Break) -> None:
    written = copy.deepcopy(WRITTEN)
    act(written)
    assert list(rule(written))


def test_every_rule_has_a_case_that_breaks_it() -> None:
    assert {rule for rule, _ in CASES} == set(rules.RULES)

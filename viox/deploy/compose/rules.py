"""Rules that `deploy/compose` keeps. Each takes its documents as they are read and yields what breaks it.

There is no Compose where these run: that keys are Compose's own and of the right form is among the rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from sandbox.kafka_users import CONTROLLER
from shared.settings import Settings
from viox.deploy import monitoring, settings
from viox.deploy.compose import names, servers, services
from viox.deploy.compose.reading import (
    FOLDER,
    INTERPOLATED,
    KEYS,
    OF_FILE,
    OF_HEALTH,
    OF_VOLUME,
    TOP,
    Written,
    interpolated,
    joined,
)
from viox.deploy.documents import Object
from viox.deploy.facts import CONSOLE, DRAIN_SECONDS, GATEWAY, MODEL_KEYS, PORT, SERVICES, service
from viox.deploy.rules import PLAIN_NAMES, SECRET_NAME, SECRET_VALUE
from viox.kafka_setup import ADDRESS, CLIENTS, password_setting

ONCE: Final = (names.ROLES, names.MIGRATE, names.KAFKA_SETUP)
SERVERS: Final = (names.KAFKA, names.POSTGRES, names.PROMETHEUS, names.GRAFANA)
OURS: Final = (*SERVICES, names.MIGRATE, names.KAFKA_SETUP, names.CLI)
PORTS: Final = {
    **dict.fromkeys(SERVICES, PORT),
    names.KAFKA: names.KAFKA_PORT,
    names.POSTGRES: names.POSTGRES_PORT,
    names.PROMETHEUS: names.PROMETHEUS_PORT,
    names.GRAFANA: names.GRAFANA_PORT,
}
WAYS_OUT: Final = {GATEWAY: "outside", CONSOLE: "doors"}  # agents': `models`; others have none
ADDRESSED: Final = re.compile(rf"(?<![\w.-])({'|'.join(PORTS)}):(\d+)")
DURATION: Final = re.compile(r"(\d+)s")
TAG: Final = re.compile(r"[a-z0-9.]+/[a-z0-9./-]+:v?\d+(\.\d+)+[a-z0-9.-]*")
# Settings that are read by Secrets or by one service, and so stand in no table of settings.
OTHERS: Final = {
    "VIOX_SECRETS_DIR",
    "VIOX_QUERY_DSN",
    "VIOX_GATEWAY_URL",
    "VIOX_SECRET_KEY_FILE",
    "VIOX_OPERATOR_TOKEN",
}
OF_KAFKA: Final = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "false",
    "listener.security.protocol.map": "CLIENTS:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
    "listener.name.clients.sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "super.users": "User:admin;User:kraft-controller",
    "auto.create.topics.enable": "false",
}

Rule = Callable[[Written], Iterator[str]]


def keys_are_those_of_compose(written: Written) -> Iterator[str]:
    """A key that is misspelt would be an error of Compose or, worse, of nobody."""
    if set(written.compose) != TOP:
        yield f"compose.yaml has {sorted(written.compose)} at its top"
    for name, one in written.services.items():
        for key, value in one.items():
            if not isinstance(value, KEYS.get(key, ())):
                yield f"{name}: {key} is no key of a service, or has another form"
        yield from (f"{name}: {problem}" for problem in _parts(one))


def _parts(one: Object) -> Iterator[str]:
    if set(one.get("healthcheck", {})) - OF_HEALTH:
        yield "healthcheck has keys that Compose does not know"
    if set(one.get("deploy", {})) - {"resources"}:
        yield "deploy says what only a cluster does"
    if "networks" in one and "network_mode" in one:
        yield "networks and network_mode exclude each other"
    for key, known in (("configs", OF_FILE), ("volumes", OF_VOLUME)):
        if any(not isinstance(each, dict) or set(each) - known for each in one.get(key, [])):
            yield f"{key} has an entry of another form"
    for name, value in one.get("environment", {}).items():
        if not isinstance(value, str):
            yield f"{name} is no text, which Compose would make of it in a way of its own"


def services_are_those_of_the_code(written: Written) -> Iterator[str]:
    wanted = {*SERVICES, *ONCE, *SERVERS, names.CLI}
    for name in sorted(wanted ^ set(written.services)):
        yield f"{name} is {'missing' if name in wanted else 'nothing that the code has'}"
    for name in SERVICES:
        if written.services.get(name, {}).get("command") != [service(name).module]:
            yield f"{name} does not start {service(name).module}"


def images_are_pinned(written: Written) -> Iterator[str]:
    """Ours is one for all, and built in one place."""
    for name, one in written.services.items():
        image = one.get("image", "")
        if not TAG.fullmatch(image):
            yield f"{name}: {image} is not pinned to a version"
        if (name in OURS) != (image == names.OURS):
            yield f"{name} has the image {image}"
    if [name for name, one in written.services.items() if "build" in one] != [names.MIGRATE]:
        yield "the image is not built in one place"


def containers_are_restricted(written: Written) -> Iterator[str]:
    for name, one in written.services.items():
        kept = (
            one.get("read_only") is True,
            one.get("cap_drop") == ["ALL"],
            one.get("security_opt") == ["no-new-privileges:true"],
            re.fullmatch(r"[1-9]\d*:\d+", one.get("user", "")) is not None,
        )
        if not all(kept):
            yield f"{name} is not restricted: root file system, capabilities, privileges or user"
        limits = one.get("deploy", {}).get("resources", {}).get("limits", {})
        if not (re.fullmatch(r"\d+[mg]", str(limits.get("memory"))) and isinstance(limits.get("pids"), int)):
            yield f"{name} has no limit of memory or processes"
        for each in one.get("volumes", []):
            if each["type"] == "bind" and not each.get("read_only"):
                yield f"{name} may write to {each['source']}"


def secrets_have_no_values(written: Written) -> Iterator[str]:
    """Of all that is named like a secret or looks like one, there is only where it comes from."""
    for name, one in written.services.items():
        for setting, value in one.get("environment", {}).items():
            bare = INTERPOLATED.sub("", value)
            named = SECRET_NAME.search(setting) and setting not in PLAIN_NAMES
            if SECRET_VALUE.search(value) or (named and bare and not value.startswith(f"{names.SECRETS_FOLDER}/")):
                yield f"{name}: {setting} has a secret's value"
        if any(SECRET_VALUE.search(word) for word in (*one.get("command", []), *one.get("entrypoint", []))):
            yield f"{name}: its command has a secret's value"
    if re.search(r"password '", written.roles):
        yield "roles.sql has a password"
    for setting, value in written.broker.items():
        if re.search(r'password="(?!\$\{env:)', value):
            yield f"server.properties: {setting} has a password"


def what_stands_in_is_known(written: Written) -> Iterator[str]:
    """Everything in `${…}` is made by secrets.sh or has a value without it; a secret that is missing stops `up`."""
    for name, one in {**written.services, "grafana-port": written.grafana_port["services"]["grafana"]}.items():
        for setting in sorted(interpolated(one) - set(written.example)):
            yield f"{name}: ${{{setting}}} is not in env.example"
        text = str([one.get("environment"), one.get("ports"), one.get("command")])
        for found in INTERPOLATED.finditer(text):
            if found[1] in names.generated() and found[2] != ":?":
                yield f"{name}: without {found[1]} it would start all the same"
    used = {setting for one in written.services.values() for setting in interpolated(one)}
    for setting in sorted(set(written.example) - used - {"VIOX_GRAFANA_PORT", names.postgres_password("viox_reader")}):
        yield f"{setting} of env.example is used nowhere"
    if len(set(names.generated())) != len(names.generated()):
        yield "two secrets have one name"


def only_who_needs_a_secret_gets_it(written: Written) -> Iterator[str]:
    """Each service has its own passwords, agents the models' keys, gateway and console what operators prove themselves with."""
    for name in SERVICES:
        one = written.services.get(name, {})
        found = {setting for setting in interpolated(one) if SECRET_NAME.search(setting)}
        for setting in sorted(found - _allowed(name)):
            yield f"{name} is given {setting}"
        more = (
            {"people.yaml"}
            if name == CONSOLE
            else {"people.yaml", "secret-key", "audit-key"}
            if name == GATEWAY
            else set()
        )
        if set(one.get("secrets", [])) != more:
            yield f"{name} has the files {one.get('secrets', [])}"
        if (names.VENDORS in str(one.get("volumes"))) != (name == GATEWAY):
            yield f"{name}: vendors' credentials are the gateway's alone"


def _allowed(name: str) -> set[str]:
    found = {names.postgres_password(service(name).login)}
    if service(name).on_kafka:
        found.add(password_setting(name))
    if name == GATEWAY:
        found.add(names.postgres_password("viox_query"))
    return found | (set(MODEL_KEYS) if service(name).is_agent else {settings.OPERATOR_TOKEN})


def settings_are_known(written: Written) -> Iterator[str]:
    known = {f"VIOX_{name.upper()}" for name in Settings.model_fields} | OTHERS | set(MODEL_KEYS)
    for name in OURS:
        one = written.services.get(name, {})
        more = {ADDRESS, *map(password_setting, (CONTROLLER, *CLIENTS))}
        for setting in sorted(set(one.get("environment", {})) - known - (more if name == names.KAFKA_SETUP else set())):
            yield f"{name}: no service reads {setting}"


def what_is_needed_can_be_reached(written: Written) -> Iterator[str]:
    """Whom a service names in a setting or waits for shares a network with it, and is asked on the port that it serves."""
    for name, one in written.services.items():
        told = " ".join([*map(str, one.get("environment", {}).values()), str(one.get("healthcheck", ""))])
        asked = {(host, port) for host, port in ADDRESSED.findall(told)}
        asked |= {
            (host, None) for host, how in one.get("depends_on", {}).items() if how["condition"] == services.HEALTHY
        }
        for host, port in sorted(asked, key=str):
            if not joined(written, name) & joined(written, host):
                yield f"{name} shares no network with {host}"
            if port is not None and int(port) != PORTS[host]:
                yield f"{name} asks {host} on port {port}, which serves {PORTS[host]}"
    for name, host in ((names.PROMETHEUS, each) for each in SERVICES):
        if not joined(written, name) & joined(written, host):
            yield f"{name} shares no network with {host}"
    listeners = written.broker.get("listeners", "")
    if (
        f"://0.0.0.0:{names.KAFKA_PORT}," not in listeners
        or f"CONTROLLER://127.0.0.1:{names.CONTROLLER_PORT}" not in listeners
    ):
        yield f"Kafka listens at {listeners}"
    if written.broker.get("advertised.listeners") != f"CLIENTS://{names.BOOTSTRAP}":
        yield "Kafka tells its clients another address than theirs"


def only_who_has_to_goes_outside(written: Written) -> Iterator[str]:
    """The gateway, agents for their models; the console's network lets nothing out but answers."""
    networks = written.compose["networks"]
    for name in networks:
        wanted: dict[str, Any] = servers.NETWORKS.get(name, servers.INTERNAL)
        if networks[name] != wanted:
            yield f"network {name} is not as it has to be"
    for name in written.services:
        if written.services[name].get("network_mode", "").partition(":")[0] not in ("", "service"):
            yield f"{name} is in the network of the machine"
        out = {each for each in joined(written, name) if not networks.get(each, {}).get("internal")}
        way = WAYS_OUT.get(name, "models" if name in SERVICES else "")
        if out != ({way} if way else set()):
            yield f"{name} leaves by {sorted(out)}"


def only_the_doors_are_open(written: Written) -> Iterator[str]:
    doors = {GATEWAY: "VIOX_GATEWAY_PORT", CONSOLE: "VIOX_CONSOLE_PORT"}
    for name, one in written.services.items():
        wanted = [f"{names.choice('VIOX_BIND')}:{names.choice(doors[name])}:{PORT}"] if name in doors else []
        if one.get("ports", []) != wanted:
            yield f"{name} opens {one.get('ports', [])}, not {wanted}"
    if names.CHOICES["VIOX_BIND"] != "127.0.0.1":
        yield "ports are open to others than this machine"


def healthchecks_ask_what_is_served(written: Written) -> Iterator[str]:
    for name in (*SERVICES, *SERVERS):
        one = written.services.get(name, {})
        test = " ".join(one.get("healthcheck", {}).get("test", []))
        if not re.search(rf"127\.0\.0\.1(?:[:/]| -p ){PORTS[name]}\b", test):
            yield f"{name}: its healthcheck does not ask port {PORTS[name]}"
        if name in SERVICES and (
            f":{PORT}/readyz" not in test or one.get("environment", {}).get("VIOX_HTTP_PORT") != str(PORT)
        ):
            yield f"{name}: its healthcheck does not ask /readyz where it is served"


def services_wait_for_what_they_need(written: Written) -> Iterator[str]:
    """Schema, users and topics come first. What runs once is not started again."""
    for name in SERVICES:
        found = written.services.get(name, {}).get("depends_on", {})
        wanted = services.service(service(name))["depends_on"]
        if found != wanted:
            yield f"{name} waits for {sorted(found)}, not for {sorted(wanted)}"
    for name, one in written.services.items():
        for host, how in one.get("depends_on", {}).items():
            once = how["condition"] == services.COMPLETED
            if host not in written.services or once != (host in ONCE):
                yield f"{name} waits for {host} in a way that never ends"
        if one.get("restart") != ("no" if name in (*ONCE, names.CLI) else "unless-stopped"):
            yield f"{name}: restart is {one.get('restart')}"
    setup = written.services.get(names.MIGRATE, {}).get("depends_on", {})
    if names.ROLES not in setup:
        yield "migrations do not wait for the roles"


def services_stop_after_their_longest_call(written: Written) -> Iterator[str]:
    for name in (*SERVICES, *SERVERS):
        one = written.services.get(name, {})
        grace = DURATION.fullmatch(one.get("stop_grace_period", ""))
        if grace is None:
            yield f"{name} is killed after ten seconds"
        elif name in SERVICES and service(name).on_kafka:
            drain = float(one.get("environment", {}).get("VIOX_DRAIN_SECONDS", 0))
            if drain < DRAIN_SECONDS["models" if service(name).is_agent else "tools"] or int(grace[1]) <= drain:
                yield f"{name} is killed before its longest call has come back"


def prometheus_asks_every_service(written: Written) -> Iterator[str]:
    jobs = written.prometheus["scrape_configs"]
    found = sorted(target for job in jobs for group in job["static_configs"] for target in group["targets"])
    if found != sorted(f"{name}:{PORT}" for name in SERVICES):
        yield f"Prometheus asks {found}"
    if [job["job_name"] for job in jobs] != [monitoring.JOB] or written.prometheus.get("rule_files") != ["rules.yaml"]:
        yield "the alerts would find nothing, or are not read"


def files_are_there(written: Written, folder: Path = FOLDER) -> Iterator[str]:
    """What is shown to a container is in the repository, or secrets.sh makes it; and what is declared is used."""
    script = (folder / "secrets.sh").read_text()
    made = {names.VENDORS, *(f"{names.PRIVATE}/{name}" for name in names.FILES if f"keep {name}" in script)}
    paths = [one["file"] for kind in ("configs", "secrets") for one in written.compose[kind].values()]
    binds = [each for one in written.services.values() for each in one.get("volumes", []) if each["type"] == "bind"]
    for path in (*paths, *(each["source"] for each in binds)):
        if path not in made and not (folder / path).exists():
            yield f"there is no {path}"
    for kind in ("configs", "secrets", "volumes", "networks"):
        used = {_source(each) for one in written.services.values() for each in one.get(kind, []) if each not in binds}
        for name in sorted(used ^ set(written.compose[kind])):
            yield f"{kind}: {name} is declared and not used, or used and not declared"


def _source(each: Any) -> str:
    return str(each["source"] if isinstance(each, dict) else each)


def kafka_knows_everybody(written: Written) -> Iterator[str]:
    """Nobody comes in without a password, and nobody may do what no rule allows."""
    for name, value in OF_KAFKA.items():
        if written.broker.get(name) != value:
            yield f"server.properties: {name} is {written.broker.get(name)}, not {value}"


RULES: Final[tuple[Rule, ...]] = (
    keys_are_those_of_compose,
    services_are_those_of_the_code,
    images_are_pinned,
    containers_are_restricted,
    secrets_have_no_values,
    what_stands_in_is_known,
    only_who_needs_a_secret_gets_it,
    settings_are_known,
    what_is_needed_can_be_reached,
    only_who_has_to_goes_outside,
    only_the_doors_are_open,
    healthchecks_ask_what_is_served,
    services_wait_for_what_they_need,
    services_stop_after_their_longest_call,
    prometheus_asks_every_service,
    files_are_there,
    kafka_knows_everybody,
)

"""Files of deploy/compose say of the code what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from sandbox import broker as sandbox
from sandbox.postgres import ROLES
from shared.bus import acls
from shared.settings import Settings
from viox.deploy import __main__ as deploy
from viox.deploy import postgres, settings
from viox.deploy.compose import files, names, reading, servers, services
from viox.deploy.facts import DEPLOY, GROUPS, PORT, every_service

FOLDER = DEPLOY / "compose"
SECURITY = re.compile(
    r"^(sasl|listener\.name|listener\.security|config\.providers|authorizer|allow|super|connections)\."
)


def test_identity_and_rights_are_those_of_the_broker_that_tests_run_on() -> None:
    tested = files.properties(sandbox.PROPERTIES)
    found = reading.read().broker
    filled = {"admin": "admin", "kraft": "kraft-controller", "super_users": "User:admin;User:kraft-controller"}
    wanted = {name: value for name, value in tested.items() if SECURITY.match(name)}
    assert len(wanted) > 10
    for name, value in wanted.items():
        assert found[name] == value.replace("${{", "{{").format(**filled).replace("{env", "${env"), name


def test_a_property_may_go_on_in_the_next_line() -> None:
    assert files.properties("# no\na=b \\\n  c=d\ne=\n") == {"a": "b c=d", "e": ""}


def test_every_login_is_made_with_its_own_password_and_joins_its_group() -> None:
    text = (FOLDER / "postgres" / "roles.sql").read_text()
    for login, group in ROLES.items():
        assert f'grant "{group}" to "{login}";' in text
        assert f"alter role \"{login}\" password :'{names.postgres_password(login)}';" in text
    given = services.once()[names.ROLES]["environment"]
    assert set(re.findall(r"\\getenv (\w+) \1\n", text)) == {name for name in given if not name.startswith("PG")}
    assert [group for group in GROUPS if f'create role "{group}" nologin' not in text] == []


def test_every_client_of_kafka_has_a_password_of_its_own() -> None:
    given = services.once()[names.KAFKA_SETUP]["environment"]
    passwords = {value for name, value in given.items() if name.endswith("_PASSWORD")}
    assert len(passwords) == len(acls.CLIENTS) + 2  # and the two who may do everything


def test_postgres_takes_two_of_each_service() -> None:
    found = dict(each.split("=") for each in servers.database()["command"] if "=" in each)
    assert int(found["max_connections"]) == postgres.connections(2) < postgres.connections()


def test_settings_are_those_of_kubernetes_but_for_what_is_said() -> None:
    differing = {
        "VIOX_KAFKA_SECURITY_PROTOCOL",
        "VIOX_KAFKA_SSL_CAFILE",
        "VIOX_POSTGRES_DSN",
        "VIOX_QUERY_DSN",
        "VIOX_PEOPLE",
        "VIOX_AUDIT_KEY",
        "VIOX_PUBLIC_URL",
    }
    for one in every_service():
        there = settings.plain(one, names.BOOTSTRAP, services.SERVER)
        here = services.environment(one)
        assert {name for name in there if here.get(name) != there[name]} <= differing, one.name


def test_every_setting_is_one_that_a_service_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in every_service():
        for name, value in services.environment(one).items():
            monkeypatch.setenv(name, re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value))
        assert Settings.load().http_port == PORT


def test_dashboards_find_their_source() -> None:
    source = yaml.safe_load((FOLDER / "grafana" / "datasources.yaml").read_text())["datasources"][0]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    provider = yaml.safe_load((FOLDER / "grafana" / "dashboards.yaml").read_text())["providers"][0]
    shown = [each["target"] for each in servers.grafana()["volumes"] if each["type"] == "bind"]
    assert shown == [provider["options"]["path"]]


def test_git_has_no_secret_of_a_deployment() -> None:
    assert set((FOLDER / ".gitignore").read_text().split()) == {".env", "private/", "compose.override.yaml"}


def test_what_is_changed_by_hand_or_left_over_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "DEPLOY", tmp_path / "deploy")
    deploy.write()
    folder = tmp_path / "deploy" / "compose"
    for name in ("kafka/server.properties", "postgres/roles.sql"):
        (folder / name).write_text((folder / name).read_text() + "\n")
    (folder / "postgres" / "more.sql").write_text((folder / "postgres" / "roles.sql").read_text())
    (folder / "private").mkdir()
    (folder / "private" / "key").write_bytes(b"\xff")  # a deployment's, which nobody reads
    (folder / "secrets.sh").write_text("#!/bin/sh\n")
    wrong = ("kafka/server.properties", "postgres/more.sql", "postgres/roles.sql")
    assert deploy.outdated() == [f"deploy/compose/{name}" for name in wrong]
    deploy.write()
    assert deploy.outdated() == []
    assert (folder / "secrets.sh").exists()
    assert (folder / "private" / "key").exists()

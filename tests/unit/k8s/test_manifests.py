"""Manifests are what the code makes, and say of the code what is so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.postgres import ROLES
from services.tool_gateway import main as gateway
from shared.bus import acls
from shared.bus.acls import Principals
from shared.settings import Settings
from viox.deploy import __main__ as deploy
from viox.deploy import external_secrets, facts, kafka, postgres, settings, sign_in
from viox.deploy.facts import DEPLOY, SERVICES, every_service

BASE = DEPLOY / "k8s" / "base"
USERS = [*BASE.glob("*/kafka-user.yaml"), BASE / "kafka" / "users.yaml"]


def read(file: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader) if one]


def test_nothing_is_out_of_date() -> None:
    assert deploy.outdated() == []


def test_what_is_changed_by_hand_or_left_over_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "DEPLOY", tmp_path / "deploy")
    deploy.write()
    changed = tmp_path / "deploy" / "k8s" / "base" / "closer" / "deployment.yaml"
    changed.write_text(changed.read_text() + "\n")
    left = tmp_path / "deploy" / "k8s" / "base" / "gone.yaml"
    left.write_text(changed.read_text())
    assert deploy.outdated() == ["deploy/k8s/base/closer/deployment.yaml", "deploy/k8s/base/gone.yaml"]
    deploy.write()
    assert deploy.outdated() == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_folder_with_the_same_files(name: str) -> None:
    files = {file.name for file in (BASE / name).iterdir()}
    same = {"deployment.yaml", "disruption-budget.yaml", "kustomization.yaml", "service-account.yaml", "service.yaml"}
    assert files == same | (set() if name == "console" else {"kafka-user.yaml"})


def test_users_together_have_the_rights_that_the_broker_is_given_on_one_machine() -> None:
    """The sandbox applies the same rules to Apache Kafka, where tests try each of them."""
    found = [rule for file in USERS for user in read(file) for rule in kafka.acls_of(user)]
    assert sorted(found) == acls.wanted(Principals(kafka.PRINCIPAL))


def test_a_service_reads_every_setting_it_is_given() -> None:
    known = {f"VIOX_{name.upper()}" for name in Settings.model_fields}
    others = {"VIOX_SECRETS_DIR", "VIOX_QUERY_DSN", "VIOX_GATEWAY_URL", "VIOX_OPERATOR_TOKEN", "VIOX_SECRET_KEY"}
    inside = {settings.PASSWORD, settings.QUERY_PASSWORD}  # in a DSN
    for one in every_service():
        given = {*settings.plain(one, "kafka:1", "postgres:1"), *settings.secrets(one)}
        assert given <= known | others | inside | set(facts.MODEL_KEYS), one.name


def test_every_setting_is_one_that_a_service_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in every_service():
        for name, value in settings.plain(one, "kafka:1", "postgres:1").items():
            monkeypatch.setenv(name, value)
        assert Settings.load().http_port == facts.PORT


def test_roles_of_postgres_are_those_of_one_machine() -> None:
    assert facts.LOGINS == ROLES


def test_connections_are_counted_as_the_gateway_opens_them() -> None:
    assert postgres.TOKEN_CONNECTIONS == gateway.TOKEN_CONNECTIONS


def test_every_secret_that_is_referred_to_comes_from_somewhere() -> None:
    made = {"viox-cluster-ca-cert", "viox-postgres-ca", *(f"viox-{name}" for name in acls.SERVICES)}  # by operators
    for one in every_service():
        wanted = {secret for secret, _, _ in settings.secrets(one).values()}
        wanted |= {secret for _, secret, _ in settings.files(one).values()}
        assert wanted <= made | set(external_secrets.names()), one.name


def test_the_secret_of_signing_in_comes_from_the_store_where_a_deployment_says_so() -> None:
    (one,) = read(DEPLOY / "k8s" / "components" / "oidc-external-secret" / "secret.yaml")
    reference = sign_in.client_secret()["valueFrom"]["secretKeyRef"]
    assert one["spec"]["target"]["name"] == reference["name"]
    assert [(each["secretKey"], each["remoteRef"]["key"]) for each in one["spec"]["data"]] == [
        (reference["key"], f"viox/oidc/{reference['key']}")
    ]
    assert sign_in.SECRET not in external_secrets.names(), "a deployment need not have it"


def test_a_changed_password_is_read_by_postgres() -> None:
    for one in read(DEPLOY / "k8s" / "components" / "external-secrets" / "postgres.yaml"):
        template = one["spec"]["target"]["template"]
        assert template["metadata"]["labels"] == {"cnpg.io/reload": "true"}
        assert set(template["data"]) == {"username", "password"}
